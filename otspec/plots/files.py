"""PNG files small enough to keep beside the code: a palette of few colours, which is all a drawing has."""

from __future__ import annotations

import io
import os
from typing import Any

COLOURS = 128  # with their blends at the edges of lines and letters


def write_png(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG with a palette; equal figures give equal files.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : path
    """
    from PIL import Image  # matplotlib writes its PNG files with it too

    whole = io.BytesIO()
    figure.savefig(whole, format="png")
    with Image.open(whole) as image:
        small = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        small.save(path, format="PNG", optimize=True, dpi=image.info["dpi"])
