"""What a failed check says, and what a passed one has looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from otspec.core.errors import OtspecError


class CheckFailed(OtspecError, AssertionError):
    """A rule does not hold what it claims.

    Attributes
    ----------
    claim : str
        What was checked.
    instance : str
        On what.
    numbers : dict
        What was found there, by name.
    """

    def __init__(self, rule: Any, claim: str, instance: str, says: str, **numbers: Any) -> None:
        shown = "".join(f"\n  {name} = {value}" for name, value in numbers.items())
        super().__init__(f"{rule}: {claim} fails on {instance}: {says}{shown}")
        self.claim, self.instance, self.numbers = claim, instance, numbers


@dataclass(frozen=True)
class CheckReport:
    """Checks that a rule has passed: claim and number of instances, scheme by scheme.

    Attributes
    ----------
    rule : str
    passed : dict
        Number of instances by ``(scheme, claim)``.
    """

    rule: str
    passed: dict[tuple[str, str], int]

    def __str__(self) -> str:
        """One line per scheme."""
        lines = []
        for scheme in dict.fromkeys(scheme for scheme, _ in self.passed):
            found = [f"{claim} ({count})" for (where, claim), count in self.passed.items() if where == scheme]
            lines.append(f"{self.rule}, {scheme}: {', '.join(found)}")
        return "\n".join(lines)


@dataclass
class Checks:
    """Checks of one rule, counted; the first that fails ends them."""

    rule: Any
    counts: dict[tuple[str, str], int] = field(default_factory=dict)

    def require(self, claim: str, instance: str, held: Any, says: str, **numbers: Any) -> None:
        """Count a check, or raise `CheckFailed`."""
        if not bool(held):
            raise CheckFailed(self.rule, claim, instance, says, **numbers)
        key = str(getattr(self.rule, "scheme", "")), claim
        self.counts[key] = self.counts.get(key, 0) + 1

    def ask(self, claim: str, instance: str, function: Callable[..., Any], *given: Any) -> Any:
        """Answer of the rule; an error in it is a failure of the claim."""
        try:
            return function(*given)
        except CheckFailed:
            raise
        except Exception as error:
            raise CheckFailed(self.rule, claim, instance, f"{type(error).__name__}: {error}") from error
