"""Winner and block: choose the best surviving draft level by level, then verify the chosen path as a block.

At each node the winner among its drafts is picked with the universal winner law L, which maximises
``sum min(L, s target)`` for every scale s at once; the copies of the winner carry on. Block verification of the winner
path with draft law L follows. We know of no published source of the combination. [mdsd] [block]

Theorem: the text has the target's law; with one draft position the acceptance is the optimum of the transport problem,
and with one path the rule is block verification.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from otspec.core.drafted import DraftedTrees
from otspec.core.laws import namespace
from otspec.core.schemes import DraftScheme, WithoutReplacement, WithReplacement
from otspec.core.tree import DraftTree
from otspec.transport.sampler.pick_parallel import pick_marked
from otspec.verifiers.block.batched_choice import Followed, follow_winners, num_level_uniforms
from otspec.verifiers.block.chosen_path import Choice, Chosen, ChosenPath, node_rows
from otspec.verifiers.tree.winners import check_law, game, odds, top_cells

Array = Any


class WinnerBlock(ChosenPath):
    """Winner at each level, block verification of the winner path.

    Parameters
    ----------
    scheme : WithReplacement, WithoutReplacement or int
    law : {"universal", "minimal"}
        Winner law.

    Examples
    --------
    >>> WinnerBlock(2).expected_accepted(DraftTree.from_paths([[0], [1]]), [[0.0, 1.0]] * 3, [[0.5, 0.5]] * 3)
    1.0
    """

    schemes: ClassVar[tuple[type, ...]] = (WithReplacement, WithoutReplacement)

    def __init__(self, scheme: DraftScheme | int = 1, *, law: str = "universal") -> None:
        super().__init__(scheme)
        self.law = check_law(law)

    def num_choice_uniforms(self, draft_length: int) -> int:
        """One for the hull and one for the pick, at each level."""
        return 2 * draft_length

    def _choices(self, tree: DraftTree, target: np.ndarray, draft: np.ndarray) -> Iterator[Choice]:
        race = tree.scheme == "without_replacement"

        def below(chance: float, nodes: tuple[int, ...], laws: tuple[np.ndarray, ...]) -> Iterator[Choice]:
            node = nodes[-1]
            children = tree.children[node]
            if not children:
                yield Choice(chance, nodes, laws)
                return
            copies = np.repeat(children, tree.multiplicity[list(children)])
            played = game(target[node], draft[node], len(copies), race=race, kind=self.law)
            chances = odds(played, tree.tokens[copies], race=race)
            for child in children:
                share = float(chances[copies == child].sum())
                if share > 0:
                    yield from below(chance * share, (*nodes, child), (*laws, played.law))

        yield from below(1.0, (0,), ())

    def _choose(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> Chosen:
        xp = namespace(target_rows)
        alive = xp.ones(tokens.shape[:2], dtype=xp.bool, device=tokens.device)
        laws = []
        for depth in range(tokens.shape[-1]):
            # survivors share their prefix, hence their rows
            first = xp.argmax(xp.astype(alive, xp.int64), axis=-1)
            here = tokens[:, :, depth]
            inside, law = top_cells(node_rows(target_rows, first, depth), node_rows(draft_rows, first, depth),
                                    xp.where(alive, here, -xp.ones_like(here)), uniforms[:, 2 * depth], kind=self.law)
            winner = pick_marked(inside, uniforms[:, 2 * depth + 1])
            alive = alive & (here == xp.take_along_axis(here, winner[:, None], axis=-1))
            laws.append(law)
        return Chosen(xp.argmax(xp.astype(alive, xp.int64), axis=-1), xp.stack(laws, axis=1))

    def num_tree_uniforms(self, num_nodes: int) -> int:
        """Those of the winner and of its prefix at each level, one for the token."""
        return (num_nodes + 1) * num_level_uniforms(self.scheme.num_drafts, race=self._race) + 1

    def _draw_trees(self, drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None,
                    uniforms: Array) -> tuple[Array, Array]:
        return self._follow(drafted, target_rows, draft_rows, uniforms)[:2]

    def _expected_trees(self, drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None,
                        uniforms: Array) -> Array:
        return self._follow(drafted, target_rows, draft_rows, uniforms).mean

    def _follow(self, drafted: DraftedTrees, target_rows: Array, draft_rows: Array, uniforms: Array) -> Followed:
        return follow_winners(drafted, target_rows, draft_rows, uniforms, self.scheme.num_drafts, race=self._race,
                              kind=self.law)

    @property
    def _race(self) -> bool:
        return isinstance(self.scheme, WithoutReplacement)
