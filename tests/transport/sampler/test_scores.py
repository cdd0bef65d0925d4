"""Both forms of a row's split of its scores, in every field, on rows with zeros, ties, few tokens and few knots."""

import array_api_strict
import numpy as np
import pytest
import torch

from otspec.transport.sampler.scores import group_of, score_cells, split_scores, win_chances
from otspec.transport.winner.laws import ratio_order

EXACT = 1e-12  # sums of a few dozen products of a dozen factors


def hard_rows(rng, size):
    """Cumulative laws of draft and target ``[B V+1]`` in the order of their ratio, once for each drafted token."""
    place = np.arange(size)
    target, draft = rng.dirichlet(np.full(size, 0.7), (2, 9))
    draft[1] = np.where(place % 2 == 0, draft[1], 0.0)
    target[2] = np.where(place % 3 == 0, target[2], 0.0)
    target[0] = draft[0]
    target[4] = draft[4] * np.maximum(rng.integers(0, 3, size), place == 0)
    target[5] = 1.0
    draft[6] = np.where(place == size // 2, 1.0, 1e-3 * draft[6])
    draft[7] = target[8] = place == 0
    draft[3, 1::2] *= 1e-20  # too little for the sums to grow
    target[3, 1::2] *= 1e-20
    target, draft = (law / law.sum(axis=-1, keepdims=True) for law in (target, draft))
    order = ratio_order(target, draft)
    drafted = np.take_along_axis(draft, order, axis=-1)
    wanted = np.take_along_axis(np.where(draft > 0, target, 0.0), order, axis=-1)
    x, upto = (np.cumsum(np.pad(law, ((0, 0), (1, 0))), axis=-1) for law in (drafted, wanted))
    row, rank = np.nonzero(np.diff(x))
    return x[row], upto[row], rank


def prefixes(rng, size, paths):
    """Arguments of a split: at the start, after some tokens, and with cells that no score of the prefix is in."""
    edges, capacity = score_cells(paths, 6)
    for kind in range(3):
        x, upto, rank = hard_rows(rng, size)
        shares = np.tile(np.diff(edges), (len(x), 1)) if kind == 0 else rng.dirichlet(np.ones(6), len(x))
        if kind == 2:
            shares *= rng.random(shares.shape) < 0.5
            shares[:, rng.integers(6)] += 0.1
            shares /= shares.sum(axis=-1, keepdims=True)
        used = rng.choice([0.0, 1.0], len(x), p=[0.1, 0.9]) * rng.uniform(0.2, 1.0, len(x))
        yield x, upto, rank, used * (shares @ capacity), shares, capacity


def by_place(split, field):
    """A field of the groups ``[B V]``, at each place."""
    knots, values = np.asarray(split.knots), np.asarray(field)
    return np.take_along_axis(values, np.stack([np.searchsorted(row, np.arange(row[-1]), side="right") - 1
                                                for row in knots]), axis=1)


@pytest.mark.parametrize("knots", [1, 2, 4, 9])
@pytest.mark.parametrize("size", [5, 12, 2, 1])
def test_whole_array_splits_are_the_compiled_ones(size, knots, rng):
    """Knots that the array form repeats count once; between them every place has the same slope."""
    for paths, library in ((1, torch.asarray), (2, array_api_strict.asarray), (3, torch.asarray)):
        for given in prefixes(rng, size, paths):
            mine, theirs = split_scores(*given, knots), split_scores(*map(library, given), knots)
            for name in ("shares", "capacity", "kept"):
                one, other = (np.asarray(getattr(split, name)) for split in (mine, theirs))
                assert np.allclose(one, other, rtol=1e-9, atol=EXACT), name
            assert [*map(set, mine.knots.tolist())] == [*map(set, np.asarray(theirs.knots).tolist())]
            slopes = [by_place(split, split.slope) for split in (mine, theirs)]
            assert np.allclose(*slopes, rtol=1e-9, atol=EXACT)


LIBRARIES = [np.asarray, torch.asarray, array_api_strict.asarray]


@pytest.mark.parametrize("library", LIBRARIES)
def test_places_without_width_change_nothing(library, rng):
    """Every place twice."""
    for size, knots in ((1, 2), (5, 2), (5, 9)):
        for x, upto, rank, *rest in prefixes(rng, size, 2):
            plain = split_scores(x, upto, rank, *rest, knots)
            given = np.repeat(x, 2, axis=1), np.repeat(upto, 2, axis=1), 2 * rank + 1, *rest
            twice = split_scores(*map(library, given), knots)
            for name in ("shares", "capacity", "kept"):
                assert np.allclose(getattr(plain, name), np.asarray(getattr(twice, name)), rtol=1e-9, atol=EXACT), name
            found = np.asarray(twice.knots)
            assert [*map(set, (found // 2).tolist())] == [*map(set, plain.knots.tolist())]
            assert [*map(set, found.tolist())] == [*map(set, split_scores(*given, knots).knots.tolist())]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_row_that_never_wants_too_much_keeps_all(library, rng):
    """Where the wanted capacity is at least that of the lowest scores everywhere, every token gets what it wants."""
    edges, capacity = score_cells(2)
    for size in (1, 2, 6, 30):
        draft = rng.uniform(1, 2, (40, size))  # no token so light that it shares a group with another
        target = draft * rng.uniform(0.8, 1.2, draft.shape)
        target, draft = (law / law.sum(axis=-1, keepdims=True) for law in (target, draft))
        order = ratio_order(target, draft)
        drafted, wanted = (np.take_along_axis(law, order, axis=-1) for law in (draft, target))
        x, upto = (np.pad(np.cumsum(law, axis=-1), ((0, 0), (1, 0))) for law in (drafted, wanted))
        rank = rng.integers(size, size=40)
        split = split_scores(*map(library, (x, upto, rank, np.ones(40), np.tile(np.diff(edges), (40, 1)), capacity)))
        want = np.take_along_axis(wanted / drafted, rank[:, None], axis=1)[:, 0]
        assert np.asarray(split.kept) == pytest.approx(np.ones(40), abs=EXACT)
        assert np.asarray(split.capacity) == pytest.approx(want, abs=1e-9)  # a quotient by the mass of one token
        assert np.asarray(split.shares) @ capacity == pytest.approx(want, abs=1e-9)


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_group_of_a_place_starts_at_the_last_knot_up_to_it(library):
    groups = np.asarray(group_of(library(np.array([[0, 2, 3, 5, 5], [0, 0, 1, 4, 5]])), 5))
    assert groups.tolist() == [[0, 0, 1, 2, 2], [1, 2, 2, 2, 3]]


def test_equal_scores_win_by_their_copies():
    """Also of many paths: the chance that one of n is highest integrates a power n - 1."""
    copies = np.array([2, 3, 6])
    for cells in (1, 3):
        assert np.allclose(win_chances(np.full((3, cells), 1 / cells), copies), copies / 11, atol=EXACT)
