"""Trees of prompt tokens against every policy of small cases, and the chain that a plan describes."""

import numpy as np
import pytest

from otspec.core.errors import BadArgument
from otspec.core.estimate import Estimate
from otspec.policies.trees import AcceptanceTable, tree_policy
from otspec.policies.trees.prompts import Prompts
from otspec.policies.trees.shapes import numbered
from tests.oracles.prompt_trees import best_gain

CASES = [(1, 3, [[0.6, 0.3]], 2), (1, 4, [[0.5, 0.2]], 2), (2, 3, [[0.7], [0.4]], 1), (2, 4, [[0.9], [0.8]], 1)]


@pytest.mark.parametrize(("guesses", "budget", "rates", "children"), CASES)
def test_no_choice_of_trees_is_better(guesses, budget, rates, children):
    def rate(depth, width, rank):
        return rates[min(depth, len(rates) - 1)][rank]

    plan = Prompts(guesses).plan(rates, budget, max_children=children)
    assert plan.tokens.mean == pytest.approx(best_gain(guesses, budget, rate, children), abs=1e-8)


def test_the_plan_is_a_chain_of_states_whose_mean_it_predicts():
    table = AcceptanceTable([[0.6, 0.2, 0.1], [0.5, 0.2, 0.05], [0.4, 0.1, 0.05]])
    plan = tree_policy("ppd", guesses=3).plan(table, 12)
    trees, stationary = plan.parameters["trees"], plan.parameters["stationary"]
    for state, tree in enumerate(trees):
        parents, depths, _ = numbered(tree.counts)
        assert depths.max() <= state
        assert len(parents) - 1 + sum(tree.prompts) <= 12
        assert len(tree.prompts) == len(parents)
        assert max(tree.prompts) <= 3
    assert sum(stationary) == pytest.approx(1)
    # calls one after the other: walk down the tree, then go on with what was prepared there
    rng, state, tokens = np.random.default_rng(2), 0, []
    for _ in range(20_000):
        tree, node, count = trees[state], 0, 1
        parents, depths, ranks = numbered(tree.counts)
        while node < len(tree.counts) and tree.counts[node]:
            rank = int((rng.random() > np.cumsum(table.at(depths[node], tree.counts[node]))).sum())
            if rank == tree.counts[node]:
                break
            node, = np.flatnonzero((parents == node) & (ranks == rank))
            count += 1
        state = tree.prompts[node]
        tokens.append(count)
    blocks = np.asarray(tokens).reshape(200, 100).mean(axis=1)  # calls depend on the one before, blocks hardly
    assert Estimate.from_samples(blocks).covers(plan.tokens.mean, z=5)
    assert plan.tokens.mean > 1.5


def test_more_guesses_and_more_budget_never_hurt():
    rates = [[0.7, 0.1], [0.5, 0.1], [0.3, 0.1]]
    gains = [[tree_policy("ppd", guesses=guesses).plan(rates, budget).tokens.mean for guesses in (1, 2, 3)]
             for budget in (4, 8, 12)]
    assert (np.diff(gains, axis=0) > -1e-9).all()
    assert (np.diff(gains, axis=1) > -1e-9).all()


def test_what_no_drafter_can_draw_says_so():
    plan = Prompts().plan([0.5], 4)
    assert (plan.drafter, plan.scheme) == (None, "deterministic")
    with pytest.raises(BadArgument, match="guesses: 0"):
        Prompts(0)
