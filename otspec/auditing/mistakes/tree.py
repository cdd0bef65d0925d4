"""Known mistakes on drafted trees: masses ``[N V]`` of (node kept, next token)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from otspec.auditing.mistakes.registry import Mistake, accept, excess, scaled
from otspec.core.tree import DraftTree

Rows = np.ndarray
#: residual after a refused child: (residual, draft law, token, target row) -> (residual, draft law)
Refused = Callable[[np.ndarray, np.ndarray, int, np.ndarray], tuple[np.ndarray, np.ndarray]]


def walked(tree: DraftTree, target: Rows, draft: Rows, refused: Refused, *, copies: bool) -> Rows:
    """Walk from the root: children are tried in drawing order, each as often as it was drawn or once."""
    mass, reach = np.zeros_like(target), np.zeros(len(tree))
    reach[0] = 1.0
    for node in range(len(tree)):
        r, q, survive = target[node].copy(), draft[node].copy(), reach[node]
        for child in tree.children[node]:
            x = int(tree.tokens[child])
            for _ in range(int(tree.multiplicity[child]) if copies else 1):
                keep = accept(r[x], q[x])
                reach[child] += survive * keep
                survive *= 1 - keep
                r, q = refused(r, q, x, target[node])
        mass[node] = survive * r
    return mass


def _removed(r: np.ndarray, q: np.ndarray, x: int, scale: bool) -> tuple[np.ndarray, np.ndarray]:
    left = q.copy()
    left[x] = 0.0
    return excess(r, q), scaled(left, left) if scale and left.sum() > 0 else left


def merged_copies(tree: DraftTree, target: Rows, draft: Rows) -> Rows:
    """Copies merged in a node are tried once."""
    return walked(tree, target, draft, lambda r, q, x, p: (excess(r, q), q), copies=False)


def not_renormalised(tree: DraftTree, target: Rows, draft: Rows) -> Rows:
    """The draft law loses the refused child but is not renormalised."""
    return walked(tree, target, draft, lambda r, q, x, p: _removed(r, q, x, False), copies=False)


def not_removed(tree: DraftTree, target: Rows, draft: Rows) -> Rows:
    """Children drawn without replacement are tried as independent draws."""
    return walked(tree, target, draft, lambda r, q, x, p: (excess(r, q), q), copies=False)


def frozen_residual(tree: DraftTree, target: Rows, draft: Rows) -> Rows:
    """Every child is tried against the target itself, one residual at the end."""
    mass = walked(tree, target, draft, lambda r, q, x, p: (p, q), copies=True)
    for node in range(len(tree)):
        if tree.children[node]:
            mass[node] = mass[node].sum() * excess(target[node], draft[node])
    return mass


def redraw_from_target(tree: DraftTree, target: Rows, draft: Rows) -> Rows:
    """Where every child is refused, the target itself."""
    right = (lambda r, q, x, p: _removed(r, q, x, True)) if tree.scheme == "without_replacement" else \
        (lambda r, q, x, p: (excess(r, q), q))
    return walked(tree, target, draft, right, copies=True).sum(axis=1, keepdims=True) * target


def given_as_drawn(tree: DraftTree, target: Rows, draft: Rows) -> Rows:
    """Chosen children under the rule for draws without replacement."""
    return walked(tree, target, draft, lambda r, q, x, p: _removed(r, q, x, True), copies=False)


TREE = (
    Mistake("given_taken_for_sampled", "tree", "children that were chosen (top k, a beam) are verified as if they had "
            "been drawn without replacement", "give them one-hot draft laws: accept a child with the target's "
            "probability and leave refused children out of the redraw", given_as_drawn, ("given",)),
    Mistake("merged_copies", "tree", "copies of a path that are merged in a node are tried once",
            "try a child once for every copy merged in it", merged_copies, ("WithReplacement",)),
    Mistake("draft_not_renormalised", "tree", "a refused child is removed from the draft law, which is not "
            "renormalised", "divide the draft law by what is left of it", not_renormalised, ("WithoutReplacement",)),
    Mistake("draft_not_removed", "tree", "children drawn without replacement are verified as independent draws",
            "remove each refused child from the draft law and renormalise", not_removed, ("WithoutReplacement",)),
    Mistake("frozen_residual", "tree", "every child is tested against the target itself",
            "after each refusal go on with the residual as target", frozen_residual),
    Mistake("redraw_from_target", "tree", "where every child is refused the target itself is drawn from",
            "draw from what is left of the residual", redraw_from_target),
)
