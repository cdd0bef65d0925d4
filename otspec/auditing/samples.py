"""Audit of samples: texts that an engine has emitted for known prompts, against the target's law.

Every test is a bet that is fair under the target's law, whatever came before; their mean is one too.

* First tokens: many samples of one prompt are counted against the exact law of their first token.
* Ranks: in the order of descending mass, the mass above a token plus a uniform part of its own is uniform on [0, 1),
  independently at every position; all tokens are counted in 16 equal parts.
* Log-likelihoods: against ``p``, bet on ``p^s / sum p^s`` for s on both sides of 1, another temperature. What is won
  is ``sum (s - 1) log p(token) - log sum p^s``, a martingale in the token log-likelihoods.
* Draft: bet on ``(1 - e) p + e q`` where the draft model is known: a rule that is not lossless leans to its drafts.

A token of probability zero ends the audit: it cannot come. Evidence of prompts is multiplied, that of tests averaged.
"""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from otspec.auditing.contexts import check_source, laws_along_texts
from otspec.auditing.evidence import calls_needed, log_evidence, margin, mean_evidence, pooled_evidence
from otspec.auditing.mistakes import Mistake
from otspec.auditing.report import AuditReport, Counterexample
from otspec.core.checks import check_number, check_positive, check_seed
from otspec.core.errors import BadArgument, TooLarge
from otspec.core.progress import progress_bar
from otspec.core.table import Table

PARTS = 16
MOST = 2**20  # outcomes that a question about samples may tell apart
TOP = 31  # likeliest first tokens that are counted one by one, the rest together
POWERS = (0.7, 0.8, 0.9, 0.95, 1.05, 1.1, 1.25, 1.5)
SHARES = (0.01, 0.03, 0.1, 0.3, 1.0)
UNIFORM = np.full(PARTS, 1 / PARTS)
GRID = tuple(0.5 * 0.9**step for step in range(44))
TEMPERATURE = Mistake("other_temperature", "samples", "texts are more, or less, likely than the target's own, as at "
                      "another temperature or cut", "audit with the temperature, top_k and top_p of the "
                      "engine; look for logits that are scaled twice or not at all", None)
DRAFT = Mistake("leans_to_the_draft", "samples", "texts lean to the draft model", "audit the verification function: "
                "ot.audit(fn, kind=...) names the mistake", None)
LAYOUT = "texts[prompt][sample][position]"
IMPOSSIBLE = Mistake("impossible_token", "samples", "a token was emitted that the target never emits", "audit with the "
                     "settings of the engine; compare the cut (top_k, top_p) of target and draft", None)


def samples_needed(tv: float, *, outcomes: int = PARTS, alarm: float = 1e-3, power: float = 0.99) -> int:
    """Independent samples after which a deviation of a law is found.

    Parameters
    ----------
    tv : float
        Total variation that must be found, in the direction that is hardest to tell.
    outcomes : int
        Equally likely outcomes that are told apart: 16 ranks of tokens by default.
    alarm, power : float
        Largest chance of a false alarm; chance to find the deviation.

    Returns
    -------
    int
        By simulation with a fixed seed.

    Raises
    ------
    BadArgument
        No law on so few outcomes is that far from the uniform one, ``tv > 1 - 1 / outcomes``; or more than 2**62
        samples.
    TooLarge
        More than 2**20 outcomes.

    Examples
    --------
    >>> 2_000 < samples_needed(0.1) < 4_000
    True
    """
    for label, value in (("tv", tv), ("alarm", alarm), ("power", power)):
        if not 0 < check_number(label, value, f"{label} in (0, 1)") < 1:
            raise BadArgument(f"{label}: {value} is outside (0, 1). Fix: {label}={0.99 if label == 'power' else 0.01}.")
    cells = check_positive("outcomes", outcomes)
    if cells > MOST:
        raise TooLarge(f"outcomes: {cells} cells of counts, over {MOST}. Fix: fewer, all rare ones as one.", cells)
    if tv > 1 - 1 / cells:
        raise BadArgument(f"tv: no law on {cells} outcome{'s' * (cells > 1)} is farther than {1 - 1 / cells:g} from "
                          f"the uniform one; got {tv}. Fix: a smaller tv, or more outcomes.")
    return calls_needed([np.full(cells, 1 / cells)], float(tv), alarm / 4, power)


@dataclass
class _Ledger:
    """What the tokens say."""

    ranks: np.ndarray = field(default_factory=lambda: np.zeros(PARTS))
    powers: np.ndarray = field(default_factory=lambda: np.zeros(len(POWERS)))
    shares: np.ndarray = field(default_factory=lambda: np.zeros(len(SHARES)))
    firsts: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)  # counts and law, prompt by prompt
    impossible: tuple[int, int, int] | None = None  # prompt, position, token
    tokens: int = 0
    texts: int = 0
    drafted: bool = False


def audit_samples(pair: Any, prompts: Sequence[Sequence[int]], texts: Sequence[Sequence[Sequence[int]]], *,
                  temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None, tv: float = 0.05,
                  alarm: float = 1e-3, power: float = 0.99, seed: int = 0, progress: bool = True) -> AuditReport:
    """Judge whether emitted texts have the target's law.

    Parameters
    ----------
    pair : Pair, MarkovModel or tuple of two MarkovModel
        The models; of one Markov model, or of the first of two, the law is the target's.
    prompts : sequence of token lists
    texts : sequence of sequences of token lists
        For each prompt, independent samples of what was emitted after it: token ids, because a text that is encoded
        again need not have the ids that were emitted.
    temperature, top_k, top_p
        Of the engine.
    tv : float
        Deviation that must have been found, with probability ``power``, for a verdict of passed.
    alarm : float
        Largest probability to fail samples of the target.
    power : float
    seed : int
        Of the uniform parts that ranks are spread by.
    progress : bool
        Show a progress bar on a terminal.

    Returns
    -------
    AuditReport
        ``passed`` is None where there are too few tokens to tell; `samples_needed` says how many it takes.

    Raises
    ------
    BadArgument, ShapeMismatch

    Examples
    --------
    >>> model = ot.MarkovModel([[0.5, 0.5], [0.9, 0.1]])
    >>> ot.audit_samples(model, [[0]], [[[0, 0, 0, 0]] * 50]).passed
    False
    >>> ot.audit_samples(model, [[0]], [[[1, 0, 0], [0, 1, 0]]]).passed is None
    True
    """
    start = time.perf_counter()
    check_source(pair)
    prompts, texts = _checked(prompts, texts)
    needed = samples_needed(tv, alarm=alarm, power=power)
    warp = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    # a stream of its own: the texts may have been drawn from default_rng(seed), and must be independent of it
    ledger, rng = _Ledger(), np.random.default_rng([check_seed(seed), 2])
    with progress_bar(sum(map(len, texts)), "texts", progress) as bar:
        for number, (prompt, emitted) in enumerate(zip(prompts, texts, strict=True)):
            _read(ledger, pair, number, prompt, emitted, warp, rng)
            bar.update(len(emitted))
            if ledger.impossible is not None:
                break
    tests = _tests(ledger)
    total = math.inf if ledger.impossible else float(mean_evidence([np.array(row["log_evidence"]) for row in tests]))
    return _report(ledger, tests, total, tv=tv, alarm=alarm, power=power, needed=needed,
                   seconds=time.perf_counter() - start, name=_name(pair))


def _name(pair: Any) -> str:
    """Whose law the texts should have, as a title says it."""
    target = pair[0] if isinstance(pair, tuple) else pair
    return getattr(target, "target_name", None) or repr(target)


def _checked(prompts: Any, texts: Any) -> tuple[list[list[int]], list[list[list[int]]]]:
    prompts, texts = _listed("prompts", prompts, "prompts[prompt][position]"), _listed("texts", texts, LAYOUT)
    if any(isinstance(one, str) for one in prompts):
        raise BadArgument("prompts: a string was given. Fix: token ids, [pair.encode(text) for text in prompts].")
    if len(prompts) == 0 or len(prompts) != len(texts):
        raise BadArgument(f"texts: samples of {len(texts)} prompts for {len(prompts)} prompts. Fix: a list of samples "
                          f"for each prompt, at least one.")
    kept_prompts, kept_texts = [], []
    for place, (prompt, emitted) in enumerate(zip(prompts, texts, strict=True)):
        emitted = _listed(f"texts[{place}]", emitted, LAYOUT)
        kept_prompts.append(_ids(f"prompts[{place}]", prompt, "prompts[prompt][position]"))
        kept_texts.append([ids for one in emitted if (ids := _ids(f"texts[{place}]", one, LAYOUT))])
        if not kept_prompts[-1] or not kept_texts[-1]:
            raise BadArgument(f"texts[{place}]: an empty prompt, or no sample that holds a token. Fix: leave it out.")
    return kept_prompts, kept_texts


def _listed(name: str, given: Any, layout: str) -> list[Any]:
    if isinstance(given, str):
        raise BadArgument(f"{name}: a string was given. Fix: token ids; a text that is encoded again need not have "
                          f"those that were emitted.")
    try:
        return list(given)
    except TypeError:
        raise BadArgument(f"{name}: {type(given).__name__} is no list of lists of token ids. Fix: {layout}.") from None


def _ids(name: str, given: Any, layout: str) -> list[int]:
    """Token ids as ints: whole numbers of any kind, but neither floats, which would be cut, nor bools."""
    tokens = _listed(name, given, layout)
    if any(isinstance(token, (bool, np.bool)) for token in tokens):
        raise BadArgument(f"{name}: a bool is no token id. Fix: whole numbers, {layout}.")
    try:
        return [operator.index(token) for token in tokens]
    except TypeError:
        raise BadArgument(f"{name}: no list of token ids, which are whole numbers. Fix: {layout}.") from None


def _read(ledger: _Ledger, pair: Any, number: int, prompt: list[int], emitted: list[list[int]], warp: dict[str, Any],
          rng: np.random.Generator) -> None:
    counts: np.ndarray | None = None
    law = np.zeros(0)
    for place, target, draft in laws_along_texts(pair, prompt, emitted, warp):
        text = np.array(emitted[place])
        if text.min() < 0 or text.max() >= target.shape[-1]:
            raise BadArgument(f"texts[{number}][{place}]: a token outside 0 .. {target.shape[-1] - 1}. Fix: ids of the "
                              f"target's vocabulary.")
        at = np.arange(text.size), text
        mass = target[at]
        if (mass <= 0).any():
            position = int(np.argmax(mass <= 0))
            ledger.impossible = number, position, int(text[position])
            return
        above = np.where(target > mass[:, None], target, 0.0).sum(axis=1)
        # tokens of equal mass before this one stand above it
        above += (np.where(target == mass[:, None], target, 0.0) * (np.arange(target.shape[1]) < text[:, None])).sum(1)
        ranks = np.minimum(((above + rng.random(text.size) * mass) * PARTS).astype(int), PARTS - 1)
        ledger.ranks += np.bincount(ranks, minlength=PARTS)
        log_mass = np.log(mass)
        for slot, s in enumerate(POWERS):
            ledger.powers[slot] += ((s - 1) * log_mass - np.log((target**s).sum(axis=1))).sum()
        if draft is not None:
            ledger.drafted = True
            ledger.shares += [np.log1p(share * (draft[at] / mass - 1)).sum() if share < 1 else
                              np.log(np.maximum(draft[at] / mass, 1e-300)).sum() for share in SHARES]
        if counts is None:
            law = target[0]
            counts = np.zeros(law.size)
        counts[text[0]] += 1
        ledger.tokens += text.size
        ledger.texts += 1
    assert counts is not None
    ledger.firsts.append(_pooled(counts, law))


def _pooled(counts: np.ndarray, law: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest tokens one by one, the rest together."""
    order = np.argsort(-law, kind="stable")
    top, rest = order[:TOP], order[TOP:]
    if rest.size == 0:
        return counts, law
    return np.append(counts[top], counts[rest].sum()), np.append(law[top], max(0.0, law[rest].sum()))


def _tests(ledger: _Ledger) -> list[dict[str, Any]]:
    rows = []
    if ledger.firsts:
        firsts = [float(log_evidence(counts, law)) for counts, law in ledger.firsts]
        rows.append({"case": "first tokens", "n": ledger.texts, "log_evidence": pooled_evidence(firsts),
                     "tv": float(np.mean([np.abs(c / c.sum() - p).sum() / 2 for c, p in ledger.firsts]))})
    if ledger.tokens:
        rows.append({"case": "ranks", "n": ledger.tokens, "log_evidence": float(log_evidence(ledger.ranks, UNIFORM)),
                     "tv": float(np.abs(ledger.ranks / ledger.tokens - UNIFORM).sum() / 2)})
        rows.append({"case": "log-likelihoods", "n": ledger.tokens, "tv": None,
                     "log_evidence": float(mean_evidence(list(ledger.powers)))})
    if ledger.drafted:
        rows.append({"case": "draft", "n": ledger.tokens, "tv": None,
                     "log_evidence": float(mean_evidence(list(ledger.shares)))})
    return rows


def _mistakes(ledger: _Ledger, tests: list[dict[str, Any]]) -> tuple[Mistake, ...]:
    if ledger.impossible is not None:
        return (IMPOSSIBLE,)
    best = max(tests, key=lambda row: row["log_evidence"])["case"]
    return {"log-likelihoods": (TEMPERATURE,), "draft": (DRAFT,)}.get(best, ())


def _report(ledger: _Ledger, tests: list[dict[str, Any]], total: float, *, tv: float, alarm: float, power: float,
            needed: int, seconds: float, name: str) -> AuditReport:
    failed = total >= math.log(1 / alarm)
    off = float(np.abs(ledger.ranks / max(1, ledger.tokens) - UNIFORM).sum() / 2) if ledger.tokens else 0.0
    room = margin(ledger.tokens, PARTS, alarm) if ledger.tokens else 1.0
    resolved = next((one for one in reversed(GRID) if samples_needed(one, alarm=alarm, power=power) <= ledger.tokens),
                    1.0)
    passed = False if failed else True if ledger.tokens >= needed else None
    if failed:
        reason = "The texts do not have the target's law."
    elif passed:
        reason = (f"No deviation was found in {ledger.tokens} tokens of {ledger.texts} texts; one of total variation "
                  f"{resolved:.2g} in the law of ranks would have been, with probability {power:g}.")
    else:
        reason = (f"Cannot tell: {ledger.tokens} tokens find a deviation of {resolved:.2g} at best, {tv:g} was asked "
                  f"for. Fix: at least {needed} tokens, or a larger tv.")
    mistakes = _mistakes(ledger, tests) if failed else ()
    worst = max(ledger.firsts, key=lambda one: float(log_evidence(*one))) if ledger.firsts else None
    laws = {"case": "ranks of all tokens", "outcome": "rank of the token, likeliest first", "unit": "tokens",
            "n": ledger.tokens, "tv": off, "shape": [PARTS], "expected": UNIFORM.tolist(),
            "observed": (ledger.ranks / max(1, ledger.tokens)).tolist()}
    return AuditReport(
        subject=name, kind="samples", passed=passed, tv=off, interval=(max(0.0, off - room), min(1.0, off + room)),
        p_value=float(np.exp(-max(0.0, total))) if math.isfinite(total) else 0.0, alarm=alarm, power=power,
        resolved=resolved, counterexample=_example(ledger, worst) if failed else None,
        mistake=mistakes[0].name if mistakes else None, remedy=mistakes[0].remedy if mistakes else None,
        family=max(tests, key=lambda row: row["log_evidence"])["case"] if failed and tests else None,
        cases=Table(tests), method="sampled", calls=ledger.texts, seconds=seconds, reason=reason, laws=laws,
        mistakes=mistakes)


def _example(ledger: _Ledger, worst: tuple[np.ndarray, np.ndarray] | None) -> Counterexample:
    if ledger.impossible is not None:
        prompt, position, token = ledger.impossible
        return Counterexample(family="tokens", why=f"token {token} at position {position} of a text of prompt {prompt} "
                              f"has probability zero", target=[], draft=[], drafts="none", tokens=[token])
    assert worst is not None
    counts, law = worst
    seen = counts / counts.sum()
    return Counterexample(family="first tokens", why="first tokens of one prompt, the likeliest first, the rest last",
                          target=law.tolist(), draft=[], drafts="none", expected=law.tolist(), observed=seen.tolist(),
                          tv=float(np.abs(seen - law).sum() / 2), n=int(counts.sum()))
