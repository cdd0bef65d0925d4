"""Bytes of caches, and errors that say that memory ran out."""

import pytest

torch = pytest.importorskip("torch")
tf = pytest.importorskip("transformers")

from otspec.core.errors import TooLarge  # noqa: E402
from otspec.decode.drafters import Paths  # noqa: E402
from otspec.decode.reading.alone import AloneReader  # noqa: E402
from otspec.decode.reading.behaviour import behaviour  # noqa: E402
from otspec.decode.reading.memory import cache_bytes, out_of_memory  # noqa: E402
from otspec.decode.room import Room  # noqa: E402
from tests.decode import tiny  # noqa: E402
from tests.decode.strange import strange  # noqa: E402

TOKEN = 2 * 2 * 16 * 8  # keys and values, layers, hidden size, bytes


@pytest.mark.parametrize(("error", "says"), [
    (MemoryError(), True), (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
    (RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"), True),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
    (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False), (ValueError("out of memory"), False)])
def test_errors_that_say_it(error, says):
    assert out_of_memory(error) == says


def test_what_torch_says_on_this_machine():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50, dtype=torch.float64)
    assert out_of_memory(caught.value)


def test_tensors_are_counted_once_wherever_they_are():
    one = torch.zeros(3, 5, dtype=torch.float64)

    class Cache:
        def __init__(self):
            self.layers, self.named, self.me = [one, one[:2], (torch.zeros(7, dtype=torch.int8),)], {"same": one}, self

    assert cache_bytes(Cache()) == 3 * 5 * 8 + 7
    assert cache_bytes(None) == 0


def test_caches_of_texts_that_are_read_alone_are_counted():
    way = behaviour(strange("bart", 1), 64, 24, "target")
    assert (way.way, way.bytes_per_token, way.bytes_per_text) == ("alone", TOKEN, 0)
    # a recurrent state has one size: of a window of 4 and a state of 4 for each of 2 x 16 channels, in double precision
    way = behaviour(strange("mamba", 1), 64, 24, "target")
    assert (way.way, way.bytes_per_token) == ("alone", 0)
    assert way.bytes_per_text == 32 * (4 + 4) * 8


def test_the_caches_count_in_the_room():
    pair = tiny.pair()
    object.__setattr__(pair, "target", strange("bart", 1))
    object.__setattr__(pair, "draft", strange("mamba", 2))
    slots, laws = 20 + 4 + 2, (4 * 5 + 2 * 4) * 64 * 8
    assert Room.of(pair, Paths(1, 4), 20).bytes_per_sequence == TOKEN * slots + 32 * (4 + 4) * 8 + laws


def test_a_reader_that_holds_no_text_needs_nothing():
    reader = AloneReader(strange("bart", 1), 64, rows=2)
    assert (reader.bytes_per_slot, reader.bytes_per_text) == (0, 0)


@pytest.mark.parametrize("after", [0, 5])  # in the first pass, and when a quicker way is tried
def test_memory_that_runs_out_in_the_trial_is_not_a_property_of_the_model(after):
    model, calls = tiny.model(1), []

    def full(*_):
        calls.append(1)
        if len(calls) > after:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    hook = model.register_forward_hook(full)
    with pytest.raises(TooLarge, match=r"draft: memory ran out when LlamaForCausalLM was tried on texts of 32 tokens\. "
                                       r"Fix: shorter texts"):
        behaviour(model, 64, 24, "draft")
    hook.remove()
    assert behaviour(model, 64, 24, "draft").way == "together"  # nothing of it is remembered
