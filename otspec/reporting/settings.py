"""How much a report computes: all of it, or a quick look."""

from __future__ import annotations

from dataclasses import dataclass

from otspec.core.schemes import DraftScheme, Greedy, Hub, WithoutReplacement, WithReplacement

ONE_PATH, K_PATHS = WithReplacement(1), WithReplacement(4)


@dataclass(frozen=True)
class Run:
    """One decoding run: a verifier or coupling, the scheme of its drafts, and the length of its paths."""

    rule: str
    scheme: DraftScheme = ONE_PATH
    draft_length: int = 4

    @property
    def label(self) -> str:
        """Rule and shape of the drafts, for tables and figures."""
        scheme, k = self.scheme, self.scheme.num_drafts
        kinds = {WithReplacement: f"{k} path{'s' * (k > 1)}", WithoutReplacement: f"{k} w/o replacement",
                 Greedy: f"top {k - 1} + 1 draw", Hub: "a draw + the top token"}
        return f"{self.rule}, {kinds[type(scheme)]} × {self.draft_length}"


RUNS = (
    Run("single_draft"),
    *(Run(rule, K_PATHS) for rule in ("nss", "naive", "recursive", "k_seq", "optimal")),
    Run("token_wise"), Run("block"), Run("gumbel"),
    Run("recursive_wor", WithoutReplacement(4), 1), Run("optimal", WithoutReplacement(4), 1),
    Run("greedy", Greedy(4), 1), Run("spechub", Hub(), 1),
)
QUICK_RUNS = (Run("single_draft"), Run("k_seq", K_PATHS), Run("optimal", K_PATHS), Run("block"), Run("gumbel"),
              Run("optimal", WithoutReplacement(4), 1))


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
    sequences, new_tokens : int
        Size of each decoding run.
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
    """

    schemes: tuple[DraftScheme, ...]
    contexts: int | None
    lists: int
    runs: tuple[Run, ...]
    sequences: int
    new_tokens: int
    blocks: int
    draft_length: int = 8
    toys: int = 20
    paths: tuple[int, ...] = (2, 4)
    path_lengths: tuple[int, ...] = (4, 8)
    path_contexts: int = 192
    seed: int = 0


def full(seed: int = 0) -> Settings:
    """Everything."""
    schemes = (*map(WithReplacement, (1, 2, 3, 4, 8)), *map(WithoutReplacement, (2, 3, 4, 8)),
               *map(Greedy, (2, 3, 4)), Hub())
    return Settings(schemes, None, 8, RUNS, 24, 16, 192, seed=seed)


def quick(seed: int = 0) -> Settings:
    """Fewer contexts, rules and runs."""
    schemes = (*map(WithReplacement, (1, 2, 4)), *map(WithoutReplacement, (2, 4)), Greedy(2), Hub())
    return Settings(schemes, 48, 8, QUICK_RUNS, 16, 12, 32, toys=6, paths=(2,), path_lengths=(4,), path_contexts=32,
                    seed=seed)
