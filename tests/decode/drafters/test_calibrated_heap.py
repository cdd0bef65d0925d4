"""Heaps on measured rates against a tree grown by hand, over all that chance may do."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from otspec.core.errors import BadArgument  # noqa: E402
from otspec.core.tree import DraftTree  # noqa: E402
from otspec.decode.drafters import best_first, drafter  # noqa: E402
from otspec.decode.drafters.calibrated_heap import CalibratedHeap  # noqa: E402
from otspec.policies.trees import Calibration  # noqa: E402
from tests.decode.drafters.tables import Table  # noqa: E402
from tests.decode.drafters.whole_law import all_drafts, law_after  # noqa: E402
from tests.verifiers.tree_draws import Toy  # noqa: E402

BINS = Calibration((0.5, 0.9), [[0.4, 0.6, 0.5], [0.1, 0.2, 0.45], [0.02, 0.1, 0.2]], (0.3, 0.6),
                   [[0.2, 0.5, 0.9], [0.1, 0.3, 0.8], [0.05, 0.1, 0.5]])


def entropy_bin(law):
    law = law[law > 0]
    return sum(edge <= -(law * np.log(law)).sum() for edge in BINS.entropy_edges)


def chance_bin(mass):
    return sum(edge <= mass for edge in BINS.chance_edges)


def grown(toy, nodes, depth, children):
    """Law of ``(prefixes in drawing order)``, by the definition: the place of largest measured value comes next."""
    def grow(chance, tree):
        def value(prefix):
            law, drawn = law_after(toy, prefix), tree[prefix][1]
            if len(prefix) == depth or len(drawn) == children or len(drawn) == np.count_nonzero(law):
                return 0.0
            return tree[prefix][0] * BINS.by_entropy[len(drawn)][entropy_bin(law)]

        best = max(tree, key=value)
        if len(tree) - 1 == nodes or value(best) <= 0:
            yield chance, tuple(tree)
            return
        worth, drawn = tree[best]
        law = law_after(toy, best)
        left = [token for token in range(toy.size) if law[token] > 0 and token not in drawn]
        for token in left:
            child = worth * BINS.by_chance[len(drawn)][chance_bin(law[token])]
            later = {**tree, best: (worth, (*drawn, token)), (*best, token): (child, ())}
            yield from grow(chance * law[token] / sum(law[other] for other in left), later)

    return {prefixes: chance for chance, prefixes in grow(1.0, {(): (1.0, ())})}


def prefixes(tree: DraftTree):
    ways = [()]
    for above, token in zip(tree.parents[1:].tolist(), tree.tokens[1:].tolist(), strict=True):
        ways.append((*ways[above], token))
    return tuple(ways)


@pytest.mark.parametrize(("family", "nodes", "depth", "children"), [
    ("dirichlet", 5, 3, 3), ("zeros", 5, 3, 3), ("peaked", 4, 2, 2), ("dirichlet", 4, 3, 1)])
def test_trees_have_the_law_of_a_tree_grown_by_hand(family, nodes, depth, children):
    toy = Toy(family, 3, depth, 5)
    heap = CalibratedHeap(nodes, BINS, max_depth=depth, max_children=children)
    found = {prefixes(tree): chance for chance, tree in all_drafts(heap, toy, best_first)}
    exact = grown(toy, nodes, depth, children)
    assert set(found) == set(exact)
    assert len(exact) > 1
    for tree, chance in exact.items():
        assert found[tree] == pytest.approx(chance, abs=1e-12)


def test_shapes_follow_the_rates_and_not_the_draft():
    # an uncertain draft model whose first child is kept all the same: a chain, where a plain heap goes wide
    table = np.full((5, 5), 0.2)
    sure = Calibration((), [[0.7], [0.1]], (), [[0.7], [0.1]])
    uniforms = torch.full((1, 4), 0.5, dtype=torch.float64)
    assert CalibratedHeap(4, sure).propose(Table(table, 1), uniforms).parents.tolist() == [[0, 1, 2, 3]]
    assert drafter("heap", nodes=4).propose(Table(table, 1), uniforms).parents.tolist() == [[0, 0, 0, 0]]


def test_bad_arguments_and_sizes():
    heap = CalibratedHeap(8, BINS, max_depth=3)
    assert (heap.num_nodes, heap.depth, heap.most_draws, heap.branches, heap.adaptive_widths) == (8, 3, 3, True, True)
    assert drafter("calibrated_heap", nodes=8, max_depth=3, calibration={
        name: getattr(BINS, name) for name in BINS.__dataclass_fields__}) == heap
    wide = Calibration((), [[[0.5]]], (), [[[0.5]]])
    for settings in ({"nodes": 0, "calibration": BINS}, {"nodes": 2, "calibration": BINS, "max_depth": 0},
                     {"nodes": 2, "calibration": {"by_chance": [[1.0]]}}, {"nodes": 2, "calibration": 3},
                     {"nodes": 2, "calibration": wide}):
        with pytest.raises(BadArgument, match="Fix"):
            CalibratedHeap(**settings)


def test_no_draft_waits_for_a_device():
    table = torch.empty(5, 5, dtype=torch.float64, device="meta")
    draft = CalibratedHeap(4, BINS).propose(Table(table, 3), table.new_empty(3, 4))
    assert draft.tokens.shape == (3, 4)
