"""Fixed trees: the law of their children, the order of their nodes, and what stands behind absent ones."""

from collections import Counter

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from otspec.core.errors import BadArgument  # noqa: E402
from otspec.decode.drafters.tree import FixedTree  # noqa: E402
from tests.decode.drafters.tables import Table, check_order, check_shares, children, laws  # noqa: E402
from tests.oracles.drafting import without_replacement  # noqa: E402

COUNT = 20_000


def drawn(tree, table, seed=0, count=COUNT):
    speaker = Table(table, count)
    uniforms = torch.from_numpy(np.random.default_rng(seed).random((count, tree.num_uniforms)))
    draft = tree.propose(speaker, uniforms)
    assert draft.tokens.shape == draft.parents.shape == (count, tree.num_nodes)
    assert draft.rows.shape == (count, tree.num_nodes + 1, table.shape[1])
    check_order(draft)
    return draft, speaker


def test_shapes_by_hand():
    tree = FixedTree(widths=(2, 3, 1))
    assert (tree.num_nodes, tree.depth, tree.most_draws, tree.num_uniforms, tree.branches) == (14, 3, 3, 14, True)
    assert tree.levels == [[(0, 2)], [(1, 3), (2, 3)], [(3, 1), (4, 1), (5, 1), (6, 1), (7, 1), (8, 1)]]
    assert (tree.paths, tree.tree, tree.adaptive_widths) == (None, "without_replacement", False)
    odd = FixedTree(counts=(2, 0, 3, 1))
    # children of the root are 1 and 2, of node 2 they are 3, 4, 5, of node 3 it is 6
    assert odd.levels == [[(0, 2)], [(2, 3)], [(3, 1)]]
    assert (odd.num_nodes, odd.depth, odd.most_draws) == (6, 3, 3)
    chain = FixedTree(widths=(1, 1))
    assert (chain.branches, chain.depth) == (False, 2)


def test_counts_of_numpy_are_counts():
    assert FixedTree(counts=np.array([2, 2, 0, 1])) == FixedTree(counts=(2, 2, 0, 1))


@pytest.mark.parametrize(("settings", "says"), [
    ({}, "one of the two"), ({"widths": (1,), "counts": (1,)}, "one of the two"), ({"widths": (2, 0)}, "widths"),
    ({"widths": ()}, "widths: a tree without nodes"), ({"counts": (0,)}, "counts: a tree without nodes"),
    ({"counts": (-1,)}, "counts"), ({"counts": (True,)}, "counts"), ({"counts": (1, 0, 0)}, "3 entries"),
    ({"widths": (1.5,)}, "widths"), ({"counts": ("x",)}, "counts"), ({"counts": (1.5,)}, "counts")])
def test_bad_shapes_are_refused(settings, says):
    with pytest.raises(BadArgument, match=f"{says}.*Fix"):
        FixedTree(**settings)


@pytest.mark.parametrize("tree", [FixedTree(widths=(2, 2)), FixedTree(counts=(3, 0, 2, 1))], ids=["widths", "counts"])
@pytest.mark.parametrize("zeros", [0, 2])
def test_children_are_draws_without_replacement_from_the_law_of_their_node(tree, zeros):
    table = laws(np.random.default_rng(1), zeros=zeros)
    draft, _ = drawn(tree, table)
    tokens, parents = draft.tokens.numpy(), draft.parents.numpy()
    first = tree.levels[0][0][1]
    seen = Counter(children(*row, 0) for row in zip(tokens, parents, strict=True))
    check_shares(seen, without_replacement(table[0], first))
    for node, count in tree.levels[1]:
        for token in range(5):  # given the token of the node, its children know nothing else
            rows = np.flatnonzero(tokens[:, node - 1] == token)
            if rows.size > 1000:
                seen = Counter(children(tokens[row], parents[row], node) for row in rows)
                exact = without_replacement(table[token], count)
                shares = np.array([seen[key] / rows.size for key in exact])
                law = np.array(list(exact.values()))
                assert set(seen) <= set(exact)
                assert (np.abs(shares - law) < 5 * np.sqrt(law * (1 - law) / rows.size) + 1e-9).all()


def test_a_whole_tree_has_its_law():
    # all nodes at once: dependence between siblings' children would show here
    table = laws(np.random.default_rng(2), zeros=2)
    draft, _ = drawn(FixedTree(widths=(2, 1)), table)
    exact = {}
    for roots, share in without_replacement(table[0], 2).items():
        for (left,), one in without_replacement(table[roots[0]], 1).items():
            for (right,), other in without_replacement(table[roots[1]], 1).items():
                exact[(*roots, left, right)] = share * one * other
    check_shares(Counter(map(tuple, draft.tokens.tolist())), exact)


def test_laws_are_those_of_the_nodes():
    table = laws(np.random.default_rng(3))
    draft, speaker = drawn(FixedTree(widths=(2, 2, 1)), table, count=50)
    after = torch.cat([torch.zeros(50, 1, dtype=torch.int64), draft.tokens], dim=1)[:, :7]
    assert draft.rows[:, :7].equal(torch.from_numpy(table)[after])
    # the draft model is asked for nodes with children only, depth by depth
    assert [(tokens.shape[1], parents[0].tolist()) for tokens, parents in speaker.calls] == [
        (2, [0, 0]), (4, [1, 1, 2, 2])]


def test_where_the_support_runs_out_nodes_are_absent():
    certain = np.eye(5)[[3, 3, 3, 4, 3]]  # as temperature 0 has it: 0 -> 3 -> 4 -> 3
    draft, _ = drawn(FixedTree(widths=(2, 2)), certain, count=3)
    assert draft.tokens.tolist() == [[3, -1, 4, -1, -1, -1]] * 3
    assert draft.parents.tolist() == [[0, 0, 1, 1, 2, 2]] * 3


def test_no_draft_waits_for_a_device():
    tree = FixedTree(widths=(2, 2))
    table = torch.empty(5, 5, dtype=torch.float64, device="meta")
    draft = tree.propose(Table(table, 3), table.new_empty(3, tree.num_uniforms))
    assert draft.tokens.shape == (3, 6)
    assert draft.tokens.device.type == "meta"
