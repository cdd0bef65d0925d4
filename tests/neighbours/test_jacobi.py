"""Speculative Jacobi decoding emits the target's law exactly; wrong stored laws do not."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

import otspec as ot
from otspec.core.noise import Noise
from otspec.neighbours import jacobi as module
from otspec.neighbours.jacobi import COUPLINGS, FILLS, fill_law, judged
from otspec.neighbours.jacobi_exact import jacobi_law
from tests.oracles import jacobi as oracle


def models(size, seed=0, order=1):
    rng = np.random.default_rng(seed)
    target = ot.MarkovModel(rng.dirichlet(np.full(size, 0.7), (size,) * order))
    return target, ot.MarkovModel(0.5 * target.transition + 0.5 * rng.dirichlet(np.ones(size), (size,) * order))


@pytest.mark.parametrize("coupling", COUPLINGS[:2])
@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize(("size", "window", "length"), [(5, 1, 3), (5, 2, 2), (3, 2, 3), (3, 3, 2)])
def test_the_emitted_law_is_the_targets(size, window, length, fill, coupling):
    target, draft = models(size)
    found = jacobi_law(target, window, length=length, coupling=coupling, fill=fill,
                       draft_model=draft if fill == "draft" else None)
    np.testing.assert_allclose(found.text_law, target.text_law(length), atol=1e-12)


def test_the_emitted_law_of_an_order_two_model():
    target, draft = models(2, seed=4, order=2)
    found = jacobi_law(target, 3, length=4, fill="draft", draft_model=draft)
    np.testing.assert_allclose(found.text_law, target.text_law(4), atol=1e-12)


@pytest.mark.parametrize("coupling", COUPLINGS[:2])
@pytest.mark.parametrize("fill", FILLS[:2])
@pytest.mark.parametrize(("size", "window", "length"), [(3, 1, 3), (2, 2, 4)])
def test_law_and_calls_agree_with_the_slow_twin(size, window, length, fill, coupling):
    target, _ = models(size, seed=1)
    texts, calls = oracle.jacobi(target.transition.tolist(), target.initial.tolist(), window, length, coupling, fill)
    found = jacobi_law(target, window, length=length, coupling=coupling, fill=fill)
    assert abs(found.calls_per_token * length - calls) < 1e-12
    for text in product(range(size), repeat=length):
        assert abs(found.text_law[text] - texts.get(text, 0.0)) < 1e-12


def test_the_slow_twin_is_lossless_in_fractions():
    p = [[Fraction(1, 3), Fraction(2, 3)], [Fraction(1, 4), Fraction(3, 4)]]
    texts, _ = oracle.jacobi(p, [Fraction(1, 2)] * 2, 2, 3, "maximal", "random")
    for a, b, c in product(range(2), repeat=3):
        assert texts[a, b, c] == sum(Fraction(1, 2) * p[s][a] * p[a][b] * p[b][c] for s in range(2))


@pytest.mark.parametrize("bug", oracle.BUGS)
@pytest.mark.parametrize("coupling", COUPLINGS[:2])
def test_planted_bugs_are_seen(bug, coupling):
    target, _ = models(3, seed=2)
    length = 3
    texts, _ = oracle.jacobi(target.transition.tolist(), target.initial.tolist(), 2, length, coupling, "random", bug)
    law = target.text_law(length)
    distance = 0.5 * sum(abs(texts.get(text, 0.0) - law[text]) for text in product(range(3), repeat=length))
    assert distance > 1e-3


def test_a_bug_in_the_package_is_seen(monkeypatch):
    target, _ = models(5)
    monkeypatch.setattr(module, "judged", lambda stale, stored, current: judged(stale, current[..., :-1, :], current))
    found = jacobi_law(target, 2, length=2)
    assert np.abs(found.text_law - target.text_law(2)).sum() > 1e-2


@pytest.mark.parametrize("coupling", COUPLINGS[:2])
@pytest.mark.parametrize("fill", FILLS)
def test_the_sampler_agrees_with_the_enumeration(fill, coupling):
    target, draft = models(3, seed=3)
    options = {"coupling": coupling, "fill": fill, "draft_model": draft if fill == "draft" else None}
    exact = jacobi_law(target, 3, length=3, **options)
    run = ot.jacobi(target, 3, length=3, n=8_000, seed=5, **options)
    assert run.calls_per_token.covers(exact.calls_per_token)
    likely = np.argsort(exact.text_law.ravel())[-4:]
    for text in zip(*np.unravel_index(likely, exact.text_law.shape), strict=True):
        found = ot.Estimate.from_samples((run.texts == text).all(axis=1))
        assert found.covers(exact.text_law[text])


def test_the_maximal_coupling_needs_fewer_calls_than_fresh_draws():
    fresh, kept = (jacobi_law(models(2, seed=3)[0], 3, length=5, coupling=name).calls_per_token
                   for name in COUPLINGS[:2])
    assert kept < fresh - 1e-4
    target, _ = models(3, seed=3)
    fresh, kept = (ot.jacobi(target, 12, length=32, n=400, seed=0, coupling=name).calls_per_token
                   for name in COUPLINGS[:2])
    assert kept.mean < 0.9 * fresh.mean


@pytest.mark.parametrize("window", [1, 4, 9])
@pytest.mark.parametrize("fill", FILLS)
def test_with_gumbel_noise_the_text_is_that_of_plain_decoding(window, fill):
    target, draft = models(5)
    run = ot.jacobi(target, window, length=20, n=200, seed=7, coupling="gumbel", fill=fill,
                    draft_model=draft if fill == "draft" else None)
    rng = np.random.default_rng(7)
    text = ot.draw(np.broadcast_to(target.initial, (200, 5)), rng.random(200))[:, None]
    seeds = rng.integers(0, 2**62, 200)
    for place in range(1, 21):
        law = target.next_law(text)
        text = np.c_[text, ot.coupling("gumbel").select(law, Noise(seeds, np.full(200, place)))]
    np.testing.assert_array_equal(run.texts, text[:, 1:])


def test_a_window_of_certain_tokens_is_kept_whole():
    cycle = ot.MarkovModel(np.roll(np.eye(3), 1, axis=1))
    for coupling in COUPLINGS:
        run = ot.jacobi(cycle, 4, length=15, n=3, seed=0, coupling=coupling, fill="draft", draft_model=cycle)
        assert (run.calls == 3).all()
        assert ((run.texts[:, 1:] - run.texts[:, :-1]) % 3 == 1).all()


def test_a_token_that_never_repeats_is_never_kept_from_a_copy():
    cycle = ot.MarkovModel(np.roll(np.eye(3), 1, axis=1))
    assert jacobi_law(cycle, 1, length=4, fill="repeat").calls_per_token == 1.0


def test_fill_laws():
    np.testing.assert_array_equal(fill_law("random", np.array([1, 2]), 4), np.full((2, 4), 0.25))
    np.testing.assert_array_equal(fill_law("repeat", np.array([1, 2]), 3), np.eye(3)[1:])


@pytest.mark.parametrize("call", [ot.jacobi, jacobi_law])
@pytest.mark.parametrize(("change", "name"), [
    ({"window": 0}, "window"), ({"window": 1.5}, "window"), ({"length": 0}, "length"), ({"fill": "zeros"}, "fill"),
    ({"coupling": "optimal"}, "coupling"), ({"fill": "draft"}, "draft_model"),
    ({"draft_model": models(3)[1]}, "draft_model"), ({"fill": "draft", "draft_model": models(5)[1]}, "vocabularies"),
    ({"target_model": np.eye(3)}, "target_model"),
], ids=["window 0", "window 1.5", "length 0", "fill", "coupling", "no draft", "needless draft", "sizes", "no model"])
def test_bad_arguments(call, change, name):
    given = {"target_model": models(3)[0], "window": 2, "length": 3} | change
    if call is ot.jacobi:
        given |= {"n": 2, "seed": 0}
    with pytest.raises(ot.OtspecError, match=name):
        call(**given)


def test_more_bad_arguments():
    target, _ = models(3)
    with pytest.raises(ot.BadArgument, match="n: 0"):
        ot.jacobi(target, 2, length=3, n=0, seed=0)
    with pytest.raises(ot.BadArgument, match="seed"):
        ot.jacobi(target, 2, length=3, n=2, seed=-1)
    with pytest.raises(ot.BadArgument, match="gumbel"):
        jacobi_law(target, 2, length=3, coupling="gumbel")
    with pytest.raises(ot.TooLarge, match="branches"):
        jacobi_law(target, 12, length=8)


def test_one_text_has_no_standard_error():
    run = ot.jacobi(ot.MarkovModel.memoryless([0.5, 0.5]), 2, length=4, n=1, seed=0)
    with pytest.raises(ot.BadArgument, match="n: one text"):
        _ = run.calls_per_token
