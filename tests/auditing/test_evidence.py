"""Evidence is fair under the law it bets against, grows against others, and coins are integrated as they fall."""

import math

import numpy as np
import pytest

from otspec.auditing import evidence
from otspec.auditing.coins import integrate
from otspec.auditing.evidence import calls_needed, hidden, log_evidence, margin, mean_evidence, pooled_evidence

LAWS = {"even": np.full(5, 0.2), "peaked": np.array([0.96, 0.01, 0.01, 0.01, 0.01]),
        "rare": np.array([0.5, 0.5 - 1e-9, 1e-9])}


@pytest.mark.parametrize("name", LAWS)
def test_the_mean_of_the_evidence_is_one(name):
    """Exactly: all counts of n outcomes, weighted by their chances."""
    law, n = LAWS[name], 6
    total = 0.0
    for outcome in np.ndindex(*(n + 1,) * (law.size - 1)):
        if sum(outcome) <= n:
            counts = np.array([*outcome, n - sum(outcome)])
            chance = math.exp(math.lgamma(n + 1) + sum(count * math.log(mass) - math.lgamma(count + 1)
                                                       for count, mass in zip(counts, law, strict=True)))
            total += chance * math.exp(float(log_evidence(counts, law)))
    assert total == pytest.approx(1.0, abs=1e-9)


def test_looking_after_every_outcome_raises_few_alarms():
    rng, law, alarms = np.random.default_rng(0), LAWS["even"], 0
    for _ in range(400):
        counts = np.cumsum(np.eye(5)[rng.choice(5, size=300, p=law)], axis=0)
        alarms += bool((log_evidence(counts, law) > math.log(20)).any())
    assert alarms <= 400 / 20  # Ville: .05 at most; four standard errors would be 37


def test_an_impossible_outcome_is_proof():
    assert log_evidence(np.array([5, 1]), np.array([1.0, 0.0])) == math.inf
    assert mean_evidence([np.array(0.0), np.array(math.inf)]) == math.inf
    assert pooled_evidence([0.0, math.inf]) == math.inf


def test_evidence_of_many_cases_adds_up():
    assert pooled_evidence([3.0] * 20) > 3.0
    assert pooled_evidence([10.0, *[-2.0] * 19]) == pytest.approx(10 - math.log(20) - 19 / 20, abs=0.4)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_the_hidden_law_is_at_the_distance_asked(law):
    assert np.abs(hidden(law, 0.03) - law).sum() / 2 == pytest.approx(0.03, abs=1e-12)
    assert hidden(law, 0.03).min() >= 0


def test_the_power_stated_is_reached():
    law, rng = LAWS["even"], np.random.default_rng(1)
    n = calls_needed([law], 0.05, 1e-4, 0.99)
    counts = rng.multinomial(n, hidden(law, 0.05), size=4000)
    reached = (log_evidence(counts, law) >= math.log(1e4)).mean()
    assert reached > 0.985
    few = rng.multinomial(n // 3, hidden(law, 0.05), size=4000)
    assert (log_evidence(few, law) >= math.log(1e4)).mean() < 0.9


@pytest.mark.parametrize(("cells", "tv"), [(500, 0.05), (2000, 0.05), (2000, 0.2), (4000, 0.02)])
def test_normal_bets_over_many_cells_need_the_number_of_counted_ones(cells, tv, monkeypatch):
    law = np.full(cells, 1 / cells)
    counted = calls_needed([law], tv, 1e-4, 0.99)
    evidence._calls_needed.cache_clear()
    monkeypatch.setattr(evidence, "CELLS", 100)
    normal = calls_needed([law], tv, 1e-4, 0.99)
    evidence._calls_needed.cache_clear()
    assert counted / 1.13 <= normal <= counted * 1.13  # one step of the search


def test_the_power_stated_is_reached_where_the_first_range_of_sizes_ends_before():
    """Bets of at most a million prior counts need very many outcomes to tell cells that are more than that apart."""
    law, rng = np.full(20_000, 1 / 20_000), np.random.default_rng(1)
    n = calls_needed([law], 0.01, 1e-4, 0.99)
    assert n > 10 / 0.01**2 * 1.12**evidence.SIZES
    for number, enough in ((n, True), (n // 2, False)):
        reached = log_evidence(rng.multinomial(number, hidden(law, 0.01), size=20), law)
        assert (reached >= math.log(1e4)).all() == enough


def test_the_margin_covers():
    law, rng = LAWS["peaked"], np.random.default_rng(2)
    off = np.abs(rng.multinomial(500, law, size=2000) / 500 - law).sum(axis=1) / 2
    assert (off > margin(500, 5, 0.05)).mean() < 0.05


def test_cells_of_coins_are_found():
    def rule(points):
        accept = points[:, 0] < 0.3
        return [(0,) if a else (1 + int(x > 0.125) + int(x > 0.75),) for a, x in zip(accept, points[:, 1], strict=True)]
    cells = integrate(rule, 2, np.random.default_rng(0))
    want = {(0,): 0.3, (1,): 0.7 * 0.125, (2,): 0.7 * 0.625, (3,): 0.7 * 0.25}
    assert cells.masses.keys() == want.keys()
    for answer, mass in want.items():
        assert cells.masses[answer] == pytest.approx(mass, abs=1e-14)
    assert cells.unresolved < 1e-12


def test_a_cell_inside_a_box_is_found_by_fresh_points():
    def island(points):
        inside = (np.abs(points - [0.37, 0.61]) < 0.11).all(axis=1)
        return [(int(one),) for one in inside]
    cells = integrate(island, 2, np.random.default_rng(0))
    assert cells.masses[1,] == pytest.approx(0.22**2, abs=1e-9)


def test_slanted_cells_are_not_claimed():
    cells = integrate(lambda points: [(int(x + y > 1),) for x, y in points], 2, np.random.default_rng(0))
    assert cells.unresolved > 1e-4
    assert sum(cells.masses.values()) + cells.unresolved == pytest.approx(1.0, abs=1e-9)
