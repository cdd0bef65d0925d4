"""A cache in which token j lies in slot j."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from otspec.decode.reading.slots import SlotCache  # noqa: E402


def write(cache, slots, numbers, width, chosen=None):
    """Write keys that are numbers, values that are their negatives, ``[R n]``; return what the model would see."""
    numbers = torch.tensor(numbers, dtype=torch.float64)
    states = numbers[:, None, :, None].expand(-1, 2, -1, 3)  # two heads of three entries
    cache.aim(torch.tensor(slots), width, None if chosen is None else torch.tensor(chosen))
    keys, values = cache.update(states, -states, 0)
    assert keys.shape == (len(numbers), 2, width, 3)
    assert keys.equal(-values)
    assert keys[:, :1, :, :1].expand_as(keys).equal(keys)  # heads and entries stay together
    return keys[:, 0, :, 0].tolist()


def test_tokens_lie_in_the_slots_that_were_named():
    cache = SlotCache(2, 4)
    assert write(cache, [[0, 1], [2, 3]], [[5, 6], [7, 8]], 4) == [[5, 6, 0, 0], [0, 0, 7, 8]]
    # later writes replace earlier ones, and the model sees the width it was promised
    assert write(cache, [[1], [0]], [[9], [4]], 3) == [[5, 9, 0], [4, 0, 7]]
    assert cache.get_mask_sizes(1, 0) == (3, 0)
    assert cache.get_seq_length() == 2


def test_chosen_rows_are_written_and_seen_alone():
    cache = SlotCache(3, 2)
    write(cache, [[0, 1]] * 3, [[1, 2], [3, 4], [5, 6]], 2)
    assert write(cache, [[0], [1]], [[7], [8]], 2, chosen=[2, 0]) == [[7, 6], [1, 8]]
    assert write(cache, [[0]] * 3, [[0], [0], [0]], 2) == [[0, 8], [0, 4], [0, 6]]


def test_growing_keeps_what_was_written():
    cache = SlotCache(2, 2)
    write(cache, [[0, 1]] * 2, [[1, 2], [3, 4]], 2)
    cache.reserve(2)
    assert cache.capacity == 2
    cache.reserve(3)
    assert cache.capacity == 4  # at least doubled
    assert write(cache, [[2], [3]], [[5], [6]], 4) == [[1, 2, 5, 0], [3, 4, 0, 6]]
    cache.reserve(100)
    assert cache.capacity == 100
    assert cache.layers[0].keys.shape == (2, 100, 2, 3)


def test_reserving_comes_before_the_first_write_too():
    cache = SlotCache(1, 2)
    cache.reserve(5)
    assert write(cache, [[4]], [[7]], 5) == [[0, 0, 0, 0, 7]]


def test_slots_move_row_by_row():
    cache = SlotCache(2, 5)
    write(cache, [[0, 1, 2, 3, 4]] * 2, [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]], 5)
    # the second row's targets overlap its sources: all are read before any is written
    cache.move(torch.tensor([[3, 4], [2, 3]]), torch.tensor([[1, 2], [1, 2]]))
    assert write(cache, [[4]] * 2, [[0], [0]], 5) == [[1, 4, 5, 4, 0], [6, 8, 9, 9, 0]]


def test_rows_are_kept_in_the_order_that_is_asked_for():
    cache = SlotCache(3, 2)
    write(cache, [[0, 1]] * 3, [[1, 2], [3, 4], [5, 6]], 2)
    cache.select(torch.tensor([2, 0]))
    assert cache.rows == 2
    assert write(cache, [[1], [1]], [[7], [8]], 2) == [[5, 7], [1, 8]]


def test_memory_of_a_slot():
    cache = SlotCache(2, 4)
    assert cache.bytes_per_slot == 0  # nothing is known before a model has written
    write(cache, [[0], [0]], [[1], [2]], 1)
    cache.update(*[torch.zeros(2, 2, 1, 3)] * 2, 1)  # a second layer, in single precision
    assert cache.bytes_per_slot == 2 * (2 * 3 * 8) + 2 * (2 * 3 * 4)
