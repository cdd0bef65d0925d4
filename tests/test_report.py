"""The report: its checks can fail, its folder is its own, and finished stages are not computed again."""

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from otspec.core.errors import BadArgument, BadFile, VersionWarning
from otspec.core.schemes import Greedy, Hub, WithoutReplacement, WithReplacement
from otspec.core.table import Table
from otspec.core.trace import Trace
from otspec.decode.models import load_pair
from otspec.recording import record as recording
from otspec.recording.record import load_trace, record
from otspec.report import _laws, build_report
from otspec.reporting import exact, study
from otspec.reporting.decoded import ThreadLimit, changed_since, check_pair, spread
from otspec.reporting.folder import ReportFolder
from otspec.reporting.page import judge
from otspec.reporting.sequences import Checked, check_sequences, pair_sentence, toy_summary, toys_sentence
from otspec.reporting.settings import Run, Settings, full, quick
from otspec.verifiers import list_verifiers
from tests.decode import tiny

SIZE = Settings(schemes=(WithReplacement(1), WithReplacement(2), WithReplacement(4), WithoutReplacement(2), Greedy(2),
                         Hub(), WithReplacement(99)),
                contexts=6, lists=6, runs=(Run("optimal", WithReplacement(2), 2), Run("gumbel", draft_length=2)),
                sequences=6, calls=18, blocks=5, draft_length=3, toys=2, paths=(2,), path_lengths=(2, 4),
                path_contexts=6)


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
    figures = ("acceptance_vs_k", "gap_by_context", "agreement_vs_tv", "predicted_vs_measured", "gap_on_toys",
               "rules_on_paths")
    assert {f"figures/{figure}.{kind}" for figure in figures for kind in ("pdf", "png", "svg")} <= names
    assert {"report.md", "report.html", "report.json"} <= names
    assert {f"tables/{table}.csv" for table in finished.tables} - names == {"tables/advice.csv"}  # too few contexts
    assert "Drafts and rule: not planned: 8 contexts of at most 48 tokens, and 32 are needed" in str(finished)
    page = (finished.out / "report.md").read_text(encoding="utf-8")
    assert all(f"figures/{figure}.png" in page for figure in figures)
    assert page.count("What to see: ") == 9


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
                         (study, "efficiency_rows"), (study, "compare_toys"), (study, "sequence_rows")):
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
    told = "\n".join(plain.verdict.sentences)
    assert "Not confirmed by decoding: the trace was not recorded from models" in told
    assert "Confirmed: not decoded: the trace was not recorded from models" in str(plain)
    assert "Drafts and rule: not planned: the trace was not recorded from models" in str(plain)
    assert not (plain.out / "figures" / "predicted_vs_measured.png").exists()
    assert plain.tables["decoding"].rows == []
    assert "Whole paths not compared on the pair: the trace was not recorded from models" in told
    assert plain.tables["sequences"].rows == []
    assert not (plain.out / "figures" / "rules_on_paths.png").exists()


def test_whole_paths_on_small_models_need_no_pair(plain):
    told = "\n".join(plain.verdict.sentences)
    assert "Whole paths, exact on 2 small models: no rule above the certified optimum of its drafts: yes" in told
    assert (plain.out / "figures" / "gap_on_toys.png").is_file()
    page = (plain.out / "report.md").read_text(encoding="utf-8")
    assert "### Blocks, paths and trees on small models" in page
    assert "### Blocks, paths and trees on the pair" not in page
    rules = {row["rule"] for row in Table.from_csv(plain.out / "tables" / "toys.csv").rows}
    assert rules == {*list_verifiers(1, kind="block"), *list_verifiers(2, kind="tree")}


def test_whole_paths_share_their_drafts_on_the_pair(finished):
    table = finished.tables["sequences"]
    assert {(row["paths"], row["draft_length"], row["target_tokens"]) for row in table.rows} == {
        (1, 2, 2), (1, 4, 4), (2, 2, 4), (2, 4, 8)}
    quick = {name for name, entry in list_verifiers(2, kind="tree").items() if "small_vocabulary" not in entry.claims}
    assert {row["rule"] for row in table.where(paths=2).rows} == quick
    assert all(row["bound"] >= 1 for row in table.rows)
    page = (finished.out / "report.md").read_text()
    assert "| limit | limit_stderr | bound_contexts |" in page
    assert "`limit` is what no stateless rule exceeds" in page
    assert "`dominated`: the rule is above the optimum in no context" in page
    for row in table.rows:
        room = row["room_percent"]
        assert row["limit"] == (None if room is None else pytest.approx(row["efficiency"] * (1 + room / 100)))
    assert set(table.column("contexts")) == {6}
    assert all(1 <= row["efficiency"] <= 1 + row["draft_length"] for row in table.rows)
    assert set(table.where(rule="traversal").column("difference")) == {0.0}
    assert "at 4 drafted tokens per call, best rule by shape: 1 × 4 " in pair_sentence(table)


def test_rules_without_a_number_are_no_error():
    silent = [{"rule": rule, "contexts": 9, **dict.fromkeys(("efficiency", "difference", "difference_stderr"))}
              for rule in ("token_wise", "block")]
    assert check_sequences(sound(), Table(silent), None).ok
    assert "`method` says why" in pair_sentence(Table(silent))


def test_paths_are_not_drawn_from_truncated_laws(pair):
    cut = record(pair, [[1, 2], [3, 4]], top_k=5, progress=False)
    held = study.Study(cut, SIZE, pair=pair)
    assert held.no_models is None
    assert "top_k" in held.no_paths
    assert held.sequences().rows == []


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


def single_precision(**config):
    pair = tiny.pair(**config)
    return replace(pair, target=pair.target.float(), draft=pair.draft.float())


def contents(out):
    """Files of a report without what says when and how fast it was made."""
    found = {}
    for file in sorted(out.rglob("*")):
        if file.is_file() and not file.name.startswith("."):
            found[file.relative_to(out).as_posix()] = file.read_bytes()
    whole = json.loads(found.pop("report.json"))
    del whole["seconds"]
    order = json.loads(found.pop("manifest.json"))
    return found | {"report.json": json.dumps(whole), "manifest.json": sorted(order["files"])}


class Interrupts:
    """Let a function be interrupted at its ``after``-th call."""

    def __init__(self, real, after):
        self.real, self.after, self.calls = real, after, 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        if self.calls > self.after:
            raise KeyboardInterrupt
        return self.real(*args, **kwargs)


@pytest.mark.usefixtures("no_figures")
def test_a_resumed_report_is_the_uninterrupted_one_byte_for_byte(tmp_path, monkeypatch):
    prompts = np.random.default_rng(3).integers(0, 64, (7, 6)).tolist()
    monkeypatch.setattr(recording, "ENTRIES", 64 * 2 * 2)  # two contexts a batch
    cases = [(recording, "_record_batch", after) for after in (1, 2, 3)]
    cases += [(study, name, 0) for name in ("decoding_row", "efficiency_rows", "compare_toys", "sequence_rows")]
    cases += [(study, "decoding_row", 1), (exact, "scheme_result", 1), (exact, "agreement_rows", 0)]

    def report(out):
        return build_report(pair=single_precision(), prompts=prompts, out=out, settings=TINY, progress=False)

    report(tmp_path / "whole")
    whole = contents(tmp_path / "whole")
    assert {"report.md", "tables/decoding.csv", "trace/shard-00000.safetensors"} <= set(whole)
    for number, (module, name, after) in enumerate(cases):
        out = tmp_path / f"cut{number}"
        with monkeypatch.context() as patch:
            patch.setattr(module, name, Interrupts(getattr(module, name), after))
            with pytest.raises(KeyboardInterrupt):
                report(out)
        report(out)
        found = contents(out)
        if module is recording:  # the files of a recording are cut where it was interrupted, its laws are not
            assert Trace.load(out / "trace").fingerprint == Trace.load(tmp_path / "whole" / "trace").fingerprint
            found = {file: value for file, value in found.items() if not file.startswith("trace/")}
            expected = {file: value for file, value in whole.items() if not file.startswith("trace/")}
        else:
            expected = whole
        assert found == expected


def test_small_models_run_on_one_thread_whoever_leaves_first():
    # sums are rounded by the number of threads: the ninth digit of a prediction hung on which stages were kept
    limit, seen = ThreadLimit(), []
    left, inside, done = threading.Event(), threading.Event(), threading.Event()

    def comes_back():
        with limit:
            pass
        left.set()
        inside.wait(60)
        with limit:
            seen.append(torch.get_num_threads())
        done.set()

    def stays():
        left.wait(60)
        with limit:
            inside.set()
            done.wait(60)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        users = [threading.Thread(target=user) for user in (comes_back, stays)]
        for user in users:
            user.start()
        for user in users:
            user.join()
        assert seen == [1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.usefixtures("no_figures")
def test_a_pair_changed_in_memory_is_not_reported_from_old_results(tmp_path):
    prompts = np.random.default_rng(3).integers(0, 64, (6, 4)).tolist()
    trace = record(single_precision(), prompts)
    out, whole = tmp_path / "out", {"trace": trace, "settings": TINY, "progress": False}
    first = build_report(pair=single_precision(), out=out, **whole)
    changed = single_precision(rms_norm_eps=0.5)
    with pytest.raises(BadArgument, match="pair: the trace was recorded from another configuration"):
        build_report(pair=changed, out=out, **whole)
    scaled = single_precision()
    next(scaled.target.parameters()).mul_(0.5)
    with pytest.raises(BadArgument, match="pair: the trace was recorded from other weights"):
        build_report(pair=scaled, out=out, **whole)
    double = build_report(pair=tiny.pair(), out=out, **whole)  # another precision may confirm, but is decoded anew
    assert double.tables["decoding"].rows != first.tables["decoding"].rows
    with pytest.raises(BadFile, match="holds another recording"):
        build_report(pair=changed, prompts=prompts, out=build_own(tmp_path, prompts), settings=TINY, progress=False)


def build_own(tmp_path, prompts):
    """Folder of a report that recorded its own trace."""
    out = tmp_path / "own"
    build_report(pair=single_precision(), prompts=prompts, out=out, settings=TINY, progress=False)
    return out


def test_the_pocket_pair_changed_in_memory_is_recorded_anew(monkeypatch, tmp_path):
    pocket = load_pair("pocket", device="cpu")
    bundled = load_trace("pocket")
    assert changed_since(pocket, bundled.provenance) is None
    pocket.target.config.rms_norm_eps = 0.1
    assert changed_since(pocket, bundled.provenance) == "another configuration"
    monkeypatch.setattr("otspec.report.record", lambda pair, prompts, **how: "recorded anew")
    folder = ReportFolder(tmp_path / "out")
    assert _laws(None, pocket, None, folder, True, False) == "recorded anew"
    with pytest.raises(BadArgument, match="another configuration"):
        check_pair(pocket, bundled.provenance)


def test_results_of_other_major_versions_are_taken_with_a_warning(tmp_path):
    folder = ReportFolder(tmp_path)
    folder.stage("one", {"a": 1}, lambda: [1])
    file = tmp_path / "stages" / "one.json"
    kept = json.loads(file.read_text())
    file.write_text(json.dumps(kept | {"versions": kept["versions"] | {"numpy": "1.26.4"}}))
    with pytest.warns(VersionWarning, match=r"numpy 1\.26\.4 \(now 2\."):
        assert folder.stage("one", {"a": 1}, lambda: [2]) == [1]
    file.write_text(json.dumps(kept | {"versions": {"numpy": "2.0.0", "absent": "1"}}))
    assert folder.stage("one", {"a": 1}, lambda: [2]) == [1]


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
                                               ("outside", "dominated"), ("z", "confirmed"),
                                               ("paths", "sequences")])
def test_each_failed_check_fails_the_verdict(change, field):
    acceptance = exact.acceptance_table([result("k_seq", [0.5])])
    agreement = Table([{"outside": 0}])
    decoding = Table([{"z": 1.0, "run": "block", "sequences": 8, "calls": 2100}])
    paths = Checked(True, ())
    sound = judge(acceptance, agreement, decoding, None, paths)
    assert sound.ok
    assert any("2,100 target calls" in told and "8 sequences" in told for told in sound.sentences)
    if change in acceptance.columns:
        acceptance.rows[0][change] = False
    elif change == "outside":
        agreement.rows[0]["outside"] = 1
    elif change == "z":
        decoding.rows[0]["z"] = -4.5
    else:
        paths = Checked(False, ("no",))
    verdict = judge(acceptance, agreement, decoding, None, paths)
    assert not verdict.ok
    assert getattr(verdict, field) is False


def sound():
    """Two rules on one path and two on two paths of one small model, at equal target tokens."""
    def row(rule, paths, efficiency, optimum, reference):
        return {"family": "ties", "vocabulary": 2, "seed": 0, "rule": rule, "paths": paths, "draft_length": 4 // paths,
                "target_tokens": 4, "efficiency": efficiency, "optimum": optimum, "one_call": optimum + 0.1,
                "certificate": 0.0, "gap_percent": 100 * (optimum - efficiency) / optimum,
                "to_traversal": efficiency - reference, "to_token_wise": 0.1, "to_chain": efficiency - 2.5}

    return Table([row("block", 1, 2.5, 2.5, 2.5), row("token_wise", 1, 2.4, 2.5, 2.5),
                  row("traversal", 2, 2.2, 2.3, 2.2), row("vertex_block", 2, 2.0, 2.3, 2.2)])


def on_pair(difference, stderr):
    return Table([{"rule": "token_wise", "difference": difference, "difference_stderr": stderr, "contexts": 9}])


def test_rules_that_lose_are_named():
    checked = check_sequences(sound(), on_pair(-0.1, 0.02), None)
    assert checked.ok
    assert "Below Traversal on the same paths of small models, of 1: vertex_block (on 1, by up to 0.2 tokens)." in \
        checked.sentences
    assert toy_summary(sound()).where(rule="vertex_block").rows[0]["below_traversal"] == 1
    assert "on 1 of 1 models every tree rule stays below block" in toys_sentence(sound())


@pytest.mark.parametrize(("place", "change", "words"), [
    (3, {"efficiency": 2.3 + 1e-6}, "NO; 4 comparisons, 1 violations"),
    (2, {"one_call": 2.29}, "NO; 4 comparisons, 1 violations"),  # less freedom, a larger optimum
    (2, {"certificate": 1e-6}, "at most 1.0e-06"),
    (0, {"gap_percent": 0.01}, "reaches the optimum of one path: NO"),
    (1, {"to_traversal": 1e-6}, "token-wise verification nowhere above it: NO"),
])
def test_checks_of_small_models_can_fail(place, change, words):
    toys = sound()
    toys.rows[place].update(change)
    checked = check_sequences(toys, Table([]), "no models")
    assert not checked.ok
    assert words in checked.sentences[0]


@pytest.mark.parametrize(("difference", "ok"), [(-0.1, True), (0.28, True), (0.29, False)])
def test_the_check_of_the_pair_can_fail(difference, ok):  # 9 contexts: 14.25 errors of 0.02 are as rare as 5
    assert check_sequences(sound(), on_pair(difference, 0.02), None).ok is ok


def test_prompts_are_spread_and_used_again():
    assert spread([[1], [2], [3]], 2) == [[1], [3]]
    assert spread([[1], [2]], 3) == [[1], [2], [1]]


def test_quick_is_a_part_of_full():
    assert set(quick().schemes) <= set(full().schemes)
    assert set(quick().runs) <= set(full().runs)
    assert set(quick().paths) <= set(full().paths)
