"""The likeliest nodes against a search of the whole tree."""

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from otspec.core.errors import BadArgument  # noqa: E402
from otspec.decode.drafters.likeliest import Likeliest  # noqa: E402
from tests.decode.drafters.tables import Table, chain, check_order, laws  # noqa: E402


def chances(table, depth):
    """Probability of every way of at most so many tokens behind token 0."""
    ways = {}
    for length in range(1, depth + 1):
        for way in itertools.product(range(len(table)), repeat=length):
            ways[way] = float(np.prod([table[last, token] for last, token in zip((0, *way[:-1]), way, strict=True)]))
    return ways


def ways_of(draft, row=0):
    tokens, parents = draft.tokens[row].tolist(), draft.parents[row].tolist()
    return [tuple(chain(tokens, parents, node)) for node in range(1, len(tokens) + 1) if tokens[node - 1] >= 0]


@pytest.mark.parametrize(("nodes", "depth"), [(1, 1), (6, 4), (9, 2), (5, 5)])
@pytest.mark.parametrize("zeros", [0, 2])
def test_no_node_left_out_is_likelier(nodes, depth, zeros):
    for seed in range(10):
        table = laws(np.random.default_rng(seed), zeros=zeros)
        draft = Likeliest(nodes, max_depth=depth).propose(Table(table, 2), torch.zeros(2, 0, dtype=torch.float64))
        check_order(draft)
        assert ways_of(draft) == ways_of(draft, 1)
        found, every = ways_of(draft), chances(table, depth)
        assert len(set(found)) == nodes
        assert found == sorted(found, key=lambda way: -every[way])  # likeliest first
        assert sum(every[way] for way in found) == pytest.approx(sum(sorted(every.values())[-nodes:]), abs=1e-12)
    assert draft.rows is None


def test_children_are_bounded():
    table = np.tile([0.4, 0.3, 0.2, 0.1], (4, 1))
    draft = Likeliest(6, max_children=2).propose(Table(table, 1), torch.zeros(1, 0, dtype=torch.float64))
    assert max(np.bincount(draft.parents[0].tolist())) == 2
    assert {way[-1] for way in ways_of(draft)} == {0, 1}


def test_where_nothing_has_probability_nodes_are_absent():
    table = np.eye(5)[[3, 3, 3, 4, 3]]
    draft = Likeliest(4, max_depth=2).propose(Table(table, 2), torch.zeros(2, 0, dtype=torch.float64))
    assert draft.tokens.tolist() == [[3, 4, -1, -1]] * 2


def test_bad_arguments_and_sizes():
    drafter = Likeliest(8, max_depth=3)
    assert (drafter.num_nodes, drafter.depth, drafter.num_uniforms, drafter.tree) == (8, 3, 0, "deterministic")
    for settings in ({"nodes": 0}, {"max_depth": 0}, {"max_children": 0}):
        with pytest.raises(BadArgument, match="Fix"):
            Likeliest(**settings)


def test_no_draft_waits_for_a_device():
    table = torch.empty(5, 5, dtype=torch.float64, device="meta")
    draft = Likeliest(6).propose(Table(table, 3), table.new_empty(3, 0))
    assert draft.tokens.shape == (3, 6)
