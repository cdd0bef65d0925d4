import csv

import numpy as np
import pytest

import otspec as ot
from otspec.analysis.compare import acceptance_by_context
from tests.conftest import random_law


@pytest.mark.parametrize("scheme", [ot.WithReplacement(2), ot.WithoutReplacement(2), ot.Greedy(2), ot.Hub()], ids=str)
def test_no_rule_beats_the_certified_optimum(scheme, rng):
    target, draft = (np.stack([random_law(rng, 5) for _ in range(8)]) for _ in range(2))
    table = ot.compare(target, draft, scheme)
    assert set(table.column("rule")) == set(ot.list_verifiers(scheme, kind="token"))
    for row in table.rows:
        assert row["method"] == "exact"
        assert row["gap"] >= -1e-12 - row["deviation"] / 2
        assert (row["deviation"] == 0) == ("lossless" in ot.list_verifiers()[row["rule"]].claims)
        assert row["certificate"] <= 1e-9
    lossless = [row["gap"] for row in table.rows if row["deviation"] == 0]
    assert min(lossless) <= 1e-12, "no rule attains the optimum of its scheme"


def test_share_is_zero_for_one_draft_and_one_at_the_optimum():
    target, draft = [0.5, 0.3, 0.2], [0.2, 0.3, 0.5]
    rows = {row["rule"]: row for row in ot.compare(target, draft, 2).rows}
    assert rows["optimal"]["share"] == pytest.approx(1.0)
    assert rows["optimal"]["optimum"] == pytest.approx(0.86)
    assert rows["k_seq"]["share"] == pytest.approx((0.791355 - 0.7) / (0.86 - 0.7), abs=1e-5)
    assert rows["nss"]["share"] < 0


def test_sampled_and_oversized_rules_say_so(rng):
    target, draft = (np.stack([random_law(rng, 300) for _ in range(2)]) for _ in range(2))
    sampled = acceptance_by_context("recursive_wor", target, draft, ot.WithoutReplacement(5), n=16)
    assert sampled.method == "sampled"
    assert (sampled.stderr > 0).all()
    rows = {row["rule"]: row for row in ot.compare(target, draft, ot.WithReplacement(4), n=8).rows}
    assert rows["lp"]["method"] == "too_large"
    assert rows["lp"]["acceptance"] is None


def test_tables_keep_every_digit_in_csv(tmp_path, rng):
    table = ot.compare(random_law(rng, 4), random_law(rng, 4), 2)
    table.to_csv(tmp_path / "table.csv")
    assert ot.Table.from_csv(tmp_path / "table.csv").rows == table.rows
    with open(tmp_path / "table.csv") as stream:
        assert next(csv.reader(stream)) == table.columns


def test_one_law_may_serve_all_contexts(rng):
    target, draft = random_law(rng, 5), np.stack([random_law(rng, 5) for _ in range(3)])
    for one, other in ((target, draft), (draft, target)):
        wanted = ot.compare(*np.broadcast_arrays(one, other), 2)
        assert ot.compare(one, other, 2).rows == wanted.rows
