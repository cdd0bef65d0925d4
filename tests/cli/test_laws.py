"""``otspec bound --tv-budget``: the bound of lossy rules beside the lossless one."""

import json

import numpy as np
import pytest

import otspec as ot
from otspec.cli import main
from otspec.cli.shared import terminal_width

LAWS = ("bound", "--target", "0.5,0.5", "--draft", "1,0", "-k", "1")


def test_the_lossy_bound_is_printed_and_marked(capsys):
    assert main([*LAWS, "--tv-budget", "0.2"]) == 0
    assert "lossy (TV <= 0.2) acceptance 0.7" in capsys.readouterr().out
    assert main([*LAWS, "--tv-budget", "0.2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["lossy"]["lower"] == pytest.approx(0.7)
    assert found["lossy"]["output_law"] == pytest.approx([0.7, 0.3])
    assert found["upper"] == 0.5


def test_without_a_budget_nothing_lossy_is_said(capsys):
    assert main([*LAWS]) == 0
    assert "lossy" not in capsys.readouterr().out


@pytest.mark.parametrize("budget", ["-1", "2", "nan", "much"])
def test_bad_budgets_are_bad_usage(budget, capsys):
    assert main([*LAWS, f"--tv-budget={budget}"]) == 2
    assert "budget" in capsys.readouterr().err


SEQUENCE = ("compare", "--sequence", "--rules", "block", "-k", "1", "--contexts", "3")


@pytest.mark.parametrize("quiet", [False, True])
def test_how_long_the_bound_takes_is_said_unless_quiet(quiet, monkeypatch, capsys):
    pytest.importorskip("torch")
    from otspec.recording import sequence

    asked = {}

    def bounds(*_, **given):
        asked.update(given)
        return {}

    monkeypatch.setattr(sequence, "path_bounds", bounds)
    assert main([*SEQUENCE, *["--quiet"] * quiet, "--time-limit", "60"]) == 0
    assert (asked["progress"], asked["time_limit"]) == (not quiet, 60.0)
    assert ("block" in capsys.readouterr().out) != quiet


def test_a_bound_that_takes_too_long_is_refused(capsys):
    pytest.importorskip("torch")
    assert main([*SEQUENCE, "--time-limit", "1e-6"]) == 2
    assert "3 contexts need about" in capsys.readouterr().err
    assert main([*SEQUENCE, "--time-limit", "soon"]) == 2
    assert "'soon' is no positive number" in capsys.readouterr().err


COMPARE = ("compare", "--target", "0.5,0.5", "--draft", "0.3,0.7")


@pytest.mark.parametrize("command", ["bound", "compare", "agree"])
def test_logits_are_laws_at_a_temperature(command, tmp_path, capsys):
    logits = {"target": [[1.0, 2.0, -1.0], [0.0, 0.0, 0.0]], "draft": [[0.0, 1.0, 2.0], [3.0, -1.0, 0.0]]}
    laws = {name: ot.law_from_logits(np.array(rows), temperature=0.5) for name, rows in logits.items()}
    given = {}
    for kind, arrays in (("logits", logits), ("laws", laws)):
        for name, rows in arrays.items():
            np.save(tmp_path / f"{kind}-{name}.npy", rows)
        given[kind] = [word for name in arrays for word in (f"--{name}", str(tmp_path / f"{kind}-{name}.npy"))]
    assert main([command, *given["laws"], "--json"]) == 0
    expected = capsys.readouterr().out
    assert main([command, *given["logits"], "--logits", "--temperature", "0.5", "--json"]) == 0
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize(("arguments", "says"), [
    (["--temperature", "0.6"], "Fix: --logits"), (["--pair", "pocket"], "--sequence"),
    (["--time-limit", "9"], "--sequence"),
    (["--contexts", "3"], "--trace"), (["--normalize", "--logits"], "leave it out"),
    (["--rules", "optimal,"], "empty name"), (["--rules", ","], "empty name"),
    (["--scheme", "hybrid"], "Fix: hybrid:1"), (["--sequence", "--scheme", "greedy"], "two laws")])
def test_options_without_an_effect_are_refused(arguments, says, capsys):
    assert main([*COMPARE, *arguments]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert "Did you mean 'hybrid'" not in err


def test_blanks_are_no_part_of_a_name(capsys):
    assert main([*COMPARE, "--rules", "optimal, k_seq", "--json"]) == 0
    assert [row["rule"] for row in json.loads(capsys.readouterr().out)] == ["optimal", "k_seq"]


def test_a_temperature_changes_the_laws_of_a_trace(capsys):
    asked = ["compare", "--trace", "pocket", "--contexts", "2", "--rules", "optimal", "--json"]
    found = []
    for more in ([], ["--temperature", "0.6"]):
        assert main([*asked, *more]) == 0
        found.append(json.loads(capsys.readouterr().out)[0]["acceptance"])
    laws = ot.load_trace("pocket", temperature=0.6).laws([0, 511])
    assert found[1] == pytest.approx(float(ot.optimal_acceptance(*laws, 2).mean()), abs=1e-9)
    assert found[0] != found[1]


@pytest.mark.parametrize(("arguments", "says"), [
    (["--target=1,2,-1", "--draft", "1,0,0"], "If these are logits: --logits"),
    (["--target=1,2,-1", "--draft", "1,0,0", "--normalize"], "error: --target[2] = -1.0"),
    (["--target", "0,0", "--draft", "1,0", "--normalize"], "error: --target: a row sums to zero"),
    (["--target", "0.5,0.5", "--draft", "0.5,0.6"], "error: --draft sums to 1.1, not to 1 (tolerance 1e-06). Fix: "
                                                    "--normalize.\n"),
    (["--target", "nan,1", "--draft", "1,0", "--logits"], "error: --target: NaN")])
def test_what_is_no_law_is_told_in_the_words_of_the_command_line(arguments, says, capsys):
    assert main(["bound", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_tables_fit_the_terminal_and_are_whole_in_a_pipe(monkeypatch, capsys):
    assert main([*COMPARE]) == 0
    whole = capsys.readouterr().out
    assert max(map(len, whole.splitlines())) > 80
    monkeypatch.setattr("otspec.cli.laws.terminal_width", lambda: 60)
    assert main([*COMPARE]) == 0
    folded, *lines = capsys.readouterr().out.splitlines()
    assert folded.startswith("in all rows: scheme WithReplacement, k 2")
    assert max(map(len, lines[:-1])) <= 60
    assert lines[0].startswith("rule")


def test_only_a_terminal_has_a_width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout.isatty", lambda: False)
    assert terminal_width() is None
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert terminal_width() == 60


def test_small_models_refuse_what_they_do_not_read(capsys):
    assert main(["compare", "--pair", "toys", "--temperature", "0.6"]) == 2
    assert "--temperature: it has no effect on small models" in capsys.readouterr().err
