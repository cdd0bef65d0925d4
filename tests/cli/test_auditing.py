"""``otspec audit``: exit codes, JSON, files, and what is refused."""

import io
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from otspec.auditing import verdict
from otspec.cli import main
from otspec.cli.auditing import load_function

KERNELS = '''
import numpy as np

def right(target, draft, token, rng):
    if rng.random() * draft[token] < target[token]:
        return token
    below = np.maximum(target - draft, 0).cumsum()
    return int(below.searchsorted(rng.random() * below[-1], side="right"))

def wrong(target, draft, token, rng):
    return token

def talks(target, draft, token, rng):
    print("noise")
    return right(target, draft, token, rng)

def says(target, draft, token, rng):
    return "hello"

def nothing(target, draft, token, rng):
    return None

def raises(target, draft, token, rng):
    raise ValueError("of my own\\nmaking")

def ends(target, draft, token, rng):
    raise SystemExit(0)

def hangs(target, draft, token, rng):
    while True:
        pass

seventeen = 17
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


def test_a_file_named_like_a_module_leaves_that_module_alone(tmp_path):
    path = tmp_path / "json.py"
    path.write_text("import dataclasses\n\n@dataclasses.dataclass\nclass Rule:\n    bias: float = 0.5\n"
                    "    def __call__(self, target, draft, token, rng):\n        return token\n\nrule = Rule(0.25)\n")
    rule = load_function(f"{path}:rule")
    assert sys.modules["json"] is json
    assert rule.bias == 0.25
    assert pickle.loads(pickle.dumps(rule)) == rule


def test_an_undecided_audit_exits_with_one(kernels):
    assert main(["audit", f"{kernels}:right", "--kind", "token", "--seconds", "0.01", "--quiet"]) == 1


def test_a_command_line_by_line(capsys):
    lines = Path(__file__).parents[1] / "auditing" / "line_verifier.py"
    assert main(["audit", f"{sys.executable} {lines} target", *QUICK, "--adapter", "json_lines"]) == 1
    assert "redraw_from_target" in capsys.readouterr().out


@pytest.mark.parametrize(("given", "says"), [
    (["nowhere:fn", *QUICK], "cannot be loaded"), (["name", *QUICK], "names no function"),
    (["{kernels}:gone", *QUICK], "gone"), (["{kernels}:right"], "--kind: missing"),
    (["{kernels}:right", "--kind", "token", "--given"], "need an adapter"), (["{leaves}:fn", *QUICK], "SystemExit: 0"),
    (["{kernels}:right", "--kind", "tokn"], "Did you mean 'token'?"), ([], "required: function"),
    (["{kernels}:right", "--adapter", "huging_face"], "Did you mean 'hugging_face'?"),
    (["{kernels}:right", "--adapter", "hugging_face"], "Fix: fn(candidate_input_ids"),
    (["{kernels}:right", *QUICK, "--tv", "small"], "'small' is no positive number"),
    (["{kernels}:right", *QUICK, "--figure", "law"], "ends in .pdf"), (["{kernels}:seventeen", *QUICK], "17 cannot be"),
    (["{kernels}:raises", *QUICK], "(ValueError: of my own making)"), (["{kernels}:ends", *QUICK], "SystemExit: 0"),
    (["{kernels}:right", *QUICK, "--coins", "2"], "Fix: fn(target [V], draft [V], token, coins [2]) -> token;"),
    (["{kernels}:right", *QUICK, "--coins", "global"], "Fix: fn(target [V], draft [V], token) -> token;"),
    (["{kernels}:right", *QUICK, "--library", "torch"], "Fix: fn(target [V], draft [V], token, generator) -> token;"),
    (["{kernels}:right", *QUICK, "--batch-size", "8"], "each array, and the answer, with a leading axis of 8"),
    (["no-such-file", *QUICK, "--adapter", "json_lines"], "'no-such-file' cannot be started"),
    (["false", *QUICK, "--adapter", "json_lines"], "error: false ended"),
    (["cat", "--adapter", "json_lines"], "--kind: missing"),
    (["{kernels}:right", "--kind", "token", "-k", "3"], "kind='multi'")])
def test_bad_usage_is_one_line(kernels, tmp_path, capsys, given, says):
    leaves = tmp_path / "leaves.py"
    leaves.write_text("import sys\nsys.exit(0)\n")
    assert main(["audit", *(one.format(kernels=kernels, leaves=leaves) for one in given)]) == 2
    message = capsys.readouterr().err
    assert message.startswith("otspec: error: ")
    assert says in message
    assert message.count("\n") == 1


@pytest.mark.parametrize(("name", "why"), [("says", "hello, is no token"), ("nothing", "None, is no token")])
def test_answers_that_are_no_tokens_fail(kernels, capsys, name, why):
    assert main(["audit", f"{kernels}:{name}", *QUICK]) == 1
    verdict, reason = capsys.readouterr().out.splitlines()[:2]
    assert verdict.startswith("FAILED")
    assert reason.startswith("No answer of a verification rule on 'spread'")
    assert why in reason


def test_instances_that_were_not_asked_have_no_rows(kernels, capsys):
    assert main(["audit", f"{kernels}:nothing", *QUICK]) == 1
    out = capsys.readouterr().out
    assert "instances were not asked" in out
    assert "log_evidence" not in out  # no head of a table without rows


def test_the_verdict_is_shown_before_files_that_cannot_be_written(kernels, tmp_path, monkeypatch, capsys):
    assert main(["audit", f"{kernels}:wrong", *QUICK, "--report", str(tmp_path)]) == 2  # before the audit
    assert "is a folder" in capsys.readouterr().err
    monkeypatch.setattr("otspec.cli.auditing.check_place", lambda *_, **__: None)  # as a disk that fills up meanwhile
    assert main(["audit", f"{kernels}:wrong", *QUICK, "--report", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out.startswith("FAILED")
    assert err.count("\n") == 1


def test_a_function_that_hangs_is_stopped(kernels, capsys, monkeypatch):
    monkeypatch.setattr(verdict, "GRACE", 0.2)
    assert main(["audit", f"{kernels}:hangs", *QUICK, "--seconds", "0.3"]) == 1
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("UNDECIDED")
    assert "has not come back: no answer 0.2 s after the 0.3 s were up" in shown[1]


def test_what_a_function_prints_is_no_result(kernels, capsys):
    assert main(["audit", f"{kernels}:talks", *QUICK, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["passed"] is True
    assert "noise" in err


def test_the_exit_code_outlives_a_closed_pipe(kernels):
    command = [sys.executable, "-m", "otspec", "audit", f"{kernels}:wrong", *QUICK]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 1


class Terminal(io.StringIO):
    """A stderr that somebody watches."""

    def isatty(self):
        return True


@pytest.mark.parametrize(("watched", "quiet", "bar"), [(True, False, True), (True, True, False), (False, False, False)])
def test_the_progress_bar_is_for_a_terminal_that_is_not_quiet(kernels, monkeypatch, watched, quiet, bar):
    stderr = Terminal() if watched else io.StringIO()
    monkeypatch.setattr("sys.stderr", stderr)
    assert main(["audit", f"{kernels}:right", *QUICK, *(["--quiet"] if quiet else [])]) == 0
    assert ("calls/s" in stderr.getvalue()) == bar
    assert bool(stderr.getvalue()) == bar
