"""One front for the compiled draw and its whole-array twin."""

import itertools

import array_api_strict
import numpy as np
import pytest
import torch

import otspec as ot
from otspec.transport.sampler import draw, edge, pick
from otspec.transport.sampler.draw import _minimal, draw_tokens
from otspec.transport.sampler.draw_parallel import draw_tokens_parallel
from otspec.transport.winner import majorant
from otspec.transport.winner.laws import minimal_law
from tests.conftest import random_law
from tests.oracles.uncompiled import uncompile

ALMOST_ONE = 1 - 2.0**-53


def tokens_of_both_forms(target, draft, tokens, uniforms, **kind):
    """Emitted tokens, the same in whole arrays of two libraries."""
    mine = draw_tokens(target, draft, tokens, uniforms, **kind)
    for library in (torch.asarray, array_api_strict.asarray):
        theirs = draw_tokens(*map(library, (target, draft, tokens, uniforms)), **kind)
        assert np.array_equal(np.asarray(theirs), mine), library
    return mine


@pytest.mark.parametrize("minimal", [False, True])
@pytest.mark.parametrize("replacement", [False, True])
def test_arrays_of_another_library_stay_in_it_and_give_the_same_tokens(replacement, minimal, rng):
    target, draft = (np.stack([random_law(rng, 9) for _ in range(50)]) for _ in range(2))
    tokens = np.stack([rng.choice(9, 3, replace=replacement, p=law) for law in draft])
    uniforms = rng.random((50, 6))
    want = draw_tokens(target, draft, tokens, uniforms, replacement=replacement, minimal=minimal)
    got = draw_tokens(*map(torch.from_numpy, (target, draft, tokens, uniforms)),
                      replacement=replacement, minimal=minimal)
    assert isinstance(got, torch.Tensor)
    assert got.tolist() == want.tolist()
    assert len(set(want)) > 1


def lists_with_absent_drafts(rng, draft, count, *, replacement):
    """Drafts ``[B n]``, from none to as many as there can be, in any slots."""
    tokens = np.full((len(draft), count), -1)
    for row, law in enumerate(draft):
        most = count if replacement else min(count, np.count_nonzero(law))
        drawn = rng.choice(law.size, rng.integers(most + 1), replace=replacement, p=law) if law.any() else []
        tokens[row, rng.permutation(count)[: len(drawn)]] = drawn
    return tokens


@pytest.mark.parametrize("minimal", [False, True])
@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize(("size", "count"), [(6, 3), (3, 2), (1, 1), (2, 4)])
def test_rows_with_zeros_and_absent_drafts_emit_the_same_tokens(size, count, replacement, minimal, rng):
    """Weights need not sum to 1, and outcomes of uniforms at both ends have positive mass."""
    target, draft = rng.dirichlet(np.ones(size), (2, 120))
    target[::3, 0] = draft[1::4, -1] = 0.0 if size > 1 else 1.0
    draft[5::6] = 0.0
    target, draft = target * rng.uniform(0.5, 2, (120, 1)), draft * rng.uniform(0.5, 2, (120, 1))
    drafted = draft / np.where(draft.any(axis=-1), draft.sum(axis=-1), 1.0)[:, None]
    tokens = lists_with_absent_drafts(rng, drafted, count, replacement=replacement)
    uniforms = rng.random((120, 3 + count))
    uniforms[::2, 1], uniforms[::3, 3:] = 0.0, 0.0
    kind = {"replacement": replacement, "minimal": minimal}
    found = tokens_of_both_forms(target, draft, tokens, uniforms, **kind)
    bare = (tokens < 0).all(axis=-1)
    assert bare.any()
    assert np.array_equal(found[bare], ot.draw(target[bare], uniforms[bare, 2]))
    uniforms = np.where(rng.random(uniforms.shape) < 0.7, rng.choice([0.0, ALMOST_ONE], uniforms.shape), uniforms)
    for library in (np.asarray, torch.asarray):  # of two tokens each form may emit another one there
        found = np.asarray(draw_tokens(*map(library, (target, draft, tokens, uniforms)), **kind))
        assert np.all(np.take_along_axis(target, found[:, None], axis=1) > 0)


@pytest.mark.parametrize("minimal", [False, True])
@pytest.mark.parametrize("replacement", [False, True])
def test_emitted_tokens_have_the_target_law(replacement, minimal):
    """Every list of two drafts, over a grid of the uniforms: each cell of the grid is one draw."""
    target, draft, steps = np.array([0.15, 0.5, 0.35]), np.array([0.5, 0.2, 0.3]), 12
    middles = (np.arange(steps) + 0.5) / steps
    coins = np.array(list(itertools.product(middles, middles, [0.1, 0.3, 0.5, 0.7, 0.9], middles[::3])))
    law = np.zeros(3)
    for pair in itertools.product(range(3), repeat=2):
        chance = draft[pair[0]] * (draft[pair[1]] if replacement else
                                   (pair[0] != pair[1]) * draft[pair[1]] / (1 - draft[pair[0]]))
        if chance == 0:
            continue
        n = len(coins)
        uniforms = np.concatenate([coins, coins[:, 3:]], axis=1)
        found = tokens_of_both_forms(*(np.tile(row, (n, 1)) for row in (target, draft, np.array(pair))), uniforms,
                                     replacement=replacement, minimal=minimal)
        law += chance * np.bincount(found, minlength=3) / n
    assert np.abs(law - target).max() < 0.02


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_compiled_minimal_law_whatever_its_work_space_held(size, rng):
    target, draft = rng.dirichlet(np.ones(size), (2, 20))
    for p, q in zip(target, draft, strict=True):
        capacity, law, lift = np.append(0.0, np.cumsum(q)) ** 2, np.full(size, np.nan), np.full(size + 1, np.nan)
        _minimal(p, capacity, law, lift)
        assert law == pytest.approx(ot.normalize(minimal_law(p, capacity)), abs=1e-15)


def test_masses_hundreds_of_decades_apart_give_the_same_tokens(rng):
    """Behind a token of mass 1 the next drafts come from what is left of both laws, however little."""
    for size in (6, 8, 10):
        draft = 10.0 ** (-60.0 * rng.integers(0, 5, (400, size)))
        target = ot.normalize(draft * rng.uniform(0.5, 2, (400, size)))
        draft = ot.normalize(draft)
        scheme = ot.WithoutReplacement(4)
        tokens = np.asarray(scheme.sample(draft, rng.random((400, scheme.num_uniforms))))
        uniforms = rng.random((400, 7))
        want = draw_tokens(*map(torch.from_numpy, (target, draft, tokens, uniforms)), replacement=False)
        assert draw_tokens(target, draft, tokens, uniforms, replacement=False).tolist() == want.tolist()


@pytest.mark.parametrize("minimal", [False, True])
@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_no_place_outside_an_array_is_read_or_written(size, replacement, minimal, monkeypatch, rng):
    target, laws = (np.stack([random_law(rng, size) for _ in range(40)]) for _ in range(2))
    count = min(size, 2)
    tokens = lists_with_absent_drafts(rng, laws, count, replacement=replacement)
    uniforms = rng.random((40, 3 + count))
    compiled = draw_tokens(target, laws, tokens, uniforms, replacement=replacement, minimal=minimal)
    uncompile(monkeypatch, draw, edge, pick, majorant)
    plain = draw_tokens(target, laws, tokens, uniforms, replacement=replacement, minimal=minimal)
    assert plain.tolist() == compiled.tolist()


def test_the_winner_law_is_the_universal_one_unless_told_otherwise(rng):
    target, laws = (np.stack([random_law(rng, 6) for _ in range(200)]) for _ in range(2))
    tokens = lists_with_absent_drafts(rng, laws, 3, replacement=True)
    given = target, laws, tokens, rng.random((200, 6))
    for form in (draw_tokens, draw_tokens_parallel):
        universal, least = (form(*given, replacement=True, minimal=minimal).tolist() for minimal in (False, True))
        assert form(*given, replacement=True).tolist() == universal != least
