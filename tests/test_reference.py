"""The HTML reference: complete, without a dead link, and without a request to anybody."""

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import otspec as ot
from otspec import reference
from otspec.cli import subcommands

GUIDE = Path(ot.__file__).parent / "guide"


class Page(HTMLParser):
    """Anchors, links and whatever a browser would load by itself."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.loads, self.text = set(), [], [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids.add(found.get("id"))
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        else:
            self.loads += [found[name] for name in ("src", "href", "srcset", "poster") if found.get(name)]

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    pytest.importorskip("pdoc")
    index = reference.build(tmp_path_factory.mktemp("reference"))
    return {path.name: Page(path) for path in index.parent.iterdir()}


def test_every_link_leads_somewhere(pages):
    for name, page in pages.items():
        for link in page.links:
            file, _, anchor = link.partition("#")
            if not file.startswith("https://"):
                assert (file or name) in pages, f"{name}: {link}"
                assert not anchor or anchor in pages[file or name].ids, f"{name}: {link}"


def test_nothing_is_loaded_from_elsewhere(pages):
    for page in pages.values():
        assert all(load.startswith("data:") for load in page.loads)
        style = "".join(page.text)
        assert "@import" not in style
        assert "url(http" not in style.replace("'", "").replace('"', "")


def test_everything_public_is_there(pages):
    index = pages["index.html"]
    assert set(ot.__all__) - ot._SUBMODULES <= index.ids
    assert {"DecodeRun.block_efficiency", "AcceptanceBound.plot", "Table.to_csv"} <= index.ids
    assert set(ot.plots.__all__) <= pages["plots.html"].ids
    assert set(ot.testing.__all__) <= pages["testing.html"].ids
    assert {f"guide-{page.stem}" for page in GUIDE.glob("*.md") if page.name != "README.md"} <= index.ids
    text = "".join(index.text)
    names = [name for registry in reference._registries().values() for name in registry]
    assert all(name in text for name in names)
    assert all(f"usage: otspec {name}" in text for name in subcommands())


def test_links_of_the_guide_are_places_of_the_page(pages):
    assert {"#guide-bounds", "index.html#path_bound", "plots.html"} <= set(pages["index.html"].links)


def test_without_pdoc_the_fix_is_said(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "pdoc.doc", None)
    assert reference.main(["--out", str(tmp_path / "new")]) == 2
    assert 'pip install -e ".[docs]"' in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_the_command_has_help():
    done = subprocess.run([sys.executable, "-m", "otspec.reference", "--help"], capture_output=True, text=True,
                          timeout=60, check=True)
    assert "--out DIR" in done.stdout
