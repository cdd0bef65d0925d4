"""The dual bound beside the rules of a report: at hand for the bundled pair, else taken after a few contexts.

For the pocket pair at temperature 1 and the contexts of a full report the bound is in a file of `path_bound`'s own
kind, which names the weights, the contexts and the settings that it was made with. What does not match is computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from typing import Any

from otspec.core.errors import BadFile
from otspec.core.table import Table
from otspec.decode.models import Pair
from otspec.recording.path_bound import PathBound, Shape, path_bounds

FILE = "data/pocket/path_bound.json"
SAMPLES = 256  # of the bounds at hand
FEW, FEW_SAMPLES = 8, 32  # contexts and paths of a bound that a report computes itself: about a second for small models
NAMES = {"score_block": "the score rule", "lookahead_block": "look-ahead", "winner_block": "winner and block",
         "block": "block verification"}


def report_bounds(pair: Pair, texts: Sequence[Sequence[int]], shapes: Sequence[Shape],
                  temperature: float) -> Mapping[Shape, PathBound]:
    """Bounds of every shape: those at hand, or after a few of the texts."""
    try:
        with as_file(files("otspec") / FILE) as known:
            if known.is_file():
                return path_bounds(pair, texts, shapes, temperature=temperature, samples=SAMPLES, out=known,
                                   progress=False)
    except BadFile:
        pass  # of another pair, other contexts or other shapes
    return path_bounds(pair, texts, shapes, temperature=temperature, contexts=min(FEW, len(texts)),
                       samples=max(FEW_SAMPLES, 4 * max(paths for paths, _ in shapes)), progress=False)


def with_limit(row: dict[str, Any]) -> dict[str, Any]:
    """Add the ``limit`` of any stateless rule on the footing of the row, with its standard error; None without a bound.

    The bound may rest on fewer contexts than the rule's efficiency, and then differs from it in level. The limit is the
    rule's level times the ratio of both after the bound's contexts: the bound itself where those are all.
    """
    if row.get("room_percent") is None:
        return row | {"limit": None, "limit_stderr": None}
    limit, error = (row["efficiency"] * percent / 100 for percent in (100 + row["room_percent"], row["room_stderr"]))
    return row | {"limit": limit, "limit_stderr": error}


def best_with_bound(sequences: Table) -> dict[str, Any] | None:
    """Row of the best rule at the most and longest paths, with its ``name`` and the ``limit``; None without a bound."""
    known = [row for row in sequences.rows if row.get("room_percent") is not None]
    if not known:
        return None
    best = max(known, key=lambda row: (row["target_tokens"], row["paths"], row["efficiency"]))
    return with_limit(best) | {"name": NAMES.get(best["rule"], best["rule"])}


def room_sentence(sequences: Table) -> str:
    """What the best rule emits and what no rule can, at the most and longest paths; empty without a bound."""
    best = best_with_bound(sequences)
    if best is None:
        return ""
    return (f"With {best['paths']} paths of {best['draft_length']} tokens, {best['name']} emits "
            f"{best['efficiency']:.2f} ± {best['stderr']:.2f} tokens per call; no stateless rule can emit more than "
            f"{best['limit']:.2f} ± {best['limit_stderr']:.2f}: any verifier could still gain at most "
            f"{best['room_percent']:.1f} ± {best['room_stderr']:.1f} % over it (paired, after "
            f"{best['bound_contexts']} contexts).")
