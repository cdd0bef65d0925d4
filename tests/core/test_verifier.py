import numpy as np
import pytest
import torch

import otspec as ot
from otspec.core.laws import draw
from otspec.core.verifier import checked_pair, slot_of

LAW = np.array([0.5, 0.3, 0.2])


class Echo(ot.TokenVerifier):
    """Emits the target law whatever is drafted."""

    def _conditional(self, target, draft, tokens):
        return target


def test_slots_name_the_first_draft_that_holds_the_token(convert):
    token, tokens = convert(np.array([2, 0, 1])), convert(np.array([[1, 2, 2], [1, 2, 2], [-1, -1, 1]]))
    np.testing.assert_array_equal(np.asarray(slot_of(token, tokens)), [1, -1, 2])


def test_laws_broadcast_over_lists():
    rule = Echo(2)
    tokens = np.array([[0, 1], [2, 2]])
    np.testing.assert_array_equal(rule.conditional(LAW, LAW, tokens), [LAW, LAW])
    verdict = rule.draw(LAW, LAW, tokens, np.array([[0.0], [0.9]]))
    np.testing.assert_array_equal(verdict.token, [0, 2])
    np.testing.assert_array_equal(verdict.slot, [0, 0])


@pytest.mark.parametrize(("tokens", "error", "message"), [
    (np.array([[0, 3]]), ot.BadArgument, r"tokens\[0, 1\] = 3 is outside the vocabulary of 3"),
    (np.array([[0, -2]]), ot.BadArgument, "-1 means"),
    (np.array([[0.0, 1.0]]), ot.ShapeMismatch, "integer"),
    (np.array([0, 1, 2]), ot.ShapeMismatch, "2 drafts"),
])
def test_bad_tokens_are_named(tokens, error, message):
    with pytest.raises(error, match=message):
        Echo(2).conditional(LAW, LAW, tokens)


def test_bad_uniforms_are_named():
    with pytest.raises(ot.BadArgument, match=r"\[0, 1\)"):
        Echo(1).draw(LAW, LAW, np.array([0]), np.array([1.0]))
    with pytest.raises(ot.ShapeMismatch, match="num_uniforms"):
        Echo(1).draw(LAW, LAW, np.array([0]), np.array([0.1, 0.2]))


def test_laws_that_do_not_belong_together_are_refused():
    with pytest.raises(ot.ShapeMismatch, match="vocabularies differ: target has 3 tokens, draft 2"):
        Echo(2).conditional(LAW, np.array([0.5, 0.5]), np.array([0, 1]))
    with pytest.raises(ot.ShapeMismatch, match="array libraries differ"):
        Echo(2).conditional(LAW, torch.tensor(LAW), np.array([0, 1]))
    with pytest.raises(ot.ShapeMismatch, match="dtypes differ"):
        Echo(2).conditional(LAW, LAW.astype(np.float32), np.array([0, 1]))
    with pytest.raises(ot.ShapeMismatch, match="one list of drafts per law"):
        Echo(2).conditional(np.stack([LAW] * 2), LAW, np.array([[0, 1]] * 3))


def test_tokens_and_uniforms_live_where_the_laws_do():
    here = torch.tensor(LAW)
    with pytest.raises(ot.ShapeMismatch, match="array libraries differ: tokens is numpy, target is torch"):
        Echo(2).conditional(here, here, np.array([0, 1]))
    with pytest.raises(ot.ShapeMismatch, match="array libraries differ: uniforms is numpy, target is torch"):
        Echo(2).draw(here, here, torch.tensor([0, 1]), np.array([0.5]))
    with pytest.raises(ot.ShapeMismatch, match="devices differ: uniforms meta, target cpu"):
        Echo(2).draw(here, here, torch.tensor([0, 1]), torch.zeros(1, device="meta"))
    with pytest.raises(ot.ShapeMismatch, match="devices differ: uniforms meta, draft cpu"):
        ot.WithReplacement(2).sample(here, torch.zeros(2, device="meta"))
    rows, path = here.expand(2, 3), torch.tensor([1])
    with pytest.raises(ot.ShapeMismatch, match="devices differ: uniforms meta, target_rows cpu"):
        ot.verifier("block").draw(rows, rows[:1], path, torch.zeros(2, device="meta"))
    with pytest.raises(ot.ShapeMismatch, match="array libraries differ: tokens is numpy, target_rows is torch"):
        ot.verifier("winner_block", 1).draw_paths(rows[None], rows[None, :1], path[None].numpy(), torch.zeros(4))


def test_uniforms_have_the_batch_of_the_drafts():
    law = np.array(LAW)
    for shape in ((1,), (3, 1), (2, 1, 1)):
        with pytest.raises(ot.ShapeMismatch, match=r"uniforms: batch shape .* differs from that of the drafts, \(2,\)"):
            Echo(2).draw(law, law, np.array([[0, 1], [1, 1]]), np.full(shape, 0.5))


def test_a_rule_knows_its_scheme():
    assert repr(Echo(2)) == "Echo(WithReplacement(k=2))"
    with pytest.raises(ot.SchemeMismatch, match=r"proved for WithReplacement; got WithoutReplacement\(k=2\)"):
        ot.verifier("k_seq", ot.WithoutReplacement(2))


@pytest.mark.parametrize("convert", [np.asarray, torch.asarray])
@pytest.mark.parametrize(("scheme", "draft", "tokens", "says"), [
    (2, [0.0, 0.5, 0.5], [[1, 2], [1, 0]], r"tokens\[1, 1\] = 0 has probability 0"),
    (ot.WithoutReplacement(2), [0.2, 0.3, 0.5], [[1, 2], [1, 1]], r"tokens\[1\] hold 1 twice"),
    (ot.Greedy(2), [0.2, 0.0, 0.8], [[2, 0], [2, 1]], r"tokens\[1, 1\] = 1 has probability 0"),
    (ot.Hub(), [0.2, 0.3, 0.5], [[2, 0], [2, 2]], r"tokens\[1\] hold 2 twice"),
    (ot.Independent(2), [[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]], [[1, 0], [0, 0]], r"tokens\[1, 0\] = 0 has probability 0")],
    ids=str)
def test_drafts_that_were_not_drawn_from_the_draft_law_are_refused(scheme, draft, tokens, says, convert):
    rule = ot.verifier("spechub" if isinstance(scheme, ot.Hub) else "optimal", scheme)
    tokens = np.array(tokens)
    laws = [convert(np.array(law)) for law in ([0.5, 0.3, 0.2], draft)]
    coins = np.full((2, rule.num_uniforms), 0.5)
    for ask, more in ((rule.conditional, []), (rule.draw, [convert(coins)])):
        with pytest.raises(ot.BadArgument, match=says):
            ask(*laws, convert(tokens), *more)
    if isinstance(scheme, (ot.Hub, ot.Independent)):
        return
    with_none = np.where(np.arange(2) < 1, tokens, -1)[:1]  # an absent draft is no draft
    assert rule.draw(*laws, convert(with_none), convert(coins[:1])).token.shape == (1,)


def test_uniforms_may_be_lists_as_laws_and_tokens_may():
    assert ot.verifier("k_seq", 2).draw([0.5, 0.5], [0.5, 0.5], [0, 1], [0.1] * ot.verifier("k_seq", 2).num_uniforms
                                        ).token in (0, 1)
    assert ot.WithReplacement(2).sample([0.0, 1.0], [0.1, 0.2]).tolist() == [1, 1]
    assert ot.verifier("block").draw([[0.5, 0.5]] * 2, [[0.5, 0.5]], [0], [0.1, 0.2]).accepted == 1
    rule = ot.verifier("score_block", 2)
    coins = [[0.1] * rule.num_uniforms(1)]
    assert rule.draw_paths([[[[0.5, 0.5]] * 2] * 2], [[[[0.5, 0.5]]] * 2], [[[0], [1]]], coins).accepted.tolist() == [1]
    for wrong in ([[0.1], [0.2, 0.3]], ["a", "b"]):
        with pytest.raises(ot.ShapeMismatch, match="uniforms: a list, but no array"):
            ot.WithReplacement(2).sample([0.0, 1.0], wrong)


class Twofold(Echo):
    """Takes two coins, the second of which decides."""

    @property
    def num_uniforms(self):
        return 2

    def _draw(self, target, draft, tokens, uniforms):
        self.given = target, draft
        return draw(target, uniforms[..., 1])


def test_verdicts_on_two_batch_axes_are_those_of_each_list(convert, rng):
    target, draft = rng.dirichlet(np.ones(3), (2, 1)), rng.dirichlet(np.ones(3), 4)
    tokens = rng.integers(0, 3, (2, 4, 2))
    for make, count in ((Echo, 1), (Twofold, 2)):
        rule = make(2)
        assert rule.num_uniforms == count
        uniforms = rng.random((2, 4, count))
        verdict = rule.draw(*map(convert, (target, draft, tokens, uniforms)))
        law = rule.conditional(*map(convert, (target, draft, tokens)))
        assert tuple(law.shape) == (2, 4, 3)
        for place in np.ndindex(2, 4):
            token = int(draw(target[place[0], 0], uniforms[place][-1]))
            held = np.flatnonzero(tokens[place] == token)
            assert (int(verdict.token[place]), int(verdict.slot[place])) == (token, held[0] if held.size else -1)
            assert np.asarray(law)[place].tolist() == target[place[0], 0].tolist()
    assert verdict.slot.dtype == convert(tokens).dtype
    with pytest.raises(ot.ShapeMismatch, match=r"batch shape \(4, 2\) differs from that of the drafts, \(2, 4\)"):
        rule.draw(target, draft, tokens, uniforms.reshape(4, 2, 2))


def test_what_a_token_rule_need_not_write():
    rule = Echo(2)
    assert (rule.num_uniforms, rule.acceptance_is_slow, rule.acceptance(LAW, LAW)) == (1, False, None)


def test_laws_that_fit_already_are_handed_over_as_they_are():
    laws = np.stack([LAW, LAW]), np.stack([LAW, LAW])
    rule = Twofold(1)
    rule.draw(*laws, np.array([[0], [1]]), np.full((2, 2), 0.5))
    assert all(mine is theirs for mine, theirs in zip(rule.given, laws, strict=True))


def test_laws_of_several_drafters_broadcast(rng):
    scheme = ot.Independent(2)
    target, draft = rng.dirichlet(np.ones(3), (2, 1)), rng.dirichlet(np.ones(3), (4, 2))
    mine, theirs = checked_pair(target, draft, scheme)
    assert (mine.shape, theirs.shape) == ((2, 4, 3), (2, 4, 2, 3))
    assert (theirs[1] == draft).all()
    one, two = checked_pair(LAW, draft[0], scheme)
    assert (one.shape, two.shape) == ((3,), (2, 3))
    with pytest.raises(ot.ShapeMismatch, match=r"batch shapes do not fit: target \(3, 3\), draft \(4, 2, 3\)"):
        checked_pair(np.stack([LAW] * 3), draft, scheme)
    for size in (2, 4):  # the drafters are as many as the tokens, or more
        with pytest.raises(ot.ShapeMismatch, match=rf"vocabularies differ: target has 3 tokens, draft {size}"):
            checked_pair(LAW, np.full((3, size), 1 / size), ot.Independent(3))


@pytest.mark.parametrize("convert", [np.asarray, torch.asarray])
def test_a_schemes_own_law_comes_as_the_callers_array(convert):
    for dtype in (np.float32, np.float64):
        target = convert(np.full((2, 3), 1 / 3, dtype))
        mine, draft = checked_pair(target, None, ot.Joint(np.eye(3) / 3))
        assert type(draft) is type(mine) is type(target)
        assert (draft.dtype, tuple(draft.shape)) == (target.dtype, (2, 3))
