"""Which drafter and judge a call stands for, and which pairs are refused."""

import pytest

torch = pytest.importorskip("torch")

from otspec.core.drafters import Independent  # noqa: E402
from otspec.core.errors import BadArgument, SchemeMismatch, UnknownName  # noqa: E402
from otspec.core.schemes import Greedy, WithoutReplacement, WithReplacement  # noqa: E402
from otspec.core.tree_verifier import TreeVerifier  # noqa: E402
from otspec.couplings import coupling  # noqa: E402
from otspec.decode.drafters import drafter  # noqa: E402
from otspec.decode.drafters.coupled import CoupledPaths  # noqa: E402
from otspec.decode.drafters.paths import Paths  # noqa: E402
from otspec.decode.judges import (  # noqa: E402
    ChainJudge,
    CoupledJudge,
    PathsJudge,
    PlainJudge,
    StatefulJudge,
    TokenWalkJudge,
)
from otspec.decode.method import method  # noqa: E402
from otspec.verifiers import verifier  # noqa: E402


def coins(*call):
    """Numbers of a round: those of the drafts, then the judge's."""
    drafts, judge = method(*call)
    return (drafts.num_uniforms if drafts else 0) + judge.num_uniforms


def test_names_and_objects_become_methods():
    drafts, judge = method(None, 1, 7)
    assert (drafts, type(judge)) == (None, PlainJudge)
    drafts, judge = method("block", 1, 4)
    assert (drafts, type(judge)) == (Paths(1, 4), ChainJudge)
    drafts, judge = method("gumbel", 1, 4)
    assert (type(drafts), drafts.depth, type(judge)) == (CoupledPaths, 4, CoupledJudge)
    drafts, judge = method(coupling("minhash"), 1, 0)
    assert (drafts, type(judge), judge.length) == (None, CoupledJudge, 0)
    drafts, judge = method(verifier("recursive_wor", WithoutReplacement(3)), 1, 1)
    assert (type(judge), drafts.paths, drafts.depth) == (TokenWalkJudge, 3, 1)
    # two drafts and two continuations drawn, three depths judged, one token after a full path
    assert coins("recursive", 2, 3) == 2 + 2 * 2 + 3 + 1
    assert coins("block", 1, 4) == 4 + 5
    # six drafts; a number for each and one for the next token, once for the verdict and once for the prediction
    assert (type(method("traversal", 2, 3)[1]), coins("traversal", 2, 3)) == (PathsJudge, 6 + 2 * 7)
    assert (type(method("greedy_block", 1, 4)[1]), coins("greedy_block", 1, 4)) == (StatefulJudge, 4 + 5)
    assert (coins("gumbel", 1, 4), coins(None, 1, 4)) == (0, 1)
    # a token rule walked down paths is the token rule
    assert coins("spectr_paths", 2, 3) == coins("k_seq", 2, 3)
    assert type(method("recursive_walk", WithoutReplacement(2), 1)[1]) is TokenWalkJudge
    assert method(verifier("lookahead_block", 3), 1, 2)[0].paths == 3


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
    ("grouped_traversal", 2, "proved for WithoutReplacement"), ("traversal", Greedy(2), "without a drafter"),
    ("grouped_traversal", WithoutReplacement(2), "drafts independent paths"),
    (verifier("traversal", WithoutReplacement(2)), 1, "drafts independent paths"),
    ("recursive_walk", WithoutReplacement(2), "2 tokens deep"),
    (OnTrees(WithoutReplacement(2)), 1, "drafts independent"),
    ("greedy_block", 2, "one path"), (verifier("greedy_block"), 2, "one path"),
    (verifier("lookahead_block", 3), 2, r"bound to WithReplacement\(k=3\); got WithReplacement\(k=2\)"),
    (verifier("spectr_paths", 3), 2, "bound to"), (verifier("recursive", 3), 2, "bound to"),
    (verifier("traversal", 2), WithoutReplacement(2), "bound to")])
def test_rules_that_do_not_fit_say_why(verifier_, scheme, says):
    with pytest.raises(SchemeMismatch, match=f"(?s){says}.*Fix"):
        method(verifier_, scheme, 2)


def test_a_drafter_takes_the_place_of_scheme_and_draft_length():
    drafts, judge = method("recursive", 1, 9, drafter("paths", scheme=3, draft_length=2))
    assert (drafts, type(judge), judge.rule.scheme) == (Paths(3, 2), TokenWalkJudge, WithReplacement(3))
    drafts, judge = method("block", 1, 9, "lookup")
    assert (drafts, type(judge), judge.length) == (drafter("lookup"), ChainJudge, 4)
    # a look-up has one path: rules for one path, bound to one draw
    assert method("single_draft", 1, 9, "lookup")[1].rule.scheme == WithReplacement(1)


@pytest.mark.parametrize(("verifier_", "name", "says"), [
    ("gumbel", "paths", "noise of its own"), (None, "paths", "not bound"), (None, "lookup", "not bound"),
    ("gumbel", "lookup", "noise of its own"), (verifier("recursive", 2), "lookup", "not bound"),
    (verifier("recursive", 2), "paths", r"not bound to WithReplacement\(k=1\)"),
    (None, "heap", "judges no trees"), ("gumbel", "rerank", "judges no trees"),
    (verifier("greedy_block"), "heap", "reads one path"), (verifier("block"), drafter("tree", widths=(2, 1)), "path")])
def test_drafters_that_a_rule_cannot_verify_are_refused(verifier_, name, says):
    with pytest.raises(SchemeMismatch, match=f"(?s){says}.*Fix"):
        method(verifier_, 1, 1, name)


def test_drafters_are_named():
    with pytest.raises(UnknownName, match="heap"):
        method("traversal", 1, 1, "heaps")
    with pytest.raises(BadArgument, match="neither a name nor a drafter"):
        method("traversal", 1, 1, 3)
