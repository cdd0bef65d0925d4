"""Models that are in memory already, as parts of a pair: used as they are, on their device and in their precision."""

from __future__ import annotations

import hashlib
from typing import Any

from otspec.core.errors import BadArgument
from otspec.decode.identity import described, sample


def is_live(model: Any) -> bool:
    """Whether this is a model, not the place of one.

    Examples
    --------
    >>> is_live("owner/model")
    False
    """
    return all(hasattr(model, name) for name in ("forward", "config", "get_output_embeddings"))


def check_live(which: str, model: Any, device: str) -> Any:
    """Return a model that may stand in a pair on ``device``; it is never changed.

    Raises
    ------
    BadArgument
        In training mode, on another device, or in half precision on the CPU.
    """
    if model.training:
        raise BadArgument(f"{which}: the model is in training mode, where its laws are random. Fix: {which}.eval().")
    if str(model.device) != device:
        raise BadArgument(f"{which}: the model is on {model.device}, the pair on {device}. "
                          f"Fix: {which}.to({device!r}).")
    if device == "cpu" and model.dtype.itemsize < 4:
        raise BadArgument(f"{which}: {model.dtype} is refused on CPU, where logits would be rounded. "
                          f"Fix: {which}.float().")
    return model


def live_name(model: Any) -> str:
    """What a model in memory is called: its class, and where it came from if it knows."""
    origin = getattr(model.config, "_name_or_path", "")
    return f"{type(model).__name__}({origin})" if origin else type(model).__name__


def live_fingerprint(*models: Any) -> str:
    """SHA-256 over class, configuration and a sample of the weights of models in memory."""
    return hashlib.sha256(f"{described(*models)} {sample(*models)}".encode()).hexdigest()
