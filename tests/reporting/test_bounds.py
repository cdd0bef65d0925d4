"""The bound beside the rules of a report: at hand where it was made for the same contexts, else after a few."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import otspec as ot
from otspec.core.table import Table
from otspec.recording import path_bound as module
from otspec.reporting.bounds import FEW, SAMPLES, report_bounds, room_sentence, with_limit
from otspec.reporting.decoded import spread
from otspec.reporting.settings import full

SHAPES = [(paths, length) for paths in (1, 2, 4) for length in (4, 8)]


@pytest.fixture(scope="module")
def pair():
    return ot.load_pair("pocket", device="cpu")


@pytest.fixture(scope="module")
def texts():
    return spread(ot.load_trace("pocket").prompts, full().path_contexts)


def test_bounds_at_hand_are_those_of_a_full_report(pair, texts, monkeypatch):
    def nothing(*given):
        raise AssertionError("a model was asked")

    monkeypatch.setattr(module, "_after", nothing)
    found = report_bounds(pair, texts, SHAPES, 1.0)
    assert {shape: len(bound.by_context) for shape, bound in found.items()} == dict.fromkeys(SHAPES, 160)
    monkeypatch.undo()
    # the first contexts again, from their own seeds; another processor may round a tie the other way
    again = module.path_bounds(pair, texts[:2], SHAPES, samples=SAMPLES, progress=False)
    for shape, bound in again.items():
        stored = found[shape]
        assert (np.abs(bound.by_context - stored.by_context[:2]) <= 3 * stored.by_context_stderr[:2] + 1e-9).all()


def test_other_contexts_are_computed(pair, texts):
    found = report_bounds(pair, texts[:20], [(2, 2)], 0.7)[2, 2]
    assert len(found.by_context) == FEW
    assert found.settings["temperature"] == 0.7


def test_the_limit_stands_on_the_footing_of_the_row():
    row = {"efficiency": 2.97, "bound": 2.96, "room_percent": 20.0, "room_stderr": 1.0}
    limited = with_limit(row)
    assert limited["limit"] == pytest.approx(3.564)
    assert limited["limit_stderr"] == pytest.approx(0.0297)
    assert with_limit(row | {"room_percent": None})["limit"] is None


def test_sentence_names_the_best_rule_and_the_bound():
    row = {"rule": "lookahead_block", "paths": 4, "draft_length": 8, "target_tokens": 32, "efficiency": 3.986,
           "stderr": 0.06, "bound": 4.264, "bound_stderr": 0.18, "bound_monte_carlo": 0.03, "bound_contexts": 64,
           "room_percent": 6.97, "room_stderr": 0.75}
    text = room_sentence(Table([row, row | {"rule": "traversal", "efficiency": 3.8, "room_percent": 12.2}]))
    assert "look-ahead emits 3.99 ± 0.06 tokens per call; no stateless rule can emit more than 4.26 ± 0.03" in text
    assert "at most 7.0 ± 0.8 %" in text
    assert room_sentence(Table([row | {"room_percent": None}])) == ""
