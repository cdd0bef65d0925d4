"""A finished sweep, read from its folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from otspec.core.errors import BadArgument, BadFile
from otspec.core.estimate import Estimate
from otspec.core.showing import figure_of, public_names
from otspec.core.table import Table
from otspec.decode.measure import DecodeRun
from otspec.decode.sweep.shards import Shards


@dataclass(frozen=True, repr=False)
class Sweep:
    """Runs of the decoder, one for every setting, over the same prompts.

    Prompt ``i`` has one stream of chance per seed, whatever the setting: differences between settings are paired.
    """

    shards: Shards
    __dir__ = public_names

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Sweep:
        """Open the folder of a finished sweep.

        Raises
        ------
        BadFile
            It holds no sweep, or one that is not finished.
        """
        shards = Shards(folder)
        missing = len(shards.units) - len(shards.finished())
        if missing:
            raise BadFile(f"{folder}: {missing} of {len(shards.units)} shards are missing. "
                          f"Fix: run the same sweep again; it goes on from there.")
        return cls(shards)

    @property
    def settings(self) -> list[dict[str, Any]]:
        """Arguments of `generate`, by their names where they are objects."""
        return self.shards.request["settings"]

    def run(self, setting: int) -> DecodeRun:
        """Return the whole run of one setting; times are sums over its shards, wherever they were decoded.

        Raises
        ------
        BadArgument
            There is no such setting.
        """
        if not 0 <= setting < len(self):
            raise BadArgument(f"setting: {setting!r} is none of 0 to {len(self) - 1}. Fix: see Sweep.settings.")
        return DecodeRun.joined([self.shards.read(unit) for unit in self.shards.units if unit.setting == setting])

    def to_table(self) -> Table:
        """One row per setting: tokens per call, measured and predicted, with standard errors; times and memory.

        ``seconds`` is decoding time summed over shards and workers; predictions, which decoding does not need, are the
        part ``prediction_seconds`` of it. ``tokens_per_second`` leaves them out.
        """
        rows = []
        for number in range(len(self)):
            run = self.run(number)
            rows.append({"setting": number, **self._asked(number), **_summary(run)})
        kept = ("target", "draft", "fingerprint", "prompts", "shard_size", "threads")
        return Table(rows, {key: self.shards.request[key] for key in kept})

    def profile(self) -> Table:
        """Acceptance by depth of every setting, as in `DecodeRun.profile`."""
        return Table([{"setting": number, **self._asked(number), **row} for number in range(len(self))
                      for row in self.run(number).profile().rows])

    def _asked(self, number: int) -> dict[str, Any]:
        """Settings that the grid names."""
        setting = self.settings[number]
        return {name: _cell(setting[name]) for name in self.shards.axes}

    def __len__(self) -> int:
        """Return the number of settings."""
        return len(self.settings)

    def __repr__(self) -> str:
        """Size."""
        return f"Sweep({len(self)} settings, {self.shards.request['prompts']} prompts, {str(self.shards.folder)!r})"

    def _repr_html_(self) -> str:
        """HTML for notebooks: what the grid names, tokens per call and speed."""
        shown = (*self.shards.axes, "tokens_per_call", "stderr", "predicted", "tokens_per_second")
        rows = [{name: row[name] for name in shown} for row in self.to_table().rows]
        return f"<p><b>{escape(repr(self))}</b></p>{Table(rows)._repr_html_()}"

    def plot(self, ax: Any = None) -> Any:
        """Draw tokens per call of every setting, the best on top, beside its prediction.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure unless given.

        Returns
        -------
        matplotlib.axes.Axes
        """
        return figure_of(self, "sweep", ax)


def _summary(run: DecodeRun) -> dict[str, Any]:
    tokens, calls = sum(map(len, run.tokens)), int(run.rounds.sum())
    several = len(run.tokens) > 1
    measured = run.block_efficiency if several else Estimate(1 + run.accepted[run.active].sum() / calls)
    row = {"tokens": tokens, "target_calls": calls, "tokens_per_call": float(measured.mean),
           "stderr": measured.stderr if several else None}
    known = several and run.predicted is not None
    row |= {"predicted": run.predicted_efficiency.mean if known else None,
            "difference": run.difference.mean if known else None,
            "difference_stderr": run.difference.stderr if known else None, "z_score": run.z_score if known else None}
    decoding = run.seconds - run.timing.get("prediction", 0.0)
    row |= {"seconds": run.seconds, "tokens_per_second": tokens / decoding if decoding > 0 else None}
    return row | {f"{part}_seconds": seconds for part, seconds in run.timing.items()} | {"peak_bytes": run.peak_bytes}


def _cell(value: Any) -> Any:
    return str(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
