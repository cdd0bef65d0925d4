"""What a tree policy is: from an acceptance table and a budget to a drafter, its prediction, and its lawful rules.

A policy is a value; `plan` answers with a `TreePlan`, which names a drafter of `otspec.list_drafters` and its
parameters. The plan of a fixed shape also holds its child counts. A rule is lawful for a plan if it is proved for trees
drawn so: a number of children that depends on the children drawn, as in a heap, is lawful for Traversal and recursive
rejection only; every other rule must know that number before the children are drawn. [traversal]
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from otspec.core.checks import check_positive
from otspec.core.errors import BadArgument, OtspecError, SchemeMismatch
from otspec.core.estimate import Estimate
from otspec.core.schemes import DraftScheme, Greedy, WithoutReplacement, WithReplacement
from otspec.core.table import Table
from otspec.core.tree_batches import check_lawful
from otspec.core.tree_verifier import TreeVerifier
from otspec.core.verifier import TokenVerifier
from otspec.core.walk import TokenWalk
from otspec.policies.trees.shapes import Shape, numbered, shape_of, text_of
from otspec.policies.trees.table import AcceptanceTable, Calibration
from otspec.verifiers import list_verifiers, verifier

LONGEST = 60  # letters of a shape that a plan shows


@dataclass(frozen=True)
class TreePlan:
    """A tree to draft.

    Attributes
    ----------
    policy : str
        Name of the policy.
    drafter : str or None
        Name in `otspec.list_drafters`, so that ``otspec.drafter(plan.drafter, **plan.parameters)`` draws the tree; None
        where no drafter of the package can.
    parameters : mapping
        Parameters of the drafter.
    num_nodes : int
        Drafted tokens per call.
    most_draws : int
        Most draws at one node.
    scheme : str
        How children are drawn, as in `otspec.DraftTree`.
    adaptive_widths : bool
        Whether the number of children of a node depends on which children were drawn.
    counts : tuple of int or None
        Children of each node, node 0 the end of the text, numbered depth by depth; None where the shape depends on the
        draft laws.
    tokens : Estimate or None
        Predicted tokens per call; None where only a measurement can tell.
    rule : str or None
        Rule that the table was measured for.

    Examples
    --------
    >>> plan = TreePlan("mine", "tree", {"counts": (2, 1)}, 3, 2, counts=(2, 1))
    >>> plan.lawful("traversal"), plan.text
    (Traversal(WithoutReplacement(k=2)), '(1 .)')
    """

    policy: str
    drafter: str | None
    parameters: Mapping[str, Any]
    num_nodes: int
    most_draws: int
    scheme: str = "without_replacement"
    adaptive_widths: bool = False
    counts: tuple[int, ...] | None = None
    tokens: Estimate | None = None
    rule: str | None = None
    depth: int = field(default=0)

    def __post_init__(self) -> None:
        """Depth of a fixed shape."""
        if self.counts is not None and not self.depth:
            object.__setattr__(self, "depth", int(numbered(self.counts)[1].max()))

    @property
    def shape(self) -> Shape | None:
        """The fixed shape as a nested tuple."""
        return None if self.counts is None else shape_of(self.counts)

    @property
    def text(self) -> str:
        """The fixed shape in short: ``5`` is a chain of five, ``.`` a leaf; else the drafter."""
        return str(self.drafter) if self.counts is None else text_of(self.shape or ())

    def lawful(self, rule: Any) -> TreeVerifier:
        """Bind a rule to these drafts, or say why it would be biased on them.

        Parameters
        ----------
        rule : str or verifier

        Returns
        -------
        TreeVerifier

        Raises
        ------
        SchemeMismatch
            The rule is not proved for trees drawn so.
        UnknownName
        """
        if isinstance(rule, str):
            if list_verifiers()[rule].kind == "block":
                raise SchemeMismatch(f"{rule}: it reads one path, and {self!r} is a tree. Fix: 'traversal', which is "
                                     f"block verification on a chain.")
            rule = verifier(rule, self._bound())
        if isinstance(rule, TokenVerifier):
            rule = TokenWalk(rule)
        if not isinstance(rule, TreeVerifier):
            raise SchemeMismatch(f"{rule!r} verifies no trees. Fix: a tree rule such as 'traversal'.")
        check_lawful(rule, self, self.most_draws)
        return rule

    def rules(self) -> Table:
        """Every listed rule: whether it may verify these drafts without bias, and why not."""
        rows = []
        for name in list_verifiers():
            try:
                self.lawful(name)
                rows.append({"rule": name, "lawful": True, "why": None})
            except OtspecError as error:
                rows.append({"rule": name, "lawful": False, "why": str(error)})
        return Table(rows)

    def _bound(self) -> DraftScheme:
        if self.scheme in ("without_replacement", "greedy"):
            return (Greedy if self.scheme == "greedy" else WithoutReplacement)(self.most_draws)
        return WithReplacement(1 if self.scheme == "deterministic" else self.most_draws)

    def __repr__(self) -> str:
        """Policy, size, shape and what it was planned for."""
        shape = "" if self.counts is None or len(self.text) > LONGEST else f", {self.text}"
        predicted = "" if self.tokens is None else f", {self.tokens.mean:.4g} tokens per call" + (
            f" with {self.rule}" if self.rule else "")
        adaptive = ", adaptive widths" if self.adaptive_widths else ""
        return f"TreePlan({self.policy}, {self.num_nodes} nodes, {self.scheme}{adaptive}{shape}{predicted})"


class TreePolicy(ABC):
    """A way to choose a tree; a subclass is a frozen dataclass and writes `_plan`."""

    name: ClassVar[str] = ""
    #: what the choice depends on: "rates", the table's "calibration", or the draft "laws" alone (the table may be None)
    reads: ClassVar[str] = "rates"

    def plan(self, table: Any, budget: int, *, max_depth: int | None = None,
             max_children: int | None = None) -> TreePlan:
        """Choose the tree for a budget.

        Parameters
        ----------
        table : AcceptanceTable, array or None
            Rates of the rule that will verify; a plain array ``[R]``, ``[D R]`` or ``[D K R]`` makes a table. None is
            for policies that read nothing but the draft laws.
        budget : int
            Drafted tokens per call, N.
        max_depth : int, optional
            Most drafted tokens on one way; default N.
        max_children : int, optional
            Most children of a node; default as many as the table has ranks, or N.

        Raises
        ------
        BadArgument, ShapeMismatch
        """
        budget = check_positive("budget", budget)
        deepest = budget if max_depth is None else min(budget, check_positive("max_depth", max_depth))
        if table is not None and not isinstance(table, AcceptanceTable):
            table = AcceptanceTable(table)
        ranks = budget if self.reads == "laws" else self._ranks(table)
        if max_children is not None and check_positive("max_children", max_children) > ranks < budget:
            raise BadArgument(f"max_children: {max_children}, but rates are known for {ranks} ranks. Fix: a table of "
                              f"more ranks, or max_children={ranks}.")
        return self._plan(table, budget, deepest, min(budget, ranks, max_children or ranks))

    def _ranks(self, table: AcceptanceTable | None) -> int:
        """Most children of a node that the table knows rates for."""
        if table is None:
            raise BadArgument(f"table: None, but {self.name!r} reads rates. Fix: an AcceptanceTable of the rule that "
                              f"will verify.")
        if self.reads == "rates":
            return table.num_ranks
        if table.calibration is None:
            raise BadArgument(f"table: {table!r} has no calibration, which {self.name!r} reads. Fix: AcceptanceTable("
                              f"..., calibration=Calibration(...)).")
        return table.calibration.num_ranks

    @abstractmethod
    def _plan(self, table: AcceptanceTable, budget: int, max_depth: int, max_children: int) -> TreePlan:
        """Choose; arguments checked. A policy that reads the draft laws alone also takes None for a table."""

    def _fixed(self, table: AcceptanceTable, counts: tuple[int, ...]) -> TreePlan:
        """Plan of a fixed shape, children without replacement."""
        return TreePlan(self.name, "tree", {"counts": counts}, sum(counts), max(counts), counts=counts,
                        tokens=table.expected_tokens(counts), rule=table.rule)


__all__ = ["AcceptanceTable", "Calibration", "TreePlan", "TreePolicy"]
