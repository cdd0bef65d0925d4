"""Schemes of the checks; the instances are those of `otspec.analysis.instances`."""

from __future__ import annotations

from otspec.core.drafters import Independent
from otspec.core.schemes import Greedy, Hub, Hybrid, WithoutReplacement, WithReplacement

#: schemes that a rule is checked on where none is given, as far as it is proved for them
SCHEMES = (WithReplacement(1), WithReplacement(2), WithReplacement(3), WithoutReplacement(1), WithoutReplacement(2),
           WithoutReplacement(3), Greedy(2), Greedy(3), Hybrid(1, 3), Hub(), Independent(2))
