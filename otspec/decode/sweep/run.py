"""The one call that runs a sweep."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import Any

from otspec.core.errors import OtspecError
from otspec.core.progress import progress_bar
from otspec.decode.arguments import as_token_lists
from otspec.decode.sweep.plan import Plan, Unit
from otspec.decode.sweep.results import Sweep
from otspec.decode.sweep.shards import Shards
from otspec.decode.sweep.work import Task, decode, work
from otspec.decode.workers.drive import check_retries, drive, raise_first
from otspec.decode.workers.models import described_models, known_of, models_for


def decode_sweep(pair: Any, prompts: Iterable[Any], grid: Any, *, out: str | os.PathLike[str],
                 executor: Executor | None = None, shard_size: int = 64, threads: int = 1, retries: int = 2,
                 progress: bool = True) -> Sweep:
    """Decode the same prompts under many settings, on one machine or on many.

    Parameters
    ----------
    pair : Pair, str or mapping
        A pair; or the name of a pocket pair or the arguments of `load_pair`, by which every worker loads the models
        itself. Models are never sent: a pair given with an executor of other processes is loaded there by its names.
    prompts : iterable of str or of token lists
    grid : mapping or iterable of mappings
        Arguments of `generate`. A list holds values to combine with all others: ``{"verifier": ["block", "gumbel"],
        "draft_length": [2, 4, 8], "temperature": [0.6, 1.0], "max_new_tokens": 128}``.
        A rule of `register` must be known to every worker too, as by an entry point, or be given as an object.
    out : path
        Folder of the results: new, empty, or of the same sweep, of which only what is missing is done.
    executor : concurrent.futures.Executor, optional
        None decodes here. Otherwise ``ThreadPoolExecutor``, ``ProcessPoolExecutor`` (with the context "spawn"),
        ``dask.distributed.Client(...).get_executor()``, `submitit`'s or another one.
    shard_size : int
        Prompts of one unit of work, and most texts of a batch.
    threads : int
        CPU threads of torch in every worker; sums of floating-point numbers depend on them.
    retries : int
        How often a unit is tried again after its worker has died or failed. Where a whole executor breaks, as a
        ProcessPoolExecutor does, the sweep ends; the same call with a new executor goes on.
    progress : bool
        Show a progress bar on a terminal.

    Returns
    -------
    Sweep

    Raises
    ------
    BadArgument, SchemeMismatch, UnknownName, TooLarge, NotALaw
        As `generate`. Settings are checked before anything is decoded; what a unit fails for is raised when all others
        are done.
    BadFile
        ``out`` holds something else, or another sweep.
    WorkFailed
        A unit failed too often, or the executor broke. What was finished is kept.

    Notes
    -----
    The request (weights, prompts, settings, ``shard_size``, ``threads``) fixes all numbers: texts, counts and
    predictions are equal bit by bit between runs, however often they were interrupted and whichever executor did them,
    as far as the machines do the same arithmetic: the same kind of device, which is checked; the same libraries,
    another major version of which is warned of; the same model of device, which is noted in each shard. Prompt ``i``
    has the stream of chance that it has in one `generate` over all prompts; its text is the same as there, unless the
    rounding of a batch of another shape tips a draw.

    Examples
    --------
    Two workers on this machine (``pip install -e ".[cluster]"``)::

        from dask.distributed import Client
        with Client(n_workers=2, threads_per_worker=1) as client:
            ot.decode_sweep("pocket", prompts, grid, out="sweep", executor=client.get_executor())

    A Slurm cluster, with ``pip install dask-jobqueue``; folders of models must be the same on every node, ``out`` is
    written by this process alone::

        from dask.distributed import Client
        from dask_jobqueue import SLURMCluster
        cluster = SLURMCluster(cores=1, processes=1, memory="32GB", walltime="04:00:00", queue="gpu",
                               job_extra_directives=["--gres=gpu:1"])
        cluster.scale(jobs=16)
        models = {"target": "/models/large", "draft": "/models/small", "device": "cuda"}
        with Client(cluster) as client:
            ot.decode_sweep(models, prompts, grid, out="sweep", executor=client.get_executor())

    The same with ``pip install submitit``, one job per unit::

        import submitit
        executor = submitit.AutoExecutor(folder="jobs")
        executor.update_parameters(slurm_partition="gpu", gpus_per_node=1, timeout_min=240)
        ot.decode_sweep(models, prompts, grid, out="sweep", executor=executor, shard_size=1024)
    """
    pair, recipe = models_for(pair, executor)
    plan = Plan.of(grid, as_token_lists(pair, prompts), shard_size, threads)
    check_retries(retries)
    axes = list(dict.fromkeys(name for setting in plan.settings for name in setting))
    shards = Shards.open(out, plan.request(described_models(pair)), axes)
    known = known_of(pair)
    finished = shards.finished(known)
    missing = [unit for unit in plan.units if unit.name not in finished]
    prompts_done = sum(unit.count for unit in plan.units if unit.name in finished)
    ticket = uuid.uuid4().hex

    def task(unit: Unit, attempt: int) -> Task:
        part = plan.prompts[unit.first : unit.first + unit.count]
        return Task(plan.settings[unit.setting], part, unit.first, recipe, known, plan.threads,
                    f"{ticket}-{attempt}")

    with progress_bar(prompts_done + sum(unit.count for unit in missing), "prompts", progress, prompts_done) as bar:
        def keep(unit: Unit, done: Any) -> None:
            shards.write(unit, done)
            bar.update(unit.count)

        def submitted(unit: Unit, attempt: int) -> tuple[Any, ...]:
            return (work, task(unit, attempt)) if recipe else (decode, pair, task(unit, attempt))

        resume = f"Finished shards are kept in {os.fspath(out)!r}. Fix: run the same sweep again; it goes on."
        if executor is None:
            _here(missing, lambda unit: keep(unit, decode(pair, task(unit, 0))), resume)
        else:
            drive(executor, missing, submitted, keep, retries, resume)
    return Sweep.load(out)


def _here(units: list[Unit], do: Callable[[Unit], None], resume: str) -> None:
    """Do all units in this thread, those after one that fails too."""
    failed = []
    for unit in units:
        try:
            do(unit)
        except OtspecError as error:
            failed.append((unit, error))
    raise_first(failed, resume)
