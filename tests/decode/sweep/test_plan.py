"""Grids, and the names by which settings are compared."""

import numpy as np
import pytest

from otspec.core.errors import BadArgument
from otspec.core.schemes import Greedy, WithReplacement
from otspec.couplings import coupling
from otspec.decode.drafters import drafter
from otspec.decode.sweep.plan import DEFAULTS, Plan, described, settings_of, units
from otspec.verifiers import verifier


def test_lists_are_combined_and_the_last_turns_fastest():
    grid = {"verifier": ["block", None], "stop_token": (3, 4), "temperature": [0.5, 1.0]}
    assert [tuple(setting.values()) for setting in settings_of(grid)] == [
        ("block", (3, 4), 0.5), ("block", (3, 4), 1.0), (None, (3, 4), 0.5), (None, (3, 4), 1.0)]


def test_several_grids_stand_one_after_the_other():
    assert settings_of([{"seed": [0, 1]}, {"scheme": 2}]) == [{"seed": 0}, {"seed": 1}, {"scheme": 2}]


@pytest.mark.parametrize(("grid", "said"), [({"verifer": "block"}, "'verifer' is no setting"), ([], "no settings"),
                                            ({"seed": []}, "no values"), (["block"], "no mapping"),
                                            ({"first_sequence": 3}, "first_sequence")])
def test_what_is_no_grid(grid, said):
    with pytest.raises(BadArgument, match=said):
        settings_of(grid)


def test_units_cover_every_prompt_once():
    cut = list(units(2, 10, 4))
    assert [(unit.setting, unit.first, unit.count) for unit in cut] == [
        (0, 0, 4), (0, 4, 4), (0, 8, 2), (1, 0, 4), (1, 4, 4), (1, 8, 2)]
    assert len({unit.name for unit in cut}) == 6


@pytest.mark.parametrize(("one", "other"), [
    (verifier("k_seq", 4, rho=3.5), verifier("k_seq", 4, rho=3.0)), (verifier("optimal", 2), verifier("optimal", 3)),
    (verifier("optimal", 2), verifier("naive", 2)), (coupling("gumbel"), coupling("minhash"))])
def test_rules_are_told_apart(one, other):
    assert described("verifier", one) == described("verifier", one)
    assert described("verifier", one) != described("verifier", other)


def test_equal_settings_have_one_name():
    assert described("scheme", 2) == described("scheme", WithReplacement(2)) != described("scheme", Greedy(2))
    assert described("temperature", np.float64(0.5)) == 0.5
    assert described("stop_token", {9, 3}) == [3, 9]
    assert described("drafter", drafter("heap", nodes=4)) != described("drafter", drafter("heap", nodes=5))


class Mine:
    def __init__(self, knob):
        self.hidden = knob


class Object:
    def __init__(self, scheme):
        self.scheme = object()


@pytest.mark.parametrize("rule", [Mine(3), Object(1)])
def test_a_rule_whose_parameters_cannot_be_read_is_refused(rule):
    with pytest.raises(BadArgument, match="verifier"):
        described("verifier", rule)


def test_a_request_names_every_default():
    request = Plan.of({"seed": 3}, [[1]], 8, 1).request({"fingerprint": "f"})
    assert set(request["settings"][0]) == set(DEFAULTS)
    assert request["settings"][0]["seed"] == 3
    assert request["settings"][0]["draft_length"] == 4
