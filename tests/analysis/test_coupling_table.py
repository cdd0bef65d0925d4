"""All couplings on the same laws: exact where it fits, sampled where not, means over contexts."""

import numpy as np
import pytest

import otspec as ot
from otspec.analysis.coupling_table import compare_couplings
from otspec.analysis.instances import random_pair
from otspec.couplings import race_list


def laws(count, size=6):
    rng = np.random.default_rng(2)
    return tuple(map(np.stack, zip(*(random_pair("dirichlet", size, rng) for _ in range(count)), strict=True)))


def test_every_coupling_has_its_row_and_lists_have_two():
    target, draft = laws(5)
    table = compare_couplings(target, draft, num_drafts=3, epsilon=0.1)
    assert list(zip(table.column("coupling"), table.column("drafts"), strict=True)) == [
        ("gumbel", 1), ("gumbel", 3), ("minhash", 1), ("poisson", 1), ("shared_uniform", 1), ("list_gumbel", 3),
        ("communicated", 1), ("maximal", 1), ("entropy", 1)]
    assert set(table.column("method")) == {"exact"}
    assert sum(table.column("outside")) == 0
    assert set(table.column("contexts")) == {5}
    by_name = {(row["coupling"], row["drafts"]): row for row in table.rows}
    assert by_name["gumbel", 3]["agreement"] == pytest.approx(
        np.mean([float(ot.agreement("gumbel", p, q, k=3)) for p, q in zip(target, draft, strict=True)]), abs=1e-13)
    assert by_name["communicated", 1]["bits"] == pytest.approx(
        float(np.mean(ot.bits(ot.coupling("communicated", epsilon=0.1), target, draft))), abs=1e-12)
    assert by_name["maximal", 1]["bits"] is None


def test_what_is_too_large_is_sampled_and_covers_the_exact_value(monkeypatch):
    target, draft = laws(4)
    exact = compare_couplings(target, draft, "gumbel", num_drafts=3).rows[1]
    monkeypatch.setattr(race_list, "MOST_WORK", 0)
    row = compare_couplings(target, draft, "gumbel", num_drafts=3, n=40_000).rows[1]
    assert (row["method"], exact["method"]) == ("sampled", "exact")
    assert 0 < row["stderr"] < 0.01
    assert abs(row["agreement"] - exact["agreement"]) < 5 * row["stderr"]


def test_contexts_outside_their_bounds_are_counted(monkeypatch):
    target, draft = laws(3)
    monkeypatch.setattr("otspec.couplings.maximal.Maximal._agreement", lambda self, p, q: np.array([0.1, 2.0, 0.0]))
    assert compare_couplings(target, draft, "maximal").rows[0]["outside"] == 3


def test_refusals():
    with pytest.raises(ot.UnknownName, match="gumble"):
        compare_couplings([1.0], [1.0], ["gumble"])
    with pytest.raises(ot.BadArgument, match="num_drafts"):
        compare_couplings([1.0], [1.0], num_drafts=0)
    with pytest.raises(ot.BadArgument, match="one batch"):
        compare_couplings(np.ones((2, 2, 1)), np.ones((2, 2, 1)))
    with pytest.raises(ot.ShapeMismatch, match="vocabularies"):
        compare_couplings([1.0], [0.5, 0.5])
