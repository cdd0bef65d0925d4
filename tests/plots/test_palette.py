"""No two rules of one figure look alike, colour-blind or not, and a new rule finds a style by itself."""

import itertools

import pytest

import otspec as ot
from otspec.core.registry import Entry, Source
from otspec.couplings import list_couplings
from otspec.lossy_rules import list_lossy
from otspec.plots.palette import APART, BLACK, MARKERS, TONES, allot, cast
from otspec.plots.style import OPTIMUM, rule_style
from tests.oracles.colours import ciede2000, lab, least_distance

ENTRIES = [entry for registry in (ot.list_verifiers(), list_couplings(), list_lossy()) for entry in registry.values()
           if entry.name not in ("optimal", "frontier")]


def test_the_distance_agrees_with_its_published_test_data():
    # pairs 1, 7, 17 and 25 of Sharma, Wu and Dalal (2005), table 1
    for one, other, distance in (((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425), ((50, 0, 0), (50, -1, 2), 2.3669),
                                 ((50, 2.5, 0), (73, 25, -18), 27.1492),
                                 ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644)):
        assert ciede2000(one, other) == pytest.approx(distance, abs=5e-5)  # digits that were printed
    assert lab("#FFFFFF")[0] == pytest.approx(100)


def test_any_two_tones_are_apart_for_all_eyes_and_dark_enough_on_white():
    for one, other in itertools.combinations([*TONES.values(), BLACK], 2):
        assert least_distance(one, other) >= APART, (one, other)
    assert all(lab(tone)[0] <= 75 for tone in TONES.values())  # L* of white is 100
    assert least_distance("#009E73", "#777777") < APART  # two of Okabe and Ito that deutan eyes confuse


@pytest.mark.parametrize("name", sorted({cast(entry) for entry in ENTRIES}))
def test_rules_that_share_a_figure_share_no_colour_or_marker_while_some_are_free(name):
    members = [entry.name for entry in ENTRIES if cast(entry) == name]
    assert len(members) > 1
    styles = [rule_style(member) for member in members] + [OPTIMUM]
    for kind, known in (("color", len(TONES) + 1), ("marker", len(MARKERS) + 1)):  # one more is the optimum's
        assert len({style[kind] for style in styles}) == min(len(styles), known), kind
    assert len({tuple(sorted(style.items())) for style in styles}) == len(styles)


def test_the_optimum_is_black_and_nothing_else_is():
    assert rule_style("optimal") == rule_style("frontier") == OPTIMUM
    assert BLACK not in {rule_style(entry.name)["color"] for entry in ENTRIES}


@pytest.mark.parametrize("kind", ["token", "block", "tree", "coupling", "lossy"])
def test_new_rules_get_a_pair_of_their_own_and_move_no_other(kind):
    before = allot(ENTRIES)
    new = [Entry(f"new_{place}", object, Source("mdsd"), kind) for place in range(4)]
    after = allot([*ENTRIES, *new])
    assert {name: after[name] for name in before} == before
    assert len(set(after.values())) == len(after)


def test_a_kind_unknown_to_the_palette_has_a_style():
    assert allot([Entry("odd", object, Source("mdsd"), "ritual")])["odd"][0] in TONES.values()
