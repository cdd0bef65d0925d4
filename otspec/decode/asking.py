"""Rules are asked on tensors where the laws lie; on the CPU as NumPy views of them, for rules without a torch form."""

from __future__ import annotations

from typing import Any

import numpy as np

from otspec.core.noise import Noise
from otspec.decode.recorded import Recorder


def waits_for_nobody(array: Any) -> bool:
    """Whether the host may ask for numbers of an array without waiting for a device."""
    return array.device.type == "cpu"


def ask(function: Any, *arguments: Any, dtype: Any = np.int64, recorder: Recorder | None = None) -> Any:
    """Call a rule; what it answers comes back as tensors. Laws kept in float32 are shown in float64.

    Parameters
    ----------
    function : callable
    arguments : tensors or Noise
    dtype : numpy dtype
        Of the answer.
    recorder : Recorder, optional
        Records the call where it is made on a CUDA device.
    """
    import torch

    arguments = tuple(a.double() if isinstance(a, torch.Tensor) and a.is_floating_point() else a for a in arguments)
    first = next(a for a in arguments if isinstance(a, torch.Tensor))
    if not waits_for_nobody(first):
        if recorder is None or not all(isinstance(a, torch.Tensor) and a.is_cuda for a in arguments):
            return function(*arguments)
        return recorder(function, *arguments)
    views = [a.numpy() if isinstance(a, torch.Tensor) else a for a in arguments]
    views = [a.like(views[0]) if isinstance(a, Noise) else a for a in views]
    answer = function(*views)
    if isinstance(answer, tuple):
        return tuple(torch.from_numpy(np.array(part, dtype=dtype)) for part in answer)
    return torch.from_numpy(np.array(answer, dtype=dtype))


def on_device(array: np.ndarray, device: Any) -> Any:
    """Return an array as a tensor on a device, without waiting for it."""
    import torch

    return torch.from_numpy(array).to(device, non_blocking=True)
