import numpy as np
import pytest

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
    import torch

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


def test_cumulative_maximum_agrees_between_libraries(convert, rng):
    values = rng.normal(size=(3, 37))
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
    # a tiny temperature overflows the exponent without a warning
    np.testing.assert_array_equal(ot.temper(law, 1e-300), [0, 1, 0])


def test_logits_without_any_token_are_refused():
    with pytest.raises(ot.NotALaw, match="-inf everywhere"):
        ot.law_from_logits(np.full((2, 3), -np.inf))
    with pytest.raises(ot.NotALaw, match="NaN"):
        ot.law_from_logits(np.array([0.0, np.nan]))
    with pytest.raises(ot.BadArgument, match="temperature"):
        ot.law_from_logits(np.zeros(2), temperature=-1.0)


def test_absent_tokens_have_no_mass_and_no_indicator(convert):
    import array_api_compat

    law, tokens = convert(np.array([0.25, 0.75])), convert(np.array([1, -1]))
    xp = array_api_compat.array_namespace(law)
    np.testing.assert_array_equal(np.asarray(laws.at(law, tokens)), [0.75, 0.0])
    np.testing.assert_array_equal(np.asarray(laws.one_hot(tokens, 2, xp.float64)), [[0, 1], [0, 0]])


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
    np.testing.assert_array_equal(ot.normalize(weights), np.array([[0.5, 0.5, 0.0], [0.25, 0.25, 0.5]], dtype=dtype))


@pytest.mark.parametrize("dtype", [bool, complex])
def test_weights_that_are_no_real_numbers_are_not_sent_to_normalize_again(dtype):
    with pytest.raises(ot.NotALaw, match=r"weights: dtype (bool|complex128) holds no weights\."):
        ot.normalize(np.ones(2, dtype=dtype))


def test_a_bool_is_no_count():
    with pytest.raises(ot.BadArgument, match="True is a bool"):
        ot.optimal_acceptance([0.5, 0.5], [0.5, 0.5], True)
