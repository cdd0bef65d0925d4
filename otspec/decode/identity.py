"""What decides the laws of a pair in memory: a stored result is only reused for models that agree in all of it.

`Pair.fingerprint` names the files that the models came from. A model that was changed since (another window, another
precision, merged weights) or a pair made by hand is told apart by the live objects: their configuration, precision,
way of computing attention, and a sample of their weights.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

ENTRIES = 16  # of each weight that are looked at: retrained, merged or scaled weights differ everywhere
_NOT_OF_THE_MODEL = frozenset({"transformers_version", "_name_or_path", "name_or_path", "torch_dtype", "dtype",
                               "_attn_implementation", "_attn_implementation_autoset", "attn_implementation",
                               "output_attentions", "output_hidden_states", "return_dict", "use_cache"})


def identity(pair: Any) -> dict[str, Any]:
    """Return everything about a pair that its laws depend on, as JSON values.

    Parameters
    ----------
    pair : Pair

    Returns
    -------
    dict
        ``fingerprint`` of the files; ``configuration``, SHA-256 over both models' own; ``dtype`` and ``attention``;
        ``weights``, SHA-256 over a sample of the weights in memory.
    """
    models = (pair.target, pair.draft)
    return {"fingerprint": pair.fingerprint, "configuration": configuration(pair),
            "dtype": _both(*(str(model.dtype).rsplit(".", 1)[-1] for model in models)),
            "attention": _both(*(_attention(model) for model in models)), "weights": sample(*models)}


def configuration(pair: Any) -> str:
    """SHA-256 over class and configuration of both models, without what says nothing about the laws.

    Settings that a class has by default are left out, so a newer library that knows more of them changes nothing.
    """
    return hashlib.sha256(described(pair.target, pair.draft).encode()).hexdigest()


def described(*models: Any) -> str:
    """Class and configuration of models as JSON, without what says nothing about the laws."""
    found = [[type(model).__name__, canonical(model.config.to_diff_dict())] for model in models]
    return json.dumps(found, sort_keys=True, default=str)


def canonical(config: Any) -> Any:
    """Drop what says nothing about the laws from a configuration, at every depth."""
    if isinstance(config, dict):
        return {str(key): canonical(value) for key, value in config.items() if key not in _NOT_OF_THE_MODEL}
    return [canonical(value) for value in config] if isinstance(config, (list, tuple)) else config


def _attention(model: Any) -> str:
    return str(getattr(model.config, "_attn_implementation", None) or "default")


def _both(target: str, draft: str) -> str:
    return target if target == draft else f"{target} / {draft}"


def sample(*models: Any) -> str:
    """SHA-256 over a sample of the weights of models in memory."""
    import torch

    state = hashlib.sha256()
    for model in models:
        parts = []
        for name, value in model.state_dict().items():
            state.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
            flat = value.detach().reshape(-1)
            parts.append(flat[:: max(1, flat.numel() // ENTRIES)][:ENTRIES].to("cpu", torch.float64))
        if parts:
            state.update(torch.cat(parts).numpy().tobytes())
    return state.hexdigest()
