"""Costs of a call and a draft step, and the speed-up that follows."""

import math

import pytest

import otspec as ot
from otspec.core.errors import BadArgument
from otspec.planner.costs import Costs, draft_steps


def test_free_verification_and_free_drafts_give_the_tokens():
    assert Costs(1e-9).speedup(3.0, drafts=16, steps=16) == pytest.approx(3.0, abs=1e-6)


def test_the_unit_does_not_matter():
    one = Costs(0.1, {1: 1.0, 9: 1.5}).speedup(3.0, drafts=8, steps=4)
    assert one == pytest.approx(3.0 / (0.4 + 1.5))
    assert Costs(0.7, {1: 7.0, 9: 10.5}).speedup(3.0, drafts=8, steps=4) == pytest.approx(one)


def test_a_curve_is_read_at_all_tokens_of_the_batch():
    curve = {4: 1.0, 8: 2.0, 16: 6.0}
    costs = Costs(0.1, curve, batch_size=4)
    assert [costs.call(drafts) for drafts in (0, 1, 3, 7)] == [1.0, 2.0, 6.0, 14.0]  # beyond the last point, a line


def test_a_falling_end_of_a_curve_is_not_continued():
    assert Costs(0.1, {1: 2.0, 4: 1.9}).call(99) == 1.9


@pytest.mark.parametrize("wrong", [0, -1, math.nan, math.inf, None, "1", True])
def test_costs_that_are_none(wrong):
    with pytest.raises(BadArgument, match="draft_cost"):
        Costs(wrong)
    if wrong is not None:
        with pytest.raises(BadArgument, match="verify_cost"):
            Costs(0.1, wrong)
        with pytest.raises(BadArgument, match=r"verify_cost\[17\]"):
            Costs(0.1, {1: 1.0, 17: wrong})


@pytest.mark.parametrize("wrong", [{}, {1: 1.0}, {0: 1.0, 2: 1.0}, {1.5: 1.0, 2: 1.0}])
def test_curves_that_are_none(wrong):
    with pytest.raises(BadArgument, match="verify_cost"):
        Costs(0.1, wrong)


def test_steps_follow_the_drafter():
    bins = {"entropy_edges": (), "by_entropy": [[0.8], [0.1]], "chance_edges": (), "by_chance": [[0.8], [0.1]]}
    for drafter, steps in ((ot.drafter("paths", scheme=3, draft_length=4), 4), (ot.drafter("tree", widths=(2, 1)), 2),
                           (ot.drafter("calibrated_heap", nodes=5, calibration=bins), 5), (ot.drafter("lookup"), 0)):
        assert draft_steps(drafter) == steps


def test_draft_steps_count_the_calls_of_the_draft_model():
    """Every drafter of the list is watched while it drafts."""
    torch = pytest.importorskip("torch")
    bins = {"entropy_edges": (), "by_entropy": [[0.6], [0.3]], "chance_edges": (), "by_chance": [[0.6], [0.3]]}

    class Watched:
        calls = 0
        texts, sides = [[0]], []

        def start(self):
            self.calls += 1
            return torch.full((1, 4), 0.25, dtype=torch.float64)

        def after(self, tokens, parents):
            self.calls += 1
            return torch.full((1, tokens.shape[1], 4), 0.25, dtype=torch.float64)

    for drafter in (ot.drafter("paths", scheme=2, draft_length=3), ot.drafter("tree", counts=(2, 1)),
                    ot.drafter("heap", nodes=4), ot.drafter("calibrated_heap", nodes=4, calibration=bins),
                    ot.drafter("budget_split", nodes=4, rates=(0.6, 0.3), calibration=bins),
                    ot.drafter("likeliest", nodes=4), ot.drafter("rerank", nodes=4, width=2, max_depth=3)):
        speaker = Watched()
        drafter.propose(speaker, torch.full((1, drafter.num_uniforms), 0.5, dtype=torch.float64))
        assert speaker.calls == draft_steps(drafter), drafter
