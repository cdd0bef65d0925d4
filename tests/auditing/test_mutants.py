"""Planted bugs beyond the registry of mistakes: every one is caught, most of them within a thousand calls.

With the registry's mistakes (tests/auditing/test_mistakes.py) and the bugs of the look-alikes
(tests/auditing/test_adapters.py) these are the mutants of the audit.
"""

import numpy as np
import pytest

import otspec as ot
from otspec.auditing.subjects import to_bfloat16
from tests.auditing.masses import drawn


def quantile(law, uniform):
    ends = np.cumsum(law, axis=-1)
    return (ends <= uniform[:, None] * ends[:, -1:]).sum(axis=-1)


def verify(target, draft, token, rng, *, ratio=lambda p, q: p / q, residual=None, redraw=quantile, test=np.less):
    """Single-draft rejection for rows of a batch; the arguments say what is different."""
    rows = np.arange(len(token))
    left = np.maximum(target - draft, 0) if residual is None else residual(target, draft, token)
    left = np.where(left.sum(axis=1, keepdims=True) > 0, left, target)
    keep = test(rng.random(len(token)), ratio(target[rows, token], draft[rows, token]))
    return np.where(keep, token, redraw(left, rng.random(len(token))))


def floor(target, draft, token):
    return np.maximum(target - draft, 0) + 1e-2


def without_largest(target, draft, token):
    left = np.maximum(target - draft, 0)
    left[np.arange(len(left)), left.argmax(axis=1)] = 0
    return left


def cut(target, draft, token):
    left = np.maximum(target - draft, 0)
    order = np.argsort(-left, axis=1)
    left[np.arange(len(left))[:, None], order[:, 2:]] = 0
    return left


def half_precision(target, draft, token):
    return np.maximum(to_bfloat16(target.astype(np.float32) * 0.875) - to_bfloat16(draft.astype(np.float32)), 0)


def neighbour(target, draft, token):
    return np.roll(np.maximum(target - draft, 0), 1, axis=0)


def top_residual(target, draft, token):
    kept = target >= 0.15
    return np.where(kept, np.maximum(target - draft, 0), 0)


def skewed(law, uniform):
    return quantile(law, uniform**1.15)


def coarse(law, uniform):
    return quantile(law, np.floor(uniform * 8) / 8)


def last_wins(law, uniform):
    return np.maximum(quantile(law, uniform), quantile(law, 1 - uniform))


def race(law, uniform):
    noise = np.random.default_rng((uniform * 2**52).astype(np.uint64)[:8]).random(law.shape)
    return (law / -noise).argmin(axis=1)  # uniform noise where exponential noise belongs


TOKEN = {
    "square_root_of_the_ratio": {"ratio": lambda p, q: np.sqrt(p / q)},
    "squared_ratio": {"ratio": lambda p, q: (p / q) ** 2},
    "lenient_by_a_tenth": {"ratio": lambda p, q: 1.1 * p / q},
    "strict_by_a_tenth": {"ratio": lambda p, q: 0.9 * p / q},
    "smoothed_ratio": {"ratio": lambda p, q: (p + 0.05) / (q + 0.05)},
    "difference_for_ratio": {"ratio": lambda p, q: 1 - (q - p)},
    "no_coin": {"ratio": lambda p, q: np.where(p >= q, 1.0, 0.0)},
    "inverted_test": {"test": np.greater},
    "floor_under_the_residual": {"residual": floor},
    "residual_without_its_largest": {"residual": without_largest},
    "residual_cut_to_two_tokens": {"residual": cut},
    "residual_in_half_precision_scaled": {"residual": half_precision},
    "residual_of_the_neighbouring_row": {"residual": neighbour},
    "residual_of_likely_tokens": {"residual": top_residual},
    "residual_from_the_draft": {"residual": lambda p, q, x: q},
    "residual_squared": {"residual": lambda p, q, x: np.maximum(p - q, 0) ** 2},
    "residual_of_the_maximum": {"residual": lambda p, q, x: np.maximum(p, q)},
    "residual_uniform": {"residual": lambda p, q, x: np.ones_like(p)},
    "skewed_uniform": {"redraw": skewed},
    "coarse_uniform": {"redraw": coarse},
    "larger_of_two_draws": {"redraw": last_wins},
    "race_with_wrong_noise": {"redraw": race},
}


@pytest.mark.parametrize("name", TOKEN)
def test_bugs_with_one_draft_are_caught(name):
    report = ot.audit(lambda *given: verify(*given, **TOKEN[name]), kind="token", batch_size=512, large=False,
                      explain=0)
    assert report.passed is False
    assert report.p_value < 1e-3
    assert report.interval[1] > 0


def test_the_same_code_without_a_bug_passes():
    assert ot.audit(verify, kind="token", batch_size=512, tv=0.1).passed is True


def several(change):
    """Recursive rejection for rows of a batch, one thing changed."""
    def fn(target, draft, tokens, rng):
        size, k = tokens.shape
        rows, out, open_ = np.arange(size), np.full(size, -1), np.ones(size, dtype=bool)
        r, coins = target.copy(), rng.random((size, k + 1))
        order = range(k - 1, -1, -1) if change == "last_first_without_coin" else range(k)
        for slot in order:
            x = tokens[:, slot]
            p = (target if change == "target_again" and slot else r)[rows, x]
            coin = coins[:, 0 if change == "one_coin" else slot]
            keep = open_ & ((coin * draft[rows, x] < p) | (change == "last_first_without_coin") & (slot == k - 1))
            out[keep], open_ = x[keep], open_ & ~keep
            if change == "residual_only_once" and slot:
                continue
            left = np.maximum(r - draft, 0)
            scale = 1 if change == "not_normalised" else np.maximum(left.sum(axis=1, keepdims=True), 1e-300)
            r = np.where(left.sum(axis=1, keepdims=True) > 0, left / scale, target)
        return np.where(open_, quantile(target if change == "target_at_the_end" else r, coins[:, -1]), out)
    return fn


SEVERAL = ("one_coin", "target_again", "residual_only_once", "not_normalised", "target_at_the_end",
           "last_first_without_coin")


@pytest.mark.parametrize("change", SEVERAL)
def test_bugs_with_several_drafts_are_caught(change):
    report = ot.audit(several(change), kind="multi", scheme=2, batch_size=512, large=False, explain=0)
    assert report.passed is False


def blocks(change):
    """Token-wise verification of rows of a batch, one thing changed."""
    def fn(target, draft, tokens, rng):
        size, length = tokens.shape
        rows, coins = np.arange(size), rng.random((size, length + 1))
        p, q = (np.take_along_axis(part[:, :length], tokens[..., None], 2)[..., 0] for part in (target, draft))
        passed = coins[:, :length] * q < (p if change != "ratio_of_the_first" else p[:, :1] / q[:, :1] * q)
        kept = np.cumprod(passed, axis=1).sum(axis=1)
        if change == "keeps_one_more":
            kept = np.minimum(kept + (rng.random(size) < 0.1), length)
        if change == "loses_the_last":
            kept = np.where(kept == length, length - 1, kept)
        padded = np.concatenate([draft, np.zeros_like(draft[:, :1])], axis=1)
        left = np.maximum(target - padded, 0)[rows, kept]
        if change == "residual_at_the_end_too":
            left = np.where((kept == length)[:, None], np.maximum(target - np.roll(padded, 1, axis=1), 0)[rows, kept],
                            left)
        if change == "bonus_is_likeliest":
            left = np.where((kept == length)[:, None], left == left.max(axis=1, keepdims=True), left)
        if change == "bonus_is_tempered":
            left = np.where((kept == length)[:, None], left**1.3, left)
        if change == "first_row_residual":
            left = np.where((kept < length)[:, None], np.maximum(target - padded, 0)[:, 0], left)
        left = np.where(left.sum(axis=1, keepdims=True) > 0, left, target[rows, kept])
        out = np.full((size, length + 1), -1)
        out[:, :length] = np.where(np.arange(length) < kept[:, None], tokens, -1)
        out[rows, kept] = quantile(left, coins[:, 0 if change == "coin_again" else -1])
        return out
    return fn


BLOCKS = ("keeps_one_more", "loses_the_last", "ratio_of_the_first", "residual_at_the_end_too", "bonus_is_likeliest",
          "bonus_is_tempered", "first_row_residual", "coin_again")


@pytest.mark.parametrize("change", BLOCKS)
def test_bugs_of_blocks_are_caught(change):
    assert ot.audit(blocks(change), kind="block", batch_size=1024, explain=0).passed is False


@pytest.mark.parametrize("fn", [blocks(None), drawn(ot.verifier("block", 1))], ids=["token-wise", "block"])
def test_the_same_blocks_without_a_bug_pass(fn):
    assert ot.audit(fn, kind="block", batch_size=1024, tv=0.1).passed is True


def test_several_drafts_without_a_bug_pass():
    assert ot.audit(several(None), kind="multi", scheme=2, batch_size=512, large=False, tv=0.1).passed is True


def test_there_are_more_than_thirty():
    assert len(TOKEN) + len(SEVERAL) + len(BLOCKS) >= 36
