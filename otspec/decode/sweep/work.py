"""One unit of a sweep, where it is done: in this process, or in a worker that loads the models itself."""

from __future__ import annotations

import dataclasses
import platform
from dataclasses import dataclass
from typing import Any

from otspec.core.versions import installed
from otspec.decode.loop import generate
from otspec.decode.measure import DecodeRun
from otspec.decode.method import method
from otspec.decode.room import default_batch
from otspec.decode.sweep.plan import DEFAULTS
from otspec.decode.workers.hire import thread_limit
from otspec.decode.workers.models import Recipe, check_same


@dataclass(frozen=True)
class Task:
    """What a worker is sent.

    Attributes
    ----------
    setting : dict
        Arguments of `generate`.
    prompts : list of list of int
    first : int
        Number of the first of them among all prompts.
    recipe : Recipe or None
        None where the pair is at hand.
    expected : dict
        What is known of the models.
    threads : int
    ticket : str
        Another one for every attempt, or a cluster would answer a second one with the first one's failure.
    """

    setting: dict[str, Any]
    prompts: list[list[int]]
    first: int
    recipe: Recipe | None
    expected: dict[str, Any]
    threads: int
    ticket: str = ""


@dataclass(frozen=True)
class Done:
    """A decoded unit: the run, what its numbers depend on beside the request, and the machine it was done on."""

    run: DecodeRun
    origin: dict[str, Any]
    machine: dict[str, Any]


def work(task: Task) -> Done:
    """Decode a unit in a worker, which loads the models once."""
    assert task.recipe is not None  # workers are hired by a recipe only
    return decode(task.recipe.load(), task)


def decode(pair: Any, task: Task) -> Done:
    """Decode a unit with a pair at hand."""
    found = check_same(pair, task.expected)
    setting = DEFAULTS | task.setting
    # by default as many as fit on this machine: the batch would depend on the machine, and the last digits on the batch
    if setting["batch_size"] is None:
        drafts, _ = method(*(setting[name] for name in ("verifier", "scheme", "draft_length", "drafter")))
        setting["batch_size"] = default_batch(drafts, pair.vocab_size)
    setting["batch_size"] = min(setting["batch_size"], len(task.prompts))
    with thread_limit(task.threads):
        run = generate(pair, task.prompts, **setting, first_sequence=task.first)
    # the index of a device says nothing about the numbers, and differs from worker to worker
    run = dataclasses.replace(run, settings=run.settings | {"device": found["device"]})
    return Done(run, {**found, "versions": installed()}, {"host": platform.node(), "hardware": _hardware(pair.device)})


def _hardware(device: str) -> str:
    if not str(device).startswith("cuda"):
        return platform.processor() or platform.machine()
    import torch

    return torch.cuda.get_device_name(torch.device(device))
