"""Acceptance of every rule over a whole trace, against k, temperature and truncation.

A sweep averages, over all contexts, the optimum, the value ``sum min(target, L)`` of the winner law L, and every rule
with a closed form. The two first must meet: a cut bounds every rule from above, and a winner law attains its value.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_numpy_array

from otspec.analysis.attribution import optimal_mass
from otspec.analysis.exact import token_rule
from otspec.core.checks import check_positive
from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.core.host import to_host
from otspec.core.laws import temper, truncate
from otspec.core.progress import progress_bar
from otspec.core.schemes import DraftScheme, WithReplacement, as_scheme
from otspec.core.table import Table
from otspec.core.trace import Trace
from otspec.core.verifier import TokenVerifier, checked_pair
from otspec.transport.bounds import optimal_acceptance
from otspec.verifiers import list_verifiers

Array = Any
MEMORY = {"cpu": 2**28, "cuda": 2**32}  # bytes that one chunk may use: small enough for the caches to help on a CPU
WORKSPACES = 40  # float64 arrays [chunk V] that are alive at once in the busiest rule


def sweep(trace: Trace | tuple[Array, Array], *, rules: str | Iterable[str | TokenVerifier] = "all",
          schemes: Any = WithReplacement, ks: Iterable[int] = (1, 2, 4, 8), temperatures: Iterable[float] = (1.0,),
          top_ks: Iterable[int | None] = (None,), top_ps: Iterable[float | None] = (None,), chunk: int | None = None,
          device: str | None = None, progress: bool = True) -> Table:
    """Mean acceptance over all contexts of a trace, for every setting asked for.

    Parameters
    ----------
    trace : Trace or (target, draft)
        Arrays ``[n V]`` each.
    rules : "all" or iterable of names and verifier objects
        "all" takes every rule with a closed form. A name applies to the schemes it is proved for, an object to its own.
    schemes : scheme classes, functions from k to a scheme, or schemes
        One or several. Classes and functions are called with each of ``ks``.
    ks : iterable of int
    temperatures, top_ks, top_ps : iterable
        Every combination is applied to both laws, in this order; None leaves them as they are.
    chunk : int, optional
        Contexts held at once; the default follows from V and a memory budget (256 MB, or 4 GB on a CUDA device).
    device : str, optional
        None computes with NumPy (or with the arrays as given); a torch device such as ``"cpu"`` or ``"cuda"`` gets
        each chunk as tensors.
    progress : bool
        Show a bar on a terminal, if tqdm is installed.

    Returns
    -------
    Table
        One row for each setting, scheme, k and rule, after the rows ``optimum`` and ``winner_law``: mean ``acceptance``
        with ``stderr`` over contexts, ``optimum``, mean ``gap`` and ``largest_gap`` over contexts. The largest gap of
        ``winner_law`` is the certificate.

    Raises
    ------
    BadArgument, ShapeMismatch, SchemeMismatch, UnknownName
        Among them: a named rule without closed form, and a scheme that is only solved on the CPU.

    Examples
    --------
    >>> sweep(([[1.0, 0.0]], [[0.5, 0.5]]), rules=["k_seq"], ks=[1, 2]).where(rule="k_seq").column("acceptance")
    [0.5, 0.75]
    """
    read, count, size = _reader(trace)
    bound = _schemes(schemes, ks)
    step = _chunk_rows(size, device) if chunk is None else check_positive("chunk", chunk)
    probe = [_place(law, device) for law in read(slice(0, 1))]
    chosen, silent = _closed_forms(rules, bound, *probe)
    settings = list(itertools.product(temperatures, top_ks, top_ps))
    rows: list[dict[str, Any]] = []
    with progress_bar(len(settings) * count, "contexts", progress) as bar:
        for setting in settings:
            parts: dict[tuple[int, str], list[np.ndarray]] = {}
            for start in range(0, count, step):
                target, draft = (_changed(_place(law, device), *setting) for law in read(slice(start, start + step)))
                for i, (scheme, named) in enumerate(zip(bound, chosen, strict=True)):
                    for name, values in _values(target, draft, scheme, named):
                        parts.setdefault((i, name), []).append(values)
                bar.update(min(step, count - start))
            rows += _rows(setting, bound, {key: np.concatenate(values) for key, values in parts.items()})
    return Table(rows, {"contexts": count, "vocabulary": size, "device": device or "numpy",
                        "without_closed_form": ", ".join(silent) or "none"})


def _reader(trace: Any) -> tuple[Callable[[slice], tuple[Array, Array]], int, int]:
    """Return ``read(slice) -> (target, draft)``, the number of contexts and the vocabulary."""
    if isinstance(trace, Trace):
        return trace.laws, len(trace), trace.vocab_size
    if not isinstance(trace, (tuple, list)) or len(trace) != 2:
        raise BadArgument(f"trace: {type(trace).__name__} is neither a Trace nor a pair of laws. "
                          f"Fix: pass (target, draft), [n V] each.")
    target, draft = checked_pair(trace[0], trace[1], WithReplacement(1))
    if target.ndim != 2 or target.shape != draft.shape:
        raise ShapeMismatch(f"trace: target {tuple(target.shape)} and draft {tuple(draft.shape)} are not both [n V]. "
                            f"Fix: one row per context.")
    return lambda part: (target[part, :], draft[part, :]), target.shape[0], target.shape[1]


def _schemes(schemes: Any, ks: Iterable[int]) -> list[DraftScheme]:
    given = [schemes] if callable(schemes) or isinstance(schemes, DraftScheme) else list(schemes)
    ks = [check_positive("ks", k) for k in ks]
    bound = [as_scheme(one) for each in given for one in ([each] if isinstance(each, DraftScheme) else map(each, ks))]
    several = [scheme for scheme in bound if scheme.draft_axes]
    if several or not bound:
        raise BadArgument(f"schemes: {several or 'none given'}; a trace holds the laws of one drafter. "
                          f"Fix: WithReplacement, WithoutReplacement, Greedy, or lambda k: Hybrid(1, k).")
    return list(dict.fromkeys(bound))


def _chunk_rows(size: int, device: str | None) -> int:
    budget = MEMORY["cpu" if device in (None, "cpu") else "cuda"]
    return max(1, budget // (8 * WORKSPACES * size))


def _place(law: Array, device: str | None) -> Array:
    if device is None:
        return law
    from array_api_compat import torch

    if is_numpy_array(law) and not law.flags.writeable:
        law = law.copy()  # a tensor cannot share read-only memory
    place: Any = device
    try:
        return torch.asarray(law, device=place)
    except (RuntimeError, AssertionError) as problem:
        raise BadArgument(f"device: {device!r} cannot be used here ({str(problem).splitlines()[0]}). "
                          f"Fix: device=None, or a device that torch lists.") from None


def _changed(law: Array, temperature: float, top_k: int | None, top_p: float | None) -> Array:
    return truncate(temper(law, 1.0 if temperature is None else temperature), top_k=top_k, top_p=top_p)


def _closed_forms(rules: Any, bound: list[DraftScheme], target: Array,
                  draft: Array) -> tuple[list[dict[str, TokenVerifier]], list[str]]:
    """Rules with a closed form for each scheme, and the names of those of "all" that have none."""
    everything = isinstance(rules, str) and rules == "all"
    if isinstance(rules, str) and not everything:
        raise BadArgument(f"rules: {rules!r} is not 'all'. Fix: a list of names, [{rules!r}].")
    wanted = list(list_verifiers(kind="token")) if everything else list(rules)
    chosen: list[dict[str, TokenVerifier]] = [{} for _ in bound]
    silent: dict[str, None] = {}
    for rule in wanted:
        homes = [i for i, scheme in enumerate(bound) if _fits(rule, scheme)]
        if not homes and not everything:
            raise BadArgument(f"rules: {rule!r} is proved for none of {', '.join(map(str, bound))}. "
                              f"Fix: otspec.list_verifiers(scheme) names the rules for a scheme.")
        for i in homes:
            verifier = token_rule(rule, bound[i])
            name = rule if isinstance(rule, str) else type(rule).__name__
            if verifier.acceptance(target, draft) is not None:
                chosen[i][name] = verifier
            elif everything:
                silent[f"{name} ({bound[i]})"] = None
            else:
                raise BadArgument(f"rules: {name!r} has no closed form for {bound[i]}. "
                                  f"Fix: otspec.compare, which enumerates or samples.")
    return chosen, list(silent)


def _fits(rule: str | TokenVerifier, scheme: DraftScheme) -> bool:
    if isinstance(rule, str):
        list_verifiers()[rule]  # an unknown name is an error, not a rule that fits nowhere
        return rule in list_verifiers(scheme, kind="token")
    return rule.scheme == scheme


def _values(target: Array, draft: Array, scheme: DraftScheme,
            named: dict[str, TokenVerifier]) -> Iterator[tuple[str, np.ndarray]]:
    yield "optimum", to_host(optimal_acceptance(target, draft, scheme), np.float64)
    xp = array_namespace(target)
    yield "winner_law", to_host(xp.sum(optimal_mass(target, draft, scheme), axis=-1), np.float64)
    for name, verifier in named.items():
        yield name, to_host(verifier.acceptance(target, draft), np.float64)


def _rows(setting: tuple[Any, Any, Any], bound: list[DraftScheme],
          parts: dict[tuple[int, str], np.ndarray]) -> Iterator[dict[str, Any]]:
    for (i, name), values in parts.items():
        scheme, optimum = bound[i], parts[i, "optimum"]
        yield {"scheme": type(scheme).__name__, "k": scheme.num_drafts,
               **dict(zip(("temperature", "top_k", "top_p"), setting, strict=True)), "rule": name,
               "acceptance": float(values.mean()),
               "stderr": float(values.std(ddof=1) / np.sqrt(values.size)) if values.size > 1 else None,
               "optimum": float(optimum.mean()), "gap": float((optimum - values).mean()),
               "largest_gap": float((optimum - values).max()), "contexts": values.size}
