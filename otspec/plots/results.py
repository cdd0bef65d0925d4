"""What ``.plot()`` of a result draws: one function for each kind of result, which reads its public attributes only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from otspec.core.errors import BadArgument
from otspec.core.host import to_host
from otspec.core.table import Table
from otspec.plots.acceptance import acceptance_vs_k, compare, gap_by_context
from otspec.plots.agreement import agreement_vs_tv
from otspec.plots.auditing import observed_against_expected
from otspec.plots.couplings import agreement_of_couplings
from otspec.plots.decoding import predicted_vs_measured
from otspec.plots.length_policies import phase_diagram, speedup_of_policies
from otspec.plots.lossy import lossy_frontier
from otspec.plots.planner import budget_curves
from otspec.plots.sequence import efficiency_vs_length, gap_on_toys
from otspec.plots.style import COLOURS, INK, OPTIMUM, WIDTH, context, rule_style

Axes = Any
MOST = 16  # tokens or settings of one panel
LEGEND = 6.5


def draw(result: Any, how: str, ax: Axes | None = None) -> Axes:
    """Draw a result in the way of its kind, in new axes unless they are given.

    Parameters
    ----------
    result : object
    how : str
        Key of `WAYS`.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    Axes
        In a figure of pyplot where they are new, so that notebooks and ``plt.show()`` show it.
    """
    with context():
        if ax is not None:
            return WAYS[how](result, ax)
        from matplotlib import pyplot as plt

        figure, made = plt.subplots(figsize=(1.4 * WIDTH, 3.0), layout="constrained")
        try:
            return WAYS[how](result, made)
        except Exception:
            plt.close(figure)
            raise


def bound(result: Any, ax: Axes) -> Axes:
    """Winner law with the tokens of the cut in orange; of a batch, the share of contexts below each optimum."""
    upper = to_host(result.upper, np.float64)
    if upper.size == 0:
        raise BadArgument(f"bound: no contexts (batch {upper.shape}). Fix: laws of at least one context.")
    if upper.ndim:
        return _spread(upper.ravel(), ax, "optimal acceptance")
    mass, cut = _evidence(result)
    order = np.argsort(-mass, kind="stable")[:MOST]
    order = np.sort(order)
    for inside, colour, label in ((True, COLOURS[5], "in the cut"), (False, COLOURS[4], "outside")):
        places = np.flatnonzero(cut[order] == inside)
        if places.size:
            ax.bar(places, mass[order][places], width=0.7, color=colour, label=label)
    ax.set_xticks(range(order.size), [str(token) for token in order], rotation=90 if order.size > 10 else 0)
    ax.set_ylim(0, 1.3 * float(mass[order].max(initial=0.0)) or 1.0)
    ax.set_xlabel("token" if order.size == mass.size else f"token ({order.size} heaviest of {mass.size})")
    ax.set_ylabel("winner law" if result.winner_law is not None else "mass sent to drafts")
    ax.set_title(f"{type(result).__name__}: {float(upper):.4f}, gap {max(float(to_host(result.gap)), 0.0):.0e}")
    ax.grid(axis="x", visible=False)
    ax.legend(loc="upper right", ncols=2, fontsize=LEGEND)
    return ax


def table(result: Table, ax: Axes) -> Axes:
    """Draw the figure that belongs to the columns of the table.

    Raises
    ------
    BadArgument
        No figure is known for them, or rows of several settings would lie on one line.
    """
    columns = set(result.columns)
    for name in sorted(ALIKE & columns):
        if len(values := list(dict.fromkeys(result.column(name)))) > 1:
            raise BadArgument(f"table: its column {name} holds {', '.join(map(repr, values))}. "
                              f"Fix: table.where({name}={values[0]!r}).plot().")
    drawn = Table([row for row in result.rows if row.get("rule") not in ("optimum", "winner_law")], result.metadata)
    several = {"scheme", "k"} <= columns and len({(row["scheme"], row["k"]) for row in drawn.rows}) > 1
    for needed, function in FIGURES:
        if needed <= columns and drawn.rows and not (function is compare and several):
            function(drawn, ax)
            if not ax.get_legend() and len(ax.get_legend_handles_labels()[1]) > 1:
                ax.legend(fontsize=LEGEND)
            return ax
    raise BadArgument(f"table: no figure belongs to the columns {', '.join(result.columns) or '(none)'}. Fix: "
                      f"ot.plots has figures by name, and .to_pandas().plot() draws any columns.")


def couplings(result: Table, ax: Axes) -> Axes:
    """Agreement of every coupling as a bar, with a mark at what no coupling exceeds."""
    rows = result.rows[::-1]
    for place, row in enumerate(rows):
        ax.barh(place, row["agreement"], height=0.65, xerr=row["stderr"] or None,
                color=rule_style(row["coupling"])["color"])
        ax.plot(row["upper"], place, "|", color=INK, ms=11, mew=1.6, label=None if place else "no coupling is above")
    ax.set_yticks(range(len(rows)), [f"{row['coupling']}, {row['drafts']}" for row in rows])
    ax.set_xlim(0, 1.02)
    ax.set_xlabel("Pr[agreement]; coupling, number of drafts")
    ax.grid(axis="y", visible=False)
    return ax


def lengths(result: Table, ax: Axes) -> Axes:
    """Speed-up of every length policy with its standard error, the fastest on top."""
    rows = sorted(result.rows, key=lambda row: row["speedup"])
    ax.errorbar([row["speedup"] for row in rows], range(len(rows)), xerr=[row["speedup_stderr"] or 0.0 for row in rows],
                ls="none", marker="o", color=COLOURS[4], elinewidth=1.0)
    ax.axvline(1.0, color=INK, ls=":")
    ax.set_yticks(range(len(rows)), [f"{row['policy']}, {row['parameters']}" for row in rows])
    ax.set_xlabel("speed-up over plain sampling (± s.e.)")
    return ax


def profile(result: Table, ax: Axes) -> Axes:
    """Draw the acceptance at each depth: given that all before it were kept, and of all rounds."""
    for name, colour, marker in (("conditional", COLOURS[4], "o"), ("unconditional", COLOURS[5], "s")):
        rows = [row for row in result.rows if row[name] is not None]
        ax.errorbar([row["position"] for row in rows], [row[name] for row in rows],
                    [row[f"{name}_stderr"] or 0.0 for row in rows], color=colour, marker=marker, elinewidth=0.8,
                    label={"conditional": "kept, given all before", "unconditional": "kept, of all rounds"}[name])
    ax.set_xticks(result.column("position"))
    ax.set_ylim(0, 1.05)
    ax.set_xlabel("place in the draft")
    ax.set_ylabel("share of rounds (± s.e.)")
    ax.legend(fontsize=LEGEND)
    return ax


def run(result: Any, ax: Axes) -> Axes:
    """Profile of a decoding run, with tokens per call in the title."""
    profile(result.profile(), ax)
    measured = result.block_efficiency
    predicted = "" if result.predicted is None else f", {result.predicted_efficiency.mean:.3f} predicted"
    error = f" ± {measured.stderr:.3f}" if np.isfinite(measured.stderr) else ""
    ax.set_title(f"{measured.mean:.3f}{error} tokens per call{predicted}")
    return ax


def sweep(result: Any, ax: Axes) -> Axes:
    """Tokens per call of every setting, the best on top; diamonds are predictions."""
    rows = sorted(result.to_table().rows, key=lambda row: row["tokens_per_call"])[-MOST:]
    axes = list(rows[0])[1:list(rows[0]).index("tokens")]
    for place, row in enumerate(rows):
        ax.errorbar(row["tokens_per_call"], place, xerr=row["stderr"] or None, color=COLOURS[4], marker="o",
                    elinewidth=1.0, label="measured ± s.e." if place == 0 else None)
        if row["predicted"] is not None:
            ax.plot(row["predicted"], place, "D", ms=6, mfc="none", mec=INK,
                    label="predicted" if place == 0 else None)
    ax.set_yticks(range(len(rows)), [", ".join(str(row[name]) for name in axes) for row in rows], fontsize=LEGEND)
    ax.set_ylim(-0.7, len(rows) + 0.6)
    ax.set_xlabel("tokens per target call")
    ax.set_title(", ".join(axes))
    ax.legend(loc="upper left", ncols=2, fontsize=LEGEND)
    return ax


def path_bound(result: Any, ax: Axes) -> Axes:
    """Share of contexts whose bound lies below each number, with the mean.

    Raises
    ------
    BadArgument
        The bound holds for the mean alone.
    """
    if result.by_context is None:
        raise BadArgument(f"kind: {result.kind!r} on recorded rows bounds the mean only. Fix: give the pair, or read "
                          f"bound.tokens.")
    _spread(result.by_context, ax, "tokens per call that no stateless rule exceeds")
    ax.set_title(f"{result.num_paths} × {result.draft_length}: {result.tokens.mean:.3f} ± {result.tokens.stderr:.3f}")
    return ax


def recommendation(result: Any, ax: Axes) -> Axes:
    """Tokens per call against the budget, best of each family, with the limit of independent paths."""
    budget_curves(result.drawn, ax)
    ax.set_title(result.title, fontsize=7)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(fontsize=LEGEND, ncols=2)
    return ax


def audit(result: Any, ax: Axes) -> Axes:
    """Observed against expected law on the worst instance."""
    if not result.laws:
        raise BadArgument("laws: this audit kept none. Fix: audit again in this session, then .plot().")
    return observed_against_expected(result.laws, ax)


def _spread(values: np.ndarray, ax: Axes, label: str) -> Axes:
    """Share of contexts at or below each value, and the mean as a dashed line."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    ax.plot(ordered, np.arange(1, ordered.size + 1) / ordered.size, drawstyle="steps-post", color=COLOURS[4],
            marker="o" if ordered.size <= MOST else None, ms=3, label="contexts")
    ax.axvline(ordered.mean(), color=OPTIMUM["color"], ls="--", label=f"mean {ordered.mean():.3f}")
    ax.set_ylim(0, 1.03)
    ax.set_xlabel(label)
    ax.set_ylabel(f"share of {ordered.size} contexts")
    ax.legend(fontsize=LEGEND)
    return ax


def _evidence(result: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mass of every token in the lower end's evidence, and membership of the cut, ``[V]`` each."""
    mass = result.winner_law if result.winner_law is not None else result.plan.matched
    return to_host(mass, np.float64), to_host(result.cut.subset, bool)


#: columns that hold one value in all rows of a figure, where a table has them
ALIKE = {"temperature", "top_k", "top_p", "paths"}
#: columns that a figure of a table needs; the first that fits is drawn
FIGURES: tuple[tuple[frozenset[str], Callable[[Table, Axes], Axes]], ...] = (
    (frozenset({"position", "conditional", "unconditional"}), profile),
    (frozenset({"scheme", "k", "rule", "acceptance", "optimum"}), compare),
    (frozenset({"scheme", "k", "rule", "acceptance", "stderr", "optimum"}), acceptance_vs_k),
    (frozenset({"rule", "draft_length", "efficiency", "stderr"}), efficiency_vs_length),
    (frozenset({"rule", "price", "acceptance", "optimum"}), lossy_frontier),
    (frozenset({"rule", "gap", "method", "context"}), gap_by_context),
    (frozenset({"rule", "run", "measured", "predicted", "difference_stderr"}), predicted_vs_measured),
    (frozenset({"budget", "family", "tokens", "stderr", "speedup"}), budget_curves),
    (frozenset({"policy", "draft_cost", "speedup", "speedup_stderr"}), speedup_of_policies),
    (frozenset({"policy", "parameters", "speedup", "speedup_stderr"}), lengths),
    (frozenset({"rule", "gap_percent", "vocabulary"}), gap_on_toys),
    (frozenset({"batch_size", "acceptance", "length", "goodput"}), phase_diagram),
    (frozenset({"coupling", "drafts", "agreement", "upper"}), couplings),
    (frozenset({"coupling", "drafts", "tv", "agreement"}), agreement_of_couplings),
    (frozenset({"coupling", "tv", "agreement"}), agreement_vs_tv),
)
WAYS: dict[str, Callable[[Any, Axes], Axes]] = {
    "bound": bound, "table": table, "run": run, "sweep": sweep, "path_bound": path_bound,
    "recommendation": recommendation, "audit": audit,
}
