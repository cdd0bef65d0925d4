"""What a report says of a trace that keeps the largest masses only: how far its optima may be from the models' own."""

from __future__ import annotations

from collections.abc import Iterable

from otspec.core.errors import SchemeMismatch
from otspec.core.schemes import DraftScheme
from otspec.core.trace import Trace


def shortened_note(trace: Trace, schemes: Iterable[DraftScheme]) -> str:
    """Return a sentence on what was lost, with the bound of every scheme that has one; empty for whole laws."""
    if not trace.shortened:
        return ""
    target, draft = trace.lost
    bounds, open_ends = [], []
    for scheme in schemes:
        try:
            bounds.append(f"{trace.optimum_slack(scheme).mean():.1e} for {scheme!r}")
        except SchemeMismatch:
            open_ends.append(repr(scheme))
    without = f" No bound is known for {', '.join(open_ends)}." if open_ends else ""
    return (f"The trace keeps the {trace.provenance.get('keep', 'largest')} largest masses of each law, at distances "
            f"of {target.mean():.1e} (target) and {draft.mean():.1e} (draft) in total variation from the models' laws. "
            f"All numbers, certificates included, are those of the stored laws. The mean optimum of the models' own "
            f"laws lies within {', '.join(bounds)} of the one shown; what the rules accept has no such bound.{without}")
