"""Token rules walked down a tree, by name: see `otspec.core.walk` for the walk.

K-SEQ on surviving paths [spectr]; recursive rejection, with independent copies [specinfer] or without replacement
[sequoia]; and the optimal rule, the best that any walk can do. Theorem: each is lossless, because the tokens follow the
target's law one by one.
"""

from __future__ import annotations

from typing import ClassVar

from otspec.core.schemes import DraftScheme, WithoutReplacement, WithReplacement, as_scheme
from otspec.core.walk import TokenWalk
from otspec.verifiers.token.k_seq import KSeq
from otspec.verifiers.token.recursive import Recursive
from otspec.verifiers.token.recursive_wor import RecursiveWithoutReplacement


class SpecTrPaths(TokenWalk):
    """K-SEQ with the surviving count on K paths. [spectr]."""

    schemes: ClassVar[tuple[type, ...]] = (WithReplacement,)

    def __init__(self, scheme: DraftScheme | int = 1) -> None:
        super().__init__(KSeq(scheme))


class RecursiveWalk(TokenWalk):
    """Recursive rejection at each node, copies with replacement [specinfer] or without [sequoia]."""

    adaptive: ClassVar[tuple[str, ...]] = ("without_replacement",)

    def __init__(self, scheme: DraftScheme | int = 1) -> None:
        scheme = as_scheme(scheme)
        super().__init__((RecursiveWithoutReplacement if isinstance(scheme, WithoutReplacement) else Recursive)(scheme))


class OptimalWalk(TokenWalk):
    """The optimal token rule at each node, copies with replacement or without. [mdsd]."""

    order_matters: ClassVar[bool] = False

    def __init__(self, scheme: DraftScheme | int = 1) -> None:
        from otspec.verifiers.token.optimal import Optimal  # compiles its scans with numba: loaded when first made

        super().__init__(Optimal(scheme))
