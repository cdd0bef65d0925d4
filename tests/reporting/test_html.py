"""The page of a report as one file: what is in it, and what a real browser makes of it."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from otspec.core.schemes import WithReplacement  # noqa: E402
from otspec.core.table import Table  # noqa: E402
from otspec.core.trace import Trace  # noqa: E402
from otspec.report import build_report  # noqa: E402
from otspec.reporting import html  # noqa: E402
from otspec.reporting.page import Verdict  # noqa: E402
from otspec.reporting.sections import Section  # noqa: E402
from otspec.reporting.settings import Settings  # noqa: E402
from otspec.reporting.summary import Line  # noqa: E402
from otspec.reporting.svg import inline  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SIZE = Settings(schemes=(WithReplacement(1), WithReplacement(2)), contexts=None, lists=4, runs=(), sequences=4, calls=8,
                blocks=4, toys=1, paths=(2,), path_lengths=(2,), path_contexts=4)
NAME = '<img src="http://evil.example/x.png" onerror="alert(1)">'  # of a model, as a folder could be called
# clicks on two headers, and writes down what came of it
PROBE = """
<script>
const seen = [];
addEventListener("error", event => seen.push(String(event.message)));
addEventListener("load", () => {
  const table = document.querySelector("table"), heads = [...table.querySelectorAll("th")];
  const column = name => heads.findIndex(head => head.textContent === name);
  const values = name => [...table.tBodies[0].rows].map(row => row.cells[column(name)].textContent);
  const click = name => { heads[column(name)].querySelector("button").click(); return values(name); };
  const told = {up: click("acceptance"), state: heads[column("acceptance")].ariaSort, down: click("acceptance"),
    words: click("rule"), errors: seen, requests: performance.getEntriesByType("resource").map(one => one.name),
    figures: [...document.querySelectorAll("figure svg")].map(one => {
      const box = one.getBoundingClientRect(); return [box.width, box.height]; }),
    wide: document.documentElement.scrollWidth - innerWidth, images: document.images.length,
    paper: getComputedStyle(document.body).backgroundColor,
    panel: getComputedStyle(document.querySelector(".panel")).backgroundColor};
  const out = document.createElement("pre"); out.id = "told"; out.textContent = JSON.stringify(told);
  document.body.append(out);
});
</script></body>"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    rng = np.random.default_rng(1)
    target, draft = rng.dirichlet(np.full(7, 0.4), (2, 5))
    trace = Trace.from_laws(target, draft)
    trace.provenance["target"] = NAME
    return build_report(trace=trace, out=tmp_path_factory.mktemp("page") / "out", settings=SIZE, progress=False)


@pytest.fixture(scope="module")
def source(report):
    return (report.out / "report.html").read_text(encoding="utf-8")


class Elements(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def of(self, *tags):
        return [attrs for tag, attrs in self.found if tag in tags]


def test_the_page_is_one_file_that_asks_nobody(source):
    elements = Elements(source)
    assert not elements.of("img", "iframe", "object", "embed", "audio", "video")
    assert all("src" not in attrs for _, attrs in elements.found)
    assert [attrs["href"] for attrs in elements.of("link")] == ["data:,"]
    assert {attrs["href"].split("/")[0] for attrs in elements.of("a")} == {"tables"}
    assert not re.search(r"url\((?!#)|@import|fetch\(|XMLHttp", source)
    # the names of namespaces, which nobody asks for, and the escaped name of the model
    addresses = set(re.findall(r"https?://[^\s\"'<>&]+", source))
    assert addresses == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink", "http://evil.example/x.png"}
    assert "default-src 'none'" in elements.of("meta")[1]["content"]


def test_the_page_can_be_heard_and_has_a_language(source):
    elements = Elements(source)
    assert elements.of("html")[0]["lang"] == "en"
    assert "<title>" in source
    assert {attrs["scope"] for attrs in elements.of("th")} == {"col"}
    figures = [attrs for attrs in elements.of("svg") if attrs.get("role") == "img"]
    assert len(figures) == source.count("<figure>") == 3
    assert all(len(attrs["aria-label"]) > 40 for attrs in figures)


def test_identifiers_are_unique_and_references_lead_somewhere(source):
    drawn = "".join(re.findall(r"<svg.*?</svg>", source, re.DOTALL))
    names = re.findall(r'\bid="([^"]+)"', source)
    assert len(names) == len(set(names)) > 50
    assert set(re.findall(r'(?:url\(#|href="#)([^)"]+)', drawn)) <= set(names)
    assert "<style" not in drawn


def test_names_are_escaped_everywhere(report, source):
    assert NAME not in source
    assert "&lt;img src=&quot;http://evil.example/x.png&quot;" in source
    part = Section(NAME, NAME, "t", (NAME,))
    page = html.page([Line(NAME, NAME)], [part], {"t": Table([{NAME: NAME}])}, Verdict(True, True, True, True, (NAME,)),
                     {}, [NAME])
    assert "<img" not in page
    assert page.count("&lt;img") >= 9  # title, summary twice, checks, note, heading, sentence, label, header, cell


def test_the_summary_opens_both_pages(report, source):
    assert 4 <= len(report.summary) <= 12
    page = (report.out / "report.md").read_text(encoding="utf-8")
    assert page.index(report.summary[0].text) < page.index(report.summary[-1].text) < page.index("## Figures")
    assert page.index("## Figures") < page.index("## What was checked") < page.index("## Tables")
    for line in report.summary:
        assert html.text(line.text) in source
        assert line.text in str(report)
    for part in re.findall(r"^### .*?(?=^### |\Z)", page.split("## Tables")[1], re.DOTALL | re.MULTILINE):
        assert len(re.findall(r"^\|", part, re.MULTILINE)) <= 14  # header, rule and twelve rows
        assert "](tables/" in part


def test_a_style_inside_a_figure_stays_there():
    style = '<style type="text/css">*{color: red}</style>'
    drawn = inline(f'<svg width="1pt"><defs>{style}</defs><a id="x"/></svg>', "n", "")
    assert "red" not in drawn
    assert 'id="n-x"' in drawn


def opened(folder, source, *, dark=False, width=1000):
    """What a browser makes of the page, and what it complains about."""
    file = folder / f"probe-{dark}-{width}.html"
    file.write_text(source.replace("</body>", PROBE), encoding="utf-8")
    done = subprocess.run(
        [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
         "--no-first-run", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND",
         "--enable-logging=stderr",
         f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900", "--virtual-time-budget=3000",
         f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--dump-dom", file.as_uri()],
        capture_output=True, text=True, timeout=120, check=True)
    told = re.search(r'<pre id="told">(.*?)</pre>', done.stdout, re.DOTALL)
    assert told, done.stderr[-2000:]
    return json.loads(told[1]), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
def test_a_real_browser_sorts_and_asks_nobody(source, tmp_path):
    told, complaints = opened(tmp_path, source)
    assert complaints == []
    assert told["errors"] == []
    assert told["requests"] == []
    assert told["images"] == 0
    numbers = [float(value) for value in told["up"]]
    assert numbers == sorted(numbers)
    assert told["state"] == "ascending"
    assert [float(value) for value in told["down"]] == sorted(numbers, reverse=True)
    assert told["words"] == sorted(told["words"])
    assert len(told["figures"]) == 3
    assert all(width > 200 and height > 100 for width, height in told["figures"])


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
def test_dark_and_narrow(source, tmp_path):
    dark, complaints = opened(tmp_path, source, dark=True, width=500)  # headless windows are no narrower
    assert complaints == []
    paper = [int(part) for part in re.findall(r"\d+", dark["paper"])]
    assert max(paper) < 64
    assert dark["panel"] == "rgb(255, 255, 255)"  # figures are drawn for a light ground
    assert dark["wide"] <= 0  # wide things scroll by themselves
