"""Losslessness of a bare function: drafts are sampled, or enumerated where the function returns a law."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from otspec.core.checks import check_positive
from otspec.core.schemes import DraftScheme, as_scheme
from otspec.testing.failure import CheckFailed
from otspec.testing.instances import drafter, laws

Array = Any
ALARM = 1e-6  # chance that a lossless function is refused, all instances together
EXACT = 1e-9  # sums over all lists of a few tokens


def assert_lossless(fn: Callable[..., Any], scheme: DraftScheme | int = 1, *, n: int = 20_000, seed: int = 0) -> None:
    """Check that the token a function emits has the target's law.

    Parameters
    ----------
    fn : callable
        ``fn(target, draft, tokens, rng)`` on laws ``[V]`` and drafts ``[k]`` returns the emitted token, or its law
        ``[V]`` given the drafts. What it needs of chance it takes from ``rng``, a NumPy generator.
    scheme : DraftScheme or int
        How the drafts are drawn.
    n : int
        Calls on each of about a dozen instances of five or six tokens, of a function that returns tokens. A function
        that returns laws is called once for every list of drafts, and the check is exact.
    seed : int
        Of drafts and ``rng``; the same seed gives the same answer.

    Raises
    ------
    CheckFailed
        A lossless function is refused with probability 1e-6 at most, and never where it returns laws.

    Examples
    --------
    >>> assert_lossless(lambda target, draft, tokens, rng: rng.choice(len(target), p=target), n=1000)
    >>> try:
    ...     assert_lossless(lambda target, draft, tokens, rng: tokens[0], n=1000)
    ... except CheckFailed as failure:
    ...     failure.instance
    'spread'
    """
    scheme, n = as_scheme(scheme), check_positive("n", n)
    found = {name: pair for name, pair in laws(seed).items() if scheme.num_drafts <= len(pair[0])}
    rng = np.random.default_rng(seed)
    for name, (target, draft) in found.items():
        law_of = scheme.check(drafter(scheme, draft))
        first = fn(target, law_of, scheme.lists(law_of)[0][0], rng)
        if np.ndim(first) == 1:
            _check_laws(fn, scheme, name, target, law_of, rng)
        else:
            _check_tokens(fn, scheme, name, target, law_of, rng, n, ALARM / len(found))


def _name(fn: Callable[..., Any]) -> str:
    return getattr(fn, "__name__", type(fn).__name__)


def _check_laws(fn: Callable[..., Any], scheme: DraftScheme, name: str, target: np.ndarray, draft: np.ndarray,
                rng: np.random.Generator) -> None:
    tokens, law = scheme.lists(draft)
    given = np.asarray([fn(target, draft, row, rng) for row in tokens], dtype=np.float64)
    if given.shape != (len(tokens), target.size) or not np.all(given >= -EXACT):
        raise CheckFailed(_name(fn), "lossless", name, "what is returned is no law of the emitted token")
    output = law @ given
    if np.abs(output - target).max() > EXACT:
        raise CheckFailed(_name(fn), "lossless", name, f"the output law is off by total variation "
                          f"{np.abs(output - target).sum() / 2:.4g}", target=target, draft=draft, output=output)


def _check_tokens(fn: Callable[..., Any], scheme: DraftScheme, name: str, target: np.ndarray, draft: np.ndarray,
                  rng: np.random.Generator, n: int, alarm: float) -> None:
    from scipy.stats import chi2

    lists = scheme.sample(np.broadcast_to(draft, (n, *draft.shape)), rng.random((n, scheme.num_uniforms)))
    emitted = np.asarray([fn(target, draft, row, rng) for row in lists])
    if emitted.dtype.kind not in "iu" or emitted.ndim != 1 or emitted.min() < 0 or emitted.max() >= target.size:
        raise CheckFailed(_name(fn), "lossless", name, "what is emitted is no token of the vocabulary")
    counts = np.bincount(emitted, minlength=target.size)
    numbers = {"target": target, "draft": draft, "output": counts / n}
    if counts[target == 0].any():
        raise CheckFailed(_name(fn), "lossless", name, "tokens are emitted that the target never emits", **numbers)
    # tokens that are expected less than five times are counted together, where the approximation holds
    rare = n * target < 5
    expected = np.append(n * target[~rare], n * target[rare].sum())
    seen = np.append(counts[~rare], counts[rare].sum())
    kept = expected > 0
    statistic = float(((seen - expected)[kept] ** 2 / expected[kept]).sum())
    chance = float(chi2.sf(statistic, max(1, int(kept.sum()) - 1)))
    if chance < alarm and not np.array_equal(seen[kept], expected[kept]):
        raise CheckFailed(_name(fn), "lossless", name, f"{n} tokens do not have the target's law: p-value "
                          f"{chance:.2g}, alarm below {alarm:.2g}", **numbers)
