"""Axes-level figures: a tidy table and matplotlib axes in, the same axes out. Nothing here touches pyplot."""

from otspec.plots.acceptance import acceptance_vs_k, compare, gap_by_context
from otspec.plots.agreement import agreement_vs_tv
from otspec.plots.auditing import observed_against_expected
from otspec.plots.decoding import differences, predicted_vs_measured
from otspec.plots.planner import budget_curves, budget_figure
from otspec.plots.style import context, rule_style

__all__ = [
    "acceptance_vs_k",
    "agreement_vs_tv",
    "budget_curves",
    "budget_figure",
    "compare",
    "context",
    "differences",
    "gap_by_context",
    "observed_against_expected",
    "predicted_vs_measured",
    "rule_style",
]
