"""Checks of rules from anywhere: rules of the package pass, planted bugs fail at the claim that they break."""

import numpy as np
import pytest

import otspec as ot
from otspec.core.block import BlockVerifier
from otspec.core.laws import one_hot
from otspec.core.sequence import SequenceLaw
from otspec.testing import CheckFailed, check_verifier
from otspec.verifiers.block.block import Block
from otspec.verifiers.token.naive import Naive
from otspec.verifiers.tree.token_walk import RecursiveWalk
from otspec.verifiers.tree.traversal import Traversal
from tests.oracles import mutants, token_rules
from tests.oracles.block_mutants import BLOCK_MUTANTS, row_before
from tests.oracles.block_rules import block as block_oracle
from tests.verifiers.test_block_greedy import Forgets, StopsTheRatio
from tests.verifiers.test_tree_token_walk import Deduplicated
from tests.verifiers.test_tree_traversal import KeepsTheTokens, NotRenormalised

QUICK = ["single_draft", "nss", "naive", "recursive", "recursive_wor", "k_seq", "spechub", "greedy", "importance",
         "global_resolution", "laminar", "token_wise", "block", "hierarchical", "greedy_block", "grouped_traversal"]
SLOW = [("optimal", 2), ("lp", 2), ("winner_block", 2), ("lookahead_block", 2), ("score_block", 2), ("layer_block", 2),
        ("vertex_block", 2), ("traversal", 2),
        ("traversal", ot.WithoutReplacement(2)), ("spectr_paths", 2), ("recursive_walk", 2), ("optimal_walk", 2),
        ("univer", ot.Greedy(3)), ("greedy_walk", ot.Greedy(3)), ("traversal", ot.Greedy(3))]


@pytest.mark.parametrize(("name", "scheme"), [*((name, None) for name in QUICK), *SLOW], ids=str)
def test_rules_of_the_package_pass(name, scheme):
    report = check_verifier(name, scheme)
    assert report.rule == name
    claims = {claim for _, claim in report.passed}
    listed = ot.list_verifiers()[name].claims
    assert {"conditional law"} | (listed & {"lossless"}) <= claims
    assert ("optimal" in claims) == ("optimal" in listed)
    if ot.list_verifiers()[name].kind == "token":
        assert {"draw", "batches", "below the optimum"} <= claims
        assert ("torch" in claims) == ("numpy_only" not in listed)


def test_no_rule_is_left_out():
    assert {*QUICK, *(name for name, _ in SLOW)} == set(ot.list_verifiers())


class FromLists(ot.TokenVerifier):
    """A rule of the oracles, list by list."""

    schemes = (ot.DraftScheme,)

    def __init__(self, scheme, rule):
        super().__init__(scheme)
        self.rule = rule

    def _conditional(self, target, draft, tokens):
        flat = zip(target.reshape(-1, target.shape[-1]), draft.reshape(-1, draft.shape[-1]),
                   tokens.reshape(-1, tokens.shape[-1]), strict=True)
        rows = [self.rule(p.tolist(), q.tolist(), tuple(x for x in xs.tolist() if x >= 0)) for p, q, xs in flat]
        return np.asarray(rows, dtype=np.float64).reshape(target.shape)


def merged(rule):
    return lambda p, q, xs: rule(p, q, mutants.distinct(xs))


PLANTED = {
    "greedy_as_without_replacement": (ot.Greedy(2), token_rules.rrs_wor),
    "k_seq_rho_below_smallest": (ot.WithReplacement(2), mutants.k_seq_rho_one),
    "k_seq_after_deduplication": (ot.WithReplacement(2), merged(mutants.k_seq_for(2))),
    "rrs_after_deduplication": (ot.WithReplacement(2), merged(token_rules.rrs_iid)),
    "iid_as_without_replacement": (ot.WithReplacement(2), token_rules.rrs_wor),
    "draft_not_renormalised": (ot.WithoutReplacement(2), mutants.rrs_wor_unnormalised),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_bugs_of_token_rules_fail(name):
    with pytest.raises(CheckFailed, match="lossless fails on spread") as failed:
        check_verifier(FromLists(*PLANTED[name]), claims="lossless numpy_only")
    assert failed.value.claim == "lossless"
    target, output = failed.value.numbers["target"], failed.value.numbers["output"]
    assert np.abs(target - output).sum() / 2 == pytest.approx(mutants.TOKEN_MUTANTS[name][2], abs=5.1e-5)
    assert isinstance(failed.value, AssertionError)


@pytest.mark.parametrize(("scheme", "rule"), [(ot.WithReplacement(2), token_rules.rrs_iid),
                                              (ot.WithoutReplacement(2), token_rules.rrs_wor)],
                         ids=["i.i.d.", "w/o replacement"])
def test_their_healthy_twins_pass(scheme, rule):
    check_verifier(FromLists(scheme, rule), claims="lossless tight_at_one numpy_only")


class OtherDraws(Naive):
    def _draw(self, target, draft, tokens, uniforms):
        return tokens[..., 0]


class OneVerdictForAll(Naive):
    """Every row gets the law of the first."""

    def _conditional(self, target, draft, tokens):
        law = super()._conditional(target, draft, tokens)
        return law + (law.reshape(-1, law.shape[-1])[0] - law) * (law.ndim > 2)


class Boastful(Naive):
    def acceptance(self, target, draft):
        return super().acceptance(target, draft) + 0.01


class Leaky(Naive):
    def _conditional(self, target, draft, tokens):
        return 0.99 * super()._conditional(target, draft, tokens)


class Crashes(Naive):
    def _conditional(self, target, draft, tokens):
        return 1 // 0


class NumpyOnly(Naive):
    def _conditional(self, target, draft, tokens):
        return np.asarray(super()._conditional(*map(np.asarray, (target, draft, tokens))))


class Counts(Naive):
    """Takes the number of drafts from its scheme, although absent drafts are told."""

    def _conditional(self, target, draft, tokens):
        law = super()._conditional(target, draft, tokens)
        absent = (tokens[..., -1:] < 0) & (tokens.shape[-1] > 1)
        return law + absent * (one_hot(tokens[..., 0], law.shape[-1], law.dtype) - law)


@pytest.mark.parametrize(("rule", "claims", "claim"), [
    (OtherDraws(2), "lossless", "draw"), (OneVerdictForAll(2), "lossless", "batches"),
    (Boastful(1), "lossless", "closed form"), (Leaky(2), "lossless", "conditional law"),
    (Crashes(2), "lossless", "conditional law"), (NumpyOnly(2), "lossless", "torch"),
    (Counts(2), "lossless numpy_only", "absent drafts"),
    (Naive(2), "lossless optimal", "optimal"), (ot.verifier("nss", 1), "lossless tight_at_one", "tight_at_one"),
    (ot.verifier("nss", 2), "lossless reflexive", "reflexive"),
    (ot.verifier("global_resolution", 3), "lossless", "lossless")], ids=repr)
def test_every_claim_can_fail(rule, claims, claim):
    with pytest.raises(CheckFailed) as failed:
        check_verifier(rule, claims=claims)
    assert failed.value.claim == claim
    assert repr(rule) in str(failed.value)


class Deviates(Naive):
    max_deviation = 0.01

    def acceptance(self, target, draft):
        return None

    def _conditional(self, target, draft, tokens):
        law = super()._conditional(target, draft, tokens)
        return 0.9 * law + 0.1 * one_hot(tokens[..., 0], law.shape[-1], law.dtype)


def test_a_declared_deviation_is_held_to(monkeypatch):
    with pytest.raises(CheckFailed) as failed:
        check_verifier(Deviates(1), claims="numpy_only")
    assert failed.value.claim == "declared deviation"
    monkeypatch.setattr(Deviates, "max_deviation", 0.2)
    check_verifier(Deviates(1), claims="numpy_only")


class Chain(BlockVerifier):
    """A block rule of the oracles, path by path."""

    def __init__(self, rule):
        super().__init__(1)
        self.rule = rule

    def _conditional(self, target_rows, draft_rows, tokens):
        lead, (length, size) = tokens.shape[:-1], (tokens.shape[-1], target_rows.shape[-1])
        stop, following = np.zeros((*lead, length + 1)), np.zeros((*lead, length + 1, size))
        for at in np.ndindex(*lead):
            models = [lambda text, rows=rows[at]: rows[len(text)].tolist() if len(text) < len(rows) else None
                      for rows in (target_rows, draft_rows)]
            models[1] = lambda text, rows=draft_rows[at], last=target_rows[at][-1]: (
                rows[len(text)] if len(text) < length else last).tolist()
            for chance, node, law in self.rule(*models, (), tuple(tokens[at].tolist())):
                stop[(*at, node)], following[(*at, node)] = chance, law
        return SequenceLaw(stop, following)


def test_the_adapter_of_block_rules_is_right():
    check_verifier(Chain(block_oracle), claims="lossless reflexive numpy_only")


@pytest.mark.parametrize("rule", [*(rule for rule, _ in BLOCK_MUTANTS.values()), row_before],
                         ids=[*BLOCK_MUTANTS, "row_before"])
def test_planted_bugs_of_block_rules_fail(rule):
    with pytest.raises(CheckFailed) as failed:
        check_verifier(Chain(rule), claims="lossless numpy_only")
    assert failed.value.claim == "lossless"
    assert "V=5" in failed.value.instance


class Shy(Traversal):
    def _draw_paths(self, *given):
        accepted, token, path = super()._draw_paths(*given)
        return accepted * 0, token, path


class Hopeful(Traversal):
    def _expected_paths(self, *given):
        return 1.1 * super()._expected_paths(*given)


class ShyBlock(Block):
    def _draw(self, *given):
        accepted, token = super()._draw(*given)
        return accepted * 0, token


class Orderless(Traversal):
    order_matters = False


class BatchOnly(Block):
    """Rows of a batch share the law of the first."""

    def _conditional(self, target_rows, draft_rows, tokens):
        law = super()._conditional(target_rows, draft_rows, tokens)
        if tokens.ndim > 1 and len(tokens) == 13:
            return SequenceLaw(law.stop[:1].repeat(13, axis=0), law.following)
        return law


@pytest.mark.parametrize(("rule", "claims", "claim"), [
    (Forgets(), "lossless", "lossless"), (StopsTheRatio(), "lossless", "lossless"),
    (NotRenormalised(ot.WithoutReplacement(3)), "lossless", "lossless"),
    (KeepsTheTokens(ot.WithoutReplacement(3)), "lossless", "lossless"),
    (Deduplicated(ot.verifier("recursive", 2)), "lossless", "lossless"),
    (Shy(2), "lossless", "draw"), (Hopeful(2), "lossless", "expected_paths"), (ShyBlock(), "lossless", "draw"),
    (BatchOnly(), "lossless numpy_only", "chains"), (Orderless(2), "numpy_only", "order_matters"),
    (ot.verifier("vertex_block", 2), "lossless reflexive", "reflexive")], ids=repr)
def test_planted_bugs_of_sequence_rules_fail(rule, claims, claim):
    with pytest.raises(CheckFailed) as failed:
        check_verifier(rule, claims=claims)
    assert failed.value.claim == claim


def test_bad_arguments():
    with pytest.raises(ot.BadArgument, match="claims: fast"):
        check_verifier(Naive(1), claims="lossless fast")
    with pytest.raises(ot.UnknownName, match="naif"):
        check_verifier("naif")
    with pytest.raises(ot.SchemeMismatch):
        check_verifier("naive", ot.Hub())
    with pytest.raises(ot.SchemeMismatch, match="bound to"):
        check_verifier(Naive(2), 3)
    with pytest.raises(ot.BadArgument, match="neither a name nor a verifier"):
        check_verifier(3.5)


def test_a_report_counts_what_it_saw():
    report = check_verifier(RecursiveWalk(1))
    assert str(report).startswith("RecursiveWalk, WithReplacement(k=1): lossless (10), conditional law (40)")
