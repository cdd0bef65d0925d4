"""What fits is known before anything is decoded."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from otspec.core.errors import BadArgument, TooLarge  # noqa: E402
from otspec.decode import room  # noqa: E402
from otspec.decode.drafters import Lookup, Paths  # noqa: E402
from otspec.decode.loop import generate  # noqa: E402
from otspec.decode.reading.readers import TreeReader  # noqa: E402
from otspec.decode.room import Room, check_room, free_memory, read_models  # noqa: E402
from tests.decode import tiny  # noqa: E402

PROMPTS = [[1, 2, 3]] * 40
CACHE = 2 * 2 * 16 * 8  # bytes of a token in one model: keys and values, layers, hidden size, float64


@pytest.fixture(scope="module")
def pair():
    return tiny.pair()


def need(longest, nodes, models, size=64):
    """Bytes of one sequence: slots of the text, its drafts and two more, then laws of both models."""
    return models * CACHE * (longest + nodes + 2) + (4 * (nodes + 1) + 2 * nodes) * size * 8


def test_bytes_of_a_sequence_by_hand(pair):
    assert Room.of(pair, Paths(3, 2), 20).bytes_per_sequence == need(20, 6, 2)
    assert Room.of(pair, Lookup(4), 20).bytes_per_sequence == need(20, 4, 1)
    assert Room.of(pair, None, 20).bytes_per_sequence == need(20, 0, 1)
    assert Room.of(pair, None, 40).bytes_per_sequence > Room.of(pair, None, 20).bytes_per_sequence


def with_free(monkeypatch, sequences):
    """Let there be memory for so many sequences of the call below."""
    monkeypatch.setattr(room, "free_memory", lambda device: int(sequences * need(3 + 8, 4, 2) / room.SHARE) + 1)


def test_a_batch_that_does_not_fit_is_refused_with_one_that_does(pair, monkeypatch):
    with_free(monkeypatch, 7)
    with pytest.raises(TooLarge, match=r"batch_size: 40 sequences need about .* GB.*Fix: batch_size=7\."):
        generate(pair, PROMPTS, max_new_tokens=8, batch_size=40)
    run = generate(pair, PROMPTS, max_new_tokens=8, batch_size=7)  # what was named fits
    assert run.settings["batch_size"] == 7
    asked_for_nothing = generate(pair, PROMPTS, max_new_tokens=8)
    assert asked_for_nothing.settings["batch_size"] == 7
    assert asked_for_nothing.tokens == run.tokens
    # a batch larger than the prompts asks for no more than they need
    assert generate(pair, PROMPTS[:7], max_new_tokens=8, batch_size=40).tokens == run.tokens[:7]


def test_a_single_sequence_that_does_not_fit_is_refused(pair, monkeypatch):
    with_free(monkeypatch, 0.5)
    for size in (None, 1, 3):
        with pytest.raises(TooLarge, match="Fix: fewer drafts, shorter texts or a smaller pair"):
            generate(pair, PROMPTS, max_new_tokens=8, batch_size=size)


def test_where_nobody_says_what_is_free_the_laws_decide(pair, monkeypatch):
    monkeypatch.setattr(room, "free_memory", lambda device: None)
    found = Room.of(pair, Paths(1, 4), 20)
    assert found.batch(None, 10**9) == room.ENTRIES // (5 * 64)
    assert found.batch(10**8, 10**9) == 10**8
    monkeypatch.setattr(room, "ENTRIES", 5 * 64 * 3 + 1)
    assert generate(pair, PROMPTS, max_new_tokens=2).settings["batch_size"] == 3
    monkeypatch.setattr(room, "ENTRIES", 1)
    assert Room.of(pair, Paths(1, 4), 20).batch(None, 40) == 1


def test_a_batch_size_is_a_whole_number(pair):
    for size in (0, -1, 1.5, True):
        with pytest.raises(BadArgument, match="batch_size"):
            Room.of(pair, None, 20).batch(size, 40)


def test_a_batch_is_never_larger_than_the_prompts(pair):
    assert generate(pair, PROMPTS[:3], max_new_tokens=2, batch_size=20).settings["batch_size"] == 3


def test_texts_must_fit_the_positions_of_the_models_that_are_read():
    pair = tiny.pair()
    object.__setattr__(pair, "draft", tiny.model(2, max_position_embeddings=32))
    check_room(pair, Paths(1, 4), 32)  # drafts past the last position are never part of a text
    with pytest.raises(BadArgument, match="max_new_tokens: texts of up to 33 tokens exceed the 32 positions of the dr"):
        check_room(pair, Paths(1, 4), 33)
    for unread in (None, Lookup(4)):
        check_room(pair, unread, 256)
        with pytest.raises(BadArgument, match="257 tokens exceed the 256 positions of the target"):
            check_room(pair, unread, 257)
    assert (read_models(None), read_models(Lookup(4)), read_models(Paths(1, 4))) == (
        ("target",), ("target",), ("target", "draft"))


def test_the_readers_begin_with_slots_for_everything(pair):
    found = Room.of(pair, Paths(2, 3), 20)
    for reader in (found.target(2), *found.drafts(2)):
        assert isinstance(reader, TreeReader)
        assert reader._cache.capacity == 20 + 6 + 2
    assert found.ways == {"target": "together", "draft": "together"}


def test_free_memory_of_this_machine():
    free = free_memory("cpu")
    assert free is None or 1 << 20 < free < 1 << 50


def test_caches_do_not_grow_in_a_run(pair, monkeypatch):
    grown, real = [], room.TreeReader._call

    def watched(reader, *given, **more):
        before = reader._cache.capacity
        answer = real(reader, *given, **more)
        grown.append(reader._cache.capacity != before)
        return answer

    generate(pair, PROMPTS[:1], verifier="recursive", scheme=3, draft_length=3, max_new_tokens=30)  # models are tried
    monkeypatch.setattr(TreeReader, "_call", watched)
    generate(pair, [[1], [2] * 9, [3] * 5], verifier="recursive", scheme=3, draft_length=3, max_new_tokens=30,
             batch_size=2)
    assert len(grown) > 20
    assert not any(grown)
