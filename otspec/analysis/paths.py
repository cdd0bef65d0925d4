"""Chunks of a rule on K independent paths: every drafted tree from every context, with the coins integrated out.

Tuples of paths that merge into one tree are equally likely, so each tree is verified once and counted as often as it
occurs. For rules that do not look at the order in which siblings were drawn, trees that differ in it count as one.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np

from otspec.core.errors import TooLarge
from otspec.core.markov import MarkovModel
from otspec.core.sequence import SequenceVerifier
from otspec.core.tree import DraftTree

MAX_TREES = 3e5  # at about 1 ms each


def drafted_trees(vocabulary: int, length: int, num_paths: int, *, ordered: bool) -> list[tuple[DraftTree, int]]:
    """Trees of K paths of ``length`` tokens, each with the number of tuples of paths that merge into it.

    Parameters
    ----------
    ordered : bool
        Whether trees that differ only in the order of siblings are kept apart.

    Raises
    ------
    TooLarge

    Examples
    --------
    >>> [count for _, count in drafted_trees(2, 1, 2, ordered=False)]
    [1, 2, 1]
    """
    paths = vocabulary**length
    count = float(paths) ** num_paths if ordered else float(math.comb(paths + num_paths - 1, num_paths))
    if count > MAX_TREES:
        raise TooLarge(f"{num_paths} paths of {length} tokens from {vocabulary} make {count:.3g} trees, more than "
                       f"{MAX_TREES:.0e}. Fix: a smaller draft_length, num_paths or vocabulary, or "
                       f"trace_block_efficiency on sampled paths.", count)
    texts = np.asarray(list(itertools.product(range(vocabulary), repeat=length)), dtype=np.int64)
    if not ordered:
        return [(DraftTree.from_paths(texts[list(chosen)]), _arrangements(chosen))
                for chosen in itertools.combinations_with_replacement(range(paths), num_paths)]
    trees: dict[bytes, DraftTree] = {}
    counts: Counter[bytes] = Counter()
    for chosen in itertools.product(range(paths), repeat=num_paths):
        tree = DraftTree.from_paths(texts[list(chosen)])
        key = tree_key(tree)
        trees.setdefault(key, tree)
        counts[key] += 1
    return [(tree, counts[key]) for key, tree in trees.items()]


def tree_chunks(rule: SequenceVerifier, target: MarkovModel, draft: MarkovModel, length: int) -> list[np.ndarray]:
    """Law of the chunk after each context: for n = 0 .. L kept tokens, ``[V**m V**n V]``.

    A rule that carries a state is asked about the first block of a text.

    Raises
    ------
    TooLarge
    """
    size, states = target.vocabulary, len(target.rows)
    trees = drafted_trees(size, length, rule.scheme.num_drafts, ordered=rule.order_matters)
    chunks = [np.zeros((states, size**kept, size)) for kept in range(length + 1)]
    for tree, count in trees:
        numbers = prefix_numbers(tree, size)
        for context in range(states):
            reached = (context * size**tree.depths + numbers) % states
            rows = draft.rows[reached]
            drawn = rows[tree.parents[1:], tree.tokens[1:]] ** tree.multiplicity[1:]
            weight = count * float(drawn.prod())
            if weight == 0:
                continue
            # the trees and the rows are ours, so nothing of them needs a check
            joint = weight * rule._joint(tree, target.rows[reached], rows, *rule._memory(None))
            for depth, number, law in zip(tree.depths.tolist(), numbers.tolist(), joint, strict=True):
                chunks[depth][context, number] += law
    return chunks


def prefix_numbers(tree: DraftTree, size: int) -> np.ndarray:
    """Number of the prefix of every node among the texts of its length, oldest token first."""
    numbers = np.zeros_like(tree.parents)
    for node in range(1, len(tree)):
        numbers[node] = numbers[tree.parents[node]] * size + tree.tokens[node]
    return numbers


def tree_key(tree: DraftTree) -> bytes:
    """Identity of a tree, however its nodes are numbered; the order of siblings counts."""
    code: list[int] = []

    def write(node: int) -> None:
        code.extend((int(tree.tokens[node]), int(tree.multiplicity[node]), len(tree.children[node])))
        for child in tree.children[node]:
            write(child)

    write(0)
    return np.asarray(code).tobytes()


def _arrangements(chosen: tuple[int, ...]) -> int:
    """Number of orders of a multiset."""
    return math.factorial(len(chosen)) // math.prod(math.factorial(n) for n in Counter(chosen).values())
