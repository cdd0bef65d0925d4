import numpy as np
import pytest
import torch

import otspec as ot
from otspec.core import schemes
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


EVERY = [*(scheme for scheme, _ in SCHEMES.values()), ot.Independent(2),
         ot.Joint(np.random.default_rng(0).dirichlet(np.ones(125)).reshape(5, 5, 5))]
LAWS = np.array([[[0.1, 0.4, 0.0, 0.3, 0.2], [0.0, 0.0, 1.0, 0.0, 0.0], [0.25, 0.0, 0.0, 0.0, 0.75]],
                 [[0.2, 0.2, 0.2, 0.2, 0.2], [0.5, 0.5, 0.0, 0.0, 0.0], [0.0, 0.1, 0.2, 0.3, 0.4]]])


def given_to(scheme):
    """Laws ``[2 3]`` as the scheme takes them."""
    return np.stack([LAWS, LAWS[::-1]], axis=-2) if isinstance(scheme, ot.Independent) else LAWS


@pytest.mark.parametrize("scheme", EVERY, ids=str)
def test_samples_of_a_batch_are_those_of_each_row(scheme, convert, rng):
    laws, uniforms = given_to(scheme), rng.random((2, 3, scheme.num_uniforms))
    uniforms[0] = rng.choice([0.0, 1 - 2.0**-53], uniforms[0].shape)
    drawn = np.asarray(scheme.sample(convert(laws), convert(uniforms)))
    assert drawn.shape == (2, 3, scheme.num_drafts)
    assert drawn.dtype == np.int64
    for place in np.ndindex(2, 3):
        assert drawn[place].tolist() in scheme.lists(laws[place])[0].tolist()  # of positive probability
        assert drawn[place].tolist() == scheme.sample(laws[place], uniforms[place]).tolist()
    # one law for all uniforms, and one for each of the last axis
    for one, coins in ((laws[0, 0], uniforms), (laws[1], uniforms), (laws[0, 2], uniforms[1]),
                       (laws[0, 2], rng.random((5, scheme.num_uniforms))), (laws[1, :2], uniforms[:, 1:]),
                       (laws[0, 2], rng.random((2, 5, scheme.num_uniforms)))):
        many = np.array(np.broadcast_to(one, (*coins.shape[:-1], *laws.shape[2:])))
        expected = scheme.sample(many, coins).tolist()
        assert np.asarray(scheme.sample(convert(one), convert(coins))).tolist() == expected
    for coins in (uniforms[:, :2], uniforms[:, 0]):
        with pytest.raises(ot.ShapeMismatch, match="Fix: one row of uniforms for each law"):
            scheme.sample(convert(laws), convert(coins))
    with pytest.raises(ot.ShapeMismatch, match=r"uniforms: shape \(2, 3, 0\) does not end in"):
        scheme.sample(convert(laws), convert(uniforms[..., :0]))
    if not isinstance(scheme, ot.Joint):
        with pytest.raises(ot.ShapeMismatch, match="array libraries differ: uniforms is torch, draft is numpy"):
            scheme.sample(laws, torch.tensor(uniforms))


@pytest.mark.parametrize("scheme", EVERY, ids=str)
def test_lists_and_sets_of_a_law_are_as_many_as_counted(scheme):
    for place in np.ndindex(2, 3):
        law = given_to(scheme)[place]
        lists, chances = scheme.lists(law)
        assert scheme.count_lists(law) == max(len(lists), 2 * isinstance(scheme, ot.Hub))
        expected = {}
        for row, chance in zip(lists.tolist(), chances, strict=True):
            key = tuple(sorted({token for token in row if token >= 0}))
            expected[key] = expected.get(key, 0.0) + chance
        sets, chances = scheme.sets(law)
        mine = {tuple(row[row >= 0].tolist()): chance for row, chance in zip(sets, chances, strict=True)}
        assert mine == pytest.approx(expected, abs=1e-15)
        assert len(sets) == len(mine)
        assert (np.sort(sets, axis=1) == sets).all()
        assert sets.min(initial=0) >= -1
    with pytest.raises(ot.ShapeMismatch, match=r"draft: shape .* is a batch"):
        scheme.lists(given_to(scheme)[0])


def test_what_is_left_after_a_sure_token_is_drawn_in_proportion():
    """Also where all of it is smaller than any normal number."""
    for least in (0.0625, 1e-300, 5e-324):
        law = np.array([1.0 - 4 * least, least, 3 * least])
        for coin, token in ((0.0, 1), (0.25 - 2.0**-40, 1), (0.25 + 2.0**-40, 2), (1 - 2.0**-53, 2)):
            for scheme, coins in ((ot.WithoutReplacement(2), [0.0, coin]), (ot.Hub(), [0.0, coin]),
                                  (ot.Greedy(2), [coin]), (ot.Hybrid(1, 3), [coin, coin])):
                assert scheme.sample(law, np.array(coins))[1] == token, (scheme, coin)


def test_the_split_of_a_hybrid_is_its_top_and_the_law_of_the_rest(convert):
    for top in range(4):
        scheme = ot.Hybrid(top, top + 1)
        mask, rest = (np.asarray(part) for part in scheme.split(convert(LAWS)))
        tokens = np.asarray(scheme.top_tokens(convert(LAWS)))
        assert tokens.shape == (2, 3, top)
        for place in np.ndindex(2, 3):
            law = LAWS[place]
            order = sorted(range(5), key=lambda token, law=law: (-law[token], token))[:top]
            assert tokens[place].tolist() == [token if law[token] > 0 else -1 for token in order]
            assert np.flatnonzero(mask[place] & (law > 0)).tolist() == sorted(t for t in order if law[t] > 0)
            assert top or not mask.any()
            left = np.where(np.isin(np.arange(5), order), 0.0, law)
            assert rest[place] == pytest.approx(left / left.sum() if left.sum() else left, abs=1e-15)


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


def test_schemes_say_what_they_are():
    assert [str(scheme) for scheme in (ot.WithReplacement(2), ot.WithoutReplacement(2), ot.Greedy(2), ot.Hybrid(1, 2),
                                       ot.Hub(), ot.Independent(2))] == [
        "WithReplacement(k=2)", "WithoutReplacement(k=2)", "Greedy(k=2)", "Hybrid(top=1, k=2)", "Hub()",
        "Independent(k=2)"]
    assert ot.WithoutReplacement(2).top == 0
    with pytest.raises(ot.BadArgument, match=r"^scheme: the class Hub was given\. Fix: make one, Hub\(k\)"):
        as_scheme(ot.Hub)


def test_drafts_of_several_drafters_are_held_to_their_own_laws(convert):
    laws = convert(np.broadcast_to([[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]], (2, 2, 2, 3)))
    good = np.array([[[1, 0], [2, 0]], [[-1, 0], [2, -1]]])
    ot.Independent(2).check_drawn(laws, convert(good))
    good[1, 0] = [1, 1]
    with pytest.raises(ot.BadArgument, match=r"^tokens\[1, 0, 1\] = 1 has probability 0 under the draft law"):
        ot.Independent(2).check_drawn(laws, convert(good))


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


def test_as_many_lists_as_allowed_are_made(monkeypatch):
    with pytest.raises(ot.TooLarge, match=r"has 5e\+06 draft lists, more than 5e\+06"):
        ot.WithReplacement(1).lists(np.full(5_000_001, 1 / 5_000_001))
    monkeypatch.setattr(schemes, "MAX_LISTS", 9)
    assert len(ot.WithReplacement(2).lists([0.25, 0.25, 0.5])[0]) == 9
    with pytest.raises(ot.TooLarge):
        ot.WithReplacement(4).lists([0.5, 0.5])


def test_independent_needs_one_law_per_drafter():
    for laws in ([0.5, 0.5], [[0.5, 0.5]] * 3, [[1.0]]):
        with pytest.raises(ot.ShapeMismatch, match=r"draft: shape .* does not end in \[2 V\]"):
            ot.Independent(2).lists(laws)


def test_a_joint_law_says_what_it_is_and_refuses_what_it_is_not():
    table = np.arange(27.0).reshape(3, 3, 3) / 351
    scheme = ot.Joint(table)
    assert repr(scheme) == "Joint(capacity=None, k=3, size=3)"
    assert scheme.check(None) == pytest.approx(table.sum(axis=(1, 2)))
    assert (scheme.num_uniforms, scheme.count_lists(None), scheme.vocabulary(None)) == (1, 26.0, 3)
    coins = np.linspace(0, 1 - 2.0**-53, 12).reshape(2, 6, 1)
    flat = np.searchsorted(np.cumsum(table), coins[..., 0] * table.sum(), side="right")
    assert scheme.sample(None, coins).tolist() == np.stack(np.unravel_index(flat, table.shape), axis=-1).tolist()
    assert ot.Joint(np.full((2, 2, 2), 0.125)).lists(None)[0].shape == (8, 3)  # more drafts than tokens
    one = ot.Joint([0.25, 0.75])
    assert (one.num_drafts, one.vocabulary(None), one.lists(None)[0].tolist()) == (1, 2, [[0], [1]])
    for numbers in ([[0, 1], [0, 0]], np.array([[False, True], [False, False]]), np.array([[0, 1], [0, 0]], "u1"),
                    np.array([[0, 1], [0, 0]], np.longdouble), np.array([[0, 1], [0, 0]], np.float32)):
        made = ot.Joint(numbers)
        assert (made.table.dtype, made.lists(None)[0].tolist()) == (np.float64, [[0, 1]])
    for wrong, error, says in [
            (np.float64(1.0), ot.ShapeMismatch, r"table: shape \(\) is not"),
            (np.full((2, 3), 1 / 6), ot.ShapeMismatch, r"table: shape \(2, 3\) is not"),
            (np.full((2, 2), 0.5), ot.NotALaw, "table sums to 2"), (table.astype(np.float16), ot.NotALaw, "float16"),
            (np.eye(2) / 2 + 0j, ot.NotALaw, "^table: "), (np.eye(2).astype(np.complex64), ot.NotALaw, "^table: ")]:
        with pytest.raises(error, match=says):
            ot.Joint(wrong)
    with pytest.raises(ot.ShapeMismatch, match="draft: 2 tokens, but the joint law has 3"):
        scheme.check(np.array([0.5, 0.5]))
    assert scheme.check(np.array([0.5, 0.5, 0.0])).tolist() == [0.5, 0.5, 0.0]


def test_a_capacity_alone_lists_no_drafts():
    scheme = ot.Joint(capacity=lambda subset: float(subset.all()), k=2, size=4)
    assert scheme.check(None).tolist() == [0.25] * 4
    assert (scheme.num_drafts, scheme.vocabulary(None)) == (2, 4)
    for ask in (lambda: scheme.lists(None), lambda: scheme.sample(None, np.zeros(1))):
        with pytest.raises(ot.TooLarge, match="2 drafts on 4 tokens are known by a capacity oracle only"):
            ask()
    for given, says in [({"table": np.eye(2) / 2, "capacity": float}, "either a table or a capacity"),
                        ({}, "either a table or a capacity"),
                        ({"capacity": 3, "k": 2, "size": 4}, "capacity: 3 cannot"),
                        ({"capacity": float, "size": 4}, "k: None"), ({"capacity": float, "k": 2}, "size: None")]:
        with pytest.raises(ot.BadArgument, match=says):
            ot.Joint(**given)


@pytest.mark.parametrize("scheme", [ot.WithoutReplacement(3), ot.Hybrid(1, 3), ot.Greedy(3), ot.WithReplacement(3)])
def test_a_draft_that_is_held_twice_is_found_anywhere(scheme, convert):
    draft = convert(np.broadcast_to([0.2, 0.2, 0.2, 0.4], (2, 2, 4)))
    good = np.array([[[0, 1, 2], [2, -1, -1]], [[3, 2, 1], [-1, -1, -1]]])
    scheme.check_drawn(draft, convert(good))
    scheme.check_drawn(draft[0, 0, :], convert(good[0, 0]))
    for twice, held in (([0, 0, 1], 0), ([1, 0, 0], 0), ([0, 2, 0], 0), ([0, 0, -1], 0), ([3, 3, 3], 3)):
        for place in np.ndindex(2, 2):
            bad = good.copy()
            bad[place] = twice
            if scheme == ot.WithReplacement(3):
                scheme.check_drawn(draft, convert(bad))
                continue
            with pytest.raises(ot.BadArgument, match=rf"^tokens\[{place[0]}, {place[1]}\] hold {held} twice"):
                scheme.check_drawn(draft, convert(bad))


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
