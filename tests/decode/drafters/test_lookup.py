"""Prompt look-up against a plain comparison of all places."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from otspec.core.errors import BadArgument  # noqa: E402
from otspec.decode.drafters.lookup import Lookup, followed  # noqa: E402
from otspec.decode.loop import generate  # noqa: E402
from otspec.verifiers import verifier  # noqa: E402
from tests.decode import tiny  # noqa: E402
from tests.decode.drafters.tables import Table  # noqa: E402


def compared(text, ngram, length):
    """What followed the place that agrees with the text's end for longest, the latest of them."""
    def agreement(place):  # number of equal tokens that end before a place, at most ngram
        return next((back for back in range(min(ngram, place)) if text[place - 1 - back] != text[-1 - back]),
                    min(ngram, place))

    best = max(range(1, len(text)), key=lambda place: (agreement(place), place), default=None)
    if best is None or agreement(best) == 0:
        return [text[-1]] * length
    found = text[best : best + length]
    return found + [found[-1]] * (length - len(found))


@pytest.mark.parametrize("ngram", [1, 2, 3])
def test_the_longest_and_latest_agreement_counts(ngram):
    rng = np.random.default_rng(ngram)
    for _ in range(500):
        text = rng.integers(3, size=rng.integers(1, 12)).tolist()
        assert followed(text, ngram, 4) == compared(text, ngram, 4)


def test_by_hand():
    assert followed([1, 2, 3, 9, 1, 2], 3, 3) == [3, 9, 1]
    assert followed([7], 3, 2) == [7, 7]
    assert followed([1, 2, 3], 3, 2) == [3, 3]  # nothing found
    assert followed([5, 5], 3, 3) == [5, 5, 5]
    assert followed([1, 4, 1, 8, 1], 1, 1) == [8]


def test_drafts_are_certain():
    drafter = Lookup(3, 2)
    draft = drafter.propose(Table(np.eye(10), 2, [[1, 2, 3, 9, 1, 2], [7]]), torch.zeros(2, 0, dtype=torch.float64))
    assert draft.tokens.tolist() == [[3, 9, 1], [7, 7, 7]]
    assert draft.parents.tolist() == [[0, 1, 2]] * 2
    assert draft.rows.shape == (2, 1, 3, 10)
    assert draft.rows.argmax(dim=-1).equal(draft.tokens[:, None])
    assert draft.rows.sum(dim=-1).equal(torch.ones(2, 1, 3, dtype=torch.float64))
    assert (drafter.num_uniforms, drafter.paths, drafter.asks_model, drafter.branches) == (0, 1, False, False)


def test_bad_arguments():
    for settings in ({"draft_length": 0}, {"ngram": 0}):
        with pytest.raises(BadArgument, match="Fix"):
            Lookup(**settings)


@pytest.mark.parametrize("name", ["single_draft", "block"])
def test_look_ups_are_kept_and_change_no_law(name):
    toy = tiny.pair(size=4, scale=0.5)
    count = 3000
    run = generate(toy, [[1, 2]] * count, verifier=name, drafter=Lookup(2, 1), max_new_tokens=2, predict=False)
    assert run.accepted.max() > 0
    first = tiny.law(toy.target, [1, 2])
    exact = np.array([first[a] * tiny.law(toy.target, [1, 2, a]) for a in range(4)])
    seen = np.zeros((4, 4))
    np.add.at(seen, tuple(np.array(run.tokens).T), 1 / count)
    assert (np.abs(seen - exact) < 5 * np.sqrt(exact * (1 - exact) / count)).all()


def test_measured_meets_predicted():
    pair = tiny.pair(size=16, scale=0.5)
    prompts = np.random.default_rng(0).integers(0, 16, (40, 4)).tolist()
    run = generate(pair, prompts, verifier="block", drafter="lookup", max_new_tokens=20)
    assert abs(run.z_score) < 5
    assert run.predicted_efficiency.mean > 1
    assert run.settings["drafter"] == "Lookup(draft_length=4, ngram=3)"


def test_greedy_text_is_the_model_s_own():
    pair = tiny.pair()
    run = generate(pair, [[1, 2, 3, 1, 2], [5]], verifier=verifier("block"), drafter="lookup", temperature=0,
                   max_new_tokens=12)
    for prompt, text in zip([[1, 2, 3, 1, 2], [5]], run.tokens, strict=True):
        for place, token in enumerate(text):
            assert token == tiny.law(pair.target, prompt + text[:place]).argmax()
