"""Adaptive chains: the law of their proposals by enumeration, steps saved, texts that keep the target's law."""

import itertools
from collections import Counter

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import otspec as ot  # noqa: E402
from otspec.core.errors import BadArgument, SchemeMismatch  # noqa: E402
from otspec.decode.drafters.adaptive import Adaptive  # noqa: E402
from otspec.decode.loop import generate  # noqa: E402
from otspec.policies.length import Confidence, FixedLength, MinProbability, Seen, SpecDecPlusPlus  # noqa: E402
from otspec.policies.length.predictor import AcceptancePredictor  # noqa: E402
from tests.decode import tiny  # noqa: E402
from tests.decode.drafters.tables import Table, check_order, check_shares, laws  # noqa: E402

PREDICTOR = AcceptancePredictor((0.5, 0.4, 1.0, -0.3))
POLICIES = (Confidence(0.3, 3), MinProbability(0.4, 3), SpecDecPlusPlus(0.45, 3, predictor=PREDICTOR))
NAMES = ("confidence", "min_probability", "specdec++")


def proposed(table, policy):
    """Law of the chains behind token 0, by the policy's own words on one chain at a time."""
    law = {}

    def grow(chain, share):
        rows = table[[0, *chain]]
        seen = [table[last, token] for last, token in itertools.pairwise([0, *chain])]
        read = rows[: len(chain) + policy.looks_ahead]
        entropy = [-(row[row > 0] * np.log(row[row > 0])).sum() for row in read]
        told = Seen(len(chain), np.array([seen]).reshape(1, -1), read.max(axis=1)[None],
                                       np.array([entropy]).reshape(1, -1))
        if len(chain) == policy.max_length or policy.stops(told)[0]:
            law[tuple(chain)] = law.get(tuple(chain), 0) + share
            return
        for token in np.flatnonzero(rows[-1]):
            grow([*chain, int(token)], share * rows[-1, token])

    grow([], 1.0)
    return law


@pytest.mark.parametrize("policy", POLICIES, ids=NAMES)
def test_chains_have_the_law_of_chains_grown_by_hand(policy):
    table, count = laws(np.random.default_rng(8), zeros=1), 20_000
    uniforms = torch.from_numpy(np.random.default_rng(9).random((count, policy.max_length)))
    draft = Adaptive(policy).propose(Table(table, count), uniforms)
    check_order(draft)
    assert draft.parents[0].tolist() == [0, 1, 2]
    seen = Counter(tuple(token for token in row if token >= 0) for row in draft.tokens.tolist())
    check_shares(seen, proposed(table, policy))
    assert len(set(map(len, seen))) > 1


def test_rows_are_those_that_the_tokens_were_drawn_from():
    table = laws(np.random.default_rng(10))
    draft = Adaptive(Confidence(0.3, 4)).propose(Table(table, 50), torch.from_numpy(
        np.random.default_rng(11).random((50, 4))))
    for tokens, rows in zip(draft.tokens.tolist(), draft.rows.numpy(), strict=True):
        for place, token in enumerate(tokens):
            if token >= 0:
                np.testing.assert_array_equal(rows[place], table[tokens[place - 1] if place else 0])
    np.testing.assert_allclose(draft.rows.sum(dim=-1), 1)


def test_steps_are_saved_once_all_texts_have_stopped():
    sure, even = np.eye(4)[[1, 2, 3, 0]], np.full((4, 4), 0.25)
    ones = torch.full((2, 4), 0.5, dtype=torch.float64)
    calls = {}
    for name, table in (("sure", sure), ("even", even)):
        for policy in (Confidence(0.5, 4), MinProbability(0.5, 4)):
            speaker = Table(table, 2)
            Adaptive(policy).propose(speaker, ones)
            calls[name, type(policy).__name__] = len(speaker.calls)
    assert calls == {("sure", "Confidence"): 3, ("sure", "MinProbability"): 3,
                     ("even", "Confidence"): 0, ("even", "MinProbability"): 0}


@pytest.mark.parametrize("rule", ["traversal", "single_draft", "recursive_walk"])
@pytest.mark.parametrize("policy", POLICIES[:2], ids=NAMES[:2])
def test_texts_keep_the_target_s_law(policy, rule):
    toy, count = tiny.pair(size=5, scale=0.5), 3000
    run = generate(toy, [[1, 2]] * count, verifier=rule, drafter=Adaptive(policy), max_new_tokens=2, predict=False)
    first = tiny.law(toy.target, [1, 2])
    exact = np.array([first[a] * tiny.law(toy.target, [1, 2, a]) for a in range(5)])
    seen = np.zeros((5, 5))
    np.add.at(seen, tuple(np.array(run.tokens).T), 1 / count)
    assert (np.abs(seen - exact) < 5 * np.sqrt(exact * (1 - exact) / count)).all()
    assert run.accepted.max() > 0


@pytest.mark.parametrize("policy", POLICIES, ids=NAMES)
def test_measured_meets_predicted(policy):
    pair = tiny.pair(size=16, scale=0.5)
    prompts = np.random.default_rng(0).integers(0, 16, (60, 4)).tolist()
    run = generate(pair, prompts, verifier="traversal", drafter=Adaptive(policy), max_new_tokens=20, seed=4)
    assert abs(run.z_score) < 4
    assert run.predicted_efficiency.mean > 1
    apart = generate(pair, prompts[:5], verifier="traversal", drafter=Adaptive(policy), max_new_tokens=20, seed=4,
                     batch_size=1)
    assert apart.tokens == run.tokens[:5]  # a text does not depend on who drafts beside it


def test_of_a_fixed_length_traversal_keeps_what_block_verification_keeps():
    pair = tiny.pair(size=16, scale=0.5)
    prompts = np.random.default_rng(1).integers(0, 16, (80, 4)).tolist()
    runs = [generate(pair, prompts, max_new_tokens=20, seed=seed, **how) for seed, how in
            enumerate(({"verifier": "traversal", "drafter": Adaptive(FixedLength(3))},
                       {"verifier": "block", "draft_length": 3}))]
    first, second = (run.predicted_efficiency for run in runs)
    assert abs(first.mean - second.mean) < 4 * np.hypot(first.stderr, second.stderr)
    assert [row["position"] for row in runs[0].profile().rows] == [1, 2, 3]


def test_greedy_text_is_the_model_s_own():
    pair = tiny.pair()
    run = generate(pair, [[1, 2, 3], [5]], verifier="traversal", drafter=Adaptive(Confidence(0.4, 4)), temperature=0,
                   max_new_tokens=8)
    for prompt, text in zip([[1, 2, 3], [5]], run.tokens, strict=True):
        for place, token in enumerate(text):
            assert token == tiny.law(pair.target, prompt + text[:place]).argmax()


def test_bad_arguments():
    pair = tiny.pair()
    for rule in ("block", "greedy_block", "gumbel", None):
        with pytest.raises(SchemeMismatch, match="traversal"):
            generate(pair, [[1]], verifier=rule, drafter="adaptive")
    with pytest.raises(BadArgument, match="which no drafter does"):
        Adaptive("clairvoyant")
    with pytest.raises(BadArgument, match="not been fitted"):
        ot.drafter("adaptive", policy="specdec++")
    with pytest.raises(BadArgument, match="drafts nothing"):
        Adaptive(FixedLength(0))
    with pytest.raises(ot.UnknownName, match="confidence"):
        ot.drafter("adaptive", policy="long")
    assert Adaptive() == Adaptive(Confidence())
    assert (Adaptive().depth, Adaptive().most_draws, Adaptive().branches, Adaptive.adaptive_widths) == (20, 1, False,
                                                                                                        False)
