"""First rounds: what a way to draft and a rule to verify it keep after each of many contexts.

After every context each method drafts one round, the target reads it in one call, and the rule says how many drafts it
keeps on average, given the drafts: most of its coins are integrated out. A context is read once for all methods, and
all see the same numbers of chance, keyed by the place of a node in its tree: the first child of a node, the first of
several paths and a chain draw the same token. So differences between methods are far better known than levels. Paths
are drafted once at their greatest length; shorter ones are their beginnings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from otspec.core.checks import check_seed
from otspec.core.drafted import DraftedTrees
from otspec.core.progress import progress_bar
from otspec.decode.asking import ask, on_device
from otspec.decode.drafters.base import Draft, Drafter
from otspec.decode.drafters.paths import Paths
from otspec.decode.drafters.tree import FixedTree
from otspec.decode.judges import ChainJudge, Judge, PathsJudge
from otspec.decode.method import method
from otspec.decode.tree_judge import TreeJudge
from otspec.recording.along import sides

ENTRIES = 1 << 23  # of the laws of a batch: 64 MB of float64
Key = tuple[Any, ...]


class Method(NamedTuple):
    """A drafter and the name of a rule."""

    drafter: Drafter
    verifier: str


class Round(NamedTuple):
    """One drafter's round after a batch of contexts; ``uniforms`` are those of the judges."""

    drafter: Drafter
    draft: Draft
    target_rows: Any
    uniforms: Any

    def trees(self) -> DraftedTrees:
        """Drafts as trees of NumPy arrays."""
        return DraftedTrees(self.draft.tokens.cpu().numpy(), self.draft.parents.cpu().numpy(), self.drafter.tree,
                            self.drafter.adaptive_widths)

    def of(self, drafter: Drafter) -> Round:
        """Round of a drafter whose paths are the beginnings of these."""
        if drafter == self.drafter:
            return self
        nodes = drafter.num_nodes
        rows = self.draft.rows[:, :, : drafter.depth]
        draft = Draft(self.draft.tokens[:, :nodes], self.draft.parents[:, :nodes], rows)
        return Round(drafter, draft, self.target_rows[:, : nodes + 1], self.uniforms)


def places_of(drafter: Drafter) -> list[Key]:
    """Place in its tree of every number that a drafter draws with: the ranks of the nodes on the way to it.

    Examples
    --------
    >>> places_of(FixedTree(widths=(2, 1))), places_of(Paths(2, 2))
    ([(0,), (1,), (0, 0), (1, 0)], [(0,), (1,), (0, 0), (1, 0)])
    """
    if isinstance(drafter, FixedTree):
        ways: list[Key] = [()]
        for level in drafter.levels:
            for node, count in level:
                ways += [(*ways[node], rank) for rank in range(count)]
        return ways[1:]
    if isinstance(drafter, Paths) and drafter.num_uniforms == drafter.num_nodes:
        return [(path, *(0,) * depth) for depth in range(drafter.depth) for path in range(drafter.paths)]
    return [("node", number) for number in range(drafter.num_uniforms)]


def chances(keys: Sequence[Key], seed: int, count: int) -> np.ndarray:
    """Uniform numbers ``[count keys]``: every place has a stream of its own, whatever else is drawn."""
    columns = []
    for key in keys:
        digest = hashlib.sha256(repr(key).encode()).digest()
        stream = np.array([check_seed(seed), int.from_bytes(digest[:8], "little")], dtype=np.uint64)
        columns.append(np.random.Generator(np.random.Philox(key=stream)).random(count))
    return np.stack(columns, axis=1) if columns else np.empty((count, 0))


def rounds(pair: Any, prompts: Sequence[Sequence[int]], drafters: Sequence[Drafter], warp: dict[str, Any], *,
           seed: int, sets: int = 1, coins: int = 0,
           show: Callable[[int], Any] = lambda done: None) -> Iterator[Iterator[Round]]:
    """Rounds of every drafter, batch by batch of contexts.

    Parameters
    ----------
    prompts : sequence of token lists
    drafters : sequence of Drafter
    warp : dict
        Arguments of ``law_from_logits``.
    seed : int
    sets : int
        Rounds of each drafter after a context; they stand together.
    coins : int
        Numbers for judges.
    show : callable
        Told how many contexts are done.

    Yields
    ------
    iterator of `Round`, one for each drafter
        To be used up before the next batch is asked for; rows are contexts times ``sets``.
    """
    drawn = [chances(places_of(drafter), seed, len(prompts) * sets) for drafter in drafters]
    tossed = chances([("coin", number) for number in range(coins)], seed, len(prompts) * sets)
    most = max(drafter.num_nodes for drafter in drafters)
    reach = max(map(len, prompts)) + most
    size = max(1, ENTRIES // ((2 * most + 1) * pair.vocab_size * sets))
    for start in range(0, len(prompts), size):
        part, rows = prompts[start : start + size], slice(start * sets, (start + size) * sets)
        yield _batch(pair, part, drafters, [numbers[rows] for numbers in drawn], tossed[rows], warp, reach, sets)
        show(len(part))


def _batch(pair: Any, texts: Sequence[Sequence[int]], drafters: Sequence[Drafter], drawn: Sequence[np.ndarray],
           tossed: np.ndarray, warp: dict[str, Any], reach: int, sets: int) -> Iterator[Round]:
    import torch

    longest = max(map(len, texts))
    with torch.inference_mode():
        target, draft = sides(pair, texts, warp, longest=reach, branches=True, copies=sets)
        coins = on_device(tossed, draft.ends.device)
        for drafter, numbers in zip(drafters, drawn, strict=True):
            made = drafter.propose(draft, on_device(numbers, coins.device))
            rows = target.rows(draft.ends[:, -1], made.tokens, made.parents)
            draft.forget(longest)
            target.forget(made.tokens, longest)
            yield Round(drafter, made, rows, coins)


def grouped(methods: Sequence[Method]) -> dict[Drafter, list[tuple[int, Drafter, Judge]]]:
    """Drafters to ask, and for each the methods that its rounds serve: number, own drafter and judge.

    Raises
    ------
    SchemeMismatch
        A rule that would be biased on such drafts.
    """
    longest: dict[Any, int] = {}
    for drafter, _ in methods:
        if isinstance(drafter, Paths):
            longest[drafter.scheme] = max(longest.get(drafter.scheme, 0), drafter.depth)
    groups: dict[Drafter, list[tuple[int, Drafter, Judge]]] = {}
    for number, (drafter, verifier) in enumerate(methods):
        asked = Paths(drafter.scheme, longest[drafter.scheme]) if isinstance(drafter, Paths) else drafter
        groups.setdefault(asked, []).append((number, drafter, method(verifier, 1, drafter.depth, drafter)[1]))
    return groups


def tokens_per_call(pair: Any, prompts: Sequence[Sequence[int]], methods: Sequence[Method], warp: dict[str, Any], *,
                    seed: int, sets: int = 1, progress: bool = False, title: str | None = None) -> np.ndarray:
    """Expected tokens of one target call after every context.

    Parameters
    ----------
    prompts : sequence of token lists
    methods : sequence of Method
    warp, seed, sets
        As in `rounds`.
    progress : bool
        Show a progress bar.
    title : str, optional
        Before the bar.

    Returns
    -------
    [methods contexts] float64
        Drafts kept on average, given the drafts, plus one; averaged over the sets of a context.

    Raises
    ------
    SchemeMismatch, NotALaw
    """
    groups = grouped(methods)
    kept: list[list[np.ndarray]] = [[] for _ in methods]
    coins = max((judge.num_uniforms for here in groups.values() for *_, judge in here), default=0)
    with progress_bar(len(prompts), "contexts", progress, title=title) as bar:
        for batch in rounds(pair, prompts, list(groups), warp, seed=seed, sets=sets, coins=coins, show=bar.update):
            for one in batch:
                for number, drafter, judge in groups[one.drafter]:
                    kept[number].append(_expected(judge, one.of(drafter)).reshape(-1, sets).mean(axis=1))
    return 1.0 + np.stack([np.concatenate(parts) for parts in kept])


def _expected(judge: Judge, one: Round) -> np.ndarray:
    import torch

    with torch.inference_mode():
        uniforms = one.uniforms[:, : judge.num_uniforms]
        if isinstance(judge, ChainJudge):  # beside its coins, the last draft of every prefix is integrated out
            return ask(judge.rule._expected_paths, one.target_rows[:, None], one.draft.rows, one.draft.tokens[:, None],
                       uniforms, dtype=np.float64).numpy()
        blind = isinstance(judge, (PathsJudge, TreeJudge))  # their estimates do not look at a verdict
        outcome: Any = None if blind else judge.judge(one.target_rows, one.draft, uniforms, None)
        return np.asarray(judge.expected(one.target_rows, one.draft, outcome, uniforms), dtype=np.float64)
