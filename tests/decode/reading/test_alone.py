"""Text after text in the model's own cache, for models that count slots or keep a state."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
tf = pytest.importorskip("transformers")

from otspec.decode.reading.alone import AloneReader  # noqa: E402
from tests.decode import tiny  # noqa: E402
from tests.decode.reading.rounds import Texts, rounds_of_random_trees  # noqa: E402
from tests.decode.strange import strange  # noqa: E402


@pytest.mark.parametrize(("name", "how"), [("gpt_neo", {}), ("mpt", {}), ("bart", {"plain": True}),
                                           ("mamba", {"singly": True})])
@pytest.mark.parametrize("seed", range(2))
def test_rounds_of_random_trees_are_read_as_whole_passes(name, how, seed):
    model = strange(name, 1)
    # some of these models compute parts in single precision whatever their own is
    rounds_of_random_trees(Texts(model, np.random.default_rng(seed), 1e-4), AloneReader(model, 64, 4, **how))


def test_a_cache_of_plain_layers():
    model = tiny.model(3)
    rounds_of_random_trees(Texts(model, np.random.default_rng(0)), AloneReader(model, 64, 4, plain=True))


def test_what_stands_past_the_last_position_is_left_out():
    model = strange("bart", 1)  # 128 positions in a table
    reader = AloneReader(model, 64, 1, plain=True, limit=128)
    text = np.random.default_rng(0).integers(3, 64, size=128).tolist()
    reader.admit([0], [text[:127]])
    logits = reader.read(torch.tensor([[text[127], 5, 6]]), torch.tensor([[-1, 0, 1]]))
    np.testing.assert_allclose(logits[0, 0], tiny._logits(model, tuple(text)), atol=1e-12)
    reader.keep(None, torch.tensor([0]), 127)
    assert reader.read(torch.tensor([[text[127], 5, 6]]), torch.tensor([[-1, 0, 1]])).equal(logits)


def test_a_model_without_a_cache_is_told_apart():
    reader = AloneReader(strange("openai", 1), 64, 1)
    reader.admit([0], [[1, 2]])
    with pytest.raises(TypeError, match="gives back no cache"):
        reader.read(torch.tensor([[1]]), torch.tensor([[-1]]))
