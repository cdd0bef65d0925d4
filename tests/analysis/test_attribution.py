"""The parts of a gap add up to the gap, and each token's part is what enumeration gives."""

import numpy as np
import pytest

import otspec as ot
from otspec.analysis.attribution import accepted_mass, attribute_gap, optimal_mass
from otspec.analysis.exact import kernel
from otspec.analysis.instances import FAMILIES, random_pair
from tests.conftest import random_law

SCHEMES = (ot.WithReplacement(1), ot.WithReplacement(2), ot.WithReplacement(3), ot.WithoutReplacement(2), ot.Greedy(2),
           ot.Hybrid(1, 3), ot.Hub())
RULES = [(scheme, name) for scheme in SCHEMES for name in ot.list_verifiers(scheme, kind="token")]
ROUNDING = 1e-12  # sums of at most a few dozen rounded terms


class Loud(ot.TokenVerifier):
    """A user's rule: emit the first draft, whatever the target says."""

    def _conditional(self, target, draft, tokens):
        return np.eye(target.shape[-1])[tokens[..., 0]]


def enumerated(rule, target, draft):
    tokens, law, conditional = kernel(rule, target, draft)
    mass = np.zeros(target.size)
    for row, weight, one in zip(tokens, law, conditional, strict=True):
        for y in set(row.tolist()) - {-1}:
            mass[y] += weight * one[y]
    return mass


@pytest.mark.parametrize(("scheme", "name"), RULES, ids=[f"{s}-{n}" for s, n in RULES])
def test_accepted_mass_of_each_token_by_enumeration(scheme, name, rng):
    rule = ot.verifier(name, scheme)
    for family in ("dirichlet", "zeros", "ties", "equal", "one_hot_draft"):
        target, draft = random_pair(family, 5, rng)
        mass = accepted_mass(rule, target, draft)
        expected = enumerated(rule, target, draft)
        assert mass.sum() == pytest.approx(float(ot.acceptance(rule, target, draft, scheme)), abs=ROUNDING)
        if name not in {"optimal", "lp"}:  # optimal rules may spread the same sum differently
            np.testing.assert_allclose(mass, expected, atol=ROUNDING)


def test_k_seq_above_its_smallest_rho_counts_the_hits_of_the_last_draw(rng):
    rule = ot.verifier("k_seq", 2, rho=2.0)
    target, draft = random_law(rng, 5), random_law(rng, 5)
    np.testing.assert_allclose(accepted_mass(rule, target, draft), enumerated(rule, target, draft), atol=ROUNDING)


@pytest.mark.parametrize("scheme", [*SCHEMES, ot.Greedy(4)], ids=str)
def test_optimal_mass_sums_to_the_optimum(scheme, rng, convert):
    for family in FAMILIES:
        target, draft = random_pair(family, 6, rng)
        mass = np.asarray(optimal_mass(convert(target), convert(draft), scheme))
        assert mass.sum() == pytest.approx(float(ot.optimal_acceptance(target, draft, scheme)), abs=ROUNDING)
        assert (mass <= target + ROUNDING).all()


def check_sums(table):
    total = table.where(by="total").rows[0]
    for by in set(table.column("by")):
        part = table.where(by=by)
        for name in ("optimum", "rule", "gap"):
            assert sum(part.column(name)) == pytest.approx(total[name], abs=ROUNDING)
        if total["share"] is not None:
            assert sum(part.column("share")) == pytest.approx(1, abs=1e-9)  # a quotient by the gap
    return total


@pytest.mark.parametrize(("scheme", "name"), RULES, ids=[f"{s}-{n}" for s, n in RULES])
def test_parts_sum_to_the_gap(scheme, name, rng):
    target, draft = (np.stack([random_law(rng, 6, zeros=i % 2 == 0) for i in range(7)]) for _ in range(2))
    table = attribute_gap(target, draft, name, scheme)
    total = check_sums(table)
    assert table.metadata["token_parts"] == "exact"
    assert table.metadata["certificate"] < 1e-12
    assert total["optimum"] == pytest.approx(ot.optimal_acceptance(target, draft, scheme).mean(), abs=ROUNDING)
    assert total["rule"] == pytest.approx(ot.acceptance(name, target, draft, scheme).mean(), abs=ROUNDING)
    for by in ("draft entropy", "total variation", "likeliest token"):
        assert sum(table.where(by=by).column("contexts")) == 7


def test_known_places_of_a_gap():
    # recursion loses only on the token that the drafter starves
    table = attribute_gap([0.5, 0.3, 0.2], [0.2, 0.3, 0.5], "recursive", 2)
    parts = {row["part"]: row["gap"] for row in table.where(by="target/draft of the token").rows}
    assert parts["above 2"] == pytest.approx(0.1, abs=ROUNDING)
    assert parts["1 to 2"] == pytest.approx(0, abs=ROUNDING)
    assert parts["below 1"] == pytest.approx(0, abs=ROUNDING)


def test_tokens_are_grouped_by_rank_and_by_ratio(rng):
    target, draft = random_law(rng, 40), random_law(rng, 40)
    table = attribute_gap(target, draft, "k_seq", 3)
    gap = optimal_mass(target, draft, ot.WithReplacement(3)) - accepted_mass(ot.verifier("k_seq", 3), target, draft)
    rank = np.argsort(np.argsort(-draft, kind="stable")) + 1
    ratio = target / draft
    groups = {"1": rank == 1, "2 to 4": (rank >= 2) & (rank <= 4), "5 to 16": (rank >= 5) & (rank <= 16),
              "17 to 64": rank >= 17, "above 64": rank > 64, "below 1": ratio < 1,
              "1 to 3": (ratio >= 1) & (ratio <= 3), "above 3": ratio > 3}
    rows = [row for row in table.rows if "token" in row["by"] and row["by"] != "likeliest token"]
    assert {row["part"]: row["gap"] for row in rows} == pytest.approx(
        {part: gap[inside].sum() for part, inside in groups.items()}, abs=ROUNDING)


def test_users_rules_are_enumerated_and_contexts_can_be_listed(rng):
    target, draft = (np.stack([random_law(rng, 4) for _ in range(3)]) for _ in range(2))
    check_sums(attribute_gap(target, draft, Loud(2), 2))
    rows = attribute_gap(target, draft, "k_seq", 2, per_context=True).rows
    assert [row["context"] for row in rows] == [0, 1, 2]
    np.testing.assert_allclose([row["rule"] for row in rows], ot.acceptance("k_seq", target, draft, 2), atol=ROUNDING)
    np.testing.assert_allclose([row["total_variation"] for row in rows], ot.total_variation(target, draft))
    assert [row["top_1_agrees"] for row in rows] == (target.argmax(1) == draft.argmax(1)).tolist()


def test_large_vocabularies_keep_the_parts_by_context(rng):
    trace = ot.load_trace("pocket")
    target, draft = trace.laws(slice(0, 48))
    check_sums(attribute_gap(target, draft, "k_seq", 4))
    table = attribute_gap(target, draft, "recursive_wor", ot.WithoutReplacement(2))
    check_sums(table)
    assert "unknown" in table.metadata["token_parts"]
    assert "draft rank of the token" not in table.column("by")
    with pytest.raises(ot.TooLarge):
        attribute_gap(target[:2], draft[:2], "recursive_wor", ot.WithoutReplacement(5))


def test_float32_laws_do_not_count_their_rounding_as_a_gap(rng):
    target, draft = (np.stack([random_law(rng, 50) for _ in range(4)]).astype(np.float32) for _ in range(2))
    assert abs(attribute_gap(target, draft, "optimal", 2).where(by="total").column("gap")[0]) < ROUNDING


def test_several_drafters_are_refused():
    with pytest.raises(ot.BadArgument, match="several draft laws"):
        attribute_gap([0.5, 0.5], [[0.5, 0.5], [0.2, 0.8]], "nss", ot.Independent(2))
