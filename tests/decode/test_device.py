"""On a CUDA device every drafter and rule decodes the CPU's texts, on the same numbers, and waits once a round."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import otspec as ot  # noqa: E402
from otspec.core.errors import BadArgument, SchemeMismatch  # noqa: E402
from otspec.decode import loop, recorded  # noqa: E402
from otspec.decode.method import method  # noqa: E402
from tests.decode import tiny  # noqa: E402

DRAFTERS = {"chain": ot.drafter("paths", scheme=1, draft_length=3),
            "paths": ot.drafter("paths", scheme=3, draft_length=3),
            "lookup": ot.drafter("lookup", draft_length=2), "tree": ot.drafter("tree", widths=(3, 2, 1)),
            "heap": ot.drafter("heap", nodes=6), "rerank": ot.drafter("rerank", nodes=6, width=2, max_depth=3)}
PROMPTS = [[3, 1, 4, 1, 5], [2, 7], [1], [6, 6, 6, 2]]
#: rules that solve a problem for each pair of laws, and those without a whole-array form on trees
ON_THE_CPU_ONLY = {"importance", "global_resolution", "grouped_traversal"}


def pairs():
    for name, drafter in DRAFTERS.items():
        for rule in ot.list_verifiers():
            try:
                method(rule, 1, 1, drafter)
            except SchemeMismatch:
                continue
            if rule != "lp":
                yield pytest.param(rule, drafter, id=f"{name}-{rule}")


@pytest.fixture(scope="module")
def there():
    moved = tiny.pair()
    moved.target.cuda(), moved.draft.cuda()
    object.__setattr__(moved, "device", "cuda:0")
    return moved


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("rule", "drafter"), list(pairs()))
def test_cuda_decodes_the_same_text_with_every_drafter(there, rule, drafter):
    settings = {"verifier": rule, "drafter": drafter, "max_new_tokens": 10}
    here = ot.generate(tiny.pair(), PROMPTS, **settings)
    if rule in ON_THE_CPU_ONLY:
        with pytest.raises(BadArgument, match=r"on the CPU"):  # no silent fall-back
            ot.generate(there, PROMPTS, **settings)
        return
    run = ot.generate(there, PROMPTS, **settings)
    assert run.tokens == here.tokens
    # the model's norms are computed in float32 even where it is float64
    np.testing.assert_allclose(run.predicted, here.predicted, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("rule", "scheme"), [("block", 1), ("optimal", 4), ("winner_block", 4), ("lookahead_block", 4),
                                              ("recursive", 4), ("k_seq", 4), ("gumbel", 1)])
def test_a_round_waits_for_the_device_once(there, rule, scheme, monkeypatch):
    settings = {"verifier": rule, "scheme": scheme, "draft_length": 3, "max_new_tokens": 10, "predict": False}
    texts = ot.generate(there, PROMPTS, **settings).tokens
    rounds, copies, real, copy = [], [], loop._Batch._round, torch.Tensor.cpu

    def waiting(tensor):
        torch.cuda.set_sync_debug_mode("default")
        copies.append(1)
        try:
            return copy(tensor)
        finally:
            torch.cuda.set_sync_debug_mode("error")

    def one(batch):
        rounds.append(1)
        torch.cuda.set_sync_debug_mode("error")
        try:
            return real(batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(loop._Batch, "_round", one)
    monkeypatch.setattr(torch.Tensor, "cpu", waiting)
    assert ot.generate(there, PROMPTS, **settings).tokens == texts
    assert len(copies) == len(rounds) > 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("rule", "scheme"), [("block", 1), ("optimal", 4), ("winner_block", 4), ("lookahead_block", 4),
                                              ("traversal", 4)])
def test_recorded_calls_decode_the_same_texts(there, rule, scheme, monkeypatch):
    settings = {"verifier": rule, "scheme": scheme, "draft_length": 3, "max_new_tokens": 60, "predict": False,
                "stop_token": None, "batch_size": 4}
    here = ot.generate(tiny.pair(), PROMPTS * 3, **settings)
    replays, real = [], recorded._Recording.replay
    monkeypatch.setattr(recorded._Recording, "replay", lambda *call: replays.append(1) or real(*call))
    assert ot.generate(there, PROMPTS * 3, **settings).tokens == here.tokens
    assert len(replays) > 50
    monkeypatch.setattr(recorded, "WARM", 10**9)
    replays.clear()
    assert ot.generate(there, PROMPTS * 3, **settings).tokens == here.tokens
    assert not replays


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_logits_without_a_law_are_named(there, bad):
    calls = []

    def spoil(module, args, out):
        calls.append(1)
        if len(calls) > 2:  # later calls are replayed, which runs no hook
            out.logits.fill_(bad)

    ot.generate(there, PROMPTS, verifier="block", max_new_tokens=40, draft_length=2)  # models are tried
    hook = there.target.register_forward_hook(spoil)
    try:
        with pytest.raises(ot.NotALaw, match=r"target model: logits of prompts\[0\] after"):
            ot.generate(there, PROMPTS, verifier="block", max_new_tokens=40, draft_length=2)
    finally:
        hook.remove()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_float32_laws_halve_what_is_kept_on_the_device(there):
    run = ot.generate(there, PROMPTS, verifier="traversal", drafter=DRAFTERS["tree"], law_dtype="float32",
                      max_new_tokens=6)
    assert run.settings["law_dtype"] == "float32"
    assert run.peak_bytes > 0
