"""The ceiling of best-of-k: reached by laws without atoms, a necessary condition for zero rejection."""

import numpy as np
import pytest

import otspec as ot
from otspec.limits.best_of import drafts_needed, kl, kl_ceiling


def best_of(draft, count):
    """Law of the winner of ``count`` drafts, ranked by their number, by listing all drafts."""
    law = np.zeros_like(draft)
    for drafts in np.ndindex(*(len(draft),) * count):
        law[max(drafts)] += np.prod(draft[list(drafts)])
    return law


@pytest.mark.parametrize("count", [1, 2, 3])
def test_best_of_k_stays_below_the_ceiling_and_reaches_it_without_atoms(count):
    rng = np.random.default_rng(count)
    for _ in range(5):
        draft = rng.dirichlet(np.ones(6))
        assert kl(best_of(draft, count), draft) <= kl_ceiling(count) + 1e-12
    fine = np.full(40, 1 / 40)
    assert float(kl(best_of(fine, count), fine)) == pytest.approx(kl_ceiling(count), abs=0.02)


def test_contexts_beyond_the_ceiling_are_among_those_that_must_reject():
    rng = np.random.default_rng(7)
    target, draft = rng.dirichlet(np.full(6, 0.5), 200), rng.dirichlet(np.full(6, 2.0), 200)
    table = drafts_needed((target, draft), [1, 2, 3])
    for row in table.rows:
        beyond = np.asarray(kl(target, draft)) > row["ceiling"]
        assert row["beyond"] == pytest.approx(beyond.mean())
        possible = np.asarray(ot.zero_rejection(target, draft, row["k"]).possible)
        assert not (possible & beyond).any()
        assert beyond.any()
    assert table.column("beyond") == sorted(table.column("beyond"), reverse=True)
    assert not beyond.all()
