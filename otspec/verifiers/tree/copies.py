"""Recursive rejection on batches of trees whose nodes merge independent copies.

Given the tree, every order of the draws at a node in which first appearances keep their order is equally likely. Such
an order is drawn as it is needed: after r copies that repeat a refused token and P copies of tokens not yet tried, the
next draw is a repeat with probability ``r / (r + P)``.

Fact: a refused token has no mass in any later goal, so a repeat is refused for certain and only takes another offer
away from the goal, which stays proportional to ``(p - c q)+``. [specinfer]
"""

from __future__ import annotations

from typing import Any

from otspec.core.drafted import DraftedTrees
from otspec.core.host import on_host
from otspec.core.laws import draw, namespace, positive_part
from otspec.core.rows import clipped_ratio, row_at
from otspec.verifiers.tree.refusals import LARGEST, masses_at

Array = Any


def walk_copies(drafted: DraftedTrees, target_rows: Array, draft_rows: Array, uniforms: Array, most: int, *,
                measure: bool = False) -> tuple[Array, Array, Array]:
    """Node and token ``[B]`` int64, and the mean number of draws kept ``[B]``, of no use unless it is measured.

    Parameters
    ----------
    drafted : DraftedTrees
    target_rows, draft_rows : [B N+1 V]
    uniforms : [B 2N+1]
        One for each node, one for the repeats after it, one for the token.
    most : int
        Largest number of draws at one node.
    measure : bool
        Sum the acceptance of every draw on the way, the drafted token integrated out; it costs one more pass where a
        draw is kept.
    """
    if on_host(target_rows):
        from otspec.verifiers.tree.copies_compiled import walk_copies_compiled

        xp = namespace(target_rows)
        return tuple(map(xp.asarray, walk_copies_compiled(drafted, target_rows, draft_rows, uniforms, measure)))
    return walk_copies_in_columns(drafted, target_rows, draft_rows, uniforms, most)


def walk_copies_in_columns(drafted: DraftedTrees, target_rows: Array, draft_rows: Array, uniforms: Array,
                           most: int) -> tuple[Array, Array, Array]:
    """`walk_copies` as whole-array operations, which always measure: ``N most`` passes over ``[B V]``."""
    xp = namespace(target_rows)
    walk = _Walk(xp, target_rows, draft_rows)
    unseen = xp.take_along_axis(drafted.draws, walk.node[:, None], axis=1)[:, 0]
    repeats, mean = xp.zeros_like(unseen), xp.zeros_like(walk.mass)
    for column in range(drafted.num_nodes):
        here = drafted.present[:, column] & (drafted.above[:, column] == walk.node)
        copies = xp.where(here, drafted.copies[:, column], xp.zeros_like(unseen))
        unseen, repeats = unseen - copies, xp.where(here, repeats + copies - 1, repeats)
        kept = here & (uniforms[:, column] < walk.ratio(drafted.tokens[:, column]))
        again = here & ~kept
        mean = mean + walk.refuse(again, here)
        alike = xp.ones_like(mean)
        for _ in range(most - 1):
            drawn = xp.astype(repeats + unseen, xp.float64)
            alike = alike * xp.astype(repeats, xp.float64) / xp.where(drawn > 0, drawn, xp.ones_like(drawn))
            again = again & (uniforms[:, drafted.num_nodes + column] < alike)
            repeats = xp.where(again, repeats - 1, repeats)
            mean = mean + walk.refuse(again, again)
        walk.enter(xp.full_like(walk.node, column + 1), kept)
        unseen = xp.where(kept, drafted.draws[:, column + 1], unseen)
        repeats = xp.where(kept, xp.zeros_like(repeats), repeats)
    return walk.node, draw(walk.goal(), uniforms[:, -1]), mean


class _Walk:
    """Node ``[B]`` that the walk has reached, and the goal ``(p - c q)+`` there."""

    def __init__(self, xp: Any, target_rows: Array, draft_rows: Array) -> None:
        self.xp, self.rows = xp, (target_rows, draft_rows)
        self.masses, self.offers = (xp.sum(rows, axis=-1, dtype=xp.float64) for rows in self.rows)
        self.node = xp.zeros(target_rows.shape[:1], dtype=xp.int64, device=target_rows.device)
        self.scale = xp.zeros_like(self.masses[:, 0])
        self.mass, self.offer = self.masses[:, 0], self.offers[:, 0]

    def ratio(self, token: Array) -> Array:
        """Chance to keep a child."""
        p, q = (masses_at(rows, self.node, token) for rows in self.rows)
        return clipped_ratio(positive_part(p - self.scale * q) * self.offer, q * self.mass)

    def refuse(self, refused: Array, tried: Array) -> Array:
        """Take one offer from the goal where refused; returns the chance that the draw was kept where tried."""
        xp, never = self.xp, self.xp.ones_like(self.mass)
        later = xp.minimum(self.scale + self.mass / xp.where(self.offer > 0, self.offer, never), LARGEST * never)
        rest = xp.sum(self._numerator(later), axis=-1)
        some = refused & (rest > 0)
        kept = positive_part(1.0 - rest / xp.where(self.mass > 0, self.mass, never))
        self.scale, self.mass = xp.where(some, later, self.scale), xp.where(some, rest, self.mass)
        return xp.where(tried, kept, xp.zeros_like(kept))

    def enter(self, node: Array, moved: Array) -> None:
        """Go on at a child where kept."""
        xp = self.xp
        self.node = xp.where(moved, node, self.node)
        self.scale = xp.where(moved, xp.zeros_like(self.scale), self.scale)
        fresh = (xp.take_along_axis(part, self.node[:, None], axis=1)[:, 0] for part in (self.masses, self.offers))
        self.mass, self.offer = (xp.where(moved, new, old)
                                 for new, old in zip(fresh, (self.mass, self.offer), strict=True))

    def goal(self) -> Array:
        """Weights ``[B V]`` of the token emitted where the walk ends."""
        return self._numerator(self.scale)

    def _numerator(self, scale: Array) -> Array:
        xp = self.xp
        p, q = (xp.astype(row_at(rows, self.node), xp.float64, copy=False) for rows in self.rows)
        # draft rows of leaves are not read: they may hold anything
        return xp.where(scale[:, None] > 0, positive_part(p - scale[:, None] * q), p)



__all__ = ["walk_copies", "walk_copies_in_columns"]
