"""What a sweep is asked for: settings of the decoder, prompts, and the units of work that both are cut into.

The cut follows from the request alone, never from the machines: a unit is a fixed run of prompts under one setting,
decoded in batches of a fixed size by a fixed number of threads. So it has the same numbers wherever it is done.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from otspec.core.checks import check_positive
from otspec.core.coupling import Coupling
from otspec.core.errors import BadArgument
from otspec.core.names import did_you_mean
from otspec.core.schemes import DraftScheme, as_scheme
from otspec.decode.arguments import check_seed, check_warp
from otspec.decode.drafters.base import Drafter
from otspec.decode.loop import generate
from otspec.decode.method import method

NOT_SWEPT = ("pair", "prompts", "progress", "first_sequence")
DEFAULTS = {name: parameter.default for name, parameter in inspect.signature(generate).parameters.items()
            if name not in NOT_SWEPT}


class Unit(NamedTuple):
    """Prompts ``first`` to ``first + count - 1`` under one setting."""

    setting: int
    first: int
    count: int  # type: ignore[assignment]  # a field, where a tuple has a method

    @property
    def name(self) -> str:
        """Place in the sweep's folder, without an ending."""
        return f"{self.setting:04d}/{self.first:08d}"


def units(settings: int, prompts: int, shard_size: int) -> Iterator[Unit]:
    """Yield all units, setting after setting.

    Examples
    --------
    >>> [unit.name for unit in units(1, 5, 3)]
    ['0000/00000000', '0000/00000003']
    """
    for setting in range(settings):
        for first in range(0, prompts, shard_size):
            yield Unit(setting, first, min(shard_size, prompts - first))


def settings_of(grid: Any) -> list[dict[str, Any]]:
    """Settings that a grid stands for: every combination of its lists.

    Parameters
    ----------
    grid : mapping or iterable of mappings
        Arguments of `generate`; a list holds several values to try, anything else is one value. Several mappings stand
        one after the other.

    Raises
    ------
    BadArgument
        No setting, an empty list, or a name that `generate` does not take.

    Examples
    --------
    >>> settings_of({"verifier": ["block", "token_wise"], "temperature": [1.0, 0.5], "draft_length": 4})[1]
    {'verifier': 'block', 'temperature': 0.5, 'draft_length': 4}
    """
    settings = []
    for part in [grid] if isinstance(grid, Mapping) else list(grid):
        if not isinstance(part, Mapping):
            raise BadArgument(f"grid: {part!r} is no mapping. Fix: grid={{'verifier': ['block', 'optimal']}}, say.")
        for name, values in part.items():
            if name not in DEFAULTS:
                raise BadArgument(f"grid: {name!r} is no setting of the decoder.{did_you_mean(name, DEFAULTS)} "
                                  f"Fix: one of {', '.join(DEFAULTS)}.")
            if isinstance(values, list) and not values:
                raise BadArgument(f"grid: {name!r} has no values. Fix: give at least one, or leave it out.")
        axes = [values if isinstance(values, list) else [values] for values in part.values()]
        settings += [dict(zip(part, combination, strict=True)) for combination in product(*axes)]
    if not settings:
        raise BadArgument("grid: no settings. Fix: grid={'verifier': ['block', 'optimal']}, say.")
    return settings


@dataclass(frozen=True)
class Plan:
    """A checked request.

    Attributes
    ----------
    settings : list of dict
        Arguments of `generate`, as they were given.
    prompts : list of list of int
    shard_size, threads : int
    """

    settings: list[dict[str, Any]]
    prompts: list[list[int]]
    shard_size: int
    threads: int

    @classmethod
    def of(cls, grid: Any, prompts: list[list[int]], shard_size: int, threads: int) -> Plan:
        """Check everything that can be checked without a model.

        Raises
        ------
        BadArgument, SchemeMismatch, UnknownName
            The setting is named.
        """
        settings = settings_of(grid)
        check_settings(settings)
        return cls(settings, prompts, check_positive("shard_size", shard_size), check_positive("threads", threads))

    @property
    def units(self) -> list[Unit]:
        """All units of work."""
        return list(units(len(self.settings), len(self.prompts), self.shard_size))

    def request(self, models: Mapping[str, Any]) -> dict[str, Any]:
        """Return all that the numbers depend on, as JSON values; two equal requests are the same sweep."""
        tokens = hashlib.sha256(json.dumps(self.prompts).encode()).hexdigest()
        settings = [{name: described(name, value) for name, value in (DEFAULTS | setting).items()}
                    for setting in self.settings]
        return {**models, "prompts": len(self.prompts), "prompts_sha256": tokens, "shard_size": self.shard_size,
                "threads": self.threads, "settings": settings}


def check_settings(settings: list[dict[str, Any]]) -> None:
    """Check every setting as far as that goes without a model.

    Raises
    ------
    BadArgument, SchemeMismatch, UnknownName
        The setting is named.
    """
    for number, setting in enumerate(settings):
        try:
            _check(DEFAULTS | setting)
        except Exception as error:
            error.add_note(f"This is setting {number} of the sweep: {setting}.")
            raise


def _check(setting: dict[str, Any]) -> None:
    method(*(setting[name] for name in ("verifier", "scheme", "draft_length", "drafter")))
    check_warp(setting["temperature"], setting["top_k"], setting["top_p"])
    check_seed(setting["seed"])
    check_positive("max_new_tokens", setting["max_new_tokens"])
    if setting["batch_size"] is not None:
        check_positive("batch_size", setting["batch_size"])
    for name, value in setting.items():
        described(name, value)


def described(name: str, value: Any) -> Any:
    """Return a JSON value that stands for a setting, the same for equal settings only.

    Raises
    ------
    BadArgument
        An object whose parameters cannot be read off.

    Examples
    --------
    >>> described("scheme", 2), described("stop_token", (3, 1))
    ('WithReplacement(k=2)', [3, 1])
    """
    if name == "scheme" and not isinstance(value, DraftScheme):
        value = as_scheme(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (set, frozenset)):
        value = sorted(value)
    if isinstance(value, Iterable):
        return [described("", part) for part in value]
    text = repr(value) if isinstance(value, (DraftScheme, Drafter)) else _of_rule(name, value)
    if " at 0x" in text:
        raise BadArgument(f"grid: {name} = {value!r} has no name that would tell it from another. Fix: a class whose "
                          f"repr gives its parameters.")
    return text


def _of_rule(name: str, rule: Any) -> str:
    """Class of a rule or coupling, and its parameters."""
    kind = type(rule)
    parameters = list(inspect.signature(kind).parameters)
    lost = [each for each in parameters if not hasattr(rule, each)]
    if lost or (name != "verifier" and not isinstance(rule, Coupling)):
        raise BadArgument(f"grid: {name} = {rule!r} cannot be written into the sweep's index. Fix: give a name, or an "
                          f"object with its parameters as attributes of the same name.")
    given = ", ".join(f"{each}={getattr(rule, each)!r}" for each in parameters)
    return f"{kind.__module__}.{kind.__qualname__}({given})"
