"""The README's numbers on real models are those of the benchmark's files."""

from pathlib import Path

import pytest

from tests.bench.harness import RESULTS
from tests.bench.readme_models import HEADING, TABLES

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_of_the_readme_are_those_of_the_files(name):
    text = README.read_text(encoding="utf-8")
    table = TABLES[name]()
    assert len(table.splitlines()) > 2
    if HEADING not in text:
        pytest.skip(f"the README has no section {HEADING!r}")
    assert table in text


@pytest.mark.parametrize("name", TABLES)
def test_results_say_on_what_they_were_made(name):
    head = (RESULTS / f"{name}.csv").read_text(encoding="utf-8").splitlines()[:8]
    for what in ("processor", "cores", "otspec", "torch", "transformers"):
        assert any(line.startswith(f"# {what}: ") for line in head), what
