"""Faults of disks and processes: what was there before stays, what is damaged is refused by name, nothing is half read.

Every fault is real: a file size limit of the operating system, SIGKILL in the middle of a write, flipped bits.
"""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import otspec as ot
from otspec.core.errors import BadFile
from otspec.decode.measure import DecodeRun

ROOT = Path(__file__).parents[2]
LAW = np.random.default_rng(0).dirichlet(np.full(50, 0.3), 40)


def python(code, *arguments, expect=0):
    """Run a script in a process of its own; `fill` sets the size that a file may have from then on."""
    head = """
        import os, resource, signal, sys
        from pathlib import Path
        import numpy as np
        import otspec as ot
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write then fails, as on a full disk
        LAW = np.random.default_rng(0).dirichlet(np.full(50, 0.3), 40)
        def fill(size=4096):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(code), *map(str, arguments)],
                          cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == expect, done.stderr
    return done.stdout


def test_a_full_disk_leaves_the_old_files_and_no_others(tmp_path):
    said = python("""
        from otspec.decode.measure import DecodeRun
        folder = Path(sys.argv[1])
        trace = ot.Trace.from_laws(LAW[:2], LAW[2:4])
        run = DecodeRun([[1, 2]], np.array([[1]]))
        table = ot.Table([{"a": 1}])
        small = {"t.safetensors": trace.save, "r.safetensors": run.save, "t.csv": table.to_csv}
        for name, save in small.items():
            save(folder / name)
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        trace, run = ot.Trace.from_laws(LAW, LAW), DecodeRun([[1] * 5000], np.ones((5000, 1), dtype=int))
        table = ot.Table([{"a": "x" * 100}] * 100)
        fill()
        for name, save in {"t.safetensors": trace.save, "r.safetensors": run.save, "t.csv": table.to_csv}.items():
            try:
                save(folder / name)
            except OSError as error:
                print(name, error.errno)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    """, tmp_path)
    assert [line.split()[0] for line in said.splitlines()] == ["t.safetensors", "r.safetensors", "t.csv"]
    assert len(ot.Trace.load(tmp_path / "t.safetensors")) == 2


def test_the_command_line_says_so_in_one_line(tmp_path):
    said = python("""
        from otspec.cli import main
        fill(20)
        for out in (sys.argv[1] + "/t.csv", "/dev/null"):
            print(main(["compare", "--target", "0.5,0.5", "--draft", "1,0", "-k", "1", "--rules", "naive", "--quiet",
                        "--out", out]))
    """, tmp_path)
    assert said.split() == ["2", "2"]
    assert list(tmp_path.iterdir()) == []
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("existing", [True, False])
def test_a_process_killed_while_it_writes_leaves_the_old_file(tmp_path, existing):
    path = tmp_path / "t.safetensors"
    if existing:
        ot.Trace.from_laws(LAW[:3], LAW[:3]).save(path)
    python("""
        from otspec.core import storage
        def blocks(shards, name):
            yield b"0" * 100
            os.kill(os.getpid(), signal.SIGKILL)
        storage._blocks, digest = blocks, storage.digest
        trace = ot.Trace.from_laws(LAW, LAW)
        trace._fingerprint = "0"
        trace.save(sys.argv[1])
    """, path, expect=-signal.SIGKILL)
    left = [found for found in tmp_path.iterdir() if found != path]
    assert len(left) == 1
    assert left[0].name.startswith(".")
    if existing:
        assert len(ot.Trace.load(path)) == 3
    else:
        with pytest.raises(BadFile, match="no such file"):
            ot.Trace.load(path)
    ot.Trace.from_laws(LAW, LAW).save(path)
    assert len(ot.Trace.load(path)) == 40


def flips(size, header, count, seed):
    """Places of bits: every byte of the header's first 200, and a sample of the rest."""
    rng = np.random.default_rng(seed)
    places = [*range(8, min(8 + header, 208)), *rng.integers(0, size, count)]
    return [(int(place), int(rng.integers(8))) for place in places]


def damaged(path, data, place, bit):
    altered = bytearray(data)
    altered[place] ^= 1 << bit
    path.write_bytes(altered)
    return path


def test_a_flipped_bit_of_a_trace_is_refused_or_changes_nothing(tmp_path):
    trace = ot.Trace.from_laws(LAW, LAW[::-1], contexts=np.arange(80).reshape(40, 2), provenance={"target": "a"})
    trace.save(tmp_path / "whole.safetensors")
    data = (tmp_path / "whole.safetensors").read_bytes()
    refused = 0
    for place, bit in flips(len(data), int.from_bytes(data[:8], "little"), 200, 1):
        try:
            found = ot.Trace.load(damaged(tmp_path / "flipped.safetensors", data, place, bit))
        except BadFile as error:
            refused += "flipped.safetensors" in str(error)
        else:  # a space for another: JSON does not mind
            assert found.fingerprint == trace.fingerprint
            np.testing.assert_array_equal(found.laws()[0], trace.laws()[0])
    assert refused > 350


@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.3, 0.999])
@pytest.mark.parametrize("kind", ["trace", "run"])
def test_a_truncated_file_is_refused(tmp_path, kind, share):
    path = tmp_path / "whole.safetensors"
    if kind == "trace":
        ot.Trace.from_laws(LAW, LAW).save(path)
    else:
        DecodeRun([[1, 2, 3]] * 9, np.ones((2, 9), dtype=int)).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(BadFile, match=r"whole\.safetensors"):
        (ot.Trace if kind == "trace" else DecodeRun).load(path)


def test_a_flipped_header_of_a_run_never_raises_anything_else(tmp_path):
    DecodeRun([[1, 2, 3]] * 9, np.ones((2, 9), dtype=int), settings={"seed": 1}).save(tmp_path / "whole.safetensors")
    data = (tmp_path / "whole.safetensors").read_bytes()
    refused = 0
    for place, bit in flips(8 + int.from_bytes(data[:8], "little"), 400, 150, 2):
        try:
            DecodeRun.load(damaged(tmp_path / "flipped.safetensors", data, place, bit))
        except BadFile:
            refused += 1
    assert refused > 150


def test_what_is_no_file_of_ours_is_refused(tmp_path):
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "empty.safetensors").touch()
    (tmp_path / "text.safetensors").write_text("not a trace, but long enough to hold a header")
    os.mkfifo(tmp_path / "pipe.safetensors")
    for name in ("folder", "empty", "text", "pipe", "none"):
        with pytest.raises(BadFile):
            ot.Trace.load(tmp_path / f"{name}.safetensors")
        with pytest.raises(BadFile):
            DecodeRun.load(tmp_path / f"{name}.safetensors")
