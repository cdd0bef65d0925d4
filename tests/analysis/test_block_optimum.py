"""The block optimum: toy values, both sides checked again from scratch, slow programmes, and every rule below it."""

import itertools

import numpy as np
import pytest
from scipy.optimize import OptimizeResult

import otspec as ot
from otspec.analysis.block_optimum import block_optimum
from otspec.analysis.blocks import block_efficiency
from otspec.analysis.dual.exact import dual_value, laws_after
from otspec.analysis.exact import acceptance
from otspec.analysis.instances import FAMILIES, random_models
from otspec.core.errors import BadArgument, NotCertified, ShapeMismatch, TooLarge
from otspec.core.markov import MarkovModel
from otspec.transport.programme import block_lp
from tests.oracles import block_rules, golden, paths

EXACT = 1e-12  # sums of at most a few thousand products of a dozen factors
CERTIFIED = 2e-9  # the cutting planes stop at a gap of 1e-9
SOLVER = 1e-7  # feasibility tolerance of HiGHS in the slow programmes
KINDS = ["stateless", "one_call"]
SLOW = {"stateless": paths.stateless_optimum, "one_call": paths.one_call_optimum}
TOY = (MarkovModel.memoryless([1 / 3, 2 / 3]), MarkovModel.memoryless([2 / 3, 1 / 3]))


def models(family, size=3, order=1, seed=0):
    return random_models(family, size, np.random.default_rng(seed), order=order)


def started(model, context):
    """The same model with a known first context."""
    initial = np.zeros_like(model.initial)
    initial[tuple(context)] = 1.0
    return MarkovModel(model.transition, initial)


def next_law(model, context):
    return lambda text: model.next_law((*context, *text)).tolist()


def prefixes(size, length):
    """All prefixes in the order in which the optimum numbers them."""
    return [text for depth in range(1, length + 1) for text in itertools.product(range(size), repeat=depth)]


def mass(model, context, text):
    """Probability of a text."""
    return float(np.prod([model.next_law((*context, *text[:i]))[x] for i, x in enumerate(text)]))


def fronts(size, length):
    """All sets of prefixes of which none extends another."""

    def below(text):
        if len(text) == length:
            return [(text,)]
        joined = [tuple(itertools.chain(*parts))
                  for parts in itertools.product(*([(), *below((*text, y))] for y in range(size)))]
        return [(text,), *(front for front in joined if front)]

    return [tuple(itertools.chain(*parts)) for parts in itertools.product(*([(), *below((x,))] for x in range(size)))]


@pytest.mark.parametrize("gamma", golden.BLOCK_TOY)
def test_printed_toy_values(gamma):
    _, block, ideal = golden.BLOCK_TOY[gamma]
    for kind, value in (("stateless", block), ("one_call", ideal)):
        if value is not None:
            found = block_optimum(*TOY, gamma, kind=kind)
            assert found.lower == pytest.approx(1 + value, abs=5.1e-7)  # six printed decimals
            assert abs(found.gap) < EXACT


def test_toy_at_two_is_exact():
    stateless, one_call = (block_optimum(*TOY, 2, kind=kind) for kind in KINDS)
    assert stateless.lower == pytest.approx(20 / 9, abs=EXACT)
    assert stateless.upper == pytest.approx(20 / 9, abs=EXACT)
    assert one_call.lower == pytest.approx(21 / 9, abs=EXACT)
    assert one_call.upper == pytest.approx(21 / 9, abs=EXACT)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("length", [1, 2, 3])
def test_one_path(family, length):
    """Block verification is the stateless optimum; the one-call optimum is the overlap of the laws of prefixes."""
    pair = models(family)
    stateless = block_optimum(*pair, length)
    assert stateless.lower == pytest.approx(block_efficiency("block", *pair, length).mean, abs=CERTIFIED)
    assert abs(stateless.gap) < CERTIFIED
    ideal = sum(law * block_rules.ideal(next_law(pair[0], (x,)), next_law(pair[1], (x,)), length)
                for x, law in enumerate(pair[0].initial))
    one_call = block_optimum(*pair, length, kind="one_call")
    assert one_call.lower == pytest.approx(1 + ideal, abs=CERTIFIED)
    assert one_call.upper == pytest.approx(1 + ideal, abs=CERTIFIED)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["dirichlet", "zeros", "peaked"])
@pytest.mark.parametrize("num_paths", [2, 3, 5])
def test_one_token_is_the_membership_optimum(kind, family, num_paths):
    pair = models(family, 5)
    expected = sum(law * ot.optimal_acceptance(pair[0].transition[x], pair[1].transition[x], num_paths)
                   for x, law in enumerate(pair[0].initial))
    found = block_optimum(*pair, 1, num_paths=num_paths, kind=kind)
    assert found.lower == pytest.approx(1 + expected, abs=CERTIFIED)
    assert found.upper == pytest.approx(1 + expected, abs=CERTIFIED)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("size", "order", "length", "num_paths"), [(3, 1, 2, 2), (2, 2, 3, 2), (2, 1, 2, 4)])
@pytest.mark.parametrize("family", ["dirichlet", "zeros", "ties"])
def test_slow_programmes_agree(kind, family, size, order, length, num_paths):
    for seed in range(3):
        target, draft = models(family, size, order, seed)
        context = (0, 1)[:order]
        found = block_optimum(started(target, context), draft, length, num_paths=num_paths, kind=kind)
        slow = SLOW[kind](next_law(target, context), next_law(draft, context), length, num_paths)
        assert found.lower == pytest.approx(1 + slow, abs=SOLVER)
        assert abs(found.gap) < CERTIFIED


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["dirichlet", "zeros", "decades"])
def test_lower_end_belongs_to_a_rule(kind, family):
    """Every front, not only those of the solver, leaves room for the passing masses; nothing else is needed."""
    length, num_paths = 2, 2
    target, draft = models(family, seed=4)
    found = block_optimum(target, draft, length, num_paths=num_paths, kind=kind)
    nodes = prefixes(3, length)
    for context, passing in zip(found.contexts, found.passing, strict=True):
        kept = dict(zip(nodes, passing, strict=True))
        drafted = {text: mass(draft, context, text) for text in nodes}
        for front in fronts(3, length):
            room = 1 - (1 - sum(drafted[u] for u in front)) ** num_paths
            assert sum(kept[u] for u in front) <= room + EXACT
        for text in nodes:
            step = target.next_law((*context, *text[:-1]))[text[-1]]
            room = kept.get(text[:-1], 1.0) * step if kind == "stateless" else mass(target, context, text)
            assert kept[text] <= room + EXACT
            assert kept[text] >= sum(kept.get((*text, y), 0.0) for y in range(3)) - EXACT
    assert found.lower == pytest.approx(1 + float(found.context_law @ found.passing.sum(axis=1)), abs=EXACT)


@pytest.mark.parametrize("kind", KINDS)
def test_any_prices_bound_every_rule(kind, rng):
    """The upper end needs no optimality: random prices of random fronts bound the optimum too."""
    target, draft = ([rng.dirichlet(np.ones(3), 3**depth) for depth in range(2)] for _ in range(2))
    nodes = block_lp.tree(target, draft, 2)
    best = block_lp.solve(nodes, stateless=kind == "stateless")
    every = [np.array([prefixes(3, 2).index(u) for u in front]) for front in fronts(3, 2) if front]
    for _ in range(50):
        prices = rng.exponential(0.3, 4)
        chosen = [every[i] for i in rng.integers(len(every), size=4)]
        assert block_lp.bound(nodes, chosen, prices, stateless=kind == "stateless") >= best.lower - EXACT
    assert block_lp.bound(nodes, best.fronts, best.prices, stateless=kind == "stateless") == pytest.approx(
        best.upper, abs=EXACT)


def test_hull_holds_the_front_that_is_overdrawn_most(rng):
    """The pooled slopes find the largest ratio of passing mass to capacity over all fronts."""
    for _ in range(20):
        target, draft = ([rng.dirichlet(np.full(3, 0.5), 3**depth) for depth in range(2)] for _ in range(2))
        nodes = block_lp.tree(target, draft, 3)
        passing = np.zeros(12)
        for node in range(12):
            above = 1.0 if nodes.parent[node] < 0 else passing[nodes.parent[node]]
            passing[node] = above * nodes.step[node] * rng.random()

        def ratio(front, passing=passing, nodes=nodes):
            return passing[front].sum() / block_lp.capacity(nodes.draft[front].sum(), 3)

        every = [np.array([prefixes(3, 2).index(u) for u in front]) for front in fronts(3, 2) if front]
        found = max(ratio(front) for front in block_lp.hull_fronts(nodes, passing))
        largest = max(ratio(front) for front in every)
        # below capacity the largest ratio may lie off the hull; what matters is whether any exceeds one after scaling
        scaled = passing / largest
        assert max(ratio(front, scaled) for front in block_lp.hull_fronts(nodes, scaled)) == pytest.approx(1, abs=EXACT)
        assert found == pytest.approx(largest, abs=EXACT)


@pytest.mark.parametrize("family", ["dirichlet", "peaked", "zeros"])
@pytest.mark.parametrize("num_paths", [2, 3])
def test_no_rule_beats_the_optimum(family, num_paths):
    for seed in range(3):
        target, draft = models(family, seed=seed)
        pair = started(target, (1,)), draft
        stateless, one_call = (block_optimum(*pair, 2, num_paths=num_paths, kind=kind) for kind in KINDS)
        assert stateless.lower <= one_call.upper + EXACT
        for rule in ("recursive", "k_seq", "optimal"):
            assert block_efficiency(rule, *pair, 2, num_paths=num_paths).mean <= stateless.upper + EXACT
        if num_paths == 2:
            laws = next_law(target, (1,)), next_law(draft, (1,))
            for rule in paths.PATH_RULES.values():
                assert 1 + paths.expected_accepted(rule, *laws, 2, 2) <= stateless.upper + EXACT


def test_best_rule_is_within_one_percent():
    """On random laws of three tokens; a single instance may lie several percent below."""
    gaps = []
    for seed in range(20):
        target, draft = models("dirichlet", seed=seed)
        found = block_optimum(started(target, (0,)), draft, 2, num_paths=2)
        laws = next_law(target, (0,)), next_law(draft, (0,))
        best = max(paths.expected_accepted(rule, *laws, 2, 2) for rule in paths.PATH_RULES.values())
        gaps.append(1 - (1 + best) / found.upper)
    assert 0 < np.mean(gaps) < 0.01
    assert min(gaps) > -EXACT


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("family", "size", "length", "num_paths"), [
    ("dirichlet", 3, 2, 2), ("zeros", 3, 2, 2), ("ties", 2, 3, 3), ("decades", 3, 2, 1), ("dirichlet", 3, 3, 2)])
def test_mixture_of_orders_reaches_the_optimum(kind, family, size, length, num_paths):
    """Frank and Wolfe's rule, its picked path's law by brute force, and its bound, beside the cutting planes."""
    target, draft = models(family, size, seed=1)
    pair = started(target, (0,)), draft
    found = block_optimum(*pair, length, num_paths=num_paths, kind=kind, method="frank_wolfe")
    other = block_optimum(*pair, length, num_paths=num_paths, kind=kind)
    assert found.upper == pytest.approx(other.upper, abs=1e-7)
    assert found.lower == pytest.approx(other.lower, abs=1e-7)
    assert found.lower <= other.upper + CERTIFIED
    for each in (found, other):
        assert dual_value(laws_after(*pair, [0], length), each.dual[0], num_paths, kind=kind) == pytest.approx(
            each.upper, abs=CERTIFIED)
    (mixture,) = found.mixture
    assert mixture.weights.sum() == pytest.approx(1, abs=EXACT)
    nodes = prefixes(size, length)
    picked = sum(weight * picked_law(ranks, nodes, size, length, num_paths, pair[1])
                 for weight, ranks in zip(mixture.weights, mixture.ranks, strict=True))
    passing = {(): 1.0}
    for number, text in enumerate(nodes):
        step = target.next_law((0, *text[:-1]))[text[-1]]
        most = passing[text[:-1]] * step if kind == "stateless" else mass(target, (0,), text)
        passing[text] = min(picked[number], most)
    assert sum(passing.values()) == pytest.approx(found.lower, abs=1e-9)


def picked_law(ranks, nodes, size, length, num_paths, draft):
    """Probability of every prefix of the path that an order picks, over all tuples of paths."""
    number = {text: i for i, text in enumerate(nodes)}
    law = np.zeros(len(nodes))

    def rank(path):
        known = [number[path[:depth]] for depth in range(length, 0, -1) if ranks[number[path[:depth]]] >= 0]
        return ranks[known[0] if known else -1]

    texts = list(itertools.product(range(size), repeat=length))
    chances = [mass(draft, (0,), text) for text in texts]
    for drawn in itertools.product(range(len(texts)), repeat=num_paths):
        best = min((texts[i] for i in drawn), key=rank)
        weight = float(np.prod([chances[i] for i in drawn]))
        for depth in range(1, length + 1):
            law[number[best[:depth]]] += weight
    return law


def test_contexts_are_averaged():
    target, draft = models("dirichlet", 3, 2, 7)
    found = block_optimum(target, draft, 2, num_paths=2)
    single = [block_optimum(started(target, context), draft, 2, num_paths=2) for context in np.ndindex(3, 3)]
    law = target.initial.ravel()
    assert found.lower == pytest.approx(float(law @ [b.lower for b in single]), abs=EXACT)
    assert found.upper == pytest.approx(float(law @ [b.upper for b in single]), abs=EXACT)
    assert found.upper == found.cut.value


def test_a_million_paths():
    target, draft = models("dirichlet", seed=3)
    found = block_optimum(target, draft, 2, num_paths=10**6)
    assert found.lower == pytest.approx(3.0, abs=1e-6)
    assert abs(found.gap) < CERTIFIED


def test_more_paths_and_longer_ones_help():
    target, draft = models("dirichlet", seed=3)
    for kind in KINDS:
        values = [block_optimum(target, draft, 2, num_paths=k, kind=kind).lower for k in (1, 2, 4, 64)]
        assert values == sorted(values)
        assert 2.9 < values[-1] < 3.0
        values = [block_optimum(target, draft, length, num_paths=2, kind=kind).lower for length in (1, 2, 3)]
        assert values == sorted(values)


def test_equal_models_keep_everything():
    target, _ = models("dirichlet")
    for kind in KINDS:
        found = block_optimum(target, target, 3, kind=kind)
        assert found.lower == pytest.approx(4.0, abs=EXACT)
        assert found.upper == pytest.approx(4.0, abs=CERTIFIED)


def test_disjoint_models_keep_nothing():
    found = block_optimum(MarkovModel.memoryless([1.0, 0.0]), MarkovModel.memoryless([0.0, 1.0]), 3, num_paths=2)
    assert (found.lower, found.upper) == (1.0, 1.0)


def test_large_trees():
    pair = random_models("dirichlet", 4, np.random.default_rng(0))
    found = block_optimum(started(pair[0], (0,)), pair[1], 3, num_paths=4)
    assert abs(found.gap) < CERTIFIED
    assert acceptance("optimal", pair[0].transition[0], pair[1].transition[0], 4) + 1 < found.lower
    assert "optimal tokens per call" in str(found)


def test_masses_that_no_rule_passes_are_repaired(rng):
    """A prefix passes at most what its parent passes, times the chance of its last token, at every depth."""
    target, draft = ([rng.dirichlet(np.ones(3), 3**depth) for depth in range(3)] for _ in range(2))
    nodes = block_lp.tree(target, draft, 2)
    passing, _ = block_lp.repaired(nodes, rng.random(nodes.target.size), stateless=True)
    inner = np.flatnonzero(nodes.parent >= 0)
    assert (passing[inner] <= passing[nodes.parent[inner]] * nodes.step[inner] + EXACT).all()
    assert {0, 1} <= set(nodes.parent[inner].tolist())


@pytest.mark.parametrize("method", ["fronts", "frank_wolfe"])
def test_a_solver_that_stops_is_reported(method, monkeypatch):
    monkeypatch.setattr("scipy.optimize.linprog", lambda *_, **__: OptimizeResult(x=None, message="No time left."))
    with pytest.raises(NotCertified, match=r"HiGHS stopped without a solution: No time left\. Fix: a"):
        block_optimum(*models("dirichlet", 3, 1), 2, num_paths=2, method=method)


def test_bad_arguments():
    with pytest.raises(BadArgument, match="kind: 'ideal'"):
        block_optimum(*TOY, 2, kind="ideal")
    with pytest.raises(BadArgument, match="method: 'simplex'"):
        block_optimum(*TOY, 2, method="simplex")
    with pytest.raises(BadArgument, match="draft_length"):
        block_optimum(*TOY, 0)
    with pytest.raises(BadArgument, match="num_paths"):
        block_optimum(*TOY, 2, num_paths=0)
    with pytest.raises(BadArgument, match="draft_model"):
        block_optimum(TOY[0], [0.5, 0.5], 2)
    with pytest.raises(ShapeMismatch, match="vocabularies differ"):
        block_optimum(TOY[0], MarkovModel.memoryless([1.0]), 2)
    with pytest.raises(TooLarge, match="context"):
        block_optimum(*models("dirichlet", 5, 3), 3)
    with pytest.raises(TooLarge, match="prefixes") as caught:
        block_optimum(*TOY, 40)
    assert caught.value.estimate > 2**40
