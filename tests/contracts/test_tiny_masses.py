"""Masses from 1 down to the smallest float: a token exists if and only if its mass is positive, in every part alike.

Draws without replacement reach a token of mass 5e-324 as surely as any other once nothing else is left, so no
certificate may count it as absent. With replacement such a token is never met, and must disturb nothing.
"""

import numpy as np
import pytest
import torch

import otspec as ot
from otspec.core.schemes import Hybrid
from otspec.transport.without_replacement.race import race_increments
from otspec.transport.without_replacement.race_parallel import race_increments_parallel
from otspec.transport.without_replacement.spread import narrow_gaps
from otspec.verifiers import REGISTRY

MET = 1e-9  # what a certificate promises
LAW = 1e-9  # the output law of a rule, summed over at most 6^4 lists
SMALLEST = 5e-324
WITHOUT = [ot.WithoutReplacement(2), ot.WithoutReplacement(3), ot.WithoutReplacement(4), ot.Greedy(2), ot.Greedy(3),
           ot.Hybrid(1, 3), ot.Hybrid(2, 4), ot.Hub()]
SCHEMES = [*WITHOUT, ot.WithReplacement(2), ot.WithReplacement(3), ot.Independent(2), ot.Independent(3)]


def peaked(rng, size):
    """Draft law with masses anywhere between 1 and 5e-324, some equal, some zero; a target of either kind."""
    kind = rng.integers(5)
    exponent = rng.uniform(-323.3, 0, size)
    if kind == 1:
        exponent = rng.choice([0.0, -3.0, -200.0, -323.3], size)
    elif kind == 2:
        exponent = -np.arange(size) * rng.uniform(10, 323.3 / size)
    elif kind == 3:
        exponent = np.where(np.arange(size) < 2, 0.0, rng.uniform(-323.3, -290, size))
    elif kind == 4:
        exponent = rng.uniform(-20, 0, size)
    draft = 10.0 ** rng.permutation(exponent)
    draft[rng.random(size) < 0.15] = 0.0
    draft[rng.random(size) < 0.15] = SMALLEST
    draft[rng.integers(size)] = 1.0
    target = rng.dirichlet(np.full(size, rng.choice([0.2, 1.0]))) if rng.random() < 0.7 else 10.0 ** rng.permutation(
        rng.uniform(-323, 0, size))
    return target / target.sum(), draft / draft.sum()


def problems(scheme, count, seed=0):
    rng = np.random.default_rng([seed, SCHEMES.index(scheme)])
    for _ in range(count):
        size = int(rng.integers(4, 7))
        target, draft = peaked(rng, size)
        if scheme.draft_axes:
            draft = np.stack([draft, *(peaked(rng, size)[1] for _ in range(scheme.num_drafts - 1))])
        yield target, draft


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_no_rule_contradicts_the_certificate(scheme):
    for target, draft in problems(scheme, 60):
        bound = ot.acceptance_bound(target, draft, scheme)
        assert bound.lower <= bound.upper + 1e-12, (target, draft)  # rounding of sums
        assert bound.gap <= MET, (target, draft)
        assert float(ot.optimal_acceptance(target, draft, scheme)) == pytest.approx(float(bound.upper), abs=MET)
        best = float(ot.optimal_plan(target, draft, scheme).upper)
        assert float(bound.upper) == pytest.approx(best, abs=MET), (target, draft)


@pytest.mark.parametrize(("rule", "scheme"), [
    pytest.param(rule, scheme, id=f"{rule}-{scheme}") for scheme in SCHEMES for rule in ot.list_verifiers(scheme)
    if REGISTRY[rule].kind == "token"])
def test_rules_keep_the_target_and_stay_below_the_optimum(rule, scheme):
    lossless = "lossless" in REGISTRY[rule].claims
    for target, draft in problems(scheme, 15, seed=1):
        made = ot.verifier(rule, scheme)
        value = float(ot.acceptance(made, target, draft, scheme))
        law = ot.output_law(made, target, draft, scheme)
        assert np.isfinite(law).all(), (target, draft)
        if lossless:
            assert value <= float(ot.optimal_acceptance(target, draft, scheme)) + MET, (target, draft)
            assert np.abs(law - target).max() <= LAW, (target, draft)
            assert value == pytest.approx(enumerated(made, target, draft, scheme), abs=LAW), (target, draft)


def enumerated(rule, target, draft, scheme):
    tokens, law = scheme.lists(draft)
    conditional = rule.conditional(*(np.broadcast_to(a, (len(tokens), *a.shape)) for a in (target, draft)), tokens)
    hit = [conditional[row, np.unique(drafts[drafts >= 0])].sum() for row, drafts in enumerate(tokens)]
    return float(law @ np.array(hit))


@pytest.mark.parametrize("library", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
@pytest.mark.parametrize("scheme", WITHOUT, ids=str)
def test_the_sampled_tokens_are_those_that_exist(scheme, library, rng):
    for dtype in (np.float64, np.float32):
        smallest = np.nextafter(dtype(0), dtype(1))
        laws = np.array([[1.0, smallest, 0.0, smallest, smallest, 0.0], [1.0, 0.0, 0.0, 0.0, smallest, 0.0],
                         [0.0, 0.5, 2 * smallest, 0.0, 0.5, smallest]], dtype=dtype)
        uniforms = rng.random((200, 3, scheme.num_uniforms))
        drawn = np.asarray(scheme.sample(library(np.broadcast_to(laws, (200, 3, 6)).copy()), library(uniforms)))
        for row, law in enumerate(laws):
            exist = np.flatnonzero(law > 0)
            count = min(scheme.num_drafts, exist.size)
            assert ((drawn[:, row] >= 0).sum(axis=-1) == count).all()
            assert set(np.unique(drawn[:, row])) <= {-1, *exist.tolist()}
            listed = scheme.lists(law.astype(np.float64))[0]
            assert ((listed >= 0).sum(axis=-1) == count).all()


def test_equally_light_tokens_are_drawn_equally_often(rng):
    """A quantile of 5e-324 has no digits: what is left must be lifted before it is drawn from."""
    draft = np.broadcast_to([1.0, SMALLEST, SMALLEST, 2 * SMALLEST], (40_000, 4))
    second = ot.WithoutReplacement(2).sample(draft, rng.random((40_000, 2)))[:, 1]
    assert np.bincount(second, minlength=4) / 40_000 == pytest.approx([0, 0.25, 0.25, 0.5], abs=0.015)  # 6 sigma


@pytest.mark.parametrize("k", [2, 3, 4, 6])
def test_compiled_and_whole_array_capacities_agree(k):
    rng = np.random.default_rng(k)
    draft = np.stack([peaked(rng, 12)[1] for _ in range(60 if k < 6 else 8)])  # 665,280 lists of six tokens
    compiled = race_increments(draft, k)
    assert race_increments_parallel(torch.from_numpy(draft), k).numpy() == pytest.approx(compiled, abs=1e-13)  # grid
    for law, increments in zip(draft, compiled, strict=True):
        tokens, chance = Hybrid(0, k).lists(law)
        last = np.bincount(tokens.max(axis=-1), weights=chance, minlength=12)
        assert increments == pytest.approx(last, abs=1e-12)  # differences of what is left, in the enumeration


@pytest.mark.parametrize("kind", ["universal", "minimal"])
@pytest.mark.parametrize("scheme", WITHOUT[:3], ids=str)
def test_one_draw_is_the_same_on_torch_and_has_the_exact_law(scheme, kind):
    """The compiled draw against the whole-array one, token by token."""
    from otspec.transport.sampler.draw import draw_tokens
    from otspec.transport.sampler.draw_parallel import draw_tokens_parallel

    rng = np.random.default_rng(5)
    for _ in range(10):
        target, draft = (np.broadcast_to(law, (300, 5)).copy() for law in peaked(rng, 5))
        tokens = scheme.sample(draft, rng.random((300, scheme.num_uniforms)))
        uniforms = rng.random((300, 3 + scheme.k))
        one = draw_tokens(target, draft, tokens, uniforms, replacement=False, minimal=kind == "minimal")
        two = draw_tokens_parallel(*map(torch.from_numpy, (target, draft, tokens, uniforms)), replacement=False,
                                   minimal=kind == "minimal")
        assert (one == two.numpy()).all()


def test_narrow_gaps_changes_no_ordinary_law_and_no_draw():
    rng = np.random.default_rng(2)
    ordinary = rng.dirichlet(np.ones(50), 20)
    assert (narrow_gaps(ordinary, 8) == ordinary / ordinary.sum(axis=-1, keepdims=True)).all()
    for _ in range(50):
        law = peaked(rng, 6)[1]
        narrow = narrow_gaps(law, 3)
        assert ((narrow > 0) == (law > 0)).all()
        for one, two in zip(Hybrid(0, 3).lists(law), Hybrid(0, 3).lists(narrow), strict=True):
            assert one == pytest.approx(two, abs=1e-12)  # differences of what is left, in the enumeration


def test_low_temperature_on_recorded_laws():
    trace = ot.load_trace("pocket", temperature=0.004)
    target, draft = (np.asarray(getattr(trace, name))[::37][:10] for name in ("target", "draft"))
    for k in (2, 3, 4):
        scheme = ot.WithoutReplacement(k)
        bound = ot.acceptance_bound(target, draft, scheme)
        assert np.abs(bound.gap).max() <= MET
        if k == 2:
            assert (ot.acceptance("recursive_wor", target, draft, scheme) <= bound.upper + MET).all()


@pytest.mark.parametrize("name", [name for name, entry in REGISTRY.items() if entry.kind in ("block", "tree")
                                  and entry.supports(ot.WithoutReplacement(2))])
def test_what_a_refusal_leaves_of_an_improbable_tree_is_a_law(name):
    """Both children are all but never drawn; what is left after them is of the size of a rounding error."""
    tree, even = ot.DraftTree([-1, 0, 0], [-1, 1, 0], scheme="without_replacement"), np.full(3, 1 / 3)
    rule = ot.verifier(name, ot.WithoutReplacement(2))
    for tiny in (1e-6, 1e-9, 9.474612324693956e-11, 1e-10, 1e-12, 1e-15):
        for other in (1e-3, 5.88e-8):
            draft = np.array([tiny, tiny * other, 1 - tiny - tiny * other])
            stop = rule.conditional(tree, [[0.0, 0.0, 1.0], even, even], [draft, even, even]).stop
            assert stop.sum() == pytest.approx(1.0, abs=1e-12)
            assert stop.min() >= 0
