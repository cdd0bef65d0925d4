"""Drafts at one node of a batch of trees: every order of merged copies is equally likely."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch

from otspec.core.batched_walk import child_of, lists_at
from otspec.core.drafted import DraftedTrees


def orders(copies):
    """Orders of the draws in which first appearances keep their order, the slow way."""
    names = [name for name, count in enumerate(copies) for _ in range(count)]
    return {order for order in itertools.permutations(names)
            if [name for place, name in enumerate(order) if name not in order[:place]] == list(range(len(copies)))}


@pytest.mark.parametrize("library", [np.asarray, torch.asarray])
@pytest.mark.parametrize("copies", [(2, 1), (1, 2), (2, 2), (3, 1, 1), (1, 1, 2)])
def test_merged_copies_come_back_in_every_order_alike(copies, library):
    """The coins on a grid that every quotient of the draws divides: each order is met equally often."""
    draws, kinds = sum(copies), len(copies)
    steps = [np.arange(left) for left in range(draws, 0, -1)]  # with R draws left a coin decides among R
    grid = np.stack([part.ravel() for part in np.meshgrid(*steps, indexing="ij")], axis=-1)
    coins = (grid + 0.5) / np.arange(draws, 0, -1)
    rows = len(coins)
    tokens = library(np.tile(10 + np.arange(kinds), (rows, 1)))
    parents = library(np.zeros((rows, kinds), dtype=int))
    drafted = DraftedTrees(tokens, parents, "paths", multiplicity=library(np.tile(copies, (rows, 1))))
    found = np.asarray(lists_at(drafted, library(np.zeros(rows, dtype=int)), draws + 1, library(
        np.concatenate([coins, np.full((rows, 1), 0.5)], axis=1))))
    assert (found[:, draws] == -1).all()
    counts = Counter(tuple((row[:draws] - 10).tolist()) for row in found)
    assert set(counts) == orders(copies)
    assert set(counts.values()) == {rows // len(orders(copies))}


def test_children_are_found_under_their_own_parent():
    drafted = DraftedTrees(np.array([[4, 4, 7, 7]]), np.array([[0, 1, 1, 2]]), "branches")
    assert [int(child_of(drafted, np.array([node]), np.array([token]))[0])
            for node, token in ((0, 4), (1, 4), (1, 7), (2, 7), (0, 7), (2, 4))] == [1, 2, 3, 4, 0, 0]
    assert lists_at(drafted, np.array([1]), 3, None).tolist() == [[4, 7, -1]]
