"""Drafted blocks as a length policy sees them, and what a rule would keep of them.

A block is a chain of L tokens behind a context. Of a token the drafter knows its *confidence*, the mass it had in its
draft row; of a draft row, its largest mass (*top*) and its entropy. What the rule keeps stands beside: ``kept``, the
chance ``Pr[accepted >= i | x^i]``, and ``passed``, the same given ``x^(i-1)`` only.

Fact that makes one recording enough for every length: for token-wise and block verification ``Pr[accepted >= i | x^i]``
does not depend on where the block ends behind i. So a block that stops after N tokens keeps ``sum_(i <= N) passed_i``
on average, whatever decided N, as long as "N >= i" was known before token i was drawn. [block]
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.core.estimate import Estimate

Array = Any
FEATURES = ("confidence", "top", "entropy")


@dataclass(frozen=True)
class Seen:
    """What the drafter of each text has seen after ``drafted`` tokens.

    Attributes
    ----------
    drafted : int
        Tokens drafted so far, the same for all texts.
    confidence : [n drafted]
        Draft probability of each of them.
    top, entropy : [n rows]
        Largest mass and entropy (nats) of the draft rows read so far: ``drafted`` rows, or one more where the policy
        `looks_ahead`.
    chances : [n drafted] or None
        Chance ``min(1, target/draft)`` of each token, which only a policy with `needs_target` reads.
    """

    drafted: int
    confidence: np.ndarray
    top: np.ndarray
    entropy: np.ndarray
    chances: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Blocks:
    """Drafted blocks of one length, with what a rule keeps of them; made by `otspec.drafted_blocks`.

    Attributes
    ----------
    kept, passed : [n L]
        ``Pr[accepted >= i | x^i]`` and ``Pr[accepted >= i | x^(i-1)]``.
    chances : [n L]
        ``min(1, target/draft)`` at each drafted token.
    confidence, top, entropy : [n L]
        See `Seen`.
    weights : [n] or None
        Probability of each block where all of them are listed; None for a sample.
    rule : str
    """

    kept: np.ndarray
    passed: np.ndarray
    chances: np.ndarray
    confidence: np.ndarray
    top: np.ndarray
    entropy: np.ndarray
    weights: np.ndarray | None = None
    rule: str = "token_wise"

    def __post_init__(self) -> None:
        """Compare the shapes."""
        arrays = {field.name: np.asarray(getattr(self, field.name), dtype=np.float64) for field in fields(self)
                  if field.name not in ("weights", "rule")}
        shape = arrays["kept"].shape
        if len(shape) != 2 or 0 in shape or any(array.shape != shape for array in arrays.values()):
            raise ShapeMismatch(f"blocks: shapes {({name: a.shape for name, a in arrays.items()})}. "
                                f"Fix: [n L] each, with at least one block of one token.")
        for name, array in arrays.items():
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        """Return the number of blocks."""
        return len(self.kept)

    @property
    def length(self) -> int:
        """Tokens of a block, L."""
        return self.kept.shape[1]

    def part(self, index: Any) -> Blocks:
        """Some of the blocks of a sample, by slice or index array.

        Raises
        ------
        BadArgument
            The blocks are an enumeration, whose parts are no sample of anything.
        """
        if self.weights is not None:
            raise BadArgument("blocks: an enumeration with weights has no parts. Fix: use all of it.")
        return replace(self, **{field.name: getattr(self, field.name)[index] for field in fields(self)
                                if field.name not in ("weights", "rule")})

    def halves(self) -> tuple[Blocks, Blocks]:
        """Every other block, and the rest: to fit a policy on one and judge it on the other."""
        return self.part(slice(None, None, 2)), self.part(slice(1, None, 2))

    def seen(self, drafted: int, *, ahead: bool) -> Seen:
        """What drafters saw after ``drafted`` tokens, ``ahead``: with the row of the next token."""
        rows = slice(0, min(self.length, drafted + ahead))
        return Seen(drafted, self.confidence[:, :drafted], self.top[:, rows], self.entropy[:, rows],
                    self.chances[:, :drafted])

    def mean(self, values: Array) -> Estimate:
        """Mean of one number per block, ``[n]``: exact for an enumeration."""
        if self.weights is not None:
            return Estimate(float(self.weights @ values))
        return Estimate.from_samples(values)

    def ratio(self, top: Array, bottom: Array) -> Estimate:
        """Ratio of two means ``[n]``: exact for an enumeration."""
        if self.weights is not None:
            return Estimate(float(self.weights @ top) / float(self.weights @ bottom))
        return Estimate.from_ratio(top, bottom)

    @property
    def profile(self) -> np.ndarray:
        """Mean of ``passed``, ``[L]``: the chance that position i is reached and kept in blocks of length L."""
        return self.passed.mean(axis=0) if self.weights is None else self.weights @ self.passed

    def __repr__(self) -> str:
        """Size and rule."""
        return f"Blocks({len(self)} blocks of {self.length}, {self.rule})"


def features(draft_rows: np.ndarray, tokens: np.ndarray) -> dict[str, np.ndarray]:
    """Confidence, top and entropy, ``[*batch]`` each, of draft rows ``[*batch V]`` and the tokens drawn from them.

    Examples
    --------
    >>> features(np.array([[0.5, 0.5]]), np.array([1]))["entropy"].round(4)
    array([0.6931])
    """
    logs = np.log(draft_rows, where=draft_rows > 0, out=np.zeros_like(draft_rows))
    confidence = np.take_along_axis(draft_rows, tokens[..., None], axis=-1)[..., 0]
    return {"confidence": confidence, "top": draft_rows.max(axis=-1),
            "entropy": np.maximum(-np.einsum("...v,...v->...", draft_rows, logs), 0.0)}
