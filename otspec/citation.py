"""How to cite otspec; ``otspec/CITATION.cff`` holds the same words."""

from __future__ import annotations

from otspec import __version__
from otspec.core.errors import UnknownName
from otspec.core.names import did_you_mean

TITLE = "otspec: the optimal-transport theory of speculative decoding"
AUTHORS = "The otspec developers"
YEAR = 2026
BIBTEX = """\
@software{{otspec,
  title   = {{{title}}},
  author  = {{{{{authors}}}}},
  year    = {{{year}}},
  version = {{{version}}},
  license = {{Apache-2.0}},
}}
"""
CFF = """\
cff-version: 1.2.0
message: If you use otspec, please cite it, and the works whose algorithms you use (references.bib).
type: software
title: "{title}"
authors:
  - name: {authors}
version: {version}
license: Apache-2.0
"""
FORMATS = {"bibtex": BIBTEX, "cff": CFF}


def cite(form: str = "bibtex") -> str:
    """Return how to cite this version of otspec.

    Parameters
    ----------
    form : {"bibtex", "cff"}

    Returns
    -------
    str
        A BibTeX entry, or the text of a ``CITATION.cff``. An algorithm is cited by its own source, which
        ``otspec.list_verifiers()[name].source`` names: a key of the ``references.bib`` that ships with the package.

    Raises
    ------
    UnknownName

    Examples
    --------
    >>> print(cite().splitlines()[0])
    @software{otspec,
    """
    if form not in FORMATS:
        raise UnknownName(f"form: {form!r} is none of {', '.join(FORMATS)}.{did_you_mean(form, FORMATS)}")
    return FORMATS[form].format(title=TITLE, authors=AUTHORS, year=YEAR, version=__version__)
