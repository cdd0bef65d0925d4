"""Children of which one at most was drawn: what the local plan gives to each of them, for many trees at once.

A node is entered with weight a; p is the target's law after it and t the law of its drawn child, the draft law without
the tokens that were chosen before the draw. Children are tried one after the other, a chosen one against a one-hot law.
Let n be the mass that is wanted, ``a p`` at first, and D the chance that nothing was taken yet, 1 at first. Trying a
chosen child x takes ``n(x)`` and nothing else; trying the draw takes ``min(n, D t)``. So x is entered with weight
``n(x) / D`` and the draw y with ``min(1, n(y) / (D t(y)))``, and in the end the node itself is kept with weight ``sum n
/ D``. These are the weights of Traversal; where the draw is tried first they are the optimal plan of the scaled target,
which takes ``a p(T) + sum min(a p, t)`` in all, T the chosen tokens. [mdsd] [traversal]
"""

from __future__ import annotations

from typing import Any, NamedTuple

from otspec.core.drafted import DraftedTrees, replaced
from otspec.core.laws import at, draw, namespace, normalized_or, positive_part
from otspec.core.rows import clipped_ratio, divisor, row_at
from otspec.verifiers.tree.refusals import cleared

Array = Any


class Plan(NamedTuple):
    """What every node and child gets, float64; chances are those given that the node above is entered."""

    weight: Array  # [B N+1] of a node when its children have been tried
    start: Array  # [B N+1] of a node when it is entered
    entry: Array  # [B N] weight of a child when it is tried
    before: Array  # [B N] chance D that nothing was taken when a child is tried, the draw integrated out
    taken: Array  # [B N] mass that a child takes, its token integrated out if it was drawn
    scale: Array  # [B N+1] D when the draw of a node is tried


class _Node(NamedTuple):
    """A node of every row: wanted mass and law of the draw ``[B V]``, and masks ``[B N]`` of its children."""

    wanted: Array
    tail: Array
    tokens: Array
    below: Array
    drawn: Array
    ahead: Array


def plan_trees(drafted: DraftedTrees, target_rows: Array, draft_rows: Array, *, draw_first: bool,
               weighted: bool) -> Plan:
    """Plans of every node, from the root downwards; one pass over both rows of each.

    Parameters
    ----------
    drafted : DraftedTrees
        Greedy trees.
    target_rows, draft_rows : [B N+1 V]
    draw_first : bool
        Whether the draw is tried before the chosen children, or in the order of drawing.
    weighted : bool
        Whether the entry of a child is the weight of its subtree, as in Traversal; else all nodes have weight one.
    """
    xp = namespace(target_rows)
    size, count = drafted.tokens.shape
    none = xp.zeros((size, count), dtype=xp.float64, device=drafted.tokens.device)
    ends = xp.ones((size, 1), dtype=xp.float64, device=drafted.tokens.device)
    start = xp.broadcast_to(ends, (size, count + 1))
    found, weight, scale = (none, none, none), start, start
    for number in range(count + 1):
        node = _node(drafted, number, target_rows, draft_rows, start[:, number])
        *new, last, free = _children(node, draw_first)
        found = tuple(xp.where(node.below, mine, old) for mine, old in zip(new, found, strict=True))
        weight, scale = replaced(xp, weight, number, last), replaced(xp, scale, number, free)
        if weighted:
            start = xp.where(xp.concat([ends < 0, node.below], axis=1), xp.concat([ends, found[0]], axis=1), start)
    return Plan(weight, start, *found, scale)


def _node(drafted: DraftedTrees, number: Any, target_rows: Array, draft_rows: Array, weight: Array) -> _Node:
    """One node in each row, all the same one or (an array) each its own."""
    xp = namespace(target_rows)
    same = isinstance(number, int)
    target, draft = (rows[:, number, :] if same else row_at(rows, number) for rows in (target_rows, draft_rows))
    below = drafted.present & (drafted.above == (number if same else number[:, None]))
    tokens = xp.astype(xp.where(below, drafted.tokens, xp.zeros_like(drafted.tokens)), xp.int64)
    drawn = below & (drafted.copies > 0)
    some = xp.any(drawn, axis=-1)
    ahead = below & (xp.cumulative_sum(xp.astype(drawn, xp.int64), axis=-1) == 0) & some[:, None]
    target = xp.astype(target, xp.float64)
    wanted = weight[:, None] * target / divisor(xp.sum(target, axis=-1))[:, None]
    # the draft row of a node without a draw is not read: it may hold anything
    tail = xp.where(some[:, None], xp.astype(draft, xp.float64), xp.zeros_like(target))
    tail = cleared(tail, xp.where(ahead, tokens, -xp.ones_like(tokens)))
    return _Node(wanted, tail / divisor(xp.sum(tail, axis=-1))[:, None], tokens, below, drawn, ahead)


def _children(node: _Node, draw_first: bool) -> tuple[Array, ...]:
    """Entry, chance before and mass taken of the children ``[B N]``, the node's last weight and D at its draw."""
    xp = namespace(node.wanted)
    none = xp.zeros_like(node.below, dtype=xp.float64)
    here = xp.where(node.below, at(node.wanted, node.tokens), none)
    early = node.ahead & (not draw_first)
    first = xp.where(early, here, none)
    free = positive_part(1.0 - xp.sum(first, axis=-1))
    offered = free[:, None] * node.tail
    common = xp.sum(xp.minimum(node.wanted, offered), axis=-1)
    offer = at(offered, node.tokens)
    late = node.below & ~node.drawn & ~early
    after = xp.where(late, positive_part(here - offer), none)
    rest = positive_part(free - common)  # D when the first of the late ones is tried
    before = xp.where(node.drawn, free[:, None], xp.where(late, _left(xp, rest, after), _left(xp, 1.0, first)))
    taken = xp.where(node.drawn, common[:, None], first + after)
    entry = xp.where(node.drawn, clipped_ratio(here, offer), clipped_ratio(taken, before))
    gone = xp.sum(after, axis=-1)
    left = positive_part(xp.sum(node.wanted, axis=-1) - xp.sum(first, axis=-1) - common - gone)
    room = positive_part(rest - gone)
    # no room: the children could not all be refused, so any weight may stand there
    weight = xp.where(room > 0, xp.minimum(left / divisor(room), xp.ones_like(room)), xp.ones_like(room))
    return entry, before, taken, weight, free


def _left(xp: Any, whole: Any, taken: Array) -> Array:
    """What is left of a chance ``[B]`` before each child ``[B N]`` takes its part."""
    gone = xp.cumulative_sum(taken, axis=-1) - taken
    return positive_part((whole if isinstance(whole, float) else whole[:, None]) - gone)


def following(drafted: DraftedTrees, target_rows: Array, draft_rows: Array, node: Array, plan: Plan) -> Array:
    """Law ``[B V]`` of the token emitted after one node ``[B]`` per row, all its children refused."""
    xp = namespace(target_rows)
    a, scale = (xp.take_along_axis(part, node[:, None], axis=1) for part in (plan.start, plan.scale))
    here = _node(drafted, node, target_rows, draft_rows, a[:, 0])
    rest = positive_part(here.wanted - scale * here.tail)
    chosen = xp.where(here.below & ~here.drawn, here.tokens, -xp.ones_like(here.tokens))
    return normalized_or(cleared(rest, chosen), here.wanted)


def turns(drafted: DraftedTrees, draw_first: bool) -> Array:
    """Rank ``[B N]`` by which siblings are tried."""
    xp = namespace(drafted.tokens)
    column = xp.broadcast_to(xp.arange(drafted.num_nodes, dtype=xp.int64, device=drafted.tokens.device),
                             drafted.tokens.shape)
    return xp.where(drafted.copies > 0, column - drafted.num_nodes, column) if draw_first else column


def leaf_first(drafted: DraftedTrees, target_rows: Array, draft_rows: Array, uniforms: Array, *,
               draw_first: bool) -> tuple[Array, Array]:
    """Node and token ``[B]``: the first node in postorder whose uniform is below its weight; ``uniforms [B N+1]``."""
    xp = namespace(target_rows)
    plan = plan_trees(drafted, target_rows, draft_rows, draw_first=draw_first, weighted=True)
    places = drafted.places(turns(drafted, draw_first))
    stops = drafted.present & (uniforms[:, : drafted.num_nodes] < plan.weight[:, 1:])
    stops = xp.concat([plan.start[:, :1] > 0, stops], axis=1)  # the text's end comes last and never fails
    late = xp.full_like(places, drafted.num_nodes + 1)
    node = xp.astype(xp.argmin(xp.where(stops, places, late), axis=-1), xp.int64)
    return node, draw(following(drafted, target_rows, draft_rows, node, plan), uniforms[:, -1])


def root_first(drafted: DraftedTrees, target_rows: Array, draft_rows: Array, uniforms: Array) -> tuple[Array, Array]:
    """Node and token ``[B]`` of a walk that tries the draw first; ``uniforms [B N+1]``, one for each child."""
    xp = namespace(target_rows)
    plan = plan_trees(drafted, target_rows, draft_rows, draw_first=True, weighted=False)
    rank = turns(drafted, draw_first=True)
    kept = drafted.present & (uniforms[:, : drafted.num_nodes] < plan.entry)
    earlier = (drafted.above[:, :, None] == drafted.above[:, None, :]) & (rank[:, None, :] < rank[:, :, None])
    first = kept & ~xp.any(earlier & kept[:, None, :], axis=-1)
    node = xp.zeros(drafted.tokens.shape[:1], dtype=xp.int64, device=drafted.tokens.device)
    for column in range(drafted.num_nodes):
        moved = first[:, column] & (drafted.above[:, column] == node)
        node = xp.where(moved, xp.full_like(node, column + 1), node)
    return node, draw(following(drafted, target_rows, draft_rows, node, plan), uniforms[:, -1])


def standing(drafted: DraftedTrees, plan: Plan, rank: Array) -> Array:
    """Chance ``[B N+1]`` that a walk from the root, child by child in the order of ``rank``, comes to a node."""
    xp = namespace(plan.weight)
    earlier = (drafted.above[:, :, None] == drafted.above[:, None, :]) & drafted.present[:, None, :] & \
        (rank[:, None, :] < rank[:, :, None])
    refused = xp.where(earlier, 1.0 - plan.entry[:, None, :], xp.ones_like(plan.entry[:, None, :]))
    return _downwards(drafted, xp.prod(refused, axis=-1) * plan.entry)


def _downwards(drafted: DraftedTrees, chance: Array) -> Array:
    """Products ``[B N+1]`` of chances ``[B N]`` along the way to each node."""
    xp = namespace(chance)
    chances = xp.ones_like(chance[:, :1])
    for column in range(drafted.num_nodes):
        above = xp.take_along_axis(chances, drafted.above[:, column, None], axis=1)
        chances = xp.concat([chances, above * chance[:, column, None]], axis=1)
    return chances


def expected_depth(drafted: DraftedTrees, plan: Plan, way: Array) -> Array:
    """Unbiased estimate ``[B]`` of the tokens kept, children's tokens integrated out: shapes fixed before the tokens.

    ``way [B N+1]`` is the chance to come to each node, given what stands above it.
    """
    xp = namespace(plan.weight)
    above = xp.take_along_axis(way, drafted.above, axis=1)
    return xp.sum(xp.where(drafted.present, above * plan.taken, xp.zeros_like(above)), axis=-1)


def entered(drafted: DraftedTrees, plan: Plan) -> Array:
    """Chance ``[B N+1]`` that leaf-first verification enters each node, the draws of its siblings integrated out."""
    return _downwards(drafted, plan.before)
