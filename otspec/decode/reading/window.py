"""Masks for models whose layers see only the last tokens of a text.

A mask of our own replaces the one that a model would make, its attention window included, so the window has to be
drawn into it. Which layers have one is read from the configuration; whether that was read rightly is not believed but
tested, see `otspec.decode.reading.behaviour`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Window:
    """Attention windows of a model.

    Attributes
    ----------
    size : int
        A token sees itself and ``size - 1`` tokens before it.
    kinds : tuple of str
        Kinds of layers that take a mask each; empty: all layers take the same.
    """

    size: int
    kinds: tuple[str, ...] = ()

    def __call__(self, mask: Any, places: Any, key_places: Any, lowest: float) -> Any:
        """Mask for the model: one ``[B 1 n width]``, or one for each kind of layer."""
        far = places[:, None, :, None] - key_places[:, None, None, :] >= self.size
        windowed = mask.masked_fill(far, lowest)
        if not self.kinds:
            return windowed
        return {kind: windowed if kind == "sliding_attention" else mask for kind in self.kinds}


def windows(config: Any) -> list[Window | None]:
    """Ways in which a model of this configuration may take its masks, likeliest first; None is a plain mask."""
    size = getattr(config, "sliding_window", None)
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        return [None]
    kinds = tuple(dict.fromkeys(getattr(config, "layer_types", None) or ()))
    found: list[Window | None] = [Window(size, kinds)] if len(kinds) > 1 else []
    return [*found, Window(size), None] if kinds != ("full_attention",) else [None, Window(size)]
