"""What refused children leave of the laws of their parent: one number per node in place of a row per node.

A node is entered with weight a, target p and draft law q. Its children are tried in drawing order against the *goal*
g = p and the *offer* l = q; a refusal leaves ``g <- (a g - l)+ / S``, S its mass, and l without the child's token.

Fact: on the tokens that are still offered the goal stays proportional to ``(p - c q)+`` for one number c, and on a
token that has been refused to what was left of it at its refusal. With Z the mass of that numerator and Q that of the
offer a refusal adds ``Z / (a Q)`` to c, and ``S = a Z' / Z``. So no row is ever written: a refusal is one pass over
the rows of the parent, and the columns of a batch are prepared one after the other whatever the shape of its trees.

`TRAVERSAL` enters a child with weight ``min(1, a g / l)`` and goes on with ``S / (S + 1 - a)`` [traversal]; `REJECTION`
has weight one everywhere, and that ratio is the chance to keep the child. [sequoia]
"""

from __future__ import annotations

from typing import Any, NamedTuple

from array_api_compat import is_numpy_array, is_torch_array

from otspec.core.drafted import DraftedTrees, replaced
from otspec.core.laws import namespace, one_hot, positive_part
from otspec.core.rows import clipped_ratio, row_at

Array = Any
TRAVERSAL, REJECTION = True, False
LARGEST = 1e300  # of c: an infinite one would make NaN of tokens that the draft cannot draw


class Refusals(NamedTuple):
    """The laws after all children have been refused, float64; N columns of trees, N + 1 nodes."""

    ratio: Array  # [B N] min(1, a g / l) of each child as it is tried: its weight, or its chance to be kept
    passed: Array  # [B N] sum of min(a g, l): the mean of that ratio over the child's token
    weight: Array  # [B N+1] a of each node
    scale: Array  # [B N+1] c of each node
    mass: Array  # [B N+1] Z of each node
    left: Array  # [B N] numerator left at each child's token


def cleared(rows: Array, tokens: Array) -> Array:
    """Rows ``[B V]`` with zeros at ``tokens`` ``[B m]``, where -1 stands for no token; the rows may be overwritten."""
    return written(rows, tokens, None)


def written(rows: Array, tokens: Array, values: Array | None) -> Array:
    """Rows ``[B V]`` with ``values`` ``[B m]`` (None: zeros) at distinct ``tokens`` ``[B m]``, -1 for none of them.

    The rows may be overwritten.
    """
    xp = namespace(rows)
    if tokens.shape[1] == 0:
        return rows
    if values is None:
        values = xp.zeros(tokens.shape, dtype=rows.dtype, device=rows.device)
    if not (is_numpy_array(rows) or is_torch_array(rows)):
        for column in range(tokens.shape[1]):
            hit = one_hot(tokens[:, column], rows.shape[-1], rows.dtype, xp) > 0
            rows = xp.where(hit, values[:, column, None], rows)
        return rows
    # a place without a token repeats the largest one; without any it writes back what it finds at token 0
    fill = xp.max(tokens, axis=-1, keepdims=True)
    none = fill < 0
    last = xp.argmax(tokens, axis=-1)[:, None]
    spare = xp.where(none, rows[:, :1], xp.take_along_axis(values, last, axis=-1))
    places = xp.where(tokens < 0, xp.where(none, xp.zeros_like(fill), fill), tokens)
    values = xp.where(tokens < 0, spare, values)
    if is_numpy_array(rows):
        rows[xp.arange(len(rows))[:, None], places] = values
        return rows
    return rows.scatter_(1, xp.astype(places, xp.int64), values)


def masses_at(rows: Array, node: Array, tokens: Array) -> Array:
    """Masses ``[B]`` float64 of tokens ``[B]`` in row ``node`` ``[B]`` of ``[B N+1 V]``; token -1 reads token 0."""
    xp = namespace(rows)
    size = rows.shape[-1]
    safe = xp.astype(xp.where(tokens >= 0, tokens, xp.zeros_like(tokens)), xp.int64)
    first = xp.arange(rows.shape[0], dtype=xp.int64, device=rows.device) * rows.shape[1]
    return xp.astype(xp.take(xp.reshape(rows, (-1,)), (first + node) * size + safe), xp.float64)


def siblings(drafted: DraftedTrees, column: int) -> Array:
    """Tokens ``[B column+1]`` of the children drawn after the same node up to a column; -1 for other nodes."""
    xp = namespace(drafted.tokens)
    tokens = drafted.tokens[:, : column + 1]
    same = drafted.above[:, : column + 1] == drafted.above[:, column, None]
    return xp.where(same & drafted.present[:, column, None], tokens, -xp.ones_like(tokens))


def refuse_all(drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None, weighted: bool) -> Refusals:
    """Refuse every child of every node, column by column, as whole-array operations; no step waits for a device.

    Parameters
    ----------
    drafted : DraftedTrees
    target_rows, draft_rows : [B N+1 V]
        None for the draft rows of deterministic trees, which have none.
    weighted : bool
        `TRAVERSAL` or `REJECTION`.
    """
    state = _State(drafted, target_rows, draft_rows, weighted)
    columns = [state.refuse(column) for column in range(drafted.num_nodes)]
    xp, nodes = state.xp, state.nodes
    ratio, passed, left = (xp.stack(part, axis=-1) for part in zip(*columns, strict=True)) if columns \
        else [nodes["weight"][:, :0]] * 3
    return Refusals(ratio, passed, nodes["weight"], nodes["scale"], nodes["mass"], left)


class _State:
    """Numbers ``[B N+1]`` of every node while its children are refused one after the other."""

    def __init__(self, drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None, weighted: bool) -> None:
        self.xp = xp = namespace(target_rows)
        self.drafted, self.rows, self.weighted = drafted, (target_rows, draft_rows), weighted
        mass = xp.sum(target_rows, axis=-1, dtype=xp.float64)
        one, none = xp.ones_like(mass), xp.zeros_like(mass)
        offer = one if draft_rows is None else xp.sum(draft_rows, axis=-1, dtype=xp.float64)
        # a, c, Z and Q of the laws; and the numerator at the tokens that have been refused
        self.nodes = {"weight": one, "scale": none, "mass": mass, "offer": offer, "kept": none}
        self.number = xp.arange(mass.shape[1], dtype=xp.int64, device=mass.device)

    def refuse(self, column: int) -> tuple[Array, Array, Array]:
        """Refuse the child in a column: its ratio, the mean of that, and the numerator left at its token, ``[B]``."""
        xp, drafted = self.xp, self.drafted
        node, token, here = drafted.above[:, column], drafted.tokens[:, column], drafted.present[:, column]
        a, c, z, q_mass, kept = (xp.take_along_axis(part, node[:, None], axis=1)[:, 0] for part in self.nodes.values())
        p_x, q_x, offered, later = self._offer(node, token, a, c, z, q_mass)
        ratio = clipped_ratio(a * positive_part(p_x - c * q_x) / _safe(xp, z), offered)
        rest_x = positive_part(p_x - later * q_x) if self.rows[1] is not None else xp.zeros_like(p_x)
        rest, q_left = _pass(xp, *self.rows, node, later, siblings(drafted, column))
        rest = rest + kept + rest_x
        some = (rest > 0) & (a > 0)
        excess = xp.where(some, a * rest / _safe(xp, z), xp.zeros_like(rest))
        left = xp.where(some, rest_x, positive_part(p_x - c * q_x))
        new = {"weight": _later_weight(xp, a, excess) if self.weighted else a, "scale": xp.where(some, later, c),
               "mass": xp.where(some, rest, z), "offer": q_left, "kept": kept + left}
        place = (self.number == node[:, None]) & here[:, None]
        self.nodes = {name: xp.where(place, new[name][:, None], part) for name, part in self.nodes.items()}
        none = xp.zeros_like(ratio)
        ratio, passed, left = (xp.where(here, part, none) for part in (ratio, positive_part(a - excess), left))
        if self.weighted:
            self.nodes["weight"] = replaced(xp, self.nodes["weight"], column + 1, ratio)
        return ratio, passed, left

    def _offer(self, node: Array, token: Array, a: Array, c: Array, z: Array, q_mass: Array) -> tuple[Array, ...]:
        """Masses of a token in both laws, its chance under the offer, and c after its refusal."""
        xp, (target_rows, draft_rows) = self.xp, self.rows
        p_x = masses_at(target_rows, node, token)
        if draft_rows is None:  # chosen without chance: a one-hot law, of which a refusal leaves nothing
            return p_x, xp.zeros_like(p_x), xp.ones_like(p_x), c
        q_x = masses_at(draft_rows, node, token)
        later = xp.minimum(c + z / _safe(xp, a * q_mass), xp.full_like(c, LARGEST))
        return p_x, q_x, q_x / _safe(xp, q_mass), later


def _later_weight(xp: Any, weight: Array, excess: Array) -> Array:
    room = excess + (1.0 - weight)  # added in this order, no digit of a small excess is lost
    # weight 1 and nothing left: the child could not be refused, so any weight may stand there
    return xp.where(room > 0, excess / _safe(xp, room), xp.ones_like(room))


def _pass(xp: Any, target_rows: Array, draft_rows: Array | None, node: Array, scale: Array,
          refused: Array) -> tuple[Array, Array]:
    """Masses ``[B]`` of ``(p - c q)+`` and of q on the tokens that have not been refused."""
    p = cleared(xp.astype(row_at(target_rows, node), xp.float64, copy=False), refused)
    if draft_rows is None:
        return xp.sum(p, axis=-1), xp.ones_like(scale)
    q = cleared(xp.astype(row_at(draft_rows, node), xp.float64, copy=False), refused)
    return xp.sum(xp.clip(p - scale[:, None] * q, min=0.0), axis=-1), xp.sum(q, axis=-1)


def _safe(xp: Any, values: Array) -> Array:
    """Denominators ``[B]``; those that are zero belong to quotients that are never used."""
    return xp.where(values > 0, values, xp.ones_like(values))


def goal(drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None, node: Array,
         refusals: Refusals) -> Array:
    """Weights ``[B V]`` float64 of the token emitted after one node per row, all children refused."""
    xp = namespace(target_rows)
    p = xp.astype(row_at(target_rows, node), xp.float64, copy=False)
    scale = xp.take_along_axis(refusals.scale, node[:, None], axis=1)
    if draft_rows is not None:
        q = xp.astype(row_at(draft_rows, node), xp.float64, copy=False)
        # rows of leaves are not read: they may hold anything
        p = xp.where(scale > 0, positive_part(p - scale * q), p)
    below = drafted.present & (drafted.above == node[:, None])
    return written(p, xp.where(below, drafted.tokens, -xp.ones_like(drafted.tokens)), refusals.left)
