"""Known mistakes in the verification of a drafted path: masses ``[L+1 V]`` of (drafts kept, next token)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from otspec.auditing.mistakes.registry import Mistake, accept, excess, scaled

Rows = np.ndarray


def weights(target: Rows, draft: Rows, tokens: Rows, *, clamp: bool = True) -> list[float]:
    """Block weights ``w_0 .. w_L``; the product of ratios where it is not clamped."""
    w = [1.0]
    for p, q, x in zip(target, draft, np.asarray(tokens).tolist(), strict=False):
        ratio = w[-1] * p[x] / q[x]
        w.append(min(1.0, ratio) if clamp else ratio)
    return w


def chances(target: Rows, draft: Rows, w: Sequence[float]) -> list[float]:
    """Block chances ``h_1 .. h_L``, clipped to [0, 1]."""
    h = []
    for i in range(1, len(w) - 1):
        left = float(np.maximum(w[i] * target[i] - draft[i], 0.0).sum())
        below = left + 1 - w[i]
        h.append(min(1.0, left / below) if below > 0 else 1.0)
    return [*h, min(1.0, w[-1])]


def last_success(h: Sequence[float]) -> list[float]:
    """Law of the last success of independent tests, 0 if there is none."""
    law, later = [0.0] * (len(h) + 1), 1.0
    for i in range(len(h), 0, -1):
        law[i] = later * h[i - 1]
        later *= 1 - h[i - 1]
    return [later, *law[1:]]


def first_failure(h: Sequence[float]) -> list[float]:
    """Law of the number of successes before the first failure."""
    law, survive = [], 1.0
    for one in h:
        law.append(survive * (1 - one))
        survive *= one
    return [*law, survive]


def stopped(stop: Sequence[float], w: Sequence[float], target: Rows, draft: Rows) -> Rows:
    """Mass of a stop law with residuals ``(w target - draft)+`` and the target's last row."""
    laws = [scaled(np.maximum(w[i] * target[i] - draft[i], 0.0), target[i]) for i in range(len(draft))]
    return np.asarray(stop)[:, None] * np.stack([*laws, target[-1]])


def ratios(target: Rows, draft: Rows, tokens: Rows) -> list[float]:
    """Token-wise chances."""
    return [accept(p[x], q[x]) for p, q, x in zip(target, draft, np.asarray(tokens).tolist(), strict=False)]


def stop_at_first_rejection(target: Rows, draft: Rows, tokens: Rows) -> Rows:
    """Stop at the first failed test of block verification."""
    w = weights(target, draft, tokens)
    return stopped(first_failure(chances(target, draft, w)), w, target, draft)


def h_equals_w(target: Rows, draft: Rows, tokens: Rows) -> Rows:
    """Use h = w before the end too."""
    w = weights(target, draft, tokens)
    return stopped(last_success(w[1:]), w, target, draft)


def no_clamp(target: Rows, draft: Rows, tokens: Rows) -> Rows:
    """Carry the product of ratios without its clamp at one."""
    w = weights(target, draft, tokens, clamp=False)
    return stopped(last_success(chances(target, draft, w)), w, target, draft)


def one_shared_uniform(target: Rows, draft: Rows, tokens: Rows) -> Rows:
    """Compare all chances with one uniform."""
    w = weights(target, draft, tokens)
    h = chances(target, draft, w)
    stop, reached = [0.0] * (len(h) + 1), 0.0
    for i in range(len(h), 0, -1):
        stop[i] = max(h[i - 1] - reached, 0.0)
        reached = max(reached, h[i - 1])
    return stopped([1 - reached, *stop[1:]], w, target, draft)


def token_residual(target: Rows, draft: Rows, tokens: Rows) -> Rows:
    """Block verification with residuals ``(target - draft)+``."""
    w = weights(target, draft, tokens)
    return stopped(last_success(chances(target, draft, w)), [1.0] * len(w), target, draft)


def row_before(target: Rows, draft: Rows, tokens: Rows) -> Rows:
    """Chances from the row that proposed the token instead of the row after it."""
    w = weights(target, draft, tokens)
    early, late = (np.concatenate([rows[:1], rows[:-1]]) for rows in (target[: len(draft)], draft))
    return stopped(last_success(chances(early, late, w)), w, target, draft)


def _token_wise(target: Rows, draft: Rows, tokens: Rows, laws: list[np.ndarray], bonus: np.ndarray) -> Rows:
    return np.asarray(first_failure(ratios(target, draft, tokens)))[:, None] * np.stack([*laws, bonus])


def redraw_from_target(target: Rows, draft: Rows, tokens: Rows) -> Rows:
    """Token-wise; after a rejection the target itself."""
    return _token_wise(target, draft, tokens, list(target[:-1]), target[-1])


def next_row_residual(target: Rows, draft: Rows, tokens: Rows) -> Rows:
    """Token-wise; the residual of the row after the rejected token."""
    after = [*draft[1:], draft[-1]] if len(draft) else []
    laws = [excess(p, q) for p, q in zip(target[1:], after, strict=True)]
    return _token_wise(target, draft, tokens, laws, target[-1])


def bonus_from_last_row(target: Rows, draft: Rows, tokens: Rows) -> Rows:
    """Token-wise; the bonus token from the row before the last."""
    laws = [excess(p, q) for p, q in zip(target, draft, strict=False)]
    return _token_wise(target, draft, tokens, laws, target[-2] if len(target) > 1 else target[-1])


def matches_counted(target: Rows, draft: Rows, tokens: Rows) -> Rows:
    """As many drafts are kept as passed their tests, wherever they stand."""
    law = np.ones(1)
    for keep in ratios(target, draft, tokens):
        law = np.convolve(law, [1 - keep, keep])
    laws = [excess(p, q) for p, q in zip(target, draft, strict=False)]
    return law[:, None] * np.stack([*laws, target[-1]])


def last_test_decides(target: Rows, draft: Rows, tokens: Rows) -> Rows:
    """Everything up to the last passed test is kept, each test against its own ratio."""
    laws = [excess(p, q) for p, q in zip(target, draft, strict=False)]
    return np.asarray(last_success(ratios(target, draft, tokens)))[:, None] * np.stack([*laws, target[-1]])


def one_uniform_for_all(target: Rows, draft: Rows, tokens: Rows) -> Rows:
    """Token-wise, one uniform for every position."""
    lowest = np.minimum.accumulate([1.0, *ratios(target, draft, tokens)])
    laws = [excess(p, q) for p, q in zip(target, draft, strict=False)]
    return np.append(-np.diff(lowest), lowest[-1])[:, None] * np.stack([*laws, target[-1]])


def product_of_ratios(target: Rows, draft: Rows, tokens: Rows) -> Rows:
    """The path is kept or refused as a whole, by the clipped product of its ratios."""
    w = weights(target, draft, tokens, clamp=False)
    keep = min(1.0, w[-1])
    laws = [excess(p, q) for p, q in zip(target, draft, strict=False)]
    stop = np.zeros(len(w))
    stop[0] += 1 - keep
    stop[-1] += keep
    return stop[:, None] * np.stack([*laws, target[-1]])


BLOCK = (
    Mistake("stop_at_first_rejection", "block", "block verification stops at its first failed test",
            "keep the longest prefix whose own test succeeds, without an early break", stop_at_first_rejection),
    Mistake("h_equals_w", "block", "prefixes are tested with h = w before the end of the block too",
            "h = S / (S + 1 - w), and h = w only at the end", h_equals_w),
    Mistake("no_clamp", "block", "the product of ratios is carried on without its clamp at one",
            "w_i = min(1, w_(i-1) ratio_i)", no_clamp),
    Mistake("one_shared_uniform", "block", "all tests of block verification use one uniform",
            "toss an independent uniform for each prefix", one_shared_uniform),
    Mistake("token_residual", "block", "after block verification the next token is drawn from (target - draft)+",
            "draw from (w target - draft)+", token_residual),
    Mistake("row_before", "block", "S is taken on the row that proposed the token", "S belongs to the row after the "
            "prefix", row_before),
    Mistake("redraw_from_target", "block", "after a rejection the next token is drawn from the target itself",
            "draw from (target - draft)+ on the row of the rejected token", redraw_from_target),
    Mistake("next_row_residual", "block", "the residual is taken on the row after the rejected token",
            "use the row that the rejected token was drawn from", next_row_residual),
    Mistake("bonus_from_last_row", "block", "the bonus token is drawn from the row before the last",
            "a block of L drafts has L + 1 target rows; the bonus token comes from the last", bonus_from_last_row),
    Mistake("matches_counted", "block", "accepted tokens are counted although one before them was refused",
            "count the tokens before the first refusal (a cumulative product)", matches_counted),
    Mistake("last_test_decides", "block", "a prefix is kept by its last token's own ratio",
            "stop at the first refusal, or test prefixes as block verification does", last_test_decides),
    Mistake("one_uniform_for_all", "block", "one uniform is used at every position",
            "toss an independent uniform for each position", one_uniform_for_all),
    Mistake("product_of_ratios", "block", "the path is kept or refused as a whole, by the product of its ratios",
            "verify token by token, or as block verification does", product_of_ratios),
)
