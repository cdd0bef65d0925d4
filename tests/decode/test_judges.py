"""Judges on laws given by hand: what survives, what is predicted, whose coins are used, and who waits for a device."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from otspec.analysis.exact import acceptance  # noqa: E402
from otspec.core.coupling import Coupling  # noqa: E402
from otspec.core.errors import BadArgument  # noqa: E402
from otspec.core.estimate import Estimate  # noqa: E402
from otspec.core.schemes import WithoutReplacement, WithReplacement  # noqa: E402
from otspec.core.survivors import compact  # noqa: E402
from otspec.core.tree_verifier import TreeVerifier  # noqa: E402
from otspec.core.walk import TokenWalk  # noqa: E402
from otspec.couplings import coupling  # noqa: E402
from otspec.decode import judges  # noqa: E402
from otspec.decode.drafters.base import Draft  # noqa: E402
from otspec.decode.drafters.paths import as_nodes  # noqa: E402
from otspec.decode.judges import (  # noqa: E402
    CoupledJudge,
    Depth,
    Outcome,
    PathsJudge,
    StatefulJudge,
    TokenWalkJudge,
    bound_to,
    chance_of,
)
from otspec.decode.method import method  # noqa: E402
from otspec.decode.tree_judge import way_to  # noqa: E402
from otspec.verifiers import list_verifiers, verifier  # noqa: E402
from otspec.verifiers.block.greedy_block import FRESH, Layer  # noqa: E402
from otspec.verifiers.tree.traversal import Traversal  # noqa: E402

TREES = list(list_verifiers(WithReplacement(2), kind="tree"))
ON_DEVICES = [name for name in TREES if "numpy_only" not in list_verifiers()[name].claims]


def as_round(target, draft, tokens):
    """Target rows and draft of the decoder from laws ``[B K L+1 V]``, ``[B K L V]`` along paths ``[B K L]``."""
    after = target[:, :, 1:].transpose(1, 2).flatten(1, 2)
    return torch.cat([target[:, 0, :1], after], dim=1), Draft(*as_nodes(tokens), draft)


def depth(size=6, rows=5, drafts=3, seed=0):
    rng = np.random.default_rng(seed)
    target, draft = (torch.from_numpy(rng.dirichlet(np.ones(size), rows)) for _ in range(2))
    tokens = torch.from_numpy(rng.integers(0, size, (rows, drafts)))
    return Depth(target, draft, tokens, torch.ones(rows, dtype=torch.bool))


def predicted(judge, here):
    """Expected drafts kept of rounds that came to one depth."""
    return judge.expected(here.target[:, None], None, Outcome(None, None, None, [here]), None)


@pytest.mark.parametrize("name", ["recursive", "k_seq", "optimal", "naive"])
def test_survivors_are_counted_row_by_row(name):
    here = depth()
    here.drafts[1, 1:] = -1
    here.drafts[3, 2:] = -1
    here.reached[2] = False
    got = predicted(TokenWalkJudge(verifier(name, 3), 3, 1), here)
    counts = [3, 1, 0, 2, 3]
    for row, count in enumerate(counts):
        law = here.target[row].numpy(), here.draft[row].numpy()
        exact = float(acceptance(name, *law, WithReplacement(count))) if count else 0.0
        assert got[row] == pytest.approx(exact, abs=64 * 6 * 2**-52)  # the exact routes' rounding, 64 eps V


def test_without_a_formula_the_drafts_at_hand_are_weighed():
    here = depth()
    for row in range(5):
        here.drafts[row] = torch.from_numpy(np.random.default_rng(row).permutation(6)[:3])
    rule = verifier("naive", WithoutReplacement(3))
    assert rule.acceptance(here.target.numpy(), here.draft.numpy()) is None
    got = predicted(TokenWalkJudge(rule, 3, 1), here)
    law = rule.conditional(*(a.numpy() for a in here[:3]))
    np.testing.assert_allclose(got, [law[i, here.drafts[i].numpy()].sum() for i in range(5)], rtol=1e-14)


def test_a_rule_keeps_its_parameters():
    rule = verifier("k_seq", 4, rho=3.5)
    fewer = bound_to(rule, 2)
    assert (fewer.scheme, fewer.rho) == (WithReplacement(2), 3.5)
    assert bound_to(rule, 4) is rule


def test_a_coupling_without_exact_agreement_is_refused():
    class Opaque(Coupling):
        def _select(self, law, noise):
            raise AssertionError

    with pytest.raises(BadArgument, match="predict=False"):
        predicted(CoupledJudge(Opaque(), 1, 1), depth()._replace(drafts=depth().drafts[:, :1]))


@pytest.mark.parametrize("name", ["gumbel", "list_gumbel"])
def test_predictions_of_lists_are_unbiased(name):
    rule, here = coupling(name), depth()
    judge = CoupledJudge(rule, 3, 1)
    uniforms = torch.from_numpy(np.random.default_rng(0).random((2000, judge.num_uniforms)))
    rows = Depth(*(array[:1].expand(2000, *array.shape[1:]) for array in here))
    found = Estimate.from_samples(judge.expected(rows.target, None, Outcome(None, None, None, [rows]), uniforms))
    assert found.stderr < 0.01
    assert found.covers(float(rule.list_agreement(here.target[0].numpy(), here.draft[0].numpy(), 3)))


def test_living_drafts_move_to_the_front_in_order():
    tokens = torch.tensor([[4, 5, 6], [7, 8, 9], [1, -1, 2]])
    alive = torch.tensor([[False, True, True], [True, False, True], [True, True, True]])
    assert compact(tokens, alive).tolist() == [[5, 6, -1], [7, 9, -1], [1, -1, 2]]


def one_hot_rows(paths, size=6):
    """Laws that are certain of the next token: [B K L+1 V] from the tokens [B K L+1]."""
    return torch.nn.functional.one_hot(torch.tensor(paths), size).double()


EVEN = torch.full((1, 2, 2, 6), 1 / 6, dtype=torch.float64)


def test_the_surviving_path_is_kept_and_extended():
    # the target wants 1 2 3; path 0 leaves after one token, path 1 carries it through
    tokens = torch.tensor([[[1, 4], [1, 2]]])
    given = as_round(one_hot_rows([[[1, 2, 5], [1, 2, 3]]]), EVEN, tokens)
    judge = TokenWalkJudge(verifier("recursive", 2), 2, 2)
    outcome = judge.judge(*given, torch.full((1, judge.num_uniforms), 0.5, dtype=torch.float64), None)
    assert (outcome.accepted.item(), outcome.token.item()) == (2, 3)
    assert outcome.nodes.tolist() == [[2, 4]]  # path 1: the second node of each depth
    assert [step.drafts.tolist() for step in outcome.trail] == [[[1, 1]], [[4, 2]]]


def test_a_rejection_at_once_emits_the_target_s_token():
    tokens = torch.tensor([[[0, 4], [2, 2]]])
    given = as_round(one_hot_rows([[[1, 0, 0], [1, 0, 0]]]), EVEN, tokens)
    judge = TokenWalkJudge(verifier("k_seq", 2), 2, 2)
    outcome = judge.judge(*given, torch.full((1, judge.num_uniforms), 0.5, dtype=torch.float64), None)
    assert (outcome.accepted.item(), outcome.token.item()) == (0, 1)
    assert [bool(step.reached) for step in outcome.trail] == [True, False]


def test_a_prediction_takes_the_states_before_the_round():
    rng, rule = np.random.default_rng(3), verifier("greedy_block")
    target, draft = (torch.from_numpy(rng.dirichlet(np.ones(5), (3, 1, rows))) for rows in (4, 3))
    tokens, uniforms = torch.from_numpy(rng.integers(0, 5, (3, 1, 3))), torch.from_numpy(rng.random((3, 4)))
    before = [FRESH, (Layer(0.7, 2),), (Layer(0.4, 2), Layer(1.3, 1))]
    judge = StatefulJudge(rule, 1, 3, FRESH)
    judge.begin(3)
    judge._states = list(before)
    given = as_round(target, draft, tokens)
    outcome = judge.judge(*given, uniforms, None)
    found = judge.expected(*given, outcome, uniforms)
    after, fresh = [], []
    for i, state in enumerate(before):
        rows = target[i, 0].numpy(), draft[i, 0].numpy(), tokens[i, 0].numpy()
        assert found[i] == pytest.approx(rule.conditional(*rows, state).stop @ np.arange(4), abs=1e-12)  # few factors
        fresh.append(rule.conditional(*rows).stop @ np.arange(4))
        verdict, state = rule.draw(*rows, uniforms[i].numpy(), state)
        assert (outcome.accepted[i], outcome.token[i]) == verdict
        after.append(state)
    assert judge._states == after != before
    assert (np.abs(found - fresh) > 1e-3).tolist() == [False, True, True]  # what a forgotten state would predict


def test_states_follow_the_rows_of_their_texts():
    judge = StatefulJudge(None, 1, 3, "fresh")
    judge.begin(4)
    judge._states = list("abcd")
    judge.renew([2])
    assert judge._states == ["a", "b", "fresh", "d"]
    judge.select([3, 0])
    assert judge._states == ["d", "a"]


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


class Uniform:
    """A draft model whose draws name the numbers that they came from."""

    def __init__(self, law):
        self.law = law

    def start(self):
        return self.law

    def after(self, tokens, parents):
        return self.law[:, None].expand(-1, tokens.shape[1], -1)


def test_drafts_verdict_and_prediction_share_no_coin():
    rule = Recorder(2)
    drafts, judge = method(rule, 1, 3)
    count = drafts.num_uniforms + judge.num_uniforms
    uniforms = (torch.arange(count, dtype=torch.float64)[None] + 0.5) / count
    law = torch.full((1, count), 1 / count, dtype=torch.float64)
    # as the decoder hands them on: the drafts' numbers first
    draft, coins = drafts.propose(Uniform(law), uniforms[:, : drafts.num_uniforms]), uniforms[:, drafts.num_uniforms :]
    target = law[:, None].expand(-1, 7, -1)
    outcome = judge.judge(target, draft, coins, None)
    judge.expected(target, draft, outcome, coins)
    used = [*draft.tokens.flatten().tolist(), *(np.concatenate([rule.verdict, rule.prediction], axis=1)[0] * count)]
    assert sorted(int(number) for number in used) == list(range(count))


# -- devices ----------------------------------------------------------------------------------------------------------


def on_meta(drafts, judge, size=7):
    """Arguments of a verdict on a device that holds no numbers: whoever asks for one fails."""
    laws = torch.empty(2, drafts.paths, drafts.depth + 1, size, dtype=torch.float64, device="meta")
    tokens = torch.empty(2, drafts.paths, drafts.depth, dtype=torch.int64, device="meta")
    return *as_round(laws, laws[:, :, :-1], tokens), laws.new_empty(2, judge.num_uniforms)


class Asks(Traversal):
    """Planted bug: the host looks whether anything was kept."""

    def _draw_paths(self, *given):
        accepted, token, path = super()._draw_paths(*given)
        assert bool((accepted >= 0).all())
        return accepted, token, path


@pytest.mark.parametrize(("name", "paths"), [*((name, 3) for name in ON_DEVICES), ("recursive", 3), ("k_seq", 2),
                                             ("block", 1)])
def test_no_verdict_waits_for_a_device(name, paths, monkeypatch):
    drafts, judge = method(name, paths, 3)
    target, draft, coins = on_meta(drafts, judge)
    outcome = judge.judge(target, draft, coins, None)
    assert outcome.token.shape == outcome.accepted.shape == (2,)
    assert outcome.nodes.shape == (2, 3)
    assert outcome.nodes.device.type == "meta"
    assert isinstance(judge, PathsJudge) == (name in TREES and not isinstance(verifier(name, 3), TokenWalk))
    if isinstance(judge, PathsJudge):
        monkeypatch.setattr(judges, "to_host", lambda array: array)  # the copy itself is meant to wait
        assert judge.expected(target, draft, outcome, coins).shape == (2,)


def test_a_rule_that_waits_for_a_device_is_found():
    drafts, judge = method(Asks(3), 3, 3)
    with pytest.raises(RuntimeError, match="meta tensors"):
        judge.judge(*on_meta(drafts, judge), None)


def test_the_way_to_a_node_by_hand():
    #        0
    #      1   2
    #    3 4   5      6 hangs on 4
    parents = torch.tensor([[0, 0, 1, 1, 2, 4]]).expand(7, -1)
    nodes, count = way_to(torch.arange(7), parents, 4)
    assert count.tolist() == [0, 1, 1, 2, 2, 2, 3]
    ways = [way[:kept] for way, kept in zip(nodes.tolist(), count.tolist(), strict=True)]
    assert ways == [[], [1], [2], [1, 3], [1, 4], [2, 5], [1, 4, 6]]
    assert nodes.shape == (7, 4)


def test_the_way_to_a_node_of_a_tree_of_one_depth():
    nodes, count = way_to(torch.tensor([0, 3]), torch.zeros(2, 3, dtype=torch.int64), 1)
    assert count.tolist() == [0, 1]
    assert nodes[1].tolist() == [3]


def test_an_acceptance_that_is_slow_is_not_asked_for_every_round(monkeypatch):
    here = depth()
    for row in range(5):
        here.drafts[row] = torch.from_numpy(np.random.default_rng(row).permutation(6)[:3])
    rule = verifier("recursive_wor", WithoutReplacement(3))
    assert rule.acceptance_is_slow
    law = rule.conditional(*(array.numpy() for array in here[:3]))
    monkeypatch.setattr(type(rule), "acceptance", lambda *given: pytest.fail("asked"))
    got = chance_of(rule, Depth(*(array.numpy() for array in here)))
    np.testing.assert_allclose(got, [law[i, here.drafts[i].numpy()].sum() for i in range(5)], rtol=1e-14)
