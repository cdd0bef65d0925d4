"""The planner's answer: a drafter, a rule, what they are predicted to give, and the evidence."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from otspec.core.estimate import Estimate
from otspec.core.showing import figure_of, public_names
from otspec.core.table import Table
from otspec.decode.drafters.base import Drafter
from otspec.planner.candidates import FAMILIES
from otspec.planner.costs import Costs
from otspec.planner.lines import command_line, engine_lines, python_line
from otspec.planner.search import Found, Option

DRAWN = ("budget", "family", "method", "tokens", "stderr", "speedup", "speedup_stderr", "contexts")
BRIEF = 3  # budgets of a brief answer
LONGEST = 400  # characters of a line that is printed whole
SHOWN = ("method", "drafts", "steps", "tokens", "stderr", "speedup", "over_default", "over_sequoia")


@dataclass(frozen=True)
class Recommendation:
    """Which drafts and which rule, with the evidence; printed, it says so in words.

    Attributes
    ----------
    choice : Option
        What is recommended.
    runners_up : tuple of Option
        The best of every other family for the same budget, plain sampling and the rivals among them, fastest first.
    curve : Table
        Best of every family for smaller budgets too, on held-out contexts.
    limit : Table
        What no rule on independent paths can exceed, by budget; empty of a trace, and without a curve.
    budget : int
    costs : Costs
    settings : mapping
        Models, temperature, seed, numbers of contexts.
    notes : tuple of str
        What the numbers rest on.
    """

    choice: Option
    runners_up: tuple[Option, ...]
    curve: Table
    limit: Table
    budget: int
    costs: Costs
    settings: Mapping[str, Any]
    notes: tuple[str, ...] = field(default=())
    __dir__ = public_names

    @classmethod
    def of(cls, found: Found, budget: int, costs: Costs, settings: Mapping[str, Any],
           notes: tuple[str, ...] = ()) -> Recommendation:
        """Make it of what a search found."""
        curve, limit = (Table(table.rows, dict(settings)) for table in (found.curve, found.limit))
        return cls(found.choice, found.others, curve, limit, budget, costs, settings, notes)

    @property
    def verifier(self) -> str | None:
        """Name of the rule; None for plain sampling."""
        return self.choice.candidate.verifier

    @property
    def drafter(self) -> Drafter | None:
        """The drafter; None for plain sampling."""
        return self.choice.candidate.drafter

    @property
    def predicted(self) -> Estimate:
        """Tokens per target call, on contexts that took no part in the choice."""
        return self.choice.tokens

    @property
    def speedup(self) -> Estimate:
        """Speed-up over plain sampling at the given costs."""
        return self.choice.speedup

    @property
    def python(self) -> str:
        """Line of Python that decodes so, for a ``pair`` and ``prompts``."""
        return python_line(self.choice.candidate, self.settings["temperature"])

    @property
    def command(self) -> str | None:
        """Command that decodes so; None where the command line has no words for the drafts."""
        return command_line(self.choice.candidate, self.settings)

    @property
    def engines(self) -> tuple[str, ...]:
        """Nearest settings of other engines, as comments."""
        return engine_lines(self.choice, self.runners_up)

    @property
    def table(self) -> Table:
        """The choice and its runners-up."""
        return Table([one.row() for one in (self.choice, *self.runners_up)], dict(self.settings))

    def lines(self) -> list[str]:
        """At most four lines for a report."""
        best = self.choice
        if best.candidate.drafter is None:
            return [f"Up to {self.budget} drafts per call: plain sampling; nothing that was measured beats it.",
                    f"Costs: {self.costs}."]
        text = [f"Up to {self.budget} drafts per call: {best.candidate.text}.",
                f"{best.tokens} tokens per target call, {best.speedup.mean:.2f} times plain sampling."]
        if best.over_default is not None:
            text.append(f"Speed-up over a chain of 5, token by token: {best.over_default.mean:.3f} ± "
                        f"{best.over_default.stderr:.3f}" + (f"; over Sequoia: {best.over_sequoia.mean:.3f} ± "
                                                            f"{best.over_sequoia.stderr:.3f}."
                                                            if best.over_sequoia else "."))
        return text

    def brief(self) -> list[str]:
        """Lines for a report, at most four: the best drafts and rule for up to three budgets, and the costs."""
        lines = []
        for budget in sorted(set(self.curve.column("budget")))[-BRIEF:]:
            rows = [row for row in self.curve.where(budget=budget).rows if not FAMILIES[row["family"]].rival]
            # the contexts that choose are not those that report
            best = max(rows, key=lambda row: row["calibrated"] * row["speedup"] / row["tokens"])
            lines.append(f"up to {budget} drafts per call: {best['method']}, {best['tokens']:.2f} ± "
                         f"{best['stderr']:.2f} tokens per call, {best['speedup']:.2f} times plain sampling"
                         if best["speedup"] > 1 else f"up to {budget} drafts per call: plain sampling")
        return [*lines, f"costs: {self.costs}"]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"budget": self.budget, "verifier": self.verifier,
                "drafter": None if self.drafter is None else repr(self.drafter), "predicted": vars(self.predicted),
                "speedup": vars(self.speedup), "costs": self.costs.to_dict(), "settings": dict(self.settings),
                "python": self.python, "command": self.command, "engines": list(self.engines),
                "choice": self.choice.row(), "runners_up": [one.row() for one in self.runners_up],
                "curve": self.curve.rows, "limit": self.limit.rows, "notes": list(self.notes)}

    def to_json(self) -> str:
        """All of it as JSON."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    @property
    def title(self) -> str:
        """The answer in one line, for the figure."""
        return (f"up to {self.budget} drafts: {self.choice.candidate.text}, {self.speedup.mean:.2f} times plain "
                f"sampling")

    @property
    def drawn(self) -> Table:
        """What the figure shows: the curve, and the limit as one more family."""
        limit = [{"family": "limit", "method": "any rule on independent paths", "speedup_stderr": None} | row
                 for row in self.limit.rows]
        return Table([{name: row[name] for name in DRAWN} for row in (*self.curve.rows, *limit)],
                     {"title": self.title, **self.curve.metadata})

    def plot(self, ax: Any = None) -> Any:
        """Draw tokens per call against the budget, best of each family.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure unless given.

        Returns
        -------
        matplotlib.axes.Axes
        """
        return figure_of(self, "recommendation", ax)

    def figure(self) -> Any:
        """Figure: tokens per call and speed-up against the budget, best of each family.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from otspec.plots.planner import budget_figure

        return budget_figure(self.drawn, self.title)

    def save_plot(self, path: str | os.PathLike[str]) -> Path:
        """Write the figure, and its numbers as CSV beside it."""
        path = Path(path)
        self.figure().savefig(path)
        self.drawn.to_csv(path.with_suffix(".csv"))
        return path

    def _shown(self) -> Table:
        rows = self.table.rows
        return Table([{name: row[name] for name in SHOWN} for row in rows])

    def __str__(self) -> str:
        """Answer, evidence and how to run it."""
        settings = self.settings
        evidence = (f"{settings['held_out_contexts']} held-out contexts, chosen on {settings['calibration_contexts']} "
                    f"others, temperature {settings['temperature']:g}; costs: {self.costs}")
        python = self.python if len(self.python) < LONGEST else (
            f"ot.generate(pair, prompts, verifier={self.verifier!r}, drafter=answer.drafter, temperature="
            f"{settings['temperature']})  # answer.python has all its rates")
        run = [python, *([f"$ {self.command}"] if self.command else []), *(f"# {line}" for line in self.engines)]
        return "\n".join([*self.lines(), "", str(self._shown()), "", evidence, *self.notes, "", *run])

    def __repr__(self) -> str:
        """In one line."""
        return (f"Recommendation({self.choice.candidate.text}, {self.predicted.mean:.3f} tokens per call, speed-up "
                f"{self.speedup.mean:.2f})")

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        text = "<br>".join(map(escape, self.lines()))
        return f"<p>{text}</p>{self._shown()._repr_html_()}<pre>{escape(self.python)}</pre>"
