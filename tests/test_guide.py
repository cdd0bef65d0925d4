"""Front page and guide: every example runs, every link leads somewhere, nothing is told twice in two ways."""

import doctest
import re
from pathlib import Path

import pytest

import otspec as ot

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "otspec/guide"
README = ROOT / "README.md"
PAGES = [README, *sorted(GUIDE.glob("*.md")), ROOT / "otspec/CHANGELOG.md"]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def name(page):
    return str(page.relative_to(ROOT))


def prose(page):
    """Text of a page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page):
    """Names of the headings as Markdown viewers make them."""
    heads = re.findall(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_examples_run(page):
    result = doctest.testfile(str(page), module_relative=False,
                              optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.failed == 0
    assert result.attempted == page.read_text(encoding="utf-8").count("\n>>> ")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        if re.match(r"https?:", path):
            continue
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), f"{name(page)}: {link}"
        assert not anchor or anchor in anchors(place), f"{name(page)}: {link}"


def test_every_page_is_in_the_index_and_leads_back():
    listed = set(re.findall(r"\]\((\w+\.md)\)", (GUIDE / "README.md").read_text(encoding="utf-8")))
    pages = {page.name for page in GUIDE.glob("*.md")} - {"README.md"}
    assert listed == pages
    assert all("[guide](README.md)" in prose(GUIDE / page) for page in pages)


def test_words_of_the_front_page_are_those_of_the_glossary():
    rows = re.findall(r"^\| \*\*.*$", README.read_text(encoding="utf-8").split("## Glossary")[1].split("\n## ")[0],
                      flags=re.MULTILINE)
    assert len(rows) > 10
    assert set(rows) <= set((GUIDE / "glossary.md").read_text(encoding="utf-8").splitlines())


def test_the_table_of_the_pocket_pair_is_told_once():
    """The rows of the front page are those of the guide, where an example computes them."""
    row = re.compile(r"^\| [248] \| .*$", flags=re.MULTILINE)
    front, bounds = README.read_text(encoding="utf-8"), (GUIDE / "bounds.md").read_text(encoding="utf-8")
    assert row.findall(front) == row.findall(bounds)
    numbers = [re.findall(r"\.\d{4}", line) for line in row.findall(bounds)]
    computed = [re.findall(r"0(\.\d{4})", line) for line in re.findall(r"^[248] 0\..*$", bounds, flags=re.MULTILINE)]
    assert numbers == computed
    assert len(numbers) == 3


def test_names_of_the_text_exist():
    """Every ``ot.name`` that a page mentions is public, and every file in code marks is there."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert set(re.findall(r"\bot\.([A-Za-z]\w*)", text)) <= set(ot.__all__), name(page)
        for path in re.findall(r"`((?:tests|otspec|figures|notebooks)/[\w/.]+)`", text):
            assert (ROOT / path).exists() or list(ROOT.glob(f"{path}*")), f"{name(page)}: {path}"
