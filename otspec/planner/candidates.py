"""What the planner chooses from: families of drafts, each with the rules that make the most of it.

Every family is a line of `FAMILIES`. For a budget it offers candidates of at most that many drafted tokens per call,
and the measurement decides. A shape is planned with the acceptance table of the rule that will verify it, never with
another's; rules that must know how many children a node has get fixed shapes only. [traversal]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from otspec.decode.drafters import DRAFTERS
from otspec.decode.drafters import drafter as make_drafter
from otspec.decode.drafters.base import Drafter
from otspec.decode.drafters.paths import Paths
from otspec.planner.costs import Costs, draft_steps
from otspec.planner.rounds import Method
from otspec.planner.tables import DIGITS
from otspec.policies.trees import AcceptanceTable, TreePlan, tree_policy
from otspec.policies.trees.shapes import shape_of, text_of

DEFAULT_LENGTH = 5  # drafts that engines make by default, one after the other
PATHS = (2, 3, 4, 5, 6, 8)  # numbers of independent paths that are tried
SHARES = (1.0, 0.75, 0.5)  # of the longest paths, and of the budget of a tree, that are tried
GAIN = 1.15  # what a tree that is fitted to each text keeps more than a fixed one, at most, as far as we have seen
Tables = Mapping[str, AcceptanceTable]


@dataclass(frozen=True)
class Candidate:
    """A way to draft and a rule for it.

    Attributes
    ----------
    family : str
        Name in `FAMILIES`.
    drafter : Drafter or None
        None for plain sampling.
    verifier : str or None
        Name of the rule.
    """

    family: str
    drafter: Drafter | None = None
    verifier: str | None = None

    @property
    def drafts(self) -> int:
        """Drafted tokens per call."""
        return self.drafter.num_nodes if self.drafter else 0

    @property
    def steps(self) -> int:
        """Draft steps per call, one after the other."""
        return draft_steps(self.drafter)

    @property
    def method(self) -> Method:
        """What is measured."""
        assert self.drafter is not None  # plain sampling keeps nothing
        assert self.verifier is not None
        return Method(self.drafter, self.verifier)

    @property
    def text(self) -> str:
        """In words.

        Examples
        --------
        >>> Candidate("paths", Paths(2, 8), "lookahead_block").text
        '2 paths of 8 + lookahead_block'
        """
        if self.drafter is None:
            return "plain sampling"
        return f"{drafts_in_words(self.drafter)} + {self.verifier}"


def drafts_in_words(drafter: Drafter) -> str:
    """Drafts of a round in short.

    Examples
    --------
    >>> drafts_in_words(Paths(1, 5)), drafts_in_words(make_drafter("tree", counts=(2, 1)))
    ('chain of 5', 'tree (1 .)')
    """
    if drafter.paths is not None:
        return f"chain of {drafter.depth}" if drafter.paths == 1 else f"{drafter.paths} paths of {drafter.depth}"
    counts = getattr(drafter, "counts", None)
    if counts is not None:
        return f"tree {text_of(shape_of(counts))}"
    name = next(name for name, entry in DRAFTERS.items() if entry.factory is type(drafter))
    return f"{name.replace('_', ' ')} of {drafter.num_nodes}"


def _chains(rule: str) -> Callable[..., Iterator[Candidate]]:
    def offered(name: str, budget: int, tables: Tables, costs: Costs) -> Iterator[Candidate]:
        for length in _lengths(budget):
            yield Candidate(name, Paths(1, length), rule)

    return offered


def _default(name: str, budget: int, tables: Tables, costs: Costs) -> Iterator[Candidate]:
    yield Candidate(name, Paths(1, min(DEFAULT_LENGTH, budget)), "token_wise")


def _paths(rule: str) -> Callable[..., Iterator[Candidate]]:
    def offered(name: str, budget: int, tables: Tables, costs: Costs) -> Iterator[Candidate]:
        for count in (count for count in PATHS if count <= budget):
            longest = budget // count
            for length in sorted({max(1, round(share * longest)) for share in SHARES}, reverse=True):
                yield Candidate(name, Paths(count, length), rule)

    return offered


def _trees(policy: str, table: str, rules: Sequence[str]) -> Callable[..., Iterator[Candidate]]:
    def offered(name: str, budget: int, tables: Tables, costs: Costs) -> Iterator[Candidate]:
        best = max(_plans(policy, tables[table], budget), key=lambda plan: _promise(plan, costs))
        made = make_drafter(best.drafter, **best.parameters)
        for rule in rules:
            if rule != "grouped_traversal" or best.most_draws > 2:  # two children are groups of one, which is Traversal
                yield Candidate(name, made, rule)

    return offered


def _plans(policy: str, table: AcceptanceTable, budget: int) -> list[TreePlan]:
    """Trees of the budget or less, of every depth."""
    return [tree_policy(policy).plan(table, size, max_depth=depth)
            for size in sorted({max(1, round(share * budget)) for share in SHARES}) for depth in range(1, size + 1)]


def _promise(plan: TreePlan, costs: Costs) -> float:
    return costs.speedup(_predicted(plan), drafts=plan.num_nodes, steps=plan.depth)


def _predicted(plan: TreePlan) -> float:
    assert plan.tokens is not None  # of a fixed shape
    return plan.tokens.mean


def _worth_its_steps(budget: int, tables: Tables, costs: Costs) -> bool:
    """Whether a tree that asks the draft model node after node could pay: it keeps `GAIN` more than a fixed one."""
    fixed = max(_promise(plan, costs) for plan in _plans("fitted", tables["traversal"], budget))
    largest = _predicted(tree_policy("fitted").plan(tables["traversal"], budget))
    return GAIN * largest * costs.factor(drafts=budget, steps=budget) > fixed


def _heaps(name: str, budget: int, tables: Tables, costs: Costs) -> Iterator[Candidate]:
    if not _worth_its_steps(budget, tables, costs):
        return
    calibration = tables["traversal"].calibration
    yield Candidate(name, make_drafter("calibrated_heap", nodes=budget, calibration=calibration), "traversal")


def _splits(name: str, budget: int, tables: Tables, costs: Costs) -> Iterator[Candidate]:
    if not _worth_its_steps(budget, tables, costs):
        return
    table = tables["traversal"]
    made = make_drafter("budget_split", nodes=budget, rates=tuple(map(tuple, rounded(table.rates).tolist())),
                        calibration=table.calibration)
    for rule in ("traversal", "grouped_traversal"):
        yield Candidate(name, made, rule)


def rounded(rates: np.ndarray) -> np.ndarray:
    """Rates ``[.. R]`` with few digits: down in rows that would otherwise sum to more than one, which is refused.

    Examples
    --------
    >>> rounded(np.array([[0.33335, 0.33335, 0.33330], [0.50004, 0.24996, 0.0]])).tolist()
    [[0.3333, 0.3333, 0.3333], [0.5, 0.25, 0.0]]
    """
    near = rates.round(DIGITS)
    down = (rates * 10**DIGITS // 1) / 10**DIGITS
    return np.where(near.sum(axis=-1, keepdims=True) > 1.0 + 10**-DIGITS / 2, down, near)


def _lengths(budget: int) -> list[int]:
    """Every length up to 8, then in steps that grow."""
    lengths, at = [], 1
    while at < budget:
        lengths.append(at)
        at += max(1, at // 4)
    return [*lengths, budget]


class Family(NamedTuple):
    """A family: what it is called, how it makes candidates, whether the planner may recommend it, and its needs."""

    label: str
    offered: Callable[[str, int, Tables, Costs], Iterator[Candidate]]
    rival: bool = False
    chains_only: bool = False


FAMILIES: Mapping[str, Family] = {
    "default": Family("chain of 5, token by token", _default, rival=True, chains_only=True),
    "token_wise": Family("chain, token by token", _chains("token_wise"), rival=True, chains_only=True),
    "sequoia": Family("Sequoia: its tree, recursive rejection",
                      _trees("sequoia", "recursive_walk", ("recursive_walk",)), rival=True),
    "chain": Family("chain, block verification", _chains("block"), chains_only=True),
    "lookahead": Family("independent paths, look-ahead", _paths("lookahead_block")),
    "scores": Family("independent paths, scores + block", _paths("score_block")),
    "tree": Family("tree for its rule, Traversal", _trees("fitted", "traversal", ("traversal", "grouped_traversal"))),
    "split": Family("budget split, Traversal", _splits),
    "heap": Family("calibrated heap, Traversal", _heaps),
}


def candidates(budget: int, tables: Tables | None, costs: Costs, *, lengths: int | None = None) -> list[Candidate]:
    """Candidates of every family for a budget.

    Parameters
    ----------
    budget : int
    tables : mapping of rules to tables, or None
        None where only chains can be measured.
    costs : Costs
    lengths : int, optional
        Longest chain that can be measured.
    """
    found: dict[Candidate, None] = {}
    for name, family in FAMILIES.items():
        if family.chains_only:
            found.update(dict.fromkeys(family.offered(name, min(budget, lengths or budget), tables or {}, costs)))
        elif tables is not None:
            found.update(dict.fromkeys(family.offered(name, budget, tables, costs)))
    return list(found)
