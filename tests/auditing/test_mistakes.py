"""The registry of mistakes: the same laws as the oracles, and an audit names each of them."""

import numpy as np
import pytest

import otspec as ot
from otspec.auditing import MISTAKES, known_mistakes
from otspec.auditing.mistakes import block as blocks
from tests.auditing.masses import Masses
from tests.oracles import block_mutants, block_rules, mutants

H = np.array([0.30, 0.25, 0.20, 0.15, 0.10]), np.array([0.05, 0.15, 0.20, 0.25, 0.35])
TOKEN = {one.name: one for one in MISTAKES if one.kind in ("token", "multi")}
BLOCK = {one.name: one for one in MISTAKES if one.kind == "block"}
SCHEMES = {"WithReplacement": ot.WithReplacement(2), "WithoutReplacement": ot.WithoutReplacement(2),
           "Greedy": ot.Greedy(2)}
ALIKE = {"greedy_as_without_replacement": "top_k_as_without_replacement"}


@pytest.mark.parametrize("name", mutants.TOKEN_MUTANTS)
def test_token_mistakes_are_those_of_the_oracles(name):
    lists, rule, bias = mutants.TOKEN_MUTANTS[name]
    p, q = (law.tolist() for law in H)
    mine = TOKEN[ALIKE.get(name, name)]
    emitted = np.zeros(5)
    for xs, chance in lists(q, 2).items():
        theirs = np.array(rule(p, q, xs), dtype=float)
        drafts = np.array(xs if len(xs) == 2 else [*xs, *xs])  # our rules merge repeats themselves
        np.testing.assert_allclose(mine.law(*H, drafts), theirs, atol=1e-12)
        emitted += chance * mine.law(*H, drafts)
    assert np.abs(emitted - H[0]).sum() / 2 == pytest.approx(bias, abs=6e-5)


@pytest.mark.parametrize("name", [*block_mutants.BLOCK_MUTANTS, "row_before"])
def test_block_mistakes_are_those_of_the_oracles(name):
    rule = block_mutants.row_before if name == "row_before" else block_mutants.BLOCK_MUTANTS[name][0]
    models = [block_mutants.markov(table) for table in (block_mutants.MARKOV_TARGET, block_mutants.MARKOV_DRAFT)]
    for xs in [(0, 1, 2), (2, 2, 0), (1, 0, 0)]:
        rows = block_rules.rows(*models, (), xs)
        target, draft = np.array([p for p, _ in rows]), np.array([q for _, q in rows[:-1]])
        mass = BLOCK[name].law(target, draft, xs)
        theirs = np.zeros_like(mass)
        for chance, kept, law in rule(*models, (), xs):
            theirs[kept] += chance * np.array(law, dtype=float)
        np.testing.assert_allclose(mass, theirs, atol=1e-12)


def test_the_right_forms_of_the_parts_are_right():
    """Block verification out of the parts of its mistakes is lossless."""
    def block(target, draft, tokens):
        w = blocks.weights(target, draft, tokens)
        return blocks.stopped(blocks.last_success(blocks.chances(target, draft, w)), w, target, draft)
    assert ot.audit(Masses("block", "block", block), tv=0.05).passed is True


@pytest.mark.parametrize("name", TOKEN)
def test_an_audit_names_every_token_mistake(name):
    mistake = TOKEN[name]
    scheme = 1 if mistake.kind == "token" else SCHEMES[(mistake.schemes or ("WithReplacement",))[0]]
    report = ot.audit(lambda target, draft, tokens, rng: mistake.law(target, draft, tokens), kind="multi",
                      scheme=scheme, explain=0.2)
    assert report.passed is False
    assert report.p_value == 0
    assert report.method == "exact"
    assert name in [one.name for one in report.mistakes]
    assert report.mistake == report.mistakes[0].name
    assert report.remedy == report.mistakes[0].remedy
    assert report.counterexample.tv > 0.01


@pytest.mark.parametrize("name", BLOCK)
def test_an_audit_names_every_block_mistake(name):
    report = ot.audit(Masses(name, "block", BLOCK[name].law), tv=0.02, explain=0.6)
    assert report.passed is False
    assert report.p_value < 1e-3
    assert name in [one.name for one in report.mistakes]


@pytest.mark.parametrize("name", [one.name for one in MISTAKES if one.kind == "tree"])
def test_an_audit_names_every_tree_mistake(name):
    mistake = next(one for one in MISTAKES if one.kind == "tree" and one.name == name)
    scheme = (mistake.schemes or ("WithReplacement",))[0]
    subject = Masses(name, "tree", mistake.law)
    subject.given = scheme == "given"
    report = ot.audit(subject, scheme=SCHEMES.get(scheme, ot.WithoutReplacement(2)), tv=0.02, explain=0.6)
    assert report.passed is False
    assert name in [one.name for one in report.mistakes]


class TopK(ot.DraftScheme):
    """The two likeliest tokens, always."""

    num_drafts = 2

    def count_lists(self, draft):
        return 1.0

    def _lists(self, draft):
        return np.argsort(-draft, kind="stable")[None, :2], np.ones(1)

    def _sample(self, draft, uniforms):
        raise NotImplementedError


def test_drafts_that_were_chosen_are_not_drawn_without_replacement():
    """The worst mistake of the list: on the spread pair its bias is .543."""
    law = TOKEN["top_k_as_without_replacement"].law
    report = ot.audit(lambda target, draft, tokens, rng: law(target, draft, tokens), kind="multi", scheme=TopK(),
                      explain=0, large=False)
    assert report.passed is False
    assert report.cases.where(case="spread").rows[0]["tv"] == pytest.approx(0.5433, abs=1e-4)


def test_distinct_drafts_may_be_verified_as_drawn_without_replacement():
    """The repair of merged repeats: the next distinct token is a draw from what is left, whenever there is one."""
    def distinct(target, draft, tokens, rng):
        return TOKEN["iid_as_without_replacement"].law(target, draft, np.array(list(dict.fromkeys(tokens.tolist()))))
    assert ot.audit(distinct, kind="multi", scheme=3).passed is True


def test_every_mistake_says_what_to_do():
    assert len({(one.kind, one.name) for one in MISTAKES}) == len(MISTAKES) >= 35
    assert all(one.wrong and one.remedy for one in MISTAKES)
    assert {one.kind for one in known_mistakes("multi")} == {"token", "multi"}
