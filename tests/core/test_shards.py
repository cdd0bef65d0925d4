"""What the files of a trace may hold, and which arrays belong together."""

import numpy as np
import pytest

from otspec.core.errors import BadFile
from otspec.core.shards import check_header, check_shard, count_contexts
from otspec.core.shortened import problem_of

LAWS = {"target": np.zeros((4, 5), np.float16), "draft": np.zeros((4, 5), np.float16)}
ROWS = {"target_rows": np.zeros((4, 3, 5)), "draft_rows": np.zeros((4, 2, 5)), "tokens": np.zeros((4, 2), int)}
IDS = np.array([[0, 1, 5], [2, 3, 4]], dtype=np.int32)
SHORT = {f"{which}{part}": array for which in ("target", "draft") for part, array in
         (("", np.zeros((2, 3))), ("_ids", IDS), ("_lost", np.zeros(2)))}
KINDS = {"laws": LAWS, "rows": ROWS, "short": SHORT}


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_that_belong_together_pass(kind):
    shard = KINDS[kind]
    size = count_contexts(shard)
    assert size == len(next(iter(shard.values())))
    check_shard(shard, shard, "here", {"vocab_size": 6})
    one = {name: array[:1] for name, array in shard.items()}
    check_shard(one, shard, "here", {"vocab_size": 6})  # shards may differ in length
    with_contexts = shard | {"contexts": np.zeros((size, 9), int)}
    check_shard(with_contexts, with_contexts, "here", {"vocab_size": 6})
    for wrong in ({"more": np.zeros(size)}, {name: array[:0] for name, array in shard.items()},
                  {"contexts": np.zeros((size + 1, 9), int)}):
        with pytest.raises(BadFile, match=r"^here: arrays .*Fix: record it again, or use"):
            check_shard(shard | wrong, shard | wrong, "here", {"vocab_size": 6})
    for name in shard:
        less = {other: array for other, array in shard.items() if other != name}
        with pytest.raises(BadFile, match=r"^here: arrays \[.*expected target and draft"):
            check_shard(less, less, "here", {"vocab_size": 6})
        other = shard | {name: shard[name].astype(np.float32)}
        with pytest.raises(BadFile, match=r"^here: shards that differ in shape or dtype"):
            check_shard(other, shard, "here", {"vocab_size": 6})
        short = shard | {name: shard[name][:1]}
        with pytest.raises(BadFile, match=r"^here: arrays of different or no length"):
            check_shard(short, short, "here", {"vocab_size": 6})
    with pytest.raises(BadFile, match=r"^here: shards that differ in shape"):
        check_shard(with_contexts, shard | {"contexts": np.zeros((size, 8), int)}, "here", {"vocab_size": 6})


@pytest.mark.parametrize(("base", "change", "says"), [
    (LAWS, {"draft": np.zeros((4, 6), np.float16)}, "laws that are not"),
    (LAWS, {"target": np.zeros((4, 5, 1)), "draft": np.zeros((4, 5, 1))}, "laws that are not"),
    (LAWS, {"target": np.zeros(4), "draft": np.zeros(4)}, "laws that are not"),
    (ROWS, {"draft_rows": np.zeros((4, 3, 5))}, "rows that are not"),
    (ROWS, {"draft_rows": np.zeros((4, 2, 6))}, "rows that are not"),
    (ROWS, {"target_rows": np.zeros((4, 2, 5))}, "rows that are not"),
    (ROWS, {"target_rows": np.zeros((4, 4, 5))}, "rows that are not"),
    (ROWS, {"tokens": np.zeros((4, 3), int)}, "rows that are not"),
    (SHORT, {"target_lost": np.zeros((2, 1))}, "target: masses"),
    (SHORT, {"draft": np.zeros((2, 4))}, "draft: masses"),
    (SHORT, {"target": np.zeros(2), "target_ids": np.array([1, 2])}, "target: masses"),
    (SHORT, {"draft_ids": IDS + 1}, "draft: tokens of shortened laws outside the vocabulary of 6"),
    (SHORT, {"target_ids": IDS - 1}, "target: tokens of shortened laws outside"),
    (SHORT, {"target_ids": IDS.astype(float)}, "target: tokens of shortened laws outside"),
    (SHORT, {"draft_ids": np.array([[0, 1, 5], [2, 2, 4]])}, "draft: tokens of shortened laws out of order"),
    (SHORT, {"draft_ids": np.array([[0, 5, 1], [2, 3, 4]])}, "draft: tokens of shortened laws out of order")], ids=str)
def test_arrays_that_do_not_belong_together_are_named(base, change, says):
    with pytest.raises(BadFile, match=f"^here: {says}"):
        check_shard(base | change, base | change, "here", {"vocab_size": 6})


def test_shortened_laws_need_the_size_of_the_vocabulary():
    assert problem_of(SHORT, {"vocab_size": 6}) is None
    for provenance in ({}, {"vocab_size": "6"}):
        assert problem_of(SHORT, provenance) == "shortened laws without a vocab_size in the provenance"


def test_the_header_has_what_it_needs():
    kinds = {"contexts": int, "provenance": dict}
    good = {"contexts": 4, "provenance": {}}
    for transforms in ([], [{"temperature": 0.5}], [{"top_k": 3, "top_p": None}, {"temperature": 1.0}]):
        check_header(good | {"transforms": transforms}, kinds)
    check_header(good, kinds)
    for found in ([], None, {"contexts": 4}, {"contexts": "4", "provenance": {}}, ["contexts", "provenance"]):
        with pytest.raises(ValueError, match=r"no (int|dict) '(contexts|provenance)'"):
            check_header(found, kinds)
    for step in ({"top_k": 3}, ["temperature"], {"temperature": 1.0, "top_k": 3}, {}, "temperature"):
        with pytest.raises(ValueError, match="unknown transforms"):
            check_header(good | {"transforms": [{"temperature": 0.5}, step]}, kinds)
