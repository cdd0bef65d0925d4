"""The gallery shows every figure: its image, a sentence and its command."""

import re
import struct
from pathlib import Path

import pytest

import figures

FOLDER = Path(figures.__file__).parent
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
PARTS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))
LARGEST = 120_000  # bytes of an image


def test_the_gallery_lists_every_figure_once():
    assert sorted(PARTS) == figures.names()
    assert len(re.findall(r"^### ", PAGE, flags=re.MULTILINE)) == len(PARTS)


@pytest.mark.parametrize("name", figures.names())
def test_each_figure_has_image_sentence_and_command(name):
    part = PARTS[name]
    assert f'<img src="{name}.png" alt="{name}"' in part
    assert f"`python -m figures.{name}`" in part
    sentence = " ".join(line for line in part.splitlines() if line and line[0] not in "<`")
    assert sentence.endswith(".")
    assert len(sentence) > 40
    image = (FOLDER / f"{name}.png").read_bytes()
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(image) <= LARGEST
    width, _ = struct.unpack(">II", image[16:24])
    assert width <= 1000  # no wider than the widest figure at its 200 dots per inch


def test_no_image_is_left_over():
    assert {path.stem for path in FOLDER.glob("*.png")} == set(figures.names())
