"""Rules for K paths: losslessness by enumeration, their value at one path, and their place below both optima."""

from fractions import Fraction as Fr
from functools import cache

import numpy as np
import pytest

from tests.oracles import block_rules, optimum, paths
from tests.oracles.drafting import iid

ROUNDING = 1e-13  # sums of a few thousand products of a dozen factors
SOLVER = 1e-7  # feasibility tolerance of HiGHS
TOY = (block_rules.memoryless([Fr(1, 3), Fr(2, 3)]), block_rules.memoryless([Fr(2, 3), Fr(1, 3)]))


def pair(seed, size=3, alpha=1.0):
    """Return a random target and draft model that depend on their whole context."""

    @cache
    def row(side, context):
        rng = np.random.default_rng([seed, size, side, *(x + 1 for x in context)])
        return rng.dirichlet(np.full(size, alpha)).tolist()

    return tuple(lambda context, side=side: list(row(side, tuple(context))) for side in (0, 1))


def with_zeros(context):
    """Return a model over the rationals, the last token of the context shifting its laws; some entries are zero."""
    shift = (context[-1] + len(context)) % 3 if context else 0
    law = [Fr(0), Fr(1, 4), Fr(3, 4)]
    return law[shift:] + law[:shift]


def uneven(context):
    """Return a model over the rationals that depends on its context and draws every token."""
    weights = [1 + (3 * x + sum(context) + len(context)) % 4 for x in range(3)]
    return [Fr(w, sum(weights)) for w in weights]


@pytest.mark.parametrize("name", paths.PATH_RULES)
@pytest.mark.parametrize(("size", "gamma", "k", "seeds"), [(3, 2, 1, 5), (3, 2, 2, 20), (3, 2, 3, 3), (2, 3, 3, 2)])
def test_lossless(name, size, gamma, k, seeds):
    for seed in range(seeds):
        target, draft = pair(seed, size, alpha=0.3 if seed % 2 else 1.0)
        law = paths.completed_law(paths.PATH_RULES[name], target, draft, gamma, k)
        assert block_rules.text_tv(law, block_rules.text_law(target, gamma + 1)) < ROUNDING


@pytest.mark.parametrize("name", ["recursive", "optimal_walk", "traversal", "winner_block"])
@pytest.mark.parametrize(("target", "draft"), [(uneven, with_zeros), (with_zeros, uneven), (uneven, uneven)])
def test_lossless_over_the_rationals(name, target, draft):
    rule = paths.PATH_RULES[name]
    law = paths.completed_law(rule, target, draft, 2, 2)
    assert block_rules.text_tv(law, block_rules.text_law(target, 3)) == 0
    emitted = paths.emitted_law(rule, target, draft, 2, 2, 2)
    assert block_rules.text_tv(emitted, block_rules.text_law(target, 2)) == 0


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("gamma", [1, 2, 3])
def test_one_path(seed, gamma):
    target, draft = pair(seed)
    value = {name: paths.expected_accepted(rule, target, draft, gamma, 1) for name, rule in paths.PATH_RULES.items()}
    block = block_rules.expected_accepted(block_rules.block, target, draft, gamma)
    token = block_rules.expected_accepted(block_rules.token_wise, target, draft, gamma)
    for name in ("traversal", "winner_block", "score_block"):
        assert value[name] == pytest.approx(block, abs=ROUNDING)
    for name in ("recursive", "k_seq", "optimal_walk"):
        assert value[name] == pytest.approx(token, abs=ROUNDING)


def test_one_path_branch_by_branch():
    target, draft = pair(3)
    for xs in block_rules.all_texts(3, 3):
        expected = block_rules.block(target, draft, (), xs)
        for rule in (paths.traversal, paths.winner_block):
            found = {len(kept): (weight, law) for weight, kept, law in rule(target, draft, (), (xs,))}
            for weight, tau, law in expected:
                assert found[tau][0] == pytest.approx(weight, abs=ROUNDING)
                if weight > 0:
                    assert found[tau][1] == pytest.approx(law, abs=1e-9)  # residuals of small mass are differences


def test_toy_values():
    for rule in (paths.traversal, paths.winner_block):
        assert paths.expected_accepted(rule, *TOY, 2, 1) == Fr(11, 9)
    assert paths.expected_accepted(paths.recursive, *TOY, 2, 1) == Fr(10, 9)
    assert paths.stateless_optimum(*TOY, 2, 1) == pytest.approx(11 / 9, abs=SOLVER)
    assert paths.one_call_optimum(*TOY, 2, 1) == pytest.approx(12 / 9, abs=SOLVER)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_depth_one_is_the_token_optimum(seed, k):
    target, draft = pair(seed)
    best = optimum.subset_bound(target(()), iid(draft(()), k))
    for value in (paths.expected_accepted(paths.winner_block, target, draft, 1, k),
                  paths.expected_accepted(paths.optimal_walk, target, draft, 1, k)):
        assert value == pytest.approx(best, abs=ROUNDING)
    for value in (paths.stateless_optimum(target, draft, 1, k), paths.one_call_optimum(target, draft, 1, k)):
        assert value == pytest.approx(best, abs=SOLVER)


@pytest.mark.parametrize("seed", range(12))
def test_no_rule_beats_the_optima(seed):
    target, draft = pair(seed)
    stateless = paths.stateless_optimum(target, draft, 2, 2)
    assert stateless <= paths.one_call_optimum(target, draft, 2, 2) + SOLVER
    value = {name: paths.expected_accepted(rule, target, draft, 2, 2) for name, rule in paths.PATH_RULES.items()}
    assert max(value.values()) <= stateless + SOLVER


def test_traversal_and_recursive_rejection_are_not_ordered():
    # merging equal siblings costs Traversal the second test of a token; going leaves first wins more on average
    gains = []
    for seed in range(12):
        target, draft = pair(seed)
        value = [paths.expected_accepted(rule, target, draft, 2, 2) for rule in (paths.traversal, paths.recursive)]
        gains.append(value[0] - value[1])
    assert min(gains) < -0.05
    assert sum(gains) > 0.1


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("n", [1, 2, 4])
def test_winner_has_the_universal_law(seed, n):
    rng = np.random.default_rng(seed)
    p, q = (rng.dirichlet(np.full(5, 0.7)).tolist() for _ in range(2))
    law, mixed = paths.universal_law(p, q, n), np.zeros(5)
    for xs, mass in iid(q, n).items():
        pick, _ = paths.winner(p, q, xs)
        assert sum(pick.values()) == pytest.approx(1, abs=ROUNDING)
        for x, chance in pick.items():
            mixed[x] += mass * chance
    assert mixed == pytest.approx(law, abs=ROUNDING)
    assert sum(min(a, b) for a, b in zip(p, law, strict=True)) == pytest.approx(
        optimum.subset_bound(p, iid(q, n)), abs=ROUNDING)
