"""The reference in HTML: public names from their docstrings, guide, registries and command line, on one page.

``python -m otspec.reference --out DIR`` writes ``DIR/index.html`` with pdoc (``pip install -e ".[docs]"``), and the
pages of ``otspec.plots`` and ``otspec.testing`` beside it. They ask no other host for anything.
"""

from __future__ import annotations

import argparse
import base64
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import otspec
from otspec.core.errors import MissingExtra, OtspecError
from otspec.core.files import replacing
from otspec.core.registry import Entry

PACKAGE = Path(__file__).parent
HEADING = re.compile(r"^(#+) (.*)$", re.MULTILINE)
# the stub file tells type checkers of public names only
PUBLIC, HOME, ROOMS = (vars(otspec)[name] for name in ("__all__", "_HOME", "_SUBMODULES"))
#: modules with a page of their own
PAGES = {"otspec": "index.html", "otspec.plots": "plots.html", "otspec.testing": "testing.html"}
STYLE = ("main.pdoc img{max-width:100%}main.pdoc table{display:block;overflow-x:auto}"
         "main.pdoc pre{white-space:pre-wrap}")
LINK = re.compile(r"(!?)\[([^]]*)\]\(([^)\s]+)\)")


def build(out: str | Path) -> Path:
    """Write the reference.

    Parameters
    ----------
    out : str or Path
        A folder; made where it is missing.

    Returns
    -------
    Path
        Its page ``index.html``; ``plots.html`` and ``testing.html`` lie beside it.

    Raises
    ------
    MissingExtra
        pdoc is not installed.
    """
    made = pages()
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    for name, html in made.items():
        with replacing(folder / name) as temporary:
            Path(temporary).write_text(html, encoding="utf-8")
    return folder / "index.html"


def pages() -> dict[str, str]:
    """HTML of every page by its name, see `build`."""
    try:
        import pdoc.doc
        import pdoc.render
    except ImportError:
        raise MissingExtra('pdoc is not installed. Fix: pip install -e ".[docs]".') from None
    for name in PUBLIC:
        getattr(otspec, name)  # each is loaded when it is first used
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Error parsing type annotation", category=UserWarning)
        modules = {name: pdoc.doc.Module(import_module(name)) for name in PAGES}
        _ = modules["otspec"].members  # reads the stub file, whose docstring would be the page's
        modules["otspec"].docstring = front()
        pdoc.render.configure(docformat="numpy", search=False, show_source=False,
                              footer_text=f"otspec {otspec.__version__}")
        # what is public is documented on the first page, from whatever module it comes
        known = {**dict.fromkeys(HOME.values(), modules["otspec"]), **modules}
        made = {PAGES[name]: pdoc.render.html_module(module, known) for name, module in modules.items()}
    return {name: _mended(html) for name, html in made.items()}


def _mended(html: str) -> str:
    """Links between modules lead to pages, and code that begins with a public name becomes a link to it."""
    html = html.replace("</head>", f"<style>{STYLE}</style></head>")
    html = re.sub(r'<a href="[\w/.]+\.html">([\w.]+)</a>', lambda found: _page_link(found[1], found[1]), html)
    html = re.sub(r'href="(?:[\w/.]*/)?(\w+)\.html(?=[#"])', lambda found: f'href="{_file(found[1])}', html)
    return re.sub(r"<code>(ot\.(\w+)[^<]*)</code>", _linked, html)


def _file(stem: str) -> str:
    return PAGES.get(f"otspec.{stem}", "index.html")


def _page_link(module: str, text: str) -> str:
    """Link to the page of a module; of one without a page, its name alone."""
    name = module if module.startswith("otspec") else f"otspec.{module}"
    return f'<a href="{PAGES[name]}">{text}</a>' if name in PAGES else text


def front() -> str:
    """Markdown above the public names: guide, registries, command line, changes."""
    pages = [line.split("](")[1].split(")")[0] for line in _read("guide/README.md").splitlines() if "| [" in line]
    parts = [str(otspec.__doc__), _guide("README.md").replace("## The guide", "# Guide"), *map(_guide, pages)]
    parts += ["# Registries", *(f"## {title}\n\n{_registry(registry)}" for title, registry in _registries().items())]
    changes = _guide("../CHANGELOG.md").replace("## Changes", "# Changes", 1)
    parts += ["# Command line", _commands(), changes, "# Public names"]
    return "\n\n".join(parts)


def _read(name: str) -> str:
    return (PACKAGE / name).read_text(encoding="utf-8")


def _guide(name: str) -> str:
    """A page one level down, with anchors of its own, and links and pictures that stay on this page."""
    path = (PACKAGE / "guide" / name).resolve()
    text = path.read_text(encoding="utf-8").split("[front page]")
    text = [text[0], text[-1].partition("\n")[2]] if len(text) > 1 else text
    blocks = re.split(r"(^```.*?^```\n)", "".join(text), flags=re.MULTILINE | re.DOTALL)
    for at in range(0, len(blocks), 2):  # code is left as it is
        blocks[at] = LINK.sub(lambda found: _link(found, path), blocks[at])
        blocks[at] = HEADING.sub(lambda found: f'<a id="{_anchor(path.stem, found[2] if len(found[1]) > 1 else "")}">'
                                 f"</a>\n\n#{found[1]} {found[2]}", blocks[at])
    return "".join(blocks)


def _anchor(page: str, heading: str) -> str:
    """Name of a place of the guide: a page, or a heading of it as Markdown viewers name it."""
    slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
    return f"guide-{page}" + (f"-{slug}" if slug else "")


def _link(found: re.Match[str], source: Path) -> str:
    picture, text, link = found.groups()
    name, _, heading = link.partition("#")
    if link.startswith("https://"):
        return found[0]
    path = (source.parent / name).resolve() if name else source
    if picture:
        if not path.exists():  # an installed package has no figures
            return f"*({text})*"
        return f"![{text}](data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()})"
    if path.suffix == ".md" and path.is_relative_to(PACKAGE) and path.name != "README.md":
        return f"[{text}](#{_anchor(path.stem, heading)})"
    return text


def _linked(found: re.Match[str]) -> str:
    """Code that begins with a public name, as a link to it."""
    if found[2] in ROOMS:
        return _page_link(found[2], found[0])
    return f'<a href="index.html#{found[2]}">{found[0]}</a>' if found[2] in PUBLIC else found[0]


def _registries() -> dict[str, Mapping[str, Entry]]:
    return {"Rules": otspec.list_verifiers(), "Couplings": otspec.list_couplings(),
            "Drafters": otspec.list_drafters(), "Tree policies": otspec.list_tree_policies(),
            "Length policies": otspec.list_length_policies(), "Lossy rules": otspec.list_lossy()}


def _registry(registry: Mapping[str, Entry]) -> str:
    lines = ["| name | kind | source | what it does |", "| --- | --- | --- | --- |"]
    lines += [f"| `{entry.name}` | {entry.kind} | {entry.source} | {entry.summary} |" for entry in registry.values()]
    return "\n".join(lines)


def _commands() -> str:
    """Help of every subcommand."""
    from otspec.cli import subcommands

    return "\n\n".join(f"## otspec {name}\n\n```text\n{parser.format_help()}```"
                       for name, parser in subcommands().items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the reference and say where it is."""
    parser = argparse.ArgumentParser(prog="python -m otspec.reference", description=__doc__)
    parser.add_argument("--out", metavar="DIR", default="reference", help="folder of index.html (default: reference)")
    given: Any = parser.parse_args(arguments)
    try:
        print(build(given.out))
    except (OtspecError, OSError) as error:
        print(f"otspec.reference: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
