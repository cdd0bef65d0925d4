"""Rows along drafted tokens: what is checked of them, and how they are read."""

import numpy as np
import pytest

from otspec.core import rows
from otspec.core.errors import BadArgument, NotALaw, ShapeMismatch
from otspec.core.laws import draw
from otspec.core.tree import DraftTree
from tests.conftest import random_law

LAST = 1 - 2.0**-53


def chains(rng, batch, length, size):
    """Target rows, draft rows and drafted tokens, with zeros and ties."""
    def laws(count):
        flat = [random_law(rng, size, zeros=True) for _ in range(int(np.prod(batch)) * count)]
        return np.reshape(flat, (*batch, count, size))

    target, draft = laws(length + 1), laws(length) if length else np.zeros((*batch, 0, size))
    tokens = draft.argmax(axis=-1) if length else np.zeros((*batch, 0), int)
    return target, draft, tokens


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
@pytest.mark.parametrize("length", [0, 1, 3])
def test_good_rows_are_returned_as_they_are(batch, length, convert, rng):
    given = [convert(part) for part in chains(rng, batch, length, 4)]
    checked = rows.checked_rows(*given)
    assert all(one is other for one, other in zip(checked, given, strict=True))
    if batch:
        assert rows.checked_rows(*given, leading="K")[2] is given[2]
    else:
        with pytest.raises(ShapeMismatch, match=r"tokens do not fit: .* \[\*batch K L\+1 V\], \[\*batch K L V\]"):
            rows.checked_rows(*given, leading="K")


def test_rows_of_one_token_are_enough():
    for part in rows.checked_rows([[1.0], [1.0]], [[1.0]], [0]):
        assert isinstance(part, np.ndarray)


@pytest.mark.parametrize(("target", "draft", "tokens", "error", "said"), [
    ((2, 3, 4), (2, 2, 4), (2,), ShapeMismatch, r"do not fit: target_rows \(2, 3, 4\), draft_rows \(2, 2, 4\), tokens "
                                                r"\(2,\)\. Fix: pass \[\*batch L\+1 V\], \[\*batch L V\] and"),
    ((3, 4), (1, 2, 4), (1, 2), ShapeMismatch, "rows and tokens do not fit"),
    ((4,), (4,), (), ShapeMismatch, "rows and tokens do not fit"),
    ((2, 4), (2, 4), (2,), ShapeMismatch, "a path of 2 tokens needs 2 draft rows and 3 target rows; got target_rows"),
    ((3, 4), (1, 4), (2,), ShapeMismatch, "a path of 2 tokens needs 2 draft rows and 3 target rows"),
    ((3, 4), (2, 5), (2,), ShapeMismatch, "batch shapes or vocabularies differ: target_rows"),
    ((1, 3, 4), (2, 2, 4), (2, 2), ShapeMismatch, "batch shapes or vocabularies differ"),
    ((2, 3, 4), (1, 2, 4), (2, 2), ShapeMismatch, "batch shapes or vocabularies differ"),
    ((2, 3, 4), (2, 2, 4), (1, 2), ShapeMismatch, "batch shapes or vocabularies differ"),
])
def test_shapes_that_do_not_fit_are_named(target, draft, tokens, error, said):
    with pytest.raises(error, match=said):
        rows.checked_rows(*(np.ones(shape) / shape[-1] for shape in (target, draft)), np.zeros(tokens, int))


def test_values_that_do_not_fit_are_named(convert, rng):
    target, draft, tokens = chains(rng, (2, 2), 3, 4)
    for value, said in ((-1, r"tokens: -1 found; a path has no absent tokens"),
                        (4, r"tokens\[1, 0, 2\] = 4 is outside the vocabulary of 4")):
        wrong = tokens.copy()
        wrong[1, 0, 2] = value
        with pytest.raises(BadArgument, match=said):
            rows.checked_rows(convert(target), convert(draft), convert(wrong))
    draft[1, 0, 2] = np.eye(4)[(tokens[1, 0, 2] + 1) % 4]
    with pytest.raises(BadArgument, match=r"tokens\[1, 0, 2\] = . has probability 0 under its draft row"):
        rows.checked_rows(convert(target), convert(draft), convert(tokens))
    with pytest.raises(ShapeMismatch, match="dtypes differ: target_rows float64, draft_rows float32"):
        rows.checked_rows(target, draft.astype(np.float32), tokens)
    draft[1, 0, 2, 3] = -1.0
    with pytest.raises(NotALaw, match=r"draft_rows\[1, 0, 2, 3\] = -1"):
        rows.checked_rows(convert(target), convert(draft), convert(tokens))


def test_one_row_of_uniforms_per_verdict(convert):
    target = convert(np.ones((2, 3, 1, 1)))
    good = convert(np.full((2, 3, 5), 0.25))
    assert rows.checked_coins(good, 5, (2, 3), target) is good
    for batch in ((2,), (3, 2), ()):
        with pytest.raises(ShapeMismatch, match=r"uniforms: batch shape \(2, 3\) differs from that of tokens, \("):
            rows.checked_coins(good, 5, batch, target)


def test_rows_of_a_tree_follow_its_nodes():
    tree = DraftTree([-1, 0, 0, 1], [-1, 0, 2, 1])
    law = np.array([[0.25, 0.5, 0.25], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.5, 1e-7]])
    found = rows.tree_rows("draft_rows", law.astype(np.float32), tree)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=4 * 2**-52)
    np.testing.assert_allclose(found, law, rtol=1e-6)
    for wrong in (law[:3], law[None], law[0]):
        with pytest.raises(ShapeMismatch, match=r"draft_rows: shape \(.*\) for a tree of 4 nodes"):
            rows.tree_rows("draft_rows", wrong, tree)
    with pytest.raises(BadArgument, match="tokens: 2 is outside the vocabulary of 2"):
        rows.tree_rows("draft_rows", np.full((4, 2), 0.5), tree)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
@pytest.mark.parametrize("more", [0, 1])
def test_masses_of_a_path_are_those_of_its_tokens(batch, more, convert, rng):
    target, draft, tokens = chains(rng, batch, 3, 4)
    for given in (draft.astype(np.float32), target[..., : 3 + more, :]):
        found = np.asarray(rows.path_masses(convert(given), convert(tokens)))
        assert (found.dtype, found.shape) == (np.float64, (*batch, 3))
        for where in np.ndindex(found.shape):
            assert found[where] == given[(*where, tokens[where])]


def test_ratios_are_clipped_and_quotients_by_nothing_are_not_used(convert):
    tiny, huge = 5e-324, 1e308
    numerator = np.array([[0.0, 0.0, 0.5, 0.5, 0.25, 1.0], [tiny, huge, huge, tiny, tiny, 0.0]])
    denominator = np.array([[0.0, 0.5, 0.0, 0.5, 0.5, 0.5], [tiny, tiny, huge, 1.0, 0.0, tiny]])
    with np.errstate(all="raise"):
        found = rows.clipped_ratio(convert(numerator), convert(denominator))
    np.testing.assert_array_equal(np.asarray(found), [[0, 0, 1, 1, 0.5, 1], [1, 1, 1, tiny, 1, 0]])
    np.testing.assert_array_equal(np.asarray(rows.divisor(convert(np.array([-0.5, 0.0, tiny, 0.5, 2.0])))),
                                  [1, 1, tiny, 0.5, 2])


def test_a_weight_after_failure_is_a_share(convert):
    weight, left = np.array([0.0, 0.25, 0.5, 1.0, 1.0, 0.5]), np.array([0.0, 0.25, 0.5, 0.5, 0.0, 0.0])
    with np.errstate(all="raise"):
        found = rows.weight_after_failure(convert(weight), convert(left))
    np.testing.assert_array_equal(np.asarray(found), [0.0, 0.25, 0.5, 1.0, 1.0, 0.0])


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
@pytest.mark.parametrize("length", [0, 1, 3])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_residuals_after_every_node_of_a_chain(batch, length, dtype, convert, rng):
    target, draft, _ = (part.astype(dtype) for part in chains(rng, batch, length, 5))
    scale = rng.choice([0.0, 0.5, 1.0], (*batch, length + 1))
    if length == 3:  # rows without an excess
        draft[..., 1, :], scale[..., 1] = target[..., 1, :], 1.0
    law = np.asarray(rows.residual_laws(convert(target), convert(draft), convert(scale)))
    assert (law.dtype, law.shape) == (np.float64, target.shape)
    for where in np.ndindex(law.shape[:-1]):
        expected = target[where].astype(float)
        if where[-1] < length:
            excess = np.maximum(scale[where] * expected - draft[where], 0.0)
            expected = excess / excess.sum() if excess.any() else expected
        np.testing.assert_allclose(law[where], expected, rtol=1e-15)
    for node in range(length + 1):
        at, sent = convert(np.full((*batch, 1), node))[..., 0], convert(scale)[..., node]
        np.testing.assert_array_equal(np.asarray(rows.row_at(convert(target), at)), target[..., node, :])
        for uniform in (0.0, 0.3, 0.7, LAST):
            coins = convert(np.full((*batch, 1), uniform))[..., 0]
            token = np.asarray(rows.draw_residual(convert(target), convert(draft), at, sent, coins))
            assert token.shape == batch
            np.testing.assert_array_equal(token, draw(law[..., node, :], np.full(batch, uniform)))
            assert (np.take_along_axis(law[..., node, :], token[..., None], axis=-1) > 0).all()


def test_rows_are_picked_one_by_one(convert, rng):
    table, index = rng.random((2, 3, 4, 5)), rng.integers(0, 4, (2, 3))
    found = np.asarray(rows.row_at(convert(table), convert(index.astype(np.int32))))
    np.testing.assert_array_equal(found, np.take_along_axis(table, index[..., None, None], axis=2)[:, :, 0])
