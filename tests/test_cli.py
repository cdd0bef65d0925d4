"""The command line: exit codes, one-line errors, and nothing heavy before it is needed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import otspec
import otspec as ot
from otspec.cli import main
from otspec.core.table import Table
from otspec.core.trace import Trace

ROOT = Path(__file__).parents[1]
COMMANDS = ("report", "bound", "compare", "recommend", "agree", "record", "decode", "sweep", "audit", "figures",
            "models")
A = ("--target", "0.5,0.3,0.2", "--draft", "0.2,0.3,0.5")


@pytest.fixture
def trace(tmp_path):
    target, draft = np.random.default_rng(0).dirichlet(np.full(5, 0.5), (2, 3))
    path = tmp_path / "trace.safetensors"
    Trace.from_laws(target, draft).save(path)
    return path


def refused(capsys, *arguments):
    """Message of a command that must fail as bad usage, in one line and without a traceback."""
    assert main(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("otspec: error: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example_and_the_shared_options(command, capsys):
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"example: otspec {command}" in text
    assert all(option in text for option in ("--json", "--quiet", "--threads"))


def test_version_and_module(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"otspec {otspec.__version__}"
    done = subprocess.run([sys.executable, "-m", "otspec", "models", "path"], cwd=ROOT, capture_output=True, text=True,
                          timeout=60, check=True)
    assert Path(done.stdout.strip()).name == "pocket"


def test_help_loads_nothing_heavy():
    code = ("import sys; from otspec.cli import main; main(['--help']); "
            "print([m for m in ('numpy', 'torch', 'scipy', 'matplotlib', 'numba') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60,
                          check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("arguments", [[], ["guess"], ["bound", "--threads", "0"], ["record"], ["models", "eat"]])
def test_bad_usage_is_2(arguments, capsys):
    assert "--help shows the usage" in refused(capsys, *arguments)


@pytest.mark.parametrize(("scheme", "optimum"), [("with-replacement", 0.86), ("without-replacement", 0.985714),
                                                 ("greedy", 0.9), ("hub", 0.9), ("hybrid:1", 0.9)])
def test_bound_of_instance_a(scheme, optimum, capsys):
    assert main(["bound", *A, "--scheme", scheme, "-k", "2", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["upper"] == pytest.approx(optimum, abs=1e-6)  # digits of the golden value
    assert value["lower"] == pytest.approx(value["upper"], abs=1e-9)  # certified
    assert value["single_draft"] == pytest.approx(0.7, abs=1e-12)  # three terms


def test_bound_reads_files_and_keeps_quiet(tmp_path, capsys):
    target, draft = np.array([[0.5, 0.3, 0.2]] * 2), np.array([[0.2, 0.3, 0.5]] * 2)
    np.save(tmp_path / "target.npy", target)
    np.savetxt(tmp_path / "draft.csv", draft, delimiter=",")
    files = ["--target", str(tmp_path / "target.npy"), "--draft", str(tmp_path / "draft.csv")]
    assert main(["bound", *files]) == 0
    assert "mean over 2 contexts 0.860000" in capsys.readouterr().out
    assert main(["bound", *files, "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_normalize_on_request(capsys):
    assert main(["bound", "--target", "5,3,2", "--draft", "2,3,5", "--normalize", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["upper"] == pytest.approx(0.86, abs=1e-12)  # three terms


def test_a_comparison_of_nothing_names_the_three_things_to_compare_on(capsys):
    said = refused(capsys, "compare", "--rules", "k_seq")
    assert all(option in said for option in ("--target", "--trace", "--sequence"))


@pytest.mark.parametrize(("arguments", "said"), [
    (["--target", "0.5,nan,0.5", "--draft", "0.2,0.3,0.5"], "target[1] = nan"),
    (["--target", "1.5,-0.5", "--draft", "0.5,0.5"], "target[1] = -0.5"),
    (["--target", "0.5,0.5", "--draft", "0.5,0.6"], "draft sums to 1.1"),
    (["--target", "0.5,0.5", "--draft", "0.2,0.3,0.5"], "vocabularies differ"),
    (["--target", "0.5,half", "--draft", "0.5,0.5"], "--target: '0.5,half' holds no numbers"),
    (["--target", "0.5,0.5"], "--draft: missing"),
    ([*A, "-k", "0"], "k: 0 is smaller than 1"),
    ([*A, "-k", "4", "--scheme", "without-replacement"], "draws 4 drafts from a vocabulary of 3"),
    ([*A, "--scheme", "beam"], "--scheme: 'beam' is unknown"),
    ([*A, "--scheme", "hybrid:2", "-k", "2"], "top: 2 is outside"),
    ([*A, "--scheme", "hub", "-k", "3"], "SpecHub has two"),
    (["--target", "no.npy", "--draft", "0.5,0.5"], "--target: no.npy cannot be read"),
])
def test_bad_laws_and_schemes(arguments, said, capsys):
    assert said in refused(capsys, "bound", *arguments)


def test_compare_prints_and_writes(tmp_path, capsys):
    out = tmp_path / "table.csv"
    assert main(["compare", *A, "--rules", "k_seq,optimal", "--out", str(out), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["rule"] for row in rows] == ["k_seq", "optimal"]
    assert rows[0]["acceptance"] == pytest.approx(0.791355, abs=1e-6)  # digits of the golden value
    assert Table.from_csv(out).rows == rows


def test_a_lossy_rule_may_pass_the_optimum_by_half_its_deviation_and_no_more(capsys, monkeypatch):
    laws = ("--target", "0.30,0.25,0.20,0.15,0.10", "--draft", "0.05,0.15,0.20,0.25,0.35")
    assert main(["compare", *laws, "--json"]) == 0
    out, err = capsys.readouterr()
    row = next(row for row in json.loads(out) if row["rule"] == "global_resolution")
    assert row["gap"] < -1e-9
    assert not err
    from otspec.verifiers.token.k_seq import KSeq

    monkeypatch.setattr(KSeq, "acceptance", lambda self, target, draft: np.asarray(0.99))
    assert main(["compare", *laws, "--rules", "k_seq"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("otspec: check failed: k_seq accepts 0.990000, above the optimum")
    assert said.count("\n") == 1


def test_compare_on_drafted_paths_of_the_pocket_pair(tmp_path, capsys):
    pytest.importorskip("transformers")
    out = tmp_path / "sequence.csv"
    assert main(["compare", "--sequence", "--contexts", "2", "-k", "2", "--temperature", "0.6", "--rules",
                 "block,traversal,winner_block", "--out", str(out), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [(row["rule"], row["paths"], row["draft_length"]) for row in shown] == [
        ("block", 1, 4), ("block", 1, 8), ("traversal", 2, 4), ("winner_block", 2, 4), ("traversal", 2, 8),
        ("winner_block", 2, 8)]
    assert all(1 <= row["efficiency"] <= 1 + row["draft_length"] for row in shown)
    assert Table.from_csv(out).metadata["temperature"] == "0.6"
    assert "two laws" in refused(capsys, "compare", "--sequence", *A)
    assert "token rule" in refused(capsys, "compare", "--sequence", "--rules", "optimal")


def test_compare_on_small_models_is_exact(tmp_path, capsys, monkeypatch):
    from otspec.reporting import sequences

    whole = sequences.compare_toys
    monkeypatch.setattr(sequences, "compare_toys", lambda **options: whole(2, **options))
    out = tmp_path / "toys.csv"
    asked = ["compare", "--pair", "toys", "--out", str(out)]
    assert main(asked) == 0
    rows = whole(2).rows
    assert f"no rule above the certified optimum of its drafts: yes; {len(rows)} comparisons" in capsys.readouterr().out
    assert Table.from_csv(out).rows == rows
    assert "no --trace" in refused(capsys, *asked, "--rules", "block")
    assert "num_paths: 1" in refused(capsys, *asked, "-k", "1")
    monkeypatch.setattr(sequences, "LIMIT", -1.0)  # every rule counts as above its optimum
    assert main(asked) == 1


def test_compare_reads_traces(trace, capsys):
    assert main(["compare", "--trace", str(trace), "--scheme", "greedy", "--contexts", "3"]) == 0
    assert "Greedy" in capsys.readouterr().out
    assert "one of the two" in refused(capsys, "compare", "--trace", str(trace), *A)


def test_unknown_rules_list_the_known_ones(capsys):
    message = refused(capsys, "compare", *A, "--rules", "guess")
    assert "'guess'" in message
    assert "k_seq" in message


def test_a_failed_check_is_1(monkeypatch, capsys):
    from otspec.transport import bounds

    sound = bounds.acceptance_bound

    def open_bound(*arguments):
        bound = sound(*arguments)
        return bounds.AcceptanceBound(bound.lower - 0.1, bound.upper, bound.cut)

    monkeypatch.setattr(bounds, "acceptance_bound", open_bound)
    assert main(["bound", *A]) == 1
    assert "gap 1.0e-01" in capsys.readouterr().out


def test_missing_and_altered_traces(trace, tmp_path, capsys):
    assert "no such file" in refused(capsys, "report", "--trace", str(tmp_path / "none.safetensors"), "--out",
                                     str(tmp_path / "out"), "--quiet")
    assert not (tmp_path / "out").exists()
    data = bytearray(trace.read_bytes())
    data[-3] ^= 1
    trace.write_bytes(data)
    assert "altered" in refused(capsys, "report", "--trace", str(trace), "--out", str(tmp_path / "out"), "--quiet")
    trace.write_bytes(data[:-10])
    assert "truncated" in refused(capsys, "compare", "--trace", str(trace))


def test_report_on_a_trace_and_again(trace, tmp_path, capsys):
    command = ["report", "--trace", str(trace), "--out", str(tmp_path / "out"), "--quick", "--quiet", "--json"]
    assert main(command) == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["ok"], value["confirmed"]) == (True, None)
    assert (tmp_path / "out" / "report.md").is_file()
    assert main(command) == 0


@pytest.mark.parametrize(("option", "given", "meant"), [("--trace", "poket", "Did you mean 'pocket'"),
                                                        ("--target", "{}/modells", "/models'"),
                                                        ("--target", "pocket", "is a pair that comes with otspec")])
def test_report_names_the_nearest(option, given, meant, tmp_path, capsys):
    (tmp_path / "models").mkdir()
    models = [option, given.format(tmp_path)] + ["--draft", "skip:1"] * (option == "--target")
    assert meant in refused(capsys, "report", *models, "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_report_refuses_foreign_folders(trace, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "data.txt").write_text("")
    message = refused(capsys, "report", "--trace", str(trace), "--out", str(tmp_path / "mine"))
    assert "data.txt" in message
    assert "--force" in message


def test_an_interrupt_is_130_and_says_how_to_go_on(monkeypatch, tmp_path, capsys):
    def interrupt(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr("otspec.report.build_report", interrupt)
    assert main(["report", "--out", str(tmp_path / "out")]) == 130
    assert "run the same command again" in capsys.readouterr().err


def test_models_belong_together(tmp_path, capsys):
    assert "give both" in refused(capsys, "report", "--target", "x", "--out", str(tmp_path / "out"))
    assert "--prompts" in refused(capsys, "record", "--prompts", str(tmp_path / "none.txt"), "--out",
                                  str(tmp_path / "t"))
    (tmp_path / "empty.txt").write_text("\n")
    assert "holds no prompts" in refused(capsys, "record", "--prompts", str(tmp_path / "empty.txt"), "--out",
                                         str(tmp_path / "t"))
    (tmp_path / "one.json").write_text('["a"]')
    assert "is no model folder" in refused(capsys, "record", "--target", str(tmp_path), "--draft", str(tmp_path),
                                           "--prompts", str(tmp_path / "one.json"), "--out", str(tmp_path / "t"))


def test_a_recording_of_the_largest_masses_says_what_it_loses(tmp_path, capsys):
    (tmp_path / "one.json").write_text('["import os"]')
    asked = ["record", "--prompts", str(tmp_path / "one.json"), "--out", str(tmp_path / "t.safetensors"), "--quiet"]
    assert main([*asked, "--keep", "16"]) == 0
    trace = ot.Trace.load(tmp_path / "t.safetensors")
    assert ((trace.target > 0).sum(), trace.vocab_size) == (16, 2048)
    assert trace.lost[0][0] > 0
    assert "keep is 16 there, None here" in refused(capsys, *asked)


def test_models_are_listed_and_training_needs_a_folder(capsys):
    assert main(["models", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    pairs = [listed[name] for name in ("pocket", "pocket-small")]
    assert all((Path(at["target"]) / "config.json").is_file() for at in pairs)
    assert "--out: missing" in refused(capsys, "models", "train", "pocket")


def test_figures_of_a_trace(trace, tmp_path, capsys):
    assert main(["figures", "agreement_vs_tv", "--trace", str(trace), "--out", str(tmp_path / "f"), "--quick"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert "no figure 'guess'" in refused(capsys, "figures", "guess", "--out", str(tmp_path / "f"))
    assert "needs models" in refused(capsys, "figures", "predicted_vs_measured", "--trace", str(trace))


def test_record_then_decode_with_the_pocket_pair(tmp_path, capsys):
    (tmp_path / "prompts.txt").write_text("def f(x):\nimport os\n")
    out = tmp_path / "trace.safetensors"
    assert main(["record", "--prompts", str(tmp_path / "prompts.txt"), "--out", str(out), "--device", "cpu", "--json",
                 "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["contexts"] == 2
    assert Trace.load(out).vocab_size == 2048
    assert main(["decode", "--prompt", "def f(x):", "--max-new-tokens", "6", "--samples", "3", "--device", "cpu",
                 "--verifier", "optimal", "-k", "2", "--json", "--quiet"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert len(value["texts"]) == 3
    assert value["tokens_per_call"] >= 1
    assert "draft_length: 4" in refused(capsys, "decode", "--prompt", "x", "--verifier", "greedy", "--scheme", "greedy",
                                        "-k", "2", "--quiet")


def test_threads_are_limited(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    before = torch.get_num_threads()
    try:
        assert main(["bound", *A, "--quiet", "--threads", "1"]) == 0
        assert torch.get_num_threads() == 1
        assert os.environ["OMP_NUM_THREADS"] == "1"
    finally:
        torch.set_num_threads(before)


def test_mistakes_of_a_user_end_in_one_line(tmp_path, capsys):
    rng = np.random.default_rng(0)
    files = {name: str(tmp_path / f"{name}.npy") for name in ("two", "three", "none", "empty", "archive")}
    for name, rows in (("two", 2), ("three", 3), ("none", 0)):
        np.save(files[name], rng.dirichlet(np.ones(5), rows))
    (tmp_path / "empty.npy").touch()
    (tmp_path / "empty.csv").touch()
    with open(files["archive"], "wb") as stream:
        np.savez(stream, law=np.array([1.0]))
    for command in ("bound", "compare"):
        assert "batch shapes" in refused(capsys, command, "--target", files["two"], "--draft", files["three"])
        for bad in (files["none"], files["empty"], files["archive"], str(tmp_path / "empty.csv")):
            assert "--target: " in refused(capsys, command, "--target", bad, "--draft", files["two"])
    two_laws = ("--target", "0.5,0.5", "--draft", "0.9,0.1")
    assert "blocks or trees" in refused(capsys, "compare", *two_laws, "--rules", "winner_block")
    assert "blocks or trees" in refused(capsys, "compare", *two_laws, "--rules", "block", "-k", "1")
    assert "no verifier" in refused(capsys, "compare", *two_laws, "--rules", "optimel")


@pytest.mark.parametrize("line", ["report --seed -1", "figures --seed 1.5", "compare --seed 99999999999999999999",
                                  "models train --scale nan", "models train --scale 0", "models train --scale x"])
def test_numbers_outside_their_range_are_bad_usage(line, capsys):
    assert main(line.split()) == 2
    assert line.split()[-1] in capsys.readouterr().err


def test_json_holds_no_numbers_that_json_lacks():
    from otspec.cli.shared import finite

    assert finite({"a": [float("nan"), 1.0], "b": (float("inf"), "x", 2)}) == {"a": [None, 1.0], "b": [None, "x", 2]}
