"""Acceptance position by position, predicted from recorded rows in the names that serving engines print.

Engines count, over their drafts, how often position i was accepted (``num_accepted_tokens_per_pos``) and print the
quotients by the number of drafts, and the mean acceptance length, ``1 + accepted / drafts``. `DecodeRun.profile` shows
the same of a decoding run; `expected_profile` predicts both from laws, with coins integrated out. [vllm]
"""

from __future__ import annotations

from typing import Any

import numpy as np

from otspec.analysis.blocks import bound_rule, token_passed
from otspec.analysis.lengths import row_parts
from otspec.core.block import BlockVerifier
from otspec.core.errors import BadArgument, SchemeMismatch
from otspec.core.estimate import Estimate, ratio_of
from otspec.core.pathwise import path_tree
from otspec.core.rows import checked_rows
from otspec.core.sequence import SequenceVerifier
from otspec.core.table import Table
from otspec.core.trace import Trace
from otspec.core.verifier import TokenVerifier
from otspec.core.walk import TokenWalk

Array = Any


def expected_profile(source: Trace | tuple[Array, Array, Array], rule: Any = "block") -> Table:
    """Predict `DecodeRun.profile` from rows recorded along drafted paths.

    Parameters
    ----------
    source : Trace or (target_rows, draft_rows, tokens)
        A trace with rows along blocks, or ``[n L+1 V]``, ``[n L V]``, ``[n L]``; K paths: ``[n K L+1 V]``,
        ``[n K L V]``, ``[n K L]``.
    rule : str or verifier
        A block rule or a token rule on one path; on K paths also a tree rule, evaluated by its definition.

    Returns
    -------
    Table
        One row per ``position`` from 1: ``conditional``, ``unconditional``, ``exactly`` (chance to keep that many),
        ``num_accepted_tokens_per_pos`` (expected, over the n drafts), standard errors over contexts. Metadata:
        ``num_drafts``, ``num_accepted_tokens``, ``mean_acceptance_length`` with its ``_stderr``, and ``histogram``,
        the chances to keep 0, 1, .. L drafts.

    Raises
    ------
    BadArgument
        A trace without rows along blocks; fewer than two contexts.
    SchemeMismatch, NotALaw, ShapeMismatch, UnknownName

    Examples
    --------
    >>> even = np.full((2, 3, 4), 0.25)
    >>> expected_profile((even, even[:, :2], np.zeros((2, 2), dtype=int))).column("unconditional")
    [1.0, 1.0]
    """
    if not isinstance(source, tuple) or len(source) != 3 or np.ndim(source[2]) == 2:
        bound = bound_rule(rule, 1)
        reached = np.concatenate([_on_chains(bound, rows) for rows in row_parts(source)])
    else:
        reached = _on_paths(rule, source)
    if len(reached) < 2:
        raise BadArgument(f"source: {len(reached)} contexts, a standard error needs at least 2. Fix: record more.")
    return profile_table(np.concatenate([np.ones((len(reached), 1)), reached], axis=1),
                         {"rule": rule if isinstance(rule, str) else repr(rule)})


def profile_table(reached: np.ndarray, settings: dict[str, Any]) -> Table:
    """Profile of units ``[n L+1]`` that hold how many rounds, or what chance, kept at least 0, 1, .. L drafts."""
    length, total = reached.shape[1] - 1, reached.sum(axis=0)
    # kept that many and no more; at 0, those that kept nothing
    exactly = np.concatenate([reached[:, :-1] - reached[:, 1:], reached[:, -1:]], axis=1)
    rows = []
    for position in range(1, length + 1):
        row: dict[str, Any] = {"position": position}
        for name, among in (("conditional", reached[:, position - 1]), ("unconditional", reached[:, 0])):
            share = ratio_of(reached[:, position], among) if among.any() else None
            row |= {name: share and share.mean, f"{name}_stderr": share and _known(share)}
        rows.append(row | {"rounds": total[position - 1].item(),
                           "num_accepted_tokens_per_pos": total[position].item(),
                           "exactly": float(exactly[:, position].sum() / total[0]) if total[0] else None})
    if total[0]:
        accepted = reached[:, 1:].sum(axis=1)
        mean = ratio_of(accepted + reached[:, 0], reached[:, 0])
        settings = settings | {
            "num_drafts": total[0].item(), "num_accepted_tokens": accepted.sum().item(),
            "mean_acceptance_length": mean.mean, "mean_acceptance_length_stderr": _known(mean),
            "histogram": (exactly.sum(axis=0) / total[0]).tolist()}
    return Table(rows, settings)


def _known(estimate: Estimate) -> float | None:
    """Standard error, or None where a single unit leaves it unknown."""
    return estimate.stderr if np.isfinite(estimate.stderr) else None


def _on_chains(rule: Any, rows: tuple[Array, Array, Array]) -> np.ndarray:
    """Chances ``[n L]`` to keep at least 1 .. L tokens."""
    target_rows, draft_rows, tokens = rows
    if isinstance(rule, BlockVerifier):
        return np.asarray(rule._passed(target_rows, draft_rows, tokens, *rule._memory(None)))
    if not isinstance(rule, TokenVerifier):
        raise SchemeMismatch(f"rule: {rule!r} has no profile on one path. Fix: a block rule such as 'block', or a "
                             f"token rule on one draft.")
    return token_passed(rule, target_rows, draft_rows, tokens)


def _on_paths(rule: Any, source: tuple[Array, Array, Array]) -> np.ndarray:
    """Chances ``[n L]`` on K paths, tree by tree, by the rule's definition."""
    target_rows, draft_rows, tokens = (np.asarray(array) for array in checked_rows(*source, leading="K"))
    if tokens.ndim != 3:
        raise BadArgument(f"source: tokens of shape {tokens.shape} are not [n L] or [n K L]. Fix: one "
                          f"axis of contexts.")
    bound = bound_rule(rule, tokens.shape[1])
    walked = TokenWalk(bound) if isinstance(bound, TokenVerifier) else bound
    if not isinstance(walked, SequenceVerifier) or walked.stateful:
        raise SchemeMismatch(f"rule: {bound!r} has no profile on {tokens.shape[1]} paths. Fix: a token or tree rule.")
    reached = np.zeros((len(tokens), tokens.shape[2]))
    for row, arrays in enumerate(zip(target_rows, draft_rows, tokens, strict=True)):
        merged = path_tree(*arrays)
        stop = walked._joint(merged.tree, merged.target, merged.draft).sum(axis=-1)
        law = np.bincount(merged.tree.depths, weights=stop, minlength=tokens.shape[2] + 1)
        reached[row] = law[::-1].cumsum()[::-1][1:]
    return reached
