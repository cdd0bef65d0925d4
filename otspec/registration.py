"""Rules from outside: one call makes a user's own rule a row wherever the rules of the package are rows.

The registry is what makes a rule exist: once registered, a rule is listed by `otspec.list_verifiers`, compared by
`otspec.compare`, `otspec.compare_toys` and the report, decoded by name, and checked by `otspec.testing.check_verifier`.
A package does the same from a function that its entry point of the group ``otspec.verifiers`` names.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

from otspec.core.block import BlockVerifier
from otspec.core.errors import BadArgument
from otspec.core.names import did_you_mean
from otspec.core.registry import Entry, Source
from otspec.core.schemes import DraftScheme
from otspec.core.tree_verifier import TreeVerifier
from otspec.core.verifier import TokenVerifier
from otspec.couplings import list_couplings
from otspec.verifiers import CLAIMS, REGISTRY

KINDS: dict[str, type] = {"token": TokenVerifier, "block": BlockVerifier, "tree": TreeVerifier}
RESERVED = {"all", "optimum", "none"}  # words that stand for something else where a rule is named


def register(name: str, factory: Callable[..., Any], *, source: str | Source, claims: str | Iterable[str], summary: str,
             kind: str = "token", schemes: Iterable[type] = (), replace: bool = False) -> Entry:
    """Add a rule to the registry, until the process ends or `unregister` is called.

    Parameters
    ----------
    name : str
        Neither a rule of the package nor a coupling.
    factory : callable
        Makes the rule from a draft scheme, its first argument; further parameters are those of the rule. Usually a
        subclass of `TokenVerifier`, `BlockVerifier` or `TreeVerifier`.
    source : str or Source
        Where the rule comes from, such as a key of a bibliography.
    claims : str or iterable of str
        Words of `otspec.verifiers.CLAIMS`, in one string or as a list: ``"lossless reflexive"``.
    summary : str
        What the rule does, in one line.
    kind : {"token", "block", "tree"}
    schemes : iterable of DraftScheme subclasses, optional
        What it is proved for; default the ``schemes`` of the class.
    replace : bool
        Replace what was registered under the name before.

    Returns
    -------
    Entry

    Raises
    ------
    BadArgument
        A name that is taken, an unknown claim or kind, a factory that makes no such rule, no scheme.

    Examples
    --------
    >>> from otspec.verifiers.token.naive import Naive
    >>> register("mine", Naive, source="notebook", claims="lossless", summary="as naive").name
    'mine'
    >>> unregister("mine")
    """
    if kind not in tuple(KINDS):  # a list, say, is no key
        raise BadArgument(f"kind: {kind!r} is no kind of rule."
                          f"{did_you_mean(kind, KINDS)} Fix: one of {', '.join(KINDS)}.")
    words = frozenset(claims.split() if isinstance(claims, str) else claims)
    if not words <= set(CLAIMS):
        raise BadArgument(f"claims: {', '.join(map(repr, sorted(words - set(CLAIMS))))} is no claim. "
                          f"Fix: some of {', '.join(CLAIMS)}.")
    if not isinstance(summary, str) or not summary.strip():
        raise BadArgument(f"summary: {summary!r} is empty. Fix: say in one line what the rule does.")
    if not str(source).strip():
        raise BadArgument("source: empty. Fix: say in one line where the rule comes from.")
    entry = Entry(_checked_name(name), _checked_factory(factory, kind), source if isinstance(source, Source) else
                  Source(str(source)), kind, _checked_schemes(factory, schemes), words | _implied(factory), summary)
    REGISTRY.add(entry, replace=replace)
    return entry


def unregister(name: str) -> None:
    """Remove a rule that was registered.

    Raises
    ------
    UnknownName
        No such rule.
    BadArgument
        A rule of the package.
    """
    REGISTRY.remove(name)


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w*", name):
        raise BadArgument(f"name: {name!r}. Fix: a word of letters, digits and underscores.")
    if name in RESERVED:
        raise BadArgument(f"name: {name!r} stands for something else where rules are named. Fix: another name.")
    if name in list_couplings():
        raise BadArgument(f"name: {name!r} is a coupling, and the decoder takes both by name. Fix: another name.")
    return name


def _checked_factory(factory: Any, kind: str) -> Callable[..., Any]:
    base = KINDS[kind]
    if not callable(factory):
        raise BadArgument(f"factory: {factory!r} cannot be called. Fix: a subclass of otspec.{base.__name__}, or a "
                          f"function of the scheme that makes one.")
    if isinstance(factory, type) and not issubclass(factory, base):
        raise BadArgument(f"factory: {factory.__name__} is no {base.__name__}. Fix: subclass otspec.{base.__name__}, "
                          f"or name the right kind: {', '.join(KINDS)}.")
    if isinstance(factory, type) and inspect.isabstract(factory):
        missing = ", ".join(sorted(vars(factory)["__abstractmethods__"]))
        raise BadArgument(f"factory: {factory.__name__} does not write {missing}. Fix: define it.")
    if not inspect.signature(factory).parameters:
        raise BadArgument(f"factory: {factory!r} takes no argument. Fix: its first is the draft scheme.")
    return factory


def _checked_schemes(factory: Any, schemes: Iterable[type]) -> tuple[type, ...]:
    found = tuple(schemes) or tuple(getattr(factory, "schemes", ()))
    if not found or not all(isinstance(scheme, type) and issubclass(scheme, DraftScheme) for scheme in found):
        raise BadArgument(f"schemes: {found!r}. Fix: classes such as (otspec.WithReplacement,), those that the rule is "
                          f"proved for.")
    return found


def _implied(factory: Any) -> set[str]:
    """Claims that a class makes by what it declares."""
    implied = {"one_draft"} if getattr(factory, "one_path", False) is True else set()
    return implied | ({"carries_state"} if getattr(factory, "stateful", False) is True else set())
