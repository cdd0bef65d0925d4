"""A token rule walked down paths and trees, against a walk of one text at a time."""

import array_api_strict as strict
import numpy as np
import pytest
import torch

from otspec.core.batched_walk import in_place, level_width
from otspec.core.drafted import DraftedTrees
from otspec.core.errors import SchemeMismatch
from otspec.core.laws import draw, namespace
from otspec.core.schemes import WithoutReplacement, WithReplacement
from otspec.core.survivors import Survivors, compact
from otspec.core.tree import DraftTree
from otspec.core.verifier import TokenVerifier
from otspec.core.walk import TokenWalk
from tests.contracts.test_tree_verifiers import batch as paths_of
from tests.verifiers.tree_batches import MOST, Batch, scheme_of

LIBRARIES = [np.asarray, torch.asarray, strict.asarray]
LAST = 1 - 2.0**-53


class Telling(TokenVerifier):
    """A rule whose token depends on all that it is given: both laws, the drafts, their order, and two coins."""

    @property
    def num_uniforms(self):
        return 2

    def _conditional(self, target, draft, tokens):
        xp = namespace(target)
        assert tokens.shape[-1] == self.scheme.num_drafts
        assert bool(xp.all(tokens >= -1))
        places = xp.arange(tokens.shape[-1], dtype=target.dtype)
        hit = xp.astype(tokens[..., None] == xp.arange(target.shape[-1]), target.dtype)
        weight = xp.sum(hit * (2.0**-places)[:, None], axis=-2)
        law = target + draft * weight * 2.0
        return law / xp.sum(law, axis=-1, keepdims=True)

    def _draw(self, target, draft, tokens, uniforms):
        if isinstance(target, np.ndarray):  # what stops is not asked about again, nor when all have stopped
            assert len(tokens)
            assert (tokens[:, 0] >= 0).all()
        return draw(self._conditional(target, draft, tokens), (uniforms[..., 0] + uniforms[..., 1]) % 1.0)


def ordered(copies, coins):
    """Children in drawing order, merged copies in the order that the coins say."""
    left, begun, order = list(copies), 0, []
    for coin in coins:
        every = [child for child, count in enumerate(left) for _ in range(count)]
        if every:
            order.append(min(every[int(coin * len(every))], begun))
            left[order[-1]] -= 1
            begun += order[-1] == begun
    return order


def walked(rule, given, row, coins):
    """Node and token of one tree."""
    drafted, node, width = given.drafted, 0, level_width(rule)
    while True:
        below = np.flatnonzero((drafted.tokens[row] >= 0) & (drafted.parents[row] == node))
        if not below.size:
            return node, int(draw(given.target[row, node], coins[-1]))
        here, coins = coins[:width], coins[width:]
        copies = np.ones(below.size, dtype=int) if drafted.multiplicity is None else drafted.multiplicity[row, below]
        order = ordered(copies, here[rule.num_uniforms :]) if width > rule.num_uniforms else range(below.size)
        drafts = drafted.tokens[row, below[list(order)]]
        lists = np.append(drafts, [-1] * (rule.scheme.num_drafts - drafts.size))
        token = int(rule._draw(given.target[row, node][None], given.draft[row, node][None], lists[None], here[None])[0])
        hit = below[drafted.tokens[row, below] == token]
        if not hit.size:
            return node, token
        node = 1 + int(hit[0])


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("kind", ["without_replacement", "branches", "paths"])
def test_trees_are_walked_as_each_alone(kind, library, rng):
    for seed, family in enumerate(("dirichlet", "zeros", "ties")):
        given = Batch(kind, seed, size=3, rows=40, family=family)
        drafted, rule = given.drafted, Telling(scheme_of(kind))
        walk = TokenWalk(rule)
        coins = rng.random((40, walk.num_tree_uniforms(6)))
        assert coins.shape[1] == 6 * (2 + MOST * (kind != "without_replacement")) + 1
        coins[:8] = np.where(rng.random(coins[:8].shape) < 0.5, 0.0, LAST)
        expected = [walked(rule, given, row, coins[row]) for row in range(40)]
        there = DraftedTrees(library(drafted.tokens), library(drafted.parents), kind,
                             multiplicity=None if drafted.multiplicity is None else library(drafted.multiplicity))
        rows = [library(part) for part in (given.target, given.draft, coins)]
        node, token = walk.draw_trees(there, *rows)
        assert type(node) is type(token) is type(rows[0])
        assert list(zip(np.asarray(node).tolist(), np.asarray(token).tolist(), strict=True)) == expected
        kept = walk.expected_trees(there, *rows)
        depths = drafted.depths[np.arange(40), [node for node, _ in expected]]
        assert np.asarray(kept).tolist() == depths.tolist()
        assert np.asarray(kept).dtype == np.float64


@pytest.mark.parametrize("library", LIBRARIES)
def test_paths_are_walked_as_each_alone(library, rng):
    target, draft, tokens, _ = paths_of(60, 3, 2, 3, 4)
    rule = Telling(3)
    walk = TokenWalk(rule)
    coins = rng.random((60, walk.num_uniforms(2)))
    assert coins.shape[1] == 5
    expected = []
    for row in range(60):
        alive, kept = [0, 1, 2], 0
        while True:
            where = target[row, alive[0], kept]
            if kept == 2:
                token = int(draw(where, coins[row, -1]))
                break
            lists = np.append(tokens[row, alive, kept], [-1] * (3 - len(alive)))
            token = int(rule._draw(where[None], draft[row, alive[0], kept][None], lists[None],
                                   coins[row, None, 2 * kept : 2 * kept + 2])[0])
            if token not in lists:
                break
            alive, kept = [path for path in alive if tokens[row, path, kept] == token], kept + 1
        expected.append((kept, token, alive[0]))
    there = [library(part) for part in (target, draft, tokens, coins)]
    verdict = [np.asarray(part).tolist() for part in walk.draw_paths(*there)]
    assert list(zip(*verdict, strict=True)) == expected
    kept = np.asarray(walk.expected_paths(*there))
    assert (kept.tolist(), kept.dtype) == (verdict[0], np.float64)


def test_the_law_of_a_walk_is_the_mean_over_the_orders_of_its_copies():
    rule, rng = Telling(3), np.random.default_rng(0)
    tree = DraftTree.from_paths([[1, 0], [2, 2], [1, 0]])
    rows, drafts = rng.dirichlet(np.ones(3), (2, len(tree)))
    walk = TokenWalk(rule)
    walk.conditional(tree, drafts, rows)  # what is remembered is of these laws alone
    law = walk.conditional(tree, rows, drafts)
    first = rule._conditional(rows[[0, 0]], drafts[[0, 0]], np.array([[1, 2, 1], [1, 1, 2]])).mean(axis=0)
    nodes = {tuple(tree.tokens[list(chain[1:])]): chain for chain in tree.chains}
    joint = np.zeros((len(tree), 3))
    joint[0, 0] = first[0]
    for path, drawn in (((1, 0), [0, 0, -1]), ((2, 2), [2, -1, -1])):
        _, node, leaf = nodes[path]
        second = rule._conditional(rows[node], drafts[node], np.array(drawn))
        joint[leaf] = first[path[0]] * second[path[1]] * rows[leaf]
        second[path[1]] = 0.0
        joint[node] = first[path[0]] * second
    assert law.stop[:, None] * law.following == pytest.approx(joint, abs=1e-15)


def test_what_is_never_reached_has_no_mass():
    class Target(TokenVerifier):
        def _conditional(self, target, draft, tokens):
            return target

    tree, half = DraftTree([-1, 0, 1], [-1, 1, 0]), np.full((3, 2), 0.5)
    law = TokenWalk(Target(1)).conditional(tree, np.array([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]]), half)
    assert law.stop.tolist() == [1.0, 0.0, 0.0]
    assert law.following[0].tolist() == [1.0, 0.0]
    assert TokenWalk(Target(1)).conditional(tree, half, half).stop.tolist() == [0.5, 0.25, 0.25]


def test_a_rule_is_not_asked_where_nothing_was_drafted():
    rows, none = np.full((2, 3, 2), [0.25, 0.75]), np.full((2, 2), -1)
    for drafted in (DraftedTrees(none, none, "branches"), DraftedTrees(none[:, :0], none[:, :0], "branches")):
        walk = TokenWalk(Telling(2))
        coins = np.full((2, walk.num_tree_uniforms(drafted.num_nodes)), 0.5)
        verdict = walk.draw_trees(drafted, rows[:, : drafted.num_nodes + 1], rows[:, : drafted.num_nodes + 1], coins)
        assert [part.tolist() for part in verdict] == [[0, 0], [1, 1]]


def test_a_walk_is_made_of_a_token_rule():
    with pytest.raises(SchemeMismatch, match="rule: 3 is no token rule"):
        TokenWalk(3)
    assert level_width(Telling(4)) == 6
    assert level_width(Telling(WithoutReplacement(4))) == 2
    assert TokenWalk(Telling(WithReplacement(2))).num_uniforms(5) == 11


def test_tensors_on_the_cpu_are_handed_over_as_views():
    tokens, parents = torch.tensor([[5, 7]]), torch.tensor([[0, 1]])
    rows, other = torch.full((1, 3, 2), 0.5), torch.full((1, 3, 2), 0.25)
    for copies in (None, torch.tensor([[2, 1]])):
        drafted = DraftedTrees(tokens, parents, "branches", True, copies)
        there, mine, theirs = in_place(drafted, rows, other)
        assert (there.scheme, there.adaptive_widths) == ("branches", True)
        pairs = [(there.tokens, tokens), (there.parents, parents), (mine, rows), (theirs, other)]
        assert (there.multiplicity is None) == (copies is None)
        for here, given in [*pairs, *([(there.multiplicity, copies)] if copies is not None else [])]:
            assert isinstance(here, np.ndarray)
            assert np.shares_memory(here, given.numpy())


@pytest.mark.parametrize("library", [np.asarray, strict.asarray, lambda given: torch.empty(given.shape, device="meta")])
def test_other_arrays_are_handed_over_as_they_are(library):
    drafted, rows = object(), library(np.zeros((1, 3, 2)))
    assert all(one is given for one, given in zip(in_place(drafted, rows, rows), (drafted, rows, rows), strict=True))


@pytest.mark.parametrize("paths", [1, 4])
def test_survivors_agree_with_what_was_emitted(paths, rng, convert):
    tokens = rng.integers(0, 2, (30, paths, 5))
    emitted = rng.integers(0, 2, (30, 5))
    walk = Survivors(convert(tokens))
    for depth in range(6):
        for row in range(30):
            kept = [max(length for length in range(depth + 1) if (path[:length] == emitted[row, :length]).all())
                    for path in tokens[row]]
            living = [path for path in range(paths) if kept[path] == max(kept)]
            assert int(walk.accepted[row]) == max(kept)
            assert bool(walk.reached[row]) == (max(kept) == depth)
            assert np.flatnonzero(np.asarray(walk.alive[row, ...])).tolist() == living
            assert int(walk.first[row]) == living[0]
            if depth < 5:
                drafts = np.asarray(walk.drafts(depth)[row, ...])
                assert drafts.tolist() == [*tokens[row, living, depth], *[-1] * (paths - len(living))]
        if depth < 5:
            walk.step(depth, convert(emitted[:, depth]))


def test_many_living_drafts_move_to_the_front_in_order(rng, convert):
    tokens = np.tile(np.arange(200), (5, 1))
    alive = rng.random((5, 200)) < 0.5
    moved = np.asarray(compact(convert(tokens), convert(alive)))
    for row, mask in zip(moved, alive, strict=True):
        assert row.tolist() == np.flatnonzero(mask).tolist() + [-1] * int((~mask).sum())
