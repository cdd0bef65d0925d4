"""Best-first trees whose values were measured: the next node goes where it has been kept most often. [dyspec].

A draft probability says little about how often a rule keeps the child: the first child of a law is kept more often than
not even where its probability is 2 %. So a place is valued by the measured rate of its rank, given the entropy of the
law that the child is drawn from, and a child by that of its rank, given its probability; rates multiply along the way.
As in every heap the number of children of a node depends on the children drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from otspec.core.errors import BadArgument
from otspec.decode.drafters.base import Draft, GrownTree, Speaker
from otspec.decode.drafters.best_first import Place, grow
from otspec.policies.trees.table import Calibration

MEASURED_CALIBRATION = ("measured rates, an ot.Calibration; ot.recommend(pair, budget) measures those of a pair for "
                        "the drafters that it tries")


@dataclass(frozen=True)
class CalibratedHeap(GrownTree):
    """Tree of ``nodes`` drafts, grown where measured rates are largest.

    Parameters
    ----------
    nodes : int
    calibration : Calibration, or mapping of its fields
    max_depth : int, optional
    max_children : int, optional
        Default: as many as rates are known for.

    Examples
    --------
    >>> rates = {"entropy_edges": (), "by_entropy": [[0.8], [0.1]], "chance_edges": (), "by_chance": [[0.8], [0.1]]}
    >>> CalibratedHeap(8, rates).most_draws
    2
    """

    nodes: int
    calibration: Calibration | Mapping[str, Any]
    max_depth: int | None = None
    max_children: int | None = None

    tree: ClassVar[str] = "without_replacement"
    adaptive_widths: ClassVar[bool] = True
    measured: ClassVar[Mapping[str, str]] = {"calibration": MEASURED_CALIBRATION}

    def __post_init__(self) -> None:
        """Check the parameters."""
        self._check_sizes()
        calibration = as_calibration(self.calibration)
        object.__setattr__(self, "calibration", calibration)
        if calibration.by_width:
            raise BadArgument("calibration: rates for each number of children, which a heap does not know before they "
                              "are drawn. Fix: by_entropy [R E] and by_chance [R C], or the drafter 'budget_split'.")

    @property
    def most_draws(self) -> int:
        """Most children of a node."""
        return min(self.nodes, as_calibration(self.calibration).num_ranks, self.max_children or self.nodes)

    def propose(self, speaker: Speaker, uniforms: Any) -> Draft:
        """Draw node after node; one call of the draft model each."""
        values = _Measured(Bins(as_calibration(self.calibration), uniforms))
        return grow(speaker, uniforms, values, depth=self.depth, children=self.most_draws)


class Bins:
    """A calibration as tensors of the device and dtype of another; without widths, one rank more with rates of 0."""

    def __init__(self, calibration: Calibration, beside: Any) -> None:
        self.entropy_edges, self.by_entropy, self.chance_edges, self.by_chance = (
            beside.new_tensor(getattr(calibration, name))
            for name in ("entropy_edges", "by_entropy", "chance_edges", "by_chance"))
        if not calibration.by_width:
            self.by_entropy, self.by_chance = (_one_more(rates) for rates in (self.by_entropy, self.by_chance))

    def entropy(self, law: Any) -> Any:
        """Bin ``[*B]`` of the entropy of laws ``[*B V]``."""
        import torch

        return torch.bucketize(torch.special.entr(law).sum(dim=-1).to(self.entropy_edges.dtype), self.entropy_edges,
                               right=True)

    def chance(self, mass: Any) -> Any:
        """Bin ``[*B]`` of the probability of children."""
        import torch

        return torch.bucketize(mass.to(self.chance_edges.dtype).contiguous(), self.chance_edges, right=True)


class _Measured:
    """Values of places from a calibration."""

    def __init__(self, bins: Bins) -> None:
        self._bins = bins

    def kind(self, law: Any) -> Any:
        return self._bins.entropy(law)

    def first(self, worth: Any, kind: Any) -> Any:
        return worth * self._bins.by_entropy[0, kind]

    def later(self, place: Place) -> tuple[Any, Any]:
        last = len(self._bins.by_entropy) - 1
        rank = place.rank.clamp(max=last)  # beyond the ranks there is no place, as its value is 0
        child = place.worth * self._bins.by_chance[rank, self._bins.chance(place.mass)]
        return child, place.worth * self._bins.by_entropy[(rank + 1).clamp(max=last), place.kind]


def _one_more(rates: Any) -> Any:
    import torch

    return torch.cat([rates, torch.zeros_like(rates[:1])])


def as_calibration(given: Any) -> Calibration:
    """Return a calibration, from one or from a mapping of its fields.

    Raises
    ------
    BadArgument
    """
    if isinstance(given, Calibration):
        return given
    fields = set(Calibration.__dataclass_fields__)
    if not isinstance(given, Mapping) or set(given) != fields:
        raise BadArgument(f"calibration: {type(given).__name__} is none. Fix: otspec.Calibration(...), or a mapping "
                          f"with {', '.join(sorted(fields))}.")
    return Calibration(**given)
