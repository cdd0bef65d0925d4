"""Winner and block: optimum at one position, planted bugs, laws, order of the rules on average."""

import array_api_strict
import numpy as np
import pytest

from otspec.analysis.blocks import block_efficiency
from otspec.analysis.instances import FAMILIES, random_models, random_pair
from otspec.core.errors import BadArgument
from otspec.core.markov import MarkovModel
from otspec.core.schemes import WithoutReplacement, WithReplacement
from otspec.core.tree import DraftTree
from otspec.transport.bounds import optimal_acceptance
from otspec.verifiers import verifier
from otspec.verifiers.block.chosen_path import Choice
from otspec.verifiers.block.winner_block import WinnerBlock
from otspec.verifiers.tree.winners import game, top_cells
from tests.conftest import random_law
from tests.oracles import block_rules
from tests.verifiers.tree_draws import fixed, path_trees, shaped_trees, toys

EXACT = 1e-12  # sums of a few thousand products of a dozen factors


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("law", ["universal", "minimal"])
def test_one_position_is_the_optimum(family, law):
    target, draft = random_pair(family, 5, np.random.default_rng(1))
    models = MarkovModel.memoryless(target), MarkovModel.memoryless(draft)
    for paths in (1, 2, 3):
        found = block_efficiency(WinnerBlock(paths, law=law), *models, 1, num_paths=paths).mean
        assert found == pytest.approx(1 + float(optimal_acceptance(target, draft, paths)), abs=EXACT)


@pytest.mark.parametrize("family", ["dirichlet", "zeros", "ties"])
def test_one_position_without_replacement_is_the_optimum(family):
    for toy in toys(4, 1, 3, [family]):
        scheme = WithoutReplacement(2)
        mean = sum(chance * WinnerBlock(scheme).expected_accepted(tree, *toy.rows(tree)) for chance, tree in
                   shaped_trees(toy, fixed(WithoutReplacement, 2), "without_replacement"))
        assert mean == pytest.approx(float(optimal_acceptance(toy.target[0][0], toy.draft[0][0], scheme)), abs=EXACT)


@pytest.mark.parametrize("law", ["universal", "minimal"])
def test_every_law_is_lossless(law):
    for toy in toys(5, 2, 3, ["dirichlet", "peaked", "zeros"]):
        assert toy.bias(WinnerBlock(2, law=law), path_trees(toy, 2, ordered=False)) < EXACT
    with pytest.raises(BadArgument, match="none of universal"):
        WinnerBlock(2, law="average")


def test_the_paper_toy_at_one_path():
    pair = MarkovModel.memoryless([1 / 3, 2 / 3]), MarkovModel.memoryless([2 / 3, 1 / 3])
    for name in ("winner_block", "traversal", "vertex_block", "lookahead_block", "hierarchical"):
        assert block_efficiency(name, *pair, 2).mean == pytest.approx(20 / 9, abs=EXACT)
        assert block_efficiency(name, *pair, 4).mean == pytest.approx(1 + 2.049383, abs=1e-6)  # printed digits


def capped_ratio(table, xs):
    """Ratio from the earlier prefix of largest ratio above one on, capped there."""
    ratios = [1.0]
    for (p, q), x in zip(table, xs, strict=False):
        ratios.append(ratios[-1] * p[x] / q[x])
    out = [1.0]
    for t in range(1, len(xs) + 1):
        peak = max(range(t), key=lambda m: ratios[m])
        out.append(min(ratios[peak], 1) * ratios[t] / ratios[peak] if ratios[peak] > 1 else ratios[t])
    return out


@pytest.mark.parametrize("seed", range(10))
def test_the_hierarchical_weight_is_that_of_block_verification(seed):
    rng = np.random.default_rng(seed)
    xs = rng.integers(5, size=6).tolist()
    table = [(rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(5))) for _ in range(7)]
    capped = [min(1.0, value) for value in capped_ratio(table, xs)]
    assert np.allclose(capped, block_rules.weights(table, xs), rtol=1e-12)  # rounding of six quotients
    rows = [np.stack(laws) for laws in zip(*table, strict=True)]
    mine = verifier("hierarchical").conditional(rows[0], rows[1][:6], np.asarray(xs))
    for (weight, p, q), chance in zip(((w, *table[i]) for i, w in enumerate(capped)), mine.following, strict=False):
        over, under = np.maximum(weight * p - q, 0).sum(), np.maximum(q - weight * p, 0).sum()
        assert under == pytest.approx(over + 1 - weight, abs=EXACT)  # their denominator is S + 1 - w
        assert chance.sum() == pytest.approx(1)


class DraftLawOfOneDraft(WinnerBlock):
    """Block verification against the draft row, as if the winner had been drawn from it."""

    def _choices(self, tree, target, draft):
        for choice in super()._choices(tree, target, draft):
            yield Choice(choice.chance, choice.nodes, tuple(draft[list(choice.nodes[:-1])]))


class AllPathsEverywhere(WinnerBlock):
    """The law of K drafts at every level, however many copies have survived."""

    def _choices(self, tree, target, draft):
        for choice in super()._choices(tree, target, draft):
            laws = tuple(game(target[node], draft[node], self.scheme.num_drafts).law for node in choice.nodes[:-1])
            yield Choice(choice.chance, choice.nodes, laws)


class DistinctTokensOnly(WinnerBlock):
    """Copies are dropped before the winner is sought."""

    def _choices(self, tree, target, draft):
        merged = DraftTree(tree.parents, tree.tokens, np.ones_like(tree.parents), scheme="branches")
        return super()._choices(merged, target, draft)


@pytest.mark.parametrize("mutant", [DraftLawOfOneDraft, AllPathsEverywhere, DistinctTokensOnly])
def test_planted_bugs_are_found(mutant):
    toy = toys(5, 2, 1, ["dirichlet"])[0]
    trees = list(path_trees(toy, 2, ordered=False))
    assert toy.bias(WinnerBlock(2), trees) < EXACT
    assert toy.bias(mutant(2), trees) > 1e-3


def test_the_order_of_the_rules_on_average():
    """Not a theorem: winner and block has lost to the vertex law on single models."""
    rng, gains = np.random.default_rng(0), []
    for _ in range(12):
        pair = random_models("dirichlet", 3, rng)
        walk, traversal, winner = (block_efficiency(name, *pair, 2, num_paths=2).mean
                                   for name in ("optimal_walk", "traversal", "winner_block"))
        gains.append((winner - walk, winner - traversal))
    assert np.mean(gains, axis=0).min() > 0
    assert np.min(gains) > -EXACT


def test_a_tree_may_be_shallow_in_places():
    """A leaf next to a deep sibling: the choice may end early."""
    tree = DraftTree([-1, 0, 0, 1], [-1, 0, 1, 1], scheme="without_replacement")
    target = np.array([[0.2, 0.5, 0.3], [0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [0.3, 0.3, 0.4]])
    law = WinnerBlock(WithoutReplacement(2)).conditional(tree, target, np.full((4, 3), 1 / 3))
    assert law.stop.sum() == pytest.approx(1)
    assert np.all(law.stop[[2, 3]] > 0)


@pytest.mark.parametrize("law", ["universal", "minimal", "vertex"])
def test_top_cells_of_whole_arrays_are_the_compiled_ones(law, rng):
    target, draft = (np.stack([random_law(rng, 30) for _ in range(60)]) for _ in range(2))
    tokens = WithReplacement(4).sample(draft, rng.random((60, 4)))
    tokens[::3, 2:] = -1
    arrays = target, draft, tokens, rng.random(60)
    inside, laws = top_cells(*arrays, kind=law)
    same, found = top_cells(*map(array_api_strict.asarray, arrays), kind=law)
    np.testing.assert_array_equal(np.asarray(same), inside)
    np.testing.assert_allclose(np.asarray(found), laws, atol=1e-14)  # roundings of sums up to 1
