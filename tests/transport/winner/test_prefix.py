"""The best prefix without a sort: buckets of ratios, and a look inside those that may hold it."""

import numpy as np
import pytest

from otspec.transport.winner import prefix
from tests.oracles.uncompiled import uncompile


def by_sorting(target, draft, k):
    """Slow twin: the smallest of P(H) - Q(H) over prefixes of the tokens by target/draft, and of no token."""
    with np.errstate(over="ignore"):
        ratio = np.divide(target, draft, out=np.full(target.size, np.inf), where=draft > 0)
    order = np.argsort(ratio, kind="stable")
    order = order[draft[order] > 0]
    values = np.cumsum(target[order]) - np.minimum(np.cumsum(draft[order]), 1.0) ** k
    return 1.0 + min(0.0, float(values.min()))


@pytest.mark.parametrize("k", [1, 2, 3, 8])
@pytest.mark.parametrize("spread", [1e-9, 1e-6, 1e-3, 0.1, 3.0])
def test_the_best_prefix_may_end_inside_a_bucket(k, spread):
    """Ratios so close that thousands of tokens share a bucket, and ratios over decades."""
    rng = np.random.default_rng(int(k + 1e9 * spread))
    draft = rng.dirichlet(np.full(3000, 0.5))
    target = draft * np.exp(spread * rng.normal(size=draft.size))
    target[rng.random(draft.size) < 0.02] = 0.0
    target /= target.sum()
    found = float(prefix.replacement_optimum(target, draft, k))
    assert found == pytest.approx(by_sorting(target, draft, k), abs=1e-12)  # sums of 3000 masses


def test_a_prefix_that_ends_inside_a_bucket_is_found():
    """Ratios 1.0001 and 1.0155 share a bucket that the best prefix parts: at its ends the value is 4e-5 too high."""
    draft = np.array([0.5005, 0.0005, 0.00675, 0.0])
    target = draft * np.array([0.0, 1.0001, 1.0155, 0.0])
    draft[3], target[3] = 1 - draft.sum(), 1 - target.sum()
    exact = 1 + target[1] - (draft[0] + draft[1]) ** 2
    assert by_sorting(target, draft, 2) == pytest.approx(exact, abs=1e-15)
    assert float(prefix.replacement_optimum(target, draft, 2)) == pytest.approx(exact, abs=1e-15)


def hard_contexts(rng):
    """Small contexts of every kind: close ratios, ties, absent tokens, ratios past 2**32 both ways, drafts near 0."""
    for size in (1, 2, 3, 5, 9):
        for _ in range(4):
            draft = rng.dirichlet(np.ones(size))
            yield draft * np.exp(0.01 * rng.normal(size=size)), draft
            yield draft * np.exp(rng.normal(size=size)), draft
            target, draft = rng.integers(0, 3, (2, size)).astype(float)
            target[rng.integers(size)] += 1
            draft[rng.integers(size)] += 1
            yield target, draft
            yield rng.dirichlet(np.ones(size)), 10.0 ** -rng.uniform(0, 30, size)
            yield 10.0 ** -rng.uniform(0, 30, size), rng.dirichlet(np.ones(size))
            yield rng.dirichlet(np.ones(size)), np.where(np.arange(size) == 0, 1.0, 5e-324)


@pytest.mark.parametrize("compiled", [True, False])
def test_the_best_prefix_of_small_laws_is_that_of_a_sort(compiled, monkeypatch, rng):
    if not compiled:
        uncompile(monkeypatch, prefix)
    for number, (target, draft) in enumerate(hard_contexts(rng)):
        k = 1 + number % 4
        want = by_sorting(target / target.sum(), draft / draft.sum(), k)
        for target_scale, draft_scale in ((1, 1), (3, 1), (1, 7)):
            with np.errstate(over="ignore"):
                found = prefix.replacement_optimum(target_scale * target, draft_scale * draft, k)
            assert float(found) == pytest.approx(want, abs=1e-14)  # a dozen roundings of numbers up to 1


@pytest.mark.parametrize("compiled", [True, False])
def test_so_many_drafts_that_the_best_prefix_ends_among_the_rarest_tokens(compiled, monkeypatch):
    """Ratios of 2**33 and more are worth a draft of 2**-40 where 2**40 are drawn; one token cannot be drafted."""
    if not compiled:
        uncompile(monkeypatch, prefix)
    draft = np.array([0.0, 2.0**-40, 1 - 2.0**-39, 2.0**-40])
    target = np.array([0.0, 2.0**-7, 0.0, 0.875])
    target[0] = 1 - target.sum()
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        found = float(prefix.replacement_optimum(target[order], draft[order], 2**40))
        assert found == pytest.approx(1 + 2.0**-7 - np.exp(-1), abs=1e-11)


def test_so_many_drafts_that_every_token_is_among_them(rng):
    """The chance that all tokens are drafted stays 1 where their masses add up to a little more."""
    for size in (3, 5, 10, 20, 40):
        target, draft = rng.dirichlet(np.full(size, 5.0), (2, 20))
        for p, q in ((target, draft), (draft, draft), (draft * np.exp(0.002 * target), draft)):
            assert prefix.replacement_optimum(p, q, 2**40) == pytest.approx(np.ones(20), abs=1e-6)


def test_contexts_keep_their_places(rng):
    target, draft = rng.dirichlet(np.ones(4), (2, 3, 2)), rng.dirichlet(np.ones(4), (2, 3, 2))
    found = prefix.replacement_optimum(target.swapaxes(0, 1), draft.swapaxes(0, 1), 2)
    assert found.shape == (3, 2, 2)
    for i in np.ndindex(2, 3, 2):
        assert found[i[1], i[0], i[2]] == pytest.approx(by_sorting(target[i], draft[i], 2), abs=1e-14)
    assert prefix.replacement_optimum(target[:0], draft[:0], 2).shape == (0, 3, 2)
