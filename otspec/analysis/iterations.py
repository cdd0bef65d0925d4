"""Exact number of tokens after several iterations: block after block, each drafted where the last one ended.

A rule without memory emits the same chunk law after every context, so its total is a recursion over contexts. Greedy
block verification carries a state, and its total is the recursion over texts and states.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from otspec.analysis.blocks import bound_rule, same_order
from otspec.analysis.chunks import chunk_laws
from otspec.core.checks import check_positive
from otspec.core.errors import TooLarge
from otspec.core.estimate import Estimate
from otspec.core.markov import MarkovModel
from otspec.verifiers import verifier as make_verifier
from otspec.verifiers.block.greedy_block import FRESH, GreedyBlock, State

MAX_BRANCHES = 2e6  # of the recursion over texts and states, at about 50 us each


def total_tokens(verifier: Any, target_model: MarkovModel, draft_model: MarkovModel, draft_length: int,
                 iterations: int, *, num_paths: int = 1) -> Estimate:
    """Mean number of tokens emitted by so many iterations, by enumeration.

    Parameters
    ----------
    verifier, target_model, draft_model, draft_length, num_paths
        As in `block_efficiency`; also ``"greedy_block"``, whose state is carried.
    iterations : int

    Returns
    -------
    Estimate
        Exact, so the standard error is 0.

    Raises
    ------
    TooLarge, SchemeMismatch, BadArgument, UnknownName

    Examples
    --------
    >>> coin = MarkovModel.memoryless([0.5, 0.5])
    >>> total_tokens("greedy_block", coin, coin, 2, 2).mean
    6.0
    """
    target, draft = same_order(target_model, draft_model)
    length, rounds = check_positive("draft_length", draft_length), check_positive("iterations", iterations)
    rule = make_verifier(verifier, num_paths) if verifier == "greedy_block" else verifier
    initial = target.initial.reshape(-1)
    if isinstance(rule, GreedyBlock):
        branches = (float(target.vocabulary) ** (length + 1) * (length + 1)) ** rounds
        if branches > MAX_BRANCHES:
            raise TooLarge(f"{rounds} iterations have {branches:.3g} branches, more than {MAX_BRANCHES:.0e}. "
                           f"Fix: fewer iterations or a smaller draft_length.", branches)
        totals = [_greedy_total(rule, target, draft, context, FRESH, length, rounds) for context in range(len(initial))]
        return Estimate(float(initial @ np.asarray(totals)))
    chunks = chunk_laws(bound_rule(rule, num_paths), target, draft, length)
    totals = np.zeros(len(initial))
    for _ in range(rounds):
        after = np.zeros_like(totals)
        for kept, law in enumerate(chunks):
            texts = law.reshape(len(totals), -1)
            after += (texts * (kept + 1 + totals[target.contexts_after(texts.shape[1])])).sum(axis=1)
        totals = after
    return Estimate(float(initial @ totals))


def _greedy_total(rule: GreedyBlock, target: MarkovModel, draft: MarkovModel, context: int, state: State, length: int,
                  rounds: int) -> float:
    if rounds == 0:
        return 0.0
    size, states, total = target.vocabulary, len(target.rows), 0.0
    for path in itertools.product(range(size), repeat=length):
        contexts = [context]
        for token in path:
            contexts.append((contexts[-1] * size + token) % states)
        rows = target.rows[contexts], draft.rows[contexts[:-1]], np.asarray(path)
        weight = float(rows[1][np.arange(length), path].prod())
        if weight == 0:
            continue
        law = rule.conditional(*rows, state)
        for kept, token in zip(*np.nonzero(law.stop[:, None] * law.following), strict=True):
            later = _greedy_total(rule, target, draft, (contexts[kept] * size + int(token)) % states,
                                  rule.carried(*rows, state, int(kept), int(token)), length, rounds - 1)
            total += weight * law.stop[kept] * law.following[kept, token] * (kept + 1 + later)
    return total
