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
    row = re.compile(r"^\| [248] \| \.\d{4} .*$", flags=re.MULTILINE)
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


def test_the_commands_stand_on_lines_of_their_own():
    """What continuous integration and readers copy: two commands, word for word."""
    make = 'python3 -m venv .venv && .venv/bin/pip install -q "torch==2.13.0" -e'
    commands = [line for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("python3 -m venv")]
    assert commands == [f'{make} ".[models]" && .venv/bin/otspec report',
                        f'{make} ".[models,test]" && .venv/bin/python -m pytest']


def test_the_front_page_says_how_far_any_verifier_could_go():
    text = " ".join(README.read_text(encoding="utf-8").split())
    number = r"\d\.\d\d ± \d\.\d\d"
    assert re.search(rf"look-ahead emits {number}; no stateless rule can emit more than {number}", text)


def rows_of(file, **equal):
    return ot.Table.from_csv(ROOT / f"tests/bench/results/{file}.csv").where(**equal).rows


def cells(page, start):
    """Cells of the first row of a page that begins so."""
    line = next(line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith(start))
    return [cell.strip() for cell in line.strip("|").split("|")]


def short(value, error, digits):
    """Number with its error, without the zero before the point of the error."""
    return f"{value:.{digits}f} ± {f'{error:.{digits}f}'.removeprefix('0')}"


@pytest.mark.parametrize("rule", ["traversal", "winner_block", "lookahead_block", "score_block"])
def test_numbers_of_the_path_rules_are_those_of_the_bench(rule):
    name, digits = ("efficiency", 2) if rule == "traversal" else ("ratio_to_traversal", 3)
    found = {warmth: [f"{row[name]:.{digits}f}" for row in rows_of("paths", rule=rule, temperature=warmth)]
             for warmth in (1.0, 0.6)}
    assert cells(GUIDE / "paths.md", f"| `{rule}`")[2:] == found[1.0] + found[0.6]
    assert cells(README, f"| `{rule}`")[1:] == found[1.0]


@pytest.mark.parametrize(("temperature", "budget"), [(1.0, 8), (1.0, 16), (1.0, 32), (0.6, 8), (0.6, 16), (0.6, 32)])
def test_numbers_of_the_planner_are_those_of_the_bench(temperature, budget):
    (row,) = [row for row in rows_of("planner", temperature=temperature, budget=budget) if row["decoded"] is not None]
    shown = cells(GUIDE / "planner.md", f"| {temperature:g} | {budget} |")
    assert shown[2] == row["method"]
    assert shown[3] == f"{row['predicted']:.3f} ± {row['predicted_stderr']:.3f}"
    assert shown[4].startswith(f"{row['measured']:.3f} ± {row['measured_stderr']:.3f} "
                               f"({row['difference_percent']:+.1f} %")
    assert shown[5] == f"**{row['over_sequoia']:.3f}** ± {row['over_sequoia_stderr']:.3f}"
    assert shown[6].startswith(f"{row['decoded']:.3f} ± {row['decoded_stderr']:.3f} ({row['decoded_predicted']:.3f}")


def test_numbers_on_real_models_are_those_of_the_bench():
    found = rows_of("real_acceptance", model="smollm2", draft="skip:13-18", temperature=1.0)
    lines = re.findall(r"^\| [248] \| \.\d{3} .*$", README.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert [re.findall(r"\.\d{3}", line) for line in lines] == [
        [f"{row[name]:.3f}"[1:] for name in ("recursive", "k_seq", "optimum", "optimum_wor")] for row in found]


@pytest.mark.parametrize("budget", [8, 16, 32])
def test_numbers_of_the_trees_are_those_of_the_bench(budget):
    shown = cells(GUIDE / "trees.md", f"| {budget} |")
    for cell, policy in zip(shown[1:], ("sequoia", "fitted"), strict=True):
        (row,) = rows_of("tree_predictions", temperature=1.0, budget=budget, policy=policy)
        assert cell == (f"{short(row['predicted'], row['predicted_stderr'], 2)}, "
                        f"{short(row['measured'], row['stderr'], 2)}")
