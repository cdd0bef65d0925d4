"""Losslessness of a bare function, as a test asserts it: the audit, with a verdict that raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from otspec.auditing.run import audit
from otspec.auditing.subjects import Subject
from otspec.core.checks import check_positive
from otspec.core.schemes import DraftScheme
from otspec.testing.failure import CheckFailed

ALARM = 1e-6  # chance that a lossless function is refused, all instances together


def assert_lossless(fn: Callable[..., Any] | Subject, scheme: DraftScheme | int | None = None, *,
                    kind: str | None = "multi", draft_length: int = 2, n: int = 20_000, tv: float = 0.05,
                    seconds: float = 600.0, seed: int = 0) -> None:
    """Check that what a function emits has the target's law.

    Parameters
    ----------
    fn : callable or Subject
        By default ``fn(target, draft, tokens, rng)`` on laws ``[V]`` and drafts ``[k]``, which returns the emitted
        token, or its law ``[V]`` given the drafts; the check is exact where laws are returned. Other kinds and shapes
        as in `otspec.audit`. What it needs of chance it takes from ``rng``.
    scheme : DraftScheme or int, optional
        How the drafts are drawn; default 1.
    kind : {"multi", "token", "block", "tree"} or None
        None: an adapter that knows.
    draft_length : int
        Of blocks and trees.
    n : int
        At most so many calls on each instance.
    tv : float
        Stop sooner where a deviation of this total variation would have been found with probability .99.
    seconds : float
        At most so long.
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
    ...     failure.claim
    'lossless'
    """
    kind = fn.kind if isinstance(fn, Subject) else kind
    report = audit(fn, kind=kind, scheme=1 if scheme is None else scheme, draft_length=draft_length, tv=tv,
                   alarm=ALARM, seconds=seconds, calls=check_positive("n", n), large=False, explain=1.0, seed=seed,
                   progress=False)
    if report.passed is False:
        numbers = {"distance": report.tv, "p_value": report.p_value, "mistake": report.mistake,
                   "counterexample": f"\n{report.counterexample}"}
        raise CheckFailed(report.subject, "lossless", str(report.family), f"{report.reason} p-value "
                          f"{report.p_value:.2g}, alarm below {ALARM:g}", **numbers)
