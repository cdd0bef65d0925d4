"""Models that are slow on a CPU get a smaller report, by a stated rule.

The exact tables cost the same for every pair of one vocabulary; what the models themselves take part in does not. From
50 million parameters on, without a device, a report takes an eighth of the sequences, blocks and path contexts (at
least 8 of each) and records a quarter of the contexts (at least 16). Standard errors grow accordingly; the report
shows them and says so.
"""

from __future__ import annotations

from dataclasses import replace

from otspec.decode.models import Pair
from otspec.reporting.decoded import is_small
from otspec.reporting.settings import Settings

RUN_SHARE, RUN_LEAST = 8, 8
RECORDED_SHARE, RECORDED_LEAST = 4, 16


def is_slow(pair: Pair | None) -> bool:
    """Whether the rule applies: models of 50 million parameters or more on the CPU."""
    return pair is not None and pair.device == "cpu" and not is_small(pair)


def fewer(count: int, share: int = RUN_SHARE, least: int = RUN_LEAST) -> int:
    """Return a share of a count, at least so many of it, at most all.

    Examples
    --------
    >>> fewer(64), fewer(32), fewer(5)
    (8, 8, 5)
    """
    return min(count, max(least, count // share))


def smaller(settings: Settings) -> Settings:
    """Return the settings of a report on slow models, with a note that says what was made smaller."""
    made = replace(settings, sequences=fewer(settings.sequences), blocks=fewer(settings.blocks),
                   path_contexts=fewer(settings.path_contexts))
    return replace(made, note=f"Models of 50 million parameters or more on a CPU: {made.sequences} sequences, "
                              f"{made.blocks} blocks and {made.path_contexts} path contexts instead of "
                              f"{settings.sequences}, {settings.blocks} and {settings.path_contexts}, and a quarter of "
                              f"the recorded contexts (at least {RECORDED_LEAST}).")
