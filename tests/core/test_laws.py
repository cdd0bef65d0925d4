import numpy as np
import pytest
import torch

import otspec as ot
from otspec.core import laws


def test_normalize_accepts_counts_and_refuses_an_empty_row():
    np.testing.assert_array_equal(ot.normalize(np.array([[1, 1], [0, 4]])), [[0.5, 0.5], [0.0, 1.0]])
    with pytest.raises(ot.NotALaw, match="sums to zero"):
        ot.normalize([[1.0, 1.0], [0.0, 0.0]])


@pytest.mark.parametrize(("law", "message"), [
    ([0.5, np.nan], r"target\[1\] = nan"),
    ([1.5, -0.5], r"target\[1\] = -0.5"),
    ([0.5, np.inf], r"target\[1\] = inf"),
    ([0.5, 0.4], "sums to 0.9, not to 1"),
    (np.array([1, 0]), "otspec.normalize"),
    (np.array([0.5, 0.5], dtype=np.float16), "half-precision"),
    (np.array(1.0), "no vocabulary axis"),
    ("abc", "is not an array"),
])
def test_bad_laws_are_named_with_their_fix(law, message):
    with pytest.raises(ot.NotALaw, match=message) as caught:
        ot.overlap(law, [0.5, 0.5])
    assert "Fix" in str(caught.value)


def test_the_entry_that_is_wrong_is_named_not_one_that_is_zero():
    with pytest.raises(ot.NotALaw, match=r"draft\[1, 2\] = -0\.5: masses"):
        ot.overlap(np.array([[0.0, 0.5, 0.5]] * 2), np.array([[0.0, 0.5, 0.5], [0.0, 1.5, -0.5]]))


def test_sum_tolerance_depends_on_the_dtype():
    off = np.array([0.5, 0.5 + 1e-5])
    with pytest.raises(ot.NotALaw, match="sums to"):
        ot.overlap(off, off)
    assert float(ot.overlap(off.astype(np.float32), off.astype(np.float32))) == pytest.approx(1.0, abs=1e-4)


def test_laws_that_do_not_fit_together_are_refused():
    with pytest.raises(ot.ShapeMismatch, match="vocabularies differ: target has 2 tokens, draft has 3"):
        ot.overlap([0.5, 0.5], [0.5, 0.25, 0.25])
    with pytest.raises(ot.ShapeMismatch, match="batch shapes"):
        ot.overlap(np.full((2, 2), 0.5), np.full((3, 2), 0.5))
    with pytest.raises(ot.ShapeMismatch, match="dtypes differ"):
        ot.overlap(np.full(2, 0.5), np.full(2, 0.5, dtype=np.float32))
    with pytest.raises(ot.ShapeMismatch, match="array libraries differ"):
        ot.overlap(np.full(2, 0.5), torch.full((2,), 0.5, dtype=torch.float64))


def test_residual_is_the_excess_and_the_target_where_there_is_none(convert):
    target, draft = convert(np.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])), convert(np.array([[0.2, 0.3, 0.5]] * 2))
    np.testing.assert_allclose(np.asarray(ot.residual(target, draft)), [[1, 0, 0], [0.2, 0.3, 0.5]], atol=1e-16)


def test_draw_hits_every_token_for_its_share_of_the_uniforms(convert):
    law = np.array([0.0, 0.25, 0.0, 0.5, 0.25, 0.0])
    grid = (np.arange(1000) + 0.5) / 1000
    tokens = np.asarray(laws.draw(convert(np.tile(law, (1000, 1))), convert(grid)))
    np.testing.assert_array_equal(np.bincount(tokens, minlength=6) / 1000, law)


def test_draw_never_lands_on_a_token_without_mass():
    # the largest uniform, on sums that round: the last token has none
    law = np.array([0.1] * 10 + [0.0])
    assert int(laws.draw(law, np.array(np.nextafter(1.0, 0.0)))) == 9
    assert int(laws.draw(np.array([0.0, 1.0]), np.array(0.0))) == 1
    # a mass so small that its product with any uniform above a half is itself
    assert int(laws.draw(np.array([0.0, 5e-324, 0.0]), np.array(np.nextafter(1.0, 0.0)))) == 1


def test_cumulative_maximum_agrees_between_libraries(convert, rng):
    for shape in ((3, 37), (2, 3, 8), (4, 1), (2, 2), (3,)):
        values = rng.normal(size=shape)
        np.testing.assert_array_equal(np.asarray(laws.cumulative_maximum(convert(values))),
                                      np.maximum.accumulate(values, axis=-1))


def test_truncations_keep_the_largest_masses_lower_id_first(convert):
    law = convert(np.array([0.2, 0.3, 0.3, 0.2]))
    np.testing.assert_allclose(np.asarray(ot.truncate(law, top_k=3)), [0.25, 0.375, 0.375, 0], atol=1e-15)
    np.testing.assert_allclose(np.asarray(ot.truncate(law, top_p=0.55)), [0, 0.5, 0.5, 0], atol=1e-15)
    np.testing.assert_allclose(np.asarray(ot.truncate(law, top_p=0.25)), [0, 1, 0, 0], atol=1e-15)
    with pytest.raises(ot.BadArgument, match="top_p"):
        ot.truncate(law, top_p=0.0)
    with pytest.raises(ot.BadArgument, match="top_k"):
        ot.truncate(law, top_k=0)


def test_temperature_zero_is_the_largest_mass_and_one_is_the_law_itself():
    law = np.array([0.3, 0.4, 0.3])
    np.testing.assert_array_equal(ot.temper(law, 0.0), [0, 1, 0])
    np.testing.assert_array_equal(ot.temper(law, 1.0), law)
    np.testing.assert_allclose(ot.temper(law, 0.5), law**2 / (law**2).sum(), atol=1e-15)
    for temperature in (0.0, 0.5, 1.0):
        assert ot.temper(law.astype(np.float32), temperature).dtype == np.float32
    # a tiny temperature overflows the exponent without a warning
    np.testing.assert_array_equal(ot.temper(law, 1e-300), [0, 1, 0])


def test_logits_without_any_token_are_refused():
    with pytest.raises(ot.NotALaw, match="-inf everywhere"):
        ot.law_from_logits(np.full((2, 3), -np.inf))
    with pytest.raises(ot.NotALaw, match="NaN"):
        ot.law_from_logits(np.array([0.0, np.nan]))
    with pytest.raises(ot.BadArgument, match="temperature"):
        ot.law_from_logits(np.zeros(2), temperature=-1.0)


@pytest.mark.parametrize(("logits", "said"), [
    (np.float64(1.0), r"float64 of shape \(\)"), (np.zeros((2, 0)), r"float64 of shape \(2, 0\)"),
    (np.zeros(2, complex), r"complex128 of shape \(2,\)"), (np.zeros((2, 3), bool), r"bool of shape \(2, 3\)")])
def test_logits_of_another_kind_are_named(logits, said):
    with pytest.raises(ot.NotALaw, match=rf"^logits: {said}\. Fix: numbers, \[\*batch V\] with V >= 1"):
        ot.law_from_logits(logits)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_of_equal_logits_the_first_is_greedy_and_all_are_equally_likely(dtype, convert):
    logits = convert(np.array([[[1.0, 3.0, 3.0, -np.inf]], [[0.0, -1.0, 0.0, 0.0]]]))
    greedy, law, cut = (np.asarray(ot.law_from_logits(logits, dtype=dtype, **how))
                        for how in ({"temperature": 0}, {}, {"top_k": 1}))
    np.testing.assert_array_equal(greedy, [[[0, 1, 0, 0]], [[1, 0, 0, 0]]])
    np.testing.assert_array_equal(cut, greedy)
    assert {greedy.dtype, law.dtype, cut.dtype} == {np.dtype(dtype)}
    for temperature in (1.0, 2.0, 0.5):
        weights = np.exp(np.asarray(logits) / temperature)
        for law_of in (ot.law_from_logits, laws.law_from_checked_logits):
            found = np.asarray(law_of(logits, dtype=dtype, temperature=temperature))
            np.testing.assert_allclose(found, weights / weights.sum(-1, keepdims=True), rtol=8 * np.finfo(dtype).eps)
            if temperature == 1:
                np.testing.assert_array_equal(found, law)
                np.testing.assert_array_equal(found, np.asarray(law_of(logits, dtype=dtype)))


def test_one_token_is_certain(convert):
    for logits in (np.zeros((2, 3, 1)), np.full((2, 3, 1), -700), np.full((2, 3, 1), 1e308)):
        for how in ({}, {"temperature": 0}, {"temperature": 0.3, "top_k": 1, "top_p": 0.5}):
            np.testing.assert_array_equal(np.asarray(ot.law_from_logits(convert(logits), **how)), np.ones((2, 3, 1)))


def test_absent_tokens_have_no_mass_and_no_indicator(convert):
    import array_api_compat

    law, tokens = convert(np.array([0.25, 0.75])), convert(np.array([1, -1]))
    xp = array_api_compat.array_namespace(law)
    np.testing.assert_array_equal(np.asarray(laws.at(law, tokens)), [0.75, 0.0])
    lone = laws.at(convert(np.ones((2, 1))), convert(np.array([[-1], [0]])))
    np.testing.assert_array_equal(np.asarray(lone), [[0], [1]])
    np.testing.assert_array_equal(np.asarray(laws.one_hot(tokens, 2, xp.float64)), [[0, 1], [0, 0]])


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_masses_are_those_of_their_tokens(batch, convert, rng):
    law, tokens = rng.random((*batch, 5)), rng.integers(-1, 5, (*batch, 4))
    found = np.asarray(laws.at(convert(law), convert(tokens.astype(np.int32))))
    np.testing.assert_array_equal(found, np.where(tokens < 0, 0.0, np.take_along_axis(law, np.maximum(tokens, 0), -1)))
    shared = np.asarray(laws.at(convert(law.reshape(-1, 5)[0]), convert(tokens)))
    np.testing.assert_array_equal(shared, np.where(tokens < 0, 0.0, law.reshape(-1, 5)[0][tokens]))
    index = np.maximum(tokens, 0)
    np.testing.assert_array_equal(np.asarray(laws.take(convert(law), convert(index))),
                                  np.take_along_axis(law, index, -1))


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_basic_distances_row_by_row(batch, dtype, convert, rng):
    target, draft = (rng.dirichlet(np.full(6, 0.4), batch).astype(dtype) for _ in range(2))
    target[..., 0], draft[..., 0] = 0.0, 0.0
    target, draft = (np.asarray(ot.normalize(convert(law))) for law in (target, draft))
    tolerance = {"rtol": 64 * np.finfo(dtype).eps, "atol": 64 * np.finfo(dtype).eps}
    shared, apart = (np.asarray(f(convert(target), convert(draft))) for f in (ot.overlap, ot.total_variation))
    rest = np.asarray(ot.residual(convert(target), convert(draft)))
    np.testing.assert_allclose(shared, np.minimum(target, draft).sum(-1), **tolerance)
    np.testing.assert_allclose(shared + apart, 1.0, **tolerance)
    np.testing.assert_allclose(rest * apart[..., None], np.maximum(target - draft, 0), **tolerance)
    np.testing.assert_array_equal(np.asarray(laws.total(convert(target))) > 0.99, np.ones(batch, bool))
    np.testing.assert_array_equal(np.asarray(ot.residual(convert(target), convert(target))), target)
    assert {shared.dtype, apart.dtype, rest.dtype} == {np.dtype(dtype)}


def test_ties_stand_in_order_of_their_ids(convert, rng):
    weights = rng.integers(0, 3, (2, 3, 500)).astype(float)
    order = np.asarray(laws.descending_order(convert(weights)))
    np.testing.assert_array_equal(order, np.argsort(-weights, axis=-1, kind="stable"))


def test_sums_are_carried_in_double_precision(convert):
    law = np.full((2, 3, 1 << 12), 2.0**-12, np.float32)
    law[..., 0] = 1e-9
    sums = np.asarray(laws.cumulative_sum(convert(law)))
    assert sums.dtype == np.float64
    np.testing.assert_array_equal(sums, np.cumsum(law.astype(np.float64), axis=-1))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_uniform_draws_a_token_of_positive_mass(dtype, convert, rng):
    law = rng.integers(0, 3, (50, 2, 9)).astype(dtype)
    law[..., 4] += 1
    law /= law.sum(axis=-1, keepdims=True)
    for uniform in (0.0, 5e-324, 0.5, 1 - 2.0**-53):
        coins = np.full((50, 2), uniform)
        tokens = np.asarray(laws.draw(convert(law), convert(coins)))
        assert (tokens.dtype, tokens.shape) == (np.int64, (50, 2))
        sums = np.cumsum(law.astype(float), axis=-1)
        assert (np.take_along_axis(law, tokens[..., None], -1) > 0).all()
        assert (np.take_along_axis(sums, tokens[..., None], -1)[..., 0] >= coins * sums[..., -1]).all()
        assert (np.take_along_axis(sums - law, tokens[..., None], -1)[..., 0] <= coins * sums[..., -1] + 1e-12).all()


@pytest.mark.parametrize(("law", "uniform", "error", "said"), [
    ([0.5, 0.5], np.array(0.5), ot.ShapeMismatch, "law: list is not an array"),
    (np.array([0.5, 0.5]), 0.5, ot.ShapeMismatch, "uniform: float is not an array"),
    (np.array([0.5, 0.5]), np.dtype(float), ot.ShapeMismatch, "uniform: Float64DType is not an array"),
    (np.full((2, 2), 0.5), np.zeros(3), ot.ShapeMismatch, r"law \(2, 2\) and uniform \(3,\) do not fit"),
    (torch.tensor(1.0), torch.tensor(0.5), ot.ShapeMismatch, r"law \(\) and uniform \(\) do not fit"),
    (np.array([0.5, 0.5]), np.array(True), ot.NotALaw, "uniform: dtype bool holds no probabilities"),
    (np.array([0.5, np.nan]), np.array(0.5), ot.NotALaw, "law: NaN or infinite masses"),
    (np.array([0.5, np.inf]), np.array(0.5), ot.NotALaw, "law: NaN or infinite masses"),
    (np.array([[0.5, 0.5], [0.5, np.nan]]), np.zeros(2), ot.NotALaw, "law: NaN or infinite masses"),
    (np.full((2, 2), 0.5), np.array([0.5, np.nan]), ot.BadArgument, "uniform: NaN or infinite"),
])
def test_draws_that_cannot_be_are_explained(law, uniform, error, said):
    with pytest.raises(error, match=rf"^{said}.*Fix"):
        ot.draw(law, uniform)


def test_draws_from_two_libraries_are_refused(convert):
    if convert is np.asarray:
        convert = torch.asarray
    with pytest.raises(ot.ShapeMismatch, match=r"array libraries differ: law is ndarray, uniform (Tensor|Array)"):
        ot.draw(np.full((1, 2), 0.5), convert(np.zeros(1)))


def test_draws_from_whole_numbers_are_refused():
    law, uniform = np.array([0.5, 0.5]), np.array(0.25)
    for name, given in (("uniform", (law, uniform.astype(int))), ("law", (np.array([1, 0]), uniform))):
        with pytest.raises(ot.NotALaw, match=f"{name}: dtype int64 holds no probabilities"):
            ot.draw(*given)


@pytest.mark.parametrize("uniform", [np.nan, np.inf])
def test_draws_from_numbers_that_are_none_are_refused(uniform):
    with pytest.raises(ot.BadArgument, match="uniform: NaN or infinite"):
        ot.draw(np.array([0.0, 0.0]), np.array(uniform))


@pytest.mark.parametrize("library", ["numpy", "torch", "array_api_strict"])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize(("logits", "dtype"), [
    ([1e39, 0.0], "float32"), ([1e39, -1e39], "float32"), ([1.7e308, -1.7e308], "float64"),
    ([1.7e308, -1.7e308], "float32")])
def test_logits_at_the_ends_of_their_range(library, temperature, logits, dtype):
    xp = pytest.importorskip(library)
    law = ot.law_from_logits(xp.asarray(logits, dtype=xp.float64), temperature=temperature, dtype=dtype)
    assert law.dtype == getattr(xp, dtype)
    assert [float(mass) for mass in law] == [1.0, 0.0]


def test_differences_are_taken_before_logits_are_rounded():
    far = ot.law_from_logits(np.array([1e9 + 1.0, 1e9]), dtype="float32")  # neighbours in float32 are 64 apart there
    np.testing.assert_array_equal(far, ot.law_from_logits(np.array([1.0, 0.0]), dtype="float32"))


@pytest.mark.parametrize("dtype", [["float32"], "float16", None])
def test_dtypes_that_laws_do_not_have_are_refused(dtype):
    with pytest.raises(ot.BadArgument, match=r"dtype: .* is none of 'float64', 'float32'"):
        ot.law_from_logits(np.zeros(2), dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_weights_whose_sum_overflows_are_normalized(dtype):
    largest = np.finfo(dtype).max
    weights = np.array([[largest, largest, 0.0], [1.0, 1.0, 2.0]], dtype=dtype)
    found = ot.normalize(weights)
    np.testing.assert_array_equal(found, np.array([[0.5, 0.5, 0.0], [0.25, 0.25, 0.5]], dtype=dtype))
    assert found.dtype == dtype
    tiny = np.finfo(dtype).smallest_subnormal
    np.testing.assert_array_equal(ot.normalize(np.array([[largest, 0.0], [tiny, tiny]], dtype=dtype)),
                                  [[1, 0], [0.5, 0.5]])
    np.testing.assert_array_equal(ot.normalize(np.array([[tiny, 3 * tiny]], dtype=dtype)), [[0.25, 0.75]])


@pytest.mark.parametrize("dtype", [bool, complex])
def test_weights_that_are_no_real_numbers_are_not_sent_to_normalize_again(dtype):
    with pytest.raises(ot.NotALaw, match=r"weights: dtype (bool|complex128) holds no weights\."):
        ot.normalize(np.ones(2, dtype=dtype))


def test_a_bool_is_no_count():
    with pytest.raises(ot.BadArgument, match="True is a bool"):
        ot.optimal_acceptance([0.5, 0.5], [0.5, 0.5], True)
