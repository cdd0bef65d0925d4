"""A draft made from the target itself: the same weights, with some of its layers left out.

Nothing is copied: the draft is a second set of module objects around the very same tensors, so it costs no memory. What
it drafts is judged like any other draft, so leaving layers out can cost acceptance but never the target's law.
"""

from __future__ import annotations

import copy
import re
from typing import Any

from otspec.core.errors import BadArgument

PREFIX = "skip:"


def skipped_layers(spec: str, count: int) -> list[int]:
    """Layers that a specification leaves out, of ``count``.

    Parameters
    ----------
    spec : str
        ``"skip:"`` and numbers or ranges, both ends included, the first layer being 0: ``"skip:2,8-20"``.
    count : int

    Raises
    ------
    BadArgument
        Another form, layers that are not there, or all of them.

    Examples
    --------
    >>> skipped_layers("skip:1,3-4", 6)
    [1, 3, 4]
    """
    parts = spec.removeprefix(PREFIX).split(",")
    left_out: set[int] = set()
    for part in parts:
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if match is None or (match[2] and int(match[2]) < int(match[1])):
            raise BadArgument(f"draft: {spec!r} names no layers. Fix: 'skip:8-20', or 'skip:2,8-20', ends included.")
        left_out |= set(range(int(match[1]), int(match[2] or match[1]) + 1))
    if max(left_out) >= count:
        raise BadArgument(f"draft: {spec!r} leaves out layer {max(left_out)}, the target has layers 0 to {count - 1}. "
                          f"Fix: name layers that it has.")
    if len(left_out) == count:
        raise BadArgument(f"draft: {spec!r} leaves out all {count} layers. Fix: keep at least one.")
    return sorted(left_out)


def skip_layers(model: Any, spec: str) -> Any:
    """Return the model without some of its layers, its weights shared.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    spec : str
        As in `skipped_layers`.

    Raises
    ------
    BadArgument
        A bad specification, or a model whose layers are not one list.
    """
    import torch

    config = model.config.get_text_config()
    count = getattr(config, "num_hidden_layers", None)
    places = [name for name, module in model.named_modules()
              if isinstance(module, torch.nn.ModuleList) and len(module) == count]
    if count is None or len(places) != 1:
        raise BadArgument(f"draft: {type(model).__name__} has {len(places)} lists of its {count} layers, so it is not "
                          f"known which to shorten. Fix: a draft model of its own.")
    left_out = set(skipped_layers(spec, count))
    kept = [place for place in range(count) if place not in left_out]
    *way, last = places[0].split(".")
    shorter = _twin(model)
    modules = [shorter]
    for name in way:
        modules.append(_twin(modules[-1]._modules[name]))
        modules[-2]._modules[name] = modules[-1]
    layers = modules[-1]._modules[last]
    renumbered = [_numbered(layers[place], number) for number, place in enumerate(kept)]
    modules[-1]._modules[last] = torch.nn.ModuleList(renumbered)
    small = _shorter_config(model.config, kept)
    for module in modules:
        if hasattr(module, "config"):
            module.config = small if module.config is model.config else small.get_text_config()
    return shorter


def _twin(module: Any) -> Any:
    """Another module object around the same children and tensors."""
    twin = copy.copy(module)
    twin._modules = dict(module._modules)
    return twin


def _numbered(module: Any, number: int) -> Any:
    """Twin of a layer and of all in it, which find their place in a cache by number."""
    twin = _twin(module)
    if isinstance(getattr(twin, "layer_idx", None), int):
        twin.layer_idx = number
    for name, child in twin._modules.items():
        if child is not None:
            twin._modules[name] = _numbered(child, number)
    return twin


def _shorter_config(config: Any, kept: list[int]) -> Any:
    config = copy.deepcopy(config)
    inner = config.get_text_config()
    inner.num_hidden_layers = len(kept)
    kinds = getattr(inner, "layer_types", None)
    if kinds:
        inner.layer_types = [kinds[place] for place in kept]
    return config
