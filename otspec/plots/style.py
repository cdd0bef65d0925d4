"""One look for all figures: fonts, sizes and a fixed colour and marker for every algorithm.

An algorithm keeps its colour and marker in every figure, because they follow from its line in the registry (see
`otspec.plots.palette`); both stay apart for colour-blind readers, and the marker says the same again in black and
white. The optimum, and the rule that attains it, are black. Series that are no algorithm take `COLOURS`, those of
Okabe and Ito.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl

from otspec.core.errors import UnknownName
from otspec.core.names import did_you_mean
from otspec.couplings import list_couplings
from otspec.lossy_rules import list_lossy
from otspec.plots.palette import BLACK, allot
from otspec.verifiers import list_verifiers

INK = "#222222"
COLOURS = ("#777777", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#882255")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h", "p")
OPTIMUM = {"color": BLACK, "marker": "*"}
BEST = ("optimal", "optimum", "frontier")  # drawn as the optimum
WIDTH = 3.4  # inches of one panel, a column of a two-column page
RC: dict[Any, Any] = {
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.0,
    "legend.fontsize": 7.5,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.0,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # text stays text in the PDF
    "ps.fonttype": 42,
    "savefig.dpi": 200,
}


def context() -> AbstractContextManager[Any]:
    """Matplotlib settings of all otspec figures, for a ``with`` block; outside it nothing changes.

    Examples
    --------
    >>> with context():
    ...     mpl.rcParams["pdf.fonttype"]
    42
    """
    return mpl.rc_context(RC)


def type_on(colour: str) -> str:
    """Colour of type on a bar: white where its contrast is the larger one (WCAG 2.1), else ink.

    Examples
    --------
    >>> type_on("#000000"), type_on("#FFFFFF") == INK
    ('white', True)
    """
    rgb = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in rgb]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "white" if luminance < 0.18 else INK


def rule_style(name: str) -> dict[str, str]:
    """Colour and marker of a verifier, coupling or lossy rule, as keyword arguments of ``ax.plot``.

    Raises
    ------
    UnknownName
        No registry holds the name.

    Examples
    --------
    >>> rule_style("optimal") == OPTIMUM
    True
    """
    if name in BEST:
        return dict(OPTIMUM)
    styles = allot(
        entry
        for registry in (list_verifiers(), list_couplings(), list_lossy())
        for entry in registry.values()
        if entry.name not in BEST
    )
    if name not in styles:
        raise UnknownName(f"no verifier, coupling or lossy rule is called {name!r}."
                          f"{did_you_mean(name, ['optimal', *styles])} Fix: one of optimal, {', '.join(styles)}.")
    colour, marker = styles[name]
    return {"color": colour, "marker": marker}
