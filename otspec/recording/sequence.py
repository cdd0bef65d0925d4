"""Every sequence-level rule on the same drafted paths of a real pair: tokens per target call, and paired differences.

For each context the paths are drawn once; a rule for fewer or shorter paths sees the first of them. What it keeps is
estimated without its coins as far as it can integrate them out, so that differences between rules are far better
known than the levels. The reference is Traversal, and with one path block verification, which Traversal then is. Beside
the rules stands what none of them can exceed: the dual bound of the same kind of drafts after the same contexts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from otspec.core.block import BlockVerifier
from otspec.core.checks import check_positive
from otspec.core.errors import BadArgument, OtspecError, SchemeMismatch
from otspec.core.estimate import Estimate
from otspec.core.table import Table
from otspec.core.trace import Trace
from otspec.core.tree_verifier import TreeVerifier
from otspec.core.walk import TokenWalk
from otspec.decode.arguments import as_token_lists
from otspec.decode.streams import streams
from otspec.recording.path_bound import PathBound, path_bounds
from otspec.recording.paths import PathBatch, record_paths, shorter, spread
from otspec.verifiers import list_verifiers, verifier
from otspec.verifiers.block.chosen_path import ChosenPath

COINS = 1 << 62  # numbers of the streams of coins, apart from those of the drafts
BOUND_SAMPLES = 64
PATIENCE = 1.0  # seconds per set of paths that a rule may take


@dataclass
class _Series:
    """One rule at one shape of drafts, and the tokens it keeps after each context."""

    name: str
    rule: BlockVerifier | TreeVerifier
    paths: int
    length: int
    method: str = ""
    going: bool = True
    kept: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Say how much of the rule's chance its estimate contains."""
        self.method = ("coins tossed" if isinstance(self.rule, TokenWalk) else
                       "choice tossed, rest integrated out" if isinstance(self.rule, ChosenPath) else
                       "first block of a text, coins integrated out" if self.rule.stateful else
                       "coins integrated out")

    def add(self, batch: PathBatch, coins: np.ndarray, sets: int, patience: float) -> None:
        """Estimate the tokens kept on a batch; a rule that refuses, or takes too long, is asked no more."""
        start = time.perf_counter()
        try:
            paths = batch.tokens.shape[1] if isinstance(self.rule, BlockVerifier) else self.paths
            kept = _expected(self.rule, shorter(batch, paths, self.length), coins)
        except OtspecError as error:
            self.method, self.going = f"refused: {error}", False
            return
        self.kept.append(kept.reshape(-1, sets).mean(axis=1))
        seconds = (time.perf_counter() - start) / len(kept)
        if len(self.kept) > 1 and seconds > patience:  # the first call may compile
            self.method, self.going = f"too slow: {seconds:.1g} s for one set of paths", False

    def row(self, reference: _Series | None, bound: PathBound | None) -> dict[str, Any]:
        """Mean over contexts with its standard error, the paired comparison, and the room below the bound."""
        row = {"rule": self.name, "paths": self.paths, "draft_length": self.length}
        numbers: dict[str, Any] = dict.fromkeys(("efficiency", "stderr", "difference", "difference_stderr", "ratio",
                                                 "ratio_stderr"))
        if self.going:
            tokens = 1.0 + np.concatenate(self.kept)
            level = Estimate.from_samples(tokens)
            numbers |= {"efficiency": level.mean, "stderr": level.stderr}
            if reference is not None and reference.going:
                base = 1.0 + np.concatenate(reference.kept)
                gap, ratio = Estimate.from_samples(tokens - base), Estimate.from_ratio(tokens, base)
                numbers |= {"difference": gap.mean, "difference_stderr": gap.stderr, "ratio": ratio.mean,
                            "ratio_stderr": ratio.stderr}
        return row | numbers | self._room(bound) | {"method": self.method}

    def _room(self, bound: PathBound | None) -> dict[str, Any]:
        """Bound of the drafts, and by how much it exceeds the rule on the contexts that it was taken after."""
        room: dict[str, Any] = dict.fromkeys(("bound", "bound_stderr", "bound_monte_carlo", "bound_contexts",
                                              "room_percent", "room_stderr"))
        if bound is None or bound.by_context is None:
            return room
        room |= {"bound": bound.tokens.mean, "bound_stderr": bound.tokens.stderr,
                 "bound_monte_carlo": bound.monte_carlo, "bound_contexts": len(bound.by_context)}
        # what a rule with a state gains in the first block of a text, later blocks pay for
        if self.going and not self.rule.stateful:
            tokens = 1.0 + np.concatenate(self.kept)
            ratio = Estimate.from_ratio(bound.by_context, spread(list(tokens), len(bound.by_context)))
            room |= {"room_percent": 100 * (ratio.mean - 1), "room_stderr": 100 * ratio.stderr}
        return room


def compare_sequences(pair: Any, prompts: Any, *, rules: str | Iterable[str] = "all",
                      num_paths: Sequence[int] = (2, 4), draft_lengths: Sequence[int] = (4, 8),
                      temperature: float = 1.0, contexts: int | None = None, sets: int = 1, seed: int = 0,
                      batch_size: int | None = None, patience: float = PATIENCE,
                      bound: str | Mapping[tuple[int, int], PathBound] | None = "stateless",
                      bound_samples: int = BOUND_SAMPLES, bound_time_limit: float | None = None,
                      progress: bool = True) -> Table:
    """Tokens per target call of every sequence-level rule, all on the same drafts.

    Parameters
    ----------
    pair : Pair
    prompts : Trace, or iterable of str or of token lists
    rules : "all" or names
        Of block rules, which see one path, and of tree rules, which see K independent ones; "all" leaves out those that
        are too much work at a real vocabulary.
    num_paths, draft_lengths : sequence of int
        Numbers of paths of the tree rules, and tokens per path; block rules see each path by itself.
    temperature : float
        Of both models.
    contexts : int, optional
        How many of the contexts, evenly spaced; default all. At least two.
    sets : int
        Sets of paths per context, averaged before standard errors are taken over contexts.
    seed : int
    batch_size : int, optional
        Contexts per model call.
    patience : float
        Seconds per set of paths, after the first batch, beyond which a rule is given up and says so.
    bound : {"stateless", "one_call", "level"}, mapping or None
        Kind of bound to compute after every context (see `path_bound`); or bounds at hand by ``(paths, draft_length)``,
        after some or all of the contexts, evenly spaced.
    bound_samples : int
        Paths per context of that bound.
    bound_time_limit : float, optional
        Seconds that it may take, as ``time_limit`` of `path_bound`.
    progress : bool
        Show a progress bar on a terminal.

    Returns
    -------
    Table
        Columns ``rule, paths, draft_length, efficiency, stderr`` (tokens per target call, over contexts),
        ``difference, difference_stderr, ratio, ratio_stderr`` to Traversal at the same drafts (with one path: to
        block verification), ``bound`` with ``bound_stderr`` (over contexts) and ``bound_monte_carlo``, after
        ``bound_contexts``, ``room_percent`` and ``room_stderr`` (by how much the bound exceeds the rule after the same
        contexts; None for a rule that carries a state), ``method`` (how much chance is left in the estimate, or why
        there is none).

    Raises
    ------
    BadArgument, UnknownName, SchemeMismatch, NotALaw
    TooLarge
        A bound that would take longer than its limit.
    """
    sizes = [check_positive("num_paths", count) for count in num_paths]
    lengths = [check_positive("draft_lengths", length) for length in draft_lengths]
    if not sizes or not lengths:
        raise BadArgument("num_paths, draft_lengths: empty. Fix: at least one of each, such as (2, 4) and (4, 8).")
    series = _series(rules, sizes, lengths)
    texts = as_token_lists(pair, prompts.prompts if isinstance(prompts, Trace) else prompts)
    texts = texts if contexts is None else spread(texts, check_positive("contexts", contexts))
    if len(texts) < 2:
        raise BadArgument("contexts: 1, a standard error needs at least 2. Fix: contexts=64, say.")
    batches = record_paths(pair, texts, num_paths=max(sizes), draft_length=max(lengths), temperature=temperature,
                           seed=seed, sets=sets, batch_size=batch_size, progress=progress)
    shapes = sorted({(one.paths, one.length) for one in series})
    # first, so that what would take too long is refused before the rules have been compared
    bounds = path_bounds(pair, texts, shapes, kind=bound, temperature=temperature, seed=seed,
                         samples=max(bound_samples, 2 * max(sizes)), time_limit=bound_time_limit, progress=progress) \
        if isinstance(bound, str) else bound or {}
    width = max(one.rule.num_uniforms(one.length) for one in series)
    done = 0
    for batch in batches:
        count = len(batch.tokens)
        coins = np.stack([stream.random(width) for stream in streams(seed, COINS + done, count)])
        done += count
        for one in series:
            if one.going:
                one.add(batch, coins, sets, patience)
    base = {(one.paths, one.length): one for one in series if one.name == ("block" if one.paths == 1 else "traversal")}
    settings = {"target": pair.target_name, "draft": pair.draft_name, "fingerprint": pair.fingerprint,
                "temperature": temperature, "contexts": done // sets, "sets": sets, "seed": seed}
    return Table([one.row(base.get((one.paths, one.length)), bounds.get((one.paths, one.length))) for one in series],
                 settings)


def _series(rules: str | Iterable[str], sizes: Sequence[int], lengths: Sequence[int]) -> list[_Series]:
    known = list_verifiers()
    everything = [name for name, entry in known.items() if entry.kind in ("block", "tree")]
    quick = [name for name in everything if "small_vocabulary" not in known[name].claims]
    names = quick if rules == "all" else [rules] if isinstance(rules, str) else list(rules)
    series = []
    for name in names:
        if known[name].kind not in ("block", "tree"):
            raise SchemeMismatch(f"rules: {name!r} is a {known[name].kind} rule. Fix: some of {', '.join(everything)}.")
        found = [size for size in ([1] if known[name].kind == "block" else sizes)
                 if name in list_verifiers(size)]
        if rules != "all" and not found:
            raise SchemeMismatch(f"rules: {name!r} is proved for no independent paths. Fix: leave it out.")
        series += [_Series(name, verifier(name, size), size, length) for size in found for length in lengths]
    if not series:
        raise BadArgument(f"rules: none named. Fix: some of {', '.join(everything)}.")
    return sorted(series, key=lambda one: (one.paths, one.length))


def _expected(rule: BlockVerifier | TreeVerifier, batch: PathBatch, coins: np.ndarray) -> np.ndarray:
    """Expected number of tokens kept, ``[n]``; of a block rule, the mean over the paths taken one by one."""
    if isinstance(rule, TreeVerifier):
        return np.asarray(rule.expected_paths(*batch, coins[:, : rule.num_uniforms(batch.tokens.shape[-1])]))
    return np.asarray(rule.expected_accepted(*batch)).mean(axis=1)
