r"""Rules that trade the target's law for acceptance, and the price of the trade.

The *price* of a rule is the total variation distance between the law of the token it emits and the target. Theorem: a
rule of price at most ``budget`` emits one of its drafts with probability at most ``min(1, optimum + budget)``, and
some rule does, for every scheme of drafts.

Upper end: a rule that emits ``output`` is lossless for the target ``output``, so it accepts at most
:math:`1 + \min_H [output(H) - Q(H)]`, Q(H) the probability that all drafts lie in H; and ``output(H)`` exceeds
``target(H)`` by the price at most. Lower end: let W be a law of drafts with ``sum min(target, W) = optimum``, so that
``TV(target, W) = 1 - optimum``. Any rule that is optimal for ``target + t (W - target)`` accepts with
``optimum + t (1 - optimum)`` and costs ``t (1 - optimum)``. [mdsd]

So a unit of price buys at most a unit of acceptance, context by context, and therefore also on average over contexts.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from array_api_compat import array_namespace

from otspec.core.checks import check_number
from otspec.core.errors import BadArgument
from otspec.core.schemes import DraftScheme, WithReplacement
from otspec.core.verifier import TokenVerifier, checked_pair
from otspec.verifiers import verifier

Array = Any


class LossyRule(TokenVerifier):
    """Base of the lossy rules: besides the conditional law, a subclass writes the law of what it emits.

    Attributes
    ----------
    lossy : bool
        True, and nothing else in the package is.
    max_deviation : float
        L1 distance from the target that the rule never exceeds, twice the price; 2 where it promises nothing.
    """

    lossy: ClassVar[bool] = True
    max_deviation: float = 2.0

    @abstractmethod
    def _output(self, target: Array, draft: Array) -> Array:
        """Law of the emitted token, arguments already checked."""

    def output(self, target: Array, draft: Array) -> Array:
        """Exact law ``[*batch V]`` of the emitted token, the drafts and the rule's coins integrated out."""
        return self._output(*checked_pair(target, draft, self.scheme))

    def price(self, target: Array, draft: Array) -> Array:
        """Exact total variation distance ``[*batch]`` between the emitted token's law and the target."""
        target, draft = checked_pair(target, draft, self.scheme)
        xp = array_namespace(target, draft)
        return 0.5 * xp.sum(xp.abs(self._output(target, draft) - target), axis=-1)

    def __repr__(self) -> str:
        """Class name and scheme, marked as lossy."""
        return f"lossy {super().__repr__()}"


class OtherTarget(LossyRule):
    """A lossy rule that is an optimal lossless one for another target, which a subclass writes as `_output`."""

    def __init__(self, scheme: DraftScheme | int) -> None:
        super().__init__(scheme)
        one = self.scheme == WithReplacement(1)
        self._rule = verifier("single_draft" if one else "optimal", self.scheme)

    @property
    def num_uniforms(self) -> int:
        """Those of the lossless rule."""
        return self._rule.num_uniforms

    def _goal(self, target: Array, draft: Array, tokens: Array) -> Array:
        """The other target, where some drafts may be absent."""
        return self._output(target, draft)

    def _conditional(self, target: Array, draft: Array, tokens: Array) -> Array:
        return self._rule._conditional(self._goal(target, draft, tokens), draft, tokens)

    def _draw(self, target: Array, draft: Array, tokens: Array, uniforms: Array) -> Array:
        return self._rule._draw(self._goal(target, draft, tokens), draft, tokens, uniforms)

    def acceptance(self, target: Array, draft: Array) -> Array:
        """Acceptance ``[*batch]``: the optimum for the other target."""
        target, draft = checked_pair(target, draft, self.scheme)
        return self._rule.acceptance(self._output(target, draft), draft)


def check_share(name: str, value: Any, *, above_zero: bool = False) -> float:
    """Return a number in ``[0, 1]``, or ``(0, 1]``, as a float.

    Raises
    ------
    BadArgument
    """
    number = check_number(name, value, "a number from 0 to 1")
    if not (0 < number <= 1 or (number == 0 and not above_zero)):
        raise BadArgument(f"{name}: {value!r} is outside {'(' if above_zero else '['}0, 1]. Fix: a number in it.")
    return number
