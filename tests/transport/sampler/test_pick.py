"""The winner among the drafts of the top cell: marks that fall on an edge go to the next token, on every library."""

import itertools

import array_api_strict
import numpy as np
import pytest
import torch

from otspec.transport.sampler.pick import pick_race, pick_replacement
from otspec.transport.sampler.pick_parallel import pick_marked, pick_race_parallel

LIBRARIES = [array_api_strict.asarray, torch.asarray]


def slots_of_both_forms(library, draft, low, high, ranks, uniforms):
    """Winners ``[B]`` by the compiled form, and by whole arrays of a library."""
    edges = [np.full(len(ranks), edge) for edge in (low, high)]
    slots = np.empty(len(ranks), dtype=np.int64)
    pick_race(draft[None], *edges, ranks, uniforms, slots)
    rows = np.broadcast_to(draft, (len(ranks), draft.size))
    found = pick_race_parallel(*(library(np.array(part)) for part in (rows, *edges, ranks, uniforms)))
    return slots, np.asarray(found)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("low", "high"), [(0, 3), (1, 3), (2, 4), (1, 4), (0, 4)])
def test_edges_of_the_race_are_those_of_the_compiled_form(library, low, high):
    """Masses are powers of two, so that uniforms in eighths fall exactly on the edges."""
    draft = np.array([0.25, 0.25, 0.125, 0.125, 0.25])
    lists = np.array([order for order in itertools.permutations(range(5), 3)
                      if any(low <= rank < high for rank in order) and max(order) < high])
    coins = np.array(list(itertools.product(np.arange(8) / 8, repeat=3)))
    ranks, uniforms = np.repeat(lists, len(coins), axis=0), np.tile(coins, (len(lists), 1))
    slots, found = slots_of_both_forms(library, draft, low, high, ranks, uniforms)
    assert np.array_equal(found, slots)
    won = np.take_along_axis(ranks, slots[:, None], axis=1)
    assert ((won >= low) & (won < high)).all()


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("low", "high"), [(3, 6), (3, 7), (4, 7), (3, 5)])
def test_races_of_several_steps_are_those_of_the_compiled_form(library, low, high, rng):
    """Which token leaves the race decides how much mass is left for the next one."""
    draft = np.array([0.25, 0.125, 0.0625, 0.0625, 0.25, 0.125, 0.125])
    lists = np.array([order for order in itertools.permutations(range(high), 4) if max(order) >= low])
    ranks = lists[rng.integers(len(lists), size=20_000)]
    uniforms = rng.integers(16, size=(20_000, 4)) / 16
    slots, found = slots_of_both_forms(library, draft, low, high, ranks, uniforms)
    assert np.array_equal(found, slots)


def test_marked_slots_are_chosen_alike():
    marked = np.array([[True, False, True, True]] * 6)
    assert pick_marked(marked, np.arange(6) / 6).tolist() == [0, 0, 2, 2, 3, 3]
    assert pick_marked(marked[:1], np.array([np.nextafter(1.0, 0.0)])).tolist() == [3]
    assert pick_marked(marked[:1], np.array([1.0])).tolist() == [3]  # a uniform that a conversion rounded up


def test_rows_have_laws_of_their_own_or_share_one():
    draft = np.array([[0.6, 0.3, 0.1], [0.1, 0.3, 0.6]])
    ranks, slots = np.array([[0, 1], [0, 1]]), np.empty(2, dtype=np.int64)
    for laws, want in ((draft, [0, 1]), (draft[:1], [0, 0]), (draft[1:], [1, 1])):
        pick_race(laws, np.array([0, 0]), np.array([3, 3]), ranks, np.full((2, 2), 0.4), slots)
        assert slots.tolist() == want


def lists_in_cells(size, count, *, replacement):
    """All ``(low, high, ranks)`` of a cell that holds the highest of 1 to ``count`` drafts, absent ones anywhere."""
    for low, high in itertools.combinations(range(size + 1), 2):
        for ranks in itertools.product(range(-1, size), repeat=count):
            present = [rank for rank in ranks if rank >= 0]
            if low <= max(ranks) < high and (replacement or len(set(present)) == len(present)):
                yield low, high, ranks


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("replacement", [True, False])
@pytest.mark.parametrize(("size", "count"), [(1, 1), (2, 1), (1, 2), (3, 3)])
def test_lists_with_absent_drafts_give_one_winner_of_the_cell(library, size, count, replacement):
    """Also from uniforms at both ends; a row's outcome does not depend on the rows beside it."""
    ends = [0.0, 0.37, 0.71, 1 - 2.0**-53]
    found = []
    for coins in itertools.product(ends, repeat=count):
        low, high, ranks = (np.array(part) for part in zip(*lists_in_cells(size, count, replacement=replacement),
                                                           strict=True))
        uniforms, slots = np.tile(coins, (len(ranks), 1)), np.full(len(ranks), -1)
        laws = np.tile(np.array([0.5, 0.2, 0.3])[:size], (len(ranks), 1))
        if replacement:
            pick_replacement(low, ranks, uniforms[:, -1].copy(), slots)
            theirs = pick_marked(library(ranks >= low[:, None]), library(uniforms[:, -1].copy()))
        else:
            pick_race(laws, low, high, ranks, uniforms, slots)
            theirs = pick_race_parallel(*map(library, (laws, low, high, ranks, uniforms)))
        assert np.array_equal(slots, np.asarray(theirs))
        won = np.take_along_axis(ranks, slots[:, None], axis=1)[:, 0]
        assert np.all((low <= won) & (won < high))
        found.append(slots)
    assert size * count < 9 or np.ptp(found, axis=0).any()
