"""Is this rule lossless? The contract of the package, run on a rule from anywhere.

`check_verifier` runs everything that a rule of the package must hold: its output law by enumeration, its claims, its
draws against its conditional law, batches, NumPy against torch. `assert_lossless` checks a bare function that emits one
token. Both raise `CheckFailed`, an `AssertionError` that names the claim, the instance and the numbers.
"""

from otspec.testing.failure import CheckFailed, CheckReport
from otspec.testing.function import assert_lossless
from otspec.testing.run import check_verifier

__all__ = ["CheckFailed", "CheckReport", "assert_lossless", "check_verifier"]
