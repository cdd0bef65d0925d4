"""Rules keep the answers for recent contexts; what another thread does to that memory changes no answer."""

from collections import OrderedDict

import numpy as np
import pytest

import otspec as ot
from otspec.core.walk import TokenWalk
from tests.conftest import random_law


class Emptied(OrderedDict):
    """Memory that another thread empties as soon as anything is kept there."""

    def __setitem__(self, key, value):
        """Keep nothing."""

    def __len__(self):
        """Full, as it was when this thread looked."""
        return 1000


@pytest.mark.parametrize("name", ["optimal", "importance", "global_resolution", "lp", "laminar"])
def test_an_emptied_memory_is_filled_again(name, rng):
    target, draft = random_law(rng, 5), random_law(rng, 5)
    if name == "laminar":
        draft = np.stack([draft, random_law(rng, 5)])
    tokens = np.array([[0, 1], [2, 2], [3, 4]])
    rule = ot.verifier(name, ot.Independent(2) if name == "laminar" else 2)
    wanted = rule.conditional(target, draft, tokens)
    rule._solutions = Emptied()
    np.testing.assert_array_equal(rule.conditional(target, draft, tokens), wanted)


def test_an_emptied_memory_of_a_walk_is_filled_again(rng):
    target, draft = random_law(rng, 5), random_law(rng, 5)
    walk = TokenWalk(ot.verifier("naive", 2))
    tree = ot.DraftTree.from_paths([[0, 1], [2, 2]])
    rows = [np.broadcast_to(law, (len(tree), 5)) for law in (target, draft)]
    wanted = walk.conditional(tree, *rows).stop
    walk._answers = Emptied()
    np.testing.assert_array_equal(walk.conditional(tree, *rows).stop, wanted)


def test_the_oldest_plan_is_given_up_first(rng, monkeypatch):
    rule, found = ot.verifier("laminar", ot.Independent(1)), []
    monkeypatch.setattr(type(rule), "kept", 2)
    monkeypatch.setattr(rule, "_find", lambda *laws, find=rule._find: (found.append(laws[0][0]), find(*laws))[1])
    contexts = [random_law(rng, 3) for _ in range(3)]
    for number in (0, 1, 0, 2, 0, 1):  # 2 pushes 1 out, which was used before 0
        rule.conditional(contexts[number], contexts[number][None], np.array([0]))
    assert found == [contexts[number][0] for number in (0, 1, 2, 1)]
