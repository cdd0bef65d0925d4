"""Two worker processes of Dask: a killed worker loses nothing, a killed driver goes on."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("distributed")

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
    lost, killed = tmp_path / "lost", tmp_path / "killed"
    command = [sys.executable, "-m", "tests.decode.sweep.cluster_script", json.dumps(models), str(lost), str(killed),
               str(tmp_path / "scratch")]
    log = tmp_path / "log"
    with log.open("w") as errors, \
            subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True) as driver:
        try:
            gone = driver.stdout.readline()
            assert gone == "1\n", log.read_text()  # one of the two workers is another process now
            workers = json.loads(driver.stdout.readline())
        finally:
            driver.kill()
    assert small.numbers(lost) == small.numbers(whole)
    done = len(small.notes(killed))
    assert 4 <= done < small.UNITS
    small.sweep(models, killed)
    assert small.numbers(killed) == small.numbers(whole)
    # workers end with their driver
    end = time.monotonic() + 60
    while any(map(alive, workers)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(map(alive, workers))
