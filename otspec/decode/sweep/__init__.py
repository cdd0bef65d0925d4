"""Many decoding runs at once, on one machine or on many, that go on where they were stopped.

A sweep is rules x drafters x lengths x temperatures x prompts. It is cut into units of work, each some prompts under
one setting, and every finished unit has files of its own. Any `concurrent.futures.Executor` may do the units.
"""

from otspec.decode.sweep.results import Sweep
from otspec.decode.sweep.run import decode_sweep

__all__ = ["Sweep", "decode_sweep"]
