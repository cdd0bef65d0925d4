"""One verification of four paths of eight tokens at batch 1, against stable sorts of the rows that it may visit.

A rule that chooses one path reads L rows of each law; the K paths together have up to K L. Both are sorted one after
the other, as a rule meets them. Every prefix has rows of its own, and several sets of paths are verified in turn,
because the cost of look-ahead depends on whether the survivors of a set are mixed.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable
from itertools import cycle

import numpy as np

import otspec as ot
from tests.bench.harness import by_turns, peaked_pair, rows, save

VOCABULARY, PATHS, LENGTH, SETS = 151_936, 4, 8, 4
RULES = ("traversal", "winner_block", "lookahead_block")

Drafted = tuple[np.ndarray, np.ndarray, np.ndarray]


def drafted(seed: int) -> Drafted:
    """Rows ``[1 K L+1 V]`` and ``[1 K L V]`` and tokens ``[1 K L]`` of paths drawn from them."""
    rng = np.random.default_rng(seed)
    target = np.empty((1, PATHS, LENGTH + 1, VOCABULARY))
    draft = np.empty((1, PATHS, LENGTH, VOCABULARY))
    tokens = np.empty((1, PATHS, LENGTH), dtype=np.int64)
    seen: dict[tuple[int, ...], tuple[np.ndarray, np.ndarray]] = {}
    for path in range(PATHS):
        for depth in range(LENGTH + 1):
            prefix = tuple(tokens[0, path, :depth].tolist())
            if prefix not in seen:
                seen[prefix] = peaked_pair(VOCABULARY, seed=int(rng.integers(1 << 31)))
            target[0, path, depth] = seen[prefix][0]
            if depth < LENGTH:
                draft[0, path, depth] = seen[prefix][1]
                tokens[0, path, depth] = rng.choice(VOCABULARY, p=seen[prefix][1])
    return target, draft, tokens


def verification(name: str, sets: list[Drafted]) -> Callable[[], object]:
    """Return a call that verifies the next of the sets of paths."""
    rule, rng, turn = ot.verifier(name, PATHS), np.random.default_rng(0), cycle(sets)
    return lambda: rule.draw_paths(*next(turn), rng.random((1, rule.num_uniforms(LENGTH))))


def sorts(ratio: np.ndarray) -> Callable[[], object]:
    """Return a call that sorts the rows one by one."""
    return lambda: [np.argsort(row, kind="stable") for row in ratio]


def main() -> None:
    """Measure the three rules."""
    sets = [drafted(seed) for seed in range(SETS)]
    ratio = (sets[0][0][0, :, :LENGTH] / sets[0][1][0]).reshape(-1, VOCABULARY)
    candidates = {f"sort_{LENGTH}_rows": sorts(ratio[:LENGTH]), f"sort_{PATHS * LENGTH}_rows": sorts(ratio)}
    candidates |= {name: verification(name, sets) for name in RULES}
    save("paths_speed", rows(by_turns(candidates, repeats=5 * SETS), f"sort_{LENGTH}_rows", vocabulary=VOCABULARY,
                             num_paths=PATHS, draft_length=LENGTH), "numba")


if __name__ == "__main__":
    main()
