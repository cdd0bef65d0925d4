"""Markov models: stationary laws, text laws, lifting, and errors."""

import itertools

import numpy as np
import pytest

from otspec.core import markov
from otspec.core.errors import BadArgument, NotALaw, ShapeMismatch, TooLarge
from otspec.core.markov import MarkovModel, check_models

ROUNDING = 1e-13  # a linear system of at most 27 well-conditioned equations


def random_model(order, size, seed):
    return MarkovModel(np.random.default_rng(seed).dirichlet(np.ones(size), size=(size,) * order))


@pytest.mark.parametrize(("order", "size"), [(1, 2), (1, 7), (2, 3), (3, 3)])
def test_stationary_law_is_left_unchanged_by_a_step(order, size):
    model = random_model(order, size, order)
    moved = (model.initial[..., None] * model.transition).sum(axis=0)
    assert np.allclose(moved, model.initial, atol=ROUNDING)
    assert model.initial.sum() == pytest.approx(1, abs=ROUNDING)


def test_known_stationary_laws():
    assert np.allclose(MarkovModel([[0.9, 0.1], [0.3, 0.7]]).initial, [0.75, 0.25], atol=ROUNDING)
    # transient token 0, then an alternating pair: periodic chains have a stationary law too
    chain = MarkovModel([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    assert np.allclose(chain.initial, [0.0, 0.5, 0.5], atol=ROUNDING)


def test_two_closed_classes_need_an_initial_law():
    with pytest.raises(BadArgument, match="not unique"):
        _ = MarkovModel(np.eye(3)).initial
    with pytest.raises(BadArgument, match="2 closed sets"):  # joined by a token that leads to both
        _ = MarkovModel([[0.0, 0.5, 0.5], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).initial
    assert np.array_equal(MarkovModel(np.eye(3), [0.2, 0.3, 0.5]).text_law(1), [0.2, 0.3, 0.5])


@pytest.mark.parametrize("order", [1, 2])
def test_text_law_is_the_product_along_the_text(order):
    model = random_model(order, 3, 5)
    law = model.text_law(3)
    assert law.shape == (3, 3, 3)
    for text in itertools.product(range(3), repeat=3):
        mass = 0.0
        for context in itertools.product(range(3), repeat=order):
            weight, past = model.initial[context], list(context)
            for token in text:
                weight *= model.next_law(past)[token]
                past.append(token)
            mass += weight
        assert law[text] == pytest.approx(mass, abs=ROUNDING)


def test_lifting_changes_nothing():
    model = random_model(1, 3, 9)
    lifted = model.lifted(3)
    assert lifted.order == 3
    assert np.allclose(lifted.text_law(4), model.text_law(4), atol=ROUNDING)
    with pytest.raises(BadArgument, match="order"):
        lifted.lifted(1)
    with pytest.raises(BadArgument, match="given initial law"):
        MarkovModel(np.eye(2), [0.5, 0.5]).lifted(2)
    for same in (model, MarkovModel(np.eye(2), [0.5, 0.5])):
        assert same.lifted(1) is same


def test_memoryless():
    law = np.array([0.2, 0.3, 0.5])
    model = MarkovModel.memoryless(law)
    assert np.allclose(model.text_law(2), np.outer(law, law), atol=ROUNDING)
    assert np.array_equal(model.next_law(np.array([[0], [2]])), np.stack([law, law]))
    assert (model.order, model.is_stationary) == (1, False)
    for wrong in ([[0.5, 0.5]], [[[1.0]]]):
        with pytest.raises(ShapeMismatch, match=r"law: shape \(.*\) is not one law\. Fix: pass \[V\]"):
            MarkovModel.memoryless(wrong)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_law_after_a_context_is_read_from_its_last_tokens(order, rng):
    model = random_model(order, 3, 2)
    contexts = rng.integers(0, 3, (2, 4, order + 2))
    for given in (contexts, contexts[..., 2:].astype(np.uint8)):
        found = model.next_law(given)
        for where in np.ndindex(2, 4):
            assert np.array_equal(found[where], model.transition[tuple(contexts[where][2:])])
    assert repr(model) == f"MarkovModel(order={order}, vocabulary=3)"


def test_tables_of_every_kind_are_normalised():
    transition = np.full((3, 3, 3), 1 / 3) + 1e-8 * np.arange(9.0).reshape(3, 3, 1)
    model = MarkovModel(transition, np.full((3, 3), 1 / 9) + 1e-8)
    assert np.allclose(model.transition.sum(axis=-1), 1, rtol=1e-15)
    assert model.initial.sum() == pytest.approx(1, rel=1e-15)
    assert (model.order, model.vocabulary, model.is_stationary) == (2, 3, False)
    for whole in (np.eye(2, dtype=int), np.eye(2, dtype=np.uint8), np.eye(2, dtype=np.float32), [[1, 0], [0, 1]]):
        assert MarkovModel(whole).transition.dtype == np.float64
    with pytest.raises(ShapeMismatch, match=r"initial: shape \(3,\) is not that of a context, \(3, 3\)"):
        MarkovModel(transition, np.full(3, 1 / 3))


def test_a_stationary_law_is_positive_where_it_can_be_and_zero_elsewhere():
    for seed in range(5):
        matrix = np.random.default_rng(seed).dirichlet(np.full(4, 0.1), 6)
        chain = np.zeros((8, 8))
        chain[:6, [0, 2, 3, 5]] = matrix  # 1, 4, 6 and 7 cannot be returned to
        chain[6:, :2] = 0.5
        law = MarkovModel(chain).initial
        assert np.allclose(law @ chain, law, atol=ROUNDING)
        assert (law[[1, 4, 6, 7]] == 0).all()
        assert (law >= 0).all()


def test_models_of_one_vocabulary_belong_together():
    model = random_model(1, 3, 0)
    check_models(model, random_model(2, 3, 1))
    for pair, name in (((model, np.eye(3)), "draft_model: ndarray"), (([1], model), "target_model: list")):
        with pytest.raises(BadArgument, match=f"^{name} is no MarkovModel"):
            check_models(*pair)
    with pytest.raises(ShapeMismatch, match="target_model has 3 tokens, draft_model 2"):
        check_models(model, random_model(1, 2, 0))


def test_work_is_refused_beyond_its_limit_and_not_before(monkeypatch):
    monkeypatch.setattr(markov, "MAX_TEXTS", 2**4)
    monkeypatch.setattr(markov, "MAX_STATES", 2**2)
    model = random_model(1, 2, 0)
    assert model.text_law(3).shape == (2, 2, 2)
    with pytest.raises(TooLarge, match="32 texts with their contexts, more than 16") as refused:
        model.text_law(4)
    assert refused.value.estimate == 32
    assert model.lifted(2).initial.shape == (2, 2)
    with pytest.raises(TooLarge, match="stationary law of 8 contexts needs a dense system") as refused:
        _ = model.lifted(3).initial
    assert refused.value.estimate == 8


@pytest.mark.parametrize(("transition", "initial", "error", "says"), [
    ([0.5, 0.5], None, ShapeMismatch, "memoryless"),
    (np.ones((2, 3)) / 3, None, ShapeMismatch, "different lengths"),
    (np.ones((2, 2)), None, NotALaw, "transition"),
    ([[1.5, -0.5], [0.5, 0.5]], None, NotALaw, "transition"),
    ([["a", "b"], ["c", "d"]], None, ShapeMismatch, "dtype"),
    (np.eye(2, dtype=bool), None, ShapeMismatch, "transition: dtype bool holds no probabilities"),
    ([[1.0], [0.5, 0.5]], None, ShapeMismatch, "transition: no array of numbers"),
    (1.0, None, ShapeMismatch, r"transition: shape \(\) has axes of different lengths"),
    (np.eye(2), [1.0, 0.0, 0.0], ShapeMismatch, "initial"),
    (np.eye(2), [0.5, 0.6], NotALaw, "initial"),
])
def test_bad_models(transition, initial, error, says):
    with pytest.raises(error, match=says):
        MarkovModel(transition, initial)


def test_bad_contexts_and_sizes():
    model = random_model(2, 3, 0)
    with pytest.raises(ShapeMismatch, match="context"):
        model.next_law([1])
    with pytest.raises(ShapeMismatch, match="context"):
        model.next_law([0.5, 1.0])
    with pytest.raises(ShapeMismatch, match=r"context: int64 of shape \(\) does not hold 2 tokens"):
        model.next_law(1)
    with pytest.raises(BadArgument, match=r"context: a token lies outside 0 \.\. 2\."):
        model.next_law([[0, 1], [-1, 2]])
    with pytest.raises(TooLarge, match=r"3\.28e\+20 texts with their contexts, more than 6\.71e\+07\. Fix: a shorter"):
        model.text_law(41)
    with pytest.raises(TooLarge, match=r"4913 contexts needs .*, more than 4096\. Fix: pass initial="):
        _ = MarkovModel(np.broadcast_to(np.full(17, 1 / 17), (17,) * 4)).initial
    with pytest.raises(BadArgument, match="outside"):
        model.next_law([0, 3])
