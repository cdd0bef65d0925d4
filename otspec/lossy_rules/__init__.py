"""Lossy rules: one file for each, one line here; none of them is among `otspec.list_verifiers`.

Every rule states the exact law of the token it emits (`output`), how far that is from the target (`price`, in total
variation) and its exact acceptance, at any vocabulary; `lossy_bound` is the frontier that no rule passes. A decoder
takes a lossy rule only as the object that `otspec.lossy` makes, and marks the run.
"""

from __future__ import annotations

from typing import Any

from otspec.core.registry import Entry, Registry, Source
from otspec.core.schemes import DraftScheme, as_scheme
from otspec.lossy_rules.base import LossyRule
from otspec.lossy_rules.cactus import Cactus
from otspec.lossy_rules.ensemble import Ensemble
from otspec.lossy_rules.frontier import Frontier, LossyBound, lossy_bound
from otspec.lossy_rules.top_k import TopK
from otspec.lossy_rules.typical import Typical


def _line(name: str, factory: type[LossyRule], source: str, summary: str, claims: str = "lossy") -> Entry:
    return Entry(name, factory, Source(source), "lossy", factory.schemes, frozenset(claims.split()), summary)


REGISTRY = Registry(
    "lossy rule",
    _line("frontier", Frontier, "mdsd", "largest acceptance at a budget of total variation", "lossy attains_frontier"),
    _line("ensemble", Ensemble, "diversed", "lossless against a mixture of target and draft"),
    _line("typical", Typical, "medusa", "keep drafts above an entropy threshold"),
    _line("top_k", TopK, "relaxed-acceptance", "keep drafts among the target's likeliest tokens"),
    _line("cactus", Cactus, "cactus", "rejection against a target lifted at the draft, one draft",
          "lossy one_draft"),
)


def list_lossy(scheme: DraftScheme | int | None = None) -> Registry:
    """Lossy rules by name, those for a scheme where one is given.

    Examples
    --------
    >>> "typical" in list_lossy(), "cactus" in list_lossy(2)
    (True, False)
    """
    if scheme is None:
        return REGISTRY
    bound = as_scheme(scheme)
    return Registry("lossy rule", *(entry for entry in REGISTRY.values() if entry.supports(bound)
                                    and ("one_draft" not in entry.claims or bound.num_drafts == 1)))


def lossy(name: str, scheme: DraftScheme | int = 1, **params: Any) -> LossyRule:
    """Make a lossy rule: its output is not the target's law.

    Parameters
    ----------
    name : str
        One of `list_lossy`.
    scheme : DraftScheme or int
    **params
        Parameters of the rule, such as ``budget`` of ``frontier``.

    Raises
    ------
    UnknownName, SchemeMismatch, BadArgument

    Examples
    --------
    >>> lossy("ensemble", weight=0.75)
    lossy Ensemble(WithReplacement(k=1))
    """
    return REGISTRY[name].make(scheme, params)


__all__ = ["REGISTRY", "LossyBound", "LossyRule", "list_lossy", "lossy", "lossy_bound"]
