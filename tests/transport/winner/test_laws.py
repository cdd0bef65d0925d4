"""Winner laws against brute force over all subsets, and the published golden values."""

import itertools

import numpy as np
import pytest

from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.transport.winner.laws import (
    cumulative,
    minimal_law,
    prefix_optimum,
    ratio_order,
    remaining,
    replacement_capacity,
    replacement_increments,
    universal_law,
)
from otspec.transport.without_replacement.race import race_increments

GOLDEN = {
    "A": ([0.5, 0.3, 0.2], [0.2, 0.3, 0.5]),
    "B": ([0.7, 0.2, 0.1], [0.1, 0.2, 0.7]),
    "D": ([1.0, 0.0], [0.5, 0.5]),
    "F": ([0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]),
    "G": ([1 / 3, 2 / 3], [2 / 3, 1 / 3]),
    "H": ([0.30, 0.25, 0.20, 0.15, 0.10], [0.05, 0.15, 0.20, 0.25, 0.35]),
}
OPTIMA = [  # name, k, optimum with replacement, optimum without
    ("A", 2, 0.86, 0.985714),
    ("A", 3, 0.988, 1.0),
    ("B", 2, 0.49, 0.658333),
    ("D", 2, 0.75, 1.0),
    ("F", 2, 0.79, 0.834524),
    ("G", 2, 0.888889, 1.0),
    ("H", 2, 0.7975, 0.81491327),
    ("H", 3, 0.842625, 0.90745007),
]


def instances():
    """Laws with every corner: zeros, ties, one dominant token, nine decades, equal laws, one-hot."""
    rng = np.random.default_rng(7)
    for size in (2, 3, 5, 6):
        yield rng.dirichlet(np.ones(size)), rng.dirichlet(np.ones(size))
        p, q = rng.dirichlet(np.ones(size)), rng.dirichlet(np.ones(size))
        p[0], q[-1] = 0.0, 0.0
        yield p / p.sum(), q / q.sum()
        p, q = rng.integers(1, 3, size).astype(float), rng.integers(1, 3, size).astype(float)
        yield p / p.sum(), q / q.sum()
        q = np.full(size, 1e-9)
        q[size // 2] = 1.0
        yield rng.dirichlet(np.ones(size)), q / q.sum()
        q = 10.0 ** -np.linspace(0, 9, size)
        yield rng.permutation(q) / q.sum(), q / q.sum()
        p = rng.dirichlet(np.ones(size))
        yield p, p
        yield np.eye(size)[0], rng.dirichlet(np.ones(size))


def subsets(size):
    return [np.array(mask, dtype=bool) for mask in itertools.product([False, True], repeat=size)]


def containment(draft, mask, k):
    return draft[mask].sum() ** k


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_both_laws_are_optimal_and_dominate_every_subset(k):
    for target, draft in instances():
        order = ratio_order(target, draft)
        p, q = target[order], draft[order]
        c = replacement_capacity(q, k)
        best = min(1 + p[h].sum() - containment(q, h, k) for h in subsets(p.size))
        value, size = prefix_optimum(p, c)
        assert value == pytest.approx(best, abs=1e-14)  # a dozen roundings of numbers up to 1
        assert 1 + p[:size].sum() - c[size] == pytest.approx(best, abs=1e-14)  # same roundings
        for law in (universal_law(p, c), minimal_law(p, c)):
            assert law.min() >= 0
            assert law.sum() == pytest.approx(1, abs=1e-14)  # same roundings
            assert np.minimum(law, p).sum() == pytest.approx(best, abs=1e-14)  # same roundings
            slack = min(law[h].sum() - containment(q, h, k) for h in subsets(p.size))
            assert slack >= -1e-14  # same roundings


@pytest.mark.parametrize("k", [2, 3])
def test_the_universal_law_is_optimal_at_every_scale(k):
    for target, draft in instances():
        order = ratio_order(target, draft)
        p, q = target[order], draft[order]
        law = universal_law(p, replacement_capacity(q, k))
        for scale in (0.2, 0.5, 0.95):
            best = min(scale * p[h].sum() + 1 - containment(q, h, k) for h in subsets(p.size))
            assert np.minimum(law, scale * p).sum() == pytest.approx(best, abs=1e-14)  # roundings


@pytest.mark.parametrize(("name", "k", "with_replacement", "without"), OPTIMA)
def test_golden_optima(name, k, with_replacement, without):
    target, draft = (np.array(law) for law in GOLDEN[name])
    order = ratio_order(target, draft)
    p, q = target[order], draft[order]
    value, _ = prefix_optimum(p, replacement_capacity(q, k))
    assert value == pytest.approx(with_replacement, abs=5e-7)  # six printed digits
    increments = race_increments(q, k)
    value, _ = prefix_optimum(p, cumulative(increments))
    assert value == pytest.approx(without, abs=5e-7)  # six printed digits
    law = universal_law(p, cumulative(increments), increments=increments)
    assert np.minimum(law, p).sum() == pytest.approx(value, abs=1e-14)  # a dozen roundings


def test_order_puts_undraftable_tokens_last_even_behind_overflowing_ratios():
    target = np.array([0.25, 0.5, 0.0, 0.25, 0.0])
    draft = np.array([0.0, 1e-310, 0.5, 0.5, 0.0])
    order = ratio_order(target, draft)
    assert order[:3].tolist() == [2, 3, 1]
    assert set(order[3:]) == {0, 4}


def test_batches_equal_their_rows():
    rng = np.random.default_rng(3)
    target, draft = rng.dirichlet(np.ones(7), (2, 3)), rng.dirichlet(np.ones(7), (2, 3))
    order = ratio_order(target, draft)
    p, q = np.take_along_axis(target, order, -1), np.take_along_axis(draft, order, -1)
    k = np.array([[1, 2, 3], [4, 2, 1]])
    c = replacement_capacity(q, k)
    for kind in (universal_law, minimal_law):
        whole = kind(p, c)
        for i in np.ndindex(2, 3):
            assert np.array_equal(whole[i], kind(p[i], replacement_capacity(q[i], int(k[i]))))
    value, size = prefix_optimum(p, c)
    assert value.shape == size.shape == (2, 3)


def test_increments_are_used_where_the_capacity_has_saturated():
    draft = np.array([1.0, 1e-20, 1e-25])
    target = np.array([0.2, 0.3, 0.5])
    increments = replacement_increments(draft, 3)
    assert increments[1:] == pytest.approx([3e-20, 3e-25], rel=1e-14)  # relative, by construction
    capacity = replacement_capacity(draft, 3)
    assert universal_law(target, capacity)[2] == 0
    assert universal_law(target, capacity, increments=increments)[2] == pytest.approx(3e-25, rel=1e-14)


def test_increments_agree_with_differences():
    q = np.random.default_rng(5).dirichlet(np.ones(50), 4)
    for k in (1, 2, 5):
        assert replacement_increments(q, k) == pytest.approx(
            np.diff(replacement_capacity(q, k), axis=-1), abs=1e-14  # 50 roundings below 1
        )


def test_low_temperature_keeps_ends_exact():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=2048) * 40
    draft = np.exp((logits - logits.max()) / 0.1)
    draft /= draft.sum()
    target = rng.dirichlet(np.ones(2048))
    order = ratio_order(target, draft)
    c = replacement_capacity(draft[order], 4)
    assert c[0] == 0
    assert c[-1] == 1
    for law in (universal_law(target[order], c), minimal_law(target[order], c)):
        value, _ = prefix_optimum(target[order], c)
        assert np.minimum(law, target[order]).sum() == pytest.approx(value, abs=1e-13)  # 2048 roundings


def test_remaining_keeps_the_digits_of_a_small_tail():
    law = np.array([1e-30, 1.0, 1e-25, 1e-28])
    assert remaining(law)[2] == pytest.approx(1.001e-25, rel=1e-14)  # two roundings
    assert cumulative(law)[1] == 1e-30


def test_bad_arguments_are_named():
    with pytest.raises(ShapeMismatch, match="target has 2 tokens and draft 3"):
        ratio_order([0.5, 0.5], [0.2, 0.3, 0.5])
    for k in (0, 1.5):
        with pytest.raises(BadArgument, match="k is"):
            replacement_capacity([0.5, 0.5], k)
