"""Thresholds of the engines: what each looks at, and when."""

from importlib import resources

import numpy as np
import pytest
from transformers.generation.stopping_criteria import ConfidenceCriteria

import otspec as ot
from otspec.core.errors import BadArgument, UnknownName
from otspec.policies.length.thresholds import Confidence, EntropyBound, MinProbability

torch = pytest.importorskip("torch")


def sample(count=40, length=5, size=6, seed=0):
    """Rows and tokens of random blocks, as in a recording."""
    rng = np.random.default_rng(seed)
    target, draft = rng.dirichlet(np.full(size, 0.4), (count, length + 1)), rng.dirichlet(np.full(size, 0.4),
                                                                                         (count, length))
    tokens = np.array([[rng.choice(size, p=row) for row in rows] for rows in draft])
    return target, draft, tokens


ROWS = sample()
BLOCKS = ot.drafted_blocks(ROWS)


def test_confidence_stops_where_transformers_stops():
    criterion = ConfidenceCriteria(0.4)
    for row, length in enumerate(Confidence(0.4, 5).lengths(BLOCKS)):
        _, draft, tokens = (array[row] for array in ROWS)
        drafted = 0
        for drafted in range(1, 6):
            scores = (torch.log(torch.from_numpy(draft[drafted - 1]))[None],)
            if criterion(torch.from_numpy(tokens[None, :drafted]), scores):
                break
        assert length == drafted


def test_min_probability_and_entropy_look_at_the_next_row():
    for row, (first, second) in enumerate(zip(MinProbability(0.5, 5).lengths(BLOCKS),
                                              EntropyBound(0.5, 0.2, 5).lengths(BLOCKS), strict=True)):
        draft = ROWS[1][row]
        good = [law.max() >= 0.5 for law in draft]
        assert first == (good.index(False) if False in good else 5)
        entropy = [-(law[law > 0] * np.log(law[law > 0])).sum() for law in draft]
        good = [1 - np.sqrt(0.2 * value) >= 0.5 for value in entropy]
        assert second == (good.index(False) if False in good else 5)


def test_looking_ahead_costs_a_call():
    policy = MinProbability(0.5, 5)
    length = policy.lengths(BLOCKS)
    found = policy.predict(BLOCKS, draft_cost=0.1)
    assert found.drafts_per_call.mean == pytest.approx((length + (length < 5)).mean())
    assert found.drafted_per_call.mean == pytest.approx(length.mean())
    kept = [1 + BLOCKS.passed[row, :stop].sum() for row, stop in enumerate(length)]
    assert found.tokens_per_call.mean == pytest.approx(np.mean(kept))
    assert found.tokens_per_call.n == 40
    assert 0 < length.mean() < 5


def test_thresholds_at_their_ends():
    assert (Confidence(0.0, 5).lengths(BLOCKS) == 5).all()
    assert (Confidence(1.0, 5).lengths(BLOCKS) == 1).all()  # the first token is always drafted
    assert (MinProbability(0.0, 5).lengths(BLOCKS) == 5).all()
    assert (MinProbability(1.0, 5).lengths(BLOCKS) == 0).all()


def test_fitting_finds_the_cheapest_of_its_grid_and_keeps_the_longest():
    for policy in (Confidence(max_length=5), MinProbability(max_length=5), EntropyBound(max_length=5)):
        best = policy.fitted(BLOCKS, draft_cost=0.2)
        cost = best.predict(BLOCKS, draft_cost=0.2).cost_per_token.mean
        others = [type(policy)(threshold=t, max_length=n).predict(BLOCKS, draft_cost=0.2).cost_per_token.mean
                  for t in (0.0, 0.25, 0.5, 0.75, 0.95) for n in range(1, 6)]
        assert cost <= min(others) + 1e-12
        assert best.max_length <= 5


def test_registry_and_bad_arguments():
    assert ot.length_policy("confidence").threshold == 0.4
    assert ot.length_policy("min_probability").max_length == 16
    bibliography = resources.files("otspec").joinpath("references.bib").read_text(encoding="utf-8")
    assert all(f"{{{entry.source.key}," in bibliography for entry in ot.list_length_policies().values())
    with pytest.raises(UnknownName, match="specdec"):
        ot.length_policy("specdec")
    with pytest.raises(BadArgument, match="it takes threshold, max_length"):
        ot.length_policy("confidence", minimum=0.2)
    with pytest.raises(BadArgument, match="made already"):
        ot.length_policy(Confidence(), threshold=0.2)
    with pytest.raises(BadArgument, match="neither a name"):
        ot.length_policy(4)
    for value in (-0.1, 1.1, float("nan"), "0.4"):
        with pytest.raises(BadArgument, match="threshold"):
            Confidence(value)
    with pytest.raises(BadArgument, match="max_length"):
        MinProbability(max_length=0)
    with pytest.raises(BadArgument, match="scale"):
        EntropyBound(scale=0.0)
    with pytest.raises(BadArgument, match=r"drafted_blocks\(trace"):
        Confidence(max_length=2).lengths(ROWS)
