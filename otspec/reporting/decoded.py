"""Sections of a report that need the models: decoding runs, and block efficiency over the draft length.

A decoding run measures tokens per target call and predicts them from the laws it met; the paired difference has
mean zero for every rule that does what its law says. Efficiency over the draft length is exact given recorded blocks.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np

from otspec.analysis.blocks import coupling_passed, trace_block_efficiency
from otspec.core.checks import seed_after
from otspec.core.errors import BadArgument
from otspec.core.estimate import Estimate
from otspec.couplings import coupling, list_couplings
from otspec.decode.identity import identity
from otspec.decode.loop import generate
from otspec.decode.models import Pair, load_pair
from otspec.decode.workers.hire import hired
from otspec.recording.record import record
from otspec.reporting.profiles import kept_at
from otspec.reporting.settings import Run, Settings

SMALL_MODEL = 5e7  # parameters; a smaller one is slower on several threads than on one wherever a core is busy
ENTRIES = 2**25  # of the laws along the blocks of one batch: 256 MB of float64
LENGTH_RULES = ("token_wise", "block", "gumbel")
PROMPT_TOKENS = 48
RETRIES = 2  # of a run whose worker has died
SHORT_PROMPT = 8  # of decoding runs: they are to spend their time on rounds, not on reading
POCKET_NAMES = {("pocket/target", "pocket/draft"): "pocket",
                ("pocket-small/target", "pocket-small/draft"): "pocket-small"}


def pair_of(provenance: dict[str, Any]) -> Callable[[], Pair] | None:
    """How to load the models that a trace was recorded from, where they ship with otspec; else None."""
    name = POCKET_NAMES.get((provenance.get("target", ""), provenance.get("draft", "")))
    if name is None:
        return None

    def load() -> Pair:
        pair = load_pair(name, device="cpu")
        _check_file_names(pair, provenance)
        return pair

    return load


def check_pair(pair: Pair, provenance: dict[str, Any]) -> None:
    """Refuse models that a trace was not recorded from, or that were changed in memory since.

    Raises
    ------
    BadArgument
    """
    _check_file_names(pair, provenance)
    if (what := changed_since(pair, provenance)) is not None:
        raise BadArgument(f"pair: the trace was recorded from {what} of these models. Fix: give the models as they "
                          f"were, or record a trace of these.")


def changed_since(pair: Pair, provenance: dict[str, Any]) -> str | None:
    """What a trace was recorded from instead of the pair in memory, in words; None where nothing is known to differ."""
    load = pair_of(provenance)
    if "configuration" not in provenance and load is not None:
        provenance = identity(load())  # the bundled trace names files that are known
    here = identity(pair)
    if provenance.get("configuration", here["configuration"]) != here["configuration"]:
        return "another configuration"
    # at another precision, which a report may use, the same weights differ by their rounding
    same_precision = provenance.get("dtype") == here["dtype"]
    return "other weights" if same_precision and provenance.get("weights", here["weights"]) != here["weights"] else None


def _check_file_names(pair: Pair, provenance: dict[str, Any]) -> None:
    recorded = provenance.get("fingerprint")
    if recorded is not None and recorded != pair.fingerprint:
        raise BadArgument(f"pair: fingerprint {pair.fingerprint[:12]}..., but the trace was recorded from "
                          f"{recorded[:12]}... Fix: give the trace's own models, or record a trace of these.")


def is_small(pair: Pair) -> bool:
    """Whether the models run on the CPU and gain nothing from several threads each."""
    return pair.device == "cpu" and sum(weight.numel() for weight in pair.target.parameters()) < SMALL_MODEL


class ThreadLimit:
    """Give torch one CPU thread while small models run, on however many threads they run side by side.

    The number is kept by torch for the process and for each thread that has used it, so every user sets its own;
    else a run would compute on as many threads as the others left it, and sums are rounded by their number.
    The last user restores what the first one found.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._before: int | None = None  # asked once: a thread that was not the last to leave keeps its own 1

    def __enter__(self) -> None:
        import torch

        with self._lock:
            if self._before is None:
                self._before = torch.get_num_threads()
            torch.set_num_threads(1)
            self._users += 1

    def __exit__(self, *_: object) -> None:
        import torch

        with self._lock:
            self._users -= 1
            if self._users == 0 and self._before is not None:
                torch.set_num_threads(self._before)


class Models:
    """The models of a report, loaded when they are first used; large ones serve one user at a time.

    Parameters
    ----------
    load : callable
        Returns the `Pair`.
    """

    def __init__(self, load: Callable[[], Pair]) -> None:
        self._load = load
        self._pair: Pair | None = None
        self._loading, self._turn, self._limit = threading.Lock(), threading.Lock(), ThreadLimit()

    @contextlib.contextmanager
    def use(self) -> Iterator[Pair]:
        """Lend the pair for a ``with`` block."""
        pair = self.get()
        with self._limit if is_small(pair) else self._turn:
            yield pair

    def get(self) -> Pair:
        """Return the pair to one who does not run it."""
        with self._loading:
            if self._pair is None:
                self._pair = self._load()
        return self._pair


def spread(prompts: Sequence[Sequence[int]], count: int, tokens: int = PROMPT_TOKENS) -> list[list[int]]:
    """Return ``count`` of the prompts, evenly spaced, the last tokens of each; fewer prompts are used again."""
    if len(prompts) >= count:
        places = np.linspace(0, len(prompts) - 1, count).round().astype(int).tolist()
    else:
        places = [i % len(prompts) for i in range(count)]
    return [list(prompts[i][-tokens:]) for i in places]


def decoding_row(pair: Pair, prompts: Sequence[Sequence[int]], run: Run, size: tuple[int, int], seed: int,
                 warp: dict[str, Any]) -> dict[str, Any]:
    """Decode once; one row with measurement, prediction and the paired difference.

    Parameters
    ----------
    pair, prompts, run
    size : (int, int)
        Sequences, and target calls of all of them, about.
    seed : int
        Of the report; every run has chance of its own.
    warp : dict
    """
    sequences, calls = size
    done = generate(pair, spread(prompts, sequences, SHORT_PROMPT), verifier=run.rule, scheme=run.scheme,
                    draft_length=run.draft_length, drafter=run.drafter, seed=own_seed(seed, run.label),
                    max_new_tokens=run.new_tokens(calls, sequences), stop_token=None, **warp)
    measured, predicted, gap = done.block_efficiency, done.predicted_efficiency, done.difference
    z = done.z_score
    drafted = {"scheme": None, "k": None} if run.drafter else {"scheme": type(run.scheme).__name__,
                                                               "k": run.scheme.num_drafts}
    return {"run": run.label, "rule": run.rule, "drafter": run.drafts, **drafted, "draft_length": run.depth,
            "sequences": len(done.tokens), "calls": int(done.rounds.sum()), "measured": measured.mean,
            "stderr": measured.stderr, "predicted": predicted.mean, "difference": gap.mean,
            "difference_stderr": gap.stderr, "z": z if math.isfinite(z) else math.copysign(1e9, z)}  # JSON holds no inf


def own_seed(seed: int, label: str) -> int:
    """Return a seed that belongs to one run, so that runs err independently of each other."""
    return int.from_bytes(hashlib.sha256(f"{seed} {label}".encode()).digest()[:4], "big")


def decoding_row_by(executor: Executor, pair: Pair, prompts: Sequence[Sequence[int]], run: Run,
                    size: tuple[int, int], seed: int, warp: dict[str, Any]) -> dict[str, Any]:
    """Let a worker make a `decoding_row`, on as many CPU threads as here."""
    make = hired(pair, executor, RETRIES, decoding_row, 1 if is_small(pair) else None)
    return next(make([(spread(prompts, size[0], SHORT_PROMPT), run, size, seed, warp)]))


def efficiency_rows(pair: Pair, prompts: Sequence[Sequence[int]], settings: Settings, warp: dict[str, Any],
                    tick: Callable[[float], Any]) -> list[dict[str, Any]]:
    """Tokens per target call of one-path rules for each draft length, from blocks recorded once.

    ``kept`` is the chance that the last of so many drafts is kept; None of a coupling.
    """
    texts = spread(prompts, min(settings.blocks, len(prompts)))
    longest = settings.draft_length
    size = max(2, ENTRIES // ((2 * longest + 1) * pair.vocab_size))
    found: dict[tuple[str, int], list[Estimate]] = {}
    kept: dict[tuple[str, int], list[Estimate]] = {}
    starts = range(0, max(len(texts) - 1, 1), size)  # a batch of one has no standard error
    for start in starts:
        batch = texts[start:] if start == starts[-1] else texts[start : start + size]
        rows = record(pair, batch, draft_length=longest, seed=seed_after(settings.seed, start), **warp).rows()
        for rule in LENGTH_RULES:
            for length, estimate in enumerate(_by_length(rule, rows), 1):
                found.setdefault((rule, length), []).append(estimate)
            for position, chance in enumerate(kept_at(rule, rows), 1):
                kept.setdefault((rule, position), []).append(chance)
        tick(1 / len(starts))
    rows_out = []
    for (rule, length), estimates in found.items():
        whole = pooled(estimates)
        last = pooled(kept[rule, length]) if (rule, length) in kept else None
        rows_out.append({"rule": rule, "draft_length": length, "tokens_per_call": whole.mean, "stderr": whole.stderr,
                         "blocks": whole.n, "kept": last and last.mean, "kept_stderr": last and last.stderr})
    return rows_out


def _by_length(rule: str, rows: tuple[Any, Any, Any]) -> list[Estimate]:
    """Tokens per target call of drafts of 1, 2, .. tokens, the beginnings of recorded blocks."""
    target, draft, tokens = rows
    lengths = range(1, tokens.shape[-1] + 1)
    if rule in list_couplings():  # what a coupling keeps of a block does not depend on what comes after
        kept = coupling_passed(coupling(rule), target, draft, tokens).cumsum(axis=1)
        return [Estimate.from_samples(1.0 + kept[:, length - 1]) for length in lengths]
    return [trace_block_efficiency(rule, target[:, : length + 1], draft[:, :length], tokens[:, :length])
            for length in lengths]


def pooled(estimates: Sequence[Estimate]) -> Estimate:
    """Mean and standard error of all samples behind several estimates.

    Examples
    --------
    >>> pooled([Estimate.from_samples([1.0, 2.0]), Estimate.from_samples([3.0, 4.0])]).mean
    2.5
    """
    counts = np.array([estimate.n for estimate in estimates], dtype=np.float64)
    means = np.array([estimate.mean for estimate in estimates])
    total = counts.sum()
    mean = float(counts @ means / total)
    within = sum((n - 1) * n * estimate.stderr**2 for n, estimate in zip(counts, estimates, strict=True))
    variance = (within + float(counts @ (means - mean) ** 2)) / (total - 1)
    return Estimate(mean, math.sqrt(variance / total), int(total), total - 1)
