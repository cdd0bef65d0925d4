"""Blocks for length policies: what a rule keeps of recorded drafts, or of every draft of a Markov toy.

The rules are those whose chance to keep a position does not depend on where the block ends behind it: token-wise and
block verification, and token rules on one draft walked down the chain. For greedy block verification it does depend,
and rules for several paths have no such number.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from otspec.analysis.blocks import bound_rule, same_order, token_passed
from otspec.core.block import BlockVerifier
from otspec.core.checks import check_positive
from otspec.core.errors import BadArgument, SchemeMismatch, TooLarge
from otspec.core.markov import MarkovModel
from otspec.core.rows import checked_rows, clipped_ratio, path_masses
from otspec.core.table import Table
from otspec.core.trace import Trace
from otspec.core.verifier import TokenVerifier
from otspec.policies.length import LengthPolicy, length_policy, regret
from otspec.policies.length.base import check_cost
from otspec.policies.length.blocks import Blocks, features
from otspec.verifiers.block.block import Block
from otspec.verifiers.block.token_wise import TokenWise

Array = Any
Rows = tuple[Array, Array, Array]
ENTRIES = 1 << 23  # of one part of the rows: 64 MB of float64
MAX_ENTRIES = 1 << 27  # of an enumeration's rows
DEFAULT = ("fixed", "best", "confidence", "min_probability", "entropy", "specdec++", "true_threshold", "clairvoyant")


def drafted_blocks(source: Trace | Rows, *, rule: Any = "block") -> Blocks:
    """Blocks of a trace with rows along them, or of arrays.

    Parameters
    ----------
    source : Trace or (target_rows, draft_rows, tokens)
        ``[n L+1 V]``, ``[n L V]`` and ``[n L]``, as `Trace.rows` returns them.
    rule : str or verifier
        ``"block"``, ``"token_wise"``, or a token rule on one draft.

    Returns
    -------
    Blocks

    Raises
    ------
    BadArgument
        A trace without rows along blocks.
    SchemeMismatch
        A rule that keeps a position or not depending on where the block ends.
    NotALaw, ShapeMismatch, UnknownName

    Examples
    --------
    >>> even = np.full((2, 3, 4), 0.25)
    >>> drafted_blocks((even, even[:, :2], np.zeros((2, 2), dtype=int))).profile
    array([1., 1.])
    """
    bound = chain_rule(rule)
    parts = [_part(rows, bound) for rows in row_parts(source)]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Blocks(**whole, rule=rule if isinstance(rule, str) else repr(rule))


def toy_blocks(target_model: MarkovModel, draft_model: MarkovModel, draft_length: int, *,
               rule: Any = "block") -> Blocks:
    """All blocks that can be drafted after all contexts of a pair of Markov models, with their probabilities.

    Parameters
    ----------
    target_model, draft_model : MarkovModel
        The context is drawn from the target model's `initial`.
    draft_length : int
    rule : str or verifier

    Returns
    -------
    Blocks
        With weights, so that every mean over them is exact.

    Raises
    ------
    TooLarge, SchemeMismatch, BadArgument

    Examples
    --------
    >>> coin = MarkovModel.memoryless([0.5, 0.5])
    >>> len(toy_blocks(coin, coin, 2))
    8
    """
    target, draft = same_order(target_model, draft_model)
    length, states, size = check_positive("draft_length", draft_length), len(target.rows), target.vocabulary
    entries = states * float(size) ** (length + 1) * (2 * length + 1)
    if entries > MAX_ENTRIES:
        raise TooLarge(f"{entries:.3g} entries of rows, more than {MAX_ENTRIES:.3g}. Fix: a shorter draft_length.",
                       entries)
    tokens = np.indices((size,) * length).reshape(length, -1).T
    texts = len(tokens)
    # the context after i drafted tokens
    places = [np.repeat(np.arange(states), texts)]
    everywhere = np.tile(tokens, (states, 1))
    for i in range(length):
        places.append((places[-1] * size + everywhere[:, i]) % states)
    along = np.stack(places, axis=1)
    rows = target.rows[along], draft.rows[along[:, :length]], everywhere
    weights = np.repeat(target.initial.reshape(-1), texts) * path_masses(rows[1], everywhere).prod(axis=1)
    possible = weights > 0
    part = _part(tuple(array[possible] for array in rows), chain_rule(rule))
    return Blocks(**part, weights=weights[possible], rule=rule if isinstance(rule, str) else repr(rule))


def compare_lengths(source: Trace | Rows | Blocks, *, draft_cost: float, verify_cost: float = 1.0,
                    policies: str | LengthPolicy | Iterable[str | LengthPolicy] = DEFAULT,
                    max_length: int | None = None, rule: Any = "block") -> Table:
    """Length policies side by side: as they come and fitted, on contexts that they were not fitted on.

    Parameters
    ----------
    source : Trace, arrays or Blocks
        Every other context is for calibration, the rest for the comparison; of an enumeration, all are for both.
    draft_cost, verify_cost : float
        Of one call of either model.
    policies : str, LengthPolicy, or iterable of them
    max_length : int, optional
        Of every policy, also of those whose engines draft more by default; default the length of the blocks.
    rule : str or verifier
        See `drafted_blocks`; not read where the source is Blocks.

    Returns
    -------
    Table
        Columns ``policy, parameters`` ("default" or "fitted"), ``tokens_per_call``, ``drafts_per_call``,
        ``cost_per_token``, ``speedup`` and ``regret`` (excess of the cost per token over the clairvoyant's), each with
        its ``_stderr``, and ``formula``.

    Raises
    ------
    BadArgument, SchemeMismatch, UnknownName
    """
    check_cost("draft_cost", draft_cost), check_cost("verify_cost", verify_cost)
    blocks = source if isinstance(source, Blocks) else drafted_blocks(source, rule=rule)
    most = blocks.length if max_length is None else check_positive("max_length", max_length)
    if blocks.weights is None and len(blocks) < 4:
        raise BadArgument(f"source: {len(blocks)} contexts; calibration and comparison need at least 2 each. "
                          f"Fix: record more prompts.")
    calibration, held_out = (blocks, blocks) if blocks.weights is not None else blocks.halves()
    costs = {"draft_cost": draft_cost, "verify_cost": verify_cost}
    rows = []
    for given in [policies] if isinstance(policies, (str, LengthPolicy)) else policies:
        policy = _of_length(given, most)
        tuned = policy.fitted(calibration, **costs)
        for name, one in (("default", policy), ("fitted", tuned)):
            if (name == "default" and _undecided(policy)) or (name == "fitted" and tuned == policy):
                continue
            rows.append({"policy": given if isinstance(given, str) else repr(given), "parameters": name,
                         **_numbers(one, held_out, costs, most), "chosen": repr(one)})
    return Table(rows, {"rule": blocks.rule, "contexts": len(held_out), "calibration_contexts": len(calibration),
                        "max_length": most, **costs})


def _numbers(policy: LengthPolicy, blocks: Blocks, costs: dict[str, float], most: int) -> dict[str, Any]:
    found = policy.predict(blocks, **costs)
    excess = regret(policy, blocks, **costs, max_length=most)
    parts = {"tokens_per_call": found.tokens_per_call, "drafts_per_call": found.drafts_per_call,
             "cost_per_token": found.cost_per_token, "speedup": found.speedup, "regret": excess}
    numbers = {key: value for name, part in parts.items()
               for key, value in ((name, part.mean), (f"{name}_stderr", part.stderr))}
    return numbers | {"formula": found.formula}


def _of_length(given: str | LengthPolicy, most: int) -> LengthPolicy:
    if isinstance(given, str):
        return length_policy(given, length=min(4, most)) if given == "fixed" else \
            length_policy(given, max_length=most)
    return length_policy(given)


def _undecided(policy: LengthPolicy) -> bool:
    """Whether a policy has to be fitted before it can decide."""
    return any(getattr(policy, name, 0) is None for name in ("length", "predictor"))


def chain_rule(rule: Any) -> BlockVerifier | TokenVerifier:
    """Return a rule whose chance to keep a position does not depend on where the block ends behind it.

    Raises
    ------
    SchemeMismatch
    """
    bound = bound_rule(rule, 1)
    if not isinstance(bound, (Block, TokenWise, TokenVerifier)):
        raise SchemeMismatch(f"rule: {bound!r} is not proved for blocks whose length is decided while drafting. "
                             f"Fix: 'block' (which Traversal is on one path), 'token_wise', or a token rule on one "
                             f"draft such as 'single_draft'.")
    return bound


def row_parts(source: Trace | Rows) -> Iterable[Rows]:
    """Checked rows of a trace or of arrays, so many at a time that they fit into memory."""
    if isinstance(source, Trace):
        source.rows(slice(0, 0) if not source.draft_length or source.transforms else slice(0, 1))  # says what is wrong
        step = max(1, ENTRIES // ((2 * source.draft_length + 1) * source.vocab_size))
        for start in range(0, len(source), step):
            yield checked_rows(*source.rows(slice(start, start + step)))
        return
    if not isinstance(source, tuple) or len(source) != 3:
        raise BadArgument(f"source: {type(source).__name__} is no trace. Fix: a Trace with rows along blocks, or "
                          f"(target_rows, draft_rows, tokens).")
    target_rows, draft_rows, tokens = (np.asarray(array) for array in checked_rows(*source))
    yield target_rows, draft_rows, tokens


def _part(rows: Rows, rule: BlockVerifier | TokenVerifier) -> dict[str, np.ndarray]:
    target_rows, draft_rows, tokens = rows
    chances = clipped_ratio(path_masses(target_rows, tokens), path_masses(draft_rows, tokens))
    if isinstance(rule, BlockVerifier):
        kept, passed = rule._kept(*rows), rule._passed(*rows)
    else:
        kept = passed = token_passed(rule, *rows)
    return {"kept": kept, "passed": passed, "chances": chances,
            **features(np.asarray(draft_rows, dtype=np.float64), tokens)}

