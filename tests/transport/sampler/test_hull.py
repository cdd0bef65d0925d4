"""The hull sampler against enumeration: every draft list, every cell interval, every branch of the race."""

import itertools
import math

import numpy as np
import pytest

from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.transport.sampler.hull import (
    cell_intervals,
    lower_hull,
    merge_tree,
    winner_conditional_race,
    winner_conditional_replacement,
    winning_cell,
)
from otspec.transport.sampler.pick import pick_race, pick_replacement
from otspec.transport.sampler.pick_parallel import pick_marked, pick_race_parallel
from otspec.transport.winner.laws import (
    cumulative,
    minimal_law,
    ratio_order,
    remaining,
    replacement_capacity,
    universal_law,
)
from otspec.transport.without_replacement.race import race_increments

EXACT = 1e-13  # a few thousand list probabilities, each with a dozen roundings


def instances(sizes, seed=21):
    """Laws with every corner: zeros, ties, one dominant token, nine and sixty decades, equal laws, one-hot."""
    rng = np.random.default_rng(seed)
    for size in sizes:
        yield rng.dirichlet(np.ones(size)), rng.dirichlet(np.ones(size))
        p, q = rng.dirichlet(np.ones(size)), rng.dirichlet(np.ones(size))
        p[0], q[-1] = 0.0, 0.0
        yield p / p.sum(), q / q.sum()
        p, q = rng.integers(1, 3, size).astype(float), rng.integers(1, 3, size).astype(float)
        yield p / p.sum(), q / q.sum()
        q = rng.uniform(1, 5, size) * 1e-9
        q[size // 2] = 1.0
        yield rng.dirichlet(np.ones(size)), q / q.sum()
        q = 10.0 ** -np.linspace(0, 9, size)
        yield rng.permutation(q) / q.sum(), q / q.sum()
        p = rng.dirichlet(np.ones(size))
        yield p, p
        yield np.eye(size)[0], rng.dirichlet(np.ones(size))
        q = rng.permutation(10.0 ** -np.linspace(0, 60, size))
        yield rng.dirichlet(np.ones(size)), q / q.sum()


def curves(target, draft, k, *, replacement, kind=universal_law):
    order = ratio_order(target, draft)
    p, q = target[order], draft[order]
    c = replacement_capacity(q, k) if replacement else cumulative(race_increments(q, k))
    law = kind(p, c)
    return q, law, cumulative(q), cumulative(law), c


def drawn_slots(q, x, F, c, ranks, t, uniforms, *, replacement):
    """Winning slots [n] of drafts [n k] by the compiled pick, and by whole arrays the same ones."""
    n = len(t)
    ranks = np.ascontiguousarray(np.broadcast_to(ranks, (n, np.shape(ranks)[-1])), dtype=np.int64)
    low, high = winning_cell(x, F, c, t, ranks.max(axis=-1), above=remaining(q))
    slots = np.empty(n, dtype=np.int64)
    if replacement:
        pick_replacement(low, ranks, np.ascontiguousarray(uniforms[:, -1]), slots)
        same = pick_marked(ranks >= low[:, None], uniforms[:, -1])
    else:
        laws = np.ascontiguousarray(np.broadcast_to(q, (n, q.shape[-1])))
        pick_race(laws, low, high, ranks, uniforms, slots)
        same = pick_race_parallel(laws, low, high, ranks, uniforms)
    assert np.array_equal(slots, same)
    return slots


def list_probability(draft, tokens):
    chance, left = 1.0, np.ones(draft.size, dtype=bool)
    for token in tokens:
        chance *= draft[token] / draft[left].sum()
        left[token] = False
    return chance


def race_branches(draft, below, beyond, out, k):
    """Yield (r, probability) for every course of the race continued outside the cell."""
    free = [i for i in below if i not in out and draft[i] > 0]
    total = math.fsum([draft[i] for i in free] + [draft[i] for i in beyond])
    if len(out) >= k - 1 or total == 0:
        yield len(out), 1.0
        return
    for i in beyond:
        if draft[i] > 0:
            yield len(out), draft[i] / total
    for i in free:
        for r, chance in race_branches(draft, below, beyond, [*out, i], k):
            yield r, chance * draft[i] / total


def walked_odds(draft, a, b, ranks):
    """Winner odds of every slot in the cell [a, b), branch by branch, Z by Z."""
    k, odds = len(ranks), np.zeros(len(ranks))
    mine = [slot for slot in range(k) if ranks[slot] >= a]
    out = [r for r in ranks if r < a]
    for r, chance in race_branches(draft, range(a), range(b, draft.size), out, k):
        m = max(1, k - r)
        early = {ranks[slot]: slot for slot in mine[: m - 1]}
        for z in range(a, b):
            odds[early.get(z, mine[m - 1])] += chance * draft[z] / draft[a:b].sum()
    return odds


@pytest.mark.parametrize("kind", [universal_law, minimal_law])
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_winner_has_its_law_with_replacement(k, kind):
    for target, draft in instances((2, 3, 5) if k > 3 else (2, 3, 5, 6)):
        q, law, x, F, c = curves(target, draft, k, replacement=True, kind=kind)
        got = np.zeros(q.size)
        for multiset in itertools.combinations_with_replacement(np.flatnonzero(q), k):
            ways = math.factorial(k) / math.prod(math.factorial(multiset.count(i)) for i in set(multiset))
            odds = winner_conditional_replacement(x, F, c, np.array(multiset))
            np.add.at(got, list(multiset), ways * math.prod(q[list(multiset)]) * odds)
        assert got == pytest.approx(law, abs=EXACT)


@pytest.mark.parametrize("kind", [universal_law, minimal_law])
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_winner_has_its_law_without_replacement(k, kind):
    for target, draft in instances((2, 3, 4, 5) if k > 3 else (2, 3, 5, 6)):
        q, law, x, F, c = curves(target, draft, k, replacement=False, kind=kind)
        above, got = remaining(q), np.zeros(q.size)
        intervals = cell_intervals(x, F, c, above=above)
        support = np.flatnonzero(q)
        for ranks in itertools.permutations(support.tolist(), min(k, support.size)):
            odds = np.zeros(len(ranks))
            for start, stop, cells in intervals:
                place = np.searchsorted(cells, max(ranks), side="right")
                odds += (stop - start) * walked_odds(q, cells[place - 1], cells[place], ranks)
            assert winner_conditional_race(q, x, F, c, np.array(ranks)) == pytest.approx(odds, abs=EXACT)
            np.add.at(got, list(ranks), list_probability(q, ranks) * odds)
        assert got == pytest.approx(law, abs=EXACT)


def test_first_draft_in_the_cell_would_be_biased():
    """The enumeration must see the error of leaving the continued race out."""
    draft = np.array([0.05, 0.15, 0.20, 0.25, 0.35])
    target = np.array([0.30, 0.25, 0.20, 0.15, 0.10])
    q, law, x, F, c = curves(target, draft, 2, replacement=False)
    got = np.zeros(5)
    for ranks in itertools.permutations(range(5), 2):
        for start, stop, cells in cell_intervals(x, F, c):
            a = cells[np.searchsorted(cells, max(ranks), side="right") - 1]
            first = next(rank for rank in ranks if rank >= a)
            got[first] += (stop - start) * list_probability(q, ranks)
    assert np.abs(got - law).sum() / 2 > 1e-3


@pytest.mark.parametrize("replacement", [True, False])
def test_cells_agree_with_the_full_hull_and_the_single_edge(replacement):
    for target, draft in instances((5, 12, 40), seed=5):
        q, _, x, F, c = curves(target, draft, 3, replacement=replacement)
        if np.any(np.diff(x)[q > 0] == 0):  # x alone is too coarse for the interpolation used below
            continue
        above = remaining(q)
        intervals = cell_intervals(x, F, c, above=above)
        assert intervals[0][0] == 0
        assert intervals[-1][1] == 1
        for (start, stop, cells), following in zip(intervals, [*intervals[1:], None], strict=True):
            if following is not None:
                assert stop == following[0]
                assert set(following[2]) < set(cells)
            if stop - start < 1e-9:  # the midpoint is as close to a tie as the slopes' rounding
                continue
            t = (start + stop) / 2
            level = F - t * c
            hull = lower_hull(x, level, above=above)
            on_cells = np.interp(x, x[cells], level[cells])
            on_hull = np.interp(x, x[hull], level[hull])
            assert on_cells == pytest.approx(on_hull, abs=1e-15)  # the same curve to one rounding
            for rank in np.flatnonzero(q):
                a, b = winning_cell(x, F, c, t, rank, above=above)
                assert a <= rank < b
                edge = np.interp(x[rank : rank + 2], x[[a, b]], level[[a, b]])
                assert edge == pytest.approx(on_hull[rank : rank + 2], abs=1e-15)  # one rounding


def test_breakpoints_are_exact():
    x, c = np.array([0, 0.25, 0.5, 1.0]), np.array([0, 0.0625, 0.25, 1.0])
    F = np.array([0, 0.125, 0.375, 1.0])
    # slopes of F: 1/2, 1, 5/4; of c: 1/4, 3/4, 3/2. The last two meet first: (1/4)/(3/4); then the
    # first meets the joint one (slopes 7/6 and 5/4): (2/3)/(1)
    death = merge_tree(x, F, c)
    assert death[1:3] == pytest.approx([2 / 3, 1 / 3], abs=1e-15)  # one rounding each


def test_knots_without_width_beside_them_are_gone_from_the_start():
    x, c = np.array([0, 0, 0.5, 0.5, 1.0, 1.0]), np.array([0, 0, 0.25, 0.25, 1.0, 1.0])
    F = np.array([0, 0, 0.375, 0.375, 1.0, 1.0])
    assert merge_tree(x, F, c).tolist() == [np.inf, 0.0, 0.5, 0.0, 0.0, np.inf]
    assert [cells.tolist() for *_, cells in cell_intervals(x, F, c)] == [[0, 2, 5], [0, 5]]


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("replacement", [True, False])
def test_draws_follow_the_conditional(replacement, k):
    rng = np.random.default_rng(17)
    n = 40_000
    for target, draft in instances((6,), seed=8):
        q, _, x, F, c = curves(target, draft, k, replacement=replacement)
        size = k if replacement else min(k, np.count_nonzero(q))
        ranks = rng.choice(6, size, replace=replacement, p=q)
        many = np.broadcast_to(ranks, (n, size))
        t = (np.arange(n) + 0.5) / n
        want = winner_conditional_replacement(x, F, c, ranks) if replacement else \
            winner_conditional_race(q, x, F, c, ranks)
        slots = drawn_slots(q, x, F, c, many, t, rng.random((n, k)), replacement=replacement)
        share = np.bincount(slots, minlength=size) / n
        sigma = np.sqrt(want * (1 - want) / n) + 1 / n
        assert np.all(np.abs(share - want) < 5 * sigma)  # five standard errors of n draws


def test_absent_drafts_are_skipped():
    x = np.array([0.0, 0.5, 1.0, 1.0])
    c = np.array([0.0, 0.0, 1.0, 1.0])
    law = np.array([0.5, 0.5, 0.0])
    for t in (0.2, 0.9):
        coins = np.full((1, 3), 0.4)
        for ranks in ([0, 1, -1], [1, 0, -1]):
            for count in (3, 2):  # with and without the absent draft
                slots = drawn_slots(law, x, x, c, ranks[:count], [t], coins[:, -count:], replacement=False)
                assert slots == drawn_slots(law, x, x, c, ranks, [t], coins, replacement=False)
    assert drawn_slots(law, x, x, x**2, [-1, 0, -1], [0.5], np.array([[0.99]]), replacement=True) == 1


@pytest.mark.parametrize("replacement", [True, False])
def test_low_temperature_does_not_hang(replacement):
    rng = np.random.default_rng(1)
    logits = rng.normal(size=2048) * 40
    draft = np.exp((logits - logits.max()) / 0.2)
    draft /= draft.sum()
    target = rng.dirichlet(np.ones(2048))
    q, _, x, F, c = curves(target, draft, 4, replacement=replacement)
    assert np.count_nonzero(np.diff(x) == 0) > 1000
    ranks = np.flatnonzero(q)
    for t in (0.0, 0.3, 0.999):
        a, b = winning_cell(x, F, c, np.full(ranks.size, t), ranks, above=remaining(q))
        assert np.all((a <= ranks) & (ranks < b))
    a, b = winning_cell(x, F, c, np.full(2048, 0.3), np.arange(2048))
    assert np.all((a <= np.arange(2048)) & (np.arange(2048) < b))


def test_batched_curves_equal_their_rows():
    rng = np.random.default_rng(2)
    laws = rng.dirichlet(np.ones(20), (5, 2))
    rows = [curves(target, draft, 3, replacement=False) for target, draft in laws]
    q, _, x, F, c = (np.stack(parts) for parts in zip(*rows, strict=True))
    ranks = rng.permuted(np.tile(np.arange(20), (5, 1)), axis=1)[:, :3]
    t, u = rng.random(5), rng.random((5, 3))
    whole = drawn_slots(q, x, F, c, ranks, t, u, replacement=False)
    for i in range(5):
        one = slice(i, i + 1)
        assert whole[i] == drawn_slots(q[i], x[i], F[i], c[i], ranks[i], t[one], u[one], replacement=False)


def test_bad_shapes_and_ranks_are_named():
    x = np.array([0.0, 0.5, 1.0])
    for rank in (-1, 2, [0, 2], [-1, 1]):
        with pytest.raises(BadArgument, match=f"rank runs from {np.min(rank)} to {np.max(rank)}; .* from 0 to 1"):
            winning_cell(x, x, x**2, 0.5, rank)
    with pytest.raises(ShapeMismatch, match="x has 2 rows for 3 draws"):
        winning_cell(np.stack([x, x]), x, x**2, np.full(3, 0.5), 0)
