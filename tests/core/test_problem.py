"""The transport problem of one context: what it makes of laws, and what is no single context."""

import numpy as np
import pytest
import torch

from otspec.core.drafters import Independent, Joint
from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.core.problem import MembershipProblem
from otspec.core.schemes import WithReplacement

LAW = np.array([0.2, 0.3, 0.5])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_laws_are_made_to_sum_to_one(dtype):
    near = (LAW * (1 + 5e-7)).astype(dtype)
    for draft, scheme in ((near, 2), (np.stack([near, near[::-1]]), Independent(2))):
        problem = MembershipProblem(near, draft, scheme)
        for law in (problem.target, problem.draft):
            assert law.dtype == np.float64
            assert np.abs(law.sum(axis=-1) - 1.0).max() < 1e-15
        assert problem.draft.shape == draft.shape
        assert problem.target == pytest.approx(LAW, abs=1e-7)
        assert problem.size == len(problem.lists[0]) == len(problem.lists[1]) == 9
        assert problem.sets[1].sum() == pytest.approx(1.0, abs=1e-15)
    assert MembershipProblem(LAW, LAW, 2).scheme == WithReplacement(2)
    assert MembershipProblem([0.5, 0.5], None, Joint(np.eye(2) / 2)).draft.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(("target", "draft", "scheme"), [
    ([LAW, LAW], LAW, 1), (LAW, [LAW, LAW], 1), ([LAW], [LAW], 1), ([LAW], np.stack([[LAW, LAW]]), Independent(2)),
    (LAW, np.stack([[LAW, LAW]]), Independent(2))])
def test_batches_are_refused(target, draft, scheme):
    with pytest.raises(ShapeMismatch, match=r"target: shape \(\d, 3\) is a batch; a MembershipProblem is one context"):
        MembershipProblem(np.array(target), np.array(draft), scheme)


def test_gradients_are_not_cut_in_silence():
    law = torch.tensor(LAW)
    wanting = law.clone().requires_grad_()
    for name, laws in (("target", (wanting, law)), ("draft", (law, wanting))):
        with pytest.raises(BadArgument, match=f"^{name}: the tensor requires gradients"):
            MembershipProblem(*laws, 2)
