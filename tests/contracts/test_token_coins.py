"""Coins at both ends of [0, 1), for every token rule on every list: no token that cannot come is emitted.

Where a rule compares a coin with a number that is 1 up to rounding, or with the time at which two cells merge, the last
coin below 1 may fall on the wrong side of it: against the rule's own law those coins stop short of the end.
"""

import itertools

import array_api_strict
import numpy as np
import pytest

from otspec.verifiers.token.optimal import Optimal
from tests.contracts.token_cases import INSTANCES, PAIRS, SCHEMES, claims, enumerated, made, rows

LAST = 1 - 2**-53  # the largest number below 1
SHORT = 1 - 1e-9
ROUNDED = {"ratio_ties", "near_ties", "tiny_draft", "tiny_target"}  # an excess or a step of the curves is rounding here
HULL = [key for rule, key in PAIRS if rule == "optimal" and isinstance(made(rule, key), Optimal)]
CASES = [pytest.param(made(rule, key), key, np.asarray, id=f"{rule}-{key}") for rule, key in PAIRS
         if "lossless" in claims(rule)]
CASES += [pytest.param(Optimal(SCHEMES[key], kind="minimal"), key, np.asarray, id=f"minimal-{key}") for key in HULL]
CASES += [pytest.param(Optimal(SCHEMES[key], ordered=False), key, np.asarray, id=f"unordered-{key}") for key in HULL]
CASES += [pytest.param(Optimal(SCHEMES[key], kind=kind), key, lambda array: array_api_strict.asarray(np.array(array)),
                       id=f"{kind}-{key}-strict") for key in HULL for kind in ("universal", "minimal")]


def listed(key, names, place):
    parts = [rows(*enumerated(key, name)[:3]) for name in names]
    return [np.concatenate(column)[:: 4 if place is np.asarray else 11] for column in zip(*parts, strict=True)]


def coins_at_the_ends(number, lists):
    """``[m lists number]``: both ends in every place, all of their rows where there are few."""
    ends = np.array(list(itertools.product((0.0, LAST), repeat=min(number, 4))))
    ends = np.concatenate([ends, LAST - ends, ends], axis=1)[:, :number] if number > 4 else ends
    return np.repeat(ends[:, None], lists, axis=1)


def mass_of_emitted(rule, arrays, coins, place, law):
    batch = [np.broadcast_to(array, (len(coins), *array.shape)) for array in arrays]
    token = np.asarray(rule.draw(*map(place, batch), place(coins)).token)
    return np.take_along_axis(np.broadcast_to(law, (len(coins), *law.shape)), token[..., None], axis=-1)


@pytest.mark.parametrize(("rule", "key", "place"), CASES)
def test_only_tokens_of_the_target_are_emitted(rule, key, place):
    arrays = listed(key, INSTANCES, place)
    coins = coins_at_the_ends(rule.num_uniforms, len(arrays[0]))
    assert np.all(mass_of_emitted(rule, arrays, coins, place, arrays[0]) > 0)


@pytest.mark.parametrize(("rule", "key", "place"), CASES)
def test_only_tokens_of_the_rules_law_are_emitted(rule, key, place, rng):
    arrays = listed(key, [name for name in INSTANCES if name not in ROUNDED], place)
    coins = coins_at_the_ends(rule.num_uniforms, len(arrays[0]))
    if rule.num_uniforms > 1:
        coins[..., 1] *= SHORT
    if isinstance(rule, Optimal):
        coins[..., 0] = rng.random(coins.shape[:-1])
    assert np.all(mass_of_emitted(rule, arrays, coins, place, rule.conditional(*arrays)) > 0)
