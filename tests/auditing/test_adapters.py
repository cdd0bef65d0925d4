"""Adapters: right look-alikes pass, their bugs are caught, processes that fail say why."""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import otspec as ot
from otspec.auditing import hugging_face, json_lines, rejection_sampler, tree_sampler
from otspec.auditing.subjects import Function
from tests.auditing import lookalikes

QUICK = {"tv": 0.2, "explain": 0.3}
LINES = [sys.executable, str(Path(__file__).with_name("line_verifier.py"))]


def test_a_right_function_of_assisted_generation_passes():
    assert ot.audit(hugging_face(lookalikes.assisted), **QUICK).passed is True


@pytest.mark.parametrize(("bug", "name"), [
    ("one coin", "one_uniform_for_all"), ("counts all", "matches_counted"), ("row before", "bonus_from_last_row"),
    ("no residual", "redraw_from_target")])
def test_bugs_of_assisted_generation_are_named(bug, name):
    report = ot.audit(hugging_face(partial(lookalikes.assisted, bug=bug)), tv=0.05, explain=1)
    assert report.passed is False
    assert name in [one.name for one in report.mistakes]


def test_a_wrong_number_of_matches_is_no_answer():
    report = ot.audit(hugging_face(partial(lookalikes.assisted, bug="miscounts")), **QUICK)
    assert report.passed is False
    assert "n matches go with n + 1 tokens" in report.reason


@pytest.mark.parametrize("draft_probs", [True, False])
def test_a_right_rejection_sampler_passes_on_ragged_batches(draft_probs):
    report = ot.audit(rejection_sampler(lookalikes.serving, draft_probs=draft_probs), **QUICK)
    assert report.passed is True
    assert "dirichlet models, V=5, no draft" in report.cases.column("case")


@pytest.mark.parametrize(("bug", "draft_probs"), [("offset", True), ("given drawn again", False)])
def test_bugs_of_rejection_samplers_are_caught(bug, draft_probs):
    subject = rejection_sampler(partial(lookalikes.serving, bug=bug), draft_probs=draft_probs)
    assert ot.audit(subject, tv=0.05, explain=0).passed is False


@pytest.mark.parametrize("draft_probs", [True, False])
def test_a_right_tree_sampler_passes(draft_probs):
    report = ot.audit(tree_sampler(lookalikes.tree, draft_probs=draft_probs), scheme=ot.WithoutReplacement(2), **QUICK)
    assert report.passed is True


@pytest.mark.parametrize(("bug", "draft_probs", "name"), [
    ("one coin", False, None), ("no rest", False, None), ("target again", True, None),
    ("not renormalised", True, "draft_not_renormalised")])
def test_bugs_of_tree_samplers_are_caught(bug, draft_probs, name):
    subject = tree_sampler(partial(lookalikes.tree, bug=bug), draft_probs=draft_probs)
    report = ot.audit(subject, scheme=ot.WithoutReplacement(2), tv=0.05, explain=1)
    assert report.passed is False
    assert name is None or name in [one.name for one in report.mistakes]


def test_sampled_rules_on_given_trees_are_named():
    """The bug of verifying top-k children as if they had been drawn."""
    def as_drawn(candidates, parents, leaves, target, draft, coins):
        soft = np.sqrt(target) / np.sqrt(target).sum(axis=1, keepdims=True)
        return lookalikes.tree(candidates, parents, leaves, target, soft, coins)
    assert ot.audit(tree_sampler(as_drawn, draft_probs=False), scheme=2, tv=0.05, explain=0).passed is False


def test_a_verifier_in_another_process_passes():
    assert ot.audit(json_lines(LINES, "token"), large=False, **QUICK).passed is True


@pytest.mark.parametrize(("bug", "says"), [
    ("target", "do not have the target's law"), ("mumbles", "'nothing' is no"), ("dies", "out of memory, it says")])
def test_a_process_that_errs_says_how(bug, says):
    report = ot.audit(json_lines([*LINES, bug], "token"), large=False, **QUICK)
    assert report.passed is False
    assert says in report.reason


def test_numbers_of_numpy_are_numbers():
    assert rejection_sampler(print, batch_size=np.int64(4)).batch_size == 4
    assert Function(print, "token", coins=np.int64(2)).num_uniforms == 2
    for size in (0, True, 2.0, "4"):
        with pytest.raises(ot.BadArgument, match="batch_size"):
            rejection_sampler(print, batch_size=size)
    for coins in (0, -1, True, 1.0):
        with pytest.raises(ot.BadArgument, match="coins"):
            Function(print, "token", coins=coins)


def test_a_process_that_cannot_be_started_is_an_error():
    with pytest.raises(ot.BadArgument, match="cannot be started"):
        ot.audit(json_lines(["/no/such/verifier"], "token"))
    with pytest.raises(ot.BadArgument, match="nothing to run"):
        json_lines([], "token")
