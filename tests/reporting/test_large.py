"""Slow models get a smaller report, by the stated rule and no other."""

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import otspec as ot  # noqa: E402
import otspec.report as report  # noqa: E402
from otspec.reporting import large, settings  # noqa: E402
from otspec.reporting.decoded import SMALL_MODEL  # noqa: E402
from otspec.reporting.shortened import shortened_note  # noqa: E402
from tests.decode import tiny  # noqa: E402


def pair_with(parameters, device="cpu"):
    weights = [SimpleNamespace(numel=lambda: parameters)]
    return SimpleNamespace(device=device, target=SimpleNamespace(parameters=lambda: weights))


@pytest.mark.parametrize(("pair", "slow"), [(None, False), (pair_with(SMALL_MODEL), True), (pair_with(1e6), False),
                                            (pair_with(1e9, "cuda:0"), False)])
def test_large_models_on_a_cpu_are_slow(pair, slow):
    assert large.is_slow(pair) == slow


@pytest.mark.parametrize("size", [settings.quick, settings.full])
def test_shares_and_the_sentence_that_tells_them(size):
    usual, made = size(3), large.smaller(size(3))
    for name in ("sequences", "blocks", "path_contexts"):
        assert getattr(made, name) == max(8, getattr(usual, name) // 8)
        assert str(getattr(made, name)) in made.note
    assert (made.schemes, made.runs, made.contexts, made.seed) == (usual.schemes, usual.runs, usual.contexts, 3)
    assert not usual.note


def test_the_page_says_what_shortened_laws_lose():
    ids = np.array([[0, 1]], dtype=np.int32)
    stored = {f"{which}{part}": value for which in ("target", "draft")
              for part, value in (("", np.log([[0.5, 0.25]]).astype(np.float16)), ("_ids", ids),
                                  ("_lost", np.array([0.25], dtype=np.float32)))}
    trace = ot.Trace([stored], {"vocab_size": 4, "keep": 2})
    said = shortened_note(trace, [ot.WithReplacement(1), ot.Greedy(2)])
    assert "keeps the 2 largest masses" in said
    assert "5.0e-01 for WithReplacement(k=1)" in said
    assert "No bound is known for Greedy" in said
    assert shortened_note(ot.Trace.from_laws([[0.5, 0.5]], [[0.5, 0.5]]), []) == ""


def test_a_report_on_slow_models_is_made_smaller(monkeypatch, tmp_path):
    seen = {}

    def stop(laws, size, **_):
        seen.update(contexts=len(laws), settings=size)
        raise KeyboardInterrupt

    monkeypatch.setattr(large, "is_small", lambda pair: False)
    monkeypatch.setattr(report, "Study", stop)
    target, draft = (tiny.model(seed, 2048) for seed in (1, 2))
    from otspec.decode.models import Pair, load_pair

    pair = Pair(target, draft, load_pair("pocket", device="cpu").tokenizer, "t", "d", 2048, "cpu", "f")
    with pytest.raises(KeyboardInterrupt):
        report.build_report(pair=pair, quick=True, out=tmp_path / "r", progress=False)
    assert seen["contexts"] == 16
    assert seen["settings"] == large.smaller(settings.quick(0))
