"""Runs that end early lose nothing: the error carries what had been finished.

Whatever ends a run (logits that define no law, memory, the user's Ctrl-C) is raised with an attribute ``run``, a
`DecodeRun` of the texts that were finished; ``run.settings["finished"]`` holds their places among the prompts. Every
text has its own stream of numbers, so these are the texts that the whole run would have given.
"""

from __future__ import annotations

import time
from typing import Any

from otspec.core.errors import TooLarge
from otspec.decode.model_laws import NoLaw
from otspec.decode.reading.memory import out_of_memory


def decode_all(batch: Any, settings: dict[str, Any], bytes_per_sequence: int) -> None:
    """Decode a batch; attach what is finished to whatever ends it early, and say in our words what that was.

    Parameters
    ----------
    batch : object
        With ``decode``, ``rows`` (the sequence of every row), ``size``, ``ledger`` and ``predict``.
    settings : dict
        Of the run.
    bytes_per_sequence : int
        As the room was estimated.

    Raises
    ------
    NotALaw
        Naming the prompt and the number of its new tokens, for a `NoLaw`.
    TooLarge
        Naming the batch size and half of it, where memory ran out.
    """
    import torch

    start = time.perf_counter()
    try:
        with torch.inference_mode():
            batch.decode()
        return
    except BaseException as error:
        run = batch.ledger.finished(batch.predict, settings, time.perf_counter() - start)
        kept = f"{len(run.tokens)} of {len(batch.ledger.tokens)} texts are finished, see `run` of this error"
        told: BaseException = error
        if isinstance(error, NoLaw):
            sequence = batch.rows[error.row]
            told = error.of(f"prompts[{sequence}] after {len(batch.ledger.tokens[sequence])} new tokens", kept)
        elif out_of_memory(error):
            told = _too_large(batch.size, bytes_per_sequence, kept)
        setattr(told, "run", run)  # noqa: B010 (no class of errors declares it, and any may be raised here)
        if told is error:
            raise
    # out here, so that the failed round's frames, which hold its tensors, do not hang on the new error
    raise told


def _too_large(size: int, bytes_per_sequence: int, kept: str) -> TooLarge:
    fix = f"batch_size={size // 2}" if size > 1 else "fewer drafts, shorter texts or a smaller pair"
    return TooLarge(f"batch_size: memory ran out with {size} sequences; {kept}. Fix: {fix}.",
                    size * bytes_per_sequence / 1e9)
