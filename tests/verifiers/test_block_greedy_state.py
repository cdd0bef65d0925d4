"""Greedy block verification with a state: histories against the slow twin, texts with a state each, trees, limits."""

import itertools

import array_api_strict as strict
import numpy as np
import pytest
import torch

from otspec.analysis.instances import random_models, random_pair
from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.core.tree import DraftTree
from otspec.verifiers.block.greedy_block import FRESH, GreedyBlock, Layer
from tests.oracles import greedy_block

EXACT = 1e-12  # products of a few dozen factors
RULE = GreedyBlock()


def rows_of(rng, family, length, size, batch=()):
    """Rows and tokens drawn from the draft rows."""
    pairs = [random_pair(family, size, rng) for _ in range(int(np.prod(batch)) * (length + 1))]
    target, draft = (np.stack(laws).reshape(*batch, length + 1, size) for laws in zip(*pairs, strict=True))
    draft = draft[..., :length, :]
    tokens = np.array([rng.choice(size, p=law) for law in draft.reshape(-1, size)], dtype=np.int64)
    return target, draft, tokens.reshape(*batch, length)


@pytest.mark.parametrize("family", ["dirichlet", "peaked", "ties"])
@pytest.mark.parametrize("length", [2, 3, 4])
def test_histories_of_blocks_are_those_of_the_slow_twin(family, length):
    rng, size = np.random.default_rng(length), 3
    tables = [model.rows for model in random_models(family, size, rng)]
    target, draft = (lambda text, rows=rows: rows[text[-1]].tolist() for rows in tables)
    for _ in range(12):
        text, goal, state, covered = (int(rng.integers(size)),), target, FRESH, []
        for _ in range(4):
            xs, contexts = (), [text]
            for _ in range(length):
                xs = (*xs, int(rng.choice(size, p=draft((*text, *xs)))))
                contexts.append((*text, *xs))
            rows = [np.array([model(context) for context in contexts]) for model in (target, draft)]
            rows = rows[0], rows[1][:length], np.array(xs)
            law, chances, later = RULE.conditional(*rows, state), greedy_block.keep_chances(goal, draft, text, xs), 1.0
            after = greedy_block.modified(goal, draft, text, length)
            for i in range(length, -1, -1):
                assert law.stop[i] == pytest.approx(later * chances[i], abs=1e-9)  # residuals of small mass, normalised
                later *= 1 - chances[i]
                if law.stop[i] > 1e-6:
                    assert np.allclose(law.following[i], (goal if i == length else after)(contexts[i]), atol=1e-7)
            kept = int(rng.choice(length + 1, p=law.stop))
            token = int(rng.choice(size, p=law.following[kept]))
            state = RULE.carried(*rows, state, kept, token)
            # a layer for each block that still has positions to come
            covered = [left - kept - 1 for left in [*covered, length] if left > kept + 1] if kept < length else []
            assert [layer.left for layer in state] == covered
            assert all(type(layer.shortfall) is float for layer in state)
            text, goal = (*contexts[kept], token), target if kept == length else after


def states_of(length):
    one, two = Layer(0.7, 1), Layer(1.8, length - 1)
    return [FRESH, (one,), (two, Layer(0.4, length - 1)), (Layer(0.9, 1),), (one, two), FRESH]


@pytest.mark.parametrize("family", ["dirichlet", "zeros", "ties", "equal"])
@pytest.mark.parametrize("length", [2, 3])
def test_texts_with_a_state_each_are_verified_as_if_alone(family, length):
    rng = np.random.default_rng(length)
    states = states_of(length) * 4
    rows = rows_of(rng, family, length, 4, (len(states),))
    coins = rng.random((len(states), RULE.num_uniforms(length)))
    coins[:6, : length] = 1 - 2**-53  # nothing is kept that can be refused
    accepted, token, after = RULE.draw_texts(*rows, coins, states)
    means = RULE.expected_texts(*rows, states)
    for i, state in enumerate(states):
        alone = [part[i] for part in rows]
        verdict, later = RULE.draw(*alone, coins[i], state)
        assert (int(accepted[i]), int(token[i])) == (int(verdict.accepted), int(verdict.token))
        assert [layer.left for layer in after[i]] == [layer.left for layer in later]
        assert [layer.shortfall for layer in after[i]] == pytest.approx([layer.shortfall for layer in later], rel=1e-14)
        assert all(type(layer.shortfall) is float for layer in after[i])
        stop = RULE.conditional(*alone, state).stop
        assert means[i] == pytest.approx(stop @ np.arange(length + 1), abs=EXACT)
        hash(after[i])


@pytest.mark.parametrize("place", [np.asarray, strict.asarray, torch.asarray], ids=["numpy", "strict", "torch"])
def test_a_batch_returns_its_states_row_by_row(place):
    rng, state = np.random.default_rng(1), (Layer(0.6, 2), Layer(1.5, 1))
    rows = rows_of(rng, "dirichlet", 3, 4, (2, 3))
    coins = rng.random((2, 3, 4))
    verdict, states = RULE.draw(*map(place, rows), place(coins), state)
    assert np.asarray(verdict.accepted).shape == (2, 3)

    def read(*given):
        return (*RULE.conditional(*given, state), RULE.expected_accepted(*given, state), RULE._kept(*given, state),
                RULE._passed(*given, state))

    found = [np.asarray(part) for part in read(*map(place, rows))]
    for number, index in enumerate(itertools.product(range(2), range(3))):
        alone = [part[index] for part in rows]
        one, later = RULE.draw(*alone, coins[index], state)
        assert [int(part[index]) for part in verdict] == [int(part) for part in one]
        assert states[number] == later == RULE.carried(*map(place, alone), state, int(one.accepted), int(one.token))
        for part, mine in zip(found, read(*alone), strict=True):
            assert np.allclose(part[index], mine, atol=EXACT)


def test_chances_of_prefixes_with_a_state_are_those_of_the_law():
    rng, size, length = np.random.default_rng(6), 3, 3
    target, draft = random_models("dirichlet", size, rng)
    paths = np.array(list(itertools.product(range(size), repeat=length)))
    contexts = np.concatenate([np.ones_like(paths[:, :1]), paths], axis=1)
    rows, state = (target.rows[contexts], draft.rows[contexts[:, :-1]], paths), (Layer(0.8, 2), Layer(1.3, 1))
    mass = np.take_along_axis(rows[1], paths[..., None], axis=-1)[..., 0]
    kept, passed = RULE._kept(*rows, state), RULE._passed(*rows, state)
    reached = (mass.prod(axis=1)[:, None] * np.cumsum(RULE.conditional(*rows, state).stop[:, :0:-1], axis=1))[:, ::-1]
    for i in range(length):
        below = size ** (length - 1 - i)
        exact = reached[:, i].reshape(-1, below).sum(axis=1)
        assert np.allclose(mass[::below, : i + 1].prod(axis=1) * kept[::below, i], exact, atol=EXACT)
        before = mass[:: below * size, :i].prod(axis=1)
        assert np.allclose(before * passed[:: below * size, i], exact.reshape(-1, size).sum(axis=1), atol=EXACT)


def test_a_tree_of_one_path_carries_the_state_of_the_block():
    rng, state = np.random.default_rng(2), (Layer(0.6, 1),)
    target, draft, tokens = rows_of(rng, "dirichlet", 3, 4)
    given = DraftTree.from_paths([tokens.tolist()]), target, np.concatenate([draft, target[-1:]])
    mine, block = RULE.conditional(*given, state), RULE.conditional(target, draft, tokens, state)
    assert np.allclose(mine.stop, block.stop, atol=EXACT)
    assert RULE.expected_accepted(*given, state) == pytest.approx(block.stop @ np.arange(4), abs=EXACT)
    for coins in rng.random((20, 2)):
        verdict, later = RULE.draw(*given, coins, state)
        assert later == RULE.carried(*given, state, *verdict) \
            == RULE.carried(target, draft, tokens, state, verdict.node, verdict.token)


def test_a_path_whose_products_leave_the_range_of_floats():
    """Masses of 1e-360 and 1e-330 on the way, whose ratio is what counts; a ratio may itself be too large or small."""
    rare, rarer, often = [1e-11, 1 - 1e-11], [1e-12, 1 - 1e-12], [0.5, 0.5]
    for first, second, third, fourth in ((rare, rarer, rarer, rare), (rarer, rare, rare, rarer),
                                         (often, rarer, often, rarer), (rarer, often, rarer, often)):
        target, draft = np.array([first] * 30 + [third] * 30 + [rare]), np.array([second] * 30 + [fourth] * 30)
        tokens = np.zeros(60, dtype=np.int64)
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            kept, law = RULE._kept(target, draft, tokens), RULE.conditional(target, draft, tokens)
        ratio = np.cumsum(np.log(target[:60, 0]) - np.log(draft[:, 0]))
        assert np.allclose(kept, np.exp(np.minimum(ratio, 0)), rtol=1e-9, atol=1e-300)
        assert law.stop[-1] == pytest.approx(np.exp(min(ratio[-1], 0.0)), rel=1e-9)
        assert law.stop.sum() == pytest.approx(1, abs=EXACT)
        assert np.isfinite(law.following).all()


@pytest.mark.parametrize("batch", [(), (2,), (2, 1)])
def test_a_block_without_tokens(batch):
    target, draft, tokens = np.broadcast_to([0.3, 0.7], (*batch, 1, 2)), np.zeros((*batch, 0, 2)), \
        np.zeros((*batch, 0), dtype=np.int64)
    law = RULE.conditional(target, draft, tokens)
    assert law.stop.shape == (*batch, 1)
    assert np.all(law.stop == 1)
    assert np.array_equal(law.following, target)
    assert RULE._kept(target, draft, tokens).shape == RULE._passed(target, draft, tokens).shape == (*batch, 0)
    verdict, later = RULE.draw(target, draft, tokens, np.full((*batch, 1), 0.5))
    assert np.all(verdict.accepted == 0)
    assert np.all(verdict.token == 1)
    assert later == (FRESH if not batch else [FRESH] * 2)


def test_states_that_fit_and_states_that_are_longer_than_the_path():
    rng = np.random.default_rng(0)
    rows = rows_of(rng, "dirichlet", 3, 3)
    fits, longer = (Layer(1.0, 2), Layer(1.0, 1)), (Layer(1.0, 1), Layer(1.0, 3))
    assert RULE.conditional(*rows, fits).stop.sum() == pytest.approx(1, abs=EXACT)
    for ask in (RULE.conditional, RULE.expected_accepted, lambda *given: RULE.carried(*given, 0, 0)):
        with pytest.raises(BadArgument, match="state: 3 positions are still modified, a path of 3 is too short"):
            ask(*rows, longer)
    with pytest.raises(ShapeMismatch, match=r"tokens: shape \(1, 3\) is not one path"):
        RULE.carried(*(part[None] for part in rows), FRESH, 0, 0)
    assert RULE.fresh_state() == FRESH == ()


def test_a_token_without_target_mass_leaves_no_shortfall():
    """Such a token is never emitted; what is said of a state after it is finite all the same."""
    target, draft = np.array([[0.0, 1.0], [0.5, 0.5], [0.5, 0.5]]), np.array([[0.5, 0.5], [0.25, 0.75]])
    with np.errstate(all="raise"):
        state = RULE.carried(target, draft, np.array([1, 1]), (Layer(0.5, 1),), 0, 0)
    assert state == (Layer(0.0, 1),)
    # what the block drafts is of no account to a state without shortfall
    assert np.array_equal(RULE.conditional(target, draft, np.array([1, 1]), state).following[2], target[2])
