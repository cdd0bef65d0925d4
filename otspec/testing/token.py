"""Checks of a token rule: every list of its drafts on small vocabularies, so that most of them are exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from otspec.analysis.exact import member_mass
from otspec.analysis.instances import named_pairs
from otspec.auditing.cases import drafter
from otspec.core.schemes import WithReplacement
from otspec.core.verifier import TokenVerifier
from otspec.testing.failure import Checks

EXACT = 1e-9  # lists of a few tokens, with room for rules that solve a small programme
DRAWS, LISTS, Z = 4000, 6, 5.0  # draws from each of so many lists; standard errors of an alarm, 6e-7 a comparison
DRAWN = ("spread", "zeros", "ties", "short_support")


@dataclass(frozen=True)
class Case:
    """One instance, enumerated: rows repeated for each of n lists, their law, and the conditional laws."""

    name: str
    target: np.ndarray  # [n V]
    draft: np.ndarray  # [n V] or [n k V]
    tokens: np.ndarray  # [n k]
    law: np.ndarray  # [n]
    given: np.ndarray  # [n V]

    @property
    def goal(self) -> np.ndarray:
        """Target law ``[V]``."""
        return self.target[0]

    @property
    def acceptance(self) -> float:
        """Probability that the emitted token is a draft."""
        return float(self.law @ member_mass(self.given, self.tokens))


def check_token(rule: TokenVerifier, claims: frozenset[str], checks: Checks, seed: int) -> None:
    """Run every check of a token rule on its scheme."""
    cases = [_case(rule, checks, name, *pair) for name, pair in named_pairs(seed).items()
             if rule.scheme.num_drafts <= np.size(pair[0])]
    for case in cases:
        _check_law(rule, claims, checks, case)
        _check_claims(rule, claims, checks, case)
        _check_batches(rule, checks, case)
        if case.name in DRAWN:
            _check_draws(rule, checks, case, seed)
        if "numpy_only" not in claims:
            check_torch(checks, case.name, "conditional law", rule.conditional, case.target, case.draft, case.tokens)
    _check_reflexive(rule, claims, checks, cases)
    if isinstance(rule.scheme, WithReplacement) and rule.scheme.num_drafts > 1:
        _check_survivors(rule, checks, cases)


def _case(rule: TokenVerifier, checks: Checks, name: str, target: np.ndarray, draft: np.ndarray) -> Case:
    law_of = rule.scheme.check(drafter(rule.scheme, draft))
    tokens, law = rule.scheme.lists(law_of)
    goal, drawn = (np.broadcast_to(array, (len(tokens), *np.shape(array))).copy() for array in (target, law_of))
    given = checks.ask("conditional law", name, rule.conditional, goal, drawn, tokens)
    return Case(name, goal, drawn, tokens, law, np.asarray(given))


def _check_law(rule: TokenVerifier, claims: frozenset[str], checks: Checks, case: Case) -> None:
    size = case.goal.size
    checks.require("conditional law", case.name, case.given.shape == (len(case.tokens), size),
                   f"shape {case.given.shape} for {len(case.tokens)} lists of a vocabulary of {size}")
    wrong = (~np.isfinite(case.given)).any(axis=1) | (case.given.min(axis=1) < -EXACT) \
        | (np.abs(case.given.sum(axis=1) - 1) > EXACT)
    where = int(np.argmax(wrong))
    checks.require("conditional law", case.name, not wrong.any(), "what is returned is no law",
                   drafts=case.tokens[where], law=case.given[where], sum=case.given[where].sum())
    emitted = case.law @ case.given
    off = np.abs(emitted - case.goal)
    if "lossless" in claims:
        checks.require("lossless", case.name, off.max() <= EXACT,
                       f"the output law is off by total variation {off.sum() / 2:.4g}", target=case.goal,
                       draft=case.draft[0], output=emitted)
    else:
        allowed = float(getattr(rule, "max_deviation", 0.0))
        checks.require("declared deviation", case.name, off.sum() <= allowed + EXACT,
                       f"the output law is off by {off.sum():.4g} in L1, max_deviation is {allowed:.4g}. "
                       f"Fix: a rule that is not lossless declares max_deviation", target=case.goal, output=emitted)


def _check_claims(rule: TokenVerifier, claims: frozenset[str], checks: Checks, case: Case) -> None:
    optimum, value = _optimum(case), case.acceptance
    slack = float(getattr(rule, "max_deviation", 0.0)) / 2 + EXACT
    checks.require("below the optimum", case.name, value <= optimum + slack,
                   "more is accepted than any plan can", acceptance=value, optimum=optimum)
    if "optimal" in claims:
        checks.require("optimal", case.name, value >= optimum - EXACT, "less is accepted than can be",
                       acceptance=value, optimum=optimum)
    if "tight_at_one" in claims and rule.scheme.num_drafts == 1:
        first = case.draft[0] if not rule.scheme.draft_axes else case.draft[0, 0]
        overlap = float(np.minimum(case.goal, first).sum())
        checks.require("tight_at_one", case.name, abs(value - overlap) <= EXACT,
                       "acceptance of one draft is not 1 - TV", acceptance=value, overlap=overlap)
    formula = checks.ask("closed form", case.name, rule.acceptance, case.goal, case.draft[0])
    if formula is not None:
        checks.require("closed form", case.name, abs(float(formula) - value) <= EXACT,
                       "acceptance() is not that of the conditional law", acceptance=float(formula), enumerated=value)


def _optimum(case: Case) -> float:
    """``1 + min over token sets H of target(H) - Pr[all drafts in H]``."""
    bits = 1 << np.arange(case.goal.size)
    drafted = np.where(case.tokens >= 0, bits[np.maximum(case.tokens, 0)], 0)
    lists = np.bitwise_or.reduce(drafted, axis=1)
    subsets = np.arange(2 ** case.goal.size)
    target = ((subsets[:, None] & bits) > 0) @ case.goal
    inside = ((lists & ~subsets[:, None]) == 0) @ case.law
    return float(1 + (target - inside).min())


def _check_reflexive(rule: TokenVerifier, claims: frozenset[str], checks: Checks, cases: list[Case]) -> None:
    if "reflexive" not in claims or rule.scheme.draft_axes or drafter(rule.scheme, cases[0].goal) is None:
        return
    for case in cases:
        first = np.zeros_like(case.goal)
        np.add.at(first, case.tokens[:, 0], case.law)
        same = np.broadcast_to(first / first.sum(), case.target.shape)
        value = float(case.law @ member_mass(np.asarray(rule.conditional(same, case.draft, case.tokens)), case.tokens))
        checks.require("reflexive", case.name, value >= 1 - EXACT,
                       "a target that is the law of the first draft is not always accepted", acceptance=value)


def _check_batches(rule: TokenVerifier, checks: Checks, case: Case) -> None:
    whole = checks.ask("batches", case.name, rule.conditional, case.target[None], case.draft[None], case.tokens[None])
    checks.require("batches", case.name, np.shape(whole) == (1, *case.given.shape)
                   and np.abs(np.asarray(whole)[0] - case.given).max() <= EXACT, "[1 n V] differs from [n V]")
    for row in range(0, len(case.tokens), max(1, len(case.tokens) // LISTS)):
        alone = np.asarray(checks.ask("batches", case.name, rule.conditional, case.target[row], case.draft[row],
                                      case.tokens[row]))
        checks.require("batches", case.name, alone.shape == case.goal.shape
                       and np.abs(alone - case.given[row]).max() <= EXACT,
                       "a row alone differs from the row in a batch", drafts=case.tokens[row], alone=alone,
                       batch=case.given[row])


def _check_draws(rule: TokenVerifier, checks: Checks, case: Case, seed: int) -> None:
    chosen = np.unique(np.linspace(0, len(case.tokens) - 1, LISTS).astype(int))
    rows = [np.broadcast_to(array[chosen], (DRAWS, *array[chosen].shape)).copy() for array in
            (case.target, case.draft, case.tokens)]
    uniforms = np.random.default_rng(seed).random((DRAWS, len(chosen), rule.num_uniforms))
    verdict = checks.ask("draw", case.name, rule.draw, *rows, uniforms)
    token = np.asarray(verdict.token)
    checks.require("draw", case.name, token.shape == uniforms.shape[:2] and token.min() >= 0
                   and token.max() < case.goal.size, "the tokens are none of the vocabulary, or their shape is wrong")
    seen = (token[..., None] == np.arange(case.goal.size)).mean(axis=0)
    compare_shares(checks, "draw", case.name, seen, case.given[chosen], DRAWS)
    target, draft, tokens = (array[:3] for array in rows)
    again = np.asarray(rule.draw(target, draft, tokens, uniforms[:3]).token)
    checks.require("draw", case.name, np.array_equal(again, token[:3]), "the same uniforms give other tokens")


def compare_shares(checks: Checks, claim: str, name: str, seen: np.ndarray, exact: np.ndarray, n: int) -> None:
    """Compare shares of ``n`` draws with exact probabilities, within `Z` standard errors each."""
    exact = np.clip(exact, 0.0, 1.0)
    error = np.sqrt(exact * (1 - exact) / n)
    off = np.abs(seen - exact) - Z * error
    where = np.unravel_index(int(off.argmax()), off.shape)
    checks.require(claim, name, off.max() <= EXACT, f"draws do not follow the conditional law; {n} draws at "
                   f"{tuple(map(int, where))}", share=float(seen[where]), exact=float(exact[where]),
                   standard_error=float(error[where]))


def _check_survivors(rule: TokenVerifier, checks: Checks, cases: list[Case]) -> None:
    """Fewer drafts than the rule is bound to, marked absent: what a decoder asks after paths have died."""
    for case in cases:
        fewer = WithReplacement(rule.scheme.num_drafts - 1)
        tokens, law = fewer.lists(case.draft[0])
        padded = np.concatenate([tokens, np.full((len(tokens), 1), -1)], axis=1)
        rows = [np.broadcast_to(array[0], (len(tokens), *array[0].shape)).copy() for array in (case.target, case.draft)]
        given = np.asarray(checks.ask("absent drafts", case.name, rule.conditional, *rows, padded))
        off = np.abs(law @ given - case.goal)
        allowed = float(getattr(rule, "max_deviation", 0.0)) + EXACT
        checks.require("absent drafts", case.name, off.sum() <= allowed,
                       f"with one draft absent (-1) the output law is off by total variation {off.sum() / 2:.4g}",
                       output=law @ given, target=case.goal)


def check_torch(checks: Checks, name: str, what: str, function: Any, *given: np.ndarray) -> None:
    """Compare the answer of the rule on tensors with that on NumPy arrays."""
    try:
        import torch
    except ImportError:
        return
    mine = function(*given)
    theirs = checks.ask("torch", name, function, *(torch.from_numpy(np.array(array)) for array in given))
    parts = zip(*((answer if isinstance(answer, tuple) else (answer,)) for answer in (mine, theirs)), strict=True)
    for one, other in parts:
        checks.require("torch", name, isinstance(other, torch.Tensor), f"the {what} is a {type(other).__name__}. "
                       f"Fix: use the array namespace of the arguments, or claim numpy_only")
        distance = np.abs(np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64)).max(initial=0.0)
        checks.require("torch", name, distance <= EXACT, f"the {what} on tensors is off by {distance:.3g}")
