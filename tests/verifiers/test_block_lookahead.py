"""Look-ahead: curves, planted bugs, identities, and where it gains and loses."""

import array_api_strict
import numpy as np
import pytest

from otspec.analysis.blocks import block_efficiency
from otspec.analysis.instances import random_models
from otspec.core.errors import BadArgument, SchemeMismatch
from otspec.core.schemes import WithoutReplacement
from otspec.core.tree import DraftTree
from otspec.verifiers import verifier
from otspec.verifiers.block import lookahead_block
from otspec.verifiers.block.lookahead_block import (
    LookaheadBlock,
    _average_rows,
    _curve_laws,
    _ranked,
    _thinned,
)
from otspec.verifiers.block.lookahead_curve import average_curves, checked_curve, pocket_curves, power_curve
from otspec.verifiers.tree.winners import game
from tests.verifiers.tree_draws import Toy, path_trees, toys

EXACT = 1e-12  # sums of a few thousand products of a dozen factors
U9 = np.linspace(0, 1, 9)
CURVES = {"own": None, "shipped": pocket_curves(), "power": {},
          "half": {2: 0.5 * U9**2 + 0.5 * U9, 3: 0.5 * U9**3 + 0.5 * U9},
          "identity": {2: U9, 3: U9}}


@pytest.mark.parametrize("curves", CURVES)
def test_every_curve_is_lossless(curves):
    for size, depth, paths in ((3, 2, 3), (4, 2, 2), (2, 3, 3)):
        toy = toys(size, depth, 1, ["dirichlet"])[0]
        assert toy.bias(LookaheadBlock(paths, curves=CURVES[curves]), path_trees(toy, paths, ordered=False)) < EXACT


def test_one_position_is_winner_and_block():
    for toy in toys(4, 1, 8):
        for _, tree in path_trees(toy, 3, ordered=False):
            rows = list(toy.rows(tree))
            mine, other = (verifier(name, 3).conditional(tree, *rows) for name in ("lookahead_block", "winner_block"))
            assert np.allclose(mine.stop, other.stop, atol=EXACT)


@pytest.mark.parametrize("curves", CURVES)
def test_a_batch_is_drawn_as_its_rows_are(curves, rng):
    """Rows differ in how many drafts survive, hence in the curve."""
    rule = LookaheadBlock(3, curves=CURVES[curves])
    target, draft = (rng.dirichlet(np.ones(4), (40, 3, length)) for length in (4, 3))
    target[:, :, 0], draft[:, :, 0] = target[:, :1, 0], draft[:, :1, 0]  # one text so far
    tokens = np.stack([np.full((3, 3), row % 4) for row in range(40)])
    tokens[::2] = rng.integers(4, size=(20, 3, 3))
    given = target, draft, tokens, rng.random((40, rule.num_uniforms(3)))
    whole = rule._draw_paths(*given)
    for row in range(40):
        alone = rule._draw_paths(*(part[row : row + 1] for part in given))
        assert [int(part[row]) for part in whole] == [int(part[0]) for part in alone]


class CurveOfTheWinner(LookaheadBlock):
    """The curve comes from the rows of one survivor alone, which a choice among prefixes must not know."""

    def _law(self, target, draft, node, mode):
        if isinstance(mode, int):
            return super()._law(target, draft, node, mode)
        return super()._law(target, draft, node, (node,) * len(mode))


class ChoosesByTheLastToken(LookaheadBlock):
    """Mixed survivors are thinned, but the law of the winner's token is still that of one draft."""

    def _law(self, target, draft, node, mode):
        return game(target[node], draft[node], mode if isinstance(mode, int) else 1).law


class ForgetsTheMixture(LookaheadBlock):
    """Mixed survivors get the universal law of as many copies."""

    def _law(self, target, draft, node, mode):
        return game(target[node], draft[node], mode if isinstance(mode, int) else len(mode)).law


def mixing_bias(rule):
    """Bias on a model in which two drafts often share a cell, so that they mix."""
    toy = Toy("dirichlet", 5, 2, 7)
    return toy.bias(rule, path_trees(toy, 2, ordered=False))


@pytest.mark.parametrize("mutant", [ChoosesByTheLastToken, ForgetsTheMixture, CurveOfTheWinner])
def test_wrong_laws_are_found(mutant):
    assert mixing_bias(LookaheadBlock(2)) < EXACT
    assert mixing_bias(mutant(2)) > 1e-4


def test_thinning_without_the_curve_is_found(monkeypatch):
    """The first draft always wins: its rank is uniform, not the curve's."""
    monkeypatch.setattr(lookahead_block, "_thinned", lambda curve, spans: [(1.0, np.arange(len(spans)) == 0)])
    assert mixing_bias(LookaheadBlock(2)) > 1e-4


def test_a_curve_below_the_power_would_not_be_lossless():
    rule = LookaheadBlock(2, curves={2: U9**2})
    assert mixing_bias(rule) < EXACT
    rule._curves[2] = U9**4
    assert mixing_bias(rule) > 1e-4


@pytest.mark.parametrize("draws", [2, 3])
def test_the_thinned_winner_has_the_law_of_the_curve(draws):
    """Two prefixes with two tokens each: the winner's rank lies in an interval with the curve's increment."""
    curve = pocket_curves()[draws]
    spans = [((0.0, 0.3), (0.3, 1.0)), ((0.0, 0.6), (0.6, 1.0))]
    at = np.linspace(0, 1, curve.size)
    found = np.zeros((2, 2))
    for code in range(2**draws):
        tokens = [code >> i & 1 for i in range(draws)]
        chosen = [spans[i % 2][token] for i, token in enumerate(tokens)]
        chance = np.prod([high - low for low, high in chosen])
        for share, mask in _thinned(curve.tobytes(), tuple(chosen)):
            for i in np.flatnonzero(mask):
                found[i % 2, tokens[i]] += chance * share / mask.sum()
    for prefix in (0, 1):
        wanted = [np.interp(high, at, curve) - np.interp(low, at, curve) for low, high in spans[prefix]]
        assert np.allclose(found[prefix] / found[prefix].sum(), wanted, atol=EXACT)


@pytest.mark.parametrize("size", [1, 2, 7, 60])
@pytest.mark.parametrize("knots", [2, 5, 33])
def test_laws_of_a_curve_are_its_increments(size, knots):
    """Also where a token lies in one cell or spans many, and where rows sum to one but for a rounding."""
    rng = np.random.default_rng(size)
    target, draft = rng.dirichlet(np.full(size, 0.5), (2, 6))
    draft[0, 0], draft[1, -1] = 1e-30, 0.0
    draft = draft / draft.sum(axis=1, keepdims=True) if size > 1 else np.ones_like(draft)
    curve = np.sort(rng.random((6, knots - 1)))
    curve = np.concatenate([np.zeros((6, 1)), np.cumsum(curve, axis=1) / curve.sum(axis=1, keepdims=True)], axis=1)
    wanted = np.zeros_like(draft)
    for row in range(6):
        with np.errstate(divide="ignore", invalid="ignore"):
            order = np.argsort(np.where(draft[row] > 0, target[row] / draft[row], np.inf), kind="stable")
        x = np.concatenate([[0.0], np.cumsum(draft[row][order])])
        wanted[row, order] = np.diff(np.interp(x / x[-1], np.linspace(0, 1, knots), curve[row]))
    for place in (np.asarray, array_api_strict.asarray):
        found = np.asarray(_curve_laws(*map(place, (target * (1 + 1e-6), draft * (1 - 1e-6), curve))))
        assert np.allclose(found, wanted, atol=EXACT)
        if size > 1:  # a rare token keeps its digits: it lies in one cell, whose slope multiplies it
            slopes = np.diff(curve[0]) * (knots - 1)
            assert np.abs(found[0, 0] / draft[0, 0] / slopes - 1).min() < 1e-9


@pytest.mark.parametrize("place", [np.asarray, array_api_strict.asarray], ids=["numpy", "strict"])
def test_the_average_over_the_paths_alive_is_that_of_their_rows(place):
    rng, rule = np.random.default_rng(4), LookaheadBlock(3)
    target, draft = rng.dirichlet(np.ones(6), (2, 5, 3))
    draft[1, :, 2] = 0  # the token that cannot be drafted stands last
    draft = draft / draft.sum(axis=-1, keepdims=True)
    alive = np.array([[1, 1, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1], [0, 0, 1]], dtype=bool)
    order, _, x = _ranked(target, draft)
    sorted_rows = np.take_along_axis(target, order, axis=-1) * (1 + 1e-6)
    found = np.asarray(_average_rows(*map(place, (sorted_rows, x, alive)), 33))
    for row in range(5):
        mine = alive[row]
        assert np.allclose(found[row], rule._curve_of(target[row, mine], draft[row, mine]), atol=EXACT)


def test_average_curves_are_curves():
    rng = np.random.default_rng(0)
    target, draft = rng.dirichlet(np.ones(30), 20), rng.dirichlet(np.ones(30), 20)
    curves = average_curves(target, draft, [2, 4], knots=17)
    for draws, curve in curves.items():
        assert np.allclose(checked_curve(curve, draws), curve, atol=EXACT)
        assert np.all(curve[1:-1] > power_curve(draws, 17)[1:-1])
    assert np.allclose(average_curves(target, target, [3])[3], np.linspace(0, 1, 33), atol=EXACT)


def test_shipped_curves():
    curves = pocket_curves()
    assert set(curves) >= {2, 3, 4}
    for draws, curve in curves.items():
        assert curve.size == 33
        assert np.all(np.diff(curve, 2) >= -1e-15)  # rounding of the cumulative sums
        assert np.all(curve >= power_curve(draws))


@pytest.mark.parametrize(("curves", "match"), [
    ({2: [0.0, 0.2, 1.0]}, "below u"), ({2: [0.0, 0.9, 1.0]}, "not convex"), ({2: [0.1, 0.5, 1.0]}, "from 0 to 1"),
    ({2: [0.0]}, "at least two"), ({0: [0.0, 1.0]}, "curves"), ({2: U9, 3: power_curve(3)}, "same number"),
])
def test_wrong_curves_are_refused(curves, match):
    with pytest.raises(BadArgument, match=match):
        LookaheadBlock(3, curves=curves)


def test_refused_trees():
    rows = np.full((4, 3), 1 / 3)
    with pytest.raises(SchemeMismatch, match="does not verify"):
        LookaheadBlock(3).conditional(DraftTree.delayed([0], [[1], [2]]), rows, rows)
    with pytest.raises(SchemeMismatch, match="different lengths"):
        LookaheadBlock(2).conditional(DraftTree([-1, 0, 0, 1], [-1, 0, 1, 1]), rows, rows)
    with pytest.raises(SchemeMismatch, match="proved for"):
        LookaheadBlock(WithoutReplacement(2))


def test_a_gain_on_average_and_losses_in_places():
    """With drafts far from the target a curve helps on average; no theorem says that it must."""
    rng, gains = np.random.default_rng(1), []
    for _ in range(10):
        pair = random_models("peaked", 3, rng)
        winner, ahead = (block_efficiency(rule, *pair, 2, num_paths=2).mean
                         for rule in ("winner_block", LookaheadBlock(2, curves=CURVES["half"])))
        gains.append(ahead - winner)
    assert np.mean(gains) > 0


@pytest.mark.parametrize("tokens", [[0, 1], [0, 2], [2, 2], [1, 1], [1, 2]])
def test_drafts_whose_mass_is_lost_beside_the_others_make_a_law(tokens):
    """Two prefixes that both survive, after which tokens of mass 1e-300 were drafted."""
    row = np.array([0.3, 1e-300, 0.7])
    tree = DraftTree([-1, 0, 0, 1, 2], [-1, 0, 2, *tokens], scheme="paths")
    for draft in (row, row[[1, 0, 2]], row[[0, 2, 1]]):
        for target in (np.full(3, 1 / 3), draft, np.array([0.0, 0.0, 1.0])):
            law = verifier("lookahead_block", 2).conditional(tree, [target] * 5, [draft] * 5)
            assert law.stop.sum() == pytest.approx(1.0, abs=EXACT)
            assert law.stop.min() >= 0


@pytest.mark.parametrize("coin", [0.1, 0.5, 0.9])
def test_the_last_coin_alone_picks_among_equal_paths(coin, rng):
    rule = verifier("lookahead_block", 3)
    target, draft = rng.dirichlet(np.ones(4), size=(2, 3)), rng.dirichlet(np.ones(4), size=(2, 2))
    rows = [np.broadcast_to(law[:, None], (2, 3, *law.shape[1:])) for law in (target, draft)]
    tokens = np.broadcast_to(np.array([[0, 1], [2, 3]])[:, None], (2, 3, 2))
    for others in (0.05, 0.95):
        coins = np.full((2, rule.num_choice_uniforms(2)), others)
        coins[:, -1] = coin
        chosen = rule._choose(*rows, tokens, coins)
        assert chosen.path.tolist() == [int(3 * coin)] * 2
