"""One model's training: the step loop, its checkpoints and the exported folder.

A training is a function of seed, corpus, recipe and step count. One that was interrupted and resumed takes the
same steps as one that was not (bit for bit on one CPU thread; CUDA kernels add in varying order).
"""

import copy
import json
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from otspec.core.errors import BadFile, OtspecError
from otspec.core.files import replacing
from otspec.core.progress import progress_bar
from otspec.decode.weights import quiet
from otspec.train.optimiser import MuonAdamW, schedule
from otspec.train.recipe import Recipe, batch_starts, new_model, training_loss

LOG_EVERY = 100


@dataclass(frozen=True)
class Run:
    """What all models of one training have in common.

    Attributes
    ----------
    out : Path
        Output folder.
    stream : torch.Tensor of int32 [N]
        Training tokens, on the device.
    device : str
    seed, rows, context : int
        Rows per step and tokens per row.
    corpus_sha256 : str
    checkpoint_every : int
        Steps between two checkpoints.
    deadline : float
        In seconds of ``time.monotonic``.
    resume, progress : bool
    """

    out: Path
    stream: Any
    device: str
    seed: int
    rows: int
    context: int
    corpus_sha256: str
    checkpoint_every: int = 250
    deadline: float = float("inf")
    resume: bool = True
    progress: bool = True


class OutOfTimeError(OtspecError):
    """The time limit has passed; the checkpoint is written."""


class Fit:
    """One model in training: its weights, its optimiser, the steps done and the losses seen.

    Parameters
    ----------
    name : str
        Name of the model's folder and checkpoint.
    recipe : Recipe
    total : int
        Steps of the whole training.
    target : transformers.PreTrainedModel or None
        The trained model to distil against.
    run : Run

    Raises
    ------
    BadFile
        `run.out` holds a checkpoint of a training with other settings.
    """

    def __init__(self, name: str, recipe: Recipe, total: int, target: Any, run: Run) -> None:
        import torch

        self.name, self.recipe, self.total, self.target, self.run = name, recipe, total, target, run
        self.model = new_model(recipe, run.seed).to(run.device).train()
        self.optimiser = MuonAdamW(self.model)
        self.step = 0
        self.history: list[list[float]] = []
        self._recent = torch.zeros((), device=run.device)
        self._checkpoint = run.out / "checkpoints" / f"{name}.safetensors"
        self._identity = {
            "name": name,
            "recipe": asdict(recipe),
            "steps": total,
            "seed": run.seed,
            "rows": run.rows,
            "context": run.context,
            "corpus": run.corpus_sha256,
        }
        if run.resume and self._checkpoint.is_file():
            self._restore()

    def finish(self) -> None:
        """Take the steps that are left and export the model.

        Raises
        ------
        OutOfTimeError
            The deadline passed; the checkpoint holds what is done.
        """
        if self.step == self.total and (self.run.out / self.name / "model.safetensors").is_file():
            return
        with progress_bar(self.total, "steps", self.run.progress, self.step) as bar:
            bar.set_description(self.name)
            while self.step < self.total:
                self._take_step()
                bar.update()
                # also where the loss changes its unit, so that no mean mixes nats and total variation
                turned = self._distilling(self.step) != self._distilling(self.step - 1)
                if self.step % LOG_EVERY == 0 or self.step == self.total or turned:
                    self._log()
                late = time.monotonic() > self.run.deadline and self.step < self.total
                if late or self.step % self.run.checkpoint_every == 0 or self.step == self.total:
                    self._save()
                if late:
                    raise OutOfTimeError(
                        f"{self.name} stopped at step {self.step} of {self.total}; run the same command to continue"
                    )
        export(self.model, self.run.out / self.name)

    def _take_step(self) -> None:
        import torch

        target = self.target if self._distilling(self.step) else None
        loss = training_loss(self.model, self._rows(), target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step(schedule(self.step, self.total))
        self._recent += loss.detach()
        self.step += 1

    def _distilling(self, step: int) -> bool:
        return self.target is not None and step >= self.recipe.distil_from * self.total

    def _rows(self) -> Any:
        import torch

        run = self.run
        starts = batch_starts(len(run.stream), run.context, run.rows, run.seed, self.step)
        first = torch.from_numpy(starts).to(run.device)
        return run.stream[first[:, None] + torch.arange(run.context + 1, device=run.device)].long()

    def _log(self) -> None:
        before = self.history[-1][0] if self.history else 0
        loss = self._recent.item() / (self.step - before)
        if not np.isfinite(loss):
            raise OtspecError(f"{self.name}: the loss is {loss} at step {self.step}; lower the learning rate")
        self.history.append([self.step, loss])
        self._recent.zero_()
        if self.run.progress:
            unit = "total variation" if self._distilling(self.step - 1) else "nats/token"
            sys.stdout.write(f"{self.name} step {self.step}/{self.total}: {loss:.4f} {unit}\n")
            sys.stdout.flush()

    def _save(self) -> None:
        from safetensors.torch import save_file

        tensors = {f"weight|{name}": tensor for name, tensor in self.model.named_parameters()}
        tensors |= {f"state|{name}": tensor for name, tensor in self.optimiser.state().items()}
        tensors["recent"] = self._recent
        header = {"identity": self._identity, "step": self.step, "history": self.history}
        with replacing(self._checkpoint) as temporary:
            save_file(
                {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()},
                temporary,
                metadata={"header": json.dumps(header)},
            )

    def _restore(self) -> None:
        import torch
        from safetensors import safe_open

        try:
            with safe_open(self._checkpoint, framework="pt") as file:
                header = json.loads((file.metadata() or {})["header"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except Exception as error:  # safetensors raises its own class and three built-in ones
            raise BadFile(f"{self._checkpoint}: cannot be read ({error}); delete it to start afresh") from error
        for key, value in self._identity.items():
            if header["identity"].get(key) != value:
                raise BadFile(
                    f"{self._checkpoint}: belongs to a training with {key} {header['identity'].get(key)!r}, this one "
                    f"has {value!r}; use another folder, or resume=False to overwrite it"
                )
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(tensors[f"weight|{name}"])
        self.optimiser.load_state(
            {name.removeprefix("state|"): value for name, value in tensors.items() if name.startswith("state|")}
        )
        self._recent.copy_(tensors["recent"])
        self.step, self.history = header["step"], header["history"]


def export(model: Any, folder: Path) -> None:
    """Write a model as a float16 folder in the Hugging Face layout, whole or not at all."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    with quiet():
        copy.deepcopy(model).cpu().half().save_pretrained(temporary)
    if folder.exists():
        shutil.rmtree(folder)
    temporary.replace(folder)
