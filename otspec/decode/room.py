"""What fits: positions that the models know, and memory, both found out before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from otspec.core.checks import check_positive
from otspec.core.errors import BadArgument, TooLarge
from otspec.decode.drafters.base import Drafter
from otspec.decode.reading.behaviour import Behaviour, behaviour, positions
from otspec.decode.reading.readers import Reader, TreeReader

ENTRIES = 1 << 26  # of a round's target laws by default: 512 MB of float64
SHARE = 0.8  # of the free memory that a batch may take
COPIES = 4  # of a round's laws in float64 that exist at once: logits, laws, and what a rule makes of them


def check_room(pair: Any, drafts: Drafter | None, longest: int) -> None:
    """Refuse, before any model runs, texts that would outgrow what a model can hold.

    Raises
    ------
    BadArgument
        More tokens than a model that is read knows positions.
    """
    for which in read_models(drafts):
        limit = positions(model_of(pair, which))
        if limit is not None and longest > limit:
            raise BadArgument(f"max_new_tokens: texts of up to {longest} tokens exceed the {limit} positions of the "
                              f"{which} model. Fix: shorten the prompts or max_new_tokens.")


def read_models(drafts: Drafter | None) -> tuple[str, ...]:
    """Models of the pair that are read: the target, the draft, and further drafts by number."""
    count = drafts.num_models if drafts is not None else 0
    return ("target", *(f"draft {place + 1}" if place else "draft" for place in range(count)))


def model_of(pair: Any, which: str) -> Any:
    """Return a model of the pair by its name in `read_models`.

    Raises
    ------
    BadArgument
        A pair with fewer draft models.
    """
    name, _, number = which.partition(" ")
    if not number:
        return getattr(pair, name)
    if int(number) > 1 + len(pair.others):
        raise BadArgument(f"drafter: {number} draft models are asked for, the pair has {1 + len(pair.others)}. "
                          f"Fix: load_pair(target=..., draft=[...]) with as many drafts.")
    return pair.others[int(number) - 2]


@dataclass(frozen=True)
class Room:
    """How the models are read, and how many sequences fit.

    Attributes
    ----------
    readings : dict of str to Behaviour
    bytes_per_sequence : int
        Cache, laws and what is made of them, for one sequence.
    default : int
        Sequences that keep a round's target laws within 512 MB.
    free : int or None
        Bytes of memory that are free; None where nobody says.
    first : int
        Slots that the caches begin with.
    on_cuda : bool
    """

    readings: dict[str, Behaviour]
    bytes_per_sequence: int
    default: int
    free: int | None
    first: int
    on_cuda: bool = False

    @classmethod
    def of(cls, pair: Any, drafts: Drafter | None, longest: int, law_dtype: str = "float64") -> Room:
        """Try the models and add up."""
        nodes = drafts.num_nodes if drafts else 0
        branches = drafts is not None and drafts.branches
        # drafts reach past the longest text, and a model may change its positions there for all that it reads
        reach = longest + (drafts.depth if drafts else 0)
        readings = {which: behaviour(model_of(pair, which), pair.vocab_size, reach, which, trees=branches)
                    for which in read_models(drafts)}
        slots = longest + nodes + 2
        cache = sum(reading.bytes_per_token * slots + reading.bytes_per_text for reading in readings.values())
        # at most so many copies are in float64 while a rule looks at them; what is kept has the dtype asked for
        kept = 8 if law_dtype == "float64" else 4
        laws = (8 * COPIES * (nodes + 1) + kept * 2 * nodes) * pair.vocab_size
        return cls(readings, cache + laws, default_batch(drafts, pair.vocab_size), free_memory(pair.device), slots,
                   str(pair.device).startswith("cuda"))

    def batch(self, asked: int | None, count: int) -> int:
        """Sequences of ``count`` to decode together.

        Raises
        ------
        TooLarge
            More than fit; the number that does is named.
        """
        most = count if asked is None else min(check_positive("batch_size", asked), count)
        fitting = most if self.free is None else int(SHARE * self.free) // self.bytes_per_sequence
        wanted = 1 if asked is None else most
        if self.free is not None and fitting < wanted:
            need = wanted * self.bytes_per_sequence
            raise TooLarge(f"batch_size: {wanted} sequences need about {need / 1e9:.1f} GB, {self.free / 1e9:.1f} GB "
                           f"are free. Fix: " + (f"batch_size={fitting}." if fitting else
                                                 "fewer drafts, shorter texts or a smaller pair."), need / 1e9)
        return most if asked is not None else min(self.default, fitting, most)

    @property
    def recorded(self) -> bool:
        """Whether all models are read by calls that a CUDA device replays; several drafts are not."""
        together = all(reading.way == "together" for reading in self.readings.values())
        return self.on_cuda and together and len(self.readings) <= 2

    @property
    def ways(self) -> dict[str, str]:
        """How each model is read, and why not better."""
        return {which: reading.way + (f": {reading.lacks}" if reading.lacks else "")
                for which, reading in self.readings.items()}

    def target(self, rows: int) -> Reader:
        """Reader of the target model."""
        return self._reader("target", rows)

    def drafts(self, rows: int) -> list[Reader]:
        """Readers of the draft models, in order."""
        return [self._reader(which, rows) for which in self.readings if which != "target"]

    def _reader(self, which: str, rows: int) -> Reader:
        made = self.readings[which].make
        return made(rows=rows, room=self.first) if getattr(made, "func", None) is TreeReader else made(rows=rows)


def default_batch(drafts: Drafter | None, vocab_size: int) -> int:
    """Sequences that keep a round's target laws within 512 MB, at least one."""
    return max(1, ENTRIES // (((drafts.num_nodes if drafts else 0) + 1) * vocab_size))


def free_memory(device: str) -> int | None:
    """Free memory of a device in bytes, or None where the system does not say."""
    import torch

    if str(device).startswith("cuda"):
        return torch.cuda.mem_get_info(torch.device(device))[0]
    stated = Path("/proc/meminfo")
    if not stated.is_file():
        return None
    lines = dict(line.split(":", 1) for line in stated.read_text(encoding="utf-8").splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024
