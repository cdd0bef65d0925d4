"""Yin's identity by walking every text, and the front by a linear programme."""

import numpy as np
import pytest
from scipy.optimize import linprog

import otspec as ot
from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.limits.rejections import expected_rejections, pareto_front, relaxed_law


def rejections_of(target, draft, context, length):
    """Expected rejections of token-wise verification in a text of ``length`` positions, each drafted, coin by coin."""
    if length == 0:
        return 0.0
    total = 0.0
    for token, chance in enumerate(draft[context]):
        kept = min(1.0, target[context, token] / chance)
        total += chance * kept * rejections_of(target, draft, token, length - 1)
        if kept < 1:
            rest = np.maximum(target[context] - draft[context], 0)
            total += chance * (1 - kept) * (1 + sum(mass / rest.sum() * rejections_of(target, draft, after, length - 1)
                                                    for after, mass in enumerate(rest) if mass > 0))
    return total


def test_rejections_of_a_text_are_the_distances_along_the_target_s_own_text():
    rng = np.random.default_rng(0)
    target, draft = rng.dirichlet(np.ones(3), 3), rng.dirichlet(np.ones(3), 3)
    for length in (1, 2, 4):
        law, expected = np.eye(3)[0], 0.0
        for _ in range(length):
            each = np.array([expected_rejections((target[c], draft[c])).mean for c in range(3)])
            expected += law @ each
            law = law @ target
        assert rejections_of(target, draft, 0, length) == pytest.approx(expected, abs=1e-12)


def least_bias(target, draft, rejection):
    """Least total variation of a rule that rejects no more often, as a linear programme over its plan."""
    size = len(target)
    # plan[x, y]: drafted x, emitted y; then the deviations from the target, above and below
    cost = np.concatenate([np.zeros(size * size), np.full(2 * size, 0.5)])
    drafted = np.kron(np.eye(size), np.ones(size))
    emitted = np.kron(np.ones(size), np.eye(size))
    equal = np.block([[drafted, np.zeros((size, 2 * size))], [emitted, -np.eye(size), np.eye(size)]])
    moved = np.concatenate([1.0 - np.eye(size).ravel(), np.zeros(2 * size)])
    found = linprog(cost, A_ub=[moved], b_ub=[rejection], A_eq=equal, b_eq=np.concatenate([draft, target]))
    return found.fun


@pytest.mark.parametrize("seed", range(4))
def test_the_front_is_a_line_and_no_rule_lies_below(seed):
    rng = np.random.default_rng(seed)
    target, draft = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(5))
    for row in pareto_front((target, draft)).rows:
        assert least_bias(target, draft, row["rejection"]) == pytest.approx(row["bias"], abs=1e-9)
        rejection, law = relaxed_law(target, draft, row["bias"])
        assert rejection == pytest.approx(row["rejection"], abs=1e-12)
        assert 0.5 * np.abs(law - target).sum() == pytest.approx(row["bias"], abs=1e-12)


def test_with_several_drafts_no_rule_rejects_less():
    rng = np.random.default_rng(5)
    laws = rng.dirichlet(np.ones(5), 8), rng.dirichlet(np.ones(5), 8)
    for count in (1, 2, 3):
        least = expected_rejections(laws, scheme=count)
        for rule in ("recursive", "k_seq", "optimal"):
            rejected = 1 - np.mean(ot.acceptance(rule, *laws, count))
            assert rejected >= least.mean - 1e-9
        assert rejected == pytest.approx(least.mean, abs=1e-9)
    assert least.n == 8


def test_on_a_trace_and_bad_arguments():
    trace = ot.load_trace("pocket")
    one = expected_rejections(trace)
    assert one.mean == pytest.approx(ot.total_variation(trace.target, trace.draft).mean())
    front = pareto_front(trace, [0.0, 0.2, 1.0])
    assert front.column("rejection")[0] == pytest.approx(one.mean)
    assert front.column("rejection")[2] == 0
    for biases in ([-0.1], [1.5], [float("nan")]):
        with pytest.raises(BadArgument, match="biases"):
            pareto_front(trace, biases)
    with pytest.raises(ShapeMismatch, match="Trace, or"):
        expected_rejections([0.5, 0.5])
