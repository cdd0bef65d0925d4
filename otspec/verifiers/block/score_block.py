r"""Scores and block: every path draws a score from laws that its own rows fix, the highest wins, its path is verified.

The score of a path is a number in [0, 1]. It is known more and more closely along the path: at the root its law is
uniform, and a row u splits the law of its prefix among the tokens, :math:`\sum_y q(y|u)\,\nu_{uy} = \nu_u`. At the end
each path draws its score from the law at its last token, and the path of the highest of K scores is verified as a
block. Nothing else is asked of the paths: none needs to know of another one.

Theorem: the chosen path has the law ``D(u) = Q(u) m(u)`` with :math:`m(u) = \int K s^{K-1} \nu_u(\mathrm{d}s)`, so its
next token has the law ``L(y) = q(y|u) m(uy) / m(u)``, known from the rows above it, and the text has the target's law.
Conversely every law D of a path picked among K arises so, that of the best stateless rule included.

*Proof.* Averaged over the tokens of a path its score is uniform, whatever the rows, and the scores of independent paths
are independent; a score s is the highest with chance :math:`s^{K-1}`, and any of the K paths may be u. The laws
split at u depend on the rows on the way to u alone, so L is the law of the next token given the path so far:
`ChosenPath`. Conversely D is a winner law of Q with K draws, which says that D/Q lies below :math:`K U^{K-1}` in the
convex order; so U has a conditional law given the path under which the mean of :math:`K U^{K-1}` is D/Q (Strassen), and
its means given the first tokens are the laws to split. ∎

How a row splits (`otspec.transport.sampler.scores`) decides how much is kept, never whether the text is right. With w
the weight of block verification, the capacity in use is ``weight = w m``, and a token wants ``weight p / q``: the
cumulative ratio is what is capped. As much as can be had at this row is taken, and of the splits that take it the one
is played that leaves the scores most spread: what one row did not need, later rows use. Look-ahead must make choices
among survivors that ignore whose they are, with coins that are tossed before the weights; here all coins but the
scores are weighed in the mean. With one path the rule is block verification; with one position it is the optimum of the
transport problem but for the cells of the scores, .0003 with three paths. Mean gap to the best stateless rule on the
seven sets of small models of ``tests.bench.paths``: .2 %, look-ahead .8 %. We know of no published source. [block]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from otspec.core.host import on_host
from otspec.core.laws import cumulative_sum, namespace, take
from otspec.core.rows import row_at
from otspec.core.tree import DraftTree
from otspec.transport.winner.laws import cumulative, ratio_order
from otspec.transport.winner.sorted_laws import ranks_of
from otspec.verifiers.block.chosen_path import Choice, Chosen, ChosenPath, equal_chains

Array = Any


class _Walked(NamedTuple):
    """What the rows along paths have fixed: shares of scores at the end, and the split of each row."""

    shares: Array  # [B J]
    kept: Array  # [B] sum over the rows of the capacity that their tokens use, weighed by the draft law
    knots: Array  # [B L n]
    slope: Array  # [B L n]


class ScoreBlock(ChosenPath):
    """Independent scores of the paths, the highest wins, then block verification.

    Parameters
    ----------
    scheme : WithReplacement or int

    Examples
    --------
    >>> ScoreBlock(2).expected_accepted(DraftTree.from_paths([[0], [1]]), [[0.0, 1.0]] * 3, [[0.5, 0.5]] * 3)
    1.0
    """

    trees = ("paths",)

    def num_choice_uniforms(self, draft_length: int) -> int:
        """One for the score of each path."""
        return self.scheme.num_drafts

    def _choices(self, tree: DraftTree, target: np.ndarray, draft: np.ndarray) -> Iterator[Choice]:
        from otspec.transport.sampler.scores import win_chances

        chains, copies = np.unique(equal_chains(tree), axis=0, return_counts=True)
        if chains.shape[1] == 1:
            yield Choice(1.0, (0,), ())
            return
        rows = target[chains[:, :-1]], draft[chains[:, :-1]]
        walked = _walk(*rows, tree.tokens[chains[:, 1:]], int(copies.sum()))
        laws = _laws(*rows, walked.knots, walked.slope)
        for nodes, chance, law in zip(chains, win_chances(walked.shares, copies), laws, strict=True):
            yield Choice(float(chance), tuple(nodes.tolist()), tuple(law))

    def _choose(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> Chosen:
        given = namespace(target_rows)
        target, draft, drafted, coins = _in_place(target_rows, draft_rows, tokens, uniforms)
        xp = namespace(target)
        size, paths, length = drafted.shape
        walked = _walk_all(target, draft, drafted)
        path = xp.argmax(_scores(xp.reshape(walked.shares, (size, paths, -1)), coins), axis=-1)

        def of_path(rows: Array) -> Array:
            """Rows ``[B L n]`` of the chosen paths, of ``[B K L' n]`` or of all paths one after the other."""
            each = xp.reshape(rows, (size, paths, -1, rows.shape[-1]))
            flat = row_at(xp.reshape(each, (size, paths, -1)), path)
            return xp.reshape(flat, (size, -1, rows.shape[-1]))[:, :length, :]

        laws = _laws(*map(of_path, (target, draft, walked.knots, walked.slope)))
        return Chosen(given.asarray(path), given.asarray(laws))

    def _expected_paths(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> Array:
        """Mean over the paths of ``sum_d E_q[weight_d]``, whose mean over drafted paths is that of the tokens kept."""
        target, draft, drafted = _in_place(target_rows, draft_rows, tokens)
        kept = namespace(target).reshape(_walk_all(target, draft, drafted).kept, drafted.shape[:2])
        return namespace(target_rows).asarray(namespace(target).mean(kept, axis=1))


def _in_place(*arrays: Array) -> tuple[Array, ...]:
    """Arrays that compiled code can read as NumPy arrays, others as they are."""
    return tuple(np.asarray(array) for array in arrays) if on_host(arrays[0]) else arrays


def _walk_all(target: Array, draft: Array, tokens: Array) -> _Walked:
    """Walk along ``[B K L]`` paths, one after the other in the result."""
    xp = namespace(target)
    size, paths, length = tokens.shape
    flat = size * paths, length
    target, draft = (xp.reshape(rows[:, :, :length, :], (*flat, -1)) for rows in (target, draft))
    return _walk(target, draft, xp.reshape(tokens, flat), paths)


def _walk(target: Array, draft: Array, tokens: Array, paths: int) -> _Walked:
    """Split scores along paths ``[B L]`` with rows ``[B L V]``, K of them being drawn."""
    from otspec.transport.sampler.scores import score_cells, split_scores

    xp = namespace(target)
    edges, capacity = (xp.asarray(part, device=tokens.device) for part in score_cells(paths))
    weight = xp.ones(tokens.shape[:1], dtype=xp.float64, device=tokens.device)
    shares = xp.broadcast_to(edges[1:] - edges[:-1], (tokens.shape[0], capacity.shape[0])) * weight[:, None]
    kept, knots, slopes = xp.zeros_like(weight), [], []
    for depth in range(tokens.shape[1]):
        p, q, order, x = _sorted(target[:, depth, :], draft[:, depth, :])
        known = xp.where(q > 0, p, xp.zeros_like(p))
        upto = xp.concat([xp.zeros_like(x[:, :1]), cumulative_sum(take(known, order))], axis=-1)
        token = tokens[:, depth, None]
        rank = take(ranks_of(order), token)[:, 0]
        split = split_scores(x, upto, rank, weight, shares, capacity)
        weight = xp.minimum(weight * (take(p, token) / take(q, token))[:, 0], split.capacity)
        kept, shares = kept + split.kept, split.shares
        knots.append(split.knots)
        slopes.append(split.slope)
    return _Walked(shares, kept, xp.stack(knots, axis=1), xp.stack(slopes, axis=1))


def _sorted(target: Array, draft: Array) -> tuple[Array, ...]:
    """Laws ``[.. V]`` as float64, their order by target/draft, and the cumulative draft law in it."""
    xp = namespace(target, draft)
    p, q = (xp.astype(law, xp.float64) for law in (target, draft))
    p, q = (law / xp.sum(law, axis=-1, keepdims=True) for law in (p, q))
    order = ratio_order(p, q)
    return p, q, order, cumulative(take(q, order))


def _laws(target: Array, draft: Array, knots: Array, slope: Array) -> Array:
    """Laws ``[B L V]`` of the next tokens: the draft law times the capacity of the group of each token."""
    from otspec.transport.sampler.scores import group_of

    xp = namespace(target)
    _, q, order, _ = _sorted(target, draft)
    groups = group_of(xp.reshape(knots, (-1, knots.shape[-1])), q.shape[-1])
    by_place = take(slope, xp.reshape(groups, q.shape))
    law = q * take(by_place, ranks_of(order))
    return law / xp.sum(law, axis=-1, keepdims=True)


def _scores(shares: Array, coins: Array) -> Array:
    """Score ``[B K]`` of each path, drawn from its shares ``[B K J]`` by a coin."""
    from otspec.transport.sampler.scores import score_cells

    xp = namespace(shares)
    edges = xp.asarray(score_cells(shares.shape[1])[0], device=shares.device)
    upto = cumulative_sum(shares)
    # a coin below the last sum lies in a cell that has a share
    coins = xp.astype(coins, xp.float64)[..., None] * upto[..., -1:]
    cell = xp.sum(xp.astype(upto <= coins, xp.int64), axis=-1, keepdims=True)
    share, above = take(shares, cell), take(upto, cell)
    low, high = (take(xp.broadcast_to(side, shares.shape), cell) for side in (edges[:-1], edges[1:]))
    return (high - (above - coins) / share * (high - low))[..., 0]
