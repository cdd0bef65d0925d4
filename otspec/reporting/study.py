"""The tables of a report, each made when it is asked for, by stages that a store may keep.

Report and figure scripts share this class; they differ in what they ask for and in the store.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import cached_property, partial
from typing import Any

from otspec import __version__
from otspec.analysis.toys import compare_toys
from otspec.core.errors import BadArgument
from otspec.core.table import Table
from otspec.core.trace import Trace
from otspec.decode.identity import identity
from otspec.decode.models import Pair
from otspec.reporting import exact
from otspec.reporting.advice import advice
from otspec.reporting.bounds import with_limit
from otspec.reporting.couplings import coupling_rows
from otspec.reporting.decoded import (
    Models,
    check_pair,
    decoding_row,
    decoding_row_by,
    efficiency_rows,
    is_small,
    pair_of,
)
from otspec.reporting.folder import Store, compute_only
from otspec.reporting.parallel import in_threads, workers
from otspec.reporting.sequences import sequence_rows
from otspec.reporting.settings import Run, Settings

GAP_SCHEMES = (("WithReplacement", 4), ("WithoutReplacement", 2), ("WithoutReplacement", 4))
WARP = ("temperature", "top_k", "top_p")


class Study:
    """What can be known about one trace, and about its models where they are at hand.

    Parameters
    ----------
    trace : Trace
    settings : Settings
    pair : Pair, optional
        The models of the trace; those that ship with otspec are found by themselves.
    store : callable
        ``store(name, inputs, compute) -> result``; computes always unless given.
    tick : callable
        Told the stages done, in fractions of one, with the name of the stage.
    executor : concurrent.futures.Executor, optional
        Who decodes.
    """

    def __init__(self, trace: Trace, settings: Settings, *, pair: Pair | None = None, store: Store = compute_only,
                 tick: Callable[[float, str], Any] = lambda amount, name: None,
                 executor: Executor | None = None) -> None:
        self.trace, self.settings, self._executor = trace, settings, executor
        self._store, self._tick = store, tick
        if pair is not None:
            check_pair(pair, trace.provenance)
        load = pair_of(trace.provenance) if pair is None else lambda: pair
        self._given, self._models = pair, None if load is None else Models(load)
        self._results: list[dict[str, Any]] | None = None
        self._done: dict[str, Any] = {}
        self.contexts = exact.evenly(len(trace), settings.contexts)
        self.schemes = [scheme for scheme in settings.schemes if scheme.num_drafts <= trace.vocab_size]

    @property
    def no_models(self) -> str | None:
        """Why nothing can be decoded, or None."""
        if self._models is None:
            return ("the trace was not recorded from models that ship with otspec and none were given "
                    "(otspec report --trace ... --target ... --draft ...)")
        if self.trace.contexts is None:
            return "the trace holds no contexts to decode from"
        if self.trace.transforms:
            return f"the laws of the trace were changed after recording: {list(self.trace.transforms)}"
        return None

    @property
    def no_paths(self) -> str | None:
        """Why no paths can be drawn for sequence-level rules, or None."""
        cut = [key for key in WARP[1:] if self._warp().get(key) is not None]
        return self.no_models or (f"the trace was recorded with {cut[0]}, and paths are drawn from whole laws" if cut
                                  else None)

    @property
    def pair_fingerprint(self) -> str | None:
        """Name of the weights, known without loading them."""
        return self.trace.provenance.get("fingerprint") if self._given is None else self._given.fingerprint

    @cached_property
    def pair_identity(self) -> Any:
        """All that results of the models depend on; of models that are still to be loaded, the name of their files."""
        return self.pair_fingerprint if self._given is None else identity(self._given)

    @property
    def runs(self) -> list[Run]:
        """Decoding runs whose drafts the vocabulary can hold."""
        return [run for run in self.settings.runs if run.most_draws <= self.trace.vocab_size]

    @property
    def stages(self) -> int:
        """Number of stages of everything, for a progress bar."""
        with_models = (0 if self.no_models else len(self.runs) + 1) + (0 if self.no_paths else 2)
        return len(self.schemes) + 3 + with_models

    def results(self) -> list[dict[str, Any]]:
        """Acceptance by context, scheme by scheme (see `exact.scheme_result`)."""
        if self._results is None:
            self._results = [self._scheme(scheme) for scheme in self.schemes]
        return self._results

    def _scheme(self, scheme: Any) -> dict[str, Any]:
        settings = self.settings
        return self._stage(f"acceptance-{type(scheme).__name__}-{scheme.num_drafts}",
                           {"scheme": repr(scheme), "contexts": self.contexts.tolist(), "lists": settings.lists},
                           lambda tick: exact.scheme_result(self.trace, scheme, self.contexts, settings.lists,
                                                            settings.seed, tick))

    def acceptance(self) -> Table:
        """Mean acceptance per scheme and rule."""
        return self._noted(exact.acceptance_table(self.results()))

    def gap_by_context(self) -> Table:
        """Distance to the optimum per context."""
        chosen = [one for one in GAP_SCHEMES if one in {(r["scheme"], r["k"]) for r in self.results()}]
        return self._noted(exact.gap_table(self.results(), chosen))

    def agreement(self) -> Table:
        """Agreement of couplings per context."""
        return self._noted(Table(self._stage("agreement", {"contexts": self.contexts.tolist()},
                                             lambda tick: exact.agreement_rows(self.trace, self.contexts, tick))))

    def couplings(self) -> Table:
        """All couplings side by side, means over some contexts."""
        return self._noted(Table(self._stage("couplings", {"contexts": self.contexts.tolist()}, lambda tick:
                                             coupling_rows(self.trace, self.contexts, self.settings.seed, tick))))

    @property
    def calls(self) -> int:
        """Target calls of each decoding run, about."""
        small = self._given is None or is_small(self._given)  # those that ship with otspec are
        return self.settings.calls if small else min(self.settings.calls, self.settings.large_calls)

    def compute_together(self) -> None:
        """Compute what takes longest in threads, side by side; the tables then find it done."""
        long: list[Callable[[], Any]] = [] if self.no_paths else [self.sequences, self.advice]
        long += [self.toys] if self.no_models else [self.toys, self.efficiency]
        for _ in in_threads(lambda compute: compute(), [*long, *self._decodings()], workers() + self._waiting):
            pass

    def decoding(self) -> Table:
        """Measured against predicted efficiency, one row per run; no rows without models (see `no_models`)."""
        if self.no_models:
            return self._noted(Table([]))
        done = in_threads(lambda decode: decode(), self._decodings(), self._waiting or None)
        rows = {row["run"]: row for row in done}
        return self._noted(Table([rows[run.label] for run in self.runs]))

    def _decodings(self) -> list[Callable[[], dict[str, Any]]]:
        """Calls that decode, the longest first, so that no thread is left with one at the end."""
        order = [] if self.no_models else sorted(self.runs, key=lambda run: -run.num_nodes)
        return [partial(self._decoded, run) for run in order]

    @property
    def _waiting(self) -> int:
        """Threads that wait for an executor's worker and need no core."""
        return 0 if self._executor is None else len(self.runs)

    def _decoded(self, run: Run) -> dict[str, Any]:
        size = self.settings.sequences, self.calls

        def compute(tick: Callable[[float], Any]) -> dict[str, Any]:
            asked = self.trace.prompts, run, size, self.settings.seed, self._warp()
            if self._executor is not None and self._models is not None:
                return decoding_row_by(self._executor, self._models.get(), *asked)
            with self._lent() as pair:
                return decoding_row(pair, *asked)

        inputs = {"run": repr(run), "sequences": size[0], "calls": size[1]}
        name = re.sub(r"[^a-z0-9_]+", "-", f"decoding-{run.label}".lower())
        return self._stage(name, inputs | {"pair": self.pair_identity}, compute)

    def efficiency(self) -> Table:
        """Tokens per target call against draft length; no rows without models."""
        if self.no_models:
            return self._noted(Table([]))
        settings = self.settings

        def compute(tick: Callable[[float], Any]) -> list[dict[str, Any]]:
            with self._lent() as pair:
                return efficiency_rows(pair, self.trace.prompts, settings, self._warp(), tick)

        inputs = {"blocks": settings.blocks, "draft_length": settings.draft_length, "columns": "kept"}
        return self._noted(Table(self._stage("efficiency", inputs | {"pair": self.pair_identity}, compute)))

    def toys(self) -> Table:
        """Sequence-level rules on small models, exact, beside the optimum; these models are not the trace's."""
        settings = self.settings

        def compute(tick: Callable[[float], Any]) -> list[dict[str, Any]]:
            return compare_toys(settings.toys, seed=settings.seed, tick=tick).rows

        rows = self._stage("toys", {"toys": settings.toys}, compute)
        return Table(rows, {"otspec": __version__, "seed": settings.seed, "toys": settings.toys})

    def sequences(self) -> Table:
        """Sequence-level rules on the same drafted paths; no rows without models (see `no_paths`)."""
        if self.no_paths:
            return self._noted(Table([]))
        settings = self.settings

        def compute(tick: Callable[[float], Any]) -> list[dict[str, Any]]:
            with self._lent() as pair:
                return sequence_rows(pair, self.trace.prompts, settings, self._warp().get("temperature", 1.0))

        inputs = {"paths": settings.paths, "path_lengths": settings.path_lengths, "contexts": settings.path_contexts,
                  "pair": self.pair_identity}
        return self._noted(Table([with_limit(row) for row in self._stage("sequences", inputs, compute)]))

    def advice(self) -> Table:
        """Drafts and rule for each budget; no rows without models, or where `no_advice` says why."""
        if self.no_paths:
            return self._noted(Table([]))
        found = self._advised()
        return Table(found["rows"], self._noted(Table([])).metadata | {"costs": found["costs"]})

    @property
    def no_advice(self) -> str | None:
        """Why nothing was planned, or None."""
        return self.no_paths or self._advised()["missing"]

    def _advised(self) -> dict[str, Any]:
        settings = self.settings
        small = self._given is None or is_small(self._given)
        calls = settings.advice_calls if small else min(settings.advice_calls, settings.large_calls)

        def compute(tick: Callable[[float], Any]) -> dict[str, Any]:
            with self._lent() as pair:
                return advice(pair, self.trace.prompts, settings, self._warp(), calls)

        inputs = {"budgets": settings.budgets, "contexts": settings.plan_contexts, "calls": calls,
                  "sequences": settings.advice_sequences, "pair": self.pair_identity}
        return self._stage("advice", inputs, compute)

    def _lent(self) -> AbstractContextManager[Pair]:
        """Lend the models for a ``with`` block."""
        if self._models is None:
            raise BadArgument(f"pair: {self.no_models}.")
        return self._models.use()

    def _warp(self) -> dict[str, Any]:
        """Temperature and truncation that the trace was recorded with."""
        return {key: self.trace.provenance[key] for key in WARP if key in self.trace.provenance}

    def _stage(self, name: str, inputs: dict[str, Any], compute: Callable[[Callable[[float], Any]], Any]) -> Any:
        if name in self._done:
            return self._done[name]
        told = 0.0

        def tick(amount: float) -> None:
            nonlocal told
            told += amount
            self._tick(amount, name)

        common = {"otspec": __version__, "trace": self.trace.fingerprint, "seed": self.settings.seed}
        result = self._done[name] = self._store(name, common | inputs, lambda: compute(tick))
        self._tick(1.0 - told, name)
        return result

    def _noted(self, table: Table) -> Table:
        notes = {"otspec": __version__, "trace": self.trace.fingerprint, "seed": self.settings.seed,
                 "contexts": int(self.contexts.size)}
        return Table(table.rows, notes)

    def describe(self) -> dict[str, Any]:
        """Settings as JSON values."""
        described = asdict(self.settings)
        return described | {"schemes": [repr(scheme) for scheme in self.schemes],
                            "runs": [run.label for run in self.runs], "contexts": int(self.contexts.size)}
