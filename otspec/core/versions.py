"""Versions of libraries behind a stored result: another major version is worth a warning, a minor one is not."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from otspec.core.errors import VersionWarning

LIBRARIES = ("torch", "transformers", "numpy")


def installed(packages: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """Versions of those packages that are installed."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def major(number: str) -> str:
    """Return the part of a version that may change results; before 1.0 that is the minor version too.

    Examples
    --------
    >>> major("2.13.0+cpu"), major("0.4.1")
    ('2', '0.4')
    """
    parts = number.split("+")[0].split(".")
    return ".".join(parts[:2] if parts[0] == "0" else parts[:1])


def warn_of_other(made_with: Mapping[str, str], where: str) -> None:
    """Warn where a result was made with another major version of a library than is installed."""
    here = installed(tuple(made_with))
    changed = [f"{name} {old} (now {here[name]})" for name, old in made_with.items()
               if name in here and major(here[name]) != major(old)]
    if changed:
        warnings.warn(f"{where}: made with {', '.join(changed)}; new results may differ a little from the ones kept. "
                      f"To have all from one version, use a new folder.", VersionWarning, stacklevel=3)
