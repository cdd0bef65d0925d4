"""Best-first trees: the next node goes where the draft model thinks it is likeliest to be kept. [dyspec].

Every place where a child may be drawn has a value: the draft probability of the way to it, times that of all earlier
children there having failed. The place of largest value gets the next child, drawn from what is left of its law.
The number of children of a node so depends on the children drawn; rules that must know it beforehand would be biased.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from otspec.decode.drafters.base import Draft, GrownTree, Speaker
from otspec.decode.drafters.best_first import Place, grow


@dataclass(frozen=True)
class Heap(GrownTree):
    """Tree of ``nodes`` drafts, grown best first, at most ``max_depth`` deep.

    Parameters
    ----------
    nodes : int
    max_depth : int, optional
        Default: as deep as it grows.

    Examples
    --------
    >>> Heap(8).depth
    8
    """

    nodes: int = 8
    max_depth: int | None = None

    tree: ClassVar[str] = "without_replacement"
    adaptive_widths: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the parameters."""
        self._check_sizes()

    def propose(self, speaker: Speaker, uniforms: Any) -> Draft:
        """Draw node after node; one call of the draft model each."""
        return grow(speaker, uniforms, _Mass(), depth=self.depth, children=self.nodes)


class _Mass:
    """Probability of the way to a place, and of all earlier children there failing."""

    def kind(self, law: Any) -> int:
        return 0

    def first(self, worth: Any, kind: Any) -> Any:
        return worth

    def later(self, place: Place) -> tuple[Any, Any]:
        return place.value * place.chance, place.value * (1.0 - place.chance).clamp(min=0.0)
