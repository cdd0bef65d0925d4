"""Layer verification of a chosen path: every choice that the coins may make is weighed at once, layer by layer.

`winner_block` tosses coins to choose a path and then verifies it. Here the coins are not tossed: layer d holds a weight
``a(s)`` for every state s, a way in which the first d choices may fall given the drafts so far. With the total
``A = sum a`` of a layer and ``lambda = a / A``, the choice of x after s, which the coins make with chance w given the
drafts and whose law is L, weighs ``lambda(s) w min(1, A p(x) / L(x))``, and leaves ``lambda(s) (A p - L)+`` undone, of
mass r over all states. Layers are decided from the last to the first: the last one is kept with probability A, another
with ``r / (r + 1 - A)``; where it is kept, s is drawn by its share and the next token from what it left undone. As the
minimum is concave, a weight taken in the mean is worth at least the mean of weights.

This is our reconstruction of the lift of a local plan in Layer Verification [layer-verification] from its published
description, with the exact winner law inside; the paper's own local plan is another.

Theorem: the text has the target's law. Given the drafts of d layers, layer d or a later one is kept with probability A,
below s with ``a(s)``; what is emitted after s or later has mass ``lambda(s) (min(L, A p) + (A p - L)+) = a(s) p``.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np

from otspec.core.schemes import DraftScheme, WithoutReplacement, WithReplacement
from otspec.core.tree import DraftTree
from otspec.core.tree_verifier import TreeVerifier
from otspec.verifiers.tree.winners import check_law, game, odds


class _State(NamedTuple):
    """A node that the choices so far may have led to, and its weight."""

    node: int
    weight: float


class LayerBlock(TreeVerifier):
    """Winners at each level, all at once, decided layer by layer.

    Parameters
    ----------
    scheme : WithReplacement, WithoutReplacement or int
    law : {"universal", "minimal"}
        Winner law.

    Examples
    --------
    >>> LayerBlock(2).expected_accepted(DraftTree.from_paths([[0], [1]]), [[0.0, 1.0]] * 3, [[0.5, 0.5]] * 3)
    1.0
    """

    schemes: ClassVar[tuple[type, ...]] = (WithReplacement, WithoutReplacement)
    order_matters: ClassVar[bool] = False

    def __init__(self, scheme: DraftScheme | int = 1, *, law: str = "universal") -> None:
        super().__init__(scheme)
        self.law = check_law(law)

    def _joint(self, tree: DraftTree, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        layers, undone = [[_State(0, 1.0)]], []
        while layers[-1]:
            below, left = self._layer(tree, target, draft, layers[-1])
            layers.append(below)
            undone.append(left)
        joint, going = np.zeros_like(target), 1.0  # the chance that no later layer was kept
        for states, left in zip(reversed(layers[:-1]), reversed(undone), strict=True):
            total = sum(state.weight for state in states)
            rest = sum(float(law.sum()) for _, law in left)
            room = rest + max(1.0 - total, 0.0)
            kept = going * (min(1.0, rest / room) if room > 0 else 1.0)
            for node, law in left:
                joint[node] += law * (kept / rest if rest > 0 else 0.0)
            if rest <= 0 < kept:  # nothing is left undone, and yet the layer is sure: weights of one
                for state in states:
                    joint[state.node] += target[state.node] * (kept * state.weight / total)
            going -= kept
        return joint

    def _layer(self, tree: DraftTree, target: np.ndarray, draft: np.ndarray,
               states: list[_State]) -> tuple[list[_State], list[tuple[int, np.ndarray]]]:
        """States one layer deeper, and what each node of this layer leaves undone."""
        total = sum(state.weight for state in states)
        below, left = [], []
        for node, weight in states:
            share = weight / total if total > 0 else 0.0
            children = tree.children[node]
            if not children or share == 0:
                left.append((node, weight * target[node]))
                continue
            copies = np.repeat(children, tree.multiplicity[list(children)])
            race = tree.scheme == "without_replacement"
            played = game(target[node], draft[node], len(copies), race=race, kind=self.law)
            chances = odds(played, tree.tokens[copies], race=race)
            for child in children:
                token = tree.tokens[child]
                most = min(1.0, total * target[node][token] / played.law[token]) if played.law[token] > 0 else 0.0
                below.append(_State(child, share * float(chances[copies == child].sum()) * most))
            left.append((node, share * np.maximum(total * target[node] - played.law, 0.0)))
        return below, left
