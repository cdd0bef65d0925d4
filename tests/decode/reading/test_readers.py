"""Both ways to read a model against plain passes over each text alone, over rounds of random trees."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from otspec.core.errors import ShapeMismatch  # noqa: E402
from otspec.decode.reading import readers  # noqa: E402
from otspec.decode.reading.readers import TreeReader, WholeReader, last_logits  # noqa: E402
from otspec.decode.reading.window import windows  # noqa: E402
from tests.decode import tiny  # noqa: E402
from tests.decode.reading.rounds import Texts, rounds_of_random_trees  # noqa: E402
from tests.oracles.waiting import NoWaiting  # noqa: E402

SIZE = 64
# a window of six is smaller than every text but the first ones
FAMILIES = {"llama": {}, "gpt2": {}, "mistral": {"sliding_window": 6}}


@pytest.fixture(scope="module", params=list(FAMILIES))
def model(request):
    return tiny.model(3, SIZE, request.param, **FAMILIES[request.param])


def tree_reader(model, rows, room=4):  # so little room that the cache has to grow
    return TreeReader(model, SIZE, rows, room, windows(model.config)[0], limit=256)


def whole_reader(model, rows):
    return WholeReader(model, SIZE, rows, limit=256)


@pytest.mark.parametrize("make", [tree_reader, whole_reader])
@pytest.mark.parametrize("seed", range(3))
def test_rounds_of_random_trees_are_read_as_whole_passes(model, make, seed):
    rounds_of_random_trees(Texts(model, np.random.default_rng(seed)), make(model, 4))


def test_chains_are_kept_without_being_named(model):
    state = Texts(model, np.random.default_rng(7))
    reader = tree_reader(model, 2)
    state.admit(reader, [0, 1], [state.tokens(7), state.tokens(2)])
    for counts in ([3, 1], [2, 4]):
        state.check(reader, [state.tokens(4) for _ in range(2)], [[-1, 0, 1, 2]] * 2)
        for text, chains, count in zip(state.texts, state.chains, counts, strict=True):
            text += chains[count - 1]
        reader.keep(None, torch.tensor(counts), max(map(len, state.texts)))
        state.chains = [[], []]


def test_a_row_may_hold_texts_of_ever_other_length(model):
    # what an earlier, longer text has left in a row must not be seen
    state = Texts(model, np.random.default_rng(8))
    reader = tree_reader(model, 2)
    state.admit(reader, [0, 1], [state.tokens(20), state.tokens(3)])
    state.read(reader, 3)
    state.keep(reader)
    state.admit(reader, [0], [state.tokens(1)])
    state.read(reader, 3)
    state.keep(reader)
    state.read(reader, 3)


@pytest.mark.parametrize("bug", ["siblings", "positions"])
def test_a_wrong_mask_or_position_is_caught(bug, monkeypatch):
    model, real = tiny.model(3, SIZE), TreeReader._call

    def planted(reader, tokens, places, slots, seen, last, chosen=None):
        if bug == "siblings" and tokens.shape[1] > 1:
            seen = seen | seen.any(dim=1, keepdim=True)
        if bug == "positions":
            places = slots
        return real(reader, tokens, places, slots, seen, last, chosen)

    monkeypatch.setattr(TreeReader, "_call", planted)
    state = Texts(model, np.random.default_rng(0))
    reader = tree_reader(model, 2)
    state.admit(reader, [0, 1], [state.tokens(5), state.tokens(3)])
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        state.check(reader, [[1, 2, 3]] * 2, [[-1, 0, 0]] * 2)


def test_nodes_past_the_last_position_are_read_there():
    # gpt2 would look its table of positions up outside of it
    model = tiny.model(3, SIZE, "gpt2")
    reader = TreeReader(model, SIZE, 1, limit=256)
    text = np.random.default_rng(0).integers(SIZE, size=256).tolist()
    reader.admit([0], [text[:255]])
    nodes, parents = torch.tensor([[text[255], 1, 2]]), torch.tensor([[-1, 0, 1]])
    logits = reader.read(nodes, parents)
    np.testing.assert_allclose(logits[0, 0], tiny._logits(model, tuple(text)), atol=1e-12)  # the last that exists
    # a pass over each text leaves them out
    whole = whole_reader(model, 1)
    whole.admit([0], [text[:255]])
    np.testing.assert_allclose(whole.read(nodes, parents), logits[:, :1].expand(-1, 3, -1), atol=1e-12)


def test_no_round_waits_for_a_device():
    model = tiny.model(3, SIZE, "mistral", sliding_window=6)
    reader = tree_reader(model, 2, room=64)
    with torch.inference_mode():
        reader.admit([0, 1], [[1] * 9, [2] * 4])
        tokens, parents = torch.tensor([[1, 2, 3]] * 2), torch.tensor([[-1, 0, 0]] * 2)
        nodes, count = torch.tensor([[0, 2]] * 2), torch.tensor([2, 1])
        with NoWaiting():
            for most in (11, 13):
                reader.read(tokens, parents)
                reader.keep(nodes, count, most)


def test_the_memory_of_a_token():
    reader = tree_reader(tiny.model(3, SIZE), 2)
    reader.admit([0, 1], [[1, 2], [3]])
    assert reader.bytes_per_slot == 2 * 2 * 2 * 8 * 8  # layers, keys and values, heads, width of a head, bytes
    assert WholeReader.bytes_per_slot == 0


def test_equal_texts_are_read_once(monkeypatch):
    model, calls, real = tiny.model(3, SIZE), [], readers.call
    monkeypatch.setattr(readers, "call", lambda *given, **more: calls.append(more["input_ids"].shape) or
                        real(*given, **more))
    texts = [[1, 2], [3], [1, 2], [4, 5], [3]]
    logits = last_logits(model, SIZE, texts)
    assert calls == [(1, 1), (2, 2)]
    for text, row in zip(texts, logits, strict=True):
        np.testing.assert_allclose(row, tiny._logits(model, tuple(text)), atol=1e-12)
    calls.clear()
    last_logits(model, SIZE, [[i % SIZE, i // SIZE] for i in range(150)])
    assert calls == [(64, 2), (64, 2), (22, 2)]


def test_a_model_with_too_few_logits_is_named():
    with pytest.raises(ShapeMismatch, match="LlamaForCausalLM: 64 logits, expected at least 65"):
        last_logits(tiny.model(3, SIZE), 65, [[1]])
