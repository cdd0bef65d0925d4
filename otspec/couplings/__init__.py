"""Couplings of two laws: one file each, one line of the registry each.

Those of kind ``coupling`` need no communication: each party selects by itself, with its own law and the shared noise.
Those of kind ``joint`` need both laws, or messages, and measure what that is worth. Adding a line adds the coupling to
the contract tests, to `agreement` and, if it needs no communication, to the decoder.

Claims: ``lossless`` (each token has its law), ``reflexive`` (equal laws agree always), ``exact_agreement`` and
``exact_joint`` (closed forms), ``symmetric`` (the parties may change places), ``invariant`` (the numbering of the
tokens does not matter), ``list`` (the drafter may send several tokens).
"""

from __future__ import annotations

from typing import Any

from otspec.core.coupling import Coupling
from otspec.core.errors import BadArgument
from otspec.core.names import did_you_mean
from otspec.core.registry import Entry, Registry, Source, refuse_parameters_of_made
from otspec.couplings.communicated import Communicated
from otspec.couplings.entropy import MinimumEntropy
from otspec.couplings.gumbel import Gumbel
from otspec.couplings.list_gumbel import ListGumbel
from otspec.couplings.maximal import Maximal
from otspec.couplings.minhash import MinHash
from otspec.couplings.poisson import Poisson
from otspec.couplings.shared_uniform import SharedUniform

KINDS = ("coupling", "joint")
EXACT = frozenset({"lossless", "reflexive", "exact_agreement", "exact_joint"})
FAIR = EXACT | {"symmetric", "invariant"}

REGISTRY = Registry(
    "coupling",
    Entry("gumbel", Gumbel, Source("coupling", "Sec. 3"), "coupling", claims=FAIR | {"list"},
          summary="shared exponential race: argmin of clocks over the law"),
    Entry("minhash", MinHash, Source("coupling", "Sec. 2"), "coupling", claims=FAIR,
          summary="weighted MinHash: token of the first shared dart below the law"),
    Entry("poisson", Poisson, Source("poisson-representation", "Sec. 3"), "coupling", claims=FAIR,
          summary="Poisson functional representation: the shared point that the law reaches first"),
    Entry("shared_uniform", SharedUniform, Source("coupling", "Sec. 1"), "coupling", claims=EXACT | {"symmetric"},
          summary="one shared uniform, inverted: promises nothing"),
    Entry("list_gumbel", ListGumbel, Source("gls"), "coupling",
          claims=(FAIR | {"list"}) - {"exact_joint", "symmetric"},
          summary="race with k sheets of clocks: a draft from each"),
    Entry("communicated", Communicated, Source("coupling", "v1"), "joint", claims=EXACT - {"reflexive"},
          summary="protocol of O(log(V / epsilon)) bits, within epsilon of the ceiling"),
    Entry("maximal", Maximal, Source("leviathan2023"), "joint", claims=FAIR,
          summary="the ceiling 1 - TV, by one party who knows both laws"),
    Entry("entropy", MinimumEntropy, Source("mec"), "joint", claims=EXACT,
          summary="joint law of least entropy, greedy within 0.531 bits"),
)


def coupling(name: str | Coupling, **params: Any) -> Coupling:
    """Make a coupling by name; a coupling is returned as it is.

    Parameters
    ----------
    name : str or Coupling
    **params
        Of the coupling, such as ``num_drafts`` of ``"list_gumbel"`` or ``epsilon`` of ``"communicated"``.

    Raises
    ------
    UnknownName
        Listing the names there are.
    BadArgument
        A parameter that the coupling has not.

    Examples
    --------
    >>> coupling("gumbel"), coupling("list_gumbel", num_drafts=2)
    (Gumbel(), ListGumbel(num_drafts=2))
    """
    if isinstance(name, Coupling):
        refuse_parameters_of_made(name, params)
        return name
    entry = REGISTRY[name]
    entry.check_parameters(params)
    return entry.factory(**params)


def list_couplings(kind: str | None = None) -> Registry:
    """Names of the couplings, with their entries.

    Parameters
    ----------
    kind : {"coupling", "joint"}, optional
        Those that need no communication, or those that need both laws; default all.

    Examples
    --------
    >>> list(list_couplings("joint"))
    ['communicated', 'maximal', 'entropy']
    """
    if kind is None:
        return REGISTRY
    if kind not in KINDS:
        raise BadArgument(f"kind: {kind!r} is none of {', '.join(map(repr, KINDS))}.{did_you_mean(kind, KINDS)}")
    return Registry("coupling", *(entry for entry in REGISTRY.values() if entry.kind == kind))
