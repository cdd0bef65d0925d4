import numpy as np
import pytest
import torch

import otspec as ot
from otspec.core.schemes import as_scheme
from tests.conftest import random_law
from tests.oracles import drafting

SCHEMES = {
    "with": (ot.WithReplacement(3), lambda q: drafting.iid(q, 3)),
    "without": (ot.WithoutReplacement(3), lambda q: drafting.without_replacement(q, 3)),
    "greedy": (ot.Greedy(3), lambda q: drafting.greedy(q, 3)),
    "hybrid": (ot.Hybrid(1, 3), lambda q: drafting.hybrid(q, 1, 3)),
    "hub": (ot.Hub(), drafting.spechub),
}


def as_dict(tokens, law):
    return {tuple(t for t in row if t >= 0): w for row, w in zip(tokens.tolist(), law.tolist(), strict=True)}


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("kind", ["plain", "zeros", "one token", "two tokens"])
def test_lists_are_the_oracles_lists(name, kind, rng):
    scheme, oracle = SCHEMES[name]
    for _ in range(10):
        draft = random_law(rng, 5, zeros=kind == "zeros", ties=True)
        if kind == "one token":
            draft = np.eye(5)[rng.integers(5)]
        if kind == "two tokens":
            draft = np.array([0.0, 0.25, 0.0, 0.75, 0.0])
        mine = as_dict(*scheme.lists(draft))
        theirs = {tuple(t for t in key if t >= 0): w for key, w in oracle(draft.tolist()).items() if w > 0}
        assert mine.keys() == theirs.keys()
        assert max(abs(mine[key] - theirs[key]) for key in mine) < 1e-15  # a handful of roundings


@pytest.mark.parametrize("law", [[1.0, 0.0], [0.5, 0.5], [0.2, 0.3, 0.5], [0.1, 0.2, 0.3, 0.4, 0.0]])
def test_the_lists_of_the_hub_are_counted(law):
    lists = ot.Hub().lists(np.array(law))[0]
    assert ot.Hub().count_lists(np.array(law)) == max(len(lists), 2)


def test_a_dominant_token_leaves_the_later_draws_exact():
    draft = np.array([1.0 - 3e-12, 1e-12, 2e-12])
    tokens, law = ot.WithoutReplacement(2).lists(draft)
    after_top = law[(tokens[:, 0] == 0) & (tokens[:, 1] == 2)][0]
    assert after_top / draft[0] == pytest.approx(2 / 3, abs=1e-14)  # 1 - (1 - 3e-12) would be off by 1e-5


@pytest.mark.parametrize("scheme", [ot.WithReplacement(2), ot.WithoutReplacement(3), ot.Greedy(3), ot.Hybrid(1, 3),
                                    ot.Hub(), ot.Independent(2)], ids=str)
def test_samples_follow_the_list_law_on_every_library(scheme, convert, rng):
    draft = np.array([0.1, 0.4, 0.0, 0.3, 0.2])
    if isinstance(scheme, ot.Independent):
        draft = np.stack([draft, draft[::-1]])
    n = 4000
    uniforms = rng.random((n, scheme.num_uniforms))
    sample = np.asarray(scheme.sample(convert(np.broadcast_to(draft, (n, *draft.shape))), convert(uniforms)))
    lists, law = scheme.lists(draft)
    counts = np.array([(sample == row).all(axis=1).sum() for row in lists])
    assert counts.sum() == n, "a list outside the scheme was drawn"
    assert (np.abs(counts - n * law) <= 5 * np.sqrt(n * law * (1 - law)) + 1e-9).all()


def test_sets_carry_the_mass_of_their_lists():
    sets, law = ot.WithReplacement(2).sets([0.5, 0.5])
    found = {tuple(row[row >= 0].tolist()): w for row, w in zip(sets, law, strict=True)}
    assert found == {(0,): 0.25, (1,): 0.25, (0, 1): 0.5}


def test_joint_table_is_its_own_scheme(rng):
    table = rng.dirichlet(np.ones(9)).reshape(3, 3)
    scheme = ot.Joint(table)
    tokens, law = scheme.lists(None)
    np.testing.assert_array_equal(law, table[tokens[:, 0], tokens[:, 1]])
    drawn = scheme.sample(None, np.array([[0.0], [np.nextafter(1, 0)]]))
    np.testing.assert_array_equal(drawn, [[0, 0], [2, 2]])
    # the table is the scheme's own, so the uniforms alone say where the drafts go
    there = scheme.sample(None, torch.tensor([[0.0], [np.nextafter(1, 0)]], dtype=torch.float64))
    assert isinstance(there, torch.Tensor)
    assert there.tolist() == drawn.tolist()
    with pytest.raises(ot.NotALaw, match="table: dtype float16 is refused"):
        ot.Joint(torch.full((2, 2), 0.25, dtype=torch.float16))


@pytest.mark.parametrize("make", [lambda: ot.WithReplacement(0), lambda: ot.WithoutReplacement(-1),
                                  lambda: ot.Greedy(0), lambda: ot.Hybrid(2, 2), lambda: ot.Independent(1.5),
                                  lambda: as_scheme(0), lambda: as_scheme("two"), lambda: as_scheme(ot.Hub),
                                  lambda: ot.Joint(), lambda: as_scheme(True)])
def test_bad_counts_are_refused(make):
    with pytest.raises(ot.BadArgument, match="Fix"):
        make()


def test_numbers_of_numpy_are_numbers():
    scheme = ot.Hybrid(np.int64(1), np.int32(3))
    assert scheme == ot.Hybrid(1, 3)
    assert type(scheme.top) is int
    for top in (True, np.True_, 1.0, "1", None, 3):
        with pytest.raises(ot.BadArgument, match="outside 0"):
            ot.Hybrid(top, 3)


def test_more_drafts_than_tokens_are_refused():
    for scheme in (ot.WithoutReplacement(3), ot.Greedy(3), ot.Hybrid(1, 3)):
        with pytest.raises(ot.BadArgument, match="choose k <= 2"):
            scheme.lists([0.5, 0.5])
    with pytest.raises(ot.BadArgument, match="choose k <= 2"):
        ot.optimal_acceptance([0.5, 0.5], [0.5, 0.5], ot.WithoutReplacement(3))


def test_too_many_lists_are_refused_before_they_are_made():
    with pytest.raises(ot.TooLarge) as caught:
        ot.WithReplacement(8).lists(np.full(2048, 1 / 2048))
    assert caught.value.estimate == pytest.approx(2048.0**8)


def test_independent_needs_one_law_per_drafter():
    with pytest.raises(ot.ShapeMismatch, match=r"\[2 V\]"):
        ot.Independent(2).lists([0.5, 0.5])


def test_draws_with_replacement_never_run_out():
    tokens, law = ot.WithReplacement(5).lists([0.25, 0.75])
    assert tokens.shape == (32, 5)
    assert law.sum() == pytest.approx(1.0, abs=1e-15)  # 32 products
    sets, chances = ot.WithReplacement(5).sets([0.25, 0.75])
    assert dict(zip(map(tuple, sets[:, -2:].tolist()), chances, strict=True)) == pytest.approx(
        {(-1, 0): 0.25**5, (-1, 1): 0.75**5, (0, 1): 1 - 0.25**5 - 0.75**5}, abs=1e-15)
    assert ot.WithReplacement(100).lists([0.0, 1.0])[0].tolist() == [[1] * 100]
    assert ot.Independent(3).lists(np.full((3, 2), 0.5))[0].shape == (8, 3)


def test_sets_are_told_apart_where_their_number_overflows():
    """2048**6 is 2**66: a key of 64 bits would forget the first draft."""
    draft = np.zeros(2047)
    draft[[3, 2046]] = 0.5
    sets, law = ot.WithReplacement(6).sets(draft)
    assert sorted(map(tuple, sets[:, -2:].tolist())) == [(-1, 3), (-1, 2046), (3, 2046)]
    assert law.sum() == pytest.approx(1.0, abs=1e-15)
    assert ot.WithReplacement(5000).count_lists(draft) == np.inf
