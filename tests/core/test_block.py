"""The base of sequence-level rules: checked arguments and the helpers that rules share."""

import numpy as np
import pytest
import torch

from otspec.core.block import (
    BlockLaw,
    BlockVerdict,
    BlockVerifier,
    clipped_ratio,
    draw_residual,
    path_masses,
    residual_laws,
    row_at,
)
from otspec.core.errors import BadArgument, NotALaw, SchemeMismatch, ShapeMismatch
from otspec.core.laws import draw
from otspec.core.schemes import WithoutReplacement
from otspec.core.tree import DraftTree
from otspec.verifiers import verifier
from otspec.verifiers.block.block import Block
from otspec.verifiers.block.token_wise import TokenWise

UNIFORM = np.full((4, 3), 1 / 3)
GOOD = (UNIFORM, UNIFORM[:3], np.array([0, 1, 2]))


@pytest.mark.parametrize(("change", "error", "says"), [
    ((UNIFORM[:3], None, None), ShapeMismatch, "target rows"),
    ((None, None, np.array([0, 1, 2, 0])), ShapeMismatch, "path of 4 tokens"),
    ((None, None, np.array([0, 1, 3])), BadArgument, "outside the vocabulary"),
    ((None, None, np.array([0, -1, 2])), BadArgument, "absent"),
    ((None, None, np.array([0.0, 1.0, 2.0])), ShapeMismatch, "integer"),
    ((UNIFORM[0], None, None), ShapeMismatch, "do not fit"),
    ((None, np.full((3, 2), 0.5), None), ShapeMismatch, "vocabularies"),
    ((None, UNIFORM[:3].astype(np.float32), None), ShapeMismatch, "dtypes"),
    ((UNIFORM * 2, None, None), NotALaw, "target_rows"),
    ((None, -UNIFORM[:3], None), NotALaw, "draft_rows"),
])
@pytest.mark.parametrize("rule", [Block(), TokenWise()], ids=repr)
def test_bad_arguments(rule, change, error, says):
    arguments = [given if given is not None else good for given, good in zip(change, GOOD, strict=True)]
    for call in (rule.conditional, rule.expected_accepted, lambda *a: rule.draw(*a, np.full(4, 0.5))):
        with pytest.raises(error, match=says):
            call(*arguments)


def test_uniforms_are_counted():
    with pytest.raises(ShapeMismatch, match="4 numbers"):
        Block().draw(*GOOD, np.full(3, 0.5))
    with pytest.raises(BadArgument, match="uniforms"):
        Block().draw(*GOOD, np.full(4, 1.0))
    with pytest.raises(ShapeMismatch, match="one row of uniforms"):
        Block().draw(*GOOD, np.full((2, 4), 0.5))


class OnlyTheLaw(BlockVerifier):
    """Keeps a prefix by the masses of its tokens under the target, on blocks of any batch."""

    def _conditional(self, target_rows, draft_rows, tokens, *state):
        assert draft_rows.shape[-2] == tokens.shape[-1] == target_rows.shape[-2] - 1
        kept = np.cumprod(path_masses(target_rows, tokens), axis=-1)
        ends = np.ones((*kept.shape[:-1], 1))
        stop = np.concatenate([ends, kept], axis=-1) - np.concatenate([kept, 0 * ends], axis=-1)
        return BlockLaw(stop, target_rows)


class Counting(OnlyTheLaw):
    """Its state is the number of tokens that it has kept."""

    stateful = True

    def fresh_state(self):
        return 0

    def draw(self, *given):
        verdict = BlockVerdict(*super()._draw(*given[:4]))
        return verdict, (given[4] or 0) + int(verdict.accepted)


def blocks(rng, batch, length, size=4):
    target, draft = (rng.dirichlet(np.ones(size), (*batch, stop)) for stop in (length + 1, length))
    return target, draft, rng.integers(0, size, (*batch, length))


def test_a_block_rule_that_writes_its_law_only(rng):
    given, rule = blocks(rng, (2, 5), 3), OnlyTheLaw()
    assert rule.num_uniforms(3) == 4
    uniforms = rng.random((2, 5, 4))
    uniforms[0, :2] = [[0.0, 0.5, 0.5, 1 - 2.0**-53], [1 - 2.0**-53, 0.5, 0.5, 0.0]]
    law, verdict = rule.conditional(*given), rule.draw(*given, uniforms)
    kept = rule._kept(*given)
    assert kept.shape == (2, 5, 3)
    assert rule.expected_accepted(*given) == pytest.approx(law.stop @ np.arange(4))
    for place in np.ndindex(2, 5):
        stop = law.stop[place]
        assert kept[place] == pytest.approx([stop[1:].sum(), stop[2:].sum(), stop[3]])
        node = int(draw(stop, uniforms[place][0]))
        token = int(draw(law.following[place][node], uniforms[place][-1]))
        assert (verdict.accepted[place], verdict.token[place]) == (node, token)
        tree = DraftTree.from_paths(given[2][place][None])
        rows = given[0][place], np.concatenate([given[1][place], given[0][place][-1:]])
        assert rule._joint(tree, *rows) == pytest.approx(stop[:, None] * law.following[place])
        assert rule.conditional(tree, *rows).stop == pytest.approx(stop)
        assert rule.expected_accepted(tree, *rows) == pytest.approx(stop @ np.arange(4))
        assert rule.draw(tree, *rows, uniforms[place][[0, -1]]) == (node, token)
    flat = [part.reshape(10, 1, *part.shape[2:]) for part in given]
    paths = rule.draw_paths(*flat, uniforms.reshape(10, 4))
    assert [part.tolist() for part in paths[:2]] == [part.reshape(10).tolist() for part in verdict]
    assert paths.path.tolist() == [0] * 10
    assert rule.expected_paths(*flat, uniforms.reshape(10, 4)) == pytest.approx(law.stop.reshape(10, 4) @ np.arange(4))
    with pytest.raises(ShapeMismatch, match=r"batch shape \(2, 4\) differs from that of tokens, \(2, 5\)"):
        rule.draw(*given, uniforms[:, :4])


def test_texts_with_a_state_each_are_verified_one_by_one(rng):
    given, uniforms, rule = blocks(rng, (6,), 2), rng.random((6, 3)), Counting()
    accepted, token, states = rule.draw_texts(*given, uniforms, [0, 1, 2, 3, 4, 5])
    assert accepted.dtype == token.dtype == np.int64
    alone = OnlyTheLaw().draw(*given, uniforms)
    assert [accepted.tolist(), token.tolist()] == [part.tolist() for part in alone]
    assert states == [row + kept for row, kept in enumerate(accepted.tolist())]
    stop = OnlyTheLaw().conditional(*given).stop
    assert rule.expected_texts(*given, [0] * 6) == pytest.approx(stop @ np.arange(3))
    none = rule.draw_texts(*(part[:0] for part in (*given, uniforms)), [])
    assert [np.shape(part) for part in none] == [(0,), (0,), (0,)]
    for ask in (rule.draw_paths, rule.expected_paths):
        with pytest.raises(SchemeMismatch, match="carries a state, which paths of many texts have no place for"):
            ask(*(part[:, None] for part in given), uniforms)


def test_chain_rules_refuse_other_schemes():
    for scheme in (2, WithoutReplacement(1)):
        with pytest.raises(SchemeMismatch, match="Block is proved for 1 path"):
            Block(scheme)
    assert repr(Block()) == "Block(WithReplacement(k=1))"


def test_lists_are_welcome():
    verdict = Block().conditional([[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5]], [1])
    assert verdict.stop.tolist() == [0.0, 1.0]


def test_clipped_ratio_at_its_corners():
    numerator, denominator = np.array([0.2, 0.3, 0.0, 0.5, 0.0]), np.array([0.4, 0.2, 0.5, 0.0, 0.0])
    assert clipped_ratio(numerator, denominator).tolist() == [0.5, 1.0, 0.0, 1.0, 0.0]
    assert clipped_ratio(np.array([0.5]), np.array([5e-324])).tolist() == [1.0]  # no overflow on the way


def test_rows_and_masses_are_gathered_by_index():
    rows = np.random.default_rng(0).dirichlet(np.ones(5), size=(2, 3, 4))
    index = np.array([[0, 3, 1], [2, 2, 0]])
    picked = row_at(rows, index)
    tokens = np.random.default_rng(1).integers(5, size=(2, 3, 4))
    masses = path_masses(rows, tokens)
    for i in range(2):
        for j in range(3):
            assert np.array_equal(picked[i, j], rows[i, j, index[i, j]])
            assert masses[i, j].tolist() == [rows[i, j, n, tokens[i, j, n]] for n in range(4)]


def test_drawn_residual_has_the_residual_law():
    rng = np.random.default_rng(2)
    target, draft = rng.dirichlet(np.ones(6), size=(1, 4)), rng.dirichlet(np.ones(6), size=(1, 3))
    scale = np.array([[1.0, 0.8, 0.9, 0.7]])
    laws = residual_laws(target, draft, scale)[0]
    n = 4000
    for node in range(4):
        rows = np.broadcast_to(target, (n, 4, 6)), np.broadcast_to(draft, (n, 3, 6))
        # an even grid of uniforms: each token appears within one of n times its mass
        token = draw_residual(*rows, np.full(n, node), np.full(n, scale[0, node]), (np.arange(n) + 0.5) / n)
        assert np.abs(np.bincount(token, minlength=6) - n * laws[node]).max() <= 1 + 1e-9  # rounding of the sums


@pytest.mark.parametrize("rule", [Block(), TokenWise()], ids=repr)
def test_an_empty_block_emits_a_target_token(rule):
    target, draft, tokens = np.array([[[0.0, 1.0]]]), np.zeros((1, 0, 2)), np.zeros((1, 0), dtype=np.int64)
    law = rule.conditional(target, draft, tokens)
    assert law.stop.tolist() == [[1.0]]
    assert law.following.tolist() == [[[0.0, 1.0]]]
    verdict = rule.draw(target, draft, tokens, np.array([[0.3]]))
    assert (verdict.accepted.tolist(), verdict.token.tolist()) == ([0], [1])
    assert rule.expected_accepted(target, draft, tokens).tolist() == [0.0]


@pytest.mark.parametrize("convert", [np.asarray, torch.asarray])
def test_tokens_that_were_not_drawn_from_their_rows_are_refused(convert):
    target, draft = np.full((3, 2), 0.5), np.array([[0.5, 0.5], [1.0, 0.0]])
    rows = [convert(array) for array in (target, draft, np.array([1, 1]))]
    coins, says = convert(np.full(3, 0.5)), r"tokens\[1\] = 1 has probability 0 under its draft row"
    for ask, more in ((Block().conditional, []), (Block().draw, [coins]), (Block().expected_accepted, [])):
        with pytest.raises(BadArgument, match=says):
            ask(*rows, *more)
    paths = [array[None] for array in rows]
    for name in ("score_block", "traversal", "block"):
        rule = verifier(name, 1)
        coins = convert(np.full(rule.num_uniforms(2), 0.5))
        for ask in (rule.draw_paths, rule.expected_paths):
            with pytest.raises(BadArgument, match=r"tokens\[0, 1\] = 1 has probability 0"):
                ask(*paths, coins)
