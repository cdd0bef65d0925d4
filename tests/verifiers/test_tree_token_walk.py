"""Token rules walked down trees: the same as on surviving paths, planted bugs, orders of the drafts."""

import numpy as np
import pytest

from otspec.analysis.blocks import block_efficiency, text_law
from otspec.analysis.instances import random_models
from otspec.core.errors import SchemeMismatch
from otspec.core.schemes import Greedy
from otspec.core.walk import TokenWalk, _orders
from otspec.verifiers import verifier
from tests.verifiers.tree_draws import path_trees, toys

EXACT = 1e-12  # sums of a few thousand products of a dozen factors


@pytest.mark.parametrize(("walk", "rule"), [("spectr_paths", "k_seq"), ("recursive_walk", "recursive"),
                                            ("optimal_walk", "optimal")])
@pytest.mark.parametrize(("size", "length", "paths"), [(3, 2, 2), (2, 2, 2), (3, 1, 3)])
def test_a_walk_is_the_token_rule_on_surviving_paths(walk, rule, size, length, paths):
    pair = random_models("dirichlet", size, np.random.default_rng(6))
    mine = block_efficiency(walk, *pair, length, num_paths=paths).mean
    assert mine == pytest.approx(block_efficiency(rule, *pair, length, num_paths=paths).mean, abs=EXACT)
    emitted = text_law(walk, *pair, length + 1, draft_length=length, num_paths=paths)
    assert np.abs(emitted - pair[0].text_law(length + 1)).max() < EXACT


def test_any_token_rule_may_walk():
    toy = toys(3, 2, 1, ["dirichlet"])[0]
    for name in ("nss", "naive"):
        assert toy.bias(TokenWalk(verifier(name, 2)), path_trees(toy, 2)) < EXACT
    with pytest.raises(SchemeMismatch, match="proved for"):
        TokenWalk(verifier("greedy", Greedy(2)))
    with pytest.raises(SchemeMismatch, match="no token rule"):
        TokenWalk("k_seq")


class Deduplicated(TokenWalk):
    """Copies are dropped before the rule sees them."""

    def _joint(self, tree, target, draft):
        copies = tree.multiplicity
        tree.multiplicity = np.ones_like(copies)
        try:
            return super()._joint(tree, target, draft)
        finally:
            tree.multiplicity = copies


@pytest.mark.parametrize("name", ["k_seq", "recursive", "optimal"])
def test_dropped_copies_are_found(name):
    toy = toys(5, 1, 1, ["dirichlet"])[0]
    trees = list(path_trees(toy, 2))
    assert toy.bias(TokenWalk(verifier(name, 2)), trees) < EXACT
    assert toy.bias(Deduplicated(verifier(name, 2)), trees) > 1e-4


def test_orders_of_the_drafts():
    assert sorted(_orders((7, 8), (2, 1))) == [[7, 7, 8], [7, 8, 7]]
    assert list(_orders((7, 8), (1, 2))) == [[7, 8, 8]]
    assert list(_orders((7, 8, 9), (1, 1, 1))) == [[7, 8, 9]]
    assert len(list(_orders((7, 8), (3, 2)))) == 6  # after the first 7, any place but the order of 8s: 4 choose 2
