"""Delayed trees: their law, exact losslessness with every rule that may verify them, and decoding."""

from collections import Counter

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from otspec.core.errors import BadArgument, SchemeMismatch  # noqa: E402
from otspec.core.tree import DraftTree  # noqa: E402
from otspec.decode.drafters import delayed  # noqa: E402
from otspec.decode.drafters.delayed import Delayed  # noqa: E402
from otspec.decode.method import method  # noqa: E402
from otspec.verifiers import list_verifiers  # noqa: E402
from tests.decode.drafters.tables import Table, check_order, laws  # noqa: E402
from tests.decode.drafters.test_calibrated_heap import prefixes  # noqa: E402
from tests.decode.drafters.whole_law import all_drafts, law_after  # noqa: E402
from tests.verifiers.tree_draws import Toy  # noqa: E402

LAWFUL = {"nss", "naive", "recursive", "k_seq", "global_resolution", "importance", "optimal", "lp", "winner_block",
          "vertex_block", "traversal", "spectr_paths", "recursive_walk", "optimal_walk"}


def rules():
    for name in list_verifiers():
        try:
            yield name, method(name, 1, 1, Delayed(1, 2, 2))[1].rule
        except SchemeMismatch:
            assert name not in LAWFUL


def test_trees_are_those_of_a_trunk_and_independent_branches():
    toy, drafter = Toy("dirichlet", 3, 3, 2), Delayed(trunk=1, count=2, length=2)
    found = Counter()
    for chance, tree in all_drafts(drafter, toy, delayed):
        found[tuple(sorted(zip(prefixes(tree), tree.multiplicity.tolist(), strict=True)))] += chance
    exact = Counter()
    for trunk in range(3):
        ways = [((trunk, a, b), law_after(toy, (trunk,))[a] * law_after(toy, (trunk, a))[b])
                for a in range(3) for b in range(3)]
        for one, first in ways:
            for other, second in ways:
                tree = DraftTree.delayed([trunk], [one[1:], other[1:]])
                key = tuple(sorted(zip(prefixes(tree), tree.multiplicity.tolist(), strict=True)))
                exact[key] += law_after(toy, ())[trunk] * first * second
    assert set(found) == set(exact)
    assert all(found[key] == pytest.approx(exact[key], abs=1e-12) for key in exact)


@pytest.mark.parametrize("family", ["dirichlet", "zeros"])
def test_lawful_rules_are_lossless(family):
    toy = Toy(family, 3, 3, 4)
    trees = list(all_drafts(Delayed(1, 2, 2), toy, delayed))
    checked = set()
    for name, rule in rules():
        if "lossless" in list_verifiers()[name].claims and name not in {"lp", "importance"}:  # slow, rule by rule
            assert toy.bias(rule, trees) < 1e-12, name
            checked.add(name)
    assert {"traversal", "winner_block", "recursive_walk", "optimal_walk", "spectr_paths"} <= checked


def test_copies_that_are_not_counted_would_be_biased():
    toy, (_, rule) = Toy("dirichlet", 3, 3, 4), next(pair for pair in rules() if pair[0] == "optimal_walk")
    lost = [(chance, DraftTree(tree.parents, tree.tokens, scheme=tree.scheme))
            for chance, tree in all_drafts(Delayed(1, 2, 2), toy, delayed)]
    assert toy.bias(rule, lost) > 1e-3


def test_laws_are_those_of_the_nodes():
    table, drafter = laws(np.random.default_rng(6)), Delayed(2, 3, 2)
    uniforms = torch.from_numpy(np.random.default_rng(7).random((200, drafter.num_uniforms)))
    draft = drafter.propose(Table(table, 200), uniforms)
    check_order(draft)
    after = torch.cat([torch.zeros(200, 1, dtype=torch.int64), draft.tokens], dim=1)
    for row in range(200):
        there = [node for node in range(1, 9) if draft.tokens[row, node - 1] >= 0]
        for node in {int(draft.parents[row, node - 1]) for node in there}:
            np.testing.assert_array_equal(draft.rows[row, node], table[after[row, node]])
        assert draft.copies[row][[node - 1 for node in there if 3 <= node <= 5]].sum() == 3


def test_bad_arguments_and_sizes():
    drafter = Delayed(3, 4, 2)
    assert (drafter.num_nodes, drafter.depth, drafter.most_draws, drafter.branches) == (11, 5, 4, True)
    for settings in ({"trunk": 0}, {"count": 0}, {"length": 0}):
        with pytest.raises(BadArgument, match="Fix"):
            Delayed(**settings)


def test_no_draft_waits_for_a_device():
    table = torch.empty(5, 5, dtype=torch.float64, device="meta")
    draft = Delayed(1, 2, 2).propose(Table(table, 3), table.new_empty(3, 5))
    assert draft.tokens.shape == draft.copies.shape == (3, 5)
