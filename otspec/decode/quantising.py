"""A draft made from the target itself: the same model with its weights rounded to a few bits.

Every group of consecutive weights along the last axis of a matrix is put on a grid of `2^bits` equally spaced numbers
from its smallest to its largest weight, the usual *min-max* rounding to nearest. Vectors (norms, biases) stay as they
are; a matrix shared by two layers stays shared.

This is a draft for study, not for speed: the rounded weights are stored and multiplied in the target's own precision,
so a draft step costs as much time and memory as one of the target. What it shows is how far a draft of that many bits
would be accepted. The target's law is untouched by it, as by any draft.
"""

from __future__ import annotations

import copy
import re
from typing import Any, NamedTuple

from otspec.core.errors import BadArgument

PREFIXES = ("quantised:", "quantized:")
GROUP = 32
FEWEST, MOST = 2, 8


class Rounding(NamedTuple):
    """Bits of a weight, and weights that share a grid."""

    bits: int
    group: int


def rounding(spec: str) -> Rounding:
    """Return what a specification asks for.

    Parameters
    ----------
    spec : str
        ``"quantised:4"``, or ``"quantised:4/64"`` for groups of 64 weights instead of 32; ``"quantized:"`` is the same.

    Raises
    ------
    BadArgument
        Another form, fewer than 2 or more than 8 bits, groups of less than 2.

    Examples
    --------
    >>> rounding("quantised:4"), rounding("quantized:3/64")
    (Rounding(bits=4, group=32), Rounding(bits=3, group=64))
    """
    match = re.fullmatch(r"quanti[sz]ed:\s*(\d{1,9})\s*(?:/\s*(\d{1,9})\s*)?", spec)
    if match is None:
        raise BadArgument(f"draft: {spec!r} names no rounding. Fix: 'quantised:4', or 'quantised:4/64' for groups of "
                          f"64 weights.")
    found = Rounding(int(match[1]), int(match[2] or GROUP))
    if not FEWEST <= found.bits <= MOST:
        raise BadArgument(f"draft: {spec!r} asks for {found.bits} bits. Fix: {FEWEST} to {MOST}.")
    if found.group < 2:
        raise BadArgument(f"draft: {spec!r} asks for groups of {found.group}. Fix: at least 2 weights a group.")
    return found


def quantise(model: Any, spec: str) -> Any:
    """Return a copy of the model whose matrices are rounded.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Left as it is; the copy takes as much memory.
    spec : str
        As in `rounding`.

    Raises
    ------
    BadArgument
        A bad specification.
    """
    import torch

    how = rounding(spec)
    rounded = copy.deepcopy(model)
    with torch.no_grad():
        for weight in rounded.parameters():
            if weight.ndim > 1 and weight.is_floating_point():
                weight.copy_(round_groups(weight, *how))
    return rounded.eval().requires_grad_(False)


def round_groups(weight: Any, bits: int, group: int) -> Any:
    """Round a tensor ``[*rows n]`` in groups along its last axis; the last group may be smaller.

    Examples
    --------
    >>> import torch
    >>> round_groups(torch.tensor([0.0, 0.3, 0.7, 1.0, 5.0]), 2, 4)
    tensor([0.0000, 0.3333, 0.6667, 1.0000, 5.0000])
    """
    import torch

    whole = weight.shape[-1] // group * group
    rest = [weight[..., whole:]] if whole < weight.shape[-1] else []
    parts = [weight[..., :whole].unflatten(-1, (-1, group))] if whole else []
    return torch.cat([_on_grid(part, bits).reshape(*weight.shape[:-1], -1) for part in (*parts, *rest)], dim=-1)


def _on_grid(groups: Any, bits: int) -> Any:
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    step = (high - low) / (2**bits - 1)
    steps = ((groups - low) / step.where(step > 0, 1.0)).round()  # a group of equal weights has one point
    return low + steps * step
