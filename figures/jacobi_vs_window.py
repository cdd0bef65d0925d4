"""Speculative Jacobi decoding: target calls per token against the window, by coupling and by fill."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import otspec as ot
from figures import own
from otspec.core.versions import installed
from otspec.neighbours.jacobi import COUPLINGS, FILLS

NAME = "jacobi_vs_window"
PROMPT, LENGTH, SEED = 32, 32, 0


def data(quick: bool) -> ot.Table:
    """Runs on a random Markov model and on the pocket pair: all couplings with one fill, all fills with one."""
    windows = (1, 4) if quick else (1, 2, 4, 8, 16)
    count, prompts, length = (200, 2, 8) if quick else (4000, 24, LENGTH)
    rows: list[dict[str, Any]] = []
    rng = np.random.default_rng(3)
    target = ot.MarkovModel(rng.dirichlet(np.full(8, 0.3), 8))
    draft = ot.MarkovModel(0.5 * target.transition + 0.5 * rng.dirichlet(np.full(8, 0.3), 8))
    pair, trace = ot.load_pair("pocket", device="cpu"), ot.load_trace("pocket")
    texts = [context[-PROMPT:].tolist() for context in trace.contexts[:prompts]]
    kinds = [(coupling, "random") for coupling in COUPLINGS] + [("maximal", fill) for fill in FILLS[1:]]
    for coupling, fill in kinds:
        for window in windows:
            toy = ot.jacobi(target, window, length=length, n=count, seed=SEED, coupling=coupling, fill=fill,
                            draft_model=draft if fill == "draft" else None)
            real = ot.decode_jacobi(pair, texts, window, max_new_tokens=length, seed=SEED, coupling=coupling,
                                    fill=fill, progress=False)
            for model, run in (("toy", toy), ("pocket", real)):
                found = run.calls_per_token
                rows.append({"model": model, "coupling": coupling, "fill": fill, "window": window,
                             "calls_per_token": found.mean, "stderr": found.stderr, "n": found.n})
    return ot.Table(rows, {"seed": SEED, "length": length, "prompt": PROMPT, **installed()})


def draw(table: ot.Table) -> Any:
    """One panel per model for the couplings, one for the fills."""
    from otspec.plots.layout import label_ends, panels
    from otspec.plots.neighbours import jacobi_vs_window
    from otspec.plots.style import context

    with context():
        figure, axes = panels(3, height=2.3, sharey=True)
        parts = (("toy", "fill", "random", "Markov model, 8 tokens"),
                 ("pocket", "fill", "random", "pocket target"),
                 ("pocket", "coupling", "maximal", "pocket, maximal coupling"))
        for ax, (model, fixed, value, title) in zip(axes, parts, strict=True):
            shown = table.where(model=model, **{fixed: value})
            jacobi_vs_window(shown, ax, by="fill" if fixed == "coupling" else "coupling").set_title(title)
            ax.set_ylabel(ax.get_ylabel() if ax is not axes[1] else "")
        for ax in axes:
            label_ends(ax)
        return figure


def main(arguments: list[str] | None = None) -> int:
    """Measure and draw, or draw from the data of an earlier run; return the exit code."""
    return own(NAME, __doc__ or "", data, draw, arguments)


if __name__ == "__main__":
    sys.exit(main())
