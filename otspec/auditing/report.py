"""The verdict of an audit, with what an engineer needs to act on it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np

from otspec.auditing.mistakes import Mistake
from otspec.core.files import write_json
from otspec.core.showing import figure_of, public_names
from otspec.core.table import Table

WORDS = {True: "PASSED", False: "FAILED", None: "UNDECIDED"}
COLOURS = {True: "#0b6e4f", False: "#a4243b", None: "#8a6d00"}


@dataclass(frozen=True)
class Counterexample:
    """The smallest instance found on which the function fails.

    Attributes
    ----------
    family : str
        The instance that it was shrunk from.
    why : str
        What is wrong there, in words.
    target, draft : list
        Laws ``[V]`` of one position, or rows ``[V V]`` after each token; texts start after token 0.
    drafts : str
        How the drafts are drawn.
    tokens : list of int or None
        Drafts of the question, where it was one question that gave no answer.
    expected, observed : list or None
        Laws of the outcome.
    tv : float or None
        Distance between the two.
    n : int or None
        Calls behind ``observed``; None where it is exact.
    """

    family: str
    why: str
    target: list[Any]
    draft: list[Any]
    drafts: str
    tokens: list[int] | None = None
    expected: list[Any] | None = None
    observed: list[Any] | None = None
    tv: float | None = None
    n: int | None = None

    def __str__(self) -> str:
        """Laws, drafts, and what was expected and seen."""
        lines = [self.why]
        if len(json.dumps(self.target)) < 600:
            lines += [f"target   {_rounded(self.target)}", f"draft    {_rounded(self.draft)}"]
        else:
            lines.append(f"laws     {len(self.target)} numbers, in .target and .draft")
        lines.append(f"drafts   {self.drafts}" + (f", here {self.tokens}" if self.tokens is not None else ""))
        if self.expected is not None and np.size(self.expected) <= 32:
            lines += [f"expected {_rounded(self.expected)}", f"observed {_rounded(self.observed)}"]
        if self.tv is not None:
            lines.append(f"distance {self.tv:.4g} in total variation"
                         + (f" ({self.n} calls)" if self.n else " (exact)"))
        return "\n".join(lines)


@dataclass(frozen=True, repr=False)
class AuditReport:
    """What an audit found.

    Attributes
    ----------
    subject, kind : str
        What was audited, and as what.
    passed : bool or None
        True: nothing was found, and the power stated was reached. False: not lossless. None: undecided.
    tv : float
        Total variation between what is emitted and the target's law, on the worst instance: measured.
    interval : tuple of float
        Bounds of it, wrong with probability ``alarm``, or certified where it is exact.
    p_value : float
        Valid whenever one stopped: 1 over the largest evidence; 0 or 1 where the laws are exact.
    alarm, power, resolved : float
        Budget of false alarms; chance to raise a true one at total variation ``resolved`` on any small instance.
    counterexample : Counterexample or None
    mistake : str or None
        Name of the known mistake whose law is the observed one.
    remedy : str or None
    mistakes : tuple of Mistake
        That mistake, and others that emit the same law.
    family : str or None
        Instance that failed by most.
    cases : Table
        One row for each instance.
    method : str
        ``"exact"``, ``"sampled"`` or both.
    calls : int
    seconds : float
    reason : str
        The verdict in one sentence.
    laws : dict
        Observed and expected law on the worst instance, for the figure.
    """

    subject: str
    kind: str
    passed: bool | None
    tv: float
    interval: tuple[float, float]
    p_value: float
    alarm: float
    power: float
    resolved: float
    counterexample: Counterexample | None
    mistake: str | None
    remedy: str | None
    family: str | None
    cases: Table
    method: str
    calls: int
    seconds: float
    reason: str
    laws: dict[str, Any] = field(default_factory=dict, repr=False)
    mistakes: tuple[Mistake, ...] = ()
    __dir__ = public_names

    @property
    def acceptance(self) -> Table:
        """Drafted tokens kept on each instance, beside the most that any lossless rule keeps (empty: not known)."""
        return Table([{"case": row["case"], "kept": row["kept"], "optimum": row["optimum"]} for row in self.cases.rows])

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain values."""
        plain = {name: getattr(self, name) for name in
                 ("subject", "kind", "passed", "tv", "interval", "p_value", "alarm", "power", "resolved", "mistake",
                  "remedy", "family", "method", "calls", "seconds", "reason", "laws")}
        plain["mistakes"] = [{"name": one.name, "wrong": one.wrong, "remedy": one.remedy} for one in self.mistakes]
        found = None if self.counterexample is None else dict(vars(self.counterexample))
        return {**plain, "interval": list(self.interval), "counterexample": found, "cases": self.cases.rows}

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """JSON text, also written to a file where one is named."""
        value = self.to_dict()
        if path is not None:
            write_json(path, value)
        return json.dumps(value, indent=2)

    def __str__(self) -> str:
        """Verdict, numbers, counterexample, remedy and the instances."""
        lines = [f"{WORDS[self.passed]}: {self._what()}", self.reason]
        lines += [f"{name:<15}{value}" for name, value in self._facts()]
        if self.counterexample is not None:
            lines += ["counterexample", *(f"  {line}" for line in str(self.counterexample).splitlines())]
        judged = Table([row for row in self.cases.rows if row.get("n") != 0])  # None: by enumeration
        if len(judged):
            lines += ["", str(judged) if len(judged) < 30 else repr(judged)]
        if left := len(self.cases) - len(judged):
            lines.append(f"{left} of {len(self.cases)} instances were not asked")
        return "\n".join(lines)

    def __repr__(self) -> str:
        """What `str` says."""
        return str(self)

    def _what(self) -> str:
        return f"texts against {self.subject}" if self.kind == "samples" else f"{self.subject} as a {self.kind} rule"

    def _facts(self) -> list[tuple[str, str]]:
        low, high = self.interval
        where = "in the law of ranks" if self.kind == "samples" else "on the worst instance"
        facts = [("distance", f"{self.tv:.4g} in [{low:.4g}, {high:.4g}] {where}"),
                 ("p-value", f"{self.p_value:.3g} (alarm below {self.alarm:.3g})")]
        if self.family:
            facts.append(("worst test" if self.kind == "samples" else "worst instance", self.family))
        for place, one in enumerate(self.mistakes):
            facts += [("or" if place else "known mistake", f"{one.name}: {one.wrong}"), ("remedy", one.remedy)]
        facts.append(("work", f"{self.calls} calls, {self.seconds:.1f} s, {self.method}"))
        return facts

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{escape(text)}"
                       "</td></tr>" for name, text in self._facts())
        found = "" if self.counterexample is None else f"<pre>{escape(str(self.counterexample))}</pre>"
        return (f"<p><b style='color:{COLOURS[self.passed]}'>{WORDS[self.passed]}</b> {escape(self._what())}. "
                f"{escape(self.reason)}</p><table>{rows}</table>{found}"
                f"<details><summary>instances</summary>{self.cases._repr_html_()}</details>")

    def figure(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Observed against expected law on the worst instance, as a matplotlib figure; saved where a path is given."""
        from otspec.plots.auditing import audit_figure

        return audit_figure(self.laws, WORDS[self.passed], path)

    def plot(self, ax: Any = None) -> Any:
        """Draw observed against expected law on the worst instance.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure unless given.

        Returns
        -------
        matplotlib.axes.Axes
        """
        return figure_of(self, "audit", ax)


def _rounded(value: Any) -> str:
    return json.dumps(np.round(np.asarray(value, dtype=np.float64), 4).tolist())
