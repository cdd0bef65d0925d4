"""Budgets handed down a tree: a node draws as many children as it has decided before, then splits what is left.

How many children a node draws depends on its budget, its depth and its own draft law, never on the children; how they
share the rest depends on their probabilities and on the entropies of their laws. So the shape fits itself to the text,
as a heap does, and yet rules that must know the number of children beforehand may verify it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from otspec.core.errors import BadArgument
from otspec.core.laws import draw, normalized_or
from otspec.decode.drafters.base import Draft, GrownTree, Speaker
from otspec.decode.drafters.calibrated_heap import MEASURED_CALIBRATION, Bins, as_calibration
from otspec.policies.trees.splitting import Splitting
from otspec.policies.trees.table import AcceptanceTable, Calibration


@dataclass(frozen=True)
class BudgetSplit(GrownTree):
    """Tree of at most ``nodes`` drafts, budget by budget.

    Parameters
    ----------
    nodes : int
    rates : [R], [D R] or [D K R]
        Rates of the rule that will verify, as in `otspec.AcceptanceTable`.
    calibration : Calibration, or mapping of its fields
    max_depth : int, optional
    max_children : int, optional
        Default: as many as rates are known for.

    Examples
    --------
    >>> bins = {"entropy_edges": (), "by_entropy": [[0.8], [0.1]], "chance_edges": (), "by_chance": [[0.8], [0.1]]}
    >>> BudgetSplit(8, (0.8, 0.1), bins).adaptive_widths
    False
    """

    nodes: int
    rates: Any
    calibration: Calibration | Mapping[str, Any]
    max_depth: int | None = None
    max_children: int | None = None

    tree: ClassVar[str] = "without_replacement"
    measured: ClassVar[Mapping[str, str]] = {"rates": "measured rates of the rule by rank, as in ot.AcceptanceTable",
                                             "calibration": MEASURED_CALIBRATION}

    def __post_init__(self) -> None:
        """Check the parameters."""
        self._check_sizes()
        calibration = as_calibration(self.calibration)
        object.__setattr__(self, "calibration", calibration)
        known = AcceptanceTable(self.rates).num_ranks
        if self.max_children is not None and self.max_children > min(known, calibration.num_ranks):
            raise BadArgument(f"max_children: {self.max_children}, but rates are known for {known} ranks and "
                              f"calibrated for {calibration.num_ranks}. Fix: no more than those.")

    @property
    def most_draws(self) -> int:
        """Most children of a node."""
        return min(self.nodes, self.max_children or self.nodes, as_calibration(self.calibration).num_ranks,
                   AcceptanceTable(self.rates).num_ranks)

    @cached_property
    def splitting(self) -> Splitting:
        """Children and values by depth, entropy bin and budget."""
        table = AcceptanceTable(self.rates, calibration=as_calibration(self.calibration))
        return Splitting(table, self.nodes, self.depth, self.most_draws)

    def propose(self, speaker: Speaker, uniforms: Any) -> Draft:
        """Draw node after node, the children of an earlier node first; one call of the draft model each."""
        import torch

        law = speaker.start()
        state = _Budgets(self, law, uniforms)
        tokens, parents = torch.full((2, len(law), self.nodes), -1, dtype=torch.int64, device=law.device)
        for n in range(self.nodes):
            parents[:, n], tokens[:, n] = state.draw(n, uniforms[:, n])
            if n + 1 < self.nodes:
                state.read(n + 1, speaker.after(tokens[:, n : n + 1], parents[:, n : n + 1])[:, 0])
                state.split(n + 1, parents[:, n])
        return Draft(tokens, parents, state.rows)


class _Budgets:
    """Budgets, widths and laws of the nodes of a batch, ``[B N+1]`` each."""

    def __init__(self, drafter: BudgetSplit, law: Any, uniforms: Any) -> None:
        import torch

        size, nodes = uniforms.shape
        self.most, self.each = drafter.most_draws, torch.arange(size, device=law.device)
        self.bins = Bins(as_calibration(drafter.calibration), uniforms)
        self.widths, self.values = (uniforms.new_tensor(part) for part in (drafter.splitting.width,
                                                                          drafter.splitting.value))
        self.rows = law.new_zeros(size, nodes + 1, law.shape[1])
        self.left, self.mass = torch.zeros_like(self.rows), uniforms.new_zeros(size, nodes + 1)
        self.budget, self.width, self.drawn, self.deep, self.kind = torch.zeros(
            5, size, nodes + 1, dtype=torch.int64, device=law.device)
        self.there = torch.zeros_like(self.kind, dtype=torch.bool)
        self.read(0, law)
        self.budget[:, 0] = nodes
        self.width[:, 0] = self.widths[0, self.kind[:, 0], nodes].long()

    def read(self, node: int, law: Any) -> None:
        """Take the laws ``[B V]`` after a node."""
        self.rows[:, node] = self.left[:, node] = law
        self.kind[:, node] = self.bins.entropy(law)

    def draw(self, n: int, uniform: Any) -> tuple[Any, Any]:
        """Parent and token ``[B]`` of node n + 1; token -1 where no budget is left."""
        import torch

        each, wanted = self.each, self.drawn < self.width
        there, parent = wanted.any(dim=1), wanted.int().argmax(dim=1)
        token = draw(normalized_or(self.left[each, parent], self.rows[each, parent]), uniform)
        there = there & (self.left[each, parent].sum(dim=1) > 0)
        self.there[:, n + 1] = there
        self.mass[:, n + 1] = self.rows[each, parent, token].to(self.mass.dtype)
        self.left[each, parent, token] = torch.where(there, 0.0, self.left[each, parent, token])
        self.drawn[each, parent] += 1
        self.deep[:, n + 1] = self.deep[each, parent] + 1
        return parent, torch.where(there, token, -1)

    def split(self, last: int, parent: Any) -> None:
        """Hand the budget of a node to its children where ``last`` is the last of them."""
        import torch

        each = self.each
        width, deep = self.width[each, parent], self.deep[each, parent] + 1
        done = (self.drawn[each, parent] == width) & (width > 0)
        number = last + 1 - width[:, None] + torch.arange(self.most, device=width.device)
        mine = (number <= last) & done[:, None]
        number = number.clamp(0, last)
        mine = mine & self.there.gather(1, number)  # where the support ran out there is no child
        rates = self._rates(width, self.bins.chance(self.mass.gather(1, number)))
        worth = rates[..., None] * self.values[deep[:, None], self.kind.gather(1, number)]
        shares = _shares(worth, mine, (self.budget[each, parent] - width).clamp(min=0))
        for rank in range(self.most):
            child, here, share = number[:, rank], mine[:, rank], shares[rank]
            width_here = self.widths[deep, self.kind[each, child], share].long()
            self.budget[each, child] = torch.where(here, share, self.budget[each, child])
            self.width[each, child] = torch.where(here, width_here, self.width[each, child])

    def _rates(self, width: Any, bins: Any) -> Any:
        """Rates ``[B R]`` of the children of a node of so many, given the bins of their probabilities."""
        rates, rank = self.bins.by_chance, self.each.new_tensor(range(self.most))
        if rates.ndim == 3:
            return rates[(width - 1).clamp(min=0)[:, None], rank, bins]
        return rates[rank, bins]


def _shares(worth: Any, mine: Any, budget: Any) -> list[Any]:
    """Nodes below each child ``[B]``, rank by rank: the best split of ``budget [B]`` among the children.

    ``worth [B R N+1]`` is what a child with so many nodes below it adds; ``mine [B R]`` says which there are.
    """
    import torch

    size, ranks, most = worth.shape
    ahead = torch.arange(most, device=worth.device)[:, None] - torch.arange(most, device=worth.device)
    value, chosen = worth.new_zeros(size, most), []
    for rank in range(ranks - 1, -1, -1):
        table = worth[:, rank, None, :] + value[:, ahead.clamp(min=0)]
        best = torch.where(ahead >= 0, table, -torch.inf).max(dim=2)
        chosen.append(torch.where(mine[:, rank, None], best.indices, 0))
        value = torch.where(mine[:, rank, None], best.values, value)
    left, shares = budget, []
    for choice in reversed(chosen):
        shares.append(choice.gather(1, left[:, None])[:, 0])
        left = left - shares[-1]
    return shares
