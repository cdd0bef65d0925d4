"""Blockwise drafts of the pocket pair: heads, rescoring and the verified prefix."""

import json
from dataclasses import replace

import numpy as np
import pytest

import otspec as ot
from otspec.decode.models import POCKET
from otspec.neighbours.blockwise import POCKET_HEADS, Heads, draft_logs, greedy_blocks, head_logs, local_path
from otspec.neighbours.jacobi_pair import model_reader
from otspec.neighbours.lattice import Bigram, Lattice

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def pair():
    return ot.load_pair("pocket", device="cpu")


@pytest.fixture(scope="module")
def texts():
    contexts = ot.load_trace("pocket").contexts[:48]
    return [context[-24 - row % 3 :].tolist() for row, context in enumerate(contexts)]


@pytest.fixture(scope="module")
def table(pair, texts):
    return ot.blockwise(pair, texts, k=6, paths=8, progress=False)


def test_the_shipped_file_is_small_and_hashed():
    assert POCKET_HEADS.stat().st_size <= 1_000_000
    assert "heads/heads.safetensors" in json.loads((POCKET / "hashes.json").read_text(encoding="utf-8"))
    heads = Heads.load()
    assert heads.length == 7
    assert abs(heads.bigram.law(5).sum() - 1) < 1e-9


def test_training_beat_the_closed_form():
    record = json.loads(POCKET_HEADS.with_suffix(".json").read_text(encoding="utf-8"))
    for closed, trained in zip(record["closed_form"]["cross_entropy"], record["trained"]["cross_entropy"],
                               strict=True):
        assert trained < closed
    assert record["trained"]["top_1"] == sorted(record["trained"]["top_1"], reverse=True)  # further is harder


def test_greedy_blocks_are_those_of_the_decoder(pair, texts):
    found = greedy_blocks(pair.target, pair, texts[:3], 5, False)
    plain = ot.generate(pair, texts[:3], verifier="single_draft", scheme=1, draft_length=2, temperature=0.0, seed=0,
                        max_new_tokens=5, stop_token=None, progress=False).tokens
    assert found.tolist() == plain


def test_a_head_that_stands_still_gives_the_targets_law(pair, texts):
    still = np.concatenate([np.eye(256), np.zeros((1, 256))])[None].astype(np.float32)
    logs = head_logs(pair, texts[:2], replace(Heads.load(), weights=still))
    assert logs.shape == (2, 1, pair.vocab_size)
    read = model_reader(pair.target, pair, {"temperature": 1.0})
    for text, log in zip(texts, logs, strict=False):
        np.testing.assert_allclose(np.exp(log[0]), read(np.array([text]), np.array([len(text)]), 1)[0, 0], atol=1e-4)
    assert head_logs(pair, texts[:2], Heads.load()).shape == (2, 6, pair.vocab_size)


def test_candidates_are_scored_by_the_chain_rule(pair, texts):
    candidates = np.array([[[5, 9], [7, 7]], [[1, 2], [3, 4]]])
    found = draft_logs(pair, texts[:2], candidates)
    read = model_reader(pair.draft, pair, {"temperature": 1.0})
    for row, way in np.ndindex(2, 2):
        text, (a, b) = texts[row], candidates[row, way].tolist()
        first = read(np.array([text]), np.array([len(text)]), 1)[0, 0, a]
        second = read(np.array([[*text, a]]), np.array([len(text) + 1]), 1)[0, 0, b]
        assert found[row, way] == pytest.approx(np.log(first * second), abs=1e-3)


def test_rescoring_gains_and_the_oracle_is_above(table):
    reached = dict(zip(table.column("draft"), table.column("verified"), strict=True))
    assert 1 <= reached["heads"] < min(reached["ngram"], reached["neural"])
    assert max(reached["ngram"], reached["neural"]) <= reached["best_of_paths"] <= reached["oracle"] <= 7
    assert reached["heads"] < reached["local"] <= reached["oracle"]
    assert table.where(draft="oracle").rows[0]["to_oracle"] == 0
    assert all(row["n"] == 48 and row["stderr"] > 0 for row in table.rows)


def test_without_weight_or_choice_nothing_is_gained(pair, texts):
    flat = ot.blockwise(pair, texts[:8], k=4, paths=1, weight=0.0, progress=False)
    reached = dict(zip(flat.column("draft"), flat.column("verified"), strict=True))
    assert reached["heads"] == reached["ngram"] == reached["neural"] == reached["best_of_paths"]
    one = ot.blockwise(pair, texts[:8], k=1, progress=False)
    assert one.column("verified")[0] == one.where(draft="oracle").rows[0]["verified"]


def test_a_local_path_is_chosen_token_by_token(pair, texts):
    masses = np.array([[[0.4, 0.3, 0.3], [0.5, 0.3, 0.2]]] * 2)
    lattice = Lattice(np.array([[[3, 8, 5], [9, 1, 2]]] * 2), np.log(masses))
    for weight in (0.0, 0.7):
        paths = local_path(pair, texts[:2], lattice, weight)
        for text, path in zip(texts, paths, strict=False):
            logs = [draft_logs(pair, [text], np.array([[[token] for token in (3, 8, 5)]]))[0],
                    draft_logs(pair, [[*text, int(path[0])]], np.array([[[token] for token in (9, 1, 2)]]))[0]]
            for place in range(2):
                best = np.argmax(lattice.scores[0, place] + weight * logs[place])
                assert path[place] == lattice.tokens[0, place, best]


def test_heads_survive_their_file(tmp_path):
    rng = np.random.default_rng(0)
    heads = Heads(rng.normal(size=(2, 5, 4)).astype(np.float16).astype(np.float32),
                  Bigram.fitted(rng.integers(0, 9, 50), 9, 3))
    heads.save(tmp_path / "heads.safetensors")
    again = Heads.load(tmp_path / "heads.safetensors")
    np.testing.assert_array_equal(again.weights, heads.weights)
    np.testing.assert_allclose(again.bigram.law(3), heads.bigram.law(3), rtol=2e-3)
    np.testing.assert_array_equal(Lattice.top(np.log([again.bigram.law(3)]), 2).tokens,
                                  Lattice.top(np.log([heads.bigram.law(3)]), 2).tokens)


def test_bad_arguments(pair, texts, tmp_path):
    with pytest.raises(ot.BadArgument, match="k: 0"):
        ot.blockwise(pair, texts[:2], k=0)
    with pytest.raises(ot.BadArgument, match="paths: 0"):
        ot.blockwise(pair, texts[:2], paths=0)
    with pytest.raises(ot.BadArgument, match="at least two"):
        ot.blockwise(pair, texts[:1])
    with pytest.raises(ot.BadArgument, match="weight"):
        ot.blockwise(pair, texts[:2], weight=-1.0)
    with pytest.raises(ot.BadArgument, match="hidden size"):
        ot.blockwise(pair, texts[:2], heads=replace(Heads.load(), weights=np.zeros((2, 5, 4), np.float32)))
    with pytest.raises(ot.BadFile, match="heads"):
        Heads.load(tmp_path / "none.safetensors")
    with pytest.raises(ot.BadFile, match="format"):
        Heads.load(POCKET / "draft-small" / "model.safetensors")
