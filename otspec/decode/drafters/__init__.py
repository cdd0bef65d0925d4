"""Ways to draft: one file each, one line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otspec.core.registry import Entry, Registry, Source
from otspec.decode.drafters.adaptive import Adaptive
from otspec.decode.drafters.base import Draft, Drafter
from otspec.decode.drafters.budget_split import BudgetSplit
from otspec.decode.drafters.calibrated_heap import CalibratedHeap
from otspec.decode.drafters.delayed import Delayed
from otspec.decode.drafters.greedy_tree import GreedyTree
from otspec.decode.drafters.heap import Heap
from otspec.decode.drafters.likeliest import Likeliest
from otspec.decode.drafters.lookup import Lookup
from otspec.decode.drafters.paths import Paths
from otspec.decode.drafters.rerank import Rerank
from otspec.decode.drafters.rheo import Rheo
from otspec.decode.drafters.several import Several
from otspec.decode.drafters.tree import FixedTree

DRAFTERS = Registry(
    "drafter",
    Entry("paths", Paths, Source("spectr"), "drafter", summary="K paths of L tokens; one path is a chain"),
    Entry("tree", FixedTree, Source("sequoia"), "drafter", summary="a fixed tree, children without replacement"),
    Entry("greedy_tree", GreedyTree, Source("mdsd"), "drafter", summary="a fixed tree of top tokens and one draw"),
    Entry("delayed", Delayed, Source("delayed-trees"), "drafter", summary="a chain, then independent branches"),
    Entry("heap", Heap, Source("dyspec"), "drafter", summary="N nodes, best first, children without replacement"),
    Entry("calibrated_heap", CalibratedHeap, Source("dyspec"), "drafter", summary="best first by measured acceptance"),
    Entry("budget_split", BudgetSplit, Source("dyspec"), "drafter",
          summary="shape fitted to the text, widths fixed before children are drawn"),
    Entry("rerank", Rerank, Source("eagle-2"), "drafter", summary="the N likeliest nodes, chosen without chance"),
    Entry("rheo", Rheo, Source("rheo"), "drafter",
          summary="the N likeliest nodes, one sampled token among those of each node (our reconstruction)"),
    Entry("likeliest", Likeliest, Source("eagle-2"), "drafter", summary="the N likeliest nodes of the whole tree"),
    Entry("several", Several, Source("mdsd"), "drafter", summary="a path from each of several draft models"),
    Entry("adaptive", Adaptive, Source("specdec++"), "drafter", summary="a chain as long as a length policy lets it"),
    Entry("lookup", Lookup, Source("prompt-lookup"), "drafter", summary="what followed earlier in the text"),
)


def list_drafters() -> Mapping[str, Entry]:
    """Ways to draft by name, in display order.

    Examples
    --------
    >>> list_drafters()["tree"].summary
    'a fixed tree, children without replacement'
    """
    return DRAFTERS


def drafter(name: Any, **params: Any) -> Drafter:
    """Make a drafter.

    Parameters
    ----------
    name : str or Drafter
        A name of `list_drafters`; an object is returned as it is.
    **params
        Its parameters, such as ``widths`` of ``"tree"``.

    Raises
    ------
    UnknownName, BadArgument

    Examples
    --------
    >>> drafter("heap", nodes=16)
    Heap(nodes=16, max_depth=None)
    """
    return DRAFTERS.made(Drafter, name, params, argument="drafter")


__all__ = ["DRAFTERS", "Draft", "Drafter", "drafter", "list_drafters"]
