"""Traversal and grouped traversal: planted bugs, identities between the rules, trees of every kind."""

import numpy as np
import pytest

from otspec.core.errors import BadArgument, SchemeMismatch
from otspec.core.schemes import WithoutReplacement, WithReplacement
from otspec.core.tree import DraftTree
from otspec.verifiers import verifier
from otspec.verifiers.tree import groups
from otspec.verifiers.tree.grouped import GroupedTraversal
from otspec.verifiers.tree.traversal import Traversal, in_tree_order
from tests.verifiers.tree_draws import Toy, as_tree, fixed, path_trees, shaped_trees, toys

EXACT = 1e-12  # sums of a few thousand products of a dozen factors


def without(toy, *widths):
    return shaped_trees(toy, fixed(WithoutReplacement, *widths), "without_replacement")


class NotRenormalised(Traversal):
    """The draft law keeps its masses after a child has failed."""

    def _winner(self, tree, group, goal, left):
        return left, np.ones(1)


class KeepsTheTokens(Traversal):
    """The draft law keeps the tokens of the children that have failed."""

    def _winner(self, tree, group, goal, left):
        self.whole = left if left.sum() > 1 - 1e-9 else self.whole
        return self.whole, np.ones(1)


def ported_weight(weight, goal, law):
    """S / (1 - what the child took), as in a public port."""
    excess = np.maximum(weight * goal - law, 0.0)
    mass = float(excess.sum())
    return min(1.0, mass / max(1.0 - float(np.minimum(weight * goal, law).max()), 1e-9)), excess / max(mass, 1e-300)


def same_weight(weight, goal, law):
    """The weight stays as it was."""
    excess = np.maximum(weight * goal - law, 0.0)
    return weight, excess / max(float(excess.sum()), 1e-300)


def same_target(weight, goal, law):
    """The target stays as it was."""
    return groups.after_failure_as_written(weight, goal, law)[0], goal


@pytest.mark.parametrize("mutant", [NotRenormalised, KeepsTheTokens])
def test_wrong_draft_laws_are_found(mutant):
    toy = toys(5, 1, 1, ["dirichlet"])[0]
    assert toy.bias(Traversal(WithoutReplacement(3)), without(toy, 3)) < EXACT
    assert toy.bias(mutant(WithoutReplacement(3)), without(toy, 3)) > 1e-3


@pytest.mark.parametrize("mutant", [ported_weight, same_weight, same_target])
def test_wrong_states_after_a_failure_are_found(mutant, monkeypatch):
    toy = toys(5, 2, 1, ["dirichlet"])[0]
    trees = list(path_trees(toy, 2))
    assert toy.bias(Traversal(2), trees) < EXACT
    monkeypatch.setattr(groups, "after_failure_as_written", groups.after_failure, raising=False)
    monkeypatch.setattr(groups, "after_failure", mutant)
    assert toy.bias(Traversal(2), trees) > 1e-3


def test_groups_of_one_are_traversal_and_one_group_is_winner_and_block():
    scheme = WithoutReplacement(3)
    for toy in toys(3, 2, 4):
        for _, tree in list(without(toy, 3, 2))[::11]:
            rows = list(toy.rows(tree))
            for sizes, name in (((1, 1, 1), "traversal"), ((3,), "winner_block")):
                mine = GroupedTraversal(scheme, sizes=sizes).conditional(tree, *rows)
                other = verifier(name, scheme).conditional(tree, *rows)
                assert np.allclose(mine.stop, other.stop, atol=EXACT)
                joint, twin = (law.stop[:, None] * law.following for law in (mine, other))
                assert np.allclose(joint, twin, atol=EXACT)


@pytest.mark.parametrize("sizes", [(1,), (2,), (1, 2)])
def test_grouped_traversal_is_lossless(sizes):
    for toy in toys(4, 1, 8):
        assert toy.bias(GroupedTraversal(WithoutReplacement(4), sizes=sizes), without(toy, 4)) < EXACT
    toy = toys(3, 2, 1, ["dirichlet"])[0]
    assert toy.bias(GroupedTraversal(WithoutReplacement(3), sizes=sizes), without(toy, 3, 2)) < EXACT


def test_grouped_traversal_refuses_copies():
    rule = GroupedTraversal(WithoutReplacement(2))
    tree = DraftTree.from_paths([[0], [1]])
    with pytest.raises(SchemeMismatch, match="bind the rule"):
        rule.conditional(tree, np.eye(3), np.full((3, 3), 1 / 3))
    with pytest.raises(SchemeMismatch):
        rule.num_uniforms(3)
    with pytest.raises(SchemeMismatch, match="proved for WithoutReplacement"):
        verifier("grouped_traversal", 2)
    with pytest.raises(SchemeMismatch, match=r"got WithReplacement\(k=1\)"):
        GroupedTraversal()
    assert rule.num_tree_uniforms(6) == 3 * 6 + 1
    with pytest.raises(BadArgument, match="sizes"):
        GroupedTraversal(WithoutReplacement(2), sizes=(0,))


def test_paths_are_walked_in_the_order_of_their_tree():
    tokens = np.array([[[3, 1], [2, 0], [3, 4], [3, 1], [2, 0]]])
    order, common = in_tree_order(tokens)
    assert order.tolist() == [[0, 3, 2, 1, 4]]
    assert common.tolist() == [[2, 1, 0, 2, -1]]


def test_many_paths_keep_the_order_of_first_appearance(rng):
    tokens = rng.integers(3, size=(60, 3))

    def walked(paths, depth):
        if depth == 3:
            return paths
        groups = {}
        for path in paths:
            groups.setdefault(tokens[path, depth], []).append(path)
        return [path for group in groups.values() for path in walked(group, depth + 1)]

    assert in_tree_order(tokens[None])[0].tolist() == [walked(list(range(60)), 0)]


def test_one_path_is_kept_whole_where_the_models_agree(rng):
    rows = np.broadcast_to(rng.dirichlet(np.ones(4)), (5, 1, 3, 4))
    verdict = Traversal(1).draw_paths(rows, rows[:, :, :2], rng.integers(4, size=(5, 1, 2)), rng.random((5, 3)))
    assert verdict.accepted.tolist() == [2] * 5


@pytest.mark.parametrize(("size", "depth", "paths"), [(3, 2, 1), (2, 3, 2), (3, 2, 2), (2, 2, 3)])
def test_the_estimate_on_paths_has_the_exact_mean(size, depth, paths):
    rule = Traversal(paths)
    for toy in toys(size, depth, 4, ["dirichlet", "zeros", "ties", "peaked"]):
        exact = mean = 0.0
        for chance, tree in path_trees(toy, paths):
            target, draft = toy.rows(tree)
            chains = np.asarray(tree.chains)
            exact += chance * rule.expected_accepted(tree, target, draft)
            found = rule.expected_paths(target[chains], draft[chains[:, :-1]], tree.tokens[chains[:, 1:]],
                                        np.zeros(rule.num_uniforms(depth)))
            mean += chance * float(found)
        assert mean == pytest.approx(exact, abs=EXACT)


def test_a_tree_of_independent_branches_may_have_adaptive_widths():
    """Draws go on at the root until two tokens differ or three are out; Traversal does not mind."""
    toy = toys(3, 1, 1, ["dirichlet"])[0]
    law, trees = toy.draft[0][0], []
    for drawn, chance in zip(*WithReplacement(3).lists(law), strict=True):
        kept = 2 if drawn[0] != drawn[1] else 3
        distinct = list(dict.fromkeys(drawn[:kept].tolist()))
        copies = [drawn[:kept].tolist().count(token) for token in distinct]
        trees.append((chance, DraftTree([-1] + [0] * len(distinct), [-1, *distinct], [1, *copies], scheme="branches",
                                        adaptive_widths=True)))
    assert toy.bias(Traversal(3), trees) < EXACT
    with pytest.raises(SchemeMismatch, match="adaptive widths"):
        toy.bias(verifier("winner_block", 3), trees)


def beam(toy, widths, scheme):
    """Tree of the likeliest draft tokens, ``widths[d]`` of them at each node of depth d."""
    def below(prefix):
        if len(prefix) == len(widths):
            return ()
        law = toy.draft[len(prefix)][np.ravel_multi_index(prefix, (toy.size,) * len(prefix)) if prefix else 0]
        likeliest = np.argsort(-law, kind="stable")[: widths[len(prefix)]].tolist()
        return tuple((token, 1, below((*prefix, token))) for token in likeliest)

    return as_tree(below(()), scheme)


@pytest.mark.parametrize("family", ["dirichlet", "peaked", "ties"])
def test_a_tree_chosen_without_chance_is_verified_as_one_hot_drafts(family):
    rule = Traversal(1)  # a deterministic tree needs no number of draws
    for seed in range(4):
        toy = Toy(family, 5, 2, seed)
        tree = beam(toy, (3, 2), "deterministic")
        target, draft = toy.rows(tree)
        assert toy.bias(rule, [(1.0, tree)]) < EXACT
        assert np.array_equal(rule.conditional(tree, target, None).stop, rule.conditional(tree, target, draft).stop)
        # the first token is kept with the target's mass of the likeliest drafts, the optimum for a fixed list
        first = tree.tokens[list(tree.children[0])]
        kept = rule.conditional(tree, target, None)
        assert 1 - kept.stop[0] == pytest.approx(target[0][first].sum(), abs=EXACT)


def test_a_beam_declared_as_sampled_is_biased_and_other_rules_refuse_it():
    toy = Toy("dirichlet", 5, 2, 0)
    lie = beam(toy, (3, 2), "without_replacement")
    assert toy.bias(Traversal(WithoutReplacement(3)), [(1.0, lie)]) > 1e-2
    tree = beam(toy, (3, 2), "deterministic")
    for name in ("winner_block", "recursive_walk", "optimal_walk"):
        with pytest.raises(SchemeMismatch, match="does not verify"):
            toy.bias(verifier(name, WithoutReplacement(3)), [(1.0, tree)])
    with pytest.raises(BadArgument, match="deterministic drafts have no copies"):
        DraftTree([-1, 0], [-1, 1], [1, 2], scheme="deterministic")
