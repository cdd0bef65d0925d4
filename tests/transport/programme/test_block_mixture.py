"""Mixtures of orders on small trees: each part against its definition, over all tuples of paths."""

import itertools

import numpy as np
import pytest

from otspec.analysis.dual.exact import Laws, dual_value
from otspec.transport.programme import block_lp, block_mixture
from tests.transport.programme.test_block_lp import BOTH, EXACT, after, mass, prefixes, toys

KINDS = ["smooth", "zeros", "ties"]


def known_part(path, texts):
    """Place of the last prefix of a path that is a node, past all nodes where there is none."""
    known = [texts.index(path[:depth]) for depth in range(1, len(path) + 1) if path[:depth] in texts]
    return known[-1] if known else len(texts)


def picked_law(ranks, draft, texts, size, length, many):
    """Probability of each node to lie on the path that an order picks, over all tuples of paths."""
    law = np.zeros(len(texts))
    paths = [(path, mass(draft, path), ranks[known_part(path, texts)])
             for path in itertools.product(range(size), repeat=length)]
    for drawn in itertools.product(paths, repeat=many):
        best = min(drawn, key=lambda one: one[2])[0]
        chance = np.prod([one[1] for one in drawn])
        for place, text in enumerate(texts):
            law[place] += chance * (best[: len(text)] == text)
    return law


def proved(nodes, price, target, draft, stateless):
    """Kept tokens that prices of nodes bound; a prefix that the target does not know costs the most that helps."""
    size, length = target[0].shape[-1], len(target)
    dearest = [length + 1.0 - len(text) if stateless else 1.0 for text in prefixes(size, length)]
    every = np.where(nodes.possible, 0.0, dearest)
    every[nodes.label] = price
    return dual_value(Laws(target, draft), every, nodes.paths, kind="stateless" if stateless else "one_call") - 1


def cases(rng, kind, count=2):
    for target, draft, size, length, many in toys(rng, kind, count):
        nodes = block_lp.tree(target, draft, many)
        if nodes.label.size:
            yield nodes, [prefixes(size, length)[label] for label in nodes.label], target, draft, size, length, many


@BOTH
@pytest.mark.parametrize("kind", KINDS)
def test_a_picked_path_is_kept_as_block_verification_keeps_it(stateless, kind, rng):
    for nodes, texts, target, *_ in cases(rng, kind):
        law = rng.random(len(texts))
        want = {(): 1.0}
        for place, text in enumerate(texts):
            step = after(target, text[:-1])[text[-1]]
            want[text] = min(law[place], want[text[:-1]] * step if stateless else mass(target, text))
        found = block_mixture.kept(nodes, law, stateless=stateless)
        np.testing.assert_allclose(found, [want[text] for text in texts], atol=EXACT)


@BOTH
@pytest.mark.parametrize("kind", KINDS)
def test_an_order_states_the_law_of_the_path_it_picks_and_the_bound_it_proves(stateless, kind, rng):
    """The path that an order picks has the stated law, and the bound is that of the dual function."""
    for nodes, texts, target, draft, size, length, many in cases(rng, kind):
        gain = rng.random(len(texts)) * rng.choice([0.5, 1.0])
        ranks, law, upper = block_mixture._order(nodes, gain, stateless)
        assert sorted(ranks) == list(range(len(texts) + 1))
        np.testing.assert_allclose(law, picked_law(ranks, draft, texts, size, length, many), atol=EXACT)
        price = block_mixture._dual(nodes, gain, stateless)
        assert upper == pytest.approx(proved(nodes, price, target, draft, stateless), abs=EXACT)


@BOTH
@pytest.mark.parametrize("kind", KINDS)
def test_prices_leave_each_node_its_gain_or_less(stateless, kind, rng):
    for nodes, texts, target, *_ in cases(rng, kind):
        gain = 2 * rng.random(len(texts))
        price = block_mixture._dual(nodes, gain, stateless)
        for place, text in enumerate(texts):
            below = [(after(target, text)[texts[i][-1]], price[i]) for i in range(len(texts)) if texts[i][:-1] == text]
            worth = 1.0 + (sum(step * one for step, one in below) if stateless else 0.0)
            assert price[place] == pytest.approx(max(worth - gain[place], 0.0), abs=EXACT)


@BOTH
@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_orders_are_the_best_and_their_prices_prove_it(stateless, kind, rng):
    for nodes, texts, *_ in cases(rng, kind):
        laws = np.array([block_mixture._order(nodes, rng.random(len(texts)), stateless)[1] for _ in range(4)])
        weights, gain = block_mixture._weights(nodes, laws, stateless)
        assert weights.sum() == pytest.approx(1, abs=EXACT)
        assert (weights >= 0).all()
        assert (gain >= 0).all()
        best = block_mixture.kept(nodes, weights @ laws, stateless=stateless).sum()
        for other in [*np.eye(4), *rng.dirichlet(np.full(4, 0.5), 10)]:
            assert block_mixture.kept(nodes, other @ laws, stateless=stateless).sum() <= best + 1e-8
        # the prices value every mixture at its optimum or more
        price = block_mixture._dual(nodes, gain, stateless)
        paid = price[nodes.parent < 0] @ nodes.step[nodes.parent < 0] if stateless else price @ nodes.target
        assert paid + (laws @ gain).max() == pytest.approx(best, abs=1e-8)


@BOTH
@pytest.mark.parametrize("kind", KINDS)
def test_a_mixture_is_the_optimum_with_its_evidence(stateless, kind, rng):
    for nodes, texts, target, draft, size, length, many in cases(rng, kind, 1):
        found = block_mixture.solve_mixture(nodes, stateless=stateless)
        other = block_lp.solve(nodes, stateless=stateless)
        assert found.upper - found.lower <= 1e-8
        assert other.lower - EXACT <= found.upper <= other.upper + 1e-8
        assert (found.weights > 0).all()
        assert found.ranks.shape == (found.weights.size, len(texts) + 1)
        law = sum(weight * picked_law(ranks, draft, texts, size, length, many)
                  for weight, ranks in zip(found.weights, found.ranks, strict=True))
        np.testing.assert_allclose(found.passing, block_mixture.kept(nodes, law, stateless=stateless), atol=1e-12)
        assert found.lower == pytest.approx(found.passing.sum(), abs=EXACT)
        assert found.upper == pytest.approx(proved(nodes, found.prices, target, draft, stateless), abs=EXACT)
