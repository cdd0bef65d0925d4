"""Tree rules and greedy block verification in the decoder: against decoding without caches, and with planted bugs."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from otspec.core.estimate import Estimate  # noqa: E402
from otspec.core.schemes import WithReplacement  # noqa: E402
from otspec.core.tree_verifier import TreeVerifier  # noqa: E402
from otspec.core.walk import TokenWalk  # noqa: E402
from otspec.decode.drafting import method  # noqa: E402
from otspec.decode.loop import generate  # noqa: E402
from otspec.decode.measure import expected_kept  # noqa: E402
from otspec.decode.whole_paths import GreedyPath, TreePaths  # noqa: E402
from otspec.verifiers import list_verifiers, verifier  # noqa: E402
from otspec.verifiers.block.greedy_block import FRESH, Layer  # noqa: E402
from otspec.verifiers.tree.traversal import Traversal  # noqa: E402
from tests.decode import tiny  # noqa: E402

TREES = list(list_verifiers(WithReplacement(2), kind="tree"))
WALKS = [name for name in TREES if isinstance(verifier(name, 2), TokenWalk)]
WHOLE = [name for name in TREES if name not in WALKS]  # those that `TreePaths` plays; a walk is its token rule
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
    two = PROMPTS[:2]  # one of them padded; test_loop has more of them
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
    return lambda how, target, *given: judge(how, target.roll(1, 1), *given)


def other_path(judge):
    """Planted bug: the tokens kept are those of another path."""
    def judged(how, *given):
        outcome = judge(how, *given)
        return outcome._replace(path=(outcome.path + 1) % how.paths)

    return judged


@pytest.mark.parametrize("bug", [other_rows, other_path])
@pytest.mark.parametrize("name", ["winner_block", "traversal"])
def test_a_wrong_path_is_caught(name, bug, monkeypatch):
    monkeypatch.setattr(TreePaths, "judge", bug(TreePaths.judge))
    assert np.abs(tiny.text_z_scores(TOY, name, 2, 2)).max() > 10


def forgetful(judge):
    """Planted bug: the state is dropped between rounds."""
    return lambda how, *given: judge(how.started(len(how.states)), *given)


def crossed(judge):
    """Planted bug: each text goes on with the state of its neighbour."""
    def judged(how, *given):
        outcome = judge(how, *given)
        how.states.insert(0, how.states.pop())
        return outcome

    return judged


def test_a_dropped_state_is_caught(monkeypatch):
    monkeypatch.setattr(GreedyPath, "judge", forgetful(GreedyPath.judge))
    assert np.abs(tiny.text_z_scores(FAR, "greedy_block", 1, 2, 4000)).max() > 8


@pytest.mark.parametrize("bug", [None, forgetful, crossed])
def test_every_text_has_a_state_of_its_own(bug, monkeypatch):
    if bug is not None:
        monkeypatch.setattr(GreedyPath, "judge", bug(GreedyPath.judge))
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


def test_a_batch_begins_without_states(monkeypatch):
    settings = {"verifier": "greedy_block", "draft_length": 4, "max_new_tokens": 5, "predict": False}
    whole = generate(FAR, 4 * SHORT, **settings).tokens
    assert generate(FAR, 4 * SHORT, batch_size=1, **settings).tokens == whole
    left = [FRESH]  # planted: a batch goes on with what the last one left
    monkeypatch.setattr(GreedyPath, "started", lambda how, size: replace(how, states=left))
    assert generate(FAR, 4 * SHORT, batch_size=1, **settings).tokens != whole


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


def test_a_prediction_takes_the_states_before_the_round():
    rng, rule = np.random.default_rng(3), verifier("greedy_block")
    target, draft = (torch.from_numpy(rng.dirichlet(np.ones(5), (3, 1, rows))) for rows in (4, 3))
    tokens, uniforms = torch.from_numpy(rng.integers(0, 5, (3, 1, 3))), torch.from_numpy(rng.random((3, 7)))
    before = [FRESH, (Layer(0.7, 2),), (Layer(0.4, 2), Layer(1.3, 1))]
    how = GreedyPath(1, 3, rule, list(before))
    outcome = how.judge(target, draft, tokens, uniforms, None)
    found = expected_kept(how, target, draft, tokens, outcome)
    after, fresh = [], []
    for i, state in enumerate(before):
        rows = target[i, 0].numpy(), draft[i, 0].numpy(), tokens[i, 0].numpy()
        assert found[i] == pytest.approx(rule.conditional(*rows, state).stop @ np.arange(4), abs=1e-12)  # few factors
        fresh.append(rule.conditional(*rows).stop @ np.arange(4))
        verdict, state = rule.draw(*rows, uniforms[i, 3:].numpy(), state)
        assert (outcome.accepted[i], outcome.token[i]) == verdict
        after.append(state)
    assert how.states == after != before
    assert (np.abs(found - fresh) > 1e-3).tolist() == [False, True, True]  # what a forgotten state would predict


class Recorder(TreeVerifier):
    """Notes the numbers that it is asked with."""

    def _joint(self, tree, target, draft):
        raise AssertionError

    def num_uniforms(self, draft_length):
        return draft_length + 1

    def _draw_paths(self, target_rows, draft_rows, tokens, uniforms):
        self.verdict = uniforms
        return (np.zeros(len(tokens), dtype=np.int64),) * 3

    def _expected_paths(self, target_rows, draft_rows, tokens, uniforms):
        self.prediction = uniforms
        return np.zeros(len(tokens))


def test_drafts_verdict_and_prediction_share_no_coin():
    rule = Recorder(2)
    how = method(rule, 1, 3)
    count = how.num_uniforms
    uniforms = (torch.arange(count, dtype=torch.float64)[None] + 0.5) / count
    law = torch.full((1, 2, count), 1 / count, dtype=torch.float64)  # its draws name the numbers that they came from
    drafts = torch.stack([how.propose(depth, law, uniforms, None) for depth in range(3)], dim=-1)
    rows = law[:, :, None].expand(-1, -1, 4, -1)
    how.judge(rows, rows[:, :, :3], drafts, uniforms, None)
    how.expected(rows, rows[:, :, :3], drafts, uniforms)
    used = [*drafts.flatten().tolist(), *(np.concatenate([rule.verdict, rule.prediction], axis=1)[0] * count)]
    assert sorted(int(number) for number in used) == list(range(count))


# -- objects, and devices ---------------------------------------------------------------------------------------------


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


def on_meta(how, size=7):
    """Arguments of a verdict on a device that holds no numbers: whoever asks for one fails."""
    law = torch.empty(2, how.paths, how.draft_length + 1, size, dtype=torch.float64, device="meta")
    tokens = torch.empty(2, how.paths, how.draft_length, dtype=torch.int64, device="meta")
    return law, law[:, :, :-1], tokens, law.new_empty(2, how.num_uniforms)


class Asks(Traversal):
    """Planted bug: the host looks whether anything was kept."""

    def _draw_paths(self, *given):
        accepted, token, path = super()._draw_paths(*given)
        assert bool((accepted >= 0).all())
        return accepted, token, path


@pytest.mark.parametrize("name", TREES)
def test_no_verdict_waits_for_a_device(name):
    how = method(name, 3, 3)
    given = on_meta(how)
    assert how.judge(*given, None).token.shape == (2,)
    if isinstance(how, TreePaths):
        assert how.expected(*given).shape == (2,)


def test_a_rule_that_waits_for_a_device_is_found():
    how = method(Asks(3), 3, 3)
    with pytest.raises(RuntimeError, match="meta tensors"):
        how.judge(*on_meta(how), None)


@pytest.mark.parametrize(("name", "paths", "waits"), [*((name, 2, 1) for name in TREES), ("greedy_block", 1, 5)])
def test_results_leave_the_device_once_a_round(pair, name, paths, waits, monkeypatch):
    left, copy = [], torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: left.append(tensor) or copy(tensor))
    run = generate(pair, PROMPTS, verifier=name, scheme=paths, draft_length=2, max_new_tokens=5, predict=False)
    # greedy block verification asks with laws, drafts and numbers on the host
    assert len(left) == waits * len(run.accepted)
