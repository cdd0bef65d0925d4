"""The optimal rule end to end (prepare, draw, accept) for one context, against one sort of the same array.

Growth with the vocabulary (1k .. 262k) and with the number of drafts (1 .. 64); batch 1, one core.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable

import numpy as np

import otspec as ot
from tests.bench.harness import by_turns, peaked_pair, rows, save

VOCABULARIES = (1_024, 2_048, 4_096, 8_192, 16_384, 32_000, 65_536, 151_936, 262_144)
DRAFTS = (1, 2, 4, 8, 16, 32, 64)


def one_round(scheme: ot.DraftScheme, target: np.ndarray, draft: np.ndarray) -> Callable[[], object]:
    """Return a call that verifies one freshly drawn list; the list itself is drawn beforehand."""
    rule = ot.verifier("optimal", scheme)
    rng = np.random.default_rng(0)
    tokens = scheme.sample(draft, rng.random(scheme.num_uniforms))
    return lambda: rule.draw(target, draft, tokens, rng.random(rule.num_uniforms))


def measure(size: int, schemes: dict[str, ot.DraftScheme], repeats: int) -> list[dict[str, object]]:
    """Rows of one vocabulary."""
    target, draft = peaked_pair(size)
    ratio = target / draft
    candidates: dict[str, Callable[[], object]] = {
        "stable_argsort": lambda: np.argsort(ratio, kind="stable"),
        "default_argsort": lambda: np.argsort(ratio),
    }
    candidates |= {name: one_round(scheme, target, draft) for name, scheme in schemes.items()}
    table = rows(by_turns(candidates, repeats=repeats), "stable_argsort", vocabulary=size)
    for row in table:
        scheme = schemes.get(str(row["what"]))
        row["k"] = scheme.num_drafts if scheme else None
        row["scheme"] = type(scheme).__name__ if scheme else None
    return table


def main() -> None:
    """Measure both growths."""
    table: list[dict[str, object]] = []
    for size in VOCABULARIES:
        table += measure(size, {"with_8": ot.WithReplacement(8), "with_16": ot.WithReplacement(16),
                                "without_4": ot.WithoutReplacement(4), "without_8": ot.WithoutReplacement(8)},
                         repeats=15 if size < 100_000 else 9)
    for size in (2_048, 151_936):
        schemes: dict[str, ot.DraftScheme] = {f"with_{k}": ot.WithReplacement(k) for k in DRAFTS if k not in (8, 16)}
        schemes |= {f"without_{k}": ot.WithoutReplacement(k) for k in DRAFTS if k not in (4, 8)}
        table += [row for row in measure(size, schemes, repeats=7) if row["scheme"]]
    save("sampler", table, "numba")


if __name__ == "__main__":
    main()
