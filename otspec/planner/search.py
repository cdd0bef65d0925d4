"""The search: measure every candidate on calibration contexts, keep the best of each family, test those held out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from otspec.core.estimate import Estimate
from otspec.core.table import Table
from otspec.planner.candidates import FAMILIES, PATHS, Candidate, candidates
from otspec.planner.costs import Costs
from otspec.planner.limit import path_limits
from otspec.planner.sources import AGAIN, CALIBRATION, HELD_OUT

PLAIN = Candidate("plain")


@dataclass(frozen=True)
class Option:
    """A candidate with its evidence.

    Attributes
    ----------
    candidate : Candidate
    tokens : Estimate
        Tokens per target call on held-out contexts.
    speedup : Estimate
        Over plain sampling, on held-out contexts.
    calibrated : float
        Tokens per call on the contexts that it was chosen on.
    over_default, over_sequoia : Estimate or None
        Ratio of the speed-up to those of the rivals, contexts paired.
    """

    candidate: Candidate
    tokens: Estimate
    speedup: Estimate
    calibrated: float
    over_default: Estimate | None = None
    over_sequoia: Estimate | None = None

    def row(self) -> dict[str, Any]:
        """Plain values for a table."""
        family = FAMILIES.get(self.candidate.family)
        ratios = {"over_default": self.over_default, "over_sequoia": self.over_sequoia}
        numbers = {name: value and value.mean for name, value in ratios.items()}
        errors = {f"{name}_stderr": value and value.stderr for name, value in ratios.items()}
        return {"family": self.candidate.family, "method": self.candidate.text,
                "label": family.label if family else "plain sampling", "drafts": self.candidate.drafts,
                "steps": self.candidate.steps, "tokens": self.tokens.mean, "stderr": self.tokens.stderr,
                "speedup": self.speedup.mean, "speedup_stderr": self.speedup.stderr, **numbers, **errors,
                "calibrated": self.calibrated, "contexts": self.tokens.n}


PLAIN_OPTION = Option(PLAIN, Estimate(1.0), Estimate(1.0), 1.0)


class Found(NamedTuple):
    """What the search found: the choice, the best of the other families at the budget, the curve and its limit.

    ``by_budget`` holds the choice at every budget of the curve.
    """

    choice: Option
    others: tuple[Option, ...]
    curve: Table
    limit: Table
    by_budget: Mapping[int, Option]


def search(source: Any, budget: int, budgets: Sequence[int], costs: Costs) -> Found:
    """Choose on calibration contexts, test on held-out ones.

    Parameters
    ----------
    source : PairSource or TraceSource
    budget : int
    budgets : sequence of int
        Those of the curve; the last is ``budget``.
    costs : Costs
    """
    tables = source.tables()
    offered = list(dict.fromkeys(one for size in budgets for one in
                                 candidates(size, tables, costs, lengths=source.lengths)))
    scores = source.measure([one.method for one in offered], CALIBRATION).mean(axis=1)
    calibrated = dict(zip(offered, scores.tolist(), strict=True))
    best = {size: _best_of_families(calibrated, size, costs) for size in budgets}
    again = list(best[budget].values())  # the best of many was lucky: the choice among them rests on further draws
    for one, score in zip(again, source.measure([one.method for one in again], AGAIN).mean(axis=1), strict=True):
        calibrated[one] = float(score)
    finalists = list(dict.fromkeys(one for chosen in best.values() for one in chosen.values()))
    tested = dict(zip(finalists, source.measure([one.method for one in finalists], HELD_OUT), strict=True))
    options = {size: _options(best[size], tested, calibrated, costs) for size in budgets}
    chosen = {size: _chosen(options[size], calibrated, costs) for size in budgets}
    others = sorted((one for one in (PLAIN_OPTION, *options[budget].values()) if one != chosen[budget]),
                    key=lambda one: -one.speedup.mean)
    rows = [{"budget": size} | one.row() for size in budgets for one in options[size].values()]
    return Found(chosen[budget], tuple(others), Table(rows),
                 _limit(source.prefixes() if len(budgets) > 1 else None, budgets, costs), chosen)


def _chosen(options: Mapping[str, Option], calibrated: Mapping[Candidate, float], costs: Costs) -> Option:
    """Fastest on the contexts that choose, rivals aside; plain sampling where nothing is faster."""
    best = max((one for name, one in options.items() if not FAMILIES[name].rival),
               key=lambda one: _speed(one.candidate, calibrated, costs))
    return best if _speed(best.candidate, calibrated, costs) > 1.0 else PLAIN_OPTION


def _speed(one: Candidate, tokens: Mapping[Candidate, float], costs: Costs) -> float:
    return costs.speedup(tokens[one], drafts=one.drafts, steps=one.steps)


def _best_of_families(calibrated: Mapping[Candidate, float], budget: int, costs: Costs) -> dict[str, Candidate]:
    best = {}
    for name in FAMILIES:
        mine = [one for one in calibrated if one.family == name and one.drafts <= budget]
        if name in ("default", "split", "heap"):  # of these a family has one member for each budget
            mine = [one for one in mine if one.drafts == max(other.drafts for other in mine)]
        if mine:
            best[name] = max(mine, key=lambda one: _speed(one, calibrated, costs))
    return best


def _options(chosen: Mapping[str, Candidate], tested: Mapping[Candidate, np.ndarray],
             calibrated: Mapping[Candidate, float], costs: Costs) -> dict[str, Option]:
    gained = {name: tested[one] * costs.factor(drafts=one.drafts, steps=one.steps) for name, one in chosen.items()}
    ratios = {name: {rival: Estimate.from_ratio(mine, gained[rival]) for rival in ("default", "sequoia")
                     if rival in gained} for name, mine in gained.items()}
    return {name: Option(one, Estimate.from_samples(tested[one]), Estimate.from_samples(gained[name]),
                         calibrated[one], ratios[name].get("default"), ratios[name].get("sequoia"))
            for name, one in chosen.items()}


def _limit(prefixes: tuple[np.ndarray, np.ndarray] | None, budgets: Sequence[int], costs: Costs) -> Table:
    """Limit of independent paths at each budget, the best shape for tokens and the best for speed."""
    if prefixes is None:
        return Table([])
    rows, (target, draft) = [], prefixes
    for budget in budgets:
        shapes = [(paths, budget // paths) for paths in (1, *PATHS) if paths <= budget]
        tokens = [Estimate.from_samples(path_limits(target, draft, paths)[:, length - 1]) for paths, length in shapes]
        most = max(tokens, key=lambda one: one.mean)
        # shorter paths keep less and cost less: any length may be the fastest
        fastest = max(costs.speedup(float(mean), drafts=paths * length, steps=length) for paths, longest in shapes
                      for length, mean in enumerate(path_limits(target, draft, paths).mean(axis=0)[:longest], 1))
        rows.append({"budget": budget, "tokens": most.mean, "stderr": most.stderr, "speedup": fastest,
                     "contexts": most.n})
    return Table(rows)


def curve_budgets(budget: int) -> list[int]:
    """Budgets of the curve: powers of two, and the budget itself.

    Examples
    --------
    >>> curve_budgets(12)
    [1, 2, 4, 8, 12]
    """
    return [*_powers_below(budget), budget]


def _powers_below(budget: int) -> Iterable[int]:
    return (1 << power for power in range(budget.bit_length()) if 1 << power < budget)
