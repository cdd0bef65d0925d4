"""Known mistakes with one draft, and with several at one position."""

from __future__ import annotations

import numpy as np

from otspec.auditing.mistakes.registry import Mistake, accept, distinct, excess, mixed, point, scaled

Law = np.ndarray


def _first(tokens: Law) -> int:
    return int(np.ravel(tokens)[0])


def redraw_from_target(target: Law, draft: Law, tokens: Law) -> Law:
    """After a rejection the target itself."""
    x = _first(tokens)
    return mixed(accept(target[x], draft[x]), x, target)


def draft_removed(target: Law, draft: Law, tokens: Law) -> Law:
    """After a rejection the target without the draft."""
    x = _first(tokens)
    rest = target.copy()
    rest[x] = 0.0
    return mixed(accept(target[x], draft[x]), x, scaled(rest, point(x, target.size)))


def absolute_residual(target: Law, draft: Law, tokens: Law) -> Law:
    """After a rejection a draw from ``|target - draft|``."""
    x = _first(tokens)
    return mixed(accept(target[x], draft[x]), x, scaled(np.abs(target - draft), target))


def swapped_residual(target: Law, draft: Law, tokens: Law) -> Law:
    """After a rejection a draw from ``(draft - target)+``."""
    x = _first(tokens)
    return mixed(accept(target[x], draft[x]), x, excess(draft, target))


def swapped_ratio(target: Law, draft: Law, tokens: Law) -> Law:
    """Accept with ``draft / target``."""
    x = _first(tokens)
    return mixed(accept(draft[x], target[x]), x, excess(target, draft))


def target_as_chance(target: Law, draft: Law, tokens: Law) -> Law:
    """Accept with the target's probability, not the ratio."""
    x = _first(tokens)
    return mixed(float(target[x]), x, excess(target, draft))


def always_accept(target: Law, draft: Law, tokens: Law) -> Law:
    """Keep every draft."""
    return point(_first(tokens), target.size)


def likeliest_residual(target: Law, draft: Law, tokens: Law) -> Law:
    """After a rejection the likeliest token of the residual, not a draw."""
    x = _first(tokens)
    return mixed(accept(target[x], draft[x]), x, point(int(np.argmax(excess(target, draft))), target.size))


def one_uniform(target: Law, draft: Law, tokens: Law) -> Law:
    """The uniform that rejected is used again to draw from the residual."""
    x = _first(tokens)
    keep = accept(target[x], draft[x])
    ends = np.cumsum(excess(target, draft))
    ends[-1] = 1.0
    law = np.diff(np.maximum(np.concatenate([[0.0], ends]), keep))
    law[x] += keep
    return law


def unscaled_residual(target: Law, draft: Law, tokens: Law) -> Law:
    """The residual is not normalised: what its sum lacks goes to the last token."""
    x = _first(tokens)
    left = np.maximum(target - draft, 0.0)
    if left.sum() > 0:
        left[-1] += 1 - left.sum()
    else:
        left = target
    return mixed(accept(target[x], draft[x]), x, left)


def half_is_enough(target: Law, draft: Law, tokens: Law) -> Law:
    """Keep a draft whenever the target holds it for half as likely as the draft law does, without a coin."""
    x = _first(tokens)
    return mixed(float(target[x] >= 0.5 * draft[x]), x, excess(target, draft))


def given_taken_for_sampled(target: Law, draft: Law, tokens: Law) -> Law:
    """Accept with the target's probability, and redraw from the whole target: the draft may come twice."""
    x = _first(tokens)
    return mixed(float(target[x]), x, target)


def recursive(target: Law, draft: Law, drafts: list[int], *, remove: bool, scale: bool) -> Law:
    """Recursive rejection: after each refusal the residual; the draft law without the token, or as it was."""
    law, survive, r, left = np.zeros(target.size), 1.0, target.copy(), draft.copy()
    for x in drafts:
        keep = accept(r[x], left[x])
        law[x] += survive * keep
        survive *= 1 - keep
        r = excess(r, left)
        if remove:
            left = left.copy()
            left[x] = 0.0
            left = scaled(left, left) if scale and left.sum() > 0 else left
    return law + survive * r


def removed(target: Law, draft: Law, tokens: Law) -> Law:
    """The rule for draws without replacement, whatever the drafts are."""
    return recursive(target, draft, [x for x in np.ravel(tokens).tolist() if x >= 0], remove=True, scale=True)


def not_renormalised(target: Law, draft: Law, tokens: Law) -> Law:
    """The draft law loses the refused token but is not renormalised."""
    return recursive(target, draft, [x for x in np.ravel(tokens).tolist() if x >= 0], remove=True, scale=False)


def merged_recursive(target: Law, draft: Law, tokens: Law) -> Law:
    """Repeats of a draft are dropped, then recursive rejection as if they had been drawn."""
    return recursive(target, draft, distinct(tokens), remove=False, scale=False)


def frozen_residual(target: Law, draft: Law, tokens: Law) -> Law:
    """Every draft is tried against the target itself; one residual at the end."""
    law, survive = np.zeros(target.size), 1.0
    for x in (x for x in np.ravel(tokens).tolist() if x >= 0):
        keep = accept(target[x], draft[x])
        law[x] += survive * keep
        survive *= 1 - keep
    return law + survive * excess(target, draft)


def best_first(target: Law, draft: Law, tokens: Law) -> Law:
    """The draft that the target likes best is tried as if it were the only one."""
    x = max(distinct(tokens), key=lambda token: target[token])
    return mixed(accept(target[x], draft[x]), x, excess(target, draft))


def k_seq(target: Law, draft: Law, drafts: list[int], rho: float, count: int | None = None) -> Law:
    """K-SEQ at a given ``rho``, a negative residual clipped; ``count`` is what it takes for the number of drafts."""
    beta = float(np.minimum(draft, target / rho).sum())
    law, survive = np.zeros(target.size), 1.0
    for x in drafts:
        keep = accept(target[x], rho * draft[x])
        law[x] += survive * keep
        survive *= 1 - keep
    total = 1 - (1 - beta) ** (len(drafts) if count is None else count)
    left = target - np.minimum(draft, target / rho) * (total / beta if beta > 0 else 0.0)
    return law + survive * scaled(np.maximum(left, 0.0), target)


def smallest_rho(target: Law, draft: Law, drafts: int) -> float:
    """Smallest valid ``rho`` of K-SEQ, from above."""
    low, high = 1.0, float(max(1, drafts))
    for _ in range(60):
        rho = (low + high) / 2
        beta = float(np.minimum(draft, target / rho).sum())
        low, high = (low, rho) if 1 - (1 - beta) ** drafts <= rho * beta else (rho, high)
    return high


def k_seq_at_one(target: Law, draft: Law, tokens: Law) -> Law:
    """K-SEQ with rho = 1, below the smallest valid value."""
    return k_seq(target, draft, [x for x in np.ravel(tokens).tolist() if x >= 0], 1.0)


def merged_k_seq(target: Law, draft: Law, tokens: Law) -> Law:
    """Repeats of a draft are dropped, then K-SEQ tuned for the number that was drawn."""
    rho = smallest_rho(target, draft, np.ravel(tokens).size)
    return k_seq(target, draft, distinct(tokens), rho, np.ravel(tokens).size)


_RESIDUAL = "draw from (target - draft)+, normalised"
ONE_DRAFT = (
    Mistake("redraw_from_target", "token", "after a rejection the next token is drawn from the target itself",
            _RESIDUAL, redraw_from_target),
    Mistake("draft_removed", "token", "after a rejection the target without the refused token is drawn from",
            _RESIDUAL + "; that is the same only where the draft law is one-hot", draft_removed),
    Mistake("absolute_residual", "token", "the residual is |target - draft|", _RESIDUAL, absolute_residual),
    Mistake("always_accept", "token", "every draft is kept", "accept with min(1, target / draft)", always_accept),
    Mistake("swapped_residual", "token", "the residual is (draft - target)+", _RESIDUAL, swapped_residual),
    Mistake("swapped_ratio", "token", "a draft is accepted with draft / target", "accept with min(1, target / draft)",
            swapped_ratio),
    Mistake("target_as_chance", "token", "a sampled draft is accepted with the target's probability",
            "accept with min(1, target / draft); the target's probability is right for a one-hot draft law only",
            target_as_chance),
    Mistake("likeliest_residual", "token", "after a rejection the likeliest token of the residual is emitted",
            "draw from the residual", likeliest_residual),
    Mistake("one_uniform", "token", "one uniform serves both the test and the draw from the residual",
            "toss a fresh uniform for the residual", one_uniform),
    Mistake("unscaled_residual", "token", "the residual is not normalised before it is drawn from",
            "divide (target - draft)+ by its sum, or scale the uniform by it", unscaled_residual),
    Mistake("half_is_enough", "token", "a draft is kept whenever target / draft exceeds a threshold",
            "compare the ratio with a uniform", half_is_enough),
    Mistake("given_taken_for_sampled", "token", "drafts without a law are accepted with the target's probability, and "
            "the refused token may be drawn again", "leave the refused token out of the redraw",
            given_taken_for_sampled),
)
_SAMPLED = ("WithReplacement",)
SEVERAL = (
    Mistake("top_k_as_without_replacement", "multi", "drafts that were chosen, not drawn (top k, greedy), are verified "
            "as if they had been drawn without replacement", "use the rule for the scheme by which they are drawn",
            removed, ("Greedy", "Hybrid", "Hub")),
    Mistake("iid_as_without_replacement", "multi", "independent drafts are verified by the rule for draws without "
            "replacement", "keep the draft law as it is after a refusal, or draw without replacement", removed,
            _SAMPLED),
    Mistake("draft_not_renormalised", "multi", "a refused token is removed from the draft law, which is not "
            "renormalised", "divide the draft law by what is left of it", not_renormalised, ("WithoutReplacement",)),
    Mistake("rrs_after_deduplication", "multi", "repeated drafts are merged before recursive rejection",
            "verify every draw, repeats too; or verify the distinct tokens by the rule for draws without replacement",
            merged_recursive, _SAMPLED),
    Mistake("k_seq_after_deduplication", "multi", "repeated drafts are merged before K-SEQ",
            "verify every draw, repeats too", merged_k_seq, _SAMPLED),
    Mistake("k_seq_rho_below_smallest", "multi", "K-SEQ runs with rho below its smallest valid value",
            "bisect for rho and take the upper end", k_seq_at_one, _SAMPLED),
    Mistake("frozen_residual", "multi", "every draft is tested against the target itself",
            "after each refusal go on with the residual as target", frozen_residual),
    Mistake("best_first", "multi", "the draft that the target likes best is verified as if it were the only one",
            "use the law of the chosen draft, its winner law, in place of the draft law", best_first),
)
