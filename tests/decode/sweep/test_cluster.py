"""Two worker processes of Dask record the same; a killed worker loses nothing, a killed driver goes on."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("distributed")

from otspec.core.errors import BadFile
from otspec.decode.sweep import Sweep
from otspec.recording.record import record
from tests.decode.sweep import small

ROOT = Path(__file__).parents[3]


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # a process that has ended but was not waited for still has its number
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path("/proc/self/stat").exists() else True


def test_killed_worker_and_killed_driver(models, whole, tmp_path):
    trace, lost, killed = tmp_path / "trace.safetensors", tmp_path / "lost", tmp_path / "killed"
    folders = map(str, (trace, lost, killed, tmp_path / "scratch"))
    command = [sys.executable, "-m", "tests.decode.sweep.cluster_script", json.dumps(models), *folders]
    log = tmp_path / "log"
    with log.open("w") as errors, \
            subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True) as driver:
        watchdog = threading.Timer(300, driver.kill)  # a driver that hangs is not waited for
        watchdog.start()
        try:
            gone = driver.stdout.readline()
            assert gone == "1\n", log.read_text()  # one of the two workers is another process now
            workers = json.loads(driver.stdout.readline())
        finally:
            watchdog.cancel()
            driver.kill()
    assert small.numbers(lost) == small.numbers(whole)
    assert (len(small.notes(killed)), len(small.numbers(killed))) == (4, 5)
    with pytest.raises(BadFile, match="14 of 18 shards are missing"):
        Sweep.load(killed)
    kept = {name: (killed / name).stat().st_mtime_ns for name in small.notes(killed)}
    small.sweep(models, killed)
    assert small.numbers(killed) == small.numbers(whole)
    assert {name: (killed / name).stat().st_mtime_ns for name in kept} == kept
    assert len(small.notes(killed)) == small.UNITS
    record(small.load(models), small.PROMPTS, out=tmp_path / "here.safetensors", **small.RECORDED)
    assert trace.read_bytes() == (tmp_path / "here.safetensors").read_bytes()
    # workers end with their driver
    end = time.monotonic() + 60
    while any(map(alive, workers)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(map(alive, workers))
