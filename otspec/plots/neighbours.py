"""Figures of the neighbouring systems: Jacobi iteration, lists decoded in parallel, best-of-n, blockwise heads."""

from __future__ import annotations

from typing import Any

from otspec.core.table import Table
from otspec.plots.style import COLOURS, INK, MARKERS, rule_style


def line(place: int) -> dict[str, str]:
    """Colour and marker by place, as keyword arguments of ``ax.plot``."""
    return {"color": COLOURS[place], "marker": MARKERS[place]}


# look and label by name, the same in every panel
JACOBI = {"independent": (line(1), "fresh redraw"), "maximal": (rule_style("maximal"), "maximal coupling"),
          "gumbel": (rule_style("gumbel"), "Gumbel coupling"), "random": (rule_style("maximal"), "random token"),
          "repeat": (line(5), "repeat the last"), "draft": (line(6), "draft model")}


def jacobi_vs_window(table: Table, ax: Any, *, by: str = "coupling") -> Any:
    """Target calls per token against the window, with bars of one standard error, above the floor 1/(W+1).

    Parameters
    ----------
    table : Table
        Columns ``window``, ``calls_per_token``, ``stderr``, and the one named by ``by``.
    ax : matplotlib axes
    by : {"coupling", "fill"}

    Returns
    -------
    The same axes.
    """
    windows = sorted(set(table.column("window")))
    for name in dict.fromkeys(table.column(by)):
        part, (style, label) = table.where(**{by: name}), JACOBI[name]
        ax.errorbar(part.column("window"), part.column("calls_per_token"), part.column("stderr"), elinewidth=0.8,
                    label=label, **style)
    ax.plot(windows, [1 / (window + 1) for window in windows], "--", color=INK, label="every draft kept")
    ax.set(xscale="log", xlabel="window W (tokens)", ylabel="target calls per token", ylim=(0, 1.02))
    ax.set_xticks(windows, [str(window) for window in windows])
    ax.minorticks_off()
    return ax


TASKS = {"shuffle": (4, "shuffle"), "insert_random": (5, "insert, random place"),
         "remove_random": (6, "remove, random place"), "replace_random": (3, "replace, random place"),
         "copy": (1, "copy; replace, given place")}  # both cost nothing, so one line stands for both


def tasks_against_steps(table: Table, ax: Any) -> Any:
    """Floor of the divergence of every list task against the number of steps: best schedule, and left to right.

    Parameters
    ----------
    table : Table
        Columns ``task``, ``items``, ``steps``, ``schedule`` (``best``, ``left_to_right``), ``divergence``.
    ax : matplotlib axes

    Returns
    -------
    The same axes.
    """
    for name, (place, label) in TASKS.items():
        for schedule, style in (("left_to_right", ":"), ("best", "-")):
            part = table.where(task=name, schedule=schedule)
            ax.plot(part.column("steps"), part.column("divergence"), style, label=label if style == "-" else None,
                    **(line(place) if style == "-" else {"color": COLOURS[place]}))
    ax.plot([], [], ":", color=INK, label="left to right, equal steps")
    ax.set(xlabel="decoding steps T", ylabel="least KL(data || decoder) (nats)",
           title=f"answers on a list of {table.rows[0]['items']} items")
    ax.set_xticks(sorted(set(table.column("steps"))))
    return ax


def long_shuffles(table: Table, ax: Any) -> Any:
    """Floor per item of shuffling a long list: best steps, equal steps, and the limit of long lists."""
    styles = {"equal": {"color": COLOURS[1], "marker": "s", "label": "equal steps"},
              "best": {**line(4), "label": "best steps"},
              "limit": {"color": INK, "linestyle": "--", "label": "limit of the best, long lists"}}
    items = table.rows[0]["items"]
    for schedule, style in styles.items():
        part = table.where(schedule=schedule)
        ax.plot(part.column("steps"), [value / items for value in part.column("divergence")], **style)
    ax.set(xscale="log", yscale="log", xlabel="decoding steps T", ylabel="least KL per item (nats)",
           title=f"shuffle of {items} items")
    ticks = [1, 2, 4, 8, 16, 32]
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.set_yticks([0.1, 0.2, 0.5, 1.0], ["0.1", "0.2", "0.5", "1"])
    ax.minorticks_off()
    return ax


def best_of_n_divergence(table: Table, ax: Any) -> Any:
    """Divergence of best-of-n from the draft law against n: bound, exact value, estimate from the winners.

    Parameters
    ----------
    table : Table
        Columns ``n``, ``entropy``, ``exact``, ``estimate``, ``stderr``, ``bound``.
    ax : matplotlib axes

    Returns
    -------
    The same axes.
    """
    for place, entropy in zip((3, 5, 4), dict.fromkeys(table.column("entropy")), strict=False):
        part = table.where(entropy=entropy)
        ax.plot(part.column("n"), part.column("exact"), label=f"draft law of {entropy:.1f} nats", **line(place))
        ax.errorbar(part.column("n"), part.column("estimate"), part.column("stderr"), ls=":", color=COLOURS[place],
                    elinewidth=0.8)
    part = table.where(entropy=table.rows[0]["entropy"])
    ax.plot(part.column("n"), part.column("bound"), "--", color=INK, label="log n − (n−1)/n: none is above")
    ax.plot([], [], ":", color=INK, label="estimate from the winners")
    ax.set(xscale="log", xlabel="draws n", ylabel="KL(best of n || draft) (nats)",
           title="scores: the target's probabilities")
    ticks = [1, 2, 4, 8, 16, 32, 64, 128]
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    return ax


def best_of_n_acceptance(table: Table, ax: Any) -> Any:
    """Largest acceptance of k drafts when the target is the law of best-of-n; a ring where k = n."""
    for place, n in zip((3, 5, 4), sorted(set(table.column("n"))), strict=False):
        part = table.where(n=n)
        ax.plot(part.column("k"), part.column("acceptance"), label=f"target: best of {n}", **line(place))
        ax.plot([n], [1.0], "o", mfc="none", mec=INK, ms=9, mew=1.0, clip_on=False)
    ax.plot([], [], "o", mfc="none", mec=INK, ms=7, ls="none", label="k = n: no rejection")
    ax.set(xlabel="number of drafts k", ylabel="optimal acceptance", title="n drafts reach best-of-n")
    ax.set_xticks(range(1, 11))
    return ax


def reward_against_divergence(table: Table, ax: Any) -> Any:
    """Mean reward per token against nats per token: the optimum, and best-of-n on texts of each length.

    Parameters
    ----------
    table : Table
        Columns ``length`` (None on the curve of the optimum), ``divergence``, ``reward``.
    ax : matplotlib axes

    Returns
    -------
    The same axes.
    """
    best = table.where(length=None)
    ax.plot(best.column("divergence"), best.column("reward"), color=INK, label="optimum (tilted model)")
    lengths = [length for length in dict.fromkeys(table.column("length")) if length is not None]
    for place, length in zip((1, 5, 3, 4), lengths, strict=False):
        part = table.where(length=length)
        ax.plot(part.column("divergence"), part.column("reward"), ls="none", label=f"best-of-n, {length} tokens",
                **line(place))
    ax.set(xlabel="KL(model || reference) per token (nats)", ylabel="mean reward per token")
    return ax


DRAFTS = {"oracle": ({"color": INK, "linestyle": "--", "marker": "*"}, "best path of the lattice"),
          "local": ({**line(3)}, "draft model, in the lattice"),
          "neural": ({**line(4)}, "bigrams, then draft model"), "ngram": ({**line(5)}, "bigrams"),
          "heads": ({**line(1)}, "heads alone"),
          "draft_model": ({"color": COLOURS[6], "linestyle": ":"}, "draft model, token by token")}


def verified_against_width(table: Table, ax: Any) -> Any:
    """Verified prefix of a block against the tokens of the lattice in each position, with one standard error.

    Parameters
    ----------
    table : Table
        Columns ``draft``, ``k``, ``verified``, ``stderr``, as `otspec.blockwise` gives them.
    ax : matplotlib axes

    Returns
    -------
    The same axes.
    """
    for name, (style, label) in DRAFTS.items():
        part = table.where(draft=name)
        ax.errorbar(part.column("k"), part.column("verified"), part.column("stderr"), elinewidth=0.8, label=label,
                    **style)
    widths = sorted(set(table.column("k")))
    ax.set(xscale="log", xlabel="tokens k of the lattice per position", ylabel="verified prefix (tokens)",
           title=f"{table.rows[0]['n']} blocks of the pocket target", ylim=(1, None))
    ax.set_xticks(widths, [str(width) for width in widths])
    ax.minorticks_off()
    return ax


def head_accuracy(table: Table, ax: Any) -> Any:
    """How often the target's likeliest token is the head's, or among its eight best, against the position."""
    for fit, place, name in (("trained", 4, "trained"), ("closed_form", 2, "closed form")):
        part = table.where(draft=fit)
        for column, dash, label in (("top_8", "--", "8 best"), ("top_1", "-", "best")):
            ax.plot(part.column("position"), [100 * share for share in part.column(column)], dash,
                    label=f"{name}, {label}", **line(place))
    ax.set(xlabel="position in the block", ylabel="right token (% of positions)", title="heads on held-out text",
           ylim=(0, None))
    ax.set_xticks(sorted(set(table.column("position"))))
    return ax
