"""Where the planner's numbers come from: a pair of models after contexts, or a trace with rows along drafted blocks.

A pair can be asked about any drafts. A trace holds the laws along one block after each context, so it knows what block
rules keep of chains, and nothing of trees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from otspec.core.checks import seed_after
from otspec.core.errors import BadArgument
from otspec.core.trace import Trace
from otspec.decode.arguments import as_token_lists, check_warp
from otspec.decode.room import check_room
from otspec.planner.contexts import FEWEST, SHARE, Contexts, split
from otspec.planner.limit import shares_of_prefixes
from otspec.planner.rounds import Method, tokens_per_call
from otspec.planner.tables import acceptance_tables, measured_tree
from otspec.policies.trees import AcceptanceTable
from otspec.verifiers import verifier

CALIBRATION, HELD_OUT, AGAIN = range(3)  # the last: calibration contexts with draws of their own
TITLES = ("try all drafts", "test the choice", "try the best again")  # of the bars, by side
SETS_AGAIN = 2
ROWS = 64  # blocks of a trace that are read together


class PairSource:
    """A pair of models after contexts.

    Parameters
    ----------
    pair : Pair
    prompts, calibration : Trace, or iterable of str or of token lists
        As in `otspec.recommend`.
    budget : int
    temperature : float
    seed, sets : int
    progress : bool
    """

    lengths: int | None = None

    def __init__(self, pair: Any, prompts: Any, calibration: Any, budget: int, temperature: float, *, seed: int,
                 sets: int, progress: bool) -> None:
        self._pair, self._budget, self._warp = pair, budget, check_warp(temperature, None, None)
        self._seed, self._sets, self._progress = seed, sets, progress
        known = None if calibration is None else _texts(pair, calibration)
        self.contexts: Contexts = split(_texts(pair, prompts), known)
        longest = max(len(text) for side in self.contexts for text in side)
        check_room(pair, measured_tree(budget), longest + budget)
        self.settings = {"target": pair.target_name, "draft": pair.draft_name, "fingerprint": pair.fingerprint,
                         "device": str(pair.device), "temperature": self._warp["temperature"], "seed": seed,
                         "sets": sets, "calibration_contexts": len(self.contexts.calibration),
                         "held_out_contexts": len(self.contexts.held_out), "tokenizer": pair.tokenizer is not None}

    def tables(self) -> dict[str, AcceptanceTable] | None:
        """Acceptance tables, measured on the calibration contexts."""
        return acceptance_tables(self._pair, self.contexts.calibration, self._budget, self._warp, seed=self._seed,
                                 sets=self._sets, progress=self._progress)

    def measure(self, methods: Sequence[Method], side: int) -> np.ndarray:
        """Tokens per call ``[methods contexts]`` on one side, with draws that the tables have not seen."""
        texts = self.contexts[HELD_OUT if side == HELD_OUT else CALIBRATION]
        return tokens_per_call(self._pair, texts, methods, self._warp, seed=seed_after(self._seed, 1 + side),
                               sets=self._sets * (SETS_AGAIN if side == AGAIN else 1), progress=self._progress,
                               title=TITLES[side])

    def prefixes(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Chances of prefixes under both models after the held-out contexts, for `otspec.planner.limit`."""
        return shares_of_prefixes(self._pair, self.contexts.held_out, self._budget, self._warp, seed=self._seed)


class TraceSource:
    """A trace with rows along blocks.

    Parameters
    ----------
    trace : Trace
    budget : int
    temperature : float
        That of the recording.

    Raises
    ------
    BadArgument
        No rows along blocks, another temperature, too few contexts.
    """

    def __init__(self, trace: Trace, budget: int, temperature: float) -> None:
        if not trace.draft_length:
            raise BadArgument(f"pair_or_trace: {trace!r} has no rows along blocks. Fix: otspec.record(pair, prompts, "
                              f"draft_length={budget}) for chains, or give the pair itself, with prompts=trace, for "
                              f"trees and several paths too.")
        recorded = trace.provenance.get("temperature", 1.0)
        if temperature != recorded:
            raise BadArgument(f"temperature: {temperature}, but the blocks were drawn at {recorded}. Fix: temperature="
                              f"{recorded}, or otspec.record(..., temperature={temperature}).")
        trace.rows(0)  # refuses laws that were changed after the blocks had been drawn
        if len(trace) < SHARE * FEWEST:
            raise BadArgument(f"pair_or_trace: {len(trace)} contexts, a standard error of both sides needs at least "
                              f"{SHARE * FEWEST}. Fix: record more prompts.")
        self._trace, self.lengths = trace, trace.draft_length
        every = np.arange(len(trace))
        self._sides = every[every % SHARE == 0], every[every % SHARE != 0]
        self.settings = {name: trace.provenance.get(name) for name in ("target", "draft", "fingerprint", "device")} | {
            "temperature": temperature, "seed": trace.provenance.get("seed"), "sets": 1,
            "calibration_contexts": len(self._sides[CALIBRATION]), "held_out_contexts": len(self._sides[HELD_OUT])}

    def tables(self) -> None:
        """None: trees were not recorded."""

    def prefixes(self) -> None:
        """None: the blocks were drawn from the draft model."""

    def measure(self, methods: Sequence[Method], side: int) -> np.ndarray:
        """Tokens per call ``[methods contexts]`` of block rules on the beginnings of the recorded blocks."""
        kept: list[list[np.ndarray]] = [[] for _ in methods]
        places = self._sides[HELD_OUT if side == HELD_OUT else CALIBRATION]
        for start in range(0, len(places), ROWS):
            target, draft, tokens = self._trace.rows(places[start : start + ROWS])
            for found, (drafter, name) in zip(kept, methods, strict=True):
                depth, rule = drafter.depth, verifier(name)
                none = np.zeros((len(tokens), rule.num_uniforms(depth)))  # no coin is tossed
                found.append(rule.expected_paths(target[:, None, : depth + 1], draft[:, None, :depth],
                                                 tokens[:, None, :depth], none))
        return 1.0 + np.stack([np.concatenate(parts) for parts in kept])


def _texts(pair: Any, prompts: Any) -> list[list[int]]:
    return as_token_lists(pair, prompts.prompts if isinstance(prompts, Trace) else prompts)
