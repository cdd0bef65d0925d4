"""Trees of parallel prompt decoding: what a call may draft was prepared by the call before. [ppd].

Prompt tokens behind a node make the target model guess ahead of it: l of them guess the l tokens after the next one.
A call in state s, the number of guesses behind the node that was accepted last, drafts a tree of at most s depths and
puts l_v prompt tokens behind every node v, all within the budget; the node accepted last makes l_v the next state. So
states are a Markov chain, and a plan is worth its stationary tokens per call ``sum_s pi_s f(T_s)``.

The best trees solve a Markov decision problem of average reward, in which every state can be reached from every other.
With values h the best tree of a state comes from one more dynamic programme: an accepted node at depth d is worth
``W_d(n) = 1 + max over l and shares of h(l) + sum_r a_r (W_{d+1}(m_r - 1) - h(l))``, ``l + m_1 + .. <= n``. For any h
the best gain lies between the least and the largest of ``W_0(N) - h``; iteration ends when the two meet. [ppd]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from otspec.core.checks import check_positive
from otspec.core.errors import NotCertified
from otspec.core.estimate import Estimate
from otspec.core.markov import MarkovModel
from otspec.policies.trees.base import TreePlan, TreePolicy
from otspec.policies.trees.programme import forest
from otspec.policies.trees.shapes import numbered
from otspec.policies.trees.table import AcceptanceTable

CLOSE, MOST_ROUNDS = 1e-10, 2000


class PromptTree(NamedTuple):
    """Tree of one state: child counts, and prompt tokens behind every node, numbered depth by depth."""

    counts: tuple[int, ...]
    prompts: tuple[int, ...]


@dataclass(frozen=True)
class Prompts(TreePolicy):
    """The best trees of all states.

    Parameters
    ----------
    guesses : int
        Most prompt tokens behind a node, m.

    Examples
    --------
    >>> plan = Prompts(guesses=1).plan([[1.0]], 3)  # a draft that is always kept, prepared in every call
    >>> round(plan.tokens.mean, 9), plan.parameters["trees"][1]
    (2.0, PromptTree(counts=(1, 0), prompts=(0, 1)))
    """

    guesses: int = 3

    name: ClassVar[str] = "ppd"

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_positive("guesses", self.guesses)

    def _plan(self, table: AcceptanceTable, budget: int, max_depth: int, max_children: int) -> TreePlan:
        most = min(self.guesses, max_depth)
        chain = _Chain(table, budget, most, max_children)
        trees, (low, high) = chain.solve()
        stationary = MarkovModel(np.stack([chain.onward(tree) for tree in trees])).initial
        worth = float(sum(share * table.reached(tree.counts).sum() for share, tree in zip(stationary, trees,
                                                                                          strict=True)))
        if abs(worth - high) > 1e-6 or high - low > 1e-6:
            raise NotCertified(f"trees of {most} guesses give {worth:.9g} tokens per call, and the best lie between "
                               f"{low:.9g} and {high:.9g}. Fix: fewer guesses.", high - min(low, worth))
        parameters = {"trees": tuple(trees), "stationary": tuple(stationary.tolist())}
        return TreePlan(self.name, None, parameters, budget, max_children, scheme="deterministic",
                        tokens=Estimate(worth), rule=table.rule, depth=most)


class _Chain:
    """States and their best trees for given values h."""

    def __init__(self, table: AcceptanceTable, budget: int, guesses: int, max_children: int) -> None:
        self.table, self.budget, self.guesses, self.most = table, budget, guesses, max_children

    def solve(self) -> tuple[list[PromptTree], tuple[float, float]]:
        """Best tree of each state, and the two ends that the best tokens per call lie between."""
        values, low, high = np.zeros(self.guesses + 1), 0.0, np.inf
        for _ in range(MOST_ROUNDS):
            gain = np.array([self._worths(state, values)[0][self.budget] for state in range(values.size)]) - values
            low, high = float(gain.min()), float(gain.max())
            if high - low < CLOSE:
                break
            values = values + 0.5 * (gain - gain[0])  # half a step, so that no period can keep it from settling
        return [self._tree(state, values) for state in range(values.size)], (low, high)

    def onward(self, tree: PromptTree) -> np.ndarray:
        """Law ``[m + 1]`` of the next state."""
        reach, parents = self.table.reached(tree.counts), numbered(tree.counts)[0]
        last = reach.copy()
        np.subtract.at(last, parents[1:], reach[1:])
        return np.bincount(tree.prompts, weights=np.maximum(last, 0.0), minlength=self.guesses + 1)

    def _widths(self) -> range:
        return range(1, self.most + 1) if self.table.by_width else range(self.most, self.most + 1)

    def _worths(self, state: int, values: np.ndarray) -> list[np.ndarray]:
        """``W_d`` ``[N+1]`` of every depth of a tree of one state."""
        below: list[np.ndarray] = []
        for depth in range(state, -1, -1):
            options = [self._option(depth, prompts, width, values, below) for prompts in range(self.guesses + 1)
                       for width in (self._widths() if below else (0,))]
            below.insert(0, 1.0 + np.max([value for value, _ in options], axis=0))
        return below

    def _option(self, depth: int, prompts: int, width: int, values: np.ndarray,
                below: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Value ``[N+1]`` of so many prompt tokens and children at most, and the shares of the children."""
        size = self.budget + 1
        value, shares = np.zeros(size), np.zeros((0, size), dtype=np.int64)
        if width:
            worth = np.append(-np.inf, below[0][:-1] - values[prompts])
            value, shares = forest(self.table.at(depth, width), worth, least=width if self.table.by_width else 0)
        moved = np.full(size, -np.inf)
        moved[prompts:] = values[prompts] + value[: max(0, size - prompts)]
        return moved, shares

    def _tree(self, state: int, values: np.ndarray) -> PromptTree:
        worths = self._worths(state, values)
        counts, prompts, level = [], [], [self.budget]
        for depth in range(state + 1):
            further = []
            for budget in level:
                kids, behind = self._node(depth, budget, values, worths[depth + 1 :])
                counts.append(len(kids))
                prompts.append(behind)
                further += kids
            level = further
        return PromptTree(tuple(counts), tuple(prompts))

    def _node(self, depth: int, budget: int, values: np.ndarray, below: list[np.ndarray]) -> tuple[list[int], int]:
        """Budgets below the children of a node, and its prompt tokens."""
        kids: list[int] = []
        best, behind = -np.inf, 0
        for prompts in range(min(self.guesses, budget) + 1):
            for width in (0, *self._widths()) if below else (0,):
                value, shares = self._option(depth, prompts, width, values, below)
                if value[budget] > best + 1e-15:
                    best, behind, kids, left = value[budget], prompts, [], budget - prompts
                    for share in shares:
                        mine = int(share[left])
                        if mine == 0:
                            break
                        kids.append(mine - 1)
                        left -= mine
        return kids, behind
