"""Habits that keep the house in order: lazy imports, one-way rooms, doctests, sources that resolve."""

import ast
import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

import otspec as ot
from otspec.couplings import list_couplings

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "otspec"
MODULES = sorted(m.name for m in pkgutil.walk_packages([str(PACKAGE)], "otspec.") if not m.name.endswith("__main__"))
HEAVY = ("torch", "cvxpy", "transformers", "scipy", "matplotlib", "numba", "safetensors")


def run(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def test_import_loads_nothing_heavy():
    code = f"import otspec, sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert run(sys.executable, "-c", code).stdout.strip() == "[]"


@pytest.mark.parametrize("name", sorted(ot.__all__))
def test_public_names_exist_and_are_described(name):
    assert getattr(ot, name).__doc__ or name == "__version__"


def test_type_checkers_see_the_same_names():
    stub = (PACKAGE / "__init__.pyi").read_text(encoding="utf-8")
    found = set(re.findall(r"^from (\S+) import (\w+) as \2$", stub, re.MULTILINE))
    rooms = {("otspec", name) for name in ot._SUBMODULES}
    assert found == rooms | {(module, name) for name, module in ot._HOME.items()}


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'optimum'"):
        ot.optimum  # noqa: B018


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name):
    module = importlib.import_module(name)
    result = doctest.testmod(module, extraglobs={"np": np, "ot": ot}, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_rooms_import_one_way():
    result = run(str(Path(sys.executable).with_name("lint-imports")), "--no-cache")
    assert result.returncode == 0, result.stdout


def test_ruff_is_clean():
    result = run(str(Path(sys.executable).with_name("ruff")), "check", "--no-cache", ".")
    assert result.returncode == 0, result.stdout


def test_types_hold():
    """Run the type checker on the package; its cache lies where the system keeps what may be lost."""
    cache = Path(tempfile.gettempdir()) / f"otspec-mypy-{os.getuid()}"
    result = run(sys.executable, "-m", "mypy", "--cache-dir", str(cache))
    assert result.returncode == 0, result.stdout + result.stderr


MISTAKES = """
import otspec as ot
run: ot.DecodeRun = ot.generate(ot.load_pair("pocket"), ["a"], max_new_token=3)
efficiency: float = run.block_efficiency
ot.compare([0.5], [0.5], 2).to_cvs("table.csv")
number: str = ot.samples_needed(0.05)
ot.acceptence_bound([0.5], [0.5], 2)
"""


def test_a_users_script_is_typed(tmp_path):
    """A script that uses much of the public API is clean under the strict checks, and mistakes are found."""
    cache = Path(tempfile.gettempdir()) / f"otspec-mypy-{os.getuid()}"
    wrong = tmp_path / "wrong.py"
    wrong.write_text(MISTAKES, encoding="utf-8")
    result = run(sys.executable, "-m", "mypy", "--cache-dir", str(cache), "tests/typed_script.py", str(wrong))
    found = re.findall(r"^(\S+?):(\d+): error", result.stdout, re.MULTILINE)
    assert {Path(file).name for file, _ in found} == {"wrong.py"}, result.stdout + result.stderr
    assert {int(line) for _, line in found} == {3, 4, 5, 6, 7}, result.stdout


def keys_of_the_bibliography():
    return set(re.findall(r"^@\w+\{([^,]+),", (PACKAGE / "references.bib").read_text(encoding="utf-8"), re.MULTILINE))


def test_every_cited_source_resolves():
    entries = [*ot.list_verifiers().values(), *list_couplings().values(), *ot.list_lossy().values()]
    missing = {entry.source.key for entry in entries} - keys_of_the_bibliography()
    assert not missing
    cited = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)):
                text = ast.get_docstring(node) or ""
                # a citation follows a full stop, or another citation; a shape such as [rows] follows a name
                for chain in re.findall(r"[.!?]\s+((?:\[[a-z][a-z0-9+-]{3,}\]\s*)+)", text):
                    cited |= set(re.findall(r"\[([^]]+)\]", chain))
    assert cited - keys_of_the_bibliography() == set()
    assert cited


def test_modules_stay_small():
    long = {str(p.relative_to(ROOT)): n for p in PACKAGE.rglob("*.py")
            if (n := len(p.read_text(encoding="utf-8").splitlines())) > 400}
    assert not long


def test_nothing_is_unpickled():
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"import pickle|torch\.(load|save)\(|allow_pickle=True|trust_remote_code=True", text)


def test_the_typing_marker_licence_and_notice_ship():
    for name in ("py.typed", "LICENSE", "references.bib", "CITATION.cff", "CHANGELOG.md", "data/pocket/NOTICE"):
        assert (PACKAGE / name).exists()
