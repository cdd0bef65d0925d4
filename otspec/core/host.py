"""Arrays and the host: whether NumPy and compiled code can read one where it lies, and bringing it there."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import is_numpy_array, is_torch_array

from otspec.core.errors import BadArgument

Array = Any


def on_host(array: Array) -> bool:
    """Whether compiled code can read the array where it lies: NumPy, or torch on the CPU.

    Examples
    --------
    >>> on_host(np.zeros(2)), on_host([0.0, 0.0])
    (True, False)
    """
    return is_numpy_array(array) or (is_torch_array(array) and array.device.type == "cpu")


def to_host(array: Array, dtype: Any = None) -> np.ndarray:
    """Array as NumPy's, from any library and device; gradients stay behind.

    Examples
    --------
    >>> to_host(np.float32(0.5))
    array(0.5, dtype=float32)
    """
    return np.asarray(array.detach().cpu() if hasattr(array, "detach") else array, dtype=dtype)


def check_host(name: str, array: Array, who: Any, fix: str = "pass .cpu() tensors") -> None:
    """Refuse an array on a device, for a rule that works on the host only.

    Raises
    ------
    BadArgument
    """
    if is_torch_array(array) and not on_host(array):
        raise BadArgument(f"{name}: on {array.device}, but {who} works on the CPU here. Fix: {fix}.")
