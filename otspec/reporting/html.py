"""A report as one HTML file that needs nothing else: figures inside, tables that a click sorts, light and dark.

It asks nothing of any network, and its policy (the first ``meta``) forbids browsers to do so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from otspec.core.table import Table
from otspec.reporting.markdown import TITLE, shown_words
from otspec.reporting.page import Verdict
from otspec.reporting.pictures import PICTURES
from otspec.reporting.sections import Section
from otspec.reporting.summary import Line
from otspec.reporting.svg import inline

STYLE = """
:root{color-scheme:light dark;--ink:#1c1e21;--soft:#5a6169;--page:#fff;--panel:#f3f4f6;--line:#d5d9de;--link:#0b57a4}
@media (prefers-color-scheme:dark){:root{--ink:#e7e9ec;--soft:#a4abb3;--page:#16181b;--panel:#22262b;--line:#3b4148;
--link:#86bdf5}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:62rem;font:1rem/1.5 system-ui,sans-serif;color:var(--ink);
background:var(--page);overflow-wrap:break-word}
h1{font-size:1.6rem;line-height:1.2}h2{font-size:1.25rem;margin-top:2.2rem}h3{font-size:1.05rem;margin-top:1.8rem}
a{color:var(--link)}code{font-size:.92em}
.summary{background:var(--panel);border-radius:.5rem;padding:1rem;margin:0}
.summary dt{font-weight:600}.summary dd{margin:0 0 .5rem}
@media (min-width:46rem){.summary{display:grid;grid-template-columns:11rem 1fr;gap:.3rem 1rem}.summary dd{margin:0}}
figure{margin:1rem 0}
.panel,.table{overflow-x:auto}
.panel{background:#fff;border:1px solid var(--line);border-radius:.5rem;padding:.5rem}
.panel svg{display:block;width:100%;height:auto;min-width:30rem;margin:0 auto;stroke-linejoin:round;
stroke-linecap:butt}
figcaption,.note{color:var(--soft);font-size:.92rem}
table{border-collapse:collapse;font-size:.86rem;font-variant-numeric:tabular-nums}
th,td{padding:.2rem .55rem;text-align:left;white-space:nowrap;border-bottom:1px solid var(--line)}
td.number{text-align:right}
th button{all:unset;cursor:pointer}th button:focus-visible{outline:2px solid var(--link)}
th button::after{content:" \\2195";color:var(--soft)}
th[aria-sort=ascending] button::after{content:" \\2191"}th[aria-sort=descending] button::after{content:" \\2193"}
summary{cursor:pointer}
@media print{:root{--ink:#000;--page:#fff;--panel:#fff;--line:#bbb}body{max-width:none;font-size:.8rem}
figure,tr{break-inside:avoid}.panel,.table{overflow:visible}.panel svg{min-width:0}th button::after{content:""}
th,td{white-space:normal;padding:.1rem .25rem}table{font-size:.65rem}}
"""

SCRIPT = """
document.querySelectorAll("th button").forEach(button => button.addEventListener("click", () => {
  const head = button.parentNode, body = head.closest("table").tBodies[0], place = head.cellIndex;
  const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  const value = row => row.cells[place].dataset.value ?? row.cells[place].textContent;
  const compare = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    return sign * (isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b);
  };
  body.append(...[...body.rows].sort((a, b) => compare(value(a), value(b))));
  head.parentNode.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
}));
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(one => { one.open = true; }));
"""

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def page(lines: Sequence[Line], parts: Sequence[Section], tables: Mapping[str, Table], verdict: Verdict,
         figures: Mapping[str, str], notes: Sequence[str]) -> str:
    """Return the page.

    Parameters
    ----------
    lines, parts, tables, verdict, notes
        As in `otspec.reporting.markdown.markdown`.
    figures : mapping of names to text
        SVG files.
    """
    body = [f"<h1>{TITLE}</h1>", '<dl class="summary">',
            *(f"<dt>{escape(line.about)}</dt><dd>{text(line.text)}</dd>" for line in lines), "</dl>",
            "<h2>Figures</h2>", *(_figure(part, figures) for part in parts if part.picture in figures),
            "<h2>What was checked</h2>", "<ul>", *(f"<li>{text(told)}</li>" for told in verdict.sentences), "</ul>",
            *(f'<p class="note">{text(note)}</p>' for note in notes), "<h2>Tables</h2>",
            *(_section(part, tables) for part in parts)]
    return "\n".join([
        "<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">', '<link rel="icon" href="data:,">',
        f"<title>{escape(f'{lines[0].text} - {TITLE}')}</title>", f"<style>{STYLE}</style>", "</head>", "<body>",
        "<main>", *body, "</main>", f"<script>{SCRIPT}</script>", "</body>", "</html>", ""])


def text(plain: str) -> str:
    """Escaped text in which Markdown's code and links into the report's folder are those of HTML.

    Examples
    --------
    >>> text("a < b: `x`, [tables/t.csv](tables/t.csv)")
    'a &lt; b: <code>x</code>, <a href="tables/t.csv">tables/t.csv</a>'
    """
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(plain))
    return re.sub(r"\[(tables/[a-z_]+\.csv)\]\(\1\)", r'<a href="\1">\1</a>', safe)


def _figure(part: Section, figures: Mapping[str, str]) -> str:
    assert part.picture is not None  # only sections with a figure come here
    title = PICTURES[part.picture].title
    drawing = inline(figures[part.picture], part.picture, f"{title}. {part.sentence}")
    return (f'<figure><div class="panel" tabindex="0">{drawing}</div>'
            f"<figcaption><strong>{escape(title)}.</strong> {text(part.sentence)}</figcaption></figure>")


def _section(part: Section, tables: Mapping[str, Table]) -> str:
    shown, whole = part.shown(tables), part.rows(tables)
    more = "" if len(shown) == len(whole) else (f"<details><summary>All {len(whole)} rows</summary>"
                                                f"{_table(part.heading, whole)}</details>")
    return (f"<section><h3>{escape(part.heading)}</h3><p>{text(part.sentence)}</p>{_table(part.heading, shown)}{more}"
            f'<p class="note">{shown_words(part, tables)}: <a href="tables/{part.table}.csv">tables/{part.table}.csv'
            f"</a></p></section>")


def _table(heading: str, table: Table) -> str:
    head = "".join(f'<th scope="col"><button type="button">{escape(name)}</button></th>' for name in table.columns)
    body = "\n".join("<tr>" + "".join(map(_cell, row.values(), shown)) + "</tr>"
                     for row, shown in zip(table.rows, table.shown(), strict=True))
    return (f'<div class="table" tabindex="0" role="region" aria-label="{escape(heading)}"><table><thead><tr>{head}'
            f"</tr></thead><tbody>\n{body}\n</tbody></table></div>")


def _cell(value: Any, shown: str) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f'<td class="number" data-value="{value}">{escape(shown)}</td>'
    return f"<td>{escape(shown)}</td>"
