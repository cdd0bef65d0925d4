"""Winners among the drafts of one node: the same on every library, one of the drafts, of the law that is told."""

import array_api_strict as strict
import numpy as np
import pytest
import torch

from otspec.analysis.instances import random_pair
from otspec.core.errors import BadArgument
from otspec.core.schemes import WithoutReplacement, WithReplacement
from otspec.verifiers.tree.winners import LAWS, check_law, game, odds, survivor_sets, top_cells
from otspec.verifiers.tree.winning import draw_winner, num_winner_uniforms

PLACES = {"numpy": np.asarray, "torch": torch.asarray, "strict": strict.asarray}
ROWS, DRAFTS = 60, 3


def drafts(rng, race, family="dirichlet"):
    """Laws ``[B V]`` and drafts in drawing order, of some rows fewer than three, of one row none."""
    target, draft = (np.stack(part) for part in zip(*(random_pair(family, 5, rng) for _ in range(ROWS)), strict=True))
    how = WithoutReplacement(DRAFTS) if race else WithReplacement(DRAFTS)
    tokens = how.sample(draft, rng.random((ROWS, DRAFTS)))
    tokens[::3, 2:], tokens[1::5, 1:], tokens[7] = -1, -1, -1
    return target, draft, tokens


@pytest.mark.parametrize("race", [True, False])
@pytest.mark.parametrize("kind", LAWS)
def test_the_winner_is_one_of_the_drafts_on_every_library(race, kind, rng):
    target, draft, tokens = drafts(rng, race)
    coins = rng.random((ROWS, num_winner_uniforms(DRAFTS, race=race)))
    assert coins.shape[1] == (4 if race else 2)
    for library, place in PLACES.items():
        found = draw_winner(*map(place, (target, draft, tokens, coins)), race=race, kind=kind)
        token, law = map(np.asarray, found)
        if library == "numpy":
            mine = token, law
        assert np.array_equal(token, mine[0])
        np.testing.assert_allclose(law, mine[1], atol=1e-12)
    for row in range(ROWS):
        count = int((tokens[row] >= 0).sum())
        assert mine[0][row] in (tokens[row, :count] if count else [-1])
        if count:
            np.testing.assert_allclose(mine[1][row], game(target[row], draft[row], count, race=race, kind=kind).law,
                                       atol=1e-12)


@pytest.mark.parametrize("race", [True, False])
@pytest.mark.parametrize("family", ["dirichlet", "zeros"])
def test_winners_have_the_odds_of_their_drafts(race, family):
    """Averaged over a grid of times, and over many picks inside the cell."""
    rng, many = np.random.default_rng(1), 4000
    target, draft, tokens = drafts(rng, race, family)
    for row in (2, 5, 8):
        here = tokens[row][tokens[row] >= 0]
        coins = rng.random((many, num_winner_uniforms(DRAFTS, race=race)))
        coins[:, 0] = (np.arange(many) + 0.5) / many
        found = draw_winner(*(np.broadcast_to(part[row], (many, part.shape[1])) for part in (target, draft, tokens)),
                            coins, race=race)
        chances = odds(game(target[row], draft[row], here.size, race=race), here, race=race)
        assert chances.sum() == pytest.approx(1)
        for token in set(here.tolist()):
            chance = chances[here == token].sum()
            assert abs((found.token == token).mean() - chance) <= 5 * np.sqrt(chance * (1 - chance) / many) + 1e-3


@pytest.mark.parametrize("kind", LAWS)
def test_sets_of_survivors_are_the_top_cells_at_their_times(kind, rng):
    target, draft, tokens = drafts(rng, False)
    for row in range(ROWS):
        here = tokens[row][tokens[row] >= 0]
        if not here.size:
            continue
        sets, time = survivor_sets(game(target[row], draft[row], here.size, kind=kind), here), 0.0
        assert sum(chance for chance, _ in sets) == pytest.approx(1)
        for chance, inside in sets:
            if chance > 1e-9:
                cells, law = top_cells(target[row][None], draft[row][None], tokens[row][None],
                                       np.array([time + chance / 2]), kind=kind)
                assert cells[0, : here.size].tolist() == inside.tolist()
                assert not cells[0, here.size :].any()
                np.testing.assert_allclose(law[0], game(target[row], draft[row], here.size, kind=kind).law, atol=1e-12)
            time += chance


def test_one_draft_wins_for_certain_and_long_rows_are_prepared_alike(rng):
    target, draft = rng.dirichlet(np.ones(600), 2)
    assert odds(game(target, draft, 1), np.array([3])).tolist() == [1.0]
    short = np.append(target[:512] / target[:512].sum(), 0.0), np.append(draft[:512] / draft[:512].sum(), 0.0)
    np.testing.assert_allclose(game(*short, 2).law[:512], game(short[0][:512], short[1][:512], 2).law, atol=1e-14)
    assert game(target, draft, 2).law.sum() == pytest.approx(1)


def test_laws_of_winners_are_named():
    assert [check_law(kind) for kind in LAWS] == ["universal", "minimal", "vertex"]
    with pytest.raises(BadArgument, match=r"law: 'minimall' is none of universal, minimal, vertex.*minimal"):
        check_law("minimall")
