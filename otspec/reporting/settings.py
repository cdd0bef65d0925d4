"""How much a report computes: all of it, or a quick look."""

from __future__ import annotations

import math
from dataclasses import dataclass

from otspec.core.schemes import DraftScheme, Greedy, Hub, WithoutReplacement, WithReplacement
from otspec.decode.drafters.base import Drafter
from otspec.decode.drafters.heap import Heap
from otspec.decode.drafters.lookup import Lookup
from otspec.decode.drafters.rerank import Rerank
from otspec.decode.drafters.tree import FixedTree

ONE_PATH = WithReplacement(1)


@dataclass(frozen=True)
class Run:
    """One decoding run: a drafter and the verifier or coupling that judges its drafts.

    Attributes
    ----------
    rule : str
    scheme, draft_length
        Of the paths that are drafted where there is no `drafter`.
    drafter : Drafter, optional
    tokens_per_call : float
        About as many as the run emits on the bundled pair: texts are as long as the wanted target calls need.
    """

    rule: str
    scheme: DraftScheme = ONE_PATH
    draft_length: int = 4
    drafter: Drafter | None = None
    tokens_per_call: float = 2.0

    @property
    def drafts(self) -> str:
        """Kind and shape of the drafts, in words."""
        if self.drafter is not None:
            return _words(self.drafter)
        k, length = self.scheme.num_drafts, self.draft_length
        lists = {WithReplacement: f"{k} draws", WithoutReplacement: f"{k} without replacement",
                 Greedy: f"top {k - 1} and a draw", Hub: "a draw and the top token"}
        if isinstance(self.scheme, WithReplacement):
            return f"{k} path{'s' * (k > 1)} × {length}"
        return lists[type(self.scheme)] + (f" × {length}" if length > 1 else "")

    @property
    def label(self) -> str:
        """Rule and drafts, for tables and figures."""
        return f"{self.rule}, {self.drafts}"

    @property
    def num_nodes(self) -> int:
        """Drafted tokens per target call."""
        return self.drafter.num_nodes if self.drafter else self.scheme.num_drafts * self.draft_length

    @property
    def depth(self) -> int:
        """Most drafted tokens that one call can keep."""
        return self.drafter.depth if self.drafter else self.draft_length

    @property
    def most_draws(self) -> int:
        """Most different tokens that are drafted at one place."""
        return self.drafter.most_draws if self.drafter else self.scheme.num_drafts

    def new_tokens(self, calls: int, sequences: int) -> int:
        """Length of every text with which so many sequences need about so many target calls.

        Examples
        --------
        >>> Run("block", tokens_per_call=2.5).new_tokens(2000, 100)
        50
        """
        return math.ceil(calls * self.tokens_per_call / sequences)


def _words(drafter: Drafter) -> str:
    if isinstance(drafter, FixedTree):
        return f"tree of widths {', '.join(map(str, drafter.widths))}" if drafter.widths else repr(drafter)
    if isinstance(drafter, Heap):
        return f"heap of {drafter.nodes}"
    if isinstance(drafter, Rerank):
        return f"{drafter.nodes} likeliest"
    return f"look-up × {drafter.draft_length}" if isinstance(drafter, Lookup) else repr(drafter)


PATHS, TREE, HEAP = WithReplacement(3), FixedTree(widths=(2, 2)), Heap(6)
BEST, LOOKUP = Rerank(nodes=6, width=3, max_depth=3), Lookup()

# small drafts: every pair is to make its target calls within seconds, and a mistake shows as well on few nodes
ON_ONE_PATH = (("token_wise", 2.33), ("block", 2.39), ("greedy_block", 2.39), ("gumbel", 2.08))
ON_PATHS = (("recursive", 2.15), ("k_seq", 2.15), ("optimal", 2.27), ("traversal", 2.15),
            ("winner_block", 2.27), ("lookahead_block", 2.27), ("score_block", 2.28))
ON_TREE = (("traversal", 2.21), ("winner_block", 2.27), ("recursive_walk", 2.15),
           ("optimal_walk", 2.21))

RUNS = (
    *(Run(rule, tokens_per_call=tokens) for rule, tokens in ON_ONE_PATH),
    *(Run(rule, PATHS, 2, tokens_per_call=tokens) for rule, tokens in ON_PATHS),
    *(Run(rule, drafter=TREE, tokens_per_call=tokens) for rule, tokens in ON_TREE),
    *(Run(rule, drafter=HEAP, tokens_per_call=tokens) for rule, tokens in (("traversal", 1.96),
                                                                           ("recursive_walk", 1.96))),
    Run("traversal", drafter=BEST, tokens_per_call=1.66),
    Run("block", drafter=LOOKUP, tokens_per_call=1.04),
    Run("recursive_wor", WithoutReplacement(4), 1, tokens_per_call=1.72),
    Run("optimal", WithoutReplacement(4), 1, tokens_per_call=1.84),
    Run("greedy", Greedy(4), 1, tokens_per_call=1.78),
)
QUICK = {"block, 1 path × 4", "gumbel, 1 path × 4", "k_seq, 3 paths × 2", "optimal, 3 paths × 2",
         "traversal, 3 paths × 2", f"traversal, {_words(TREE)}", f"block, {_words(LOOKUP)}",
         "optimal, 4 without replacement"}
QUICK_RUNS = tuple(run for run in RUNS if run.label in QUICK)


@dataclass(frozen=True)
class Settings:
    """Size of a report.

    Attributes
    ----------
    schemes : tuple of DraftScheme
        Those with more drafts than tokens are left out.
    contexts : int or None
        Contexts of the trace, evenly spaced; None takes all.
    lists : int
        Draft lists per context, for rules without an exact route.
    runs : tuple of Run
    sequences : int
        Texts of each decoding run.
    calls : int
        Target calls of each decoding run, about.
    large_calls : int
        The same for models that are not small (50 million parameters, or a device): a user's own may be slow.
    note : str
        What the page is to say of the size.
    blocks : int
        Contexts after which a block is recorded.
    draft_length : int
        Longest block.
    toys : int
        Small models on which sequence-level rules are compared exactly.
    paths, path_lengths : tuple of int
        Numbers of independent paths, and tokens of each, on which sequence-level rules are compared with the models.
    path_contexts : int
        Contexts after which those paths are drawn.
    seed : int
    budgets : tuple of int
        Drafted tokens per target call for which drafts and rule are planned.
    plan_contexts : int
        Contexts of the planner; models that are not small get the fewest that give a standard error.
    advice_calls, advice_sequences : int
        Target calls and texts with which every choice of the planner is decoded, about.
    """

    schemes: tuple[DraftScheme, ...]
    contexts: int | None
    lists: int
    runs: tuple[Run, ...]
    sequences: int
    calls: int
    blocks: int
    draft_length: int = 8
    toys: int = 20
    paths: tuple[int, ...] = (2, 4)
    path_lengths: tuple[int, ...] = (4, 8)
    path_contexts: int = 160
    seed: int = 0
    large_calls: int = 150
    note: str = ""
    budgets: tuple[int, ...] = (4, 8, 16)
    plan_contexts: int = 150
    advice_calls: int = 160
    advice_sequences: int = 32


def full(seed: int = 0) -> Settings:
    """Everything."""
    schemes = (*map(WithReplacement, (1, 2, 3, 4, 8)), *map(WithoutReplacement, (2, 3, 4, 8)),
               *map(Greedy, (2, 3, 4)), Hub())
    return Settings(schemes, None, 8, RUNS, 128, 2080, 192, seed=seed)


def quick(seed: int = 0) -> Settings:
    """Fewer contexts, rules and runs."""
    schemes = (*map(WithReplacement, (1, 2, 4)), *map(WithoutReplacement, (2, 4)), Greedy(2), Hub())
    return Settings(schemes, 48, 8, QUICK_RUNS, 64, 500, 32, toys=6, paths=(2,), path_lengths=(4,), path_contexts=32,
                    seed=seed, plan_contexts=48, advice_calls=96, advice_sequences=32)
