"""Tree rules and greedy block verification in the decoder: against decoding without caches, and with planted bugs."""

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from otspec.core.estimate import Estimate  # noqa: E402
from otspec.core.schemes import WithReplacement  # noqa: E402
from otspec.core.walk import TokenWalk  # noqa: E402
from otspec.decode.judges import PathsJudge, StatefulJudge, path_nodes  # noqa: E402
from otspec.decode.loop import generate  # noqa: E402
from otspec.verifiers import list_verifiers, verifier  # noqa: E402
from otspec.verifiers.tree.traversal import Traversal  # noqa: E402
from tests.decode import tiny  # noqa: E402

TREES = list(list_verifiers(WithReplacement(2), kind="tree"))
WALKS = [name for name in TREES if isinstance(verifier(name, 2), TokenWalk)]
WHOLE = [name for name in TREES if name not in WALKS]  # those that `PathsJudge` plays; a walk is its token rule
RULES = [*((name, 3) for name in WHOLE), ("greedy_block", 1)]
PROMPTS = [[5, 6, 7, 8, 9], [1], [3, 2, 60], [11, 12]]
SHORT = [[5, 6, 7], [1], [3, 2], [4], [2, 7], [0, 0, 3]]  # in eight tokens
TOY = tiny.pair(size=8)
# a draft so far off that 6 % of the two-token texts change when a state is lost (by enumeration)
FAR = tiny.pair(size=8, draft=9, scale=1.5)


@pytest.fixture(scope="module")
def pair():
    return tiny.pair()


def uncached(pair, name, paths, length, new, prompts=PROMPTS, **settings):
    return [tiny.decode(pair, prompt, verifier(name, paths), length, new, place=i, **settings)
            for i, prompt in enumerate(prompts)]


def test_the_registry_has_rules_of_every_kind():
    assert {"traversal", "winner_block", "lookahead_block"} <= set(WHOLE)
    assert {"spectr_paths", "recursive_walk", "optimal_walk"} <= set(WALKS)


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize(("name", "paths"), [*itertools.product(TREES, (1, 2, 3)), ("greedy_block", 1)])
def test_cached_equals_uncached_token_for_token(pair, name, paths, length):
    two = PROMPTS[:2]  # of different length; test_loop has more of them
    run = generate(pair, two, verifier=name, scheme=paths, draft_length=length, max_new_tokens=5, seed=4)
    assert run.tokens == uncached(pair, name, paths, length, 5, two, seed=4)


@pytest.mark.parametrize(("family", "name", "paths"), [("gpt2", "traversal", 3), ("mistral", "winner_block", 3),
                                                       ("mistral", "greedy_block", 1)])
def test_other_families_and_warps(family, name, paths):
    pair = tiny.pair(family=family)
    warp = {"temperature": 0.7, "top_k": 20, "top_p": 0.9}
    run = generate(pair, PROMPTS, verifier=name, scheme=paths, draft_length=2, max_new_tokens=8, **warp)
    assert run.tokens == uncached(pair, name, paths, 2, 8, **warp)


@pytest.mark.parametrize("name", WALKS)
def test_a_walk_decodes_as_its_token_rule(pair, name):
    rules = [name, verifier(name, 3).rule]
    runs = [generate(pair, PROMPTS, verifier=rule, scheme=3, draft_length=2, max_new_tokens=8) for rule in rules]
    assert runs[0].tokens == runs[1].tokens
    np.testing.assert_array_equal(runs[0].predicted, runs[1].predicted)


# -- the law of the text ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WHOLE)
def test_texts_have_the_law_of_the_target(name):
    assert np.abs(tiny.text_z_scores(TOY, name, 2, 2)).max() < 5  # n = 3000


def test_texts_of_greedy_block_verification_have_the_law_of_the_target():
    assert np.abs(tiny.text_z_scores(FAR, "greedy_block", 1, 2, 4000)).max() < 5


def other_rows(judge):
    """Planted bug: each path is verified with the target's rows of its neighbour."""
    def judged(how, target, *given):
        below = target[:, 1:].unflatten(1, (how.length, how.paths)).roll(1, 2).flatten(1, 2)
        return judge(how, torch.cat([target[:, :1], below], dim=1), *given)

    return judged


def other_path(judge):
    """Planted bug: the tokens kept are those of another path."""
    def judged(how, *given):
        outcome = judge(how, *given)
        path = (outcome.nodes[:, 0] - 1) % how.paths
        return outcome._replace(nodes=path_nodes((path + 1) % how.paths, how.paths, how.length))

    return judged


@pytest.mark.parametrize("bug", [other_rows, other_path])
@pytest.mark.parametrize("name", ["winner_block", "traversal"])
def test_a_wrong_path_is_caught(name, bug, monkeypatch):
    monkeypatch.setattr(PathsJudge, "judge", bug(PathsJudge.judge))
    assert np.abs(tiny.text_z_scores(TOY, name, 2, 2)).max() > 10


def forgetful(judge):
    """Planted bug: the state is dropped between rounds."""
    def judged(how, *given):
        how.begin(len(how._states))
        return judge(how, *given)

    return judged


def crossed(judge):
    """Planted bug: each text goes on with the state of its neighbour."""
    def judged(how, *given):
        outcome = judge(how, *given)
        how._states.insert(0, how._states.pop())
        return outcome

    return judged


def test_a_dropped_state_is_caught(monkeypatch):
    monkeypatch.setattr(StatefulJudge, "judge", forgetful(StatefulJudge.judge))
    assert np.abs(tiny.text_z_scores(FAR, "greedy_block", 1, 2, 4000)).max() > 8


@pytest.mark.parametrize("bug", [None, forgetful, crossed])
def test_every_text_has_a_state_of_its_own(bug, monkeypatch):
    if bug is not None:
        monkeypatch.setattr(StatefulJudge, "judge", bug(StatefulJudge.judge))
    run = generate(FAR, SHORT, verifier="greedy_block", draft_length=3, max_new_tokens=16)
    expected = [tiny.decode(FAR, prompt, verifier("greedy_block"), 3, 16, place=i) for i, prompt in enumerate(SHORT)]
    assert (run.tokens == expected) == (bug is None)


# -- texts depend on seed and place -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "paths"), RULES)
def test_a_text_does_not_depend_on_its_batch(pair, name, paths):
    settings = {"verifier": name, "scheme": paths, "draft_length": 3, "max_new_tokens": 9}
    whole = generate(pair, PROMPTS, **settings)
    parts = generate(pair, PROMPTS, batch_size=1, **settings)
    assert whole.tokens == parts.tokens
    np.testing.assert_array_equal(whole.accepted, parts.accepted)
    np.testing.assert_allclose(whole.predicted, parts.predicted, atol=1e-9)  # float64 models, sums of 64 terms
    assert generate(pair, PROMPTS, batch_size=3, predict=False, **settings).tokens == whole.tokens
    assert generate(pair, PROMPTS, seed=1, predict=False, **settings).tokens != whole.tokens


def test_a_text_begins_without_a_state(monkeypatch):
    settings = {"verifier": "greedy_block", "draft_length": 4, "max_new_tokens": 5, "predict": False}
    whole = generate(FAR, 4 * SHORT, **settings).tokens
    for size in (1, 5):  # rows are used again
        assert generate(FAR, 4 * SHORT, batch_size=size, **settings).tokens == whole
    # planted: a text goes on with what the last one in its row has left
    monkeypatch.setattr(StatefulJudge, "renew", lambda how, rows: None)
    for size in (1, 5):
        assert generate(FAR, 4 * SHORT, batch_size=size, **settings).tokens != whole


def test_a_row_that_moves_takes_its_state_along(monkeypatch):
    # texts that stop leave the batch one by one, so that rows move
    settings = {"verifier": "greedy_block", "draft_length": 3, "max_new_tokens": 12, "stop_token": 3, "predict": False}
    whole = generate(FAR, 4 * SHORT, batch_size=1, **settings).tokens
    assert len({len(text) for text in whole}) > 4
    assert generate(FAR, 4 * SHORT, **settings).tokens == whole
    # planted: the states of the first rows are kept, whichever rows stay
    monkeypatch.setattr(StatefulJudge, "select", lambda how, rows: setattr(how, "_states", how._states[: len(rows)]))
    assert generate(FAR, 4 * SHORT, **settings).tokens != whole


# -- measured and predicted -------------------------------------------------------------------------------------------


def run_of_forty(pair, name, paths):
    prompts = np.random.default_rng(0).integers(0, 64, (40, 4)).tolist()
    return generate(pair, prompts, verifier=name, scheme=paths, draft_length=3, max_new_tokens=30, temperature=0.8)


@pytest.mark.parametrize(("name", "paths"), RULES)
def test_measured_meets_predicted(pair, name, paths):
    run = run_of_forty(pair, name, paths)
    assert isinstance(run.difference, Estimate)
    assert run.difference.n == 40
    assert run.difference.covers(0, z=5)
    assert run.predicted_efficiency.mean > 1.1


class Shy(Traversal):
    """Keeps one draft less than it might, and predicts what it might."""

    def _draw_paths(self, *given):
        accepted, token, path = super()._draw_paths(*given)
        return np.maximum(accepted - 1, 0), token, path


def test_a_wrong_prediction_shows(pair):
    assert not run_of_forty(pair, Shy(3), 1).difference.covers(0, z=10)


# -- objects, and copies ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TREES)
def test_objects_decode_like_their_names(pair, name):
    settings = {"draft_length": 2, "max_new_tokens": 8}
    named = generate(pair, PROMPTS, verifier=name, scheme=3, **settings)
    for scheme in (1, 3):
        run = generate(pair, PROMPTS, verifier=verifier(name, 3), scheme=scheme, **settings)
        assert run.tokens == named.tokens
        assert (run.settings["paths"], run.settings["scheme"]) == (3, "WithReplacement(k=3)")


def test_objects_keep_their_parameters(pair):
    rules = [verifier("winner_block", 3), verifier("winner_block", 3, law="minimal")]
    runs = [generate(pair, PROMPTS, verifier=rule, draft_length=2, max_new_tokens=8, seed=2).tokens for rule in rules]
    assert runs[0] != runs[1]
    assert runs[1] == uncached(pair, rules[1], 3, 2, 8, seed=2)


@pytest.mark.parametrize(("name", "paths", "waits"), [*((name, 2, 1) for name in TREES), ("greedy_block", 1, 5)])
def test_results_leave_the_device_once_a_round(pair, name, paths, waits, monkeypatch):
    left, copy = [], torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: left.append(tensor) or copy(tensor))
    run = generate(pair, PROMPTS, verifier=name, scheme=paths, draft_length=2, max_new_tokens=5, predict=False)
    # greedy block verification asks with laws, drafts and numbers on the host
    assert len(left) == waits * len(run.accepted)
