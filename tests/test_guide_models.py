"""The guide's numbers on real models are those of the benchmark's files."""

from pathlib import Path

import pytest

from tests.bench.guide_models import TABLES, rows
from tests.bench.harness import RESULTS

PAGE = Path(__file__).parents[1] / "otspec/guide/real.md"


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_of_the_page_are_those_of_the_files(name):
    table = TABLES[name]()
    assert len(table.splitlines()) > 2
    assert table in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TABLES)
def test_results_say_on_what_they_were_made(name):
    head = (RESULTS / f"{name}.csv").read_text(encoding="utf-8").splitlines()[:8]
    for what in ("processor", "cores", "otspec", "torch", "transformers"):
        assert any(line.startswith(f"# {what}: ") for line in head), what


@pytest.mark.parametrize("name", ["real_acceptance", "real_acceptance_gemma3"])
def test_every_optimum_was_certified_and_above_the_rules(name):
    for row in rows(name):
        assert row["largest_gap"] < 1e-9
        assert row["recursive"] <= row["optimum"] + 1e-9
        assert row["k_seq"] <= row["optimum"] + 1e-9
