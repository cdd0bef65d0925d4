"""Lists decoded in parallel: the floor of the divergence against the number of steps."""

from __future__ import annotations

import math
import sys
from typing import Any

import otspec as ot
from figures import own
from otspec.neighbours.list_tasks import TASKS, list_task, shuffle_rate, shuffle_schedule

NAME = "list_tasks"


def data(quick: bool) -> ot.Table:
    """Best and left-to-right schedules of every task, and shuffles of a long list by the size of the steps."""
    n, long = (5, 100) if quick else (8, 1000)
    rows: list[dict[str, Any]] = []
    for name in TASKS:
        text = list_task(name, n)
        for steps, bound in enumerate(text.best_schedules(), 1):
            rows.append({"panel": "tasks", "task": name, "items": n, "steps": steps, "schedule": "best",
                         "divergence": bound.divergence})
            blocks = [range(text.length * t // steps, text.length * (t + 1) // steps) for t in range(steps)]
            rows.append(rows[-1] | {"schedule": "left_to_right", "divergence": text.divergence(blocks)})
    for steps in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32):
        left = [long - long * t // steps for t in range(steps)]
        equal = sum((m - after) * math.log(m) for m, after in zip(left, [*left[1:], 0], strict=True))
        values = {"best": shuffle_schedule(long, steps)[0], "equal": equal - math.lgamma(long + 1),
                  "limit": long * shuffle_rate(steps)}
        rows += [{"panel": "long", "task": "shuffle", "items": long, "steps": steps, "schedule": schedule,
                  "divergence": value} for schedule, value in values.items()]
    return ot.Table(rows, {"exact": "no sampling"})


def draw(table: ot.Table) -> Any:
    """Left: all tasks on a short list. Right: shuffles of a long one, per item."""
    from otspec.plots.layout import panels
    from otspec.plots.neighbours import long_shuffles, tasks_against_steps
    from otspec.plots.style import context

    with context():
        figure, (left, right) = panels(2, height=3.3)
        tasks_against_steps(table.where(panel="tasks"), left)
        long_shuffles(table.where(panel="long"), right)
        for ax in (left, right):
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))
        return figure


def main(arguments: list[str] | None = None) -> int:
    """Compute and draw, or draw from the data of an earlier run; return the exit code."""
    return own(NAME, __doc__ or "", data, draw, arguments)


if __name__ == "__main__":
    sys.exit(main())
