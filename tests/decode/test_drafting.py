"""Drawing paths and keeping what survives, on laws given by hand."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from otspec.core.drafters import Independent  # noqa: E402
from otspec.core.errors import BadArgument, SchemeMismatch  # noqa: E402
from otspec.core.schemes import Greedy, WithoutReplacement  # noqa: E402
from otspec.core.tree_verifier import TreeVerifier  # noqa: E402
from otspec.couplings import coupling  # noqa: E402
from otspec.decode.drafting import (  # noqa: E402
    BlockPath,
    Coupled,
    Plain,
    TokenPaths,
    _compact,
    check_seed,
    method,
    sequence_seeds,
    shared_rows,
    shared_targets,
    streams,
)
from otspec.decode.whole_paths import GreedyPath, TreePaths  # noqa: E402
from otspec.verifiers import verifier  # noqa: E402


def test_names_and_objects_become_methods():
    assert method(None, 1, 7) == Plain(1, 0)
    assert isinstance(method("block", 1, 4), BlockPath)
    assert isinstance(method("gumbel", 1, 4), Coupled)
    assert method(coupling("minhash"), 1, 0).draft_length == 0
    how = method(verifier("recursive_wor", WithoutReplacement(3)), 1, 1)
    assert (type(how), how.paths, how.draft_length) == (TokenPaths, 3, 1)
    # two drafts and two continuations drawn, three depths judged, one token after a full path
    assert method("recursive", 2, 3).num_uniforms == 2 + 2 * 2 + 3 + 1
    assert method("block", 1, 4).num_uniforms == 4 + 5
    # six drafts; a number for each and one for the next token, once for the verdict and once for the prediction
    assert (type(method("traversal", 2, 3)), method("traversal", 2, 3).num_uniforms) == (TreePaths, 6 + 2 * 7)
    assert (type(method("greedy_block", 1, 4)), method("greedy_block", 1, 4).num_uniforms) == (GreedyPath, 4 + 5)
    # a token rule walked down paths is the token rule
    assert method("spectr_paths", 2, 3).num_uniforms == method("k_seq", 2, 3).num_uniforms
    assert type(method("recursive_walk", WithoutReplacement(2), 1)) is TokenPaths
    assert method(verifier("lookahead_block", 3), 1, 2).paths == 3


@pytest.mark.parametrize(("verifier_", "scheme", "length", "kind"), [
    ("recursive_wor", WithoutReplacement(2), 2, SchemeMismatch), ("block", 2, 2, SchemeMismatch),
    ("gumbel", 2, 2, SchemeMismatch), ("recursive", WithoutReplacement(2), 1, SchemeMismatch),
    ("nss", Independent(2), 1, SchemeMismatch), ("recursive", 2, 0, BadArgument), ("block", 1, 1.5, BadArgument),
    ("traversal", 2, 0, BadArgument), (object(), 1, 1, BadArgument)])
def test_what_cannot_be_decoded_is_refused(verifier_, scheme, length, kind):
    with pytest.raises(kind, match="Fix"):
        method(verifier_, scheme, length)


class OnTrees(TreeVerifier):
    """A rule for trees whose children are drawn without replacement."""

    schemes = (WithoutReplacement,)

    def _joint(self, tree, target, draft):
        raise AssertionError


@pytest.mark.parametrize(("verifier_", "scheme", "says"), [
    ("grouped_traversal", 2, "proved for WithoutReplacement"), ("traversal", Greedy(2), "proved for WithReplacement"),
    ("grouped_traversal", WithoutReplacement(2), "drafts independent paths"),
    (verifier("traversal", WithoutReplacement(2)), 1, "drafts independent paths"),
    ("recursive_walk", WithoutReplacement(2), "2 tokens deep"),
    (OnTrees(WithoutReplacement(2)), 1, "drafts independent paths"),
    ("greedy_block", 2, "one path"), (verifier("greedy_block"), 2, "one path"),
    (verifier("lookahead_block", 3), 2, r"bound to WithReplacement\(k=3\); got WithReplacement\(k=2\)"),
    (verifier("spectr_paths", 3), 2, "bound to"), (verifier("recursive", 3), 2, "bound to"),
    (verifier("traversal", 2), WithoutReplacement(2), "bound to")])
def test_rules_that_do_not_fit_say_why(verifier_, scheme, says):
    with pytest.raises(SchemeMismatch, match=f"(?s){says}.*Fix"):
        method(verifier_, scheme, 2)


def test_living_drafts_move_to_the_front_in_order():
    tokens = torch.tensor([[4, 5, 6], [7, 8, 9], [1, -1, 2]])
    alive = torch.tensor([[False, True, True], [True, False, True], [True, True, True]])
    assert _compact(tokens, alive).tolist() == [[5, 6, -1], [7, 9, -1], [1, -1, 2]]


def test_copies_of_a_prefix_share_the_first_one_s_law():
    law = torch.arange(3.0)[None, :, None].expand(1, 3, 2)
    assert shared_rows(law, torch.tensor([[[1], [2], [1]]]))[0, :, 0].tolist() == [0, 1, 0]
    assert shared_rows(law, torch.zeros(1, 3, 0, dtype=torch.long))[0, :, 0].tolist() == [0, 0, 0]


def test_target_laws_are_shared_as_far_as_paths_agree():
    rows = torch.arange(3.0)[None, :, None, None].expand(1, 3, 3, 2)  # [B K L+1 V], each path's own number
    tokens = torch.tensor([[[1, 4], [2, 5], [1, 5]]])
    assert shared_targets(rows, tokens)[0, :, :, 0].tolist() == [[0, 0, 0], [0, 1, 1], [0, 0, 2]]
    assert shared_targets(rows[:, :1], tokens[:, :1]).equal(rows[:, :1])


def one_hot_rows(paths, size=6):
    """Laws that are certain of the next token: [B K L+1 V] from the tokens [B K L+1]."""
    return torch.nn.functional.one_hot(torch.tensor(paths), size).double()


def test_the_surviving_path_is_kept_and_extended():
    # the target wants 1 2 3; path 0 leaves after one token, path 1 carries it through
    tokens = torch.tensor([[[1, 4], [1, 2]]])
    target = one_hot_rows([[[1, 2, 5], [1, 2, 3]]])
    draft = torch.full((1, 2, 2, 6), 1 / 6, dtype=torch.float64)
    how = TokenPaths(2, 2, verifier("recursive", 2))
    uniforms = torch.full((1, how.num_uniforms), 0.5, dtype=torch.float64)
    outcome = how.judge(target, draft, tokens, uniforms, None)
    assert (outcome.accepted.item(), outcome.token.item(), outcome.path.item()) == (2, 3, 1)
    assert [step.drafts.tolist() for step in outcome.trail] == [[[1, 1]], [[4, 2]]]


def test_a_rejection_at_once_emits_the_target_s_token():
    tokens = torch.tensor([[[0, 4], [2, 2]]])
    target = one_hot_rows([[[1, 0, 0], [1, 0, 0]]])
    draft = torch.full((1, 2, 2, 6), 1 / 6, dtype=torch.float64)
    how = TokenPaths(2, 2, verifier("k_seq", 2))
    outcome = how.judge(target, draft, tokens, torch.full((1, how.num_uniforms), 0.5, dtype=torch.float64), None)
    assert (outcome.accepted.item(), outcome.token.item()) == (0, 1)
    assert [bool(step.reached) for step in outcome.trail] == [True, False]


def test_streams_belong_to_sequences():
    together = [stream.random(3).tolist() for stream in streams(5, 0, 4)]
    alone = [streams(5, place, 1)[0].random(3).tolist() for place in range(4)]
    assert together == alone
    assert len({tuple(numbers) for numbers in together}) == 4
    assert sequence_seeds(5, 2, 2).tolist() == sequence_seeds(5, 0, 4)[2:].tolist()
    # a sum of seed and place would give two runs the same noise
    assert sequence_seeds(0, 1, 1) != sequence_seeds(1, 0, 1)


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, True, None])
def test_seeds_are_whole_numbers(seed):
    with pytest.raises(BadArgument, match="seed"):
        check_seed(seed)
    assert check_seed(np.int64(3)) == 3


def test_streams_of_the_largest_seeds_differ():
    first, second = (streams(seed, 0, 1)[0].random() for seed in (2**63 + 1, 2**63 + 2))
    assert first != second
