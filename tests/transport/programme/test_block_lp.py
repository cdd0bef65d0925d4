"""The programme of fronts on small trees: each part against its definition, over all prefixes and all fronts."""

import itertools

import numpy as np
import pytest

from otspec.analysis.dual.exact import Laws, dual_value
from otspec.transport.programme import block_lp
from otspec.transport.programme.block_lp import capacity
from tests.conftest import random_law
from tests.oracles import paths

EXACT = 1e-12  # sums of a few dozen products of a few factors
SOLVER = 1e-8  # HiGHS is asked for 1e-10, relative to each row
SHAPES = [(2, 2, 2), (3, 2, 1), (2, 3, 3), (3, 2, 2), (3, 1, 2)]  # V, L, K
BOTH = pytest.mark.parametrize("stateless", [True, False], ids=["stateless", "one-call"])


def prefixes(size, length):
    return [text for depth in range(1, length + 1) for text in itertools.product(range(size), repeat=depth)]


def law_of(rng, size, kind):
    """A law without small masses, one with zeros, one with ties, or one over many decades."""
    if kind in ("zeros", "ties"):
        return random_law(rng, size, **{kind: True})
    weights = 10.0 ** -rng.uniform(0, 25, size) if kind == "decades" else rng.dirichlet(np.ones(size)) + 0.01
    return weights / weights.sum()


def toys(rng, kind="smooth", count=3):
    """Laws of the next token after every prefix of 0 .. L-1 tokens, of both models; and V, L, K."""
    for size, length, many in SHAPES:
        for _ in range(count):
            yield *([np.array([law_of(rng, size, some) for _ in range(size**depth)]) for depth in range(length)]
                    for some in ("smooth" if kind == "decades" else kind, kind)), size, length, many


def after(steps, text):
    """Law of the next token after a text; flat after the last prefix."""
    size = steps[0].shape[-1]
    if len(text) == len(steps):
        return np.full(size, 1 / size)
    return steps[len(text)][int("0" + "".join(map(str, text)), size)]


def mass(steps, text):
    return float(np.prod([after(steps, text[:i])[x] for i, x in enumerate(text)]))


def trees(rng, kind="smooth", count=3):
    """Trees beside the texts of their nodes."""
    for target, draft, size, length, many in toys(rng, kind, count):
        nodes = block_lp.tree(target, draft, many)
        texts = [prefixes(size, length)[label] for label in nodes.label]
        if texts:
            yield nodes, texts


def fronts(texts):
    """All sets of nodes of which none extends another, as places in the tree."""
    found = [[]]
    for place, text in enumerate(texts):
        found += [[*front, place] for front in found if all(texts[i] != text[: len(texts[i])] for i in front)]
    return [np.array(front) for front in found if front]


def chosen(rng, every, count=3):
    """Some fronts with prices, one of which is free."""
    picked = [every[i] for i in rng.integers(len(every), size=count + 1)]
    return picked, np.append(rng.exponential(rng.choice([0.4, 1.5]), count), 0.0)


def children(texts, place):
    return [i for i, text in enumerate(texts) if text[:-1] == texts[place]]


def test_the_capacity_is_the_chance_that_a_path_meets_a_front():
    for many in (1, 2, 5):
        for drafted in (0.0, 1e-17, 0.3, 1.0, 1.0 + 1e-15):
            assert capacity(drafted, many) == pytest.approx(1 - (1 - min(drafted, 1.0)) ** many or many * drafted,
                                                            rel=1e-12)
    np.testing.assert_allclose(capacity(np.array([0.5, 1.0]), 2), [0.75, 1.0], rtol=1e-15)


@pytest.mark.parametrize("kind", ["smooth", "zeros"])
def test_nodes_are_the_prefixes_that_both_models_know(kind, rng):
    for target, draft, size, length, many in toys(rng, kind):
        nodes = block_lp.tree(target, draft, many)
        every = prefixes(size, length)
        live = [text for text in every if mass(target, text) > 0 and mass(draft, text) > 0]
        assert [every[label] for label in nodes.label] == live
        assert nodes.paths == many
        assert nodes.possible.tolist() == [mass(target, text) > 0 for text in every]
        assert nodes.parent.tolist() == [live.index(text[:-1]) if len(text) > 1 else -1 for text in live]
        for found, want in ((nodes.target, [mass(target, text) for text in live]),
                            (nodes.draft, [mass(draft, text) for text in live]),
                            (nodes.step, [after(target, text[:-1])[text[-1]] for text in live]),
                            (nodes.ceiling, [min(mass(target, text), 1 - (1 - mass(draft, text)) ** many)
                                             for text in live])):
            np.testing.assert_allclose(found, want, rtol=1e-13, atol=1e-15)


@BOTH
@pytest.mark.parametrize("kind", ["smooth", "zeros"])
def test_prices_pay_for_nodes_what_fronts_do_not(stateless, kind, rng):
    """The recursions of the bound and of the prices of nodes, each written from one node to the next."""
    for nodes, texts in trees(rng, kind):
        picked, prices = chosen(rng, fronts(texts))

        def gain(node, nodes=nodes, picked=picked, prices=prices):
            return 1.0 - sum(price for front, price in zip(picked, prices, strict=True) if node in front)

        def worth(node, gain=gain, nodes=nodes, texts=texts):
            return max(gain(node) + sum(worth(i) * nodes.step[i] for i in children(texts, node)), 0.0)

        def owed(node, gain=gain, nodes=nodes):
            return gain(node) + (min(owed(nodes.parent[node]), 0.0) if nodes.parent[node] >= 0 else 0.0)

        priced = sum(price * capacity(nodes.draft[front].sum(), nodes.paths)
                     for front, price in zip(picked, prices, strict=True))
        if stateless:
            each = [worth(i) for i in range(len(texts))]
        else:
            each = [max(owed(i), 0.0) * (nodes.target[i] <= capacity(nodes.draft[i], nodes.paths))
                    for i in range(len(texts))]
        np.testing.assert_allclose(block_lp.dual(nodes, picked, prices, stateless=stateless), each, atol=EXACT)
        if stateless:
            paid = sum(worth(i) * nodes.step[i] for i in range(len(texts)) if nodes.parent[i] < 0)
        else:
            paid = sum(max(owed(i), 0.0) * nodes.ceiling[i] for i in range(len(texts)))
        assert block_lp.bound(nodes, picked, prices, stateless=stateless) == pytest.approx(priced + paid, abs=EXACT)


@BOTH
@pytest.mark.parametrize("kind", ["smooth", "decades"])
def test_prices_of_nodes_prove_what_prices_of_fronts_do(stateless, kind, rng):
    """Without the fronts, the mean over drafted trees pays no more than they did."""
    for target, draft, size, length, many in toys(rng, kind):
        nodes = block_lp.tree(target, draft, many)
        for _ in range(3):
            picked, prices = chosen(rng, fronts(prefixes(size, length)))
            found = block_lp.dual(nodes, picked, prices, stateless=stateless)
            assert (found >= 0).all()
            assert stateless or (found <= 1).all()
            proved = dual_value(Laws(target, draft), found, many, kind="stateless" if stateless else "one_call")
            assert proved <= 1 + block_lp.bound(nodes, picked, prices, stateless=stateless) + 1e-11  # 1e-13 a node


@BOTH
@pytest.mark.parametrize("kind", ["smooth", "zeros", "ties"])
def test_masses_are_repaired_by_the_smallest_change(stateless, kind, rng):
    for nodes, texts in trees(rng, kind):
        for scale in (0.2, 1.0):
            given = scale * rng.random(len(texts)) ** 2
            want = np.minimum(given, nodes.ceiling)
            for i in range(len(texts)) if stateless else reversed(range(len(texts))):
                if stateless and nodes.parent[i] >= 0:
                    want[i] = min(want[i], want[nodes.parent[i]] * nodes.step[i])
                elif not stateless:
                    want[i] = max(want[i], sum(want[j] for j in children(texts, i)))
            every = fronts(texts)
            worst = min([capacity(nodes.draft[u].sum(), nodes.paths) / want[u].sum() for u in every if want[u].sum()],
                        default=1.0)
            before = given.copy()
            found, overdrawn = block_lp.repaired(nodes, given, stateless=stateless)
            np.testing.assert_allclose(found, want * min(1.0, worst), atol=EXACT)
            np.testing.assert_array_equal(given, before)
            assert abs(worst - 1) < EXACT or bool(overdrawn) == (worst < 1)
            for front in overdrawn:
                assert want[front].sum() > capacity(nodes.draft[front].sum(), nodes.paths) - EXACT


@BOTH
def test_a_rule_that_uses_all_its_room_or_none_overdraws_nothing(stateless):
    nodes = block_lp.tree([np.array([[0.5, 0.5]])], [np.array([[0.5, 0.5]])], 1)
    for passing in (nodes.ceiling, np.zeros(2)):
        found, overdrawn = block_lp.repaired(nodes, passing, stateless=stateless)
        assert (found.tolist(), overdrawn) == (passing.tolist(), [])


@pytest.mark.parametrize("kind", ["smooth", "zeros", "ties"])
def test_the_hull_is_that_of_all_fronts(kind, rng):
    """At every price of draft mass some front of the hull, or none, passes most beyond its price."""
    for nodes, texts in trees(rng, kind):
        every, passing = fronts(texts), rng.random(len(texts)) * (rng.random(len(texts)) < 0.8)
        for i in reversed(range(len(texts))):
            passing[i] = max(passing[i], sum(passing[j] for j in children(texts, i)))
        found = block_lp.hull_fronts(nodes, passing)
        assert {front.tobytes() for front in found} <= {front.tobytes() for front in every}
        assert len(found) == len({front.tobytes() for front in found})
        for price in 10 ** rng.uniform(-2, 2, 8):
            best, of_hull = (max([passing[u].sum() - price * nodes.draft[u].sum() for u in some], default=0.0)
                             for some in (every, found))
            assert max(of_hull, 0.0) == pytest.approx(max(best, 0.0), abs=EXACT * (1 + price))


@BOTH
@pytest.mark.parametrize("kind", ["smooth", "zeros", "ties"])
def test_with_all_fronts_the_programme_is_the_optimum_and_its_prices_prove_it(stateless, kind, rng):
    slow = paths.stateless_optimum if stateless else paths.one_call_optimum
    for target, draft, size, length, many in toys(rng, kind, 1):
        nodes = block_lp.tree(target, draft, many)
        every = fronts([prefixes(size, length)[label] for label in nodes.label])
        if not every:
            continue
        passing, prices = block_lp._programme(nodes, every, stateless)
        alone = list(np.arange(passing.size)[:, None])
        assert (prices >= 0).all()
        assert prices.size == passing.size + len(every)
        assert block_lp.bound(nodes, [*alone, *every], prices, stateless=stateless) == pytest.approx(
            passing.sum(), abs=SOLVER)
        kept, _ = block_lp.repaired(nodes, passing, stateless=stateless)
        assert kept.sum() == pytest.approx(passing.sum(), abs=SOLVER)
        if size**length < 9:
            optimum = slow(lambda u, steps=target: after(steps, u).tolist(),
                           lambda u, steps=draft: after(steps, u).tolist(), length, many)
            assert passing.sum() == pytest.approx(optimum, abs=1e-6)  # the slow programme is met to 1e-7


@BOTH
@pytest.mark.parametrize("kind", ["smooth", "decades"])
def test_the_optimum_is_proved_by_prices_of_nodes_as_by_those_of_fronts(stateless, kind, rng):
    for target, draft, _, _, many in toys(rng, kind, 2):
        nodes = block_lp.tree(target, draft, many)
        found = block_lp.solve(nodes, stateless=stateless)
        prices = block_lp.dual(nodes, found.fronts, found.prices, stateless=stateless)
        proved = dual_value(Laws(target, draft), prices, many, kind="stateless" if stateless else "one_call")
        assert proved == pytest.approx(1 + found.upper, abs=2e-9)


@BOTH
@pytest.mark.parametrize("kind", ["smooth", "zeros"])
def test_both_ends_of_a_solution_have_their_evidence(stateless, kind, rng):
    for nodes, texts in trees(rng, kind, 1):
        found = block_lp.solve(nodes, stateless=stateless)
        assert found.lower <= found.upper + EXACT
        assert found.upper - found.lower <= 1e-9
        assert found.lower == pytest.approx(found.passing.sum(), abs=EXACT)
        assert found.upper == pytest.approx(block_lp.bound(nodes, found.fronts, found.prices, stateless=stateless),
                                            abs=EXACT)
        assert len(found.fronts) == found.prices.size
        assert (found.prices > 0).all()
        for front in fronts(texts):
            assert found.passing[front].sum() <= capacity(nodes.draft[front].sum(), nodes.paths) + EXACT
    nothing = block_lp.tree([np.array([[1.0, 0.0]])], [np.array([[0.0, 1.0]])], 2)
    found = block_lp.solve(nothing, stateless=stateless)
    assert (found.lower, found.upper, found.passing.size, found.fronts, found.prices.size) == (0.0, 0.0, 0, [], 0)


@BOTH
def test_a_node_that_drafts_hardly_reach_is_granted_its_room(stateless):
    """Below the solver's digits the bound pays for a node what it can pass at most, and no more."""
    target, draft = [np.array([[0.5, 0.5]])], [np.array([[1.0 - 1e-15, 1e-15]])]
    nodes = block_lp.tree(target, draft, 2)
    found = block_lp.bound(nodes, [np.array([0])], np.array([0.25]), stateless=stateless)
    assert found == pytest.approx(0.25 + 0.75 * 0.5 + 2e-15, abs=1e-15)
