"""The report: its checks can fail, its folder is its own, and finished stages are not computed again."""

import json
from dataclasses import replace

import numpy as np
import pytest

from otspec.core.errors import BadArgument, BadFile
from otspec.core.schemes import Greedy, Hub, WithoutReplacement, WithReplacement
from otspec.core.table import Table
from otspec.core.trace import Trace
from otspec.decode.record import record
from otspec.report import build_report
from otspec.reporting import exact, study
from otspec.reporting.decoded import spread
from otspec.reporting.folder import ReportFolder
from otspec.reporting.page import judge
from otspec.reporting.settings import Run, Settings, full, quick
from tests.decode import tiny

SIZE = Settings(schemes=(WithReplacement(1), WithReplacement(2), WithReplacement(4), WithoutReplacement(2), Greedy(2),
                         Hub(), WithReplacement(99)),
                contexts=6, lists=6, runs=(Run("optimal", WithReplacement(2), 2), Run("gumbel", draft_length=2)),
                sequences=6, new_tokens=5, blocks=5, draft_length=3)


@pytest.fixture(scope="module")
def pair():
    return tiny.pair()


@pytest.fixture(scope="module")
def trace(pair):
    prompts = np.random.default_rng(0).integers(0, 64, (8, 5)).tolist()
    return record(pair, prompts)


@pytest.fixture(scope="module")
def finished(pair, trace, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "out"
    return build_report(trace=trace, pair=pair, out=out, settings=SIZE, progress=False)


TINY = replace(SIZE, schemes=(WithReplacement(1), WithoutReplacement(2)))


@pytest.fixture
def no_figures(monkeypatch):
    monkeypatch.setattr("otspec.report.PICTURES", {})


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return build_report(trace=small_trace(), out=tmp_path_factory.mktemp("plain") / "out", settings=SIZE,
                        progress=False)


def small_trace(contexts=5, size=7):
    rng = np.random.default_rng(1)
    target, draft = rng.dirichlet(np.full(size, 0.4), (2, contexts))
    return Trace.from_laws(target, draft)


def test_all_parts_are_there_and_every_check_holds(finished):
    assert finished.verdict.ok, str(finished)
    assert finished.exit_code == 0
    names = {file.relative_to(finished.out).as_posix() for file in finished.out.rglob("*") if file.is_file()}
    figures = ("acceptance_vs_k", "gap_by_context", "agreement_vs_tv", "predicted_vs_measured")
    assert {f"figures/{figure}.{kind}" for figure in figures for kind in ("pdf", "png")} <= names
    assert {f"tables/{table}.csv" for table in finished.tables} <= names
    page = (finished.out / "report.md").read_text(encoding="utf-8")
    assert all(f"figures/{figure}.png" in page for figure in figures)
    assert page.count("What to see: ") == 5


def test_the_json_holds_all_numbers(finished):
    whole = json.loads((finished.out / "report.json").read_text(encoding="utf-8"))
    assert whole["ok"] is True
    assert whole["tables"]["acceptance"] == finished.tables["acceptance"].rows
    assert whole["trace"]["contexts"] == 8
    assert whole["settings"]["contexts"] == 6
    assert {"numpy", "torch", "otspec"} <= set(whole["versions"])
    csv = Table.from_csv(finished.out / "tables" / "acceptance.csv")
    assert csv.column("acceptance") == finished.tables["acceptance"].column("acceptance")
    assert csv.metadata["trace"] == whole["trace"]["fingerprint"]


def test_acceptance_rows_are_those_of_the_scheme(finished):
    table = finished.tables["acceptance"]
    assert {(row["scheme"], row["k"]) for row in table.rows} == {
        ("WithReplacement", 1), ("WithReplacement", 2), ("WithReplacement", 4), ("WithoutReplacement", 2),
        ("Greedy", 2), ("Hub", 2)}
    assert all(row["dominated"] in (True, None) and row["certified"] for row in table.rows)
    best = table.where(scheme="WithReplacement", k=2, rule="optimal").rows[0]
    assert best["share"] == pytest.approx(1, abs=1e-9)  # the rule attains the optimum up to 64 eps V
    assert best["method"] == "exact"
    lp = table.where(scheme="WithReplacement", k=2, rule="lp").rows[0]
    assert (lp["method"], lp["acceptance"], lp["dominated"]) == ("too_large", None, None)


def test_predictions_hold_and_efficiency_grows_with_the_draft(finished):
    decoding, efficiency = finished.tables["decoding"], finished.tables["efficiency"]
    assert decoding.column("run") == ["optimal, 2 paths × 2", "gumbel, 1 path × 2"]
    assert all(abs(z) <= 4 for z in decoding.column("z"))
    for rule in ("token_wise", "block", "gumbel"):
        values = efficiency.where(rule=rule).column("tokens_per_call")
        assert len(values) == 3
        assert values == sorted(values)
    first = {row["rule"]: row["tokens_per_call"] for row in efficiency.where(draft_length=1).rows}
    assert first["block"] == pytest.approx(first["token_wise"], abs=1e-12)  # one draft: the same rule, 64 terms


def test_a_second_run_computes_nothing(finished, pair, trace, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("computed again")

    for module, name in ((exact, "scheme_result"), (exact, "agreement_rows"), (study, "decoding_row"),
                         (study, "efficiency_rows")):
        monkeypatch.setattr(module, name, fail)
    (finished.out / "figures" / "gap_by_context.png").unlink()
    again = build_report(trace=trace, pair=pair, out=finished.out, settings=SIZE, progress=False)
    assert again.tables["decoding"].rows == finished.tables["decoding"].rows
    assert (finished.out / "figures" / "gap_by_context.png").is_file()


@pytest.mark.usefixtures("no_figures")
def test_an_interrupt_keeps_what_is_done(tmp_path, monkeypatch):
    whole = exact.scheme_result
    calls = []

    def stop_at_second(trace, scheme, *rest):
        calls.append(scheme)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(trace, scheme, *rest)

    monkeypatch.setattr(exact, "scheme_result", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        build_report(trace=small_trace(), out=tmp_path / "out", settings=TINY, progress=False)
    assert len(list((tmp_path / "out" / "stages").glob("acceptance-*.json"))) == 1
    report = build_report(trace=small_trace(), out=tmp_path / "out", settings=TINY, progress=False)
    assert [scheme.num_drafts for scheme in calls] == [1, 2, 2]  # the first scheme was kept
    assert report.verdict.certified


@pytest.mark.usefixtures("no_figures")
def test_other_inputs_are_computed_again(tmp_path):
    out = tmp_path / "out"
    first = build_report(trace=small_trace(), out=out, settings=TINY, progress=False)
    other = build_report(trace=small_trace(size=8), out=out, settings=TINY, progress=False)
    assert first.tables["acceptance"].rows != other.tables["acceptance"].rows


def test_without_models_the_report_says_so(plain):
    assert plain.verdict.confirmed is None
    assert plain.exit_code == 0
    assert "Not confirmed by decoding: the trace was not recorded from models" in str(plain)
    assert not (plain.out / "figures" / "predicted_vs_measured.png").exists()
    assert plain.tables["decoding"].rows == []


def test_small_vocabularies_run_the_linear_programme(plain):
    lp = plain.tables["acceptance"].where(rule="lp", scheme="WithReplacement", k=2).rows[0]
    assert lp["method"] == "exact"
    assert lp["acceptance"] == pytest.approx(lp["optimum"], abs=1e-9)  # accuracy of the solver


@pytest.mark.usefixtures("no_figures")
def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(BadFile, match=r"holds thesis\.tex, which no report wrote"):
        build_report(trace=small_trace(), out=tmp_path, settings=TINY, progress=False)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["thesis.tex"]
    build_report(trace=small_trace(), out=tmp_path, settings=TINY, force=True, progress=False)
    assert (tmp_path / "thesis.tex").read_text() == "mine"
    assert (tmp_path / "report.md").is_file()


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(BadFile, match="is a file"):
        ReportFolder(tmp_path / "out")


def test_a_foreign_file_in_a_report_is_seen(tmp_path):
    folder = ReportFolder(tmp_path)
    folder.stage("one", 1, lambda: [1])
    (tmp_path / "stages" / ".one.abc.json").write_text("left by a killed run")
    ReportFolder(tmp_path)
    (tmp_path / "stages" / "notes.txt").write_text("")
    with pytest.raises(BadFile, match=r"stages/notes\.txt"):
        ReportFolder(tmp_path)


def test_stages_depend_on_their_inputs_and_survive_damage(tmp_path):
    folder = ReportFolder(tmp_path)
    assert folder.stage("one", {"a": 1}, lambda: [1]) == [1]
    assert folder.stage("one", {"a": 1}, lambda: [2]) == [1]
    assert folder.stage("one", {"a": 2}, lambda: [3]) == [3]
    (tmp_path / "stages" / "one.json").write_text("{")
    assert ReportFolder(tmp_path).stage("one", {"a": 2}, lambda: [4]) == [4]


def test_models_must_be_those_of_the_trace(trace, tmp_path):
    other = tiny.pair(target=5)
    with pytest.raises(BadArgument, match="the trace was recorded from"):
        build_report(trace=trace, pair=other, out=tmp_path / "out", settings=SIZE, progress=False)


@pytest.mark.usefixtures("no_figures")
def test_a_pair_is_recorded_into_the_folder(pair, tmp_path):
    prompts = np.random.default_rng(3).integers(0, 64, (6, 4)).tolist()
    report = build_report(pair=pair, prompts=prompts, out=tmp_path / "out", settings=TINY, progress=False)
    assert report.verdict.confirmed is True
    assert (tmp_path / "out" / "trace" / "index.json").is_file()
    again = build_report(pair=pair, prompts=prompts, out=tmp_path / "out", settings=TINY, progress=False)
    assert again.tables["decoding"].rows == report.tables["decoding"].rows


def test_prompts_need_a_pair(tmp_path):
    with pytest.raises(BadArgument, match="prompts"):
        build_report(prompts=[[1]], out=tmp_path / "out", progress=False)


def result(rule, values, method="exact", stderr=0.0, upper=0.7):
    found = {"method": method, "values": values, "stderr": [stderr] * len(values)}
    ends = {"lower": [upper] * len(values), "upper": [upper] * len(values), "single": [0.5] * len(values)}
    return {"scheme": "WithReplacement", "k": 2, "vocabulary": 10, "lists": 100, **ends, "rules": {rule: found}}


@pytest.mark.parametrize(("values", "method", "stderr", "dominated"), [
    ([0.7, 0.6], "exact", 0.0, True),
    ([0.7 + 1e-6, 0.1], "exact", 0.0, False),  # one context suffices
    ([0.8, 0.1], "sampled", 0.03, True),  # within 5 standard errors
    ([0.9, 0.1], "sampled", 0.03, False),
    ([0.74, 0.1], "sampled", 0.0, True),  # no spread is no exactness: 5 / 100
    ([0.76] * 100, "sampled", 0.03, False),  # every context may be luck, not all of them
])
def test_domination_is_a_check_that_can_fail(values, method, stderr, dominated):
    row = exact.acceptance_table([result("k_seq", values, method, stderr)]).rows[0]
    assert row["dominated"] is dominated


def test_rules_that_are_not_lossless_are_not_bound():
    row = exact.acceptance_table([result("global_resolution", [0.9])]).rows[0]
    assert (row["lossless"], row["violations"], row["dominated"]) == (False, None, None)


def test_an_open_certificate_is_seen():
    open_bound = result("k_seq", [0.5])
    open_bound["lower"] = [0.69]
    assert exact.acceptance_table([open_bound]).rows[0]["certified"] is False


@pytest.mark.parametrize(("change", "field"), [("certified", "certified"), ("dominated", "dominated"),
                                               ("outside", "dominated"), ("z", "confirmed")])
def test_each_failed_check_fails_the_verdict(change, field):
    acceptance = exact.acceptance_table([result("k_seq", [0.5])])
    agreement = Table([{"outside": 0}])
    decoding = Table([{"z": 1.0, "run": "block"}])
    assert judge(acceptance, agreement, decoding, None).ok
    if change in acceptance.columns:
        acceptance.rows[0][change] = False
    elif change == "outside":
        agreement.rows[0]["outside"] = 1
    else:
        decoding.rows[0]["z"] = -4.5
    verdict = judge(acceptance, agreement, decoding, None)
    assert not verdict.ok
    assert getattr(verdict, field) is False


def test_prompts_are_spread_and_used_again():
    assert spread([[1], [2], [3]], 2) == [[1], [3]]
    assert spread([[1], [2]], 3) == [[1], [2], [1]]


def test_quick_is_a_part_of_full():
    assert set(quick().schemes) <= set(full().schemes)
    assert set(quick().runs) <= set(full().runs)
