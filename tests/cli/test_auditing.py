"""``otspec audit``: exit codes, JSON, files, and what is refused."""

import json
import sys
from pathlib import Path

import pytest

from otspec.cli import main

KERNELS = '''
import numpy as np

def right(target, draft, token, rng):
    if rng.random() * draft[token] < target[token]:
        return token
    below = np.maximum(target - draft, 0).cumsum()
    return int(below.searchsorted(rng.random() * below[-1], side="right"))

def wrong(target, draft, token, rng):
    return token
'''
QUICK = ["--kind", "token", "--tv", "0.2", "--no-large"]


@pytest.fixture
def kernels(tmp_path):
    path = tmp_path / "kernels.py"
    path.write_text(KERNELS)
    return path


def test_a_right_function_exits_with_zero(kernels, capsys):
    assert main(["audit", f"{kernels}:right", *QUICK]) == 0
    assert capsys.readouterr().out.startswith("PASSED: right as a token rule")


def test_a_wrong_function_exits_with_one_and_leaves_its_report(kernels, tmp_path, capsys):
    report, figure = tmp_path / "audit.json", tmp_path / "audit.pdf"
    assert main(["audit", f"{kernels}:wrong", *QUICK, "--json", "--report", str(report), "--figure", str(figure)]) == 1
    shown = json.loads(capsys.readouterr().out)
    assert shown["passed"] is False
    assert shown["mistake"] == "always_accept"
    assert json.loads(report.read_text())["counterexample"] == shown["counterexample"]
    assert figure.stat().st_size > 1000


def test_an_undecided_audit_exits_with_one(kernels):
    assert main(["audit", f"{kernels}:right", "--kind", "token", "--seconds", "0.01", "--quiet"]) == 1


def test_a_command_line_by_line(capsys):
    lines = Path(__file__).parents[1] / "auditing" / "line_verifier.py"
    assert main(["audit", f"{sys.executable} {lines} target", *QUICK, "--adapter", "json_lines"]) == 1
    assert "redraw_from_target" in capsys.readouterr().out


@pytest.mark.parametrize(("given", "says"), [
    (["nowhere:fn"], "cannot be loaded"), (["name"], "names no function"), (["{kernels}:gone"], "gone"),
    (["{kernels}:right"], "kind: None"), (["{kernels}:right", "--kind", "token", "--given"], "need an adapter"),
    (["cat", "--adapter", "json_lines"], "--kind: missing"),
    (["{kernels}:right", "--kind", "token", "-k", "3"], "kind='multi'")])
def test_bad_usage_is_one_line(kernels, capsys, given, says):
    assert main(["audit", *(one.format(kernels=kernels) for one in given)]) == 2
    message = capsys.readouterr().err
    assert says in message
    assert message.count("\n") == 1
