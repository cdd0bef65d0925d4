"""Acceptance by position, from the report's own blocks."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

import otspec as ot
from otspec.analysis.profile import expected_profile
from otspec.core.table import Table
from otspec.reporting import decoded
from otspec.reporting.profiles import COLUMNS, profile_sentence, profile_summary
from otspec.reporting.settings import quick
from tests.decode import tiny


@pytest.fixture(scope="module")
def pair():
    return tiny.pair(size=16, scale=0.5)


PROMPTS = np.random.default_rng(0).integers(0, 16, (12, 4)).tolist()
SETTINGS = replace(quick(7), blocks=12, draft_length=3)


@pytest.fixture(scope="module")
def table(pair):
    return profile_summary(Table(decoded.efficiency_rows(pair, PROMPTS, SETTINGS, {}, lambda amount: None)))


def test_it_is_the_expected_profile_of_the_same_blocks(pair, table):
    trace = ot.record(pair, PROMPTS, draft_length=3, seed=7, progress=False)
    for rule in ("token_wise", "block"):
        rows, exact = table.where(rule=rule).rows, expected_profile(trace, rule)
        for row, other in zip(rows, exact.rows, strict=True):
            for name in ("conditional", "unconditional", "exactly"):
                assert row[name] == pytest.approx(other[name], abs=1e-3)  # a trace stores half precision
        assert rows[-1]["mean_acceptance_length"] == pytest.approx(exact.metadata["mean_acceptance_length"], abs=1e-3)
    assert table.columns == list(COLUMNS)
    assert set(table.column("rule")) == {"token_wise", "block"}  # a coupling verifies nothing


def test_batches_are_pooled(pair, table, monkeypatch):
    monkeypatch.setattr(decoded, "ENTRIES", 5 * 7 * 16)
    parts = profile_summary(Table(decoded.efficiency_rows(pair, PROMPTS, SETTINGS, {}, lambda amount: None)))
    assert parts.column("blocks") == table.column("blocks")
    for one, other in zip(parts.rows, table.rows, strict=True):
        assert abs(one["unconditional"] - other["unconditional"]) < 5 * np.hypot(one["stderr"], other["stderr"])


def test_the_sentence_says_first_and_last(table):
    sentence = profile_sentence(table)
    rows = table.where(rule="block").rows
    assert f"{rows[0]['unconditional']:.3f}" in sentence
    assert f"position 3, once reached, with {rows[-1]['conditional']:.3f}" in sentence
    assert len(profile_summary(Table([]))) == 0
