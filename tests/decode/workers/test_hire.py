"""Recording on executors gives the recording."""

import functools
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from otspec.core.errors import BadArgument, WorkFailed  # noqa: E402
from otspec.core.files import sha256  # noqa: E402
from otspec.decode.loop import generate  # noqa: E402
from otspec.decode.sweep import decode_sweep  # noqa: E402
from otspec.decode.workers import drive  # noqa: E402
from otspec.decode.workers.hire import hired  # noqa: E402
from otspec.recording import record as module  # noqa: E402
from otspec.recording.record import record  # noqa: E402
from tests.decode.sweep import small  # noqa: E402

record = functools.partial(record, **small.RECORDED)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return small.load(small.folders(tmp_path_factory.mktemp("models")))


@pytest.fixture(scope="module")
def whole(pair, tmp_path_factory):
    out = tmp_path_factory.mktemp("traces") / "whole.safetensors"
    record(pair, small.PROMPTS, out=out)
    return sha256(out)


@pytest.mark.parametrize("ahead", [1, 2, 32])
def test_threads_record_the_same(pair, whole, tmp_path, monkeypatch, ahead):
    monkeypatch.setattr(drive, "AHEAD", ahead)
    with ThreadPoolExecutor(2) as pool:
        record(pair, small.PROMPTS, out=tmp_path / "a.safetensors", executor=pool)
    assert sha256(tmp_path / "a.safetensors") == whole


class Breaking(ThreadPoolExecutor):
    """Its workers die after two batches."""

    count = 0

    def submit(self, *arguments):
        if self.count == 2:
            broken = Future()
            broken.set_exception(BrokenExecutor("dead"))
            return broken
        self.count += 1
        return super().submit(*arguments)


def test_a_broken_pool_loses_nothing_that_was_written(pair, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHARD_BYTES", 1)
    monkeypatch.setattr(drive, "AHEAD", 1)
    out = tmp_path / "a.safetensors"
    with Breaking(1) as pool, pytest.raises(WorkFailed, match=r"died .*run the same call again"):
        record(pair, small.PROMPTS, out=out, executor=pool)
    assert not out.exists()
    assert len(list((tmp_path / "a.parts").glob("shard-*"))) == 2
    with ThreadPoolExecutor(1) as pool:
        record(pair, small.PROMPTS, out=out, executor=pool)
    assert sha256(out) == whole


@pytest.mark.parametrize(("change", "said"), [({"executor": 3}, "executor"), ({"retries": -1}, "retries")])
def test_bad_arguments(pair, change, said):
    with pytest.raises(BadArgument, match=said):
        record(pair, small.PROMPTS, **change)
    assert drive.check_retries(np.int64(2)) == 2  # what NumPy counts is a number


def threads_of(pair, number):
    return number, torch.get_num_threads()


def test_every_thread_computes_on_as_many_threads_as_this_one(pair):
    before = torch.get_num_threads()
    with ThreadPoolExecutor(1) as pool:
        torch.set_num_threads(3)
        try:
            pool.submit(torch.set_num_threads, 1).result()  # what another use of the pool has left behind
            torch.set_num_threads(2)
            found = list(hired(pair, pool, 0, threads_of)([(number,) for number in range(40)]))
        finally:
            torch.set_num_threads(before)
    assert found == [(number, 2) for number in range(40)]


def test_a_sweep_limits_the_threads_that_decode(pair, tmp_path, monkeypatch):
    seen = []

    def watched(*arguments, **settings):
        seen.append(torch.get_num_threads())
        return generate(*arguments, **settings)

    monkeypatch.setattr("otspec.decode.sweep.work.generate", watched)
    before = torch.get_num_threads()
    decode_sweep(pair, [[1]], {"max_new_tokens": 1}, out=tmp_path, threads=before + 1, progress=False)
    assert (seen, torch.get_num_threads()) == ([before + 1], before)
