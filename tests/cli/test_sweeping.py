"""``otspec sweep``: grids, workers, resuming, and mistakes."""

import csv
import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from otspec.cli import main
from otspec.cli.decoding import usual_verifier
from otspec.decode.method import method
from otspec.decode.models import POCKET
from tests.decode.test_readme_table import DRAFTERS

SHORT = ("--max-new-tokens", "6", "--quiet", "--json", "--shard-size", "2", "--threads", "1")


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("import \ndef main(\nclass A\n")
    return str(path)


def swept(capsys, prompts, out, *arguments):
    assert main(["sweep", "--prompts", prompts, "--out", str(out), *SHORT, *arguments]) == 0
    return json.loads(capsys.readouterr().out)["rows"]


def test_a_grid_becomes_a_table(prompts, tmp_path, capsys):
    asked = ("--verifier", "block,gumbel", "--draft-length", "2,3", "--temperature", "1,0.6")
    rows = swept(capsys, prompts, tmp_path / "out", *asked)
    assert len(rows) == 8
    assert {(row["verifier"], row["draft_length"], row["temperature"]) for row in rows} == {
        (rule, length, heat) for rule in ("block", "gumbel") for length in (2, 3) for heat in (1.0, 0.6)}
    assert all(row["tokens"] == 18 and 1 <= row["tokens_per_call"] <= 4 for row in rows)
    assert swept(capsys, prompts, tmp_path / "out", *asked) == rows  # a second call finds all of it done
    with open(tmp_path / "out" / "table.csv", newline="") as file:
        lines = list(csv.reader(line for line in file if not line.startswith("#")))
    assert len(lines) == 9


def test_drafters_choose_their_rule(prompts, tmp_path, capsys):
    rows = swept(capsys, prompts, tmp_path / "out", "--drafter", "tree:widths=2x1", "--drafter", "lookup")
    assert [row["verifier"] for row in rows] == ["traversal", "block"]


@pytest.mark.parametrize("drafts", [one for group in DRAFTERS.values() for one in group],
                         ids=lambda one: repr(one)[:30])
def test_the_usual_rule_is_lawful(drafts):
    method(usual_verifier(drafts), 1, 1, drafts)


def test_several_drafts_are_named_one_by_one(capsys):
    models = ["--target", str(POCKET / "target"), "--draft", str(POCKET / "draft"), "--draft", "skip:2"]
    assert main(["decode", *models, "--device", "cpu", "--drafter", "several:models=2,draft_length=2", "--prompt",
                 "import ", "--samples", "2", "--max-new-tokens", "5", "--quiet", "--json"]) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert settings["verifier"] == "laminar"
    assert "skip:2" in settings["draft"]


@pytest.mark.parametrize(("arguments", "says"), [
    (("--verifier", "blok"), "blok"), (("--temperature", "warm"), "--temperature: 'warm'"),
    (("-k", "1,x"), "-k: '1,x'"), (("--drafter", "lookup", "-k", "2"), "--drafter: given beside"),
    (("--workers", "2", "--scheduler", "tcp://x"), "--workers: given beside"),
    (("--verifier", "traversal", "--drafter", "kite"), "kite"),
    (("--target", "here"), "belong together")])
def test_mistakes_are_said_in_one_line(prompts, tmp_path, capsys, arguments, says):
    assert main(["sweep", "--prompts", prompts, "--out", str(tmp_path / "out"), *SHORT, *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert says in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("verifier", ["blok", "block,", "block,blok"])
def test_verifiers_are_checked_before_models_load(verifier, prompts, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("otspec.decode.models.load_pair", lambda *_, **__: pytest.fail("a model is loaded"))
    monkeypatch.setattr("otspec.decode.sweep.run.models_for", lambda *_, **__: pytest.fail("a model is loaded"))
    assert main(["sweep", "--prompts", prompts, "--out", str(tmp_path / "out"), "--verifier", verifier]) == 2
    err = capsys.readouterr().err
    assert ("--verifier" in err) if verifier == "block," else ("Did you mean 'block'" in err)
