"""Every printed golden value, recomputed from the definitions."""

from fractions import Fraction as Fr

import numpy as np
import pytest

from tests.oracles import drafting, golden, optimum, token_rules

ROWS = [(name, k, row) for table in (golden.GOLDEN, golden.EXTRA) for (name, k), row in table.items()]
IDS = [f"{name}{k}" for name, k, _ in ROWS]
PRINTED = 5.1e-7  # golden values carry six decimals
SOLVER = 1e-7  # HiGHS' own feasibility tolerance
ROUNDING = 1e-13  # at most 5^3 lists times 5 tokens, each a few eps


def exact(name):
    """Return instance ``name`` over the rationals."""
    return tuple([Fr(v).limit_denominator(1000) for v in law] for law in golden.INSTANCES[name])


@pytest.mark.parametrize(("name", "k", "row"), ROWS, ids=IDS)
def test_optima_by_subsets_by_flow_and_by_the_full_program(name, k, row):
    p, q = golden.INSTANCES[name]
    for key, list_law in (
        ("opt_iid", drafting.iid(q, k)),
        ("opt_wor", drafting.without_replacement(q, k)),
        ("greedy", drafting.greedy(q, k)),
    ):
        printed = 1.0 if (name, k) in golden.SHORT_SUPPORT and row[key] is None else row[key]
        value = optimum.subset_bound(p, list_law)
        assert value == pytest.approx(printed, abs=PRINTED), key
        assert optimum.flow_lp(p, list_law) == pytest.approx(value, abs=SOLVER), key
        assert optimum.full_lp(p, list_law) == pytest.approx(value, abs=SOLVER), key


@pytest.mark.parametrize(("name", "k", "row"), ROWS, ids=IDS)
def test_rules_reach_their_printed_acceptance(name, k, row):
    p, q = golden.INSTANCES[name]
    short = (name, k) in golden.SHORT_SUPPORT
    for key, rule, list_law in (
        ("k_seq", token_rules.k_seq, drafting.iid(q, k)),
        ("rrs_iid", token_rules.rrs_iid, drafting.iid(q, k)),
        ("rrs_wor", token_rules.rrs_wor, drafting.without_replacement(q, k)),
        ("greedy", token_rules.greedy, drafting.greedy(q, k)),
        ("nss", token_rules.nss, drafting.iid(q, k)),
    ):
        printed = 1.0 if short and row[key] is None else row[key]
        assert token_rules.acceptance(rule, p, q, list_law) == pytest.approx(printed, abs=PRINTED), key
    assert token_rules.smallest_rho(p, q, k) == pytest.approx(row["rho"], abs=PRINTED)


@pytest.mark.parametrize("name", golden.INSTANCES)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_rules_are_lossless_over_the_rationals(name, k):
    p, q = exact(name)
    pairs = [
        (token_rules.rrs_iid, drafting.iid(q, k)),
        (token_rules.naive, drafting.iid(q, k)),
        (token_rules.nss, drafting.iid(q, k)),
        (token_rules.naive, drafting.without_replacement(q, k)),
        (token_rules.rrs_wor, drafting.without_replacement(q, k)),
        (token_rules.greedy, drafting.greedy(q, k)),
    ]
    if k == 1:
        pairs.append((token_rules.single_draft, drafting.iid(q, 1)))
    if k == 2:
        pairs.append((token_rules.spechub, drafting.spechub(q)))
    for rule, list_law in pairs:
        assert sum(list_law.values()) == 1
        assert all(sum(rule(p, q, xs)) == 1 and min(rule(p, q, xs)) >= 0 for xs in list_law)
        assert token_rules.output_law(rule, p, q, list_law) == p, rule.__name__


@pytest.mark.parametrize("name", golden.INSTANCES)
@pytest.mark.parametrize(("k", "rho"), [(1, None), (2, None), (3, None), (2, 2), (3, 3)])
def test_k_seq_is_lossless_for_every_valid_rho(name, k, rho):
    p, q = golden.INSTANCES[name]

    def rule(p, q, xs):
        return token_rules.k_seq(p, q, xs, rho)

    assert token_rules.output_law(rule, p, q, drafting.iid(q, k)) == pytest.approx(list(p), abs=ROUNDING)


def test_k_seq_above_the_smallest_rho_counts_residual_hits():
    p, q = exact("A")
    list_law, rho = drafting.iid(q, 2), 2
    b = token_rules.beta(p, q, rho)
    loop = 1 - (1 - b) ** 2
    hits = sum(
        r * ((1 - b) ** 2 - (1 - b - v + min(v, a / Fr(rho))) ** 2)
        for a, v, r in zip(p, q, token_rules.k_seq_residual(p, q, 2, rho), strict=True)
    )
    value = token_rules.acceptance(lambda p, q, xs: token_rules.k_seq(p, q, xs, rho), p, q, list_law)
    assert (float(loop), float(value)) == pytest.approx((0.6975, 0.77095), abs=PRINTED)
    assert value == loop + hits


def test_k_seq_refuses_a_rho_that_is_too_small():
    p, q = golden.INSTANCES["H"]
    with pytest.raises(ValueError, match=r"below the smallest valid value 1\.5"):
        token_rules.k_seq(p, q, (0, 1), 1.2)


@pytest.mark.parametrize("name", golden.INSTANCES)
def test_spechub_attains_the_optimum_of_greedy_pairs(name):
    p, q = exact(name)
    value = token_rules.acceptance(token_rules.spechub, p, q, drafting.spechub(q))
    assert value == optimum.subset_bound(p, drafting.spechub(q))
    assert value == optimum.subset_bound(p, drafting.greedy(q, 2))


def random_pair(rng, size):
    """Return a random pair of laws, spiky, sometimes with zeros in the draft."""
    p, q = rng.dirichlet(np.full(size, 0.6), size=2)
    if rng.random() < 0.4:
        q[rng.integers(size)] = 0.0
    return list(p), list(q / q.sum())


def test_random_instances_lossless_below_the_optimum_and_spechub_optimal():
    rng = np.random.default_rng(7)
    for _ in range(60):
        p, q = random_pair(rng, 5)
        k = int(rng.integers(1, 4))
        for rule, list_law, optimal in (
            (token_rules.rrs_iid, drafting.iid(q, k), False),
            (token_rules.k_seq, drafting.iid(q, k), False),
            (token_rules.naive, drafting.iid(q, k), False),
            (token_rules.rrs_wor, drafting.without_replacement(q, k), False),
            (token_rules.greedy, drafting.greedy(q, k), True),
            (token_rules.spechub, drafting.spechub(q), True),
        ):
            best = optimum.subset_bound(p, list_law)
            value = token_rules.acceptance(rule, p, q, list_law)
            assert token_rules.output_law(rule, p, q, list_law) == pytest.approx(p, abs=ROUNDING)
            assert value <= best + ROUNDING
            assert value == pytest.approx(best, abs=ROUNDING) or not optimal


def test_closed_forms_of_the_recursive_rules():
    p, q = exact("H")

    def wor(r, left, k):
        """A(r, q, k) of the recursion over what is left of the draft law."""
        value = sum(min(a, b) for a, b in zip(r, left, strict=True))
        if k == 1:
            return value
        for x in range(len(r)):
            rest = [0 if i == x else v for i, v in enumerate(left)]
            mass = sum(rest)
            refused = max(left[x] - r[x], 0)
            value += refused * wor(token_rules.residual(r, left), [v / mass for v in rest], k - 1)
        return value

    survive, r = 1, p
    for k in (1, 2, 3):
        survive *= 1 - sum(min(a, b) for a, b in zip(r, q, strict=True))
        r = token_rules.residual(r, q)
        assert 1 - survive == token_rules.acceptance(token_rules.rrs_iid, p, q, drafting.iid(q, k))
        list_law = drafting.without_replacement(q, k)
        assert wor(p, q, k) == token_rules.acceptance(token_rules.rrs_wor, p, q, list_law)
        naive = sum(min(a, b) for a, b in zip(p, q, strict=True)) + sum(
            (a - b) * (1 - (1 - b) ** (k - 1)) for a, b in zip(p, q, strict=True) if a > b
        )
        assert naive == token_rules.acceptance(token_rules.naive, p, q, drafting.iid(q, k))


@pytest.mark.parametrize(("name", "k"), golden.OPTIMAL_SETS)
def test_optimal_sets(name, k):
    p, q = exact(name)
    list_law = drafting.iid(q, k)
    printed = golden.OPTIMAL_SETS[name, k]
    assert 1 + optimum.gap(p, list_law, printed) == optimum.subset_bound(p, list_law)


@pytest.mark.parametrize(("b", "k"), golden.BERNOULLI)
def test_bernoulli_family(b, k):
    p, q = [1 - b, b], [0.75, 0.25]
    list_law = drafting.iid(q, k)
    values = (
        optimum.subset_bound(p, list_law),
        token_rules.acceptance(token_rules.k_seq, p, q, list_law),
        token_rules.acceptance(token_rules.rrs_iid, p, q, list_law),
    )
    assert values == pytest.approx(golden.BERNOULLI[b, k], abs=PRINTED)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_rules_with_replacement_saturate_at_the_support_of_the_draft(k):
    p, q, limit = golden.SATURATION
    for value in (
        optimum.subset_bound(p, drafting.iid(q, k)),
        token_rules.acceptance(token_rules.k_seq, p, q, drafting.iid(q, k)),
        token_rules.acceptance(token_rules.rrs_iid, p, q, drafting.iid(q, k)),
    ):
        assert value == pytest.approx(limit, abs=ROUNDING)


def test_naive_bound_is_not_the_optimum():
    p = [0.0004, 0.3692, 0.2243, 0.0255, 0.3807]
    q = [0.3572, 0.1343, 0.0896, 0.2715, 0.1474]
    loose, best = optimum.upper_bound_naive(p, q, 3), optimum.subset_bound(p, drafting.iid(q, 3))
    assert loose == pytest.approx(0.9814, abs=5e-4)  # entries have 4 decimals, slope 3 in 5 terms
    assert best == pytest.approx(0.7773, abs=5e-4)  # the same
    assert loose - best > 0.2


def test_worst_known_ratio_of_k_seq():
    p, q = [Fr(4, 9), Fr(5, 9)], [Fr(2, 3), Fr(1, 3)]
    value = token_rules.acceptance(token_rules.k_seq, p, q, drafting.iid(q, 2))
    assert float(value) == pytest.approx(8 / 9, abs=ROUNDING)
    assert optimum.subset_bound(p, drafting.iid(q, 2)) == 1
    assert token_rules.acceptance(token_rules.rrs_iid, p, q, drafting.iid(q, 2)) == Fr(23, 27)


def test_missing_draws_are_absent_and_mass_left_is_summed():
    q = [1 - 3e-17, 2e-17, 1e-17, 0.0]
    list_law = drafting.without_replacement(q, 5)
    assert {len(xs) for xs in list_law} == {3}
    assert list_law[0, 1, 2] == pytest.approx(2 / 3, rel=1e-12)  # 1e-12: three divisions
    assert drafting.greedy(q, 4) == drafting.hybrid(q, 2, 3) == {(0, 1, 2): 1}


def test_hybrid_and_independent_lists():
    q = [Fr(1, 10), Fr(4, 10), Fr(2, 10), Fr(3, 10)]
    law = drafting.hybrid(q, 1, 3)
    assert law[1, 3, 2] == Fr(1, 2) * Fr(2, 3)
    assert sum(law.values()) == 1
    assert {xs[0] for xs in law} == {1}
    assert drafting.independent([q, q]) == drafting.iid(q, 2)
    assert drafting.greedy([Fr(1, 4)] * 4, 2) == {(0, x): Fr(1, 3) for x in (1, 2, 3)}
