"""The dual bound of whole drafted trees: between the optimum of their law and little above, whatever the drafter."""

import numpy as np
import pytest

from otspec.analysis.dual.prefixes import MarkovPrefixes, Prefixes, draw_paths
from otspec.analysis.dual.sampled import stateless
from otspec.analysis.dual.trees import Reach, deterministic, number_trees, sampled_trees
from otspec.analysis.instances import random_models
from otspec.core.estimate import Estimate
from otspec.core.schemes import Greedy
from tests.oracles.dual_bound import child_sets, mass, optimum_on_trees, tree_optimum
from tests.verifiers.tree_draws import Toy, fixed, shaped_trees


def models(size, seed):
    return random_models("dirichlet", size, np.random.default_rng(seed))


def spelled(model):
    return lambda text: model.next_law((0, *text)).tolist()


def race_trees(draft, widths, count, rng):
    """Tokens and parents ``[count N]`` of trees with children without replacement, by an exponential race."""
    found = []
    for _ in range(count):
        tokens, parents, level = [], [], [(0, ())]
        for width in widths:
            below = []
            for node, text in level:
                for y in np.argsort(rng.exponential(size=draft.vocabulary) / draft.next_law((0, *text)))[:width]:
                    tokens.append(int(y))
                    parents.append(node)
                    below.append((len(tokens), (*text, int(y))))
            level = below
        found.append((tokens, parents))
    return (np.array(part) for part in zip(*found, strict=True))


@pytest.mark.parametrize(("size", "widths", "seed"), [(3, (2, 1), 1), (4, (2, 1), 0), (3, (2, 2), 1), (4, (2,), 0)])
def test_without_replacement_against_the_programme_over_all_trees(size, widths, seed):
    target, draft = models(size, seed)
    optimum = tree_optimum(spelled(target), spelled(draft), widths)
    values, variances = [], []
    for run in range(16):
        rng = np.random.default_rng([run, 3])
        prefixes = MarkovPrefixes(target, draft, [0])
        drawn, reach = number_trees(prefixes, *race_trees(draft, widths, 96, rng), len(widths), "without_replacement")
        bound = sampled_trees(prefixes, drawn, reach, 4, 128, rng)
        values.append(bound.value)
        variances.append(bound.variance)
    mean = Estimate.from_samples(values)
    assert mean.mean + mean.margin(4) >= optimum
    assert mean.mean - mean.margin(4) <= 1.02 * optimum
    assert 0.5 < np.sqrt(np.mean(variances)) / np.std(values, ddof=1) < 2.0


@pytest.mark.parametrize(("size", "widths", "seed"), [(4, (2, 1), 0), (5, (2, 2), 1)])
def test_chosen_tokens_and_one_draw_against_the_programme_over_all_trees(size, widths, seed):
    toy = Toy("dirichlet", size, len(widths), seed)
    trees = list(shaped_trees(toy, fixed(Greedy, *widths), "greedy"))

    def law(levels):
        return lambda u: levels[len(u)][np.ravel_multi_index(u, (size,) * len(u)) if u else 0]

    class Laws(Prefixes):
        """Laws of the toy after its prefixes."""

        def __init__(self):
            self.texts = [()]
            super().__init__(toy.target[0][0], toy.draft[0][0])

        def _read(self, parents, tokens):
            new = [(*self.texts[parent], int(token)) for parent, token in zip(parents, tokens, strict=True)]
            self.texts += new
            return tuple(np.stack([law(levels)(text) for text in new]) for levels in (toy.target, toy.draft))

    optimum = optimum_on_trees(law(toy.target), trees)
    chances, values = np.array([chance for chance, _ in trees]), []
    for run in range(16):
        rng = np.random.default_rng([run, 5])
        drawn = [trees[i][1] for i in rng.choice(len(trees), 96, p=chances / chances.sum())]
        tokens, parents = (np.stack([getattr(tree, name)[1:] for tree in drawn]) for name in ("tokens", "parents"))
        prefixes = Laws()
        drawn_trees, reach = number_trees(prefixes, tokens, parents, len(widths), "greedy")
        values.append(sampled_trees(prefixes, drawn_trees, reach, 4, 128, rng).value)
    mean = Estimate.from_samples(values)
    assert mean.mean + mean.margin(4) >= optimum
    assert mean.mean - mean.margin(4) <= 1.03 * optimum


def test_independent_paths_as_trees():
    target, draft = models(3, 1)
    gaps = []
    for run in range(16):
        rng = np.random.default_rng([run, 4])
        prefixes = MarkovPrefixes(target, draft, [0])
        numbers = draw_paths(prefixes, rng.random((256, 3)))
        paths = stateless(prefixes, numbers, [(2, 3)], 4, rng)[0].value
        tokens = np.empty((96, 6), dtype=np.int64)
        for row in range(96):
            for path in range(2):
                text = (0,)
                for depth in range(3):
                    token = int(rng.choice(3, p=draft.next_law(text)))
                    tokens[row, 2 * depth + path] = token
                    text = (*text, token)
        parents = np.tile([0, 0, 1, 2, 3, 4], (96, 1))
        drawn, reach = number_trees(prefixes, tokens, parents, 3, "paths")
        gaps.append(sampled_trees(prefixes, drawn, reach, 4, 128, rng).value - paths)
    assert Estimate.from_samples(gaps).covers(0.0, z=4) or np.mean(gaps) > 0
    assert np.mean(gaps) < 0.1


def test_a_tree_without_chance_keeps_every_drafted_prefix():
    target, draft = models(3, 2)
    prefixes = MarkovPrefixes(target, draft, [0])
    value = deterministic(prefixes, np.array([0, 2, 1, -1]), np.array([0, 0, 1, 2]))
    kept = [(0,), (2,), (0, 1)]
    assert value == pytest.approx(1 + sum(mass(spelled(target), u) for u in kept), abs=1e-12)


def test_reach_sums_to_the_number_of_children():
    prefixes = MarkovPrefixes(*models(5, 3), [0])
    law = prefixes.laws(0)[1]
    for count in (0.5, 1.0, 1.5, 2.0, 3.0):
        for kind in ("without_replacement", "greedy"):
            chances = Reach(prefixes, np.array([count]), kind).after(0, 1)
            assert chances.sum() == pytest.approx(count, abs=1e-6)
    assert np.sort(Reach(prefixes, np.array([3.0]), "greedy").after(0, 1))[-2:].tolist() == [1.0, 1.0]
    exact = [sum(p for s, p in child_sets(law, 2).items() if y in s) for y in range(5)]
    np.testing.assert_allclose(Reach(prefixes, np.array([2.0])).after(0, 1), exact, atol=0.08)
    np.testing.assert_allclose(Reach(prefixes, np.array([2.0]), "paths").after(0, 1), 1 - (1 - law) ** 2, atol=1e-12)
