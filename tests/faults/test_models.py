"""Weights that cannot be read, and recordings that are killed: refused by name, and resumed to the same bits."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")

import otspec as ot
from otspec.core.errors import BadArgument, BadFile
from otspec.decode.models import POCKET

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(POCKET / "draft", tmp_path / "draft")
    return tmp_path / "draft"


def half(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped_header(folder):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[20] ^= 0x40
    path.write_bytes(data)


def no_config(folder):
    (folder / "config.json").unlink()


def torn_config(folder):
    path = folder / "config.json"
    path.write_text(path.read_text()[:40])


def other_config(folder):
    config = json.loads((folder / "config.json").read_text())
    config["intermediate_size"] = 24
    (folder / "config.json").write_text(json.dumps(config))


def no_weights(folder):
    (folder / "model.safetensors").unlink()


def a_folder_for_weights(folder):
    no_weights(folder)
    (folder / "model.safetensors").mkdir()


@pytest.mark.parametrize("damage", [half, flipped_header, no_config, torn_config, other_config, no_weights,
                                    a_folder_for_weights], ids=lambda damage: damage.__name__)
def test_unreadable_weights_are_refused_by_name(folder, damage):
    damage(folder)
    with pytest.raises((BadFile, BadArgument), match="draft"):
        ot.load_pair(target=str(POCKET / "target"), draft=str(folder), device="cpu")


RECORD = """
import json, os, signal, sys
from pathlib import Path
from otspec.recording import record as recording
from tests.decode.tiny import pair

recording.SHARD_BYTES = 1  # a shard for every batch
written, write, index = [], recording.write_arrays, recording.write_json

def counted(of):
    def call(*arguments):
        written.append(of)
        if len(written) > stop:  # the file is begun, and the process dies
            arguments[0].with_name("." + arguments[0].name).write_bytes(b"0")
            os.kill(os.getpid(), signal.SIGKILL)
        of(*arguments)
    return call

recording.write_arrays, recording.write_json = counted(write), counted(index)
for stop in (0, 3, 2, 1000):
    child = os.fork()  # the models run in the children only, which need no second import
    if not child:
        recording.record(pair(), [[1, 2, 3], [4, 5], [6], [7, 8]], out=sys.argv[1], batch_size=1, progress=False)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), sorted(found.name for found in Path(sys.argv[1]).iterdir()
          if not found.name.startswith(".")))
"""


def test_a_recording_killed_at_a_write_goes_on_to_the_same_bits(tmp_path):
    """Killed at the first index, then at a shard, then at an index; the last run finishes what they left."""
    from tests.decode.tiny import pair

    out = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", RECORD, str(out)], cwd=ROOT, capture_output=True, text=True,
                          timeout=300, check=True)
    codes = [line.split()[0] for line in done.stdout.splitlines()]
    assert codes == [str(-signal.SIGKILL)] * 3 + ["0"], done.stderr
    assert done.stdout.splitlines()[0].endswith("[]")
    found = ot.Trace.load(out)
    whole = ot.record(pair(), [[1, 2, 3], [4, 5], [6], [7, 8]], batch_size=1, progress=False)
    assert found.fingerprint == whole.fingerprint
    np.testing.assert_array_equal(found.laws()[0], whole.laws()[0])

    shard = sorted(out.glob("shard-*.safetensors"))[2]
    data = bytearray(shard.read_bytes())
    data[-5] ^= 4
    shard.write_bytes(data)
    with pytest.raises(BadFile, match=shard.name):
        ot.Trace.load(out)
    shard.unlink()
    with pytest.raises(BadFile, match=shard.name):
        ot.Trace.load(out)
