"""Rows of laws along drafted tokens: checked once for chains, paths and trees, and read the same way by every rule.

A *path* of L tokens has L draft rows, the laws that its tokens were drawn from, and L + 1 target rows, the laws after
each of its prefixes. A tree has one row of each after every node.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from otspec.core.checks import as_law, as_tokens, check_possible, check_together, check_tokens, check_uniforms
from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.core.laws import at, draw, namespace, normalized_or, positive_part
from otspec.core.tree import DraftTree

Array = Any


def checked_rows(target_rows: Array, draft_rows: Array, tokens: Array, *, leading: str = "") -> tuple[Array, ...]:
    """Check the rows and the tokens of paths ``[*batch L]`` against each other; lists become arrays.

    Parameters
    ----------
    target_rows : [*batch L+1 V]
    draft_rows : [*batch L V]
    tokens : [*batch L] int
    leading : str
        Name of an axis that must stand before that of the tokens, ``K`` of several paths.

    Raises
    ------
    NotALaw, ShapeMismatch, BadArgument
    """
    target_rows, draft_rows = as_law("target_rows", target_rows), as_law("draft_rows", draft_rows)
    check_together(target_rows=target_rows, draft_rows=draft_rows)
    tokens = as_tokens(tokens)
    shapes = f"target_rows {tuple(target_rows.shape)}, draft_rows {tuple(draft_rows.shape)}, " \
             f"tokens {tuple(tokens.shape)}"
    axes = 2 + bool(leading)
    if not axes <= target_rows.ndim == draft_rows.ndim == tokens.ndim + 1:
        before = f"*batch {leading}".strip()
        raise ShapeMismatch(f"rows and tokens do not fit: {shapes}. Fix: pass [{before} L+1 V], [{before} L V] and "
                            f"[{before} L].")
    length = tokens.shape[-1]
    if draft_rows.shape[-2] != length or target_rows.shape[-2] != length + 1:
        raise ShapeMismatch(
            f"a path of {length} tokens needs {length} draft rows and {length + 1} target rows; got {shapes}. "
            f"Fix: one target row per prefix, the empty and the full one included.")
    batches = {tuple(target_rows.shape[:-2]), tuple(draft_rows.shape[:-2]), tuple(tokens.shape[:-1])}
    if len(batches) > 1 or target_rows.shape[-1] != draft_rows.shape[-1]:
        raise ShapeMismatch(f"batch shapes or vocabularies differ: {shapes}. Fix: give all three the same.")
    tokens = check_tokens(tokens, target_rows.shape[-1], length, target_rows=target_rows)
    if bool(namespace(tokens).any(tokens < 0)):
        raise BadArgument("tokens: -1 found; a path has no absent tokens. Fix: verify shorter paths separately.")
    check_possible(at(draft_rows, tokens[..., None])[..., 0], tokens, "its draft row")
    return target_rows, draft_rows, tokens


def checked_coins(uniforms: Array, needed: int, batch: tuple[int, ...], target_rows: Array) -> Array:
    """Check one row of ``needed`` uniforms for each of ``batch`` verdicts."""
    uniforms = check_uniforms(uniforms, needed, target_rows=target_rows)
    if tuple(uniforms.shape[:-1]) != batch:
        raise ShapeMismatch(f"uniforms: batch shape {tuple(uniforms.shape[:-1])} differs from that of tokens, {batch}. "
                            f"Fix: one row of uniforms per verdict.")
    return uniforms


def tree_rows(name: str, given: Array, tree: DraftTree) -> np.ndarray:
    """Laws ``[N V]`` after every node, checked, in NumPy float64."""
    law = np.asarray(as_law(name, given))
    if law.ndim != 2 or len(law) != len(tree):
        raise ShapeMismatch(f"{name}: shape {law.shape} for a tree of {len(tree)} nodes. "
                            f"Fix: [N V], one row after every node, the root first.")
    if tree.tokens.max() >= law.shape[1]:
        raise BadArgument(f"tokens: {int(tree.tokens.max())} is outside the vocabulary of {law.shape[1]}.")
    law = law.astype(np.float64)
    return law / law.sum(axis=1, keepdims=True)


def path_masses(rows: Array, tokens: Array) -> Array:
    """Mass of each drafted token under the row before it, float64 ``[*batch L]``; ``rows`` ``[*batch >=L V]``."""
    xp = namespace(rows, tokens)
    return xp.astype(at(rows[..., : tokens.shape[-1], :], tokens[..., None])[..., 0], xp.float64)


def clipped_ratio(numerator: Array, denominator: Array) -> Array:
    """``min(1, numerator / denominator)``, 0 where the numerator is 0, also for 0/0."""
    xp = namespace(numerator)
    one = xp.ones_like(numerator)
    sure = (numerator > 0) & (numerator >= denominator)
    # the quotient of what is sure is not used, and may overflow
    return xp.where(sure, one, numerator / xp.where((denominator > 0) & ~sure, denominator, one))


def divisor(values: Array) -> Array:
    """Values, one where they are not positive: the quotients there are never used."""
    xp = namespace(values)
    return xp.where(values > 0, values, xp.ones_like(values))


def weight_after_failure(weight: Array, left: Array) -> Array:
    """Weight ``S / (S + 1 - a)`` with which a node goes on after the child it entered has failed.

    Parameters
    ----------
    weight : [*batch]
        Weight a before.
    left : [*batch]
        Mass S of the residual ``(a target - draft)+``.

    Examples
    --------
    >>> weight_after_failure(np.array([0.5, 1.0, 1.0]), np.array([0.5, 0.25, 0.0])).tolist()
    [0.5, 1.0, 1.0]
    """
    xp = namespace(weight, left)
    room = left + (1.0 - weight)
    # weight 1 and nothing left: the child could not fail, so any weight may stand there
    return xp.where(room > 0, left / divisor(room), xp.ones_like(room))


def row_at(rows: Array, index: Array) -> Array:
    """Row ``index`` ``[*batch]`` of ``rows`` ``[*batch N V]``, as ``[*batch V]``."""
    xp = namespace(rows, index)
    size = rows.shape[-1]
    flat = xp.reshape(rows, (-1, size))
    start = xp.arange(flat.shape[0] // rows.shape[-2], dtype=xp.int64, device=rows.device) * rows.shape[-2]
    picked = xp.take(flat, start + xp.reshape(xp.astype(index, xp.int64), (-1,)), axis=0)
    return xp.reshape(picked, (*rows.shape[:-2], size))


def residual_laws(target_rows: Array, draft_rows: Array, scale: Array) -> Array:
    """Laws ``(scale target - draft)+`` after every node of a chain, normalised, float64 ``[*batch L+1 V]``.

    ``scale`` is ``[*batch L+1]``; at the last node, where nothing was drafted, the law is the target's own.
    """
    xp = namespace(target_rows)
    target_rows = xp.astype(target_rows, xp.float64)
    excess = positive_part(scale[..., :-1, None] * target_rows[..., :-1, :] - draft_rows)
    inner = normalized_or(excess, target_rows[..., :-1, :])
    return xp.concat([inner, target_rows[..., -1:, :]], axis=-2)


def draw_residual(target_rows: Array, draft_rows: Array, node: Array, scale: Array, uniform: Array) -> Array:
    """Token ``[*batch]`` from the law of `residual_laws` after ``node`` ``[*batch]``, that row alone being made."""
    xp = namespace(target_rows)
    length = draft_rows.shape[-2]
    target = xp.astype(row_at(target_rows, node), xp.float64)
    if length == 0:
        return draw(target, uniform)
    last = (node == length)[..., None]
    draft = row_at(draft_rows, xp.where(node == length, xp.zeros_like(node), node))
    excess = positive_part(xp.astype(scale, xp.float64)[..., None] * target - draft)
    return draw(xp.where(last, target, normalized_or(excess, target)), uniform)
