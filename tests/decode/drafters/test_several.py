"""Paths of different draft models: laws, losslessness with a planted bug, predictions, caches that follow any path."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from otspec.core.errors import BadArgument, SchemeMismatch  # noqa: E402
from otspec.core.schemes import WithReplacement  # noqa: E402
from otspec.decode.drafters import drafter  # noqa: E402
from otspec.decode.drafters.several import Several  # noqa: E402
from otspec.decode.loop import generate  # noqa: E402
from otspec.decode.models import Pair, load_pair  # noqa: E402
from otspec.decode.several_judge import SeveralJudge  # noqa: E402
from otspec.verifiers import verifier  # noqa: E402
from tests.decode import tiny  # noqa: E402

PROMPTS = [[5, 6, 7, 1], [1], [3, 2]]


def pair_of(size, *drafts, scale=1.0):
    target, first, *others = (tiny.model(seed, size, scale=scale) for seed in (1, *drafts))
    return Pair(target, first, None, "t", "d", size, "cpu", "several", tuple(others))


@pytest.fixture(scope="module")
def pair():
    return pair_of(8, 2, 9, 4)


@pytest.mark.parametrize("name", ["nss", "optimal", "laminar"])
def test_argmax_at_temperature_zero(pair, name):
    run = generate(pair, PROMPTS, verifier=name, drafter=Several(3, 3), temperature=0, max_new_tokens=8)
    for prompt, text in zip(PROMPTS, run.tokens, strict=True):
        for i, token in enumerate(text):
            assert token == tiny.law(pair.target, prompt + text[:i]).argmax()


class Checked(SeveralJudge):
    """Compares the laws that it is given with passes over whole texts."""

    def __init__(self, judge, pair, texts):
        super().__init__(judge.rule, judge.paths, judge.length)
        self.pair, self.texts, self.rounds = pair, texts, 0

    def judge(self, target_rows, draft, uniforms, noise):
        outcome = super().judge(target_rows, draft, uniforms, noise)
        self.rounds += 1
        tokens = self._tokens(draft)
        for row, text in enumerate(self.texts):
            for place, model in enumerate((self.pair.draft, *self.pair.others)):
                path = tokens[row, place].tolist()
                rows = tiny.laws_along(model, text, path[:-1])
                np.testing.assert_allclose(draft.rows[row, place].numpy(), rows, atol=1e-10)  # float64 models
                rows = tiny.laws_along(self.pair.target, text, path)
                found = [target_rows[row, 0], *(target_rows[row, 1 + d * self.paths + place] for d in range(len(path)))]
                np.testing.assert_allclose(np.stack([law.numpy() for law in found]), rows, atol=1e-10)
            kept, way = int(outcome.accepted[row]), outcome.nodes[row].tolist()
            text += [int(draft.tokens[row, node - 1]) for node in way[:kept]] + [int(outcome.token[row])]
        return outcome


def test_every_model_follows_whatever_path_is_kept(pair, monkeypatch):
    from otspec.decode import loop

    texts, drafts = [list(prompt) for prompt in PROMPTS], Several(3, 3)
    judge = Checked(SeveralJudge(verifier("laminar", drafts.scheme), 3, 3), pair, texts)
    monkeypatch.setattr(loop, "method", lambda *given: (drafts, judge))
    monkeypatch.setattr(loop._Batch, "_leave", lambda batch, going: batch.rows.clear() if judge.rounds == 5 else None)
    generate(pair, PROMPTS, verifier="laminar", max_new_tokens=200, predict=False)
    assert judge.rounds == 5


@pytest.mark.parametrize("name", ["optimal", "laminar"])
def test_measured_meets_predicted(pair, name):
    prompts = np.random.default_rng(0).integers(0, 8, (30, 3)).tolist()
    run = generate(pair, prompts, verifier=name, drafter=Several(2, 2), max_new_tokens=12)
    assert run.difference.covers(0, z=5)
    assert run.predicted_efficiency.mean > 1.2


def z_scores(pair, count=3000):
    run = generate(pair, [[1, 2]] * count, verifier="laminar", drafter=Several(2, 2), max_new_tokens=2, predict=False)
    exact = np.array([tiny.law(pair.target, [1, 2])[a] * tiny.law(pair.target, [1, 2, a]) for a in range(8)])
    seen = np.zeros((8, 8))
    np.add.at(seen, tuple(np.array(run.tokens).T), 1)
    kept = exact > 5 / count
    return (seen / count - exact)[kept] / np.sqrt(exact * (1 - exact) / count)[kept]


def test_texts_have_the_law_of_the_target(monkeypatch):
    pair = pair_of(8, 2, 9, scale=1.5)
    assert np.abs(z_scores(pair)).max() < 5
    bound = SeveralJudge._bound

    def one_law(judge, target, drafts, tokens):  # planted: every draft is judged with the law of the first model
        return bound(judge, target, drafts[:, :1].expand_as(drafts).contiguous(), tokens)

    monkeypatch.setattr(SeveralJudge, "_bound", one_law)
    assert np.abs(z_scores(pair)).max() > 8


def test_what_does_not_fit_is_refused(pair):
    with pytest.raises(BadArgument, match="4 draft models"):
        generate(pair, PROMPTS, verifier="laminar", drafter=Several(4, 2))
    for rule in ("block", "traversal", "k_seq", verifier("optimal", WithReplacement(2))):
        with pytest.raises(SchemeMismatch, match=r"Independent|no token rule"):
            generate(pair, PROMPTS, verifier=rule, drafter=Several(2, 2))
    with pytest.raises(BadArgument, match="models"):
        drafter("several", models=0)


def test_a_pair_with_several_drafts_is_loaded(tmp_path):
    for name, seed in (("t", 1), ("a", 2)):
        tiny.model(seed, 64, num_hidden_layers=2).float().save_pretrained(tmp_path / name)
    one = load_pair(target=tmp_path / "t", draft=tmp_path / "a", device="cpu")
    pair = load_pair(target=tmp_path / "t", draft=[tmp_path / "a", "skip:1"], device="cpu")
    assert len(pair.others) == 1
    assert pair.others[0].config.num_hidden_layers == 1
    assert pair.fingerprint != one.fingerprint
    assert len(generate(pair, [[1, 2]], verifier="laminar", drafter="several", max_new_tokens=4).tokens[0]) == 4
    with pytest.raises(BadArgument, match="empty list"):
        load_pair(target=tmp_path / "t", draft=[], device="cpu")
