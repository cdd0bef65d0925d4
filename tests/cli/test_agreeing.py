"""``otspec agree``."""

import json

import pytest

from otspec.cli import main

LAWS = ["--target", "0.5,0.3,0.2", "--draft", "0.2,0.3,0.5"]


def test_prints_and_writes_every_coupling(capsys, tmp_path):
    csv = tmp_path / "agree.csv"
    assert main(["agree", *LAWS, "--out", str(csv)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:3] == ["gumbel", "1", "0.6308"]  # printed in the literature as .630769
    assert len(csv.read_text().splitlines()) == len(lines)


def test_json_of_some(capsys):
    assert main(["agree", *LAWS, "--coupling", "maximal,gumbel", "-k", "2", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["coupling"], row["drafts"]) for row in rows] == [("maximal", 1), ("gumbel", 1), ("gumbel", 2)]
    assert rows[0]["agreement"] == pytest.approx(0.7)
    assert rows[0]["bits"] is None


def test_contexts_of_a_trace(capsys):
    assert main(["agree", "--trace", "pocket", "--contexts", "4", "--coupling", "gumbel", "-k", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["contexts"] == 4


@pytest.mark.parametrize(("arguments", "named"), [
    (["agree"], "--target"), (["agree", "--target", "0.5,0.5", "--draft", "1"], "vocabularies"),
    (["agree", *LAWS, "--coupling", "gumble"], "gumble"), (["agree", *LAWS, "--epsilon", "0"], "epsilon"),
    (["agree", *LAWS, "--epsilon", "1e-18"], "epsilon"), (["agree", *LAWS, "--epsilon", "2"], "epsilon"),
    (["agree", *LAWS, "-k", "0"], "-k"), (["agree", *LAWS, "-k", "4"], "k <= 3"),
    (["agree", *LAWS, "--trace", "pocket"], "--trace")])
def test_bad_usage_is_one_line_and_exit_code_2(arguments, named, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "error" in error
    assert named in error
