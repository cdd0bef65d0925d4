"""Greedy block verification: its slow twin, losslessness with the state carried, totals against block verification."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from otspec.analysis.blocks import block_efficiency
from otspec.analysis.instances import random_models
from otspec.analysis.iterations import total_tokens
from otspec.core.errors import BadArgument, SchemeMismatch, ShapeMismatch, TooLarge
from otspec.core.markov import MarkovModel
from otspec.verifiers import verifier
from otspec.verifiers.block.greedy_block import FRESH, GreedyBlock, Layer
from tests.oracles import block_rules, greedy_block

EXACT = 1e-12  # products of a few dozen factors
TOY = MarkovModel.memoryless([1 / 3, 2 / 3]), MarkovModel.memoryless([2 / 3, 1 / 3])


def emitted_law(rule, target, draft, length, wanted, context, state):
    """Law of the next ``wanted`` tokens after a context, the state carried along."""
    law = np.zeros((target.vocabulary,) * wanted)
    for path in itertools.product(range(target.vocabulary), repeat=length):
        contexts = [context, *path]
        rows = target.rows[contexts], draft.rows[contexts[:-1]], np.asarray(path)
        weight = rows[1][np.arange(length), path].prod()
        if weight == 0:
            continue
        verdict = rule.conditional(*rows, state)
        for kept in range(length + 1):
            for token in np.flatnonzero(verdict.stop[kept] * verdict.following[kept]):
                text = (*path[:kept], int(token))
                mass = weight * verdict.stop[kept] * verdict.following[kept, token]
                if len(text) >= wanted:
                    law[text[:wanted]] += mass
                else:
                    later = rule.carried(*rows, state, kept, int(token))
                    law[text] += mass * emitted_law(rule, target, draft, length, wanted - len(text), int(token), later)
    return law


FAMILIES = ["dirichlet", "zeros", "ties", "peaked", "close", "equal"]


@pytest.mark.parametrize(("seed", "family"), list(enumerate(FAMILIES)))
def test_the_text_is_lossless_with_the_state_carried(seed, family):
    target, draft = random_models(family, 3, np.random.default_rng(seed))
    found = sum(mass * emitted_law(GreedyBlock(), target, draft, 2, 4, context, FRESH)
                for context, mass in enumerate(target.initial))
    assert np.abs(found - target.text_law(4)).max() < EXACT


@pytest.mark.parametrize(("size", "length"), [(3, 3), (5, 2)])
def test_nested_states_on_longer_blocks(size, length):
    target, draft = random_models("dirichlet", size, np.random.default_rng(1))
    found = emitted_law(GreedyBlock(), target, draft, length, 3, 0, FRESH)
    start = MarkovModel(target.transition, np.eye(size)[0])
    assert np.abs(found - start.text_law(found.ndim)).max() < EXACT


class Forgets(GreedyBlock):
    """Every iteration starts afresh."""

    def carried(self, *arguments):
        return FRESH


class StopsTheRatio(GreedyBlock):
    """The ratio does not run on through the emitted token."""

    def carried(self, target_rows, draft_rows, tokens, state, accepted, token):
        layers = super().carried(target_rows, draft_rows, tokens, state, accepted, token)
        return tuple(Layer(1.0, layer.left) for layer in layers)


@pytest.mark.parametrize("mutant", [Forgets, StopsTheRatio])
def test_a_wrong_state_is_found(mutant):
    target, draft = random_models("dirichlet", 5, np.random.default_rng(3))
    found = emitted_law(mutant(), target, draft, 2, 3, 0, FRESH)
    start = MarkovModel(target.transition, np.eye(5)[0])
    assert np.abs(found - start.text_law(3)).max() > 1e-3


@pytest.mark.parametrize("seed", range(4))
def test_the_slow_twin(seed):
    rng = np.random.default_rng(seed)
    tables = [rng.dirichlet(np.ones(3), 4) for _ in range(2)]
    pair = [lambda context, rows=rows: list(rows[context[-1] + 1 if context else 0]) for rows in tables]
    for xs in itertools.product(range(3), repeat=3):
        rows = [np.array([model(xs[:i]) for i in range(4)]) for model in pair]
        law = GreedyBlock().conditional(rows[0], rows[1][:3], np.asarray(xs))
        chances = greedy_block.keep_chances(*pair, (), xs)
        after = greedy_block.modified(*pair, (), 3)
        later = 1.0
        for i in range(3, -1, -1):
            assert law.stop[i] == pytest.approx(later * chances[i], abs=EXACT)
            later *= 1 - chances[i]
            if i < 3 and law.stop[i] > EXACT:
                assert np.allclose(law.following[i], after(xs[:i]), atol=1e-9)  # a residual of small mass, normalised


@pytest.mark.parametrize(("iterations", "greedy"), [(1, 21), (2, 40), (3, 59)])
def test_totals_of_the_toy(iterations, greedy):
    assert total_tokens("greedy_block", *TOY, 2, iterations).mean == pytest.approx(greedy / 9, abs=EXACT)
    assert total_tokens("block", *TOY, 2, iterations).mean == pytest.approx(20 * iterations / 9, abs=EXACT)
    assert total_tokens("token_wise", *TOY, 2, iterations).mean == pytest.approx(19 * iterations / 9, abs=EXACT)
    thirds = [lambda context, law=(Fraction(a, 3), Fraction(3 - a, 3)): list(law) for a in (1, 2)]
    assert greedy_block.expected_total(*thirds, 2, iterations) == Fraction(greedy, 9)


def test_one_iteration_is_the_ideal_and_later_ones_pay():
    for seed in range(4):
        target, draft = random_models("dirichlet", 3, np.random.default_rng(seed))
        ideal = 1.0
        for context, mass in enumerate(target.initial):
            models = [lambda text, m=m, c=context: m.next_law((c, *text)).tolist() for m in (target, draft)]
            ideal += mass * block_rules.ideal(*models, 2)
        assert total_tokens("greedy_block", target, draft, 2, 1).mean == pytest.approx(ideal, abs=EXACT)
        assert ideal >= block_efficiency("block", target, draft, 2).mean - EXACT
        # no rule beats block verification over many iterations; greedy's head start is at most its first surplus
        second = [total_tokens(name, target, draft, 2, 2).mean - total_tokens(name, target, draft, 2, 1).mean
                  for name in ("greedy_block", "block")]
        assert second[0] <= second[1] + EXACT


def test_totals_of_other_rules():
    pair = random_models("dirichlet", 3, np.random.default_rng(2))
    one = total_tokens("winner_block", *pair, 2, 1, num_paths=2).mean
    assert one == pytest.approx(block_efficiency("winner_block", *pair, 2, num_paths=2).mean, abs=EXACT)
    memoryless = total_tokens("traversal", *TOY, 2, 3, num_paths=2).mean
    assert memoryless == pytest.approx(3 * block_efficiency("traversal", *TOY, 2, num_paths=2).mean, abs=EXACT)


def test_draws_follow_the_law():
    rng, n = np.random.default_rng(0), 4000
    target, draft = rng.dirichlet(np.ones(3), 3), rng.dirichlet(np.ones(3), 2)
    rule, tokens, state = GreedyBlock(), np.array([0, 2]), (Layer(0.7, 1),)
    law = rule.conditional(target, draft, tokens, state)
    exact = law.stop[:, None] * law.following
    seen = np.zeros_like(exact)
    for uniforms in rng.random((n, rule.num_uniforms(2))):
        verdict, later = rule.draw(target, draft, tokens, uniforms, state)
        seen[verdict.accepted, verdict.token] += 1 / n
        assert later == rule.carried(target, draft, tokens, state, int(verdict.accepted), int(verdict.token))
    assert np.all(np.abs(seen - exact) <= 5 * np.sqrt(exact * (1 - exact) / n) + EXACT)


def test_refusals():
    rule, rows = verifier("greedy_block"), np.full((3, 2), 0.5)
    with pytest.raises(SchemeMismatch, match="one path"):
        verifier("greedy_block", 2)
    with pytest.raises(ShapeMismatch, match="one path"):
        rule.carried(rows[None], rows[None, :2], [[0, 1]], FRESH, 1, 0)
    with pytest.raises(BadArgument, match="too short"):
        rule.conditional(rows, rows[:2], [0, 1], (Layer(1.0, 2),))
    with pytest.raises(TooLarge):
        total_tokens("greedy_block", *TOY, 6, 6)
