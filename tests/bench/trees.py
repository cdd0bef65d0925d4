"""One verdict on a drafted tree of N tokens, against what its rows cost at least to read and to sort.

The tree has three children without replacement at every node, drawn breadth first; every node has rows of its own. A
verdict is timed for several trees in turn, because a rule reads only the rows on its way. ``sum_rows`` adds up all
rows of both laws, which is the limit of any rule that reads them all; ``sort_rows`` sorts the ratios of the rows
that have children, as the rules with a winner do where they come by. Times are per tree.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable
from itertools import cycle

import numpy as np

import otspec as ot
from otspec.core.drafted import DraftedTrees
from otspec.verifiers.tree.batched_traversal import draw_in_columns
from tests.bench.harness import by_turns, peaked_pair, rows, save

SIZES, VOCABULARIES, WIDTH, TREES = (8, 16, 32), (2_048, 32_000, 151_936), 3, 4
RULES = ("traversal", "recursive_walk", "optimal_walk", "winner_block", "grouped_traversal")

Drawn = tuple[DraftedTrees, np.ndarray, np.ndarray]


def drawn_tree(nodes: int, vocabulary: int, seed: int) -> Drawn:
    """One tree with its laws ``[1 N+1 V]``."""
    rng = np.random.default_rng(seed)
    target, draft = np.empty((2, 1, nodes + 1, vocabulary))
    target[0, 0], draft[0, 0] = peaked_pair(vocabulary, seed)
    tokens, parents = np.empty((1, nodes), dtype=np.int64), np.empty((1, nodes), dtype=np.int64)
    for column in range(nodes):
        parent = column // WIDTH
        law = draft[0, parent].copy()
        law[tokens[0, :column][parents[0, :column] == parent]] = 0.0
        tokens[0, column], parents[0, column] = rng.choice(vocabulary, p=law / law.sum()), parent
        target[0, column + 1], draft[0, column + 1] = peaked_pair(vocabulary, int(rng.integers(1 << 31)))
    return DraftedTrees(tokens, parents), target, draft


def verdict(name: str, trees: list[Drawn], *, what: str = "_draw_trees") -> Callable[[], object]:
    """Return a call that verifies the next tree."""
    rule, rng, turn = ot.verifier(name, ot.WithoutReplacement(WIDTH)), np.random.default_rng(0), cycle(trees)
    count = rule.num_tree_uniforms(trees[0][0].num_nodes)
    return lambda: getattr(rule, what)(*next(turn), rng.random((1, count)))


def whole_arrays(trees: list[Drawn]) -> Callable[[], object]:
    """Return a call of Traversal's form for other devices, here on NumPy."""
    rng, turn = np.random.default_rng(0), cycle(trees)
    return lambda: draw_in_columns(*next(turn), rng.random((1, trees[0][0].num_nodes + 1)), True)


def main() -> None:
    """Measure every size."""
    table: list[dict[str, object]] = []
    for vocabulary in VOCABULARIES:
        for nodes in SIZES:
            trees = [drawn_tree(nodes, vocabulary, seed) for seed in range(TREES)]
            inner = -(-nodes // WIDTH)
            ratios, sums = [t[0, :inner] / d[0, :inner] for _, t, d in trees], cycle(trees)
            sorts = cycle(ratios)
            candidates: dict[str, Callable[[], object]] = {
                "sum_rows": lambda turn=sums: [part.sum(axis=-1) for part in next(turn)[1:]],
                "sort_rows": lambda turn=sorts: [np.argsort(row, kind="stable") for row in next(turn)]}
            candidates |= {name: verdict(name, trees) for name in RULES}
            candidates["traversal_estimate"] = verdict("traversal", trees, what="_expected_trees")
            candidates["traversal_whole_arrays"] = whole_arrays(trees)
            repeats = 5 * TREES if vocabulary > 100_000 else 10 * TREES
            table += rows(by_turns(candidates, repeats=repeats), "sum_rows", vocabulary=vocabulary, num_nodes=nodes)
    save("trees", table, "numba")


if __name__ == "__main__":
    main()
