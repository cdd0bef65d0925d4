"""Paths of many texts as trees, one by one: nodes, rows, verdicts and means of a rule's definition."""

import array_api_strict as strict
import numpy as np
import pytest
import torch

from otspec.core.errors import BadArgument
from otspec.core.laws import draw
from otspec.core.pathwise import draw_each, expect_each, path_tree
from tests.contracts.test_tree_verifiers import batch as paths_of

LAST = 1 - 2.0**-53


def joint(tree, target, draft):
    """Stops at a node in proportion to the first mass of its draft law."""
    weight = draft[:, 0] + 0.25 + tree.depths
    return (weight / weight.sum())[:, None] * target


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_common_prefixes_are_one_node_with_one_row(dtype, rng):
    tokens = np.array([[5, 7], [5, 8], [2, 2], [5, 7]])
    same = np.array([[0, 1, 2], [0, 1, 3], [0, 4, 5], [0, 1, 2]])
    target, draft = (rng.dirichlet(np.ones(9), 6)[same[:, :stop]].astype(dtype) * dtype(1 + 5e-7) for stop in (3, 2))
    merged = path_tree(target, draft, tokens)
    assert merged.nodes.tolist() == same.tolist()
    assert merged.tree.tokens.tolist() == [-1, 5, 7, 8, 2, 2]
    assert merged.tree.multiplicity.tolist() == [4, 3, 2, 1, 1, 1]
    for rows in (merged.target, merged.draft):
        assert rows.dtype == np.float64
        assert np.abs(rows.sum(axis=1) - 1.0).max() < 1e-15
    for path in range(4):
        for depth in range(3):
            assert merged.target[same[path, depth]] == pytest.approx(target[path, depth], abs=1e-6)
            assert merged.draft[same[path, depth]] == pytest.approx(
                draft[path, depth] if depth < 2 else target[path, 2], abs=1e-6)  # no draft row after the last token


@pytest.mark.parametrize("library", [np.asarray, torch.asarray, strict.asarray])
def test_paths_are_verified_by_the_definition_one_text_after_the_other(library, rng):
    target, draft, tokens, _ = paths_of(20, 3, 2, 4, 5)
    coins = rng.random((20, 2))
    coins[:2] = [[0.0, LAST], [LAST, 0.0]]
    rows = [library(part) for part in (target, draft, tokens)]
    kept, token, path = draw_each(joint, *rows, library(coins))
    mean = expect_each(joint, *rows)
    assert {type(part) for part in (kept, token, path, mean)} == {type(rows[0])}
    for row in range(20):
        merged = path_tree(target[row], draft[row], tokens[row])
        mass = joint(merged.tree, merged.target, merged.draft)
        stop = mass.sum(axis=1)
        node = int(draw(stop, coins[row, 0]))
        assert merged.nodes[int(path[row]), int(kept[row])] == node
        assert int(path[row]) == np.flatnonzero((merged.nodes == node).any(axis=1))[0]
        assert int(token[row]) == int(draw(mass[node] / stop[node], coins[row, 1]))
        assert float(mean[row]) == pytest.approx(stop @ merged.tree.depths, abs=1e-15)


def test_paths_on_a_device_are_refused():
    there = torch.zeros((1, 1, 1), dtype=torch.int64, device="meta")
    rows = torch.ones((1, 1, 2, 1))
    with pytest.raises(BadArgument, match="tokens: on meta, but a rule that has only its definition works on the CPU"):
        expect_each(joint, rows, rows[:, :, :1], there)
