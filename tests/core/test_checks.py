"""Arguments: what is let through at each limit, and what an error says of the rest."""

from fractions import Fraction

import array_api_strict as strict
import numpy as np
import pytest
import torch

from otspec.core import checks
from otspec.core.errors import BadArgument, NotALaw, ShapeMismatch

TINY = 5e-324
LAST = 1 - 2.0**-53
LOGITS = "If these are logits: otspec.law_from_logits(law)."


@pytest.mark.parametrize(("check", "passed", "refused"), [
    (checks.check_positive, [1, 2**31 - 1, np.int64(7)], [0, -1, 2**31, True, 1.0, "3", None]),
    (checks.check_seed, [0, 2**64 - 1, np.uint64(2**64 - 1), np.int32(4)], [-1, 2**64, True, 1.0, "3", None]),
])
def test_whole_numbers_in_their_range_become_ints(check, passed, refused):
    def checked(value):
        return check(*(("count", value) if check is checks.check_positive else (value, "count")))

    for value in passed:
        assert (checked(value), type(checked(value))) == (int(value), int)
    for value in refused:
        with pytest.raises(BadArgument) as caught:
            checked(value)
        assert str(caught.value).startswith(f"count: {value!r} is")
        assert "Fix: " in str(caught.value)


def test_the_error_of_a_count_says_what_is_wrong_with_it():
    for value, said in ((True, "is a bool"), (1.0, "is not an integer"), (0, "is smaller than 1"),
                        (2**31, "is beyond any use")):
        with pytest.raises(BadArgument, match=said):
            checks.check_positive("k", value)
    assert [checks.whole(value) for value in (0, -3, np.int8(5), True, np.True_, 2.0, "2", None)] == [
        0, -3, 5, None, None, None, None, None]


def test_the_seed_after_the_largest_is_the_smallest():
    assert [checks.seed_after(2**64 - 2, steps) for steps in range(4)] == [2**64 - 2, 2**64 - 1, 0, 1]
    with pytest.raises(BadArgument, match=r"^seed: 18446744073709551616 is no whole number in 0 \.\. 2\*\*64-1"):
        checks.seed_after(2**64, 0)


@pytest.mark.parametrize("value", [True, np.True_, 1j, "1", None, [1.0]])
def test_what_only_looks_like_a_number_is_refused(value):
    with pytest.raises(BadArgument, match=rf"^x: .* is no number but a {type(value).__name__}\. Fix: pass one\."):
        checks.check_number("x", value, "pass one")


def test_every_kind_of_real_number_becomes_a_float():
    for value in (2, 0.5, Fraction(1, 4), np.float32(0.5), np.int64(3)):
        number = checks.check_number("x", value, "pass one")
        assert (number, type(number)) == (value, float)
    with pytest.raises(BadArgument, match=r"^x: a number beyond 1e308\. Fix: pass one\."):
        checks.check_number("x", 10**400, "pass one")


@pytest.mark.parametrize(("check", "name", "passed", "refused"), [
    (checks.check_temperature, "temperature", [0, TINY, 1, 1.7e308], [-TINY, np.inf, -np.inf, np.nan]),
    (checks.check_top_p, "top_p", [TINY, 0.5, 1], [0, -0.5, np.nextafter(1, 2), np.inf, np.nan])])
def test_settings_are_floats_of_their_range(check, name, passed, refused):
    for value in passed:
        assert (check(value), type(check(value))) == (value, float)
    for value in refused:
        with pytest.raises(BadArgument, match=rf"^{name}: {value} is outside .*Fix"):
            check(value)


@pytest.mark.parametrize(("law", "said", "logits"), [
    ([0.5, np.nan, 0.5], "law[1] = nan: masses must be finite and >= 0", False),
    ([0.5, np.inf, 0.5], "law[1] = inf: masses", False),
    ([0.0, np.nan, 1.0], "law[1] = nan: masses", False),
    ([1.5, np.nan], "law[1] = nan: masses", False),
    ([1.75, np.nan], "law[1] = nan: masses", True),
    ([-0.25, np.nan, 1.25], "law[0] = -0.25: masses", True),
    ([-TINY, 1.0], "law[0] = -5e-324: masses", True),
    ([[0.5, 0.5], [1.0, 0.5]], "law[1] sums to 1.5, not to 1 (tolerance 1e-06)", False),
    ([[0.5, 0.5], [1.0, 0.5625]], "law[1] sums to 1.5625, not to 1", True),
    ([[[0.5, 0.0], [0.5, 0.5]], [[0.5, 0.5], [1.0, 0.0]]], "law[0, 0] sums to 0.5, not to 1", False),
    ([0.25, 0.1875], "law sums to 0.4375, not to 1", True),
    ([1.0, 2e-6], "law sums to 1.000002, not to 1", False),
    ([1.0 - 2e-6, 0.0], "law sums to 0.999998, not to 1", False),
])
def test_a_bad_law_is_named_and_logits_are_recognized(convert, law, said, logits):
    with pytest.raises(NotALaw) as caught:
        checks.as_law("law", convert(np.array(law)))
    assert str(caught.value).startswith(said)
    assert (LOGITS in str(caught.value)) == logits
    assert "Fix: otspec.normalize(law)" in str(caught.value) or "Fix: repair that entry" in str(caught.value)


def test_a_law_is_let_through_as_it_is(convert):
    for law in ([1.0], [0.0, 1.0], [1.0, 9e-7], [[[0.5, 0.5], [1.0 - 9e-7, 0.0]]]):
        array = convert(np.array(law))
        assert checks.as_law("law", array) is array
    small = np.array([1.0, 9e-4], dtype=np.float32)
    assert checks.as_law("law", small) is small
    with pytest.raises(NotALaw, match=r"sums to 1\.002\d*, not to 1 \(tolerance 0\.001\)"):
        checks.as_law("law", np.array([1.0, 2e-3], dtype=np.float32))
    listed = checks.as_law("law", [1, 0])
    assert (listed.tolist(), listed.dtype) == ([1.0, 0.0], np.float64)
    assert checks.as_law("law", np.array([[3.0, 0.0]]), sums_to_one=False).tolist() == [[3.0, 0.0]]


@pytest.mark.parametrize(("law", "said"), [
    (np.array(1.0), r"law: shape \(\) has no vocabulary axis"),
    (np.zeros((2, 0)), r"law: shape \(2, 0\) has no vocabulary axis"),
    (np.zeros(2, np.float16), "law: dtype float16 is refused"),
    (np.zeros(2, int), "law: dtype int64 holds no probabilities"),
    (np.zeros(2, complex), "law: dtype complex128 holds no probabilities"),
    ([[0.5], [0.5, 0.5]], "law: a list, but no array of numbers"),
    (["a"], "law: a list, but no array of numbers"),
    ("abc", "law: str is not an array"),
])
def test_what_is_no_array_of_masses_is_named(law, said):
    with pytest.raises(NotALaw, match=rf"^{said}.*Fix"):
        checks.as_law("law", law)


def test_arrays_that_numpy_cannot_hold_are_told_how_to():
    for array in (torch.zeros(2, dtype=torch.bfloat16), torch.zeros(2, requires_grad=True)):
        with pytest.raises(NotALaw, match=r"^x: (bfloat16|float32) on cpu is no NumPy array\. Fix"):
            checks.number_array("x", array)
    for value in ([1, 2], torch.tensor([1.0, 2.0]), np.array([1, 2])):
        assert checks.number_array("x", value).tolist() == [1, 2]


def test_laws_that_belong_together_share_one_batch_shape(convert):
    row, table = convert(np.array([0.25, 0.75])), convert(np.full((3, 1, 2), 0.5))
    for laws in ({"a": row, "b": table}, {"a": table, "b": row}, {"a": row, "b": row, "c": table}):
        xp, *both = checks.as_laws(**laws)
        assert hasattr(xp, "zeros")
        for given, law in zip(laws.values(), both, strict=True):
            np.testing.assert_array_equal(np.asarray(law), np.broadcast_to(np.asarray(given), (3, 1, 2)))
    xp, same = checks.as_laws(a=row)
    assert same is row
    with pytest.raises(ShapeMismatch, match=r"vocabularies differ: a has 2 tokens, b has 1 tokens\."):
        checks.as_laws(a=row, b=convert(np.ones(1)))  # a vocabulary of one is no axis to be repeated
    with pytest.raises(ShapeMismatch, match=r"batch shapes do not fit: a \(3, 1, 2\), b \(2, 1, 2\)\."):
        checks.as_laws(a=table, b=table[:2, ...])


def test_arrays_of_different_places_are_named():
    here, there = torch.zeros(2), torch.zeros(2, device="meta")
    with pytest.raises(ShapeMismatch, match=r"^devices differ: a cpu, b meta\. Fix"):
        checks.check_place(a=here, b=there)
    with pytest.raises(ShapeMismatch, match=r"^array libraries differ: a is torch, b is numpy\. Fix"):
        checks.check_together(a=here, b=np.zeros(2))
    with pytest.raises(ShapeMismatch, match=r"^dtypes differ: a float32, b float64\. Fix"):
        checks.check_together(a=here, b=here.double())
    with pytest.raises(ShapeMismatch, match=r"^b: list is not an array\. Fix"):
        checks.check_place(a=here, b=[1.0])
    assert checks.check_place(a=here, b=here.double()) is checks.check_together(a=here, b=here)
    with pytest.raises(BadArgument, match=r"^b: the tensor requires gradients.*b\.detach\(\)"):
        checks.check_no_grad(a=here, b=torch.zeros(2, requires_grad=True))
    checks.check_no_grad(a=here, b=[1.0], c=None)


def test_tokens_run_from_absent_to_the_last_of_the_vocabulary(convert):
    good = convert(np.array([[[-1, 0, 4]], [[3, 2, -1]]]))
    assert checks.check_tokens(good, 5, 3, beside=good) is good
    for bad in (-2, 5):
        tokens = np.asarray(good).copy()
        tokens[1, 0, 2] = bad
        with pytest.raises(BadArgument, match=rf"^tokens\[1, 0, 2\] = {bad} is outside the vocabulary of 5\. "
                                              r"Fix: ids run from 0 to 4; -1"):
            checks.check_tokens(convert(tokens), 5, 3)
    for tokens, drafts in ((good, 2), (good, 4), (good[0, 0, 0], 1)):
        with pytest.raises(ShapeMismatch, match=rf"^tokens: shape \({'2, 1, 3' if tokens is good else ''}\) does not "
                                                rf"end in the scheme's {drafts} drafts"):
            checks.check_tokens(tokens, 5, drafts)
    with pytest.raises(ShapeMismatch, match=r"^tokens: dtype float64 is not an integer type"):
        checks.check_tokens(convert(np.zeros(3)), 5, 3)


def test_lists_of_tokens_become_arrays():
    assert checks.check_tokens([[0, 1]], 2, 2).tolist() == checks.as_tokens(((0, 1),)).tolist() == [[0, 1]]
    with pytest.raises(ShapeMismatch, match=r"^tokens: lists of different length"):
        checks.as_tokens([[0], [0, 1]])
    for value in ("ab", 3, np.dtype(int)):
        with pytest.raises(ShapeMismatch, match=rf"^tokens: {type(value).__name__} is not an array"):
            checks.as_tokens(value)


def test_tokens_that_cannot_be_drawn_are_named(convert):
    tokens, mass = np.array([[0, -1, 2], [1, 0, -1]]), np.array([[TINY, 0.0, 1.0], [0.5, 0.5, 0.0]])
    checks.check_possible(convert(mass), convert(tokens), "its law")
    for where, bad in (((1, 1), 0.0), ((0, 0), np.nan)):
        wrong = mass.copy()
        wrong[where] = bad
        with pytest.raises(BadArgument, match=rf"^tokens\[{where[0]}, {where[1]}\] = 0 has probability 0 under its"):
            checks.check_possible(convert(wrong), convert(tokens), "its law")


def test_uniforms_lie_in_their_interval(convert):
    good = convert(np.array([[0.0, LAST], [TINY, 0.5]]))
    assert checks.check_uniforms(good, 2) is good
    for bad in (1.0, -TINY, np.nan, np.inf):
        with pytest.raises(BadArgument, match=r"^uniforms: a value lies outside \[0, 1\)\. Fix"):
            checks.check_uniforms(convert(np.array([[0.0, LAST], [bad, 0.5]])), 2)
    for uniforms, needed in ((good, 1), (good, 3), (good[0, 0], 1)):
        with pytest.raises(ShapeMismatch, match=rf"^uniforms: shape \({'2, 2' if uniforms is good else ''}\) does not "
                                                rf"end in the {needed} numbers needed"):
            checks.check_uniforms(uniforms, needed)
    with pytest.raises(BadArgument, match=r"^uniforms: dtype bool holds no numbers in \[0, 1\)"):
        checks.check_uniforms(convert(np.zeros(2, bool)), 2)
    checks.check_uniforms(convert(np.zeros(2, int)), 2)


def test_lists_of_uniforms_become_arrays():
    assert checks.check_uniforms([[0, 0.5]], 2).tolist() == checks.check_uniforms(((0, 0.5),), 2).tolist() == [[0, 0.5]]
    for uniforms in ([[0.1], [0.1, 0.2]], ["a"]):
        with pytest.raises(ShapeMismatch, match=r"^uniforms: a list, but no array of numbers\. Fix: rows of one"):
            checks.check_uniforms(uniforms, 2)
    with pytest.raises(ShapeMismatch, match="array libraries differ"):
        checks.check_uniforms([0.5], 1, target=strict.zeros(2))
