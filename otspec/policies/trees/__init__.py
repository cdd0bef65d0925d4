"""Policies that choose a draft tree: one file each, one line here."""

from __future__ import annotations

from typing import Any

from otspec.core.open_registry import OpenRegistry
from otspec.core.registry import Entry, Source
from otspec.policies.trees.base import AcceptanceTable, Calibration, TreePlan, TreePolicy
from otspec.policies.trees.budget_split import BudgetSplit
from otspec.policies.trees.calibrated_heap import CalibratedHeap
from otspec.policies.trees.caterpillar import Caterpillar
from otspec.policies.trees.delayed import Delayed
from otspec.policies.trees.dyspec import DySpec
from otspec.policies.trees.eagle2 import EagleTwo
from otspec.policies.trees.fitted import Fitted
from otspec.policies.trees.likeliest import Likeliest
from otspec.policies.trees.prompts import Prompts
from otspec.policies.trees.rheo import Rheo
from otspec.policies.trees.sequoia import Sequoia


def _line(policy: type[TreePolicy], source: str, summary: str) -> Entry:
    return Entry(policy.name, policy, Source(source), "tree policy", summary=summary)


REGISTRY = OpenRegistry(
    "tree policy", "otspec.tree_policies",
    _line(Sequoia, "sequoia", "best fixed tree for rates by rank"),
    _line(Fitted, "sequoia", "best fixed tree for rates by depth, rank and width"),
    _line(Caterpillar, "traversal", "best chain with leaves beside it"),
    _line(Delayed, "delayed-trees", "one chain, then branches"),
    _line(DySpec, "dyspec", "heap on draft probabilities"),
    _line(CalibratedHeap, "dyspec", "heap on measured rates"),
    _line(BudgetSplit, "dyspec", "shape fitted to the text, widths fixed before children are drawn"),
    _line(EagleTwo, "eagle-2", "expand and rerank, without chance"),
    _line(Rheo, "rheo", "expand and rerank, one sampled token among those of each node (our reconstruction)"),
    _line(Likeliest, "eagle-2", "the likeliest nodes, without chance"),
    _line(Prompts, "ppd", "trees of prompt tokens, one for each state of a Markov chain"),
)


def list_tree_policies() -> OpenRegistry:
    """Tree policies by name, in display order.

    Examples
    --------
    >>> "sequoia" in list_tree_policies()
    True
    """
    return REGISTRY


def tree_policy(name: Any, **params: Any) -> TreePolicy:
    """Make a tree policy.

    Parameters
    ----------
    name : str or TreePolicy
        A name of `list_tree_policies`; an object is returned as it is.
    **params
        Parameters of the policy.

    Raises
    ------
    UnknownName, BadArgument

    Examples
    --------
    >>> tree_policy("sequoia").plan([0.6, 0.3], 4)
    TreePlan(sequoia, 4 nodes, without_replacement, (2 .), 2.476 tokens per call)
    """
    return REGISTRY.made(TreePolicy, name, params)


__all__ = ["REGISTRY", "AcceptanceTable", "Calibration", "TreePlan", "TreePolicy", "list_tree_policies", "tree_policy"]
