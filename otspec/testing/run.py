"""The contract of a rule, on every scheme that it is proved for."""

from __future__ import annotations

from typing import Any

from otspec.core.errors import BadArgument, SchemeMismatch
from otspec.core.schemes import DraftScheme, as_scheme
from otspec.core.sequence import SequenceVerifier
from otspec.core.verifier import TokenVerifier
from otspec.testing.failure import CheckReport, Checks
from otspec.testing.instances import SCHEMES
from otspec.testing.sequence import check_sequence
from otspec.testing.token import check_token
from otspec.verifiers import CLAIMS, REGISTRY, list_verifiers, verifier


def check_verifier(rule: Any, scheme: DraftScheme | int | None = None, *, claims: str | None = None,
                   seed: int = 0) -> CheckReport:
    """Check that a rule is what it claims to be.

    Parameters
    ----------
    rule : str, TokenVerifier, BlockVerifier or TreeVerifier
        A registered name, or an object.
    scheme : DraftScheme or int, optional
        Draft scheme; by default, of a name, each of a dozen that it is proved for, and of an object its own.
    claims : str, optional
        Claims to check, such as ``"lossless reflexive"``; by default those of the registry, or of an object, for
        which the registry has no line, ``"lossless"``.
    seed : int
        Of random instances and of draws. The checks are the same for the same seed.

    Returns
    -------
    CheckReport
        What was checked, and on how many instances.

    Raises
    ------
    CheckFailed
        Naming the claim that fails, the instance, and the numbers found there.
    SchemeMismatch, BadArgument, UnknownName

    Examples
    --------
    >>> check_verifier("naive", 1).passed["WithReplacement(k=1)", "lossless"]
    14
    """
    words = frozenset((claims or "lossless").split())
    if not words <= set(CLAIMS):
        raise BadArgument(f"claims: {', '.join(sorted(words - set(CLAIMS)))}. Fix: some of {', '.join(CLAIMS)}.")
    if isinstance(rule, str):
        words = REGISTRY[rule].claims if claims is None else words
        wanted = SCHEMES if scheme is None else (as_scheme(scheme),)
        bound = [verifier(rule, one) for one in wanted if scheme is not None or rule in list_verifiers(one)]
        if not bound:
            raise SchemeMismatch(f"scheme: {rule!r} is proved for none of the usual ones. Fix: name one.")
    else:
        bound = [verifier(rule, scheme)]
    counts: dict[tuple[str, str], int] = {}
    for one in bound:
        checks = Checks(one)
        if isinstance(one, TokenVerifier):
            check_token(one, words, checks, seed)
        elif isinstance(one, SequenceVerifier):
            check_sequence(one, words, checks, seed)
        else:
            raise BadArgument(f"rule: {one!r} is no TokenVerifier, BlockVerifier or TreeVerifier. Fix: subclass one, "
                              f"or assert_lossless for a bare function.")
        counts |= checks.counts
    return CheckReport(rule if isinstance(rule, str) else type(rule).__name__, counts)
