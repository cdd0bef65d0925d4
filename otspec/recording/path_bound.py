"""The dual bound on a real pair: tokens per call that no rule for the same drafts can exceed.

Three kinds, from the dearest to the cheapest. *Stateless*: every lossless rule after whose call the text goes on
afresh. *One-call*: any rule in one call, even one whose surplus later calls pay for; no rollouts. *Level*: one-call,
each level by itself; drafted paths only, and on recorded rows no models at all. With one token per path the three are
one number, the exact optimum of the recorded laws. See `otspec.analysis.dual` for the theorem.

Stateless rules are one-call rules, so the best stateless bound is the smallest; but the function that a bound is
evaluated at is a good one, not the best. On 300 random models (`tests/analysis/dual/test_exact.py`) the stateless bound
is 2.807 on average, .048 below the one-call bound, and above it on 18, by .41 at most: both are valid for stateless
rules, and so is the smaller.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np

from otspec.analysis.dual import sampled
from otspec.analysis.dual.prefixes import draw_paths
from otspec.analysis.dual.recorded import recorded_level
from otspec.core.checks import check_positive
from otspec.core.errors import BadArgument, TooLarge
from otspec.core.estimate import Estimate
from otspec.core.progress import progress_bar
from otspec.core.schemes import DraftScheme
from otspec.core.showing import card, figure_of, public_names
from otspec.core.trace import Trace
from otspec.decode.arguments import as_token_lists, check_seed, check_warp
from otspec.decode.drafters.base import Drafter
from otspec.decode.drafters.paths import Paths
from otspec.decode.identity import identity
from otspec.decode.room import SHARE, check_room, free_memory
from otspec.decode.streams import streams
from otspec.recording.bound_store import Store
from otspec.recording.path_arguments import KINDS, Shape, check_kind, loading, read_arguments, recording
from otspec.recording.path_time import Clock
from otspec.recording.paths import spread
from otspec.recording.prefixes import PairPrefixes
from otspec.recording.tree_bound import after_tree
from otspec.transport.bounds import optimal_acceptance

if TYPE_CHECKING:
    from otspec.decode.models import Pair

SAMPLES = 256
ROLLOUTS = 8


@dataclass(frozen=True, repr=False)
class PathBound:
    """Tokens per call that no rule exceeds.

    Attributes
    ----------
    tokens : Estimate
        Mean over contexts; its standard error contains the Monte-Carlo error. After a single context the standard
        error is the Monte-Carlo error.
    monte_carlo : float
        Standard error that stays if the contexts are taken as fixed. On recorded rows, one path per context, the two
        errors cannot be told apart.
    by_context : [contexts] or None
        Bound after each context; None on recorded rows, whose levels bound the mean only.
    by_context_stderr : [contexts] or None
        Their Monte-Carlo errors.
    kind : str
    num_paths, draft_length : int
    settings : dict
    """

    tokens: Estimate
    monte_carlo: float
    by_context: np.ndarray | None
    by_context_stderr: np.ndarray | None
    kind: str
    num_paths: int
    draft_length: int
    settings: dict[str, Any]
    __dir__ = public_names

    def __str__(self) -> str:
        """Bound with both errors, in one line."""
        return (f"at most {self.tokens.mean:.3f} ± {self.tokens.stderr:.3f} tokens per call ({self.kind}, "
                f"{self.num_paths} × {self.draft_length}; Monte Carlo {self.monte_carlo:.3f})")

    def __repr__(self) -> str:
        """Bound and contexts, in one line; the numbers of every context are in ``by_context``."""
        contexts = "recorded rows" if self.by_context is None else f"{len(self.by_context)} contexts"
        return f"PathBound({self}, {contexts})"

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        return card("PathBound", {"tokens per call": f"at most {self.tokens}",
                                  "Monte-Carlo error": f"{self.monte_carlo:.4f}",
                                  "paths × tokens": f"{self.num_paths} × {self.draft_length}", "kind": self.kind})

    def plot(self, ax: Any = None) -> Any:
        """Draw how the bound is spread over contexts.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure unless given.

        Returns
        -------
        matplotlib.axes.Axes
        """
        return figure_of(self, "path_bound", ax)


@overload
def path_bound(pair: Pair | Trace, prompts: int | DraftScheme | Drafter, num_paths: int | None = None, *,
               kind: str = ..., temperature: float = ..., contexts: int | None = ..., seed: int = ...,
               samples: int = ..., rollouts: int = ..., out: str | os.PathLike[str] | None = ...,
               time_limit: float | None = ..., progress: bool = ...) -> PathBound: ...
@overload
def path_bound(pair: Pair | Trace | None, prompts: Trace | Iterable[Any] | None, num_paths: int | DraftScheme | Drafter,
               draft_length: int | None = None, *, kind: str = ..., temperature: float = ...,
               contexts: int | None = ..., seed: int = ..., samples: int = ..., rollouts: int = ...,
               out: str | os.PathLike[str] | None = ..., time_limit: float | None = ...,
               progress: bool = ...) -> PathBound: ...
def path_bound(pair: Any, prompts: Any, num_paths: Any = None, draft_length: Any = None, *, kind: str = "stateless",
               temperature: float = 1.0, contexts: int | None = None, seed: int = 0, samples: int = SAMPLES,
               rollouts: int = ROLLOUTS, out: str | os.PathLike[str] | None = None, time_limit: float | None = None,
               progress: bool = True) -> PathBound:
    """Bound the tokens per call of every rule for K independent paths of a pair.

    Called as ``path_bound(pair, prompts, num_paths, draft_length)``, or short as ``path_bound(pair_or_trace, num_paths,
    draft_length)``: a trace brings its contexts, and the pocket pair has those of its bundled trace.

    Parameters
    ----------
    pair : Pair, Trace or None
        The models; or a trace whose recorded rows stand in for them (``kind="level"``), given here or, with None here,
        as ``prompts``.
    prompts : Trace, iterable of str or of token lists, or None
        Contexts; of a trace, the recorded ones.
    num_paths : int, WithReplacement or Drafter
        K independent paths; or a drafter of one model, whose trees are then drawn whole (stateless bound only).
    draft_length : int
        Tokens per path; of a drafter, left out.
    kind : {"stateless", "one_call", "level"}
    temperature : float
        Of both models.
    contexts : int, optional
        Use so many of the contexts, evenly spaced; default all.
    seed : int
        Each context has its own stream.
    samples : int
        Drafted paths per context, at least ``2 * num_paths``: one half fixes the bound, the other evaluates it, then
        they swap. Few loosen the bound; 1,000 or more for a single context.
    rollouts : int
        Target texts per node that needs them, at least 2.
    out : path, optional
        JSON file that finished contexts are written to, and that the same request goes on from.
    time_limit : float, optional
        Seconds that the contexts may take. After the first two, the rest is refused if it would take longer.
    progress : bool
        Show a progress bar on a terminal, and after two contexts how long the rest will take.

    Returns
    -------
    PathBound

    Raises
    ------
    BadArgument
        Models missing where they are needed; too few samples for K.
    SchemeMismatch
        A drafter of several models; a scheme that draws no paths.
    TooLarge
        Laws that would not fit in memory, before any model runs; contexts that would take longer than `time_limit`,
        after the first two.
    BadFile
        ``out`` holds another request.
    NotALaw

    Examples
    --------
    >>> from otspec.decode.models import load_pair
    >>> bound = path_bound(load_pair("pocket"), [[5, 6, 7], [8, 9]], 2, 1)
    >>> 1.0 <= bound.tokens.mean <= 2.0, bound.monte_carlo
    (True, 0.0)
    """
    pair, prompts, shape, drafter = read_arguments(pair, prompts, num_paths, draft_length, kind)
    if pair is None:
        return _recorded(prompts, shape, kind, temperature, contexts, seed)
    asked = _Asked(kind, check_warp(temperature, None, None), check_seed(seed), samples, rollouts, time_limit)
    return _bounds(pair, prompts, [shape], asked, contexts, out, progress, drafter)[shape]


def path_bounds(pair: Any, prompts: Trace | Iterable[Any] | None, shapes: Sequence[Shape], *, kind: str = "stateless",
                temperature: float = 1.0, contexts: int | None = None, seed: int = 0, samples: int = SAMPLES,
                rollouts: int = ROLLOUTS, out: str | os.PathLike[str] | None = None,
                time_limit: float | None = None, progress: bool = True) -> dict[Shape, PathBound]:
    """Bounds of several shapes ``(num_paths, draft_length)`` from the same drafted paths; see `path_bound`."""
    asked = _Asked(check_kind(kind), check_warp(temperature, None, None), check_seed(seed), samples, rollouts,
                   time_limit)
    shapes = list(dict.fromkeys((check_positive("num_paths", k), check_positive("draft_length", n))
                                for k, n in shapes))
    return _bounds(pair, prompts, shapes, asked, contexts, out, progress, None)


class _Asked(NamedTuple):
    """What is asked of every context."""

    kind: str
    warp: dict[str, Any]
    seed: int
    samples: int
    rollouts: int
    time_limit: float | None


def _bounds(pair: Any, prompts: Any, shapes: Sequence[Shape], asked: _Asked, contexts: int | None, out: Any,
            progress: bool, drafter: Drafter | None) -> dict[Shape, PathBound]:
    kind, warp, seed, samples, rollouts, time_limit = asked
    _check_samples(samples, rollouts, max(k for k, _ in shapes) if drafter is None else 1)
    if prompts is None:
        raise BadArgument("prompts: None. Fix: texts, token lists, or a trace with contexts.")
    texts = as_token_lists(pair, prompts.prompts if isinstance(prompts, Trace) else prompts)
    texts = texts if contexts is None else spread(texts, check_positive("contexts", contexts))
    deepest = max(length for _, length in shapes)
    longest = max(map(len, texts)) + deepest
    check_room(pair, Paths(1, deepest), longest)
    _check_memory(pair.vocab_size, samples * (drafter.num_nodes if drafter else deepest - 1), kind)
    request = {"kind": kind, **warp, "seed": seed, "samples": samples, "rollouts": rollouts,
               "shapes": [list(shape) for shape in shapes], "drafter": drafter and repr(drafter),
               "contexts": len(texts),
               "prompts_sha256": hashlib.sha256(json.dumps(texts).encode()).hexdigest(), **identity(pair)}
    store = Store(out, request)
    clock = Clock(len(texts) - len(store.found), time_limit)
    with progress_bar(len(texts), "contexts", progress, len(store.found)) as bar, store:
        for number in range(len(store.found), len(texts)):
            # drafts and rollouts are numbers apart: a bound's function must not depend on the tree it is taken at
            drafts, coins = streams(seed, 2 * number, 2)
            store.add(_after(pair, texts[number], shapes, asked, longest, drafts, coins) if drafter is None else
                      [after_tree(pair, texts[number], drafter, warp, longest, samples, rollouts, drafts, coins)])
            bar.update(1)
            clock.tick(bar)
    settings = request | {"target": pair.target_name, "draft": pair.draft_name}
    return {shape: _bound(np.array(store.found)[:, i], kind, shape, settings) for i, shape in enumerate(shapes)}


def _after(pair: Any, text: list[int], shapes: Sequence[Shape], asked: _Asked, longest: int,
           drafts: np.random.Generator, coins: np.random.Generator) -> list[tuple[float, float]]:
    """Value and Monte-Carlo variance of every shape after one context."""
    prefixes = PairPrefixes(pair, text, asked.warp, longest)
    deep = [shape for shape in shapes if shape[1] > 1]
    found: dict[Shape, tuple[float, float]] = {}
    if deep:
        drawn = draw_paths(prefixes, drafts.random((asked.samples, max(length for _, length in deep))))
        made = sampled.stateless(prefixes, drawn, deep, asked.rollouts, coins) if asked.kind == "stateless" else \
            sampled.one_call(drawn, deep) if asked.kind == "one_call" else sampled.level(drawn, deep)
        found = dict(zip(deep, made, strict=True))
    target, draft = prefixes.laws(0)
    return [found[shape] if shape in found else (1.0 + float(optimal_acceptance(target, draft, shape[0])), 0.0)
            for shape in shapes]


def _bound(found: np.ndarray, kind: str, shape: Shape, settings: dict[str, Any]) -> PathBound:
    values, errors = found[:, 0], np.sqrt(found[:, 1])
    monte_carlo = float(np.sqrt(found[:, 1].sum())) / len(values)
    tokens = Estimate.from_samples(values) if len(values) > 1 else \
        Estimate(float(values[0]), monte_carlo, settings["samples"] if monte_carlo else None)
    return PathBound(tokens, monte_carlo, values, errors, kind, *shape, settings)


def _recorded(trace: Any, shape: Shape, kind: str, temperature: float, contexts: int | None, seed: int) -> PathBound:
    if not isinstance(trace, Trace):
        raise BadArgument("pair: None, and prompts are no trace. Fix: otspec.load_pair, or a trace with recorded rows.")
    if kind != "level" and shape[1] > 1:
        raise BadArgument(f"kind: {kind!r} needs drafted paths and rollouts of the models, a trace holds one block per "
                          f"context. Fix: path_bound({loading(trace)}, trace, {shape[0]}, {shape[1]}), or "
                          f"kind='level' on the recorded rows.")
    if trace.draft_length < shape[1] > 1:
        raise BadArgument(f"draft_length: {shape[1]}, the trace holds rows along {trace.draft_length} drafted token(s)."
                          f" Fix: {recording(trace, shape[1])}.")
    if temperature != 1.0:
        raise BadArgument(f"temperature: {temperature}, but recorded rows have the temperature they were recorded at. "
                          f"Fix: leave it out, or record at that temperature.")
    chosen = np.arange(len(trace)) if contexts is None else \
        np.array(spread(list(range(len(trace))), check_positive("contexts", contexts)))
    if shape[1] == 1:
        values = 1.0 + np.asarray(optimal_acceptance(*trace.laws(chosen), shape[0]))
        return _bound(np.stack([values, np.zeros_like(values)], axis=1), kind, shape, {"trace": trace.fingerprint})
    tokens = recorded_level(trace, chosen, *shape)
    return PathBound(tokens, tokens.stderr, None, None, kind, *shape, {"trace": trace.fingerprint, "seed": seed})


def _check_samples(samples: int, rollouts: int, paths: int) -> None:
    if check_positive("rollouts", rollouts) < 2:
        raise BadArgument("rollouts: 1, a Monte-Carlo error needs at least 2. Fix: rollouts=8.")
    least = max(4, 2 * paths)
    if check_positive("samples", samples) < least:
        raise BadArgument(f"samples: {samples} paths for num_paths={paths}, half of them fix the bound and half "
                          f"evaluate it. Fix: at least {least}, better {max(SAMPLES, 32 * paths)}.")


def _check_memory(size: int, drafted: int, kind: str) -> None:
    """Refuse laws that would not fit: of both models in float32, and rollouts about double the prefixes."""
    prefixes = 1 + drafted * (2 if kind == "stateless" else 1)
    need, free = prefixes * size * 8, free_memory("cpu")
    if free is not None and need > SHARE * free:
        raise TooLarge(f"samples: up to {prefixes} prefixes of {size} tokens need about {need / 1e9:.1f} GB, "
                       f"{free / 1e9:.1f} GB are free. Fix: fewer samples or a smaller draft_length.", need / 1e9)


__all__ = ["KINDS", "PathBound", "Shape", "path_bound", "path_bounds"]
