"""The base of sequence-level rules: checked arguments and the helpers that rules share."""

import numpy as np
import pytest
import torch

from otspec.core.block import clipped_ratio, draw_residual, path_masses, residual_laws, row_at
from otspec.core.errors import BadArgument, NotALaw, SchemeMismatch, ShapeMismatch
from otspec.core.schemes import WithoutReplacement
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
