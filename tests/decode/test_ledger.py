"""Rounds that are counted by hand."""

import numpy as np
import pytest

from otspec.core.errors import BadArgument
from otspec.core.progress import progress_bar
from otspec.decode.ledger import Ledger


class Bar:
    """Counts what a progress bar is told."""

    done = 0

    def update(self, count):
        assert count >= 0
        self.done += count


def ledger(count, length, *stops, bar=None):
    return Ledger(count, length, frozenset(stops), bar or progress_bar(0, "tokens", False))


def test_rounds_by_hand():
    book = ledger(2, 5)
    # accepted, the token after the drafts, the drafts
    assert book.add([0, 1], np.array([[2, 9, 1, 2, 3], [0, 8, 4, 5, 6]]), np.array([1.5, 0.5])).tolist() == [True, True]
    assert book.add([0, 1], np.array([[3, 7, 4, 5, 6], [3, 7, 1, 2, 3]]), np.array([2.0, 2.5])).tolist() == [False] * 2
    run = book.run(True, {"verifier": "x"}, 0.5)
    assert run.tokens == [[1, 2, 9, 4, 5], [8, 1, 2, 3, 7]]
    assert run.accepted.tolist() == [[2, 0], [3, 3]]
    assert run.rounds.tolist() == [2, 2]
    assert run.block_efficiency.mean == (7 + 5) / 4
    assert run.predicted_efficiency.mean == (5.5 + 5) / 4
    assert run.difference.mean == pytest.approx((1.5 + 0) / 4)
    assert run.to_table().column("accepted") == [5, 3]
    assert run.to_table().metadata["verifier"] == "x"
    assert "4 target calls, 3.000 tokens per call" in repr(run)


def test_a_stop_token_among_texts_of_different_length():
    book = ledger(2, 9, 7)
    assert book.add([0, 1], np.array([[2, 9, 1, 7, 3], [0, 5, 7, 7, 7]]), None).tolist() == [False, True]
    for _ in range(7):
        assert book.add([1], np.array([[0, 5, 7, 7, 7]]), None).tolist() == [True]
    assert book.add([1], np.array([[0, 5, 7, 7, 7]]), None).tolist() == [False]
    run = book.run(False, {}, 0.0)
    assert run.tokens == [[1, 7], [5] * 9]
    assert run.accepted.tolist() == [[2, 0], *[[-1, 0]] * 8]
    assert run.rounds.tolist() == [1, 9]
    assert run.to_table().column("predicted") == [None, None]
    with pytest.raises(BadArgument, match="predict=True"):
        _ = run.difference


def test_any_of_several_tokens_stops_and_the_first_one_counts():
    book = ledger(1, 9, 7, 4)
    assert not book.add([0], np.array([[3, 7, 1, 4, 7]]), None).any()
    assert book.run(False, {}, 0.0).tokens == [[1, 4]]


def test_what_lies_past_the_length_stops_nothing():
    book = ledger(1, 2, 7)
    assert not book.add([0], np.array([[3, 7, 1, 2, 7]]), None).any()
    assert book.run(False, {}, 0.0).tokens == [[1, 2]]


def test_rows_belong_to_the_sequences_that_are_named():
    book = ledger(3, 3)
    book.add([2, 0], np.array([[1, 9, 1], [0, 8, 4]]), np.array([0.5, 0.25]))
    book.add([1, 0], np.array([[1, 6, 5], [1, 3, 2]]), np.array([0.75, 1.0]))
    book.add([1, 2], np.array([[0, 4, 0], [0, 2, 0]]), np.array([0.0, 0.125]))
    run = book.run(True, {}, 0.0)
    assert run.tokens == [[8, 2, 3], [5, 6, 4], [1, 9, 2]]
    assert run.accepted.tolist() == [[0, 1, 1], [1, 0, 0]]
    assert run.predicted.tolist() == [[0.25, 0.75, 0.5], [1.0, 0.0, 0.125]]


def test_a_sequence_with_fewer_rounds_is_filled_up_as_ended():
    book = ledger(2, 2)
    book.add([0, 1], np.array([[1, 9, 1], [0, 8, 4]]), np.array([0.5, 0.25]))
    book.add([1], np.array([[0, 6, 5]]), np.array([0.75]))
    run = book.run(True, {}, 0.0)
    assert run.accepted.tolist() == [[1, 0], [-1, 0]]
    assert run.predicted.tolist() == [[0.5, 0.25], [0.0, 0.75]]
    assert run.rounds.tolist() == [1, 2]


def test_the_bar_is_full_at_the_end():
    bar = Bar()
    book = ledger(2, 6, 7, bar=bar)
    book.add([0, 1], np.array([[2, 9, 1, 2, 3], [1, 8, 7, 5, 6]]), None)
    assert bar.done == 3 + 6  # the second has stopped
    book.add([0], np.array([[3, 9, 1, 2, 3]]), None)
    assert bar.done == 12
