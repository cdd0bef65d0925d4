"""The limit of independent paths: above every rule, met by a perfect drafter, and not trivial."""

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import otspec as ot  # noqa: E402
from otspec.decode.drafters.paths import Paths  # noqa: E402
from otspec.planner.limit import path_limits, shares_of_prefixes  # noqa: E402
from otspec.planner.rounds import Method, tokens_per_call  # noqa: E402
from tests.planner import tinies  # noqa: E402

WARP = {"temperature": 1.0, "top_k": None, "top_p": None}


def exact_limit(models, text, paths, length):
    """The sum over all prefixes."""
    total = 1.0
    for tokens in (x for count in range(1, length + 1) for x in itertools.product(range(tinies.SIZE), repeat=count)):
        mass = [np.prod([tinies.laws(one, [*text, *tokens[:i]])[token] for i, token in enumerate(tokens)])
                for one in (models.target, models.draft)]
        total += min(mass[0], 1 - (1 - mass[1]) ** paths)
    return total


def test_the_estimate_is_that_of_all_prefixes():
    pair, text = tinies.pair(), tinies.contexts(1)[0]
    found = [shares_of_prefixes(pair, [text], 2, WARP, seed=seed) for seed in range(80)]
    for paths in (1, 3):
        values = [path_limits(*both, paths)[0, 1] for both in found]
        assert ot.Estimate.from_samples(values).covers(exact_limit(pair, text, paths, 2))


def test_no_rule_exceeds_it():
    pair, texts = tinies.pair(), tinies.contexts(48)
    prefixes = shares_of_prefixes(pair, texts, 3, WARP, seed=0)
    for paths, rules in ((1, ("block", "token_wise")), (2, ("winner_block", "lookahead_block"))):
        limit = ot.Estimate.from_samples(path_limits(*prefixes, paths)[:, 2])
        for rule in rules:
            kept = tokens_per_call(pair, texts, [Method(Paths(paths, 3), rule)], WARP, seed=1, sets=4)[0]
            assert kept.mean() < limit.mean + 4 * limit.stderr
        assert limit.mean < 4 - 4 * limit.stderr  # not the trivial one, every draft kept


def test_a_draft_model_that_is_the_target_keeps_all():
    pair = tinies.pair(draft=1)
    prefixes = shares_of_prefixes(pair, tinies.contexts(3), 3, WARP, seed=0)
    np.testing.assert_allclose(path_limits(*prefixes, 1), [[2, 3, 4]] * 3, atol=1e-9)
