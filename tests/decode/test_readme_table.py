"""The table of the guide that says which rules may verify which drafts is what the decoder accepts."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

import otspec as ot
from otspec.core.errors import SchemeMismatch
from otspec.decode.method import method

BINS = ot.Calibration((), [[0.6], [0.2]], (), [[0.6], [0.2]])
DRAFTERS = {"one path, `lookup`": [ot.drafter("paths"), ot.drafter("lookup")],
            "`paths`, K > 1": [ot.drafter("paths", scheme=3)],
            "`delayed`": [ot.drafter("delayed")],
            "`tree`, `budget_split`": [ot.drafter("tree", widths=(3, 2)),
                                       ot.drafter("budget_split", nodes=8, rates=(0.6, 0.2), calibration=BINS)],
            "`heap`, `calibrated_heap`": [ot.drafter("heap"),
                                          ot.drafter("calibrated_heap", nodes=8, calibration=BINS)],
            "`greedy_tree`": [ot.drafter("greedy_tree", widths=(3, 2))], "`rheo`": [ot.drafter("rheo")],
            "`rerank`, `likeliest`": [ot.drafter("rerank"), ot.drafter("likeliest")],
            "`several`": [ot.drafter("several", models=3)], "`adaptive`": [ot.drafter("adaptive")]}


def lawful(rule, drafter):
    try:
        method(rule, 1, 1, drafter)
    except SchemeMismatch:
        return False
    return True


def table():
    """Rules in the order of their list; those of one row together."""
    rows = {}
    for rule in ot.list_verifiers():
        answers = [[lawful(rule, drafter) for drafter in drafters] for drafters in DRAFTERS.values()]
        assert all(len(set(answer)) == 1 for answer in answers)  # what shares a column has one answer
        marks = tuple("yes" if answer[0] else "" for answer in answers)
        if any(marks):
            rows.setdefault(marks, []).append(f"`{rule}`")
    lines = [["rules", *DRAFTERS], ["---"] * (1 + len(DRAFTERS))]
    lines += [[", ".join(rules), *marks] for marks, rules in rows.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def test_the_table_names_every_drafter_and_is_true():
    assert {name for name in ot.list_drafters() if name not in "".join(DRAFTERS)} == set()
    assert f"\n{table()}\n" in (Path(__file__).parents[2] / "otspec/guide/decoding.md").read_text(encoding="utf-8")
