"""The race as whole-array operations against the compiled race."""

import numpy as np
import pytest
import torch

from otspec.transport.without_replacement import race_parallel
from otspec.transport.without_replacement.race import race_increments
from otspec.transport.without_replacement.race_parallel import race_increments_parallel
from tests.oracles.hard_laws import hard_pairs
from tests.oracles.waiting import NoWaiting

QUADRATURE = 1e-13  # the integral's own error


def drafts(rng, size):
    """Hard drafts, one over 320 decades, and one of three tokens."""
    decades = rng.permutation(10.0 ** -np.linspace(0, 320, size))
    few = np.where(np.arange(size) < 3, 10.0 ** -np.arange(0.0, 10.0 * size, 10.0), 0.0)
    laws = np.concatenate([hard_pairs(rng, size)[1], decades[None], few[None]])
    return laws / laws.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("size", [2, 5, 9, 17, 300])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 8, 16])
def test_increments_are_the_compiled_ones(size, k, rng):
    draft = drafts(rng, size)
    want = race_increments(draft, k)
    got = race_increments_parallel(torch.from_numpy(draft), k).numpy()
    assert got == pytest.approx(want, abs=QUADRATURE)
    assert np.cumsum(got, axis=1) == pytest.approx(np.cumsum(want, axis=1), abs=QUADRATURE)


def test_increments_of_any_library(convert, rng):
    draft = rng.dirichlet(np.ones(30), (2, 3))
    got = np.asarray(race_increments_parallel(convert(draft), 3))
    assert got == pytest.approx(race_increments(draft, 3), abs=QUADRATURE)
    draws = np.array([[1, 2, 3], [4, 5, 3]])
    got = np.asarray(race_increments_parallel(convert(draft), 5, convert(draws)))
    for place in np.ndindex(2, 3):
        assert got[place] == pytest.approx(race_increments(draft[place], int(draws[place])), abs=QUADRATURE)
    for k in (1, 2, 3):
        assert np.asarray(race_increments_parallel(convert(np.ones((2, 1))), k)).tolist() == [[1.0], [1.0]]
        assert race_increments(np.ones((2, 1)), k).tolist() == [[1.0], [1.0]]


def test_rows_may_draw_different_numbers(rng):
    draft = drafts(rng, 40)
    draws = np.arange(len(draft)) % 5 + 1
    got = race_increments_parallel(torch.from_numpy(draft), 5, torch.from_numpy(draws)).numpy()
    for row, count, law in zip(got, draws, draft, strict=True):
        assert row == pytest.approx(race_increments(law, int(count)), abs=QUADRATURE)


def test_parts_of_the_grid_add_up(rng, monkeypatch):
    draft = torch.from_numpy(drafts(rng, 50))
    whole = race_increments_parallel(draft, 4)
    monkeypatch.setattr(race_parallel, "WORK", 20_000)
    assert race_increments_parallel(draft, 4).numpy() == pytest.approx(whole.numpy(), abs=1e-15)  # order of a sum


@pytest.mark.parametrize("rare", [1e-46, 1e-310, 5e-324])
def test_the_rarest_tokens_are_drawn_when_nothing_else_is_left(rare):
    draft = np.array([[1.0, 1e-20, 1e-30, rare]])
    for increments in (race_increments, race_increments_parallel):
        assert increments(draft, 3)[0].tolist() == pytest.approx([0, 0, 1, 0], abs=QUADRATURE)
        assert increments(draft[:, ::-1].copy(), 4)[0].tolist() == [0, 0, 0, 1]
        equal = np.array([[1.0, rare, rare]])
        assert increments(equal, 2)[0].tolist() == pytest.approx([0, 0.5, 0.5], abs=QUADRATURE)


def test_a_coarser_grid_would_be_seen(rng, monkeypatch):
    """The comparison must notice an integral that is off by 1e-12."""
    draft = drafts(rng, 100)
    monkeypatch.setattr(race_parallel, "_STEP", 0.30)
    got = race_increments_parallel(torch.from_numpy(draft), 8).numpy()
    assert np.abs(got - race_increments(draft, 8)).max() > 10 * QUADRATURE


@pytest.mark.parametrize("k", [1, 2, 5])
def test_no_step_waits_for_the_device(k, rng):
    draft = torch.from_numpy(drafts(rng, 20))
    with NoWaiting():
        race_increments_parallel(draft, k)
        race_increments_parallel(draft, k, torch.ones(len(draft), dtype=torch.int64))
