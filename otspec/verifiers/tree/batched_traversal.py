"""Traversal and recursive rejection on batches of drafted trees: nodes where they stop, and estimates of depth.

What every node and its children leave is prepared by `refusals`; the rest is arithmetic on ``[B N+1]`` numbers. On the
CPU a draw is compiled and looks only at the rows on its way; elsewhere all columns are prepared at once, so that
nothing waits for the device. Both give the same verdicts on the same uniforms.

Estimates: given the tree, the chance that Traversal stops at a node is a product over the nodes before it in
postorder. Where the shape does not depend on the tokens, those are integrated out too: a subtree that is entered with
weight w stops inside with probability w, on average over its own draws. [traversal]
"""

from __future__ import annotations

from typing import Any

from otspec.core.drafted import DraftedTrees
from otspec.core.host import on_host
from otspec.core.laws import draw, namespace
from otspec.verifiers.tree.refusals import REJECTION, TRAVERSAL, Refusals, goal, refuse_all

Array = Any


def draw_nodes(drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None, uniforms: Array,
               weighted: bool) -> tuple[Array, Array]:
    """Node and token ``[B]`` by Traversal (``weighted``) or by recursive rejection without replacement.

    Parameters
    ----------
    drafted : DraftedTrees
    target_rows, draft_rows : [B N+1 V]
    uniforms : [B N+1]
        One for each node, one for the token.
    weighted : bool
    """
    if on_host(target_rows):
        from otspec.verifiers.tree.refusals_compiled import draw_compiled

        xp = namespace(target_rows)
        node, token = draw_compiled(drafted, target_rows, draft_rows, uniforms, weighted)
        return xp.asarray(node), xp.asarray(token)
    return draw_in_columns(drafted, target_rows, draft_rows, uniforms, weighted)


def draw_in_columns(drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None, uniforms: Array,
                    weighted: bool) -> tuple[Array, Array]:
    """`draw_nodes` as whole-array operations."""
    given = None if drafted.scheme == "deterministic" else draft_rows
    refusals = refuse_all(drafted, target_rows, given, weighted)
    node = (leaf_first if weighted else root_first)(drafted, refusals, uniforms)
    return node, draw(goal(drafted, target_rows, given, node, refusals), uniforms[:, -1])


def leaf_first(drafted: DraftedTrees, refusals: Refusals, uniforms: Array) -> Array:
    """First node ``[B]`` in postorder whose uniform is below its weight; the text's end comes last and never fails."""
    xp = namespace(refusals.weight)
    stops = drafted.present & (uniforms[:, : drafted.num_nodes] < refusals.weight[:, 1:])
    stops = xp.concat([xp.ones_like(stops[:, :1]), stops], axis=1) if drafted.num_nodes else refusals.weight > 0
    late = xp.full_like(drafted.postorder, drafted.num_nodes + 1)
    return xp.astype(xp.argmin(xp.where(stops, drafted.postorder, late), axis=-1), xp.int64)


def root_first(drafted: DraftedTrees, refusals: Refusals, uniforms: Array) -> Array:
    """Node ``[B]`` that a walk from the text's end reaches, which goes to the first child that is kept."""
    xp = namespace(refusals.weight)
    node = xp.zeros(drafted.tokens.shape[:1], dtype=xp.int64, device=drafted.tokens.device)
    for column in range(drafted.num_nodes):
        tried = drafted.present[:, column] & (drafted.above[:, column] == node)
        kept = tried & (uniforms[:, column] < refusals.ratio[:, column])
        node = xp.where(kept, xp.full_like(node, column + 1), node)
    return node


def expected_depth(drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None, weighted: bool) -> Array:
    """Unbiased estimate ``[B]`` float64 of the number of tokens kept; no coin is tossed."""
    xp = namespace(target_rows)
    refusals = _refusals(drafted, target_rows, draft_rows, weighted)
    if weighted and drafted.adaptive_widths:
        return stop_depth(drafted, refusals.weight)
    return xp.sum(_masses(drafted, refusals, weighted)[0], axis=-1)


def node_masses(drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None,
                weighted: bool) -> tuple[Array, Array]:
    """Chances ``[B N]`` that the verdict lies at a node or below, before and after the node's own token is known.

    All that is drawn below the nodes is integrated out; the shape may not depend on it. The first, summed over nodes,
    is the expected depth; its mean over trees depends on the ranks of the nodes on the way from the root, and on
    nothing else of the shape. [traversal]
    """
    return _masses(drafted, _refusals(drafted, target_rows, draft_rows, weighted), weighted)


def _refusals(drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None, weighted: bool) -> Refusals:
    given = None if drafted.scheme == "deterministic" else draft_rows
    if not on_host(target_rows):
        return refuse_all(drafted, target_rows, given, weighted)
    from otspec.verifiers.tree.refusals_compiled import refuse_compiled

    return Refusals(*map(namespace(target_rows).asarray, refuse_compiled(drafted, target_rows, given, weighted)))


def stop_depth(drafted: DraftedTrees, weight: Array) -> Array:
    """Mean number of tokens ``[B]`` that Traversal keeps, given the tree and the weights ``[B N+1]`` of its nodes."""
    xp = namespace(weight)
    return xp.sum(stop_masses(drafted, weight) * xp.astype(drafted.depths, xp.float64), axis=-1)


def stop_masses(drafted: DraftedTrees, weight: Array) -> Array:
    """Chance ``[B N+1]`` that Traversal stops at each node, given the tree and their weights ``[B N+1]``."""
    xp = namespace(weight)
    ends = xp.ones_like(weight[:, :1])
    there = xp.astype(drafted.present, xp.float64)
    weight = xp.concat([ends, weight[:, 1:] * there], axis=1)
    order = xp.argsort(drafted.postorder, axis=-1)
    weight, alive, masses = xp.take_along_axis(weight, order, axis=-1), ends[:, 0], []
    for place in range(drafted.num_nodes + 1):
        masses.append(alive * weight[:, place])
        alive = alive * (1.0 - weight[:, place])
    return xp.take_along_axis(xp.stack(masses, axis=-1), drafted.postorder, axis=-1)


def _masses(drafted: DraftedTrees, refusals: Refusals, weighted: bool) -> tuple[Array, Array]:
    """`node_masses` of trees that are prepared."""
    xp = namespace(refusals.weight)
    if drafted.num_nodes == 0:
        return refusals.ratio, refusals.ratio
    reach, passed, kept = [xp.ones_like(refusals.weight[:, 0])], [], []
    for column in range(drafted.num_nodes):
        ratio = refusals.ratio[:, column]
        states = xp.stack(reach, axis=-1)
        parent = drafted.above[:, column, None]
        before = xp.take_along_axis(states, parent, axis=-1)[:, 0]
        passed.append(before * refusals.passed[:, column])
        kept.append(before * ratio)
        here = (xp.arange(column + 1, dtype=parent.dtype, device=parent.device) == parent)
        states = xp.where(here, states * (1.0 - ratio[:, None]), states)
        reach = [states[:, node] for node in range(column + 1)]
        reach.append(before if weighted else kept[-1])
    return xp.stack(passed, axis=-1), xp.stack(kept, axis=-1)


__all__ = ["REJECTION", "TRAVERSAL", "draw_in_columns", "draw_nodes", "expected_depth", "node_masses", "stop_masses"]
