"""Draft lengths: one file each, one line here.

Every policy answers two questions with the same methods: `LengthPolicy.stops`, whether a drafter that has seen so much
stops, and `LengthPolicy.predict`, how many tokens, target calls and draft calls that makes on recorded or enumerated
blocks. Policies with parameters are chosen by `LengthPolicy.fitted` on calibration blocks. Policies from outside join
by an entry point of the group ``otspec.length_policies``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otspec.core.open_registry import OpenRegistry
from otspec.core.registry import Entry, Source
from otspec.policies.length.base import LengthPolicy, Prediction
from otspec.policies.length.blocks import Blocks, Seen
from otspec.policies.length.clairvoyant import Clairvoyant, regret
from otspec.policies.length.fixed import BestLength, FixedLength, formula_table
from otspec.policies.length.goodput import Goodput, phase_diagram
from otspec.policies.length.specdec import SpecDecPlusPlus, TrueThreshold
from otspec.policies.length.stopping import StoppingProblem
from otspec.policies.length.thresholds import Confidence, EntropyBound, MinProbability
from otspec.policies.length.times import StepTime, TimeModel

YARDSTICK = frozenset({"needs_target"})

REGISTRY = OpenRegistry(
    "length policy", "otspec.length_policies",
    Entry("fixed", FixedLength, Source("leviathan2023"), "length", summary="the same length in every round"),
    Entry("best", BestLength, Source("leviathan2023"), "length", summary="the fixed length of least cost per token"),
    Entry("confidence", Confidence, Source("hf-assisted"), "length",
          summary="stop behind an unlikely token (Hugging Face's assistant_confidence_threshold)"),
    Entry("min_probability", MinProbability, Source("llama-cpp"), "length",
          summary="stop where the next row has no large mass (llama.cpp's draft-p-min)"),
    Entry("entropy", EntropyBound, Source("adaedl"), "length",
          summary="stop where the next row's entropy promises too little"),
    Entry("specdec++", SpecDecPlusPlus, Source("specdec++"), "length",
          summary="stop where a refusal so far is too likely, by a fitted predictor"),
    Entry("goodput", Goodput, Source("smartspec"), "length", summary="the length of most tokens per second of a batch"),
    Entry("true_threshold", TrueThreshold, Source("specdec++"), "length", claims=YARDSTICK,
          summary="specdec++ with the true chances: a yardstick"),
    Entry("clairvoyant", Clairvoyant, Source("specdec++"), "length", claims=YARDSTICK,
          summary="exactly what will be kept: a yardstick"),
)


def list_length_policies() -> Mapping[str, Entry]:
    """Length policies by name, in display order.

    Examples
    --------
    >>> list(list_length_policies())[:3]
    ['fixed', 'best', 'confidence']
    """
    return REGISTRY


def length_policy(name: Any, **params: Any) -> LengthPolicy:
    """Make a length policy.

    Parameters
    ----------
    name : str or LengthPolicy
        A name of `list_length_policies`; an object is returned as it is.
    **params
        Its parameters, such as ``length`` of ``"fixed"``.

    Raises
    ------
    UnknownName, BadArgument

    Examples
    --------
    >>> length_policy("fixed", length=3)
    FixedLength(length=3)
    """
    return REGISTRY.made(LengthPolicy, name, params)


__all__ = ["REGISTRY", "BestLength", "Blocks", "Clairvoyant", "Confidence", "EntropyBound", "FixedLength", "Goodput",
           "LengthPolicy", "MinProbability", "Prediction", "Seen", "SpecDecPlusPlus", "StepTime", "StoppingProblem",
           "TimeModel", "TrueThreshold", "formula_table", "length_policy", "list_length_policies", "phase_diagram",
           "regret"]
