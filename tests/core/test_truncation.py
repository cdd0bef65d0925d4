"""Top-k and top-p without a sort keep exactly the tokens that a sort keeps, on every library."""

import numpy as np
import pytest
import torch
from array_api_compat import array_namespace
from hypothesis import given, settings
from hypothesis import strategies as st

import otspec as ot
from otspec.core import truncation
from otspec.core.checks import check_temperature
from otspec.core.largest_rows import keep_largest
from otspec.core.laws import law_from_logits, temper, truncate
from otspec.core.truncation import top_mask
from tests.oracles import warp

EPS = 2.0**-52
SIZES = (1, 2, 23, 24, 25, 64, 200, 3000)
MASSES = (1e-300, 1e-12, 0.1, 0.25, 0.5, 0.9, 0.95, 1 - 1e-9, 1 - 2**-53, 1.0)
COUNTS = (1, 2, 7, 24, 50, 199, 2999, 3000, 10**9)


def law_of(kind, size, rng):
    """Laws of every shape that truncation meets."""
    weights = {
        "flat": lambda: np.ones(size),
        "nearly flat": lambda: 1 + 1e-9 * rng.normal(size=size),
        "zipf": lambda: 1 / np.arange(1.0, size + 1) ** 1.2,
        "peaked": lambda: np.exp(4 * rng.normal(size=size)),
        "extreme": lambda: np.exp(120 * rng.normal(size=size)),  # masses down to zero
        "tied": lambda: rng.integers(0, 3, size) + (np.arange(size) == size // 2),
        "dyadic": lambda: 2.0 ** -rng.integers(1, 5, size),
        "one hot": lambda: (np.arange(size) == rng.integers(size)) * 1.0,
        "mostly banned": lambda: rng.random(size) * ((rng.random(size) < 0.05) | (np.arange(size) == 0)),
    }[kind]()
    return weights / weights.sum()


KINDS = ("flat", "nearly flat", "zipf", "peaked", "extreme", "tied", "dyadic", "one hot", "mostly banned")


def check(law, *, k=None, mass=None, convert=np.asarray):
    """Compare one truncation of rows ``law`` with the slow twin: the same tokens, and their masses."""
    found = np.asarray(truncate(convert(law), top_k=k, top_p=mass))
    assert found.dtype == law.dtype
    eps = EPS if law.dtype == np.float64 else 2.0**-23
    for row, new in zip(law, found, strict=True):
        exact = np.array(warp.truncated(row.tolist(), k, mass))
        if (k is None and (mass is None or mass >= 1)) or (mass is None and k >= row.size):
            exact = row
        np.testing.assert_array_equal(new > 0, exact.astype(law.dtype) > 0)
        # one sum of at most V terms and one quotient
        np.testing.assert_allclose(new, exact, rtol=64 * eps if eps > EPS else eps * max(64, row.size), atol=1e-300)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_tokens_as_a_sort(kind, size, dtype, rng):
    law = np.array([law_of(kind, size, rng) for _ in range(2)]).astype(dtype)
    for mass in MASSES:
        check(law, mass=mass)
    for k in COUNTS:
        check(law, k=k)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_tokens_on_every_library(kind, convert, rng):
    law = np.array([law_of(kind, 200, rng) for _ in range(3)])
    for mass in MASSES:
        check(law, mass=mass, convert=convert)
    for k in (1, 2, 50, 200, 300):
        check(law, k=k, convert=convert)
        check(law, k=k, mass=0.7, convert=convert)


@pytest.mark.parametrize("kind", KINDS)
def test_the_ranked_form_of_torch_keeps_the_same(kind, rng):
    # the form of a CUDA device: what carries a gradient takes it on the CPU as well
    law = np.array([law_of(kind, 400, rng) for _ in range(4)]).reshape(2, 2, 400)

    def with_gradient(a):
        return torch.from_numpy(a.copy()).requires_grad_()

    for mass in MASSES[:-1]:
        found = truncate(with_gradient(law), top_p=mass)
        assert found.requires_grad
        np.testing.assert_array_equal(found.detach().numpy() > 0, truncate(law, top_p=mass) > 0)
    for k in (1, 50, 399):
        found = truncate(with_gradient(law), top_k=k, top_p=0.8).detach().numpy()
        np.testing.assert_allclose(found, truncate(law, top_k=k, top_p=0.8), rtol=400 * EPS)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([0.0, 5e-324, 1e-310, 1e-17, 0.1, 0.2, 0.3, 1.0, 1.0000000000000002, 3.0]), min_size=1,
                max_size=60).filter(lambda weights: sum(weights) > 0.05),
       st.floats(0, 1, exclude_min=True), st.integers(1, 61))
def test_masses_of_every_size_in_every_order(weights, mass, k):
    law = np.array([weights]) / sum(weights)
    check(law, mass=mass)
    check(law, k=k)


@pytest.mark.parametrize("size", [10, 1000, 4096])
def test_a_boundary_within_rounding_is_decided_by_the_sum_in_order_of_rank(size):
    law = np.full((1, size), 1 / size)
    sums = np.cumsum(law[0])
    undecided = 0
    for rank in (0, size // 10, size // 3, size - 2):
        for mass in (sums[rank], np.nextafter(sums[rank], 0), np.nextafter(sums[rank], 1)):
            check(law, mass=float(mass))
            undecided += int(keep_largest(law.copy(), 0, float(mass))[0])
    assert undecided == 12  # the compiled passes leave all of them to the sum in order


def test_laws_whose_sum_is_a_little_off_keep_enough():
    law = np.full((1, 1000), (1 - 9e-7) / 1000)
    assert np.count_nonzero(truncate(law, top_p=1 - 1e-8)) == 1000
    assert np.count_nonzero(truncate(law.astype(np.float32), top_p=1 - 1e-8)) == 1000


def test_threads_change_nothing(monkeypatch, rng):
    law = torch.from_numpy(rng.dirichlet(np.full(50, 0.3), 7))
    monkeypatch.setattr(truncation, "THREAD", 50)
    calls, real = [], truncation.ThreadPoolExecutor
    monkeypatch.setattr(truncation, "ThreadPoolExecutor", lambda count: calls.append(count) or real(count))
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        for how in ({"top_p": 0.8}, {"top_k": 5}, {"top_k": 9, "top_p": 0.7}):
            np.testing.assert_array_equal(truncate(law, **how).numpy(), truncate(law.numpy(), **how))
    finally:
        torch.set_num_threads(before)
    assert calls == [3] * 4


def test_no_law_at_all_has_an_empty_nucleus():
    assert truncation._nucleus(array_namespace(torch.zeros(1)), torch.zeros((0, 7)), 0.5).shape == (0, 7)


def test_the_argument_is_left_alone(convert, rng):
    law = law_of("peaked", 100, rng)
    mine = convert(law)
    truncate(mine, top_k=3, top_p=0.5)
    np.testing.assert_array_equal(np.asarray(mine), law)


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (0,), (2, 0)])
def test_any_batch_shape_and_any_strides(shape, convert, rng):
    law = rng.dirichlet(np.full(40, 0.3), shape)
    cut = np.asarray(truncate(convert(law), top_k=20, top_p=0.8))
    assert cut.shape == law.shape
    np.testing.assert_allclose(cut.sum(axis=-1), 1, rtol=40 * EPS)
    swapped = np.swapaxes(rng.dirichlet(np.full(40, 0.3), (3, 2)), 0, 1)
    np.testing.assert_array_equal(truncate(swapped, top_p=0.8), truncate(swapped.copy(), top_p=0.8))
    tensor = torch.from_numpy(law).expand(2, *law.shape)
    np.testing.assert_array_equal(truncate(tensor, top_p=0.8)[1].numpy(), truncate(law, top_p=0.8))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", ["float64", "float32", "float16", "int64"])
def test_laws_of_logits_are_the_slow_twins(kind, dtype, convert, rng):
    logits = (4 * rng.normal(size=(2, 3, 50))).astype(kind)
    if kind != "int64":
        logits[..., rng.integers(50, size=10)] = -np.inf
    if kind == "float16" and "strict" in str(type(convert(np.zeros(1)))):
        pytest.skip("the array standard has no half precision")
    tolerance = 64 * (EPS if dtype == "float64" else 2.0**-23) * 40  # exponents of up to 40, and a sum
    for how in ({}, {"temperature": 0.7}, {"temperature": 0.7, "top_k": 9}, {"top_p": 0.8}, {"top_k": 9, "top_p": 0.7}):
        found = np.asarray(law_from_logits(convert(logits), dtype=dtype, **how))
        assert found.dtype == dtype
        for row, new in zip(logits.reshape(-1, 50).astype(float), found.reshape(-1, 50), strict=True):
            law = warp.softmax(row.tolist(), how.get("temperature", 1.0))
            np.testing.assert_allclose(new, warp.truncated(law, how.get("top_k"), how.get("top_p")), rtol=tolerance)


def test_a_law_cut_to_one_token_is_one_exactly(rng):
    for size in (3, 30, 3000):
        law = law_of("peaked", size, rng)
        assert sorted(truncate(law, top_k=1))[-2:] == [0.0, 1.0]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("temperature", [1e-320, 1e-300, 1e-30])
def test_tiny_temperatures_are_greedy_without_a_warning(dtype, temperature, convert):
    logits = convert(np.array([1.0, 3.0, -np.inf, -1e300]))
    np.testing.assert_array_equal(np.asarray(law_from_logits(logits[:3], temperature=temperature, dtype=dtype)),
                                  [0, 1, 0])
    if dtype == "float64":
        np.testing.assert_array_equal(np.asarray(law_from_logits(logits, temperature=temperature)), [0, 1, 0, 0])


def test_top_masks_agree_between_libraries(convert, rng):
    law = np.array([law_of(kind, 60, rng) for kind in KINDS])
    for count in (1, 5, 14, 59, 60):
        for row, mask in zip(law, np.asarray(top_mask(convert(law), count)), strict=True):
            assert set(np.flatnonzero(mask)) == warp.top_k(row.tolist(), count)


def test_rows_without_a_law_are_named(convert):
    logits = np.zeros((2, 3, 4))
    logits[1, 2] = -np.inf
    with pytest.raises(ot.NotALaw, match=r"logits: row \[1, 2\] is -inf everywhere.*Fix"):
        law_from_logits(convert(logits))
    for bad in (np.nan, np.inf):
        logits[1, 0, 3] = bad
        with pytest.raises(ot.NotALaw, match=r"NaN or \+inf found in row \[1, 0\].*Fix"):
            law_from_logits(convert(logits))
    with pytest.raises(ot.NotALaw, match="the row is -inf everywhere"):
        law_from_logits(convert(np.full(3, -np.inf)))


@pytest.mark.parametrize("how", [
    {"top_p": 1.5}, {"top_p": 90}, {"top_p": np.nan}, {"top_p": np.inf}, {"top_p": 0.0}, {"top_p": -0.1},
    {"top_p": True}, {"top_p": "0.9"}, {"top_p": [0.9]}, {"top_k": 0}, {"top_k": 2.5}, {"top_k": True}, {"top_k": "3"},
    {"temperature": True}, {"temperature": np.nan}, {"temperature": np.inf}, {"temperature": -1}, {"temperature": "1"},
    {"temperature": None}, {"dtype": "float16"}, {"dtype": "double"},
])
def test_settings_outside_their_range_are_named(how):
    with pytest.raises(ot.BadArgument, match=f"^{next(iter(how))}: .*"):
        law_from_logits(np.zeros(3), **how)
    name, value = next(iter(how.items()))
    if name.startswith("top"):
        with pytest.raises(ot.BadArgument, match=f"^{name}: .*Fix"):
            truncate([0.5, 0.5], **how)
    if name == "temperature":
        with pytest.raises(ot.BadArgument, match=r"^temperature: .*Fix"):
            temper([0.5, 0.5], value)


def test_numbers_of_numpy_are_numbers():
    law = law_from_logits(np.arange(4.0), temperature=np.float32(0.5), top_k=np.int64(3), top_p=np.float64(0.9))
    np.testing.assert_array_equal(law, law_from_logits(np.arange(4.0), temperature=0.5, top_k=3, top_p=0.9))


def test_the_checks_return_what_they_checked():
    assert truncation.check_cut(None, None) == (None, None)
    assert truncation.check_cut(np.int64(3), 1) == (3, None)
    assert check_temperature(2) == 2.0
