"""What a sequence rule has from its base: its scheme, its law, its state, and arguments that fit."""

import array_api_strict as strict
import numpy as np
import pytest
import torch

from otspec.core.errors import BadArgument, SchemeMismatch, ShapeMismatch
from otspec.core.laws import draw
from otspec.core.schemes import Greedy, WithoutReplacement, WithReplacement
from otspec.core.tree import SCHEMES, DraftTree
from otspec.core.tree_verifier import TreeVerifier
from tests.contracts.test_tree_verifiers import batch as paths_of


class Shy(TreeVerifier):
    """Never stops at the nodes of odd number; the target's masses follow in reverse. Keeps what it is given."""

    schemes = (WithReplacement, WithoutReplacement, Greedy)
    trees = SCHEMES

    def _joint(self, tree, target, draft):
        self.given = draft
        weight = (np.arange(len(tree)) % 2 == 0) * (1.0 + np.arange(len(tree)))
        return (weight / weight.sum())[:, None] * target[:, ::-1]


class OnePath(Shy):
    schemes = (WithReplacement,)
    one_path = True


class Remembering(Shy):
    """Its state is all that it has emitted."""

    stateful = True

    def fresh_state(self):
        return ()

    def _joint(self, tree, target, draft, state):
        joint = np.zeros_like(target)
        joint[min(len(state), len(tree) - 1)] = target[min(len(state), len(tree) - 1)]
        return joint

    def _carried(self, tree, target, draft, state, node, token):
        return (*(state or ()), (node, token))


TREE = DraftTree([-1, 0, 1, 1], [-1, 2, 0, 1], scheme="branches")
ROWS = np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5], [0.5, 0.5, 0.0]])


def test_a_rule_is_bound_to_the_schemes_that_it_is_proved_for():
    assert [repr(rule) for rule in (Shy(), OnePath(), OnePath(1))] == [
        "Shy(WithReplacement(k=1))", *["OnePath(WithReplacement(k=1))"] * 2]
    assert [Shy(scheme).scheme.num_drafts for scheme in (3, WithoutReplacement(2), Greedy(1))] == [3, 2, 1]
    for scheme in (2, WithoutReplacement(1)):
        with pytest.raises(SchemeMismatch, match="OnePath is proved for 1 path drawn with replacement"):
            OnePath(scheme)

    class Other(Shy):
        schemes = (WithoutReplacement,)

    for scheme in (1, 2):
        with pytest.raises(SchemeMismatch, match=r"^Other is proved for WithoutReplacement; got WithReplacement"):
            Other(scheme)
    assert (Shy.order_matters, Shy.state_of_text, Shy.stateful, Shy.one_path) == (True, False, False, False)


def test_the_law_of_a_tree_is_what_the_definition_says():
    law = Shy(2).conditional(TREE, ROWS, ROWS)
    assert law.stop.tolist() == [0.25, 0.0, 0.75, 0.0]
    follows = np.where(law.stop[:, None] > 0, ROWS[:, ::-1], ROWS)  # where it never stops, the target's own law
    assert law.following == pytest.approx(follows)
    assert Shy(2).expected_accepted(TREE, ROWS, ROWS) == 1.5
    for coins in np.array([[0.0, 0.9], [0.3, 0.0], [0.2499, 1 - 2.0**-53], [1 - 2.0**-53, 0.3]]):
        node = int(draw(law.stop, coins[0]))
        assert Shy(2).draw(TREE, ROWS, ROWS, coins) == (node, int(draw(follows[node], coins[1])))
    with pytest.raises(ShapeMismatch, match="the 2 numbers needed"):
        Shy(2).draw(TREE, ROWS, ROWS, [0.1, 0.2, 0.3])


def test_a_state_goes_from_block_to_block():
    rule, state = Remembering(2), None
    for block in range(3):
        law = rule.conditional(TREE, ROWS, ROWS, state)
        assert np.flatnonzero(law.stop).tolist() == [block]
        assert rule.expected_accepted(TREE, ROWS, ROWS, state) == TREE.depths[block]
        node, token = rule.draw(TREE, ROWS, ROWS, [0.5, 0.5], state)
        state = rule.carried(TREE, ROWS, ROWS, state, np.int64(node), np.int64(token))
        assert state[-1] == (node, token)
    assert len(state) == 3
    with pytest.raises(BadArgument, match=r"^state: Shy\(.*\) carries none from block to block\. Fix: leave it out"):
        Shy(2).conditional(TREE, ROWS, ROWS, ())
    for ask in (Shy(2).fresh_state, lambda: Shy(2).carried(TREE, ROWS, ROWS, None, 0, 0)):
        with pytest.raises(BadArgument, match="carries none from block to block"):
            ask()
    paths = [part[None] for part in (np.stack([ROWS[:2]] * 2), np.stack([ROWS[:1]] * 2), np.array([[2], [0]]))]
    for ask in (rule.draw_paths, rule.expected_paths):
        with pytest.raises(SchemeMismatch, match="carries a state, which paths of many texts have no place for"):
            ask(*paths, np.full((1, 2), 0.5))


def test_trees_without_chance_need_no_draft_rows():
    rule = Shy(1)
    tree = DraftTree([-1, 0, 0], [-1, 2, 0], scheme="deterministic")
    for draft in (None, ROWS[:3], np.full((3, 3), np.nan)):
        assert rule.conditional(tree, ROWS[:3], draft).stop.tolist() == [0.25, 0.0, 0.75]
        assert rule.given.tolist() == np.zeros((3, 3)).tolist()


@pytest.mark.parametrize(("copies", "node"), [(None, 2), ([1, 0, 1], 2), ([1, 1, 0], 1), ([1, 0, 0], None)])
def test_a_drafted_token_has_mass_where_it_was_drawn(copies, node):
    tree = DraftTree([-1, 0, 0], [-1, 1, 2], copies, scheme="branches" if copies is None else "greedy")
    draft = np.array([[1.0, 0.0, 0.0] if node == 1 else [0.5, 0.5, 0.0], *ROWS[1:3]])
    rule = Shy(WithReplacement(2) if copies is None else Greedy(2))
    if node is None:
        assert rule.conditional(tree, ROWS[:3], draft).stop.sum() == 1.0
        return
    with pytest.raises(BadArgument, match=rf"^tokens\[{node}\] = {node} has probability 0 under the .* of node 0,"):
        rule.conditional(tree, ROWS[:3], draft)
    rule.conditional(tree, ROWS[:3], ROWS[:3])


def test_trees_that_do_not_fit_are_refused():
    for tree, rows, drafts, error, says in [
            ([0], ROWS, ROWS, BadArgument, "tree: list is no DraftTree"),
            (TREE, ROWS, np.full((4, 4), 0.25), ShapeMismatch, r"vocabularies differ: target_rows \(4, 3\), draft"),
            (TREE, ROWS, ROWS[:3], ShapeMismatch, "draft_rows: shape"),
            (TREE, ROWS[:3], ROWS, ShapeMismatch, "target_rows: shape")]:
        with pytest.raises(error, match=says):
            Shy(2).conditional(tree, rows, drafts)
    with pytest.raises(SchemeMismatch, match="a node of the tree has 2 draws"):
        Shy(1).conditional(TREE, ROWS, ROWS)
    lone = DraftTree([-1], [-1])
    assert Shy(1).conditional(lone, ROWS[:1], ROWS[:1]).stop.tolist() == [1.0]


@pytest.mark.parametrize("library", [np.asarray, torch.asarray, strict.asarray])
def test_paths_of_two_batch_axes_are_those_of_one(library, rng):
    flat = [*paths_of(6, 2, 3, 4, 5)[:3], rng.random((6, 2))]
    rule = Shy(2)
    assert rule.num_uniforms(3) == 2
    both = [library(part.reshape(2, 3, *part.shape[1:])) for part in flat]
    for mine, theirs in zip(rule.draw_paths(*both), rule.draw_paths(*flat), strict=True):
        assert tuple(mine.shape) == (2, 3)
        assert np.asarray(mine).ravel().tolist() == theirs.tolist()
        assert type(mine) is type(both[0])
    kept = rule.expected_paths(*both)
    assert tuple(kept.shape) == (2, 3)
    assert np.asarray(kept).ravel().tolist() == rule.expected_paths(*flat).tolist()
    one = [library(part[0]) for part in flat]
    assert rule.draw_paths(*one).token.shape == rule.expected_paths(*one).shape == ()


def test_paths_that_do_not_fit_are_refused(rng):
    good = [*paths_of(6, 2, 1, 4, 5)[:3], rng.random((6, 2))]
    assert Shy(2).draw_paths(*good).accepted.shape == (6,)
    for bound, error, says in [(1, SchemeMismatch, "^tokens: 2 paths for a rule bound to 1"),
                               (3, SchemeMismatch, "^tokens: 2 paths for a rule bound to 3"),
                               (WithoutReplacement(2), SchemeMismatch, "paths are independent draws")]:
        for ask in (Shy(bound).draw_paths, Shy(bound).expected_paths):
            with pytest.raises(error, match=says):
                ask(*good)
    with pytest.raises(SchemeMismatch, match="verifies drafted trees, not paths in a batch"):
        Shy(WithoutReplacement(2)).num_uniforms(1)
    for place, given, says in [(2, good[2][:, :, :0], "draft rows"), (3, good[3][:5], "one row of uniforms"),
                               (3, good[3][:, :1], "2 numbers needed")]:
        bad = [given if number == place else part for number, part in enumerate(good)]
        with pytest.raises(ShapeMismatch, match=says):
            Shy(2).draw_paths(*bad)
    with pytest.raises(ShapeMismatch, match="tokens: paths of no tokens"):
        Shy(2).draw_paths(good[0][:, :, :1], good[1][:, :, :0], good[2][:, :, :0], good[3])
