"""K paths of many texts, verified by a rule's definition: each set of paths becomes its tree, one after the other.

Slow, in NumPy, and right for every rule that is written down as the law of (node, next token): what a rule does on
paths before anyone has written it for speed, and what its fast form is compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from otspec.core.host import check_host, to_host
from otspec.core.laws import draw, namespace
from otspec.core.tree import DraftTree

Array = Any
Joint = Callable[[DraftTree, np.ndarray, np.ndarray], np.ndarray]


class PathTree(NamedTuple):
    """The tree of ``[K L]`` paths, the node ``[K L+1]`` of each of their prefixes, and rows ``[N V]`` after nodes."""

    tree: DraftTree
    nodes: np.ndarray
    target: np.ndarray
    draft: np.ndarray


def path_tree(target_rows: np.ndarray, draft_rows: np.ndarray, tokens: np.ndarray) -> PathTree:
    """Merge the prefixes of K paths, and their rows ``[K L+1 V]`` and ``[K L V]``."""
    tree = DraftTree.from_paths(tokens)
    child = {pair: node for node, pair in enumerate(zip(tree.parents.tolist(), tree.tokens.tolist(), strict=True))}
    nodes = np.zeros((tokens.shape[0], tokens.shape[1] + 1), dtype=np.int64)
    for path, drafted in enumerate(tokens.tolist()):
        for depth, token in enumerate(drafted):
            nodes[path, depth + 1] = child[int(nodes[path, depth]), token]
    _, first = np.unique(nodes.ravel(), return_index=True)
    # nothing was drafted after the last tokens: what stands there is never read
    drafts = np.concatenate([draft_rows, target_rows[:, -1:]], axis=1)
    target, draft = (np.asarray(rows, dtype=np.float64).reshape(nodes.size, -1)[first] for rows in
                     (target_rows, drafts))
    return PathTree(tree, nodes, target / target.sum(axis=1, keepdims=True), draft / draft.sum(axis=1, keepdims=True))


def draw_each(joint: Joint, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> tuple[Array, ...]:
    """Tokens kept, next token and path ``[B]`` of ``[B K L]`` paths, two uniforms ``[B 2]`` each."""
    verdicts = np.zeros((3, tokens.shape[0]), dtype=np.int64)
    coins = to_host(uniforms)
    for row, merged in enumerate(_trees(target_rows, draft_rows, tokens)):
        mass = joint(merged.tree, merged.target, merged.draft)
        node = int(draw(mass.sum(axis=-1), coins[row, 0]))
        path, depth = np.argwhere(merged.nodes == node)[0]
        verdicts[:, row] = depth, int(draw(mass[node], coins[row, 1])), path
    xp = namespace(target_rows)
    return tuple(xp.asarray(part) for part in verdicts)


def expect_each(joint: Joint, target_rows: Array, draft_rows: Array, tokens: Array) -> Array:
    """Mean number of tokens kept ``[B]``, given ``[B K L]`` paths."""
    means = [float(joint(merged.tree, merged.target, merged.draft).sum(axis=-1) @ merged.tree.depths)
             for merged in _trees(target_rows, draft_rows, tokens)]
    return namespace(target_rows).asarray(np.asarray(means, dtype=np.float64))


def _trees(*arrays: Array) -> Iterator[PathTree]:
    check_host("tokens", arrays[-1], "a rule that has only its definition",
               "pass CPU arrays, or write _draw_paths and _expected_paths for the rule")
    return (path_tree(*rows) for rows in zip(*map(to_host, arrays), strict=True))
