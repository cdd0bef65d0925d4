"""``otspec bound --tv-budget``: the bound of lossy rules beside the lossless one."""

import json

import pytest

from otspec.cli import main

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
