"""Couplings without communication: one file each, one line of the registry each.

Adding a line adds the coupling to the contract tests, to `agreement` and to the decoder.
"""

from __future__ import annotations

from otspec.core.coupling import Coupling
from otspec.core.registry import Entry, Registry, Source
from otspec.couplings.gumbel import Gumbel
from otspec.couplings.minhash import MinHash

EXACT = frozenset({"lossless", "reflexive", "exact_agreement", "exact_joint"})

REGISTRY = Registry(
    "coupling",
    Entry("gumbel", Gumbel, Source("coupling", "Sec. 3"), "coupling", claims=EXACT,
          summary="shared exponential race: argmin of clocks over the law"),
    Entry("minhash", MinHash, Source("coupling", "Sec. 2"), "coupling", claims=EXACT,
          summary="weighted MinHash: token of the first shared dart below the law"),
)


def coupling(name: str | Coupling) -> Coupling:
    """Make a coupling by name; a coupling is returned as it is.

    Raises
    ------
    UnknownName
        Listing the names there are.

    Examples
    --------
    >>> coupling("gumbel")
    Gumbel()
    """
    return name if isinstance(name, Coupling) else REGISTRY[name].factory()


def list_couplings() -> Registry:
    """Names of the couplings, with their entries.

    Examples
    --------
    >>> list(list_couplings())
    ['gumbel', 'minhash']
    """
    return REGISTRY
