"""The audit of a verification function: from a function to a verdict.

* A function whose coins are supplied, or that returns the law of its token, is judged exactly on every instance whose
  drafts can be enumerated.
* Any other is sampled on all instances, in rounds that double, until the evidence against it exceeds ``1/alarm``
  (failed), or every instance has been asked so often that a deviation of ``tv`` would have raised the alarm with
  probability ``power`` (passed), or the time is up (undecided).

A passed audit is no proof: it says how small a deviation would have been found. A failed one is wrong with probability
``alarm`` at most, however often one looks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from otspec.auditing.families import KINDS, build_cases
from otspec.auditing.judge import Judge
from otspec.auditing.report import AuditReport
from otspec.auditing.subjects import Function, Subject
from otspec.auditing.verdict import verdict
from otspec.core.checks import check_number, check_positive, check_seed
from otspec.core.errors import BadArgument, UnknownName
from otspec.core.names import did_you_mean
from otspec.core.schemes import DraftScheme, as_scheme

TOLERANCE = {"float64": 1e-7, "float32": 2e-5, "bfloat16": 2e-5}


def audit(fn: Callable[..., Any] | Subject, *, kind: str | None = None, scheme: DraftScheme | int | None = None,
          draft_length: int = 2, inputs: str = "probabilities", library: str = "numpy", dtype: str = "float64",
          coins: int | str = "generator", batch_size: int | None = None, tv: float = 0.02, alarm: float = 1e-3,
          power: float = 0.99, seconds: float = 60.0, calls: int | None = None, large: bool = True,
          tolerance: float | None = None, explain: float = 5.0, seed: int = 0, progress: bool = True) -> AuditReport:
    """Judge whether a verification function is lossless.

    Parameters
    ----------
    fn : callable or Subject
        ``token``: ``fn(target, draft, token, rng) -> token``; ``multi``: ``fn(target, draft, tokens, rng) -> token``;
        ``block``: ``fn(target_rows, draft_rows, tokens, rng) -> list of tokens``; ``tree``:
        ``fn(tree, target_rows, draft_rows, rng) -> list of tokens``. For other shapes see the adapters of
        `otspec.auditing`. It is called many times, in this process.
    kind : {"token", "multi", "block", "tree"}
        What it verifies; an adapter knows.
    scheme : DraftScheme or int, optional
        How drafts are drawn: of one position (default 1, and 2 for ``multi`` and ``tree``), or at each node of a tree.
    draft_length : int
        Drafted tokens of a block, or of each path of a tree.
    inputs, library, dtype, coins, batch_size
        How ``fn`` wants to be asked, see `otspec.auditing.Function`. With ``coins`` a number, so many uniforms are
        supplied as last argument and the audit is exact.
    tv : float
        Deviation (total variation on an instance) that must be found with probability ``power``.
    alarm : float
        Largest probability to fail a lossless function.
    power : float
    seconds : float
        Time for judging. A function that has not come back ten seconds later is stopped, where the system can do so
        (`otspec.auditing.watch`).
    calls : int, optional
        At most so many on each instance.
    large : bool
        Whether a vocabulary of 151,936 tokens is among the instances (of one position).
    tolerance : float, optional
        Distance that counts as zero where laws are exact; by default 1e-7, and 2e-5 below float64.
    explain : float
        Seconds for measuring a failure and shrinking its counterexample.
    seed : int
    progress : bool
        Show a progress bar on a terminal.

    Returns
    -------
    AuditReport
        ``passed`` is True, False, or None where the time or the calls were too few.

    Raises
    ------
    BadArgument, UnknownName, SchemeMismatch
        Also where the function cannot be called at all.

    Examples
    --------
    >>> def right(target, draft, token, rng):
    ...     if rng.random() * draft[token] <= target[token]:
    ...         return token
    ...     left = np.maximum(target - draft, 0)
    ...     return rng.choice(len(left), p=left / left.sum())
    >>> def wrong(target, draft, token, rng):
    ...     return token if rng.random() * draft[token] <= target[token] else rng.choice(len(target), p=target)
    >>> ot.audit(right, kind="token", tv=0.1, large=False).passed
    True
    >>> report = ot.audit(wrong, kind="token", tv=0.1, large=False)
    >>> report.passed, report.mistake
    (False, 'redraw_from_target')
    """
    subject = fn if isinstance(fn, Subject) else _function(fn, kind, inputs, library, dtype, coins, batch_size)
    if kind is not None and kind != subject.kind:
        raise BadArgument(f"kind: {kind!r}, but {subject.name} is a {subject.kind} rule. Fix: leave kind out.")
    check_seed(seed)
    for label, value in (("tv", tv), ("alarm", alarm), ("power", power)):
        if not 0 < check_number(label, value, f"{label} in (0, 1)") < 1:
            raise BadArgument(f"{label}: {value} is outside (0, 1). Fix: {label}={0.99 if label == 'power' else 0.01}.")
    if check_number("seconds", seconds, "a positive time") <= 0:
        raise BadArgument(f"seconds: {seconds} is no time. Fix: seconds=60.")
    usual = subject.scheme or (2 if subject.kind in ("multi", "tree") else 1)
    plan = as_scheme(usual if scheme is None else scheme)
    if subject.kind == "token" and plan.num_drafts != 1:
        raise BadArgument(f"scheme: {plan} draws {plan.num_drafts} drafts, a token rule takes one. Fix: kind='multi'.")
    cases = build_cases(subject.kind, plan, check_positive("draft_length", draft_length), subject.show, seed,
                        given=subject.given, ragged=subject.ragged, large=large)
    judge = Judge(subject, plan, cases, tv=tv, alarm=alarm, power=power, seconds=seconds,
                  calls=None if calls is None else check_positive("calls", calls),
                  tolerance=TOLERANCE[subject.dtype] if tolerance is None else tolerance, explain=float(explain),
                  seed=seed, progress=progress)
    try:
        return verdict(judge)
    finally:
        subject.close()


def _function(fn: Any, kind: str | None, inputs: str, library: str, dtype: str, coins: int | str,
              batch_size: int | None) -> Function:
    if kind not in KINDS:
        raise UnknownName(f"kind: {kind!r} is none of {', '.join(KINDS)}. Fix: say what the function verifies."
                          f"{did_you_mean(kind, KINDS)}")
    return Function(fn, kind, inputs=inputs, library=library, dtype=dtype, coins=coins, batch_size=batch_size)
