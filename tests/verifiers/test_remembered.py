"""Rules keep the answers for recent contexts; what another thread does to that memory changes no answer."""

from collections import OrderedDict

import numpy as np
import pytest

import otspec as ot
from otspec.core.walk import TokenWalk
from tests.conftest import random_law

MEMORIES = {"_remembered", "_cached", "_solved"}


def overtaken(rule):
    """The rule, beside another thread that puts its own context into the memory as soon as anything is kept there."""
    class Overtaken(type(rule)):
        def __setattr__(self, name, value):
            super().__setattr__(name, ("another context", "its plan") if name in MEMORIES else value)

    rule.__class__ = Overtaken
    return rule


class Emptied(OrderedDict):
    """Memory that another thread empties as soon as anything is kept there."""

    def __setitem__(self, key, value):
        """Keep nothing."""


@pytest.mark.parametrize("name", ["optimal", "importance", "global_resolution", "lp"])
def test_a_plan_that_was_overwritten_is_not_played(name, rng):
    target, draft = random_law(rng, 5), random_law(rng, 5)
    tokens = np.array([[0, 1], [2, 2], [3, 4]])
    wanted = ot.verifier(name, 2).conditional(target, draft, tokens)
    np.testing.assert_array_equal(overtaken(ot.verifier(name, 2)).conditional(target, draft, tokens), wanted)


def test_an_emptied_memory_is_filled_again(rng):
    target, drafts = random_law(rng, 5), np.stack([random_law(rng, 5) for _ in range(2)])
    tokens = np.array([[0, 1], [2, 2]])
    rule = ot.verifier("laminar", ot.Independent(2))
    wanted = rule.conditional(target, drafts, tokens)
    rule._plans = Emptied()
    np.testing.assert_array_equal(rule.conditional(target, drafts, tokens), wanted)
    walk = TokenWalk(ot.verifier("naive", 2))
    tree = ot.DraftTree.from_paths([[0, 1], [2, 2]])
    rows = [np.broadcast_to(law, (len(tree), 5)) for law in (target, drafts[0])]
    wanted = walk.conditional(tree, *rows).stop
    walk._answers = Emptied()
    np.testing.assert_array_equal(walk.conditional(tree, *rows).stop, wanted)


def test_the_oldest_plan_is_given_up_first(rng, monkeypatch):
    from otspec.verifiers.token import winner_by_context

    monkeypatch.setattr(winner_by_context, "KEPT", 2)
    rule, found = ot.verifier("laminar", ot.Independent(1)), []
    monkeypatch.setattr(rule, "_find", lambda *laws, find=rule._find: (found.append(laws[0][0]), find(*laws))[1])
    contexts = [random_law(rng, 3) for _ in range(3)]
    for number in (0, 1, 0, 2, 0, 1):  # 2 pushes 1 out, which was used before 0
        rule.conditional(contexts[number], contexts[number][None], np.array([0]))
    assert found == [contexts[number][0] for number in (0, 1, 2, 1)]
