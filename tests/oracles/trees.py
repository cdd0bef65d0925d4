"""Slow twins of the tree policies: every tree one by one, and the likeliest nodes of the infinite tree."""

import heapq
from collections.abc import Iterable

Shape = tuple


def all_shapes(nodes: int, max_depth: int, max_children: int) -> Iterable[Shape]:
    """Every ordered tree of so many nodes below its root."""
    def forests(size: int, depth: int, room: int) -> Iterable[Shape]:
        if size == 0:
            yield ()
        elif depth > 0 and room > 0:
            for first in range(1, size + 1):
                for head in forests(first - 1, depth - 1, max_children):
                    for tail in forests(size - first, depth, room - 1):
                        yield (head, *tail)

    yield from forests(nodes, max_depth, max_children)


def tokens(shape: Shape, rate, depth: int = 0) -> float:
    """Tokens of an accepted node and what is below it; ``rate(depth, width, rank)``."""
    return 1.0 + sum(rate(depth, len(shape), rank) * tokens(child, rate, depth + 1) for rank, child in enumerate(shape))


def best_of_all(rate, nodes: int, max_depth: int, max_children: int) -> float:
    """Most tokens per call of any tree of 1 to N nodes."""
    return max(tokens(shape, rate) for size in range(1, nodes + 1)
               for shape in all_shapes(size, max_depth, max_children))


def likeliest(rate, nodes: int, max_depth: int, ranks: int) -> float:
    """One and the N largest chances among all nodes of the infinite tree: no tree of N nodes can do better.

    For rates that do not depend on width and do not rise along ranks those nodes are a tree, and the best one.
    """
    total, heap = 1.0, [(-rate(0, ranks, rank), 1) for rank in range(ranks)]
    heapq.heapify(heap)
    for _ in range(nodes):
        if not heap:
            break
        chance, depth = heapq.heappop(heap)
        total -= chance
        if depth < max_depth:
            for rank in range(ranks):
                heapq.heappush(heap, (chance * rate(depth, ranks, rank), depth + 1))
    return total
