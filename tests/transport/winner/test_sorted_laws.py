"""Laws in the order of target/draft, in every array library, against the enumeration of the draft sets."""

import numpy as np
import pytest
import torch
from array_api_compat import is_numpy_array

import otspec as ot
from otspec.transport.winner.laws import (
    cumulative,
    minimal_law,
    prefix_optimum,
    ratio_order,
    remaining,
    replacement_capacity,
    replacement_increments,
    universal_law,
)
from otspec.transport.winner.sorted_laws import sort_laws
from tests.conftest import random_law
from tests.oracles.curves import above_all_chords
from tests.oracles.waiting import NoWaiting

EXACT = 1e-14  # a dozen roundings of numbers up to 1
COUNTS = np.array([[2, 1, 0], [3, 1, 2]])


def laws(rng, size=4):
    """Two laws ``[2 3 V]`` with zeros and ties."""
    return np.array([[[random_law(rng, size, zeros=j == 0, ties=j == 1) for j in range(3)] for _ in range(2)]
                     for _ in range(2)])


def contained(draft, k, race):
    """Probability that all drafts are among the first 0, 1 .. V tokens, by enumeration."""
    k = max(k, 1)
    sets, law = (ot.WithoutReplacement(k) if race else ot.WithReplacement(k)).sets(draft)
    return np.array([law[(sets < j).all(axis=1)].sum() for j in range(draft.size + 1)])


@pytest.mark.parametrize("race", [False, True])
@pytest.mark.parametrize("draws", [1, 2, 3, COUNTS], ids=str)
def test_sorted_laws_are_those_of_the_enumeration(race, draws, convert, rng):
    target, draft = laws(rng)
    many = not isinstance(draws, int)
    most = 3 if many and not is_numpy_array(convert(target)) else None
    found = sort_laws(convert(target), convert(draft), convert(draws) if many else draws, race=race, most=most)
    assert {type(field) for field in found} == {type(convert(target))}
    order, rank, p, q, increments, capacity = map(np.asarray, found)
    by_kind = {kind: np.asarray(found.law(kind)) for kind in ("universal", "minimal", "vertex")}
    np.testing.assert_array_equal(by_kind["universal"], np.asarray(found.law()))
    np.testing.assert_array_equal(np.asarray(found.by_token(found.target)), target)
    for i in np.ndindex(2, 3):
        count = int(COUNTS[i]) if many else draws
        assert order[i][rank[i]].tolist() == list(range(4))
        np.testing.assert_array_equal(p[i], target[i][order[i]])
        np.testing.assert_allclose(q[i], draft[i][order[i]], rtol=EXACT)
        ratios = np.divide(p[i], q[i], out=np.full(4, np.inf), where=q[i] > 0)
        assert (ratios[1:] >= ratios[:-1]).all()
        exact = contained(draft[i][order[i]], count, race)
        np.testing.assert_allclose(capacity[i], exact, atol=EXACT)
        np.testing.assert_allclose(increments[i], np.diff(exact), atol=EXACT)
        np.testing.assert_array_equal(by_kind["vertex"][i], increments[i])
        mass = np.append(0, np.cumsum(p[i]))
        np.testing.assert_allclose(np.append(0, np.cumsum(by_kind["universal"][i]))[np.append(True, p[i] > 0)],
                                   above_all_chords(mass, exact)[np.append(True, p[i] > 0)], atol=EXACT)
        excess = np.maximum(exact - mass, 0)
        peak = int(excess.argmax())
        height = np.append(np.maximum.accumulate(excess[:peak]), np.maximum.accumulate(excess[peak:][::-1])[::-1])
        np.testing.assert_allclose(np.append(0, np.cumsum(by_kind["minimal"][i])), mass + height, atol=EXACT)


def test_one_count_for_all_contexts_is_a_count_for_each(convert, rng):
    target, draft = map(convert, laws(rng))
    for race in (False, True):
        one = sort_laws(target, draft, 2, race=race)
        each = sort_laws(target, draft, convert(np.full((2, 3), 2)), race=race, most=2)
        for a, b in zip(one, each, strict=True):
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=EXACT)


def test_counts_on_a_device_are_not_read(rng):
    target, draft = map(torch.from_numpy, laws(rng))
    for race in (False, True):
        with NoWaiting():
            sort_laws(target, draft, torch.from_numpy(COUNTS), race=race, most=3)
            replacement_increments(draft, torch.from_numpy(COUNTS.clip(1)), most=3)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_sums_and_increments_of_weights_of_any_sum(scale, convert, rng):
    """What is given need not sum to one, counts may differ between contexts, and results stay in their library."""
    p, q = laws(rng)
    target, draft, counts = convert(scale * p), convert(scale * q), COUNTS.clip(1)
    sums = np.concatenate([np.zeros((2, 3, 1)), np.cumsum(q, axis=-1)], axis=-1)
    power = sums ** counts[..., None]
    increments = replacement_increments(draft, convert(counts), most=None if is_numpy_array(draft) else 4)
    value, size = prefix_optimum(target, convert(power))
    gap = np.concatenate([np.zeros((2, 3, 1)), np.cumsum(p, axis=-1)], axis=-1) - power
    for found, want in (
        (cumulative(draft), sums), (remaining(draft), 1 - sums), (increments, np.diff(power, axis=-1)),
        (replacement_increments(draft, 3), np.diff(sums**3, axis=-1)), (value, 1 + gap.min(axis=-1)),
        (np.take_along_axis(gap, np.asarray(size)[..., None], axis=-1)[..., 0], gap.min(axis=-1)),
        (universal_law(convert(p), convert(power)), universal_law(p, power)),
        (universal_law(convert(p), None, increments=increments), universal_law(p, power)),
        (minimal_law(target, convert(power)), minimal_law(p, power)),
    ):
        np.testing.assert_allclose(np.asarray(found), want, atol=EXACT)
    assert {type(found) for found in (cumulative(draft), remaining(draft), increments, value, size)} <= {
        type(draft), np.int64, np.float64}
    if is_numpy_array(draft):
        np.testing.assert_allclose(replacement_capacity(draft, counts), power, atol=EXACT)
        assert remaining(draft).flags.c_contiguous  # as the compiled scans were compiled for


def test_tokens_without_draft_mass_come_last_in_every_library(convert):
    target = np.array([[[0.25, 0.5, 0.0, 0.25, 0.0]], [[0.0, 1.0, 0.0, 0.0, 0.0]]])
    draft = np.array([[[0.0, 1e-310, 0.5, 0.5, 0.0]], [[0.5, 0.0, 0.0, 0.5, 0.0]]])
    found = ratio_order(convert(target), convert(draft))
    assert type(found) is type(convert(target))
    order = np.asarray(found)
    assert order[0, 0, :3].tolist() == [2, 3, 1]
    assert set(order[1, 0, :2].tolist()) == {0, 3}


def test_counts_must_be_whole_numbers_of_at_least_one():
    for k in (0, -1, 1.5, [2, 0], np.array([1.0, 2.0])):
        with pytest.raises(ot.BadArgument, match=r"k is .*; give a whole number of drafts, at least 1"):
            replacement_increments([[0.5, 0.5]], k)
    assert replacement_capacity([[0.5, 0.5]], [2]).tolist() == [[0.0, 0.25, 1.0]]
    with pytest.raises(ot.ShapeMismatch, match="target has 3 tokens and draft 2"):
        ratio_order([0.5, 0.25, 0.25], [0.5, 0.5])


def test_gaps_of_hundreds_of_decades_are_narrowed_for_races_alone(convert):
    draft, flat = np.array([[[1.0, 1e-200, 1e-300, 0.0], [1e-250, 1e-200, 1.0, 1e-320]]] * 2), np.full((2, 2, 4), 0.25)
    counts = np.array([[3, 2], [2, 1]])
    most = None if is_numpy_array(convert(draft)) else 3
    for draws in (2, 3, counts):
        given = draws if isinstance(draws, int) else convert(draws)
        raced = sort_laws(convert(flat), convert(3 * draft), given, race=True, most=most)
        plain = sort_laws(convert(flat), convert(3 * draft), given, race=False, most=most)
        order = np.asarray(raced.order)
        np.testing.assert_array_equal(np.asarray(plain.order), order)
        for i in np.ndindex(2, 2):
            count = draws if isinstance(draws, int) else int(counts[i])
            np.testing.assert_allclose(np.asarray(plain.draft)[i], draft[i][order[i]], rtol=EXACT)
            np.testing.assert_allclose(np.asarray(raced.capacity)[i], contained(draft[i][order[i]], count, True),
                                       atol=EXACT)
            np.testing.assert_allclose(np.asarray(plain.capacity)[i], contained(draft[i][order[i]], count, False),
                                       atol=EXACT)
            narrow = np.sort(np.asarray(raced.draft)[i])[::-1]
            assert narrow[1] >= 2.0**-57 * narrow[0]
