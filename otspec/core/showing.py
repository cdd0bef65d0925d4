"""How results show themselves: public names on completion, facts as HTML in notebooks, and a figure when asked.

A result knows its numbers, not how they are drawn: `figure_of` is the one door from the nouns to `otspec.plots`, and
opens when somebody calls ``.plot()``. Until then nothing of matplotlib is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from importlib import import_module
from typing import Any


def public_names(self: Any) -> list[str]:
    """Attributes of an object without those that begin with an underscore, for use as its ``__dir__``.

    Examples
    --------
    >>> dir(ot.Estimate(0.5))[:4]
    ['covers', 'dof', 'from_groups', 'from_ratio']
    """
    return sorted(name for name in object.__dir__(self) if not name.startswith("_"))


def card(title: str, facts: Mapping[str, Any]) -> str:
    """HTML of a title and of named facts, all of it escaped.

    Examples
    --------
    >>> card("a < b", {"n": 3})
    '<p><b>a &lt; b</b></p><table><tbody><tr><th>n</th><td>3</td></tr></tbody></table>'
    """
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in facts.items())
    return f"<p><b>{escape(title)}</b></p><table><tbody>{rows}</tbody></table>"


def figure_of(result: Any, how: str, ax: Any = None) -> Any:
    """Draw a result.

    Parameters
    ----------
    result : object
    how : str
        Key of `otspec.plots.results.WAYS`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure of one panel unless given.

    Returns
    -------
    matplotlib.axes.Axes
    """
    # the rooms import one way, and this is no import of theirs: a caller of .plot() asks for the figures
    return import_module("otspec.plots.results").draw(result, how, ax)
