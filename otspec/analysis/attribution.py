"""Where the gap between a rule and the optimum lies: in which tokens, in what kind of contexts.

The optimal rule emits token y from its drafts with probability ``min(target_y, L_y)``, L the universal winner law; a
rule does so with ``Pr[Y = y, y is a draft]``. Summed over all tokens, their difference is the gap of the context, so
any grouping of tokens and contexts splits the mean gap without remainder. [mdsd]

A token on which the rule accepts more than this optimal rule has a negative part: the optimal sum is unique, the rule
that attains it is not.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from otspec.analysis.exact import acceptance, kernel, token_rule
from otspec.core.errors import BadArgument, TooLarge
from otspec.core.laws import descending_order, positive_part
from otspec.core.schemes import DraftScheme, Hybrid, WithReplacement, same_sets
from otspec.core.table import Table
from otspec.core.verifier import TokenVerifier, checked_pair
from otspec.transport.bounds import optimal_acceptance, winner_law
from otspec.verifiers.token.greedy import GreedyRejection
from otspec.verifiers.token.k_seq import KSeq, smallest_rho
from otspec.verifiers.token.naive import Naive
from otspec.verifiers.token.nss import TargetDraw
from otspec.verifiers.token.recursive import Recursive
from otspec.verifiers.token.rejection import excess_law
from otspec.verifiers.token.single_draft import SingleDraft
from otspec.verifiers.token.spechub import SpecHub

Array = Any
BLOCK = 2**20  # entries of a block of contexts: 8 MB for each of the dozen arrays that are alive at once
RANKS = (1, 4, 16, 64)
ENTROPIES = (0.5, 1.0, 2.0, 4.0)  # nats
DISTANCES = (0.1, 0.25, 0.5)


def attribute_gap(target: Array, draft: Array, rule: str | TokenVerifier, scheme: DraftScheme | int, *,
                  per_context: bool = False) -> Table:
    """Split the mean of ``optimum - rule`` over contexts by kinds of tokens and by kinds of contexts.

    Parameters
    ----------
    target, draft : [*batch V]
    rule : str or TokenVerifier
    scheme : DraftScheme or int
        An int k means k draws with replacement.
    per_context : bool
        Return one row for each context, with its draft entropy (nats), total variation and top-1 agreement, instead.

    Returns
    -------
    Table
        Rows ``by``, ``part``, ``contexts``, and the part's share of the mean ``optimum``, of the mean acceptance
        ``rule`` and of the mean ``gap``. For each ``by`` the parts add up to the row ``total``. Parts by tokens need
        the accepted mass of each token: a closed form, or a vocabulary small enough to enumerate; otherwise only parts
        by contexts are listed, as the metadata ``token_parts`` says. ``certificate`` is the largest distance between
        the optimum used here and the value of a cut.

    Raises
    ------
    TooLarge
        The rule has no exact acceptance at this size.

    Examples
    --------
    >>> table = attribute_gap([0.5, 0.3, 0.2], [0.2, 0.3, 0.5], "recursive", 2)
    >>> round(table.where(by="total").column("gap")[0], 9)
    0.1
    """
    verifier = token_rule(rule, scheme)
    target, draft = checked_pair(target, draft, verifier.scheme)
    if verifier.scheme.draft_axes:
        raise BadArgument(f"scheme: {verifier.scheme} has several draft laws, so contexts have no draft entropy or "
                          f"rank. Fix: a scheme with one draft law.")
    size = target.shape[-1]
    target, draft = (np.asarray(law, dtype=np.float64) for law in (target, draft))
    # laws may miss one by the tolerance of their dtype, which would count as a gap
    target, draft = ((law / law.sum(axis=-1, keepdims=True)).reshape(-1, size) for law in (target, draft))
    step = max(1, BLOCK // size)
    facts = [_facts(target[i : i + step], draft[i : i + step], verifier) for i in range(0, len(target), step)]
    merged = {name: np.concatenate([fact[name] for fact in facts]) for name in facts[0]}
    if per_context:
        return Table(_context_rows(merged))
    note = {"rule": repr(verifier), "certificate": float(merged["certificate"].max()),
            "token_parts": "exact" if "rank" in merged else "unknown for this rule at this vocabulary"}
    return Table([*_part_rows(merged, verifier.scheme.num_drafts)], note)


def accepted_mass(rule: TokenVerifier, target: Array, draft: Array) -> Array | None:
    """``Pr[Y = y, y is a draft]`` of each token, ``[*batch V]``; None where no closed form or enumeration reaches.

    Examples
    --------
    >>> accepted_mass(token_rule("naive", 2), np.array([0.75, 0.25]), np.array([0.5, 0.5]))
    array([0.625, 0.25 ])
    """
    from otspec.verifiers.token.optimal import Optimal  # compiles its scans when it is first needed

    k, replacement = rule.scheme.num_drafts, isinstance(rule.scheme, WithReplacement)
    xp = array_namespace(target, draft)
    kind = type(rule)  # a subclass may have changed the rule
    if kind in (Optimal, GreedyRejection, SpecHub):
        return optimal_mass(target, draft, rule.scheme)
    if kind is SingleDraft:
        return xp.minimum(target, draft)
    if kind is TargetDraw and replacement:
        return target * (1 - (1 - draft) ** k)
    if kind is Naive and replacement:
        return xp.minimum(target, draft) + positive_part(target - draft) * (1 - (1 - draft) ** (k - 1))
    if kind is Recursive:
        return _recursive_mass(xp, target, draft, k)
    if kind is KSeq:
        assert isinstance(rule, KSeq)
        return _k_seq_mass(xp, target, draft, k, rule.rho)
    try:
        rows = zip(target.reshape(-1, target.shape[-1]), draft.reshape(-1, draft.shape[-1]), strict=True)
        return np.stack([_enumerated_mass(rule, *row) for row in rows]).reshape(target.shape)
    except TooLarge:
        return None


def optimal_mass(target: Array, draft: Array, scheme: DraftScheme) -> Array:
    """Mass of each token that the optimal rule emits from its drafts, ``[*batch V]``; it sums to the optimum."""
    xp = array_namespace(target, draft)
    target = xp.astype(target, xp.float64) / xp.sum(target, axis=-1, dtype=xp.float64)[..., None]
    emitted = xp.minimum(target, winner_law(target, xp.astype(draft, xp.float64), scheme))
    scheme = same_sets(scheme)
    if not isinstance(scheme, Hybrid):
        return emitted
    top, _ = scheme.split(draft)
    return xp.where(top, target, emitted)


def _recursive_mass(xp: Any, target: Array, draft: Array, k: int) -> Array:
    goal, refused, mass = target, xp.ones_like(target[..., :1]), xp.zeros_like(target)
    for _ in range(k):
        kept = xp.minimum(goal, draft)
        mass = mass + refused * kept
        refused = refused * (1 - xp.sum(kept, axis=-1)[..., None])
        goal = excess_law(goal, draft)
    return mass


def _k_seq_mass(xp: Any, target: Array, draft: Array, k: int, rho: float | None) -> Array:
    least = smallest_rho(target, draft, k) if rho is None else rho * xp.ones_like(target[..., 0])
    tested = xp.minimum(draft, target / least[..., None])
    beta = xp.sum(tested, axis=-1)[..., None]
    refused = positive_part(1 - beta)
    kept = tested * ((1 - refused**k) / xp.where(beta > 0, beta, xp.ones_like(beta)))
    # the last draw may hit a draft when rho > rho*: all refused, minus all refused without a copy of y
    hit = refused**k - positive_part(refused - (draft - tested)) ** k
    return kept + excess_law(target, kept) * hit


def _enumerated_mass(rule: TokenVerifier, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
    tokens, law, conditional = kernel(rule, target, draft)
    member = (tokens[:, :, None] == np.arange(target.size)).any(axis=1)
    return law @ np.where(member, conditional, 0.0)


def _facts(target: np.ndarray, draft: np.ndarray, rule: TokenVerifier) -> dict[str, np.ndarray]:
    """What the table needs to know of a block of contexts, all but the masses by token ``[n]``."""
    logs = np.log(np.where(draft > 0, draft, 1.0))
    facts = {"entropy": np.maximum(-(draft * logs).sum(axis=-1), 0.0),
             "distance": 0.5 * np.abs(target - draft).sum(axis=-1),
             "agree": target.argmax(axis=-1) == draft.argmax(axis=-1)}
    optimal, accepted = optimal_mass(target, draft, rule.scheme), accepted_mass(rule, target, draft)
    facts["optimum"] = optimal.sum(axis=-1)
    facts["certificate"] = np.abs(facts["optimum"] - np.asarray(optimal_acceptance(target, draft, rule.scheme)))
    if accepted is None:
        facts["rule"] = np.asarray(acceptance(rule, target, draft, rule.scheme))
        return facts
    facts["rule"] = accepted.sum(axis=-1)
    rank = np.argsort(descending_order(draft), axis=-1) + 1
    facts["rank"] = _grouped(np.searchsorted(RANKS, rank), len(RANKS) + 1, optimal, accepted)
    # compared without a quotient, which could overflow
    ratio = (target >= draft).astype(np.int64) + (target > rule.scheme.num_drafts * draft)
    facts["ratio"] = _grouped(ratio, 3, optimal, accepted)
    return facts


def _grouped(group: np.ndarray, groups: int, optimal: np.ndarray, accepted: np.ndarray) -> np.ndarray:
    """Optimal and accepted mass of each group of tokens, ``[n 2 groups]``."""
    return np.stack([[np.where(group == g, mass, 0.0).sum(axis=-1) for g in range(groups)]
                     for mass in (optimal, accepted)]).transpose(2, 0, 1)


def _context_rows(facts: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    columns = (facts[name].tolist() for name in ("entropy", "distance", "agree", "optimum", "rule"))
    return [{"context": i, "draft_entropy": entropy, "total_variation": distance, "top_1_agrees": agree,
             "optimum": optimum, "rule": value, "gap": optimum - value}
            for i, (entropy, distance, agree, optimum, value) in enumerate(zip(*columns, strict=True))]


def _part_rows(facts: dict[str, np.ndarray], k: int) -> Iterator[dict[str, Any]]:
    count = len(facts["optimum"])
    whole = float((facts["optimum"] - facts["rule"]).mean())

    def row(by: str, part: str, contexts: int, optimum: float, value: float) -> dict[str, Any]:
        gap = optimum - value
        # a gap of the size of rounding has no meaningful shares
        return {"by": by, "part": part, "contexts": contexts, "optimum": optimum, "rule": value, "gap": gap,
                "share": gap / whole if whole > 1e-12 else None}

    if "rank" in facts:
        edges = ("1", *(f"{low + 1} to {high}" for low, high in itertools.pairwise(RANKS)),
                 f"above {RANKS[-1]}")
        ratios = ("below 1", f"1 to {k}", f"above {k}")
        for by, name, parts in (("draft rank of the token", "rank", edges),
                                ("target/draft of the token", "ratio", ratios)):
            for part, (optimum, value) in zip(parts, facts[name].mean(axis=0).T.tolist(), strict=True):
                yield row(by, part, count, optimum, value)
    for by, group, names in _context_groups(facts):
        for number, part in enumerate(names):
            inside = group == number
            yield row(by, part, int(inside.sum()), *(float(np.where(inside, facts[name], 0.0).sum() / count)
                                                     for name in ("optimum", "rule")))
    yield row("total", "all", count, float(facts["optimum"].mean()), float(facts["rule"].mean()))


def _context_groups(facts: dict[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray, list[str]]]:
    for by, name, edges in (("draft entropy", "entropy", ENTROPIES), ("total variation", "distance", DISTANCES)):
        parts = [f"below {edges[0]:g}", *(f"{low:g} to {high:g}" for low, high in
                                          itertools.pairwise(edges)), f"{edges[-1]:g} and more"]
        yield by, np.searchsorted(edges, facts[name], side="right"), parts
    yield "likeliest token", np.where(facts["agree"], 0, 1), ["the same", "different"]
