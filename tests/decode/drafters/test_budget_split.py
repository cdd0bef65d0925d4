"""Budget splits against a tree split by hand: widths before the children, shares after them."""

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from otspec.core.errors import BadArgument  # noqa: E402
from otspec.core.schemes import WithoutReplacement  # noqa: E402
from otspec.decode.drafters import budget_split  # noqa: E402
from otspec.decode.drafters.budget_split import BudgetSplit  # noqa: E402
from otspec.policies.trees import Calibration  # noqa: E402
from tests.decode.drafters.tables import Table  # noqa: E402
from tests.decode.drafters.test_calibrated_heap import BINS, chance_bin, entropy_bin, prefixes  # noqa: E402
from tests.decode.drafters.whole_law import all_drafts, law_after  # noqa: E402
from tests.oracles.trees import best_of_all  # noqa: E402
from tests.verifiers.tree_draws import Toy  # noqa: E402

RATES = ((0.45, 0.3, 0.1), (0.6, 0.15, 0.05))
WIDE = Calibration(BINS.entropy_edges, np.stack([np.tril(np.ones((3, 3)))[width][:, None] * np.asarray(BINS.by_entropy)
                                                 / (1 + 0.2 * width) for width in range(3)]),
                   BINS.chance_edges, np.stack([np.tril(np.ones((3, 3)))[width][:, None] * np.asarray(BINS.by_chance)
                                                / (1 + 0.2 * width) for width in range(3)]))


class ByHand:
    """Values and choices by enumeration of widths and shares."""

    def __init__(self, toy, calibration, budget, depth, children):
        self.toy, self.calibration, self.most, self.depth = toy, calibration, children, depth
        # an accepted node at each depth whose law is not known: the best fixed tree below it
        self.unknown = [[1.0] + [best_of_all(lambda deep, width, rank, at=at: RATES[min(at + deep, 1)][rank], size,
                                             depth - at, children) if at < depth else 1.0
                                 for size in range(1, budget + 1)] for at in range(depth + 1)]

    def rate(self, rates, width, rank, kind):
        return rates[width - 1][rank][kind] if self.calibration.by_width else rates[rank][kind]

    def node(self, depth, kind, budget):
        """Value of a node whose law has an entropy bin, and its width; the smallest of equal ones."""
        best, chosen = 1.0, 0
        for width in range(1, min(self.most, budget) + 1 if depth < self.depth else 1):
            for shares in splits(budget - width, width):
                value = 1.0 + sum(self.rate(self.calibration.by_entropy, width, rank, kind)
                                  * self.unknown[depth + 1][share] for rank, share in enumerate(shares))
                if value > best + 1e-12:
                    best, chosen = value, width
        return best, chosen

    def shares(self, prefix, children, width, budget):
        """Best shares of the children that there are; a place whose support ran out is lost."""
        law = law_after(self.toy, prefix)
        kinds = [(chance_bin(law[token]), entropy_bin(law_after(self.toy, (*prefix, token)))) for token in children]

        def worth(shares):
            return sum(self.rate(self.calibration.by_chance, width, rank, chance)
                       * self.node(len(prefix) + 1, kind, share)[0]
                       for rank, ((chance, kind), share) in enumerate(zip(kinds, shares, strict=True)))

        return max(splits(budget - width, len(children)), key=worth)

    def trees(self, budget):
        """Law of the prefixes of a tree, depth by depth, over all draws."""
        def grow(queue, ways, chance):
            if not queue:
                yield tuple(ways), chance
                return
            (prefix, budget), *rest = queue
            law = law_after(self.toy, prefix)
            width = self.node(len(prefix), entropy_bin(law), budget)[1] if budget else 0
            if not width:
                yield from grow(rest, ways, chance)
                return
            lists, shares_of = WithoutReplacement(width).lists(law)
            for drawn, share in zip(lists.tolist(), shares_of.tolist(), strict=True):
                drawn = [token for token in drawn if token >= 0]
                split = self.shares(prefix, drawn, width, budget)
                below = [((*prefix, token), part) for token, part in zip(drawn, split, strict=True)]
                yield from grow([*rest, *below], [*ways, *(way for way, _ in below)], chance * share)

        return dict(grow([((), budget)], [()], 1.0))


def splits(total, parts):
    """Ways to hand at most ``total`` to so many children."""
    return [shares for shares in itertools.product(range(total + 1), repeat=parts) if sum(shares) <= total]


@pytest.mark.parametrize("calibration", [BINS, WIDE], ids=["ranks", "widths"])
@pytest.mark.parametrize(("family", "seed", "budget", "depth"), [
    ("dirichlet", 1, 5, 3), ("peaked", 1, 5, 2), ("dirichlet", 1, 4, 2), ("zeros", 4, 5, 3)])
def test_trees_have_the_law_of_a_tree_split_by_hand(calibration, family, seed, budget, depth):
    toy = Toy(family, 3, depth, seed)
    drafter = BudgetSplit(budget, RATES, calibration, max_depth=depth)
    trees = list(all_drafts(drafter, toy, budget_split))
    found = {prefixes(tree): chance for chance, tree in trees}
    by_hand = ByHand(toy, calibration, budget, depth, 3)
    exact = by_hand.trees(budget)
    assert len({tuple(tree.parents) for _, tree in trees}) > 1  # shapes depend on what was drawn
    assert set(found) == set(exact)
    for ways, chance in exact.items():
        assert found[ways] == pytest.approx(chance, abs=1e-12)


def test_where_the_support_runs_out_budgets_are_not_handed_to_nobody():
    table = np.eye(5)[[3, 3, 3, 4, 3]]
    both = Calibration((), [[0.5], [0.4]], (), [[0.5], [0.4]])
    draft = BudgetSplit(4, (0.5, 0.4), both).propose(Table(table, 1), torch.full((1, 4), 0.5, dtype=torch.float64))
    tokens, parents = draft.tokens[0].tolist(), draft.parents[0].tolist()
    assert tokens[0] == 3
    assert all(tokens[above - 1] >= 0 for token, above in zip(tokens, parents, strict=True) if token >= 0 and above)


def test_bad_arguments_and_sizes():
    drafter = BudgetSplit(8, RATES, BINS, max_depth=3)
    assert (drafter.num_nodes, drafter.depth, drafter.most_draws, drafter.branches) == (8, 3, 3, True)
    assert (BudgetSplit.tree, BudgetSplit.adaptive_widths) == ("without_replacement", False)
    for settings in ({"nodes": 0}, {"nodes": 4, "max_children": 4}, {"nodes": 4, "max_depth": 0},
                     {"nodes": 4, "rates": (0.9, 0.9)}):
        with pytest.raises(BadArgument, match="Fix"):
            BudgetSplit(**({"rates": RATES, "calibration": BINS} | settings))


def test_no_draft_waits_for_a_device():
    table = torch.empty(5, 5, dtype=torch.float64, device="meta")
    draft = BudgetSplit(4, RATES, BINS).propose(Table(table, 3), table.new_empty(3, 4))
    assert draft.tokens.shape == (3, 4)
