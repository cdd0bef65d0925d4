import numpy as np
import pytest
import torch

import otspec as ot
from otspec.core.verifier import slot_of

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


def test_a_rule_knows_its_scheme():
    assert repr(Echo(2)) == "Echo(WithReplacement(k=2))"
    with pytest.raises(ot.SchemeMismatch, match=r"proved for WithReplacement; got WithoutReplacement\(k=2\)"):
        ot.verifier("k_seq", ot.WithoutReplacement(2))
