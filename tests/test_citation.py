"""How otspec is cited: one text, in the package, on the command line and in the metadata."""

from importlib.metadata import metadata
from pathlib import Path

import otspec as ot
from otspec.cli import main

PACKAGE = Path(ot.__file__).parent


def test_the_file_says_what_the_function_says():
    assert (PACKAGE / "CITATION.cff").read_text(encoding="utf-8") == ot.cite("cff")
    assert f"version: {ot.__version__}\n" in ot.cite("cff")


def test_the_command_prints_a_bibtex_entry(capsys):
    assert main(["--cite"]) == 0
    assert capsys.readouterr().out == ot.cite()
    assert ot.cite().count("{") == ot.cite().count("}")
    assert f"version = {{{ot.__version__}}}" in ot.cite()


def test_the_changelog_begins_with_this_version():
    heads = [line for line in (PACKAGE / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
             if line.startswith("## ")]
    assert heads[0].startswith(f"## {ot.__version__}")
    assert metadata("otspec")["Version"] == ot.__version__
