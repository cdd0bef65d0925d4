"""Fixed trees of top tokens and one draw: at each node the likeliest tokens, and one token drawn from the rest. [mdsd].

The hierarchy that UniVer verifies [univer]. The shape is fixed before anything is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from otspec.core.schemes import Greedy
from otspec.decode.drafters.tree import FixedTree


@dataclass(frozen=True)
class GreedyTree(FixedTree):
    """A tree of fixed shape; of the k children of a node k - 1 are its likeliest tokens, and the last one is drawn.

    Parameters
    ----------
    widths, counts
        As in `FixedTree`.

    Examples
    --------
    >>> GreedyTree(widths=(2, 2, 2, 2, 2)).num_nodes
    62
    """

    tree: ClassVar[str] = "greedy"

    def _children_of(self, law: Any, uniforms: Any) -> Any:
        """Tokens ``[B k]`` after nodes of laws ``[B V]``; only the last uniform of ``[B k]`` is used."""
        return Greedy(uniforms.shape[1])._sample(law, uniforms[:, -1:])
