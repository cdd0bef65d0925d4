"""Who gets which colour and marker: a hue for every family of rules, a marker for every rule of a cast.

A *cast* holds the rules that may stand in one figure: token rules; block, path and tree rules; rules for trees of
chosen tokens; couplings; lossy rules. Within a cast no colour or marker comes twice before all are used, and no pair
of both ever. The colours are chosen so that any two of them, and black, are at least `APART` apart in CIEDE2000, as
seen by normal eyes and as simulated for the three kinds of colour blindness (Machado, Oliveira and Fernandes 2009,
full severity); a test computes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from otspec.core.registry import Entry
from otspec.core.schemes import Greedy

BLACK = "#000000"
TONES = {
    "grey": "#8A8B8B", "sky": "#48B8F2", "blue": "#2E668D", "navy": "#073294", "teal": "#149963", "forest": "#074322",
    "sage": "#A3BB7B", "amber": "#E8A003", "vermilion": "#D85E00", "brown": "#75500F", "pink": "#C97CB6",
    "wine": "#941956", "violet": "#8152E3",
}
APART = 12.0
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h", "p", "d", "H")
# published rules in lighter tones, the exact ones (look-ahead, scores, optimal walk) in the darkest of their family
HUES = {
    "token": ("grey", "sage", "sky", "amber", "teal", "vermilion", "pink", "violet", "wine", "blue", "brown", "forest"),
    "block": ("grey", "blue", "sky", "sage"),
    "path": ("pink", "violet", "wine", "brown"),
    "tree": ("teal", "forest", "vermilion", "amber", "navy"),
    "chosen": ("sky", "vermilion"),
    "coupling": ("blue", "vermilion", "sky", "grey", "violet"),
    "joint": ("amber", "brown", "teal"),
    "lossy": ("amber", "vermilion", "teal", "blue"),
}
CASTS = {"token": "token", "block": "sequence", "path": "sequence", "tree": "sequence", "chosen": "chosen",
         "coupling": "coupling", "joint": "coupling", "lossy": "lossy"}


def family(entry: Entry) -> str:
    """Family of a registry line: its kind, but ``path`` for what picks a path, ``chosen`` for trees of chosen tokens.

    Examples
    --------
    >>> from otspec.verifiers import list_verifiers
    >>> [family(list_verifiers()[name]) for name in ("k_seq", "block", "winner_block", "traversal")]
    ['token', 'block', 'path', 'tree']
    """
    if entry.kind == "tree" and entry.schemes and all(issubclass(scheme, Greedy) for scheme in entry.schemes):
        return "chosen"
    room = getattr(entry.factory, "__module__", "")
    return "path" if entry.kind == "tree" and ".block." in room else entry.kind


def cast(entry: Entry) -> str:
    """Name of the rules that a rule may share a figure with."""
    return CASTS.get(family(entry), "token")


def allot(entries: Iterable[Entry]) -> Mapping[str, tuple[str, str]]:
    """Colour and marker of every entry, in registry order.

    Each takes the next hue of its family. A family that has used up its hues goes on, after all others have theirs,
    with the tones that its cast uses least: one more line of a registry moves no other rule of a full family.

    Examples
    --------
    >>> from otspec.verifiers import list_verifiers
    >>> allot(list_verifiers(kind="block").values())["block"]
    ('#2E668D', 's')
    """
    entries = list(entries)
    used: dict[str, Counter[str]] = {}
    tones: dict[str, str] = {}
    for entry in entries:
        counts = used.setdefault(cast(entry), Counter())
        free = [tone for tone in HUES.get(family(entry), ()) if tone not in counts]
        if free:
            tones[entry.name] = free[0]
            counts[free[0]] += 1
    for entry in entries:
        if entry.name not in tones:
            counts = used[cast(entry)]
            tones[entry.name] = min(TONES, key=lambda tone: counts[tone])
            counts[tones[entry.name]] += 1
    return _marked(entries, tones)


def _marked(entries: list[Entry], tones: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    marks: dict[str, Counter[str]] = {}
    pairs: set[tuple[str, str]] = set()
    styles = {}
    for entry in entries:
        colour, counts = TONES[tones[entry.name]], marks.setdefault(cast(entry), Counter())
        free = [marker for marker in MARKERS if (colour, marker) not in pairs] or list(MARKERS)
        marker = min(free, key=lambda marker: counts[marker])
        counts[marker] += 1
        pairs.add((colour, marker))
        styles[entry.name] = colour, marker
    return styles
