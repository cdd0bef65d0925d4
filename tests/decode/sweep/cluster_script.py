"""A recording on two worker processes, a sweep in which one is killed, and one in which this process is to be killed.

Run by test_cluster.py in a process of its own.
"""

import json
import os
import signal
import sys
import time

from otspec.decode.sweep import shards
from otspec.decode.sweep.shards import Shards
from otspec.recording.record import record
from tests.decode.sweep import small


def tell(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(models, trace, lost, killed, scratch):
    from dask.distributed import Client, LocalCluster

    write, write_text = Shards.write, shards.write_text
    count = 0

    def kill_a_worker(self, unit, done):
        nonlocal count
        write(self, unit, done)
        count += 1
        if count == 2:
            busy = next(address for address, tasks in client.processing().items() if tasks)
            pids = client.run(os.getpid)
            os.kill(pids[busy], signal.SIGKILL)

    def hang(path, text):
        nonlocal count
        count += 1
        if count == 5:  # the numbers of the fifth shard are there, its notes are not
            tell(json.dumps(list(client.run(os.getpid).values())))
            time.sleep(600)
        write_text(path, text)

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=scratch) as cluster, \
            Client(cluster) as client:
        record(small.load(models), small.PROMPTS, out=trace, executor=client.get_executor(), **small.RECORDED)
        Shards.write = kill_a_worker
        before = set(client.run(os.getpid).values())
        small.sweep(models, lost, executor=client.get_executor())
        client.wait_for_workers(2)
        after = set(client.run(os.getpid).values())
        tell(str(len(before - after)))
        count, Shards.write, shards.write_text = 0, write, hang
        small.sweep(models, killed, executor=client.get_executor())


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), *sys.argv[2:])
