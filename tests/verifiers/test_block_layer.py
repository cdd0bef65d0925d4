"""Layer verification with the exact winner law: worth at least the winner's path alone, and mutants that are biased."""

import numpy as np
import pytest

from otspec.analysis.block_optimum import block_optimum
from otspec.analysis.blocks import block_efficiency
from otspec.analysis.instances import random_models
from otspec.core.errors import BadArgument
from otspec.core.schemes import WithoutReplacement
from otspec.verifiers.block.layer_block import LayerBlock, _State
from tests.verifiers.tree_draws import fixed, path_trees, shaped_trees, toys

EXACT = 1e-12
BIASED = 5e-4


class Unweighted(LayerBlock):
    """Keeps a winner with min(1, p / L), whatever weight the layer has left."""

    def _layer(self, tree, target, draft, states):
        total = sum(state.weight for state in states)
        _, left = super()._layer(tree, target, draft, states)
        whole, _ = super()._layer(tree, target, draft, [_State(s.node, s.weight / max(total, 1e-300)) for s in states])
        return [_State(state.node, total * state.weight) for state in whole], left


class WholeResidual(LayerBlock):
    """Leaves the residual of weight one undone, whatever was kept so far."""

    def _layer(self, tree, target, draft, states):
        total = sum(state.weight for state in states)
        below, left = super()._layer(tree, target, draft, states)
        _, whole = super()._layer(tree, target, draft, [_State(s.node, s.weight / total) for s in states])
        return below, [(node, total * law) for node, law in whole] if total > 0 else left


@pytest.mark.parametrize("mutant", [Unweighted, WholeResidual])
def test_mutants_are_biased(mutant):
    (toy,) = toys(3, 3, 1, ["dirichlet"])
    trees = list(path_trees(toy, 2, False))
    assert toy.bias(LayerBlock(2), trees) < EXACT
    assert toy.bias(mutant(2), trees) > BIASED


def trees_of(toy, kind):
    if kind == "paths":
        return 2, list(path_trees(toy, 2, False))
    return WithoutReplacement(2), list(shaped_trees(toy, fixed(WithoutReplacement, 2, 2), kind))


@pytest.mark.parametrize("kind", ["paths", "without_replacement"])
@pytest.mark.parametrize("law", ["universal", "minimal", "vertex"])
def test_every_law_is_lossless_and_keeps_the_weights_of_its_layers(kind, law):
    """On average over the trees a layer or a later one is kept as often as the layer weighs."""
    for toy in toys(3, 2, 5 if law == "universal" else 2):
        scheme, trees = trees_of(toy, kind)
        rule, kept, weighed = LayerBlock(scheme, law=law), 0.0, 0.0
        assert toy.bias(rule, trees) < EXACT
        for chance, tree in trees:
            target, draft = toy.rows(tree)
            verdict, states = rule.conditional(tree, target, draft), [_State(0, 1.0)]
            assert verdict.stop.sum() == pytest.approx(1, abs=EXACT)
            assert np.allclose(verdict.following.sum(axis=-1), 1, atol=EXACT)
            kept += chance * float(verdict.stop @ tree.depths)
            while states:
                states, _ = rule._layer(tree, target, draft, states)
                weighed += chance * sum(state.weight for state in states)
        assert kept == pytest.approx(weighed, abs=EXACT)


def test_a_law_that_is_not_known_is_refused():
    with pytest.raises(BadArgument, match="law: 'best' is none of universal, minimal, vertex"):
        LayerBlock(2, law="best")


def test_weights_in_the_mean_are_worth_at_least_the_mean():
    gains = []
    for size, length, paths in ((3, 2, 2), (3, 3, 2), (2, 3, 3)):
        for seed in range(4):
            pair = random_models("dirichlet", size, np.random.default_rng(seed))
            layer, winner = (block_efficiency(name, *pair, length, num_paths=paths).mean
                             for name in ("layer_block", "winner_block"))
            assert layer <= block_optimum(*pair, length, num_paths=paths).upper + EXACT
            gains.append(layer - winner)
    assert min(gains) > -EXACT
    assert max(gains) > 1e-4
