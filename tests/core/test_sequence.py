"""One base for sequence rules: a chain is a tree, fast forms follow the definition, a state is declared."""

import array_api_strict as strict
import numpy as np
import pytest
import torch

from otspec.core.block import BlockVerifier
from otspec.core.errors import BadArgument, SchemeMismatch, ShapeMismatch
from otspec.core.estimate import Estimate
from otspec.core.pathwise import path_tree
from otspec.core.schemes import WithoutReplacement
from otspec.core.sequence import SequenceVerifier
from otspec.core.tree import DraftTree
from otspec.core.tree_verifier import TreeVerifier
from otspec.core.walk import TokenWalk
from otspec.verifiers import list_verifiers, verifier
from otspec.verifiers.block.block import Block
from otspec.verifiers.block.greedy_block import Layer
from otspec.verifiers.tree.traversal import Traversal
from tests.contracts.test_block_verifiers import blocks
from tests.contracts.test_tree_verifiers import batch

CHAINS = list(list_verifiers(1, kind="block"))
PATHS = list(list_verifiers(2, kind="tree"))
EXACT = 1e-12  # products of a dozen factors


class OnlyTheDefinition(TreeVerifier):
    """Traversal without its fast forms."""

    def _joint(self, tree, target, draft):
        return Traversal(self.scheme)._joint(tree, target, draft)


class OnlyTheLaw(BlockVerifier):
    """Block verification without its fast forms."""

    def _conditional(self, target_rows, draft_rows, tokens):
        return Block()._conditional(target_rows, draft_rows, tokens)


def as_tree(target, draft, tokens):
    """A chain and its rows as a tree; after the last token nothing was drafted."""
    return DraftTree.from_paths(tokens[None]), target, np.concatenate([draft, target[-1:]])


def test_a_chain_is_a_tree_of_every_scheme():
    """Its one child at a node is drawn the same way whatever the scheme is called."""
    rows = np.full((3, 2), 0.5)
    for bound, called in ((WithoutReplacement(1), "branches"), (2, "without_replacement")):
        chain = DraftTree([-1, 0, 1], [-1, 0, 1], scheme=called)
        assert verifier("traversal", bound).conditional(chain, rows, rows).stop.sum() == pytest.approx(1)
    wide = DraftTree([-1, 0, 0], [-1, 0, 1], scheme="without_replacement")
    with pytest.raises(SchemeMismatch, match="bind the rule to the scheme"):
        verifier("traversal", 2).conditional(wide, rows, rows)


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("family", ["dirichlet", "zeros", "close"])
def test_a_chain_is_the_tree_of_one_path(name, family):
    rule = verifier(name)
    states = [None] if not rule.stateful else [None, (Layer(0.7, 2),), (Layer(1.6, 3), Layer(0.4, 1))]
    for target, draft, tokens in zip(*blocks(6, 4, 5, 3, family)[:3], strict=True):
        for state in states:
            rows, tree = rule.conditional(target, draft, tokens, state), as_tree(target, draft, tokens)
            law = rule.conditional(*tree, state)
            assert np.allclose(law.stop, rows.stop, atol=EXACT)
            assert np.allclose(law.stop[:, None] * law.following, rows.stop[:, None] * rows.following, atol=EXACT)
            given = rule.expected_accepted(*tree, state)
            assert given == pytest.approx(float(rows.stop @ np.arange(5)), abs=EXACT)


def test_a_tree_of_one_path_is_drawn_from_its_law():
    target, draft, tokens = (part[0] for part in blocks(1, 3, 5, 2)[:3])
    rule, tree = verifier("block"), as_tree(target, draft, tokens)
    law = rule.conditional(*tree)
    verdict = rule.draw(*tree, [1 - 1e-9, 0.0])
    assert verdict.node == np.flatnonzero(law.stop)[-1]
    assert verdict.token == np.flatnonzero(law.following[verdict.node])[0]


@pytest.mark.parametrize("name", PATHS)
def test_estimates_on_paths_have_the_mean_of_the_definition(name):
    target, draft, tokens, rng = batch(400, 2, 2, 4, 5)
    rule = verifier(name, 2)
    fast = rule.expected_paths(target, draft, tokens, rng.random((400, rule.num_uniforms(2))))
    slow = SequenceVerifier._expected_paths(rule, target, draft, tokens, None)
    assert Estimate.from_samples(np.asarray(fast) - slow).covers(0.0, z=5)


def test_a_wrong_estimate_is_found():
    target, draft, tokens, rng = batch(1600, 2, 2, 4, 5)
    fast = Traversal(2).expected_paths(target, draft, tokens, rng.random((1600, 5)))
    slow = SequenceVerifier._expected_paths(Traversal(2), target, draft, tokens, None)
    assert not Estimate.from_samples(0.9 * np.asarray(fast) - slow).covers(0.0, z=5)


def test_a_tree_rule_may_write_its_definition_only():
    n, slow = 6000, OnlyTheDefinition(2)
    target, draft, tokens, rng = batch(1, 2, 2, 3, 4)
    law = slow.conditional(*path_tree(target[0], draft[0], tokens[0])[::2],
                           path_tree(target[0], draft[0], tokens[0]).draft)
    many = [np.repeat(part, n, axis=0) for part in (target, draft, tokens)]
    assert slow.num_uniforms(2) == 2
    verdict = slow.draw_paths(*many, rng.random((n, 2)))
    nodes = path_tree(target[0], draft[0], tokens[0]).nodes[verdict.path, verdict.accepted]
    for node, mass in enumerate(law.stop):
        for token, chance in enumerate(mass * law.following[node]):
            seen = ((nodes == node) & (verdict.token == token)).mean()
            assert Estimate(seen, np.sqrt(chance * (1 - chance) / n), n).covers(chance, z=5)
    assert slow.expected_paths(target, draft, tokens, rng.random((1, 2))) == pytest.approx(
        slow.expected_accepted(*path_tree(target[0], draft[0], tokens[0])[::2],
                               path_tree(target[0], draft[0], tokens[0]).draft), abs=EXACT)


@pytest.mark.parametrize("convert", [torch.asarray, strict.asarray])
def test_the_definition_takes_any_array_library(convert):
    target, draft, tokens, rng = batch(20, 2, 2, 4, 5)
    given = target, draft, tokens, rng.random((20, 2))
    there = [convert(part) for part in given]
    rule = OnlyTheDefinition(2)
    for mine, theirs in zip(rule.draw_paths(*given), rule.draw_paths(*there), strict=True):
        assert type(theirs) is type(there[0])
        assert np.array_equal(mine, np.asarray(theirs))
    assert np.allclose(rule.expected_paths(*given), np.asarray(rule.expected_paths(*there)), atol=EXACT)


def test_a_block_rule_may_write_its_law_only():
    target, draft, tokens, _ = blocks(2000, 3, 5, 7)
    slow, fast = OnlyTheLaw(), Block()
    assert np.allclose(slow._kept(target, draft, tokens)[..., -1], fast._kept(target, draft, tokens)[..., -1])
    n, rng = 20_000, np.random.default_rng(1)
    many = [np.repeat(part[:1], n, axis=0) for part in (target, draft, tokens)]
    verdict = slow.draw(*many, rng.random((n, 4)))
    law = slow.conditional(target[0], draft[0], tokens[0])
    for node in range(4):
        seen, exact = (verdict.accepted == node).mean(), law.stop[node]
        assert Estimate(seen, np.sqrt(exact * (1 - exact) / n), n).covers(exact, z=5)
    # given all of x^L the law says more than given x^i: only the means agree
    both = [rule.expected_accepted(target, draft, tokens) for rule in (slow, fast)]
    assert Estimate.from_samples(both[0] - both[1]).covers(0.0, z=5)
    assert np.abs(both[0] - both[1]).max() > 0.01


def test_k_paths_of_a_block_rule_are_one():
    target, draft, tokens, uniforms = blocks(30, 3, 5, 7)
    paths = [part[:, None] for part in (target, draft, tokens)]
    rule = Block()
    for mine, theirs in zip(rule.draw(target, draft, tokens, uniforms), rule.draw_paths(*paths, uniforms)[:2],
                            strict=True):
        assert np.array_equal(mine, theirs)
    assert np.allclose(rule.expected_paths(*paths, uniforms), rule._passed(target, draft, tokens).sum(axis=-1))


def test_states_are_declared():
    target, draft, tokens, uniforms = (part[0] for part in blocks(1, 3, 5, 7))
    with pytest.raises(BadArgument, match="carries none"):
        Block().conditional(target, draft, tokens, (Layer(1.0, 1),))
    with pytest.raises(BadArgument, match="carries none"):
        Block().fresh_state()
    with pytest.raises(BadArgument, match="carries none"):
        Block().carried(*as_tree(target, draft, tokens), None, 1, 0)
    with pytest.raises(SchemeMismatch, match="text by text"):
        verifier("greedy_block").draw_paths(*(part[None] for part in (target, draft, tokens)), uniforms)
    rule = verifier("greedy_block")
    verdict, state = rule.draw(*as_tree(target, draft, tokens), [0.3, 0.4])
    (mine,), (theirs,) = state, rule.carried(target, draft, tokens, (), verdict.node, verdict.token)
    assert mine == pytest.approx(theirs, abs=EXACT)
    _, states = rule.draw(*(np.stack([part] * 2) for part in (target, draft, tokens)), np.stack([uniforms] * 2))
    assert states == [rule.draw(target, draft, tokens, uniforms)[1]] * 2


def test_paths_of_no_tokens_are_refused():
    rows = np.full((2, 1, 3), 1 / 3)
    with pytest.raises(ShapeMismatch, match="no tokens"):
        verifier("traversal", 2).draw_paths(rows, rows[:, :0], np.zeros((2, 0), dtype=int), np.zeros(1))


@pytest.mark.parametrize("name", [*CHAINS, *PATHS])
def test_every_sequence_rule_has_one_base(name):
    rule = verifier(name, 1)
    assert isinstance(rule, SequenceVerifier)
    assert isinstance(rule, BlockVerifier) == (list_verifiers()[name].kind == "block")
    assert isinstance(TokenWalk(verifier("k_seq", 2)), SequenceVerifier)


@pytest.mark.parametrize("name", list(list_verifiers(kind="block")))
def test_a_vocabulary_of_one_token_is_kept_whole(name):
    """Nothing can be refused where there is nothing else; in a batch as alone."""
    rule = verifier(name)
    tree, rows = DraftTree([-1, 0, 1], [-1, 0, 0]), np.ones((3, 1))
    assert rule.expected_accepted(tree, rows, rows) == pytest.approx(2)
    block = np.ones((4, 3, 1)), np.ones((4, 2, 1)), np.zeros((4, 2), dtype=int)
    assert np.asarray(rule._passed(*block, *rule._memory(None))).tolist() == [[1.0, 1.0]] * 4
    if not rule.stateful:
        assert rule.draw(*block, np.full((4, rule.num_uniforms(2)), 0.9)).accepted.tolist() == [2] * 4
