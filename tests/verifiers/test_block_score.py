"""Scores and block: the split of a row, the twin in plain letters, planted bugs, and where the rule stands."""

import numpy as np
import pytest
import torch

from otspec.analysis.block_optimum import block_optimum
from otspec.analysis.blocks import block_efficiency
from otspec.analysis.instances import random_models
from otspec.core.errors import SchemeMismatch
from otspec.core.schemes import WithoutReplacement
from otspec.core.tree import DraftTree
from otspec.transport.bounds import optimal_acceptance
from otspec.transport.sampler import scores
from otspec.transport.sampler.scores import Split, score_cells, split_scores, win_chances
from otspec.transport.winner.laws import ratio_order
from otspec.verifiers import verifier
from otspec.verifiers.block import score_block
from otspec.verifiers.block.score_block import ScoreBlock
from tests.oracles import paths as slow
from tests.verifiers.tree_draws import Toy, path_trees, prefix_of, toys

EXACT = 1e-12  # sums of a few thousand products of a dozen factors


def curves(target, draft):
    """Cumulative laws of draft and target ``[V+1]`` in the order of their ratio."""
    order = ratio_order(target, draft)
    return [np.concatenate([[0.0], np.cumsum(law[order])]) for law in (draft, np.where(draft > 0, target, 0.0))]


def all_tokens(target, draft, weight, shares, paths, knots=scores.KNOTS):
    """The split of one row for each of its tokens, the tokens in the order of the ratio."""
    x, upto = (np.tile(curve, (target.size, 1)) for curve in curves(target, draft))
    return split_scores(x, upto, np.arange(target.size), np.full(target.size, weight),
                        np.tile(shares, (target.size, 1)), score_cells(paths)[1], knots)


def hard_rows():
    rng = np.random.default_rng(5)
    for size, tail in ((2, 1.0), (6, 0.3), (400, 0.05)):
        target, draft = rng.dirichlet(np.full(size, tail), 2)
        zeros = np.where(np.arange(size) % 2 == 0, draft, 0.0)
        yield target, draft
        yield target, zeros / zeros.sum()
        yield draft, draft
        yield np.full(size, 1 / size), draft


@pytest.mark.parametrize("paths", [1, 2, 5])
def test_a_row_splits_its_scores_and_no_more(paths):
    """The tokens' shares average to the prefix's, also on a second row; as much is kept as the cut allows."""
    edges, capacity = score_cells(paths)
    for target, draft in hard_rows():
        shares, weight = np.diff(edges), 1.0
        for _ in range(2):
            split = all_tokens(target, draft, weight, shares, paths)
            mass = draft[ratio_order(target, draft)]
            assert np.allclose(mass @ split.shares, shares, atol=EXACT)
            assert np.abs(mass * (split.shares @ capacity - split.capacity)).sum() < EXACT
            x, upto = curves(target, draft)
            held = np.interp(x, np.concatenate([[0.0], np.cumsum(shares)]),
                             np.concatenate([[0.0], np.cumsum(shares * capacity)]))
            most = held[-1] + np.min(weight * upto - held)
            assert most * (1 - 5e-3) - EXACT < split.kept[0] < most + EXACT  # groups of 1/128 lose a little
            if target.size < scores.KNOTS:
                assert split.kept[0] == pytest.approx(most, abs=EXACT)
            mine = mass.size // 2 - (mass[mass.size // 2] == 0)
            shares = split.shares[mine]
            weight = min(split.capacity[mine], weight * float(np.diff(upto)[mine] / mass[mine]))


def test_array_form_is_the_compiled_one():
    for paths in (2, 8):
        edges, capacity = score_cells(paths)
        for target, draft in hard_rows():
            x, upto = (np.tile(curve, (3, 1)) for curve in curves(target, draft))
            rank = np.array([0, (draft > 0).sum() // 2, (draft > 0).sum() - 1])
            given = x, upto, rank, np.array([1.0, 0.4, 1.3]), np.tile(np.diff(edges), (3, 1)), capacity
            mine, theirs = split_scores(*given), split_scores(*map(torch.asarray, given))
            for name in ("shares", "capacity", "kept"):
                assert np.allclose(getattr(mine, name), getattr(theirs, name).numpy(), rtol=1e-9, atol=EXACT), name


@pytest.mark.parametrize("size", range(scores.KNOTS - 2, scores.KNOTS + 9))
def test_array_form_where_tokens_are_about_as_many_as_knots(size):
    rng = np.random.default_rng(size)
    edges, capacity = score_cells(3)
    x, upto = (np.tile(curve, (size, 1)) for curve in curves(*rng.dirichlet(np.ones(size), 2)))
    given = x, upto, np.arange(size), np.full(size, 0.7), np.tile(np.diff(edges), (size, 1)), capacity
    mine, theirs = split_scores(*given), split_scores(*map(torch.asarray, given))
    for name in ("shares", "capacity", "kept"):
        assert np.allclose(getattr(mine, name), getattr(theirs, name).numpy(), rtol=1e-9, atol=EXACT), name


def test_win_chances_are_those_of_draws():
    rng = np.random.default_rng(1)
    shares, copies = rng.dirichlet(np.ones(6), 3), np.array([1, 2, 1])
    chances = win_chances(shares, copies)
    assert chances.sum() == pytest.approx(1, abs=EXACT)
    each = [shares[0], shares[1], shares[1], shares[2]]
    assert np.allclose(chances, [slow.highest(each, 0), 2 * slow.highest(each, 1), slow.highest(each, 3)], atol=EXACT)


@pytest.mark.parametrize(("size", "depth", "paths", "family"), [(3, 2, 2, "dirichlet"), (2, 3, 3, "dirichlet"),
                                                               (3, 2, 2, "zeros")])
def test_the_twin_in_plain_letters(size, depth, paths, family):
    toy = Toy(family, size, depth, 3)

    def model(rows):
        return lambda prefix: rows[len(prefix)][np.ravel_multi_index(prefix, (size,) * len(prefix)) if prefix else 0]

    for chance, tree in path_trees(toy, paths, ordered=False):
        law = verifier("score_block", paths).conditional(tree, *toy.rows(tree))
        drafted = [prefix_of(tree, chain[-1]) for chain in tree.chains]
        found = {}
        for mass, kept, following in slow.score_block(model(toy.target), model(toy.draft), (), drafted):
            found[kept] = found.get(kept, 0.0) + mass * np.asarray(following)
        assert chance > 0
        for node in range(len(tree)):
            mine = law.stop[node] * law.following[node]
            assert np.allclose(mine, found.get(prefix_of(tree, node), 0.0), atol=1e-10)  # theirs bisects its levels


@pytest.mark.parametrize(("size", "depth", "paths", "count"), [(5, 2, 2, 3), (3, 2, 3, 3), (2, 3, 3, 6), (3, 3, 2, 1)])
def test_lossless(size, depth, paths, count):
    rule = verifier("score_block", paths)
    for toy in toys(size, depth, count):
        assert toy.bias(rule, path_trees(toy, paths, ordered=False)) < EXACT


def one_path_less(monkeypatch):
    """Capacities of K - 1 paths."""
    cells = scores.score_cells
    monkeypatch.setattr(scores, "score_cells", lambda paths, cells_=scores.CELLS: cells(paths - 1, cells_))


def scores_that_forget(monkeypatch):
    """A token tells nothing of the score, but its capacity is claimed."""
    split = scores.split_scores
    monkeypatch.setattr(scores, "split_scores", lambda *given: Split(given[4], *split(*given)[1:]))


def the_best_token_takes_all(monkeypatch):
    """A drafted token gets the scores of the highest place, more than the row has to give."""
    split = scores.split_scores
    monkeypatch.setattr(scores, "split_scores", lambda x, target, rank, *rest: split(
        x, target, np.full_like(rank, x.shape[1] - 2), *rest))


def laws_of_one_draft(monkeypatch):
    """Block verification against the draft rows."""
    monkeypatch.setattr(score_block, "_laws", lambda target, draft, knots, slope: draft)


@pytest.mark.parametrize("plant", [one_path_less, scores_that_forget, the_best_token_takes_all, laws_of_one_draft])
def test_planted_bugs_are_found(plant, monkeypatch):
    toy = Toy("dirichlet", 5, 2, 7)
    trees = list(path_trees(toy, 2, ordered=False))
    assert toy.bias(ScoreBlock(2), trees) < EXACT
    plant(monkeypatch)
    assert toy.bias(ScoreBlock(2), trees) > 1e-3


def test_one_position_is_the_optimum_but_for_the_cells():
    for toy in toys(5, 1, 4):
        rule, rows = ScoreBlock(2), (toy.target[0][0], toy.draft[0][0])
        kept = sum(chance * rule.expected_accepted(tree, *toy.rows(tree)) for chance, tree in path_trees(toy, 2, False))
        best = float(optimal_acceptance(*rows, 2))
        assert best - 5e-4 < kept < best + EXACT


def test_nearer_to_the_optimum_than_look_ahead():
    gaps = []
    for seed in range(3):
        target, draft = random_models("dirichlet", 2, np.random.default_rng(seed))
        best = block_optimum(target, draft, 3, num_paths=3).upper
        gaps.append([1 - block_efficiency(name, target, draft, 3, num_paths=3).mean / best
                     for name in ("score_block", "lookahead_block")])
    assert np.min(gaps) > -EXACT
    score, ahead = np.mean(gaps, axis=0)
    assert score < 0.004
    assert score < ahead / 2


def test_refused_trees():
    rows = np.full((4, 3), 1 / 3)
    with pytest.raises(SchemeMismatch, match="does not verify"):
        ScoreBlock(3).conditional(DraftTree.delayed([0], [[1], [2]]), rows, rows)
    with pytest.raises(SchemeMismatch, match="different lengths"):
        ScoreBlock(2).conditional(DraftTree([-1, 0, 0, 1], [-1, 0, 1, 1]), rows, rows)
    with pytest.raises(SchemeMismatch, match="proved for"):
        ScoreBlock(WithoutReplacement(2))
