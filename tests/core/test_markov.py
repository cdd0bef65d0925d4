"""Markov models: stationary laws, text laws, lifting, and errors."""

import itertools

import numpy as np
import pytest

from otspec.core.errors import BadArgument, NotALaw, ShapeMismatch, TooLarge
from otspec.core.markov import MarkovModel

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


def test_memoryless():
    law = np.array([0.2, 0.3, 0.5])
    model = MarkovModel.memoryless(law)
    assert np.allclose(model.text_law(2), np.outer(law, law), atol=ROUNDING)
    assert np.array_equal(model.next_law(np.array([[0], [2]])), np.stack([law, law]))


@pytest.mark.parametrize(("transition", "initial", "error", "says"), [
    ([0.5, 0.5], None, ShapeMismatch, "memoryless"),
    (np.ones((2, 3)) / 3, None, ShapeMismatch, "different lengths"),
    (np.ones((2, 2)), None, NotALaw, "transition"),
    ([[1.5, -0.5], [0.5, 0.5]], None, NotALaw, "transition"),
    ([["a", "b"], ["c", "d"]], None, ShapeMismatch, "dtype"),
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
    with pytest.raises(BadArgument, match="outside"):
        model.next_law([0, 3])
    with pytest.raises(TooLarge):
        model.text_law(40)
    with pytest.raises(TooLarge, match="initial"):
        _ = MarkovModel(np.broadcast_to(np.full(70, 1 / 70), (70, 70, 70))).initial
