"""Search for the instance on which a rule falls furthest below the optimum of its drafts.

Definitions. The *ratio* of an instance is the rule's exact acceptance over the optimum; a worst case minimises it. Laws
are written as softmax of free coordinates, so every point of the search is an instance.

Facts used: the optimum has a kink where a cut starts to bind, and worst cases like to sit on kinks, where gradients and
fixed coordinate steps stall. Polling along fresh random directions does not, so each start walks by such polls, whose
step doubles after a success and halves after a failure. The end is polished by Nelder-Mead, whose simplex stretches
along a kink, and snapped to small fractions, which may land on it exactly. The result is evidence by itself: acceptance
is exact and the optimum comes with its cut.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from otspec.analysis.exact import acceptance, token_rule
from otspec.core.bound import AcceptanceBound
from otspec.core.checks import check_positive, check_seed
from otspec.core.drafters import Joint
from otspec.core.errors import BadArgument, SchemeMismatch
from otspec.core.schemes import DraftScheme, WithReplacement, as_scheme
from otspec.core.verifier import TokenVerifier
from otspec.transport.bounds import acceptance_bound, optimal_acceptance

GRID = 25  # masses per axis of the first look at the binary family
SMALLEST_STEP = 1e-5  # of a walk, in logits; Nelder-Mead goes on from there
LARGEST_LOGIT = 25.0  # masses down to 1e-11; beyond it lies a face of the simplex, which snapping reaches
DENOMINATOR = 24  # of the fractions that laws are snapped to
POLLS = 250  # of one walk; an infimum on a face of the simplex is approached for ever
PROGRESS = 1e-13  # smaller improvements of a ratio are rounding
PROMISE = 10.0  # a walk that lags the best ratio by this many steps is given up: the ratio moves less than the logits


@dataclass(frozen=True)
class WorstCase:
    """The worst instance found.

    Attributes
    ----------
    ratio : float
        ``acceptance / optimum.upper``: at most the true ratio, and equal to it up to the gap of ``optimum``.
    target : [V]
    draft : [V]
        ``[k V]`` for `Independent`.
    acceptance : float
        Exact, of the rule.
    optimum : AcceptanceBound
    evaluations : int
        Instances evaluated.
    history : list of (int, float)
        Evaluations so far and the best ratio, at every improvement.
    stopped : str
        ``finished``, ``time_limit`` or ``interrupted``.
    """

    ratio: float
    target: np.ndarray
    draft: np.ndarray
    acceptance: float
    optimum: AcceptanceBound
    evaluations: int
    history: list[tuple[int, float]]
    stopped: str

    def __str__(self) -> str:
        """Ratio, instance and effort in one line."""
        target, draft = (np.array2string(law, precision=6, separator=", ") for law in (self.target, self.draft))
        return (f"ratio {self.ratio:.9f} = {self.acceptance:.9f} / {float(self.optimum.upper):.9f} at target {target}, "
                f"draft {draft} ({self.evaluations} instances, {self.stopped})")


def worst_case(rule: str | TokenVerifier, k: int, *, scheme: DraftScheme | None = None,
               vocabulary: int | Iterable[int] = (2, 3), restarts: int = 6, seed: int = 0,
               least_optimum: float = 1e-3, time_limit: float | None = None,
               progress: Callable[[int, float], None] | None = None) -> WorstCase:
    """Search for the instance that minimises a rule's acceptance over the optimum.

    Parameters
    ----------
    rule : str or TokenVerifier
        A rule without closed form is enumerated, so keep the vocabulary and k small for it.
    k : int
        Number of drafts.
    scheme : DraftScheme, optional
        The default is the scheme of a rule object, else `WithReplacement`.
    vocabulary : int or iterable of int
        Numbers of tokens with mass, searched one after the other; each starts from the worst of the one before. Laws
        are padded with tokens of zero mass up to k tokens.
    restarts : int
        Walks for each vocabulary.
    seed : int
    least_optimum : float
        Instances whose optimum is smaller are passed over: there a rule may lose everything and miss next to nothing.
    time_limit : float, optional
        Seconds after which the best instance so far is returned.
    progress : callable, optional
        Called after every poll with the number of evaluations and the best ratio.

    Returns
    -------
    WorstCase
        Ctrl-C ends the search and returns the best instance so far.

    Raises
    ------
    BadArgument, SchemeMismatch, UnknownName, TooLarge

    Examples
    --------
    >>> worst = worst_case("nss", 1, vocabulary=2, restarts=1)
    >>> round(worst.ratio, 9), worst.target, worst.draft
    (0.5, array([0.5, 0.5]), array([0.5, 0.5]))
    """
    given = vocabulary if isinstance(vocabulary, Iterable) else [vocabulary]
    sizes = sorted({check_positive("vocabulary", size) for size in given})
    if not sizes or sizes[0] < 2:
        raise BadArgument(f"vocabulary: {vocabulary!r} holds no size of at least 2, where laws can differ. Fix: 2.")
    if not 0 < least_optimum < 1:
        raise BadArgument(f"least_optimum: {least_optimum!r} is outside (0, 1). Fix: a probability such as 1e-3.")
    rng = np.random.default_rng(check_seed(seed))
    search = _Search(_bound_rule(rule, k, scheme), rng, least_optimum, time_limit, progress)
    restarts = check_positive("restarts", restarts)
    try:
        for size in sizes:
            search.explore(size, restarts)
    except _Halt as halt:
        return search.result(str(halt))
    except KeyboardInterrupt:
        if search.best is None:
            raise
        return search.result("interrupted")
    return search.result("finished")


def _bound_rule(rule: str | TokenVerifier, k: int, scheme: DraftScheme | None) -> TokenVerifier:
    if scheme is None:
        scheme = WithReplacement(k) if isinstance(rule, str) else rule.scheme
    scheme = as_scheme(scheme)
    if scheme.num_drafts != check_positive("k", k):
        raise SchemeMismatch(f"k: {k}, but {scheme} has {scheme.num_drafts} drafts. Fix: k={scheme.num_drafts}.")
    if isinstance(scheme, Joint):
        raise BadArgument("scheme: the law of Joint drafts is fixed, so there is no drafter to search over. "
                          "Fix: a scheme with a draft law, such as WithReplacement(k).")
    return token_rule(rule, scheme)


class _Halt(Exception):
    """The time is up."""


@dataclass
class _Search:
    """State of one search. An instance is an array ``[1 + drafters, V]`` of laws, the target first."""

    rule: TokenVerifier
    rng: np.random.Generator
    least_optimum: float
    time_limit: float | None
    progress: Callable[[int, float], None] | None
    best: np.ndarray | None = None
    ratio: float = np.inf
    evaluations: int = 0
    history: list[tuple[int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start = time.monotonic()
        scheme = self.rule.scheme
        self.laws = 1 + (scheme.num_drafts if scheme.draft_axes else 1)

    def ratios(self, instances: np.ndarray) -> np.ndarray:
        """Ratio of each instance ``[n laws V]``; remembers the best."""
        target, draft = self._padded(instances)
        optimum = np.asarray(optimal_acceptance(target, draft, self.rule.scheme))
        counts = optimum >= self.least_optimum
        values = np.full(len(instances), np.inf)
        if counts.any():
            values[counts] = np.asarray(acceptance(self.rule, target[counts], draft[counts], self.rule.scheme)) / \
                optimum[counts]
        self.evaluations += len(instances)
        first = int(np.argmin(values))
        if values[first] < self.ratio:
            self.best, self.ratio = instances[first], float(values[first])
            self.history.append((self.evaluations, self.ratio))
        if self.progress is not None:
            self.progress(self.evaluations, self.ratio)
        if self.time_limit is not None and self.best is not None and time.monotonic() - self.start > self.time_limit:
            raise _Halt("time_limit")
        return values

    def _padded(self, instances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        missing = max(0, self.rule.scheme.num_drafts - instances.shape[-1])
        laws = np.pad(instances, [(0, 0)] * (instances.ndim - 1) + [(0, missing)])
        return laws[..., 0, :], laws[..., 1:, :] if self.rule.scheme.draft_axes else laws[..., 1, :]

    def explore(self, size: int, restarts: int) -> None:
        """Search all laws of ``size`` tokens."""
        for start in self._starts(size, restarts):
            self._snap(self._walk(start))
        for width in (0.1, 0.001):
            self._polish(width)
        assert self.best is not None
        self._snap(self.best)

    def _starts(self, size: int, restarts: int) -> Iterator[np.ndarray]:
        """Instances to walk from: the worst so far and the worst of a grid or of a random sample, well apart."""
        if self.best is not None:
            yield np.pad(self.best, [(0, 0), (0, size - self.best.shape[-1])])
        if size == 2 and self.laws == 2:
            masses = (np.arange(GRID) + 0.5) / GRID
            pairs = np.stack(np.meshgrid(masses, masses, indexing="ij"), axis=-1).reshape(-1, 2)
            pool = np.stack([pairs, 1 - pairs], axis=-1)
        else:
            concentration = 10 ** self.rng.uniform(-1, 1, GRID)
            pool = np.concatenate([self.rng.dirichlet(np.full(size, c), (16, self.laws)) for c in concentration])
        values = self.ratios(pool)
        for _ in range(restarts):
            if not np.isfinite(values).any():
                return
            chosen = pool[int(np.argmin(values))]
            near = np.abs(pool - chosen).sum(axis=(1, 2)) < 0.25
            values = np.where(near, np.inf, values)
            yield chosen

    def _walk(self, start: np.ndarray) -> np.ndarray:
        """Poll around a point in logits until the step is tiny; return the instance reached."""
        point = np.log(np.maximum(start, np.exp(-LARGEST_LOGIT)))
        value = float(self.ratios(_softmax(point)[None])[0])
        step, free = 0.5, point.size - self.laws
        for _ in range(POLLS):
            if step <= SMALLEST_STEP or value - self.ratio >= PROMISE * step:
                break
            directions = self.rng.standard_normal((4 * free + 4, *point.shape))
            directions /= np.sqrt((directions**2).mean(axis=(1, 2), keepdims=True))
            polled = np.clip(point + step * np.concatenate([directions, -directions]), -LARGEST_LOGIT, LARGEST_LOGIT)
            values = self.ratios(_softmax(polled))
            first = int(np.argmin(values))
            if values[first] < value - PROGRESS:
                moved = polled[first]
                point, value = moved - moved.max(axis=-1, keepdims=True), float(values[first])
                step = min(2 * step, 2.0)
            else:
                step /= 2
        return _softmax(point)

    def _polish(self, width: float) -> None:
        """Nelder-Mead from the best instance: its simplex stretches along a kink, where polls all but stall."""
        from scipy.optimize import minimize  # takes longer to import than the whole package

        assert self.best is not None
        point = np.log(np.maximum(self.best, np.exp(-LARGEST_LOGIT)))
        free = np.arange(point.shape[-1]) != point.argmax(axis=-1)[:, None]

        def ratio(logits: np.ndarray) -> float:
            moved = point.copy()
            moved[free] = np.clip(logits, -LARGEST_LOGIT, LARGEST_LOGIT)
            return float(self.ratios(_softmax(moved)[None])[0])

        simplex = point[free] + width * np.concatenate([np.zeros((1, free.sum())), np.eye(free.sum())])
        limits = {"xatol": 1e-9, "fatol": PROGRESS, "maxfev": 60 * (len(simplex) + 2)}
        minimize(ratio, point[free], method="Nelder-Mead", options={"initial_simplex": simplex, **limits})

    def _snap(self, instance: np.ndarray) -> None:
        """Try the nearest laws with small denominators, each law with its own."""
        grids = [_fractions(law) for law in instance]
        pairs = [(i, j) for i in range(len(grids[0])) for j in range(len(grids[1]))]
        # all drafters of one instance share a denominator
        self.ratios(np.stack([np.stack([grids[0][i], *(grid[j] for grid in grids[1:])]) for i, j in pairs]))

    def result(self, stopped: str) -> WorstCase:
        """Evaluate the best instance once more, with its certificate."""
        if self.best is None:
            raise BadArgument(f"least_optimum: no instance reached {self.least_optimum}. Fix: a smaller one.")
        target, draft = self._padded(self.best)
        bound = acceptance_bound(target, draft, self.rule.scheme)
        accepted = float(acceptance(self.rule, target, draft, self.rule.scheme))
        return WorstCase(accepted / float(bound.upper), target, draft, accepted, bound, self.evaluations,
                         self.history, stopped)


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def _fractions(law: np.ndarray) -> np.ndarray:
    """Laws ``[n V]`` nearest to ``law`` with denominators 1 .. 24, by largest remainders."""
    found = []
    for denominator in range(1, DENOMINATOR + 1):
        parts = np.floor(denominator * law)
        missing = denominator - int(parts.sum())
        parts[np.argsort(-(denominator * law - parts), kind="stable")[:missing]] += 1
        found.append(parts / denominator)
    return np.unique(found, axis=0)
