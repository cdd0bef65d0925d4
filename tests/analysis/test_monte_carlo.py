import numpy as np
import pytest

import otspec as ot
from tests.conftest import random_law


@pytest.mark.parametrize(("rule", "scheme"), [("k_seq", 3), ("recursive_wor", ot.WithoutReplacement(3)),
                                              ("optimal", ot.WithReplacement(3))], ids=str)
def test_sampled_acceptance_covers_the_exact_value(rule, scheme, rng):
    target, draft = (np.stack([random_law(rng, 6) for _ in range(2)]) for _ in range(2))
    exact = float(np.mean(ot.acceptance(rule, target, draft, scheme)))
    estimate = ot.sampled_acceptance(rule, target, draft, scheme, n=3000, seed=1)
    assert estimate.covers(exact, z=5)
    assert estimate.n == 6000
    assert 0 < estimate.stderr < 0.01  # a Bernoulli of 6000 draws has at most .0065
    # planted bug: the acceptance of another number of drafts is not covered
    assert not estimate.covers(exact - 0.06, z=5)


def test_rules_without_a_cheap_conditional_are_drawn(rng):
    target, draft = (random_law(rng, 300) for _ in range(2))
    scheme = ot.WithoutReplacement(3)
    estimate = ot.sampled_acceptance("optimal", target, draft, scheme, n=4000, seed=2)
    assert estimate.covers(float(ot.optimal_acceptance(target, draft, scheme)), z=5)


def test_one_sample_has_no_standard_error():
    with pytest.raises(ot.BadArgument):
        ot.sampled_acceptance("k_seq", [0.5, 0.5], [0.5, 0.5], 2, n=1, seed=0)
