"""The largest seed is a seed like any other, wherever a place of the report is added to it."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import otspec as ot
from otspec.reporting.decoded import efficiency_rows
from otspec.reporting.exact import scheme_result
from otspec.reporting.settings import Settings
from tests.planner import tinies

LARGEST = 2**64 - 1


def test_contexts_of_the_exact_part():
    laws = np.random.default_rng(0).dirichlet(np.ones(4), (2, 3))
    trace = ot.Trace.from_laws(*laws)
    found = scheme_result(trace, ot.WithReplacement(2), np.array([1, 2]), 4, LARGEST, lambda _: None)
    assert len(found["lower"]) == 2


def test_batches_of_recorded_blocks(monkeypatch):
    monkeypatch.setattr("otspec.reporting.decoded.ENTRIES", 1)  # batches of two
    sizes = Settings(schemes=(), contexts=2, lists=2, runs=(), sequences=1, calls=1, blocks=4, draft_length=1, toys=1,
                     paths=(2,), path_lengths=(1,), path_contexts=2, seed=LARGEST)
    warp = {"temperature": 1.0, "top_k": None, "top_p": None}
    rows = efficiency_rows(tinies.pair(), tinies.contexts(4), sizes, warp, lambda _: None)
    assert {row["draft_length"] for row in rows} == {1}
