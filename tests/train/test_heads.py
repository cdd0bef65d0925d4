"""Training of the heads on a small text."""

import json

import numpy as np
import pytest

from otspec.core.errors import BadArgument
from otspec.neighbours.blockwise import Heads
from otspec.train import heads as module
from otspec.train.corpus import Corpus, Document
from otspec.train.heads import HEADS, SPAN, WARM, main, train_heads

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


def corpus(size):
    """Three tokens in a cycle: the state some tokens on is a function of the state now."""
    stream = np.tile([77, 500, 1234], size // 3 + 1)[:size].astype(np.uint16)
    return Corpus(stream, [Document("source", "held.py", stream[:400])], {"source": size}, "3.11.7", "0" * 64)


def test_the_closed_form_knows_a_text_that_repeats_itself(tmp_path):
    record = train_heads(tmp_path, corpus=corpus(4000), windows=8, steps=1, progress=False)
    assert json.loads((tmp_path / "heads.json").read_text(encoding="utf-8")) == record
    assert min(record["closed_form"]["top_1"]) > 0.95
    heads = Heads.load(tmp_path / "heads.safetensors")
    assert heads.weights.shape == (HEADS, 257, 256)
    assert heads.bigram.law(77).argmax() == 500


def test_distillation_descends_the_cross_entropy_to_the_entropy():
    generator = torch.Generator().manual_seed(0)
    turn, output = (torch.randn(shape, generator=generator) for shape in ((5, 5), (9, 5)))
    turn = torch.linalg.qr(turn).Q
    states = [torch.randn(8, 1, 5, generator=generator)]
    for _ in range(WARM + SPAN + HEADS - 1):
        states.append(states[-1] @ turn)
    states = torch.cat(states, dim=1)
    exact = torch.stack([torch.cat([torch.linalg.matrix_power(turn, n), torch.zeros(1, 5)]) for n in range(1, 7)])
    found = module._closed_form(iter([states]))
    assert torch.allclose(found, exact, atol=0.05)
    weights = torch.nn.Parameter(exact + 0.5 * torch.randn(exact.shape, generator=generator))
    before = module.quality(weights.detach(), output, states)["cross_entropy"]
    module._distil(weights, output, iter([states] * 150), 150)
    after, best = (module.quality(one, output, states)["cross_entropy"] for one in (weights.detach(), exact))
    for far, near, floor in zip(before, after, best, strict=True):
        assert floor <= near + 1e-4
        assert near - floor < 0.6 * (far - floor)


def test_bad_arguments(tmp_path, capsys):
    with pytest.raises(BadArgument, match="steps"):
        train_heads(tmp_path, corpus=corpus(8000), steps=0)
    with pytest.raises(BadArgument, match="windows"):
        train_heads(tmp_path, corpus=corpus(8000), windows=7)
    with pytest.raises(BadArgument, match="too few"):
        train_heads(tmp_path, corpus=corpus(80))
    assert main(["--out", str(tmp_path), "--corpus", str(tmp_path / "none.safetensors")]) == 2
    assert "none.safetensors" in capsys.readouterr().err
