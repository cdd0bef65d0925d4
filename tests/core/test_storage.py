"""Array files: what they give back, where it lies, and headers that do not fit what they hold."""

import json

import numpy as np
import pytest

from otspec.core.errors import BadFile
from otspec.core.storage import digest, map_arrays, write_arrays


def header_of(path):
    whole = path.read_bytes()
    size = int.from_bytes(whole[:8], "little")
    return json.loads(whole[8 : 8 + size]), whole[8 + size :]


def write_file(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def change_law(path, changed):
    write_arrays(path, [{"law": np.arange(6.0)}], {"what": "six"})
    header, data = header_of(path)
    header["law"].update(changed)
    write_file(path, header, data)


@pytest.mark.parametrize("changed", [{"shape": [7]}, {"shape": [5]}, {"shape": [2, 4]}, {"shape": [-6]}, {"shape": 6},
                                     {"shape": [6.0]}, {"shape": [6, *[1] * 8]}, {"data_offsets": [8, 48]},
                                     {"data_offsets": [0, 48, 48]}, {"data_offsets": [True, 48]}, {"dtype": "F32"}])
def test_a_shape_that_does_not_fit_its_place_is_refused(changed, tmp_path):
    change_law(tmp_path / "arrays", changed)
    with pytest.raises(BadFile, match=r"law has shape .* which do not fit together: altered. Fix: copy"):
        map_arrays(tmp_path / "arrays")


def test_eight_axes_and_no_more_are_read(tmp_path):
    change_law(tmp_path / "arrays", {"shape": [6, *[1] * 7]})
    assert map_arrays(tmp_path / "arrays")[0]["law"].shape == (6, *[1] * 7)


@pytest.mark.parametrize("dtype", ["BF16", None])
def test_numbers_of_another_kind_are_named(dtype, tmp_path):
    change_law(tmp_path / "arrays", {"dtype": dtype})
    with pytest.raises(BadFile, match=f"law has dtype {dtype}; a trace holds F16, F32, F64, I32"):
        map_arrays(tmp_path / "arrays")


@pytest.mark.parametrize(("header", "reason"), [
    ({"__metadata__": {"what": 1}}, "metadata that are no texts"), ({"__metadata__": ["what"]}, "metadata that are no"),
    (b"", "Expecting value"), (b"5", "int"), (b"[1]", "pop"), ({"law": {}}, "data_offsets"), ({"law": 3}, "int")])
def test_headers_of_another_kind_are_refused(header, reason, tmp_path):
    write_file(tmp_path / "arrays", header)
    with pytest.raises(BadFile, match=rf"no safetensors file, or cut off in its header \(.*{reason}.*Fix: copy"):
        map_arrays(tmp_path / "arrays")


@pytest.mark.parametrize("promised", [1, 8, 9, 2**63])
def test_a_header_longer_than_its_file_is_not_read(promised, tmp_path):
    (tmp_path / "arrays").write_bytes((2 + promised).to_bytes(8, "little") + b"{}")
    with pytest.raises(BadFile, match=r"\(header longer than the file\)"):
        map_arrays(tmp_path / "arrays")


def test_a_file_may_hold_no_arrays_and_arrays_no_numbers(tmp_path):
    write_file(tmp_path / "none", {"__metadata__": {"what": "none"}})
    assert map_arrays(tmp_path / "none") == ({}, {"what": "none"})
    write_file(tmp_path / "none", {})
    assert map_arrays(tmp_path / "none") == ({}, {})
    write_arrays(tmp_path / "empty", [{"law": np.zeros((0, 3), np.float32)}], {})
    law = map_arrays(tmp_path / "empty")[0]["law"]
    assert (law.shape, law.dtype) == ((0, 3), np.float32)


def test_arrays_of_several_shards_are_mapped_from_one_file(tmp_path):
    whole = {"law": np.arange(12.0).reshape(4, 3), "logs": np.arange(4, dtype=np.float16), "none": np.zeros((4, 0)),
             "tokens": np.arange(8, dtype=np.int32).reshape(4, 2), "weights": np.arange(4, dtype=np.float32)}
    shards = [{name: array[part] for name, array in whole.items()} for part in (slice(0, 1), slice(1, 4))]
    write_arrays(tmp_path / "arrays", shards, {"what": "all"})
    arrays, metadata = map_arrays(tmp_path / "arrays")
    assert metadata == {"what": "all"}
    assert list(arrays) == sorted(whole)
    for name, array in whole.items():
        assert isinstance(arrays[name], np.memmap) or not array.size
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


@pytest.mark.parametrize("letters", range(9))
def test_arrays_begin_at_multiples_of_eight_bytes(letters, tmp_path):
    write_arrays(tmp_path / "arrays", [{"law": np.arange(6.0)}], {"what": "x" * letters})
    whole = (tmp_path / "arrays").read_bytes()
    assert (len(whole) - 48) % 8 == 0
    assert len(whole) - 48 == 8 + int.from_bytes(whole[:8], "little")
    assert len(whole) - 56 - len(whole[8:-48].rstrip(b" ")) < 8


def test_a_digest_is_of_the_values_and_not_of_their_order():
    first, second = np.arange(6.0), np.arange(4, dtype=np.int32)
    whole = digest([{"a": first, "b": second}], {"x": 1, "y": [2, {"z": 3, "w": 4}]})
    assert whole == digest([{"b": second, "a": first}], {"y": [2, {"w": 4, "z": 3}], "x": 1})
    assert whole == digest([{"a": first[:2], "b": second[:3]}, {"a": first[2:], "b": second[3:]}],
                           {"x": 1, "y": [2, {"z": 3, "w": 4}]})
    others = [digest([{"a": first, "c": second}], {}), digest([{"a": first.reshape(3, 2), "b": second}], {}),
              digest([{"a": first, "b": second.view(np.float32)}], {}), digest([{"a": first + 1, "b": second}], {}),
              digest([{"a": first, "b": second}], {"x": 1}), digest([{"a": first, "b": second}], {})]
    assert len(set(others)) == len(others)
