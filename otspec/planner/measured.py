"""What a draft step and a target call take on this machine, timed as the decoder makes them.

After the same texts the draft model reads one token of each, and the target reads a token and a chain of drafts behind
it; the laws in double precision, which every rule needs, are part of both. What the rule takes is not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from otspec.core.checks import check_positive, whole
from otspec.core.errors import BadArgument
from otspec.core.progress import progress_bar
from otspec.core.table import Table
from otspec.decode.arguments import as_token_lists, check_warp
from otspec.planner.costs import Costs
from otspec.recording.along import sides

REPEATS = 7
DRAFTS = (0, 1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class MeasuredCosts:
    """Times of both models.

    Attributes
    ----------
    table : Table
        Columns ``batch_size``, ``drafts`` (verified beside the last token), ``target_ms`` and ``draft_ms`` (median).
    """

    table: Table

    def at(self, batch_size: int) -> Costs:
        """Costs in milliseconds at a batch size that was measured.

        Raises
        ------
        BadArgument
        """
        rows = self.table.where(batch_size=batch_size).rows
        if not rows:
            known = sorted(set(self.table.column("batch_size")))
            raise BadArgument(f"batch_size: {batch_size} was not measured. Fix: one of {known}, or measure it.")
        curve = {batch_size * (row["drafts"] + 1): row["target_ms"] for row in rows}
        return Costs(rows[0]["draft_ms"], curve, batch_size)


def measure_costs(pair: Any, prompts: Iterable[Any], *, batch_sizes: Sequence[int] = (1, 8, 32),
                  drafts: Sequence[int] = DRAFTS, repeats: int = REPEATS, progress: bool = False) -> MeasuredCosts:
    """Time the models of a pair at several batch sizes and token counts.

    Parameters
    ----------
    pair : Pair
    prompts : iterable of str or of token lists
        Texts to stand behind; used again where a batch is larger.
    batch_sizes, drafts : sequences of int
        Sequences decoded together; drafts that a target call reads beside the last token.
    repeats : int
        Calls of each kind after one that is not counted; the median is kept.
    progress : bool

    Raises
    ------
    BadArgument
        No batch size, no number of drafts, or one that is none.
    """
    texts = as_token_lists(pair, prompts)
    sizes, counts = [check_positive("batch_sizes", size) for size in batch_sizes], [whole(count) for count in drafts]
    if not sizes or not counts or any(count is None or count < 0 for count in counts):
        raise BadArgument(f"batch_sizes, drafts: {tuple(batch_sizes)} and {tuple(drafts)}. Fix: at least one of each, "
                          f"drafts of whole numbers of at least 0, such as (1, 8) and (0, 4).")
    repeats = check_positive("repeats", repeats)
    rows = []
    with progress_bar(len(sizes), "batch sizes", progress, title="time both models") as bar:
        for size in sizes:
            draft_ms, target_ms = _times(pair, [texts[i % len(texts)] for i in range(size)], drafts, repeats)
            rows += [{"batch_size": size, "drafts": count, "target_ms": taken, "draft_ms": draft_ms}
                     for count, taken in zip(drafts, target_ms, strict=True)]
            bar.update(1)
    return MeasuredCosts(Table(rows, {"target": pair.target_name, "draft": pair.draft_name, "device": str(pair.device),
                                      "repeats": repeats, "context_tokens": max(map(len, texts))}))


def _times(pair: Any, texts: list[list[int]], drafts: Sequence[int], repeats: int) -> tuple[float, list[float]]:
    """Milliseconds of a draft step, and of a target call for each number of drafts."""
    import torch

    longest = max(map(len, texts))
    with torch.inference_mode():
        target, draft = sides(pair, texts, check_warp(1.0, None, None), longest=longest + max(drafts), branches=True)
        chain = torch.arange(max(drafts), device=draft.ends.device).expand(len(texts), -1)
        draft.start()
        step = _median(pair, lambda: draft.after(draft.ends[:, -1:], draft.ends[:, -1:] * 0), repeats)

        def call(count: int) -> Callable[[], None]:
            def run() -> None:
                target.rows(draft.ends[:, -1], chain[:, :count], chain[:, :count])
                target.forget(chain, longest)

            return run

        return step, [_median(pair, call(count), repeats) for count in drafts]


def _median(pair: Any, run: Callable[[], Any], repeats: int) -> float:
    """Median milliseconds of a call, the device waited for."""
    import torch

    taken = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        run()
        if str(pair.device).startswith("cuda"):
            torch.cuda.synchronize(pair.device)
        taken.append(time.perf_counter() - start)
    return 1e3 * float(np.median(taken[1:]))
