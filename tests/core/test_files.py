"""Files that are whole or absent, and places that are refused before the work."""

import os
from pathlib import Path

import pytest

from otspec.core.errors import BadFile
from otspec.core.files import cache_folder, check_place, replacing, sha256, write_json, write_text
from tests.conftest import REFUSES


def test_a_file_is_written_whole_with_its_folders(tmp_path):
    file = tmp_path / "a" / "b" / "x.json"
    for value in ({"b": [1], "a": "é"}, {}):
        write_json(file, value)
    assert file.read_text(encoding="utf-8") == "{}\n"
    write_json(file, {"b": [1], "a": 2})
    assert file.read_text() == '{\n  "b": [\n    1\n  ],\n  "a": 2\n}\n'
    assert file.stat().st_mode & 0o777 == 0o644
    assert os.listdir(file.parent) == ["x.json"]
    assert sha256(file) == sha256(file)
    write_text(file, "")
    assert sha256(file) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_an_error_leaves_what_was_there(tmp_path):
    file = tmp_path / "x.txt"
    write_text(file, "old")

    def fail():
        with replacing(file) as temporary:
            assert (temporary.parent, temporary.suffix) == (tmp_path, ".txt")
            temporary.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["x.txt"]


@REFUSES
def test_what_is_no_file_is_not_replaced(tmp_path):
    for place, says in ((tmp_path, "stands for no file"), ("/dev/null", "stands for no file"),
                        ("/proc/nowhere.txt", "cannot be written")):
        with pytest.raises(BadFile, match=f"^{place}: {says}"):
            write_text(place, "")


@pytest.mark.parametrize(("name", "how", "says"), [
    ("none/x.csv", {}, r"there is no folder .*none\. Fix: make it"), ("here", {}, r"is a folder\. Fix: the name of"),
    ("x.pdf", {"endings": (".csv", ".md")}, r"does not say how to write\. Fix: a name that ends in \.csv, \.md"),
    ("here.csv", {"endings": (".csv",)}, r"is a folder\. Fix: the name of a new file"),
    ("file.txt", {"folder": True}, r"is no folder\. Fix: the name of a new folder"),
    ("file.txt/new", {"folder": True}, "there is no folder|cannot be written")])
def test_places_of_another_kind_are_refused(name, how, says, tmp_path):
    for made in ("here", "here.csv"):
        (tmp_path / made).mkdir()
    write_text(tmp_path / "file.txt", "")
    with pytest.raises(BadFile, match=f"^out: .*{says}"):
        check_place("out", tmp_path / name, **how)


def test_good_places_are_left_as_they_are(tmp_path, monkeypatch):
    write_text(tmp_path / "file.txt", "kept")
    (tmp_path / "here").mkdir()
    for name, how in (("file.txt", {}), ("new", {}), ("new.csv", {"endings": (".csv",)}), ("here", {"folder": True}),
                      ("a/b/c", {"folder": True}), ("here/new", {"folder": True})):
        check_place("out", tmp_path / name, **how)
    monkeypatch.chdir(tmp_path)
    check_place("out", "new")
    assert sorted(os.listdir(tmp_path)) == ["file.txt", "here"]
    assert os.listdir(tmp_path / "here") == []
    assert (tmp_path / "file.txt").read_text() == "kept"


@REFUSES
def test_places_that_cannot_be_written_are_refused():
    for name, folder in (("/proc", True), ("/proc/new", True), ("/proc/new/newer", True), ("/proc/new.txt", False)):
        with pytest.raises(BadFile, match=f"^out: {name} cannot be written"):
            check_place("out", name, folder=folder)


def test_the_cache_lies_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("OTSPEC_CACHE", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "otspec"
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/x/otspec")
    monkeypatch.setenv("OTSPEC_CACHE", "/own")
    assert cache_folder() == Path("/own")
