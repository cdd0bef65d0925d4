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
the weight of block verification, the capacity in use is ``weight = w m``, and a token wants ``weight p / q``. As much
as can be had at this row is taken; of the splits that take it the one is played that leaves later rows the most spread
scores. A choice that ties survivors together must keep the chances of what was chosen before; here a path that did not
use up its scores at one row uses them at a later one, all coins but those of the score are weighed in the mean, and the
cumulative ratio, not that of each row, is what is capped. We know of no published source. [block]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from otspec.core.errors import BadArgument
from otspec.core.laws import namespace
from otspec.core.tree import DraftTree
from otspec.transport.winner.laws import cumulative, ratio_order
from otspec.transport.winner.sorted_laws import on_host, ranks_of
from otspec.verifiers.block.chosen_path import Choice, Chosen, ChosenPath, equal_chains

Array = Any


class _Walked(NamedTuple):
    """What the rows along paths have fixed: shares of scores at the end, and the split of each row."""

    shares: np.ndarray  # [B J]
    kept: np.ndarray  # [B] mean number of tokens kept if this path were the rule's, weighed by its capacities
    knots: np.ndarray  # [B L n]
    slope: np.ndarray  # [B L n]


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

        chains = equal_chains(tree)
        if chains.shape[1] == 1:
            yield Choice(1.0, (0,), ())
            return
        chains, copies = np.unique(chains, axis=0, return_counts=True)
        rows = target[chains[:, :-1]], draft[chains[:, :-1]]
        walked = self._walk(*rows, tree.tokens[chains[:, 1:]], int(copies.sum()))
        laws = _laws(*rows, walked.knots, walked.slope)
        for nodes, chance, law in zip(chains, win_chances(walked.shares, copies), laws, strict=True):
            yield Choice(float(chance), tuple(nodes.tolist()), tuple(law))

    def _choose(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> Chosen:
        from otspec.transport.sampler.scores import score_cells

        xp = namespace(target_rows)
        target, draft, drafted, coins = map(_host, (target_rows, draft_rows, tokens, uniforms))
        walked = self._walk_all(target, draft, drafted)
        size, paths, length = drafted.shape
        edges, _ = score_cells(paths)
        shares = walked.shares.reshape(size, paths, -1)
        upto = np.cumsum(shares, axis=-1)
        coins = coins * upto[..., -1]
        cell = (upto <= coins[..., None]).sum(axis=-1)[..., None]
        share, below = (np.take_along_axis(part, cell, axis=-1)[..., 0] for part in (shares, upto - shares))
        cell = cell[..., 0]
        score = edges[cell] + np.clip((coins - below) / share, 0.0, 1.0) * (edges[cell + 1] - edges[cell])
        path = np.argmax(score, axis=-1)
        each = np.arange(size)
        laws = _laws(target[each, path, :length], draft[each, path], *(
            part.reshape(size, paths, length, -1)[each, path] for part in (walked.knots, walked.slope)))
        return Chosen(xp.asarray(path), xp.asarray(laws))

    def _expected_paths(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> Array:
        """Mean over the paths of what each keeps, weighed by its capacities: no coin is tossed."""
        target, draft, drafted = map(_host, (target_rows, draft_rows, tokens))
        kept = self._walk_all(target, draft, drafted).kept
        return namespace(target_rows).asarray(kept.reshape(drafted.shape[:2]).mean(axis=1))

    def _walk_all(self, target: np.ndarray, draft: np.ndarray, tokens: np.ndarray) -> _Walked:
        size, paths, length = tokens.shape
        flat = size * paths, length
        return self._walk(target[:, :, :length].reshape(*flat, -1), draft.reshape(*flat, -1), tokens.reshape(flat),
                          paths)

    @staticmethod
    def _walk(target: np.ndarray, draft: np.ndarray, tokens: np.ndarray, paths: int) -> _Walked:
        """Split scores along paths ``[B L]`` with rows ``[B L V]``, K of them being drawn."""
        from otspec.transport.sampler.scores import score_cells, split_scores

        edges, capacity = score_cells(paths)
        each = np.arange(len(tokens))
        shares, weight, kept = np.tile(np.diff(edges), (len(tokens), 1)), np.ones(len(tokens)), np.zeros(len(tokens))
        knots, slopes = [], []
        for depth in range(tokens.shape[1]):
            p, q, order, x = _sorted(target[:, depth], draft[:, depth])
            token, here = tokens[:, depth], np.zeros_like(x)
            np.cumsum(np.take_along_axis(np.where(q > 0, p, 0.0), order, axis=-1), axis=-1, out=here[:, 1:])
            split = split_scores(x, here, ranks_of(order)[each, token], weight, shares, capacity)
            kept += split.kept
            weight = np.minimum(weight * p[each, token] / q[each, token], split.capacity)
            shares = split.shares
            knots.append(split.knots)
            slopes.append(split.slope)
        return _Walked(shares, kept, np.stack(knots, axis=1), np.stack(slopes, axis=1))


def _sorted(target: np.ndarray, draft: np.ndarray) -> tuple[np.ndarray, ...]:
    """Laws ``[.. V]`` as float64, their order by target/draft, and the cumulative draft law in it."""
    p, q = (law / law.sum(axis=-1, keepdims=True) for law in (np.asarray(target, dtype=np.float64),
                                                              np.asarray(draft, dtype=np.float64)))
    order = ratio_order(p, q)
    return p, q, order, cumulative(np.take_along_axis(q, order, axis=-1))


def _laws(target: np.ndarray, draft: np.ndarray, knots: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Laws ``[.. V]`` of a chosen path's next tokens: the draft law times the capacity of each token's group."""
    _, q, order, _ = _sorted(target, draft)
    place = np.arange(q.shape[-1])
    groups = [np.searchsorted(at, place, side="right") - 1 for at in knots.reshape(-1, knots.shape[-1])]
    by_place = np.take_along_axis(slope, np.reshape(groups, q.shape), axis=-1)
    law = q * np.take_along_axis(by_place, ranks_of(order), axis=-1)
    return law / law.sum(axis=-1, keepdims=True)


def _host(array: Array) -> np.ndarray:
    if isinstance(array, np.ndarray):
        return array
    if not on_host(array) and getattr(array, "device", None) is not None and "cpu" not in str(array.device).lower():
        raise BadArgument(f"tokens: on {array.device}, but the scores are split by compiled code, which runs on the "
                          f"host. Fix: device='cpu', or lookahead_block.")
    return np.from_dlpack(array)
