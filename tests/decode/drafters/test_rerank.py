"""Expand and rerank against a plain search, and where the draft model has read what."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from otspec.core.errors import BadArgument  # noqa: E402
from otspec.decode.drafters.rerank import Rerank  # noqa: E402
from tests.decode.drafters.tables import Table, chain, check_order, laws  # noqa: E402


def searched(table, nodes, width, depth):
    """Chains of the likeliest nodes behind token 0, likeliest first, by a plain search with beams."""
    beam, proposed = [((), 1.0)], []
    for _ in range(depth):
        here = []
        for way, value in beam:
            law = table[way[-1] if way else 0]
            best = sorted(range(len(law)), key=lambda token, law=law: -law[token])[:width]
            here += [((*way, token), value * law[token]) for token in best]
        proposed += here
        beam = sorted(here, key=lambda one: -one[1])[:width]
    return {way for way, value in sorted(proposed, key=lambda one: -one[1])[:nodes] if value > 0}


@pytest.mark.parametrize(("nodes", "width", "depth"), [(6, 2, 3), (9, 3, 3), (3, 3, 1), (10, 2, 4), (4, 4, 4)])
def test_the_likeliest_nodes_are_kept(nodes, width, depth):
    for seed in range(20):
        table = laws(np.random.default_rng(seed))
        drafter = Rerank(nodes, width, depth)
        draft = drafter.propose(Table(table, 2), torch.zeros(2, 0, dtype=torch.float64))
        check_order(draft)
        for tokens, parents in zip(draft.tokens.tolist(), draft.parents.tolist(), strict=True):
            ways = [tuple(chain(tokens, parents, node)) for node in range(1, nodes + 1)]
            assert len(set(ways)) == nodes
            assert set(ways) == searched(table, nodes, width, depth)
    assert draft.rows is None


@pytest.mark.parametrize("seed", range(5))
def test_nodes_are_found_where_the_draft_model_has_read_them(seed):
    table = laws(np.random.default_rng(seed))
    speaker = Table(table, 1)
    draft = Rerank(9, 3, 3).propose(speaker, torch.zeros(1, 0, dtype=torch.float64))
    # everything read, in order: tokens, and parents by the same numbers, 0 for the text
    tokens = torch.cat([tokens for tokens, _ in speaker.calls], dim=1)[0].tolist()
    parents = torch.cat([parents for _, parents in speaker.calls], dim=1)[0].tolist()
    assert len(tokens) == 6  # three nodes of the first two depths
    found = 0
    for node, place in enumerate(draft.read_at[0].tolist(), start=1):
        if place >= 2:  # counted from 2, behind the tokens that a round begins with
            way = chain(draft.tokens[0].tolist(), draft.parents[0].tolist(), node)
            assert chain(tokens, parents, place - 1) == way
            found += 1
    assert found >= 3
    inner = set(draft.parents[0].tolist()) - {0}
    assert all(draft.read_at[0, node - 1] >= 2 for node in inner)  # what has children was expanded


def test_nodes_of_no_probability_are_absent():
    table = np.eye(5)[[3, 3, 3, 4, 3]]
    draft = Rerank(6, 2, 3).propose(Table(table, 2), torch.zeros(2, 0, dtype=torch.float64))
    check_order(draft)
    for tokens, parents in zip(draft.tokens.tolist(), draft.parents.tolist(), strict=True):
        present = [node for node, token in enumerate(tokens, start=1) if token >= 0]
        assert sorted(chain(tokens, parents, node) for node in present) == [[3], [3, 4], [3, 4, 3]]


def test_equal_values_keep_parents():
    # a certain continuation is as likely as its parent, which stands earlier
    table = np.full((4, 4), 0.25)
    table[1] = np.eye(4)[2]
    draft = Rerank(4, 4, 3).propose(Table(table, 1), torch.zeros(1, 0, dtype=torch.float64))
    check_order(draft)
    assert draft.tokens.min() >= 0


def test_a_width_beyond_the_vocabulary_is_the_vocabulary():
    table = laws(np.random.default_rng(1), size=3)
    draft = Rerank(6, 3, 2).propose(Table(table, 1), torch.zeros(1, 0, dtype=torch.float64))
    wide = Rerank(6, 8, 2).propose(Table(table, 1), torch.zeros(1, 0, dtype=torch.float64))
    assert wide.tokens.equal(draft.tokens)
    assert wide.parents.equal(draft.parents)


def test_bad_arguments_and_sizes():
    drafter = Rerank(16, 4, 5)
    assert (drafter.num_nodes, drafter.depth, drafter.num_uniforms, drafter.tree) == (16, 5, 0, "deterministic")
    for settings in ({"nodes": 0}, {"width": 0}, {"max_depth": 0}):
        with pytest.raises(BadArgument, match="Fix"):
            Rerank(**settings)
    with pytest.raises(BadArgument, match="7, but 2 nodes of 2 depths propose 6"):
        Rerank(7, 2, 2)


def test_no_draft_waits_for_a_device():
    table = torch.empty(5, 5, dtype=torch.float64, device="meta")
    draft = Rerank(6, 2, 3).propose(Table(table, 3), table.new_empty(3, 0))
    assert draft.tokens.shape == draft.read_at.shape == (3, 6)
