"""Drafts and rule for a budget: planned on few contexts, decoded, and said in the first lines of a report."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from otspec.core.schemes import WithReplacement
from otspec.core.table import Table
from otspec.recording.record import record
from otspec.report import build_report
from otspec.reporting import advice as module
from otspec.reporting.advice import advice, decoded_choices, windows
from otspec.reporting.page import judge
from otspec.reporting.sequences import Checked
from otspec.reporting.settings import Settings, full
from otspec.reporting.summary import MOST_LINES, summary
from tests.decode import tiny

SIZE = Settings(schemes=(WithReplacement(1), WithReplacement(4)), contexts=4, lists=2, runs=(), sequences=4, calls=8,
                blocks=4, draft_length=2, toys=1, paths=(2,), path_lengths=(2,), path_contexts=4, budgets=(2, 4),
                plan_contexts=36, advice_calls=24, advice_sequences=8)
PROMPTS = np.random.default_rng(0).integers(0, 16, (12, 150)).tolist()  # of each, three windows


@pytest.fixture(scope="module")
def pair():
    both = tiny.pair(size=16, scale=0.5)
    return replace(both, target=tiny.model(1, 16, scale=0.5, num_hidden_layers=8))


@pytest.fixture(scope="module")
def table(pair):
    found = advice(pair, PROMPTS, SIZE, {}, SIZE.advice_calls)
    assert found["missing"] is None
    return Table(found["rows"], {"costs": found["costs"]})


def test_every_budget_has_one_choice_that_is_no_rival_and_was_decoded(table):
    assert list(dict.fromkeys(table.column("budget"))) == [2, 4]
    for budget in (2, 4):
        here = table.where(budget=budget)
        chosen = here.where(chosen=True).rows
        assert len(chosen) == 1
        assert chosen[0]["drafts"] <= budget
        assert not chosen[0]["rival"]
        assert abs(chosen[0]["z"]) <= 4
        assert chosen[0]["calls"] >= 12
        assert here.where(family="default").rows[0]["over_default"] == pytest.approx(1)
        assert all(row["measured"] is None for row in here.where(chosen=False).rows)
    assert "a draft step 0.272 " in table.metadata["costs"]  # 2 layers beside 8, and tokens in and out


def test_measured_and_planned_agree(table):
    for row in decoded_choices(table):
        assert abs(row["measured"] - row["tokens"]) <= 6 * np.hypot(row["measured_stderr"], row["stderr"])


def test_contexts_share_no_place():
    long = [list(range(100 * i, 100 * i + 100)) for i in range(4)]
    found = windows(long, 7)
    assert len(found) == 7
    assert found[:4] == [text[-48:] for text in long]
    assert sum(map(len, found)) == len({token for text in found for token in text})
    assert windows(long, 2) == [long[0][-48:], long[2][-48:]]
    assert len(windows(long, 99)) == 8  # what is left of a prompt is too short
    assert windows([[1, 2]] * 3, 3) == [[1, 2]]


def test_few_contexts_are_said(pair):
    found = advice(pair, PROMPTS[:2], SIZE, {}, 8)
    assert found["rows"] == []
    assert found["missing"].startswith("6 contexts of at most 48 tokens, and 32 are needed")


def test_a_planner_that_refuses_is_said(pair, monkeypatch):
    from otspec.core.errors import TooLarge

    def refuse(*given):
        raise TooLarge("no room", 1e12)

    monkeypatch.setattr(module, "_search", refuse)
    assert advice(pair, PROMPTS, SIZE, {}, 8)["missing"] == "no room"


def test_a_report_on_a_pair_of_ones_own_decides(pair, tmp_path, monkeypatch):
    monkeypatch.setattr("otspec.report.PICTURES", {})
    trace = record(pair, PROMPTS, progress=False)
    report = build_report(trace=trace, pair=pair, out=tmp_path / "out", settings=SIZE, progress=False)
    about = [line.about for line in report.summary]
    assert about[:4] == ["Pair", "Up to 2 drafts", "Up to 4 drafts", "That rests on"]
    assert about[-4:] == ["The field's default", "Recursive rejection", "Certified", "Confirmed"]
    assert len(about) <= MOST_LINES
    assert "36 contexts" not in str(report)  # one half chose
    monkeypatch.setattr("otspec.reporting.study.advice", None)  # not asked again
    again = build_report(trace=trace, pair=pair, out=tmp_path / "out", settings=SIZE, progress=False)
    assert again.summary == report.summary


def choice(budget, **changed):
    return {"budget": budget, "method": "chain of 4 + block", "chosen": True, "rival": False, "family": "chain",
            "drafts": 4, "steps": 4, "tokens": 2.0, "stderr": 0.1, "speedup": 1.25, "speedup_stderr": 0.05,
            "over_default": 1.25, "over_default_stderr": 0.025, "contexts": 32, "drafter": "chain of 4",
            "rule": "block", "measured": 2.1, "measured_stderr": 0.2, "in_run": 2.1, "z": 0.5, "calls": 30,
            "sequences": 8} | changed


def tables(rows, **others):
    acceptance = Table([{"scheme": "WithReplacement", "k": k, "rule": "recursive", "acceptance": 0.6, "stderr": 0.0,
                         "optimum": 0.75, "certificate": 1e-15, "certified": True, "violations": 0, "contexts": 3,
                         "dominated": True, "method": "exact", "lossless": True} for k in (1, 4)])
    return {"acceptance": acceptance, "advice": Table(rows, {"costs": "none"}), "decoding": Table([]),
            "sequences": Table([])} | others


def told(rows):
    class Trace:
        provenance, vocab_size = {"target": "t", "draft": "d"}, 7

    given = tables(rows)
    verdict = judge(given["acceptance"], Table([{"outside": 0}]), given["decoding"], "no models", Checked(True, ()),
                    decoded_choices(given["advice"]))
    lines = summary(Trace, 3, given, verdict, {"advice": "no models", "decoding": "no models"})
    return {line.about: line.text for line in lines}, verdict


def test_what_the_default_loses_is_the_ratio_turned_round():
    rival = {"chosen": False, "rival": True, "z": None, "measured": None, "calls": None}
    rows = [choice(16), choice(16, family="default", drafts=5, **rival),
            choice(16, family="token_wise", drafts=3, **rival)]
    lines, verdict = told(rows)
    assert "20 ± 2 % slower than the choice for 16" in lines["The field's default"]  # 1 - 1/1.25, 0.025/1.25^2
    assert lines["Up to 16 drafts"].startswith("chain of 4 + block: 2.00 ± 0.10 tokens per target call, decoded 2.10 ±")
    assert "0.600 of 0.750 possible with 4 drafts with replacement" in lines["Recursive rejection"]
    assert verdict.confirmed


def test_many_budgets_do_not_crowd_out_the_checks():
    rival = {"chosen": False, "rival": True, "z": None, "measured": None, "calls": None}
    rows = [row for budget in range(1, 20) for row in (
        choice(budget), choice(budget, family="default", **rival), choice(budget, family="token_wise", **rival))]
    lines, _ = told(rows)
    assert len(lines) <= MOST_LINES
    assert "Up to 19 drafts" in lines
    assert list(lines)[-1] == "Confirmed"


def test_plain_sampling_is_said():
    lines, verdict = told([choice(4, chosen=False, z=None, measured=None, calls=None)])
    assert lines["Up to 4 drafts"].startswith("plain sampling")
    assert "The field's default" not in lines
    assert verdict.confirmed is None


def test_a_choice_that_misses_its_prediction_fails_the_report():
    lines, verdict = told([choice(4, z=4.5), choice(4, family="default", chosen=False, z=None),
                           choice(4, family="token_wise", chosen=False, z=None)])
    assert verdict.confirmed is False
    assert not verdict.ok
    assert lines["Confirmed"].startswith("NO")


def test_a_full_report_plans_for_three_budgets():
    size = full()
    assert size.budgets == (4, 8, 16)
    assert size.plan_contexts >= 90
    assert replace(size, budgets=(2,)).budgets == (2,)
