"""Exact number of tokens after several iterations: block after block, each drafted where the last one ended.

A rule without memory emits the same chunk law after every context, so its total is a recursion over contexts; of a rule
that carries a state it is the recursion over contexts and states.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from otspec.analysis.blocks import bound_rule, same_order
from otspec.analysis.chunks import chunk_laws
from otspec.analysis.states import StatefulText, check_branches
from otspec.core.checks import check_positive
from otspec.core.estimate import Estimate
from otspec.core.markov import MarkovModel
from otspec.core.sequence import SequenceVerifier


def total_tokens(verifier: Any, target_model: MarkovModel, draft_model: MarkovModel, draft_length: int,
                 iterations: int, *, num_paths: int = 1) -> Estimate:
    """Mean number of tokens emitted by so many iterations, by enumeration.

    Parameters
    ----------
    verifier, target_model, draft_model, draft_length, num_paths
        As in `block_efficiency`; a rule that carries a state carries it.
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
    rule = bound_rule(verifier, num_paths)
    initial = target.initial.reshape(-1)
    if isinstance(rule, SequenceVerifier) and rule.stateful:
        check_branches(rule, target, length, rounds)
        blocks = StatefulText(rule, target, draft, length)
        found = [blocks.total(context, rule.fresh_state(), rounds) for context in range(len(initial))]
        return Estimate(float(initial @ np.asarray(found)))
    chunks = chunk_laws(rule, target, draft, length)
    totals: np.ndarray = np.zeros(len(initial))
    for _ in range(rounds):
        after = np.zeros_like(totals)
        for kept, law in enumerate(chunks):
            texts = law.reshape(len(totals), -1)
            after += (texts * (kept + 1 + totals[target.contexts_after(texts.shape[1])])).sum(axis=1)
        totals = after
    return Estimate(float(initial @ totals))
