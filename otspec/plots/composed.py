"""The figures of a report: panels, titles and legends around the axes-level drawings. A table in, a figure out."""

from __future__ import annotations

from typing import Any

from otspec.core.table import Table
from otspec.plots.acceptance import acceptance_vs_k, gap_by_context, scheme_name
from otspec.plots.agreement import agreement_vs_tv
from otspec.plots.decoding import differences, predicted_vs_measured
from otspec.plots.layout import label_ends, legend_below, panels
from otspec.plots.sequence import difference_to_reference, gap_on_toys
from otspec.plots.style import INK, WIDTH, context


def acceptance_figure(table: Table) -> Any:
    """One panel per scheme; a scheme with a single k joins the panel before it."""
    groups: list[list[str]] = []
    for scheme in dict.fromkeys(table.column("scheme")):
        lone = len(set(table.where(scheme=scheme).column("k"))) == 1
        if lone and groups and scheme == "Hub":
            groups[-1].append(scheme)
        else:
            groups.append([scheme])
    with context():
        figure, axes = panels(len(groups), height=2.25, sharey=True)
        for place, (ax, group) in enumerate(zip(axes, groups, strict=True)):
            acceptance_vs_k(Table([row for row in table.rows if row["scheme"] in group]), ax)
            ax.set_xlim(min(table.column("k")) / 1.15, max(table.column("k")) * 1.15)
            ax.set_title(" and ".join(scheme_name(scheme) for scheme in group).replace(" drafts and", " and"))
            ax.set_ylabel("mean acceptance" if place % 2 == 0 else "")
        for ax in axes:
            # the wide grey line is the optimum; rules of one draft have a point, where all others meet
            names = {"single_draft": ""} | {label: "" for label in ax.get_legend_handles_labels()[1]
                                            if label.startswith("optimum")}
            label_ends(ax, rename=names)
        if len(axes) % 2 and len(axes) > 1:  # the spare cell
            handles, labels = axes[0].get_legend_handles_labels()
            figure.legend([handles[labels.index("optimum")]], ["optimum of the drafts"], loc="center",
                          bbox_to_anchor=(0.75, 0.5 / (len(axes) // 2 + 1)))
        return figure


def gap_figure(table: Table) -> Any:
    """One panel per scheme and k; where some are exact throughout, those that were sampled are not drawn."""
    groups = list(dict.fromkeys(zip(table.column("scheme"), table.column("k"), strict=True)))
    exact = [one for one in groups if "sampled" not in table.where(scheme=one[0], k=one[1]).column("method")]
    groups = exact or groups
    with context():
        figure, axes = panels(len(groups), height=2.5, sharey=True)
        for place, (ax, (scheme, k)) in enumerate(zip(axes, groups, strict=True)):
            gap_by_context(table.where(scheme=scheme, k=k), ax)
            ax.set_title(f"k = {k}, {scheme_name(scheme)}")
            ax.set_ylabel(ax.get_ylabel() if place % 2 == 0 else "")
        legend_below(figure, axes, columns=3)
        return figure


def agreement_figure(table: Table) -> Any:
    """Points of every context between the bounds."""
    with context():
        figure, (ax,) = panels(1, height=3.6)
        agreement_vs_tv(table, ax)
        legend_below(figure, [ax], columns=1, markerscale=1.8)  # points reach into every corner of the axes
        return figure


def decoding_figure(table: Table) -> Any:
    """One line per run: both numbers, and their difference on a scale of its own."""
    with context():
        figure, (ax, beside) = panels(2, height=1.3 + 0.155 * len(table), sharey=True)
        predicted_vs_measured(table, ax)
        differences(table, beside)
        beside.set_title(beside.get_title(), loc="center", fontsize="medium")
        beside.locator_params(axis="x", nbins=3)
        legend_below(figure, [ax], columns=1, markerscale=0.8)
        return figure


def toys_figure(table: Table) -> Any:
    """One panel per number of paths, the most paths first."""
    with context():
        sizes = sorted(set(table.column("paths")), reverse=True)
        figure, axes = _stacked(table, sizes)
        for ax, paths in zip(axes, sizes, strict=True):
            part = table.where(paths=paths)
            gap_on_toys(part, ax)
            lengths = " or ".join(str(length) for length in sorted(set(part.column("draft_length"))))
            ax.set_title(f"{paths} path{'s' * (paths > 1)} of {lengths} tokens")
            ax.set_xlabel(ax.get_xlabel() if ax is axes[-1] else "")
        widest = max(ax.get_xlim()[1] for ax in axes)
        for ax in axes:
            ax.set_xlim(right=widest)
        return figure


def sequences_figure(table: Table) -> Any:
    """One panel per number of paths; open markers are the shorter paths."""
    with context():
        sizes = sorted(set(table.column("paths")))
        figure, axes = _stacked(table, sizes)
        for ax, paths in zip(axes, sizes, strict=True):
            difference_to_reference(table.where(paths=paths), ax)
            ax.set_title(f"{paths} path{'s' * (paths > 1)}, against {'Traversal' if paths > 1 else 'block'}")
            ax.margins(x=0.1)
            ax.locator_params(axis="x", nbins=5)
        axes[-1].set_xlabel("difference in tokens per call (± 1 s.e.)")
        lengths = sorted(set(table.column("draft_length")))
        for length in lengths:
            axes[0].plot([], [], "o", color=INK, mfc=INK if length == lengths[-1] else "white",
                         label=f"{length} tokens per path")
        figure.legend(loc="outside lower right", ncols=len(lengths))
        return figure


def _stacked(table: Table, sizes: list[int]) -> tuple[Any, list[Any]]:
    """Panels one above the other, each as high as its rules need."""
    from matplotlib.figure import Figure

    rules = [len(set(table.where(paths=paths).column("rule"))) for paths in sizes]
    figure = Figure(figsize=(WIDTH, 0.6 + sum(0.35 + 0.19 * count for count in rules)), layout="constrained")
    heights = [1 + count for count in rules]
    return figure, list(figure.subplots(len(sizes), 1, squeeze=False, height_ratios=heights).flat)
