"""Laws of a model's logits: checked at once where the host need not wait, at the end of the round where it must.

Laws are computed in float64. Kept in float32 they take half the memory: every mass is then off by at most 2**-24 of
itself, rules read the masses in float64 again, and drafts are drawn from the very law that the rule is shown. So a rule
that is lossless emits each token with a law within 2**-22 of the target's in total variation (the rounded masses sum to
one within 2**-24, and no more than four such sums meet in one verdict).
"""

from __future__ import annotations

from typing import Any

from otspec.core.checks import SUM_TOLERANCE
from otspec.core.errors import BadArgument, NotALaw
from otspec.core.laws import law_from_checked_logits, law_from_logits
from otspec.decode.asking import waits_for_nobody

CHUNK = 2**22  # entries that are computed in float64 at a time where the laws are kept in float32


class NoLaw(NotALaw):
    """Logits of a model that define no law.

    Attributes
    ----------
    row : int
        Of the batch.
    which, says, fix : str
        The model, what its logits are, and what to do.
    """

    row: int
    which: str
    says: str
    fix: str

    @classmethod
    def of_row(cls, which: str, row: int, *, banned: bool) -> NoLaw:
        """Error of a row whose logits are -inf everywhere (``banned``), or hold NaN or +inf."""
        says = "are -inf everywhere, so no token can be emitted" if banned else "hold NaN or +inf"
        fix = "unban at least one token" if banned else "check the model's output (half-precision overflow?)"
        error = cls(f"{which} model: logits of row {row} of the batch {says}. Fix: {fix}.")
        error.row, error.which, error.says, error.fix = row, which, says, fix
        return error

    @classmethod
    def found(cls, which: str, logits: Any) -> NoLaw:
        """Error of the first row of ``logits [B n V]`` with any that define no law."""
        peak = logits.amax(dim=-1)  # NaN and +inf are maxima too
        row = int((~peak.isfinite()).any(dim=1).int().argmax())
        return cls.of_row(which, row, banned=bool((peak[row][~peak[row].isfinite()] < 0).any()))

    def of(self, place: str, kept: str) -> NotALaw:
        """Error that names the place, and what was kept."""
        return NotALaw(f"{self.which} model: logits of {place} {self.says}; {kept}. Fix: {self.fix}.")


class ModelLaws:
    """Laws of one model's logits.

    Parameters
    ----------
    which : str
        Name of the model, for messages.
    warp : dict
        Arguments of ``law_from_logits``.
    dtype : {"float64", "float32"}
        That the laws are kept in.
    at_once : bool
        Check also logits on a device at once, for callers that have no end of a round.

    Raises
    ------
    BadArgument
        Another dtype.
    """

    def __init__(self, which: str, warp: dict[str, Any], dtype: str = "float64", *, at_once: bool = False) -> None:
        self.which, self._warp, self._dtype, self._at_once = which, warp, check_law_dtype(dtype), at_once
        self._faults: Any = None

    def __call__(self, logits: Any) -> Any:
        """Laws ``[B n V]`` of logits ``[B n V]``.

        Raises
        ------
        NoLaw
            The logits define none; on a device the round's `check` says so.
        """
        if not (self._at_once or waits_for_nobody(logits)):
            logits = self._without_faults(logits)
            return self._kept(logits, law_from_checked_logits)
        try:
            return self._kept(logits, law_from_logits)
        except NotALaw:
            raise NoLaw.found(self.which, logits) from None

    def faults(self, like: Any) -> Any:
        """What has been found since the last call ``[B]``: 0 nothing, 1 NaN or +inf, 2 only -inf; ``like [B]``."""
        found, self._faults = self._faults, None
        return like.new_zeros(like.shape) if found is None else found

    def check(self, faults: Any) -> None:
        """Raise for ``faults [B]``, on the host.

        Raises
        ------
        NoLaw
        """
        if faults.any():
            row = int((faults > 0).argmax())
            raise NoLaw.of_row(self.which, row, banned=bool(faults[row] == 2))

    def _without_faults(self, logits: Any) -> Any:
        """Replace logits that define no law by equal ones, and remember their rows, without waiting for the device."""
        import torch

        peak = logits.amax(dim=-1)
        fault = torch.where(peak.isneginf(), 2, (~peak.isfinite()).long()).amax(dim=1)
        self._faults = fault if self._faults is None else torch.maximum(self._faults, fault)
        return torch.where(peak.isfinite()[..., None], logits, logits.new_zeros(()))

    def _kept(self, logits: Any, law: Any) -> Any:
        import torch

        flat, shape = logits.flatten(0, 1), tuple(logits.shape[:2])
        if self._dtype == "float64":
            return law(flat, **self._warp).unflatten(0, shape)
        kept = torch.empty(flat.shape, dtype=torch.float32, device=flat.device)
        step = max(1, CHUNK // flat.shape[1])
        for start in range(0, len(flat), step):
            kept[start : start + step] = law(flat[start : start + step], **self._warp)
        return kept.unflatten(0, shape)


def check_law_dtype(dtype: Any) -> str:
    """Return the name of a dtype that laws are kept in.

    Raises
    ------
    BadArgument

    Examples
    --------
    >>> check_law_dtype("float32")
    'float32'
    """
    if not isinstance(dtype, str) or dtype not in SUM_TOLERANCE:
        raise BadArgument(f"law_dtype: {dtype!r} is none of {', '.join(map(repr, SUM_TOLERANCE))}. Fix: 'float64', or "
                          f"'float32' for half the memory.")
    return dtype
