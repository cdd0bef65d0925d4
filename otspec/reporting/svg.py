"""An SVG file made fit to stand in a page beside others: no header, no outside address, identifiers of its own."""

from __future__ import annotations

import re
from html import escape

_IDENTIFIER = re.compile(r'\bid="([^"]+)"')
_REFERENCE = re.compile(r'(url\(#|href="#)([^)"]+)')
# header, addresses of standards, comments, and a style that would hold for the whole page
_LEFT_OUT = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", re.DOTALL)
_SIZE = re.compile(r' (width|height)="([^"]*)"')


def inline(svg: str, name: str, label: str) -> str:
    """Return the ``<svg>`` element of a file, to be put into a page.

    Parameters
    ----------
    svg : str
        Text of the file.
    name : str
        Of the figure: begins all its identifiers.
    label : str
        What a screen reader says.

    Examples
    --------
    >>> inline('<?xml version="1.0"?><svg width="3pt" height="2pt"><g id="a"/><use href="#a"/></svg>', "n", "2 & 2")
    '<svg role="img" aria-label="2 &amp; 2" style="max-width:3pt"><g id="n-a"/><use href="#n-a"/></svg>'
    """
    text = _LEFT_OUT.sub("", svg).strip()
    text = _IDENTIFIER.sub(lambda found: f'id="{name}-{found[1]}"', text)
    text = _REFERENCE.sub(lambda found: f"{found[1]}{name}-{found[2]}", text)
    head, rest = text.split(">", 1)
    width = next((found[2] for found in _SIZE.finditer(head) if found[1] == "width"), "100%")
    told = f'<svg role="img" aria-label="{escape(label)}" style="max-width:{width}"'
    head = _SIZE.sub("", head).replace("<svg", told, 1)
    return f"{head}>{rest}"
