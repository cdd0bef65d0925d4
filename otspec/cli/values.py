"""Values of command-line options: laws, draft schemes and prompts, each with an error that names the option."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

SCHEMES = "with-replacement, without-replacement, greedy, hub or hybrid:TOP"


def count(text: str) -> int:
    """Whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def seed(text: str) -> int:
    """Whole number of 64 bits."""
    if not text.isdecimal() or int(text) >= 1 << 64:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number in 0 .. 2**64-1")
    return int(text)


def scale(text: str) -> float:
    """Positive finite number."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return number


def read_prompts(path: str) -> list[str]:
    """Prompts of a file: the strings of a ``.json`` list, or one per line of text."""
    from otspec.core.errors import BadFile

    try:
        text = Path(path).read_text(encoding="utf-8")
        found = json.loads(text) if path.endswith(".json") else [line for line in text.splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise BadFile(f"--prompts: {path} cannot be read ({error}). "
                      f"Fix: one prompt per line, or a JSON list.") from None
    if not isinstance(found, list) or not found or not all(isinstance(one, str) and one for one in found):
        raise BadFile(f"--prompts: {path} holds no prompts. Fix: one prompt per line, or a JSON list of strings.")
    return found


def read_scheme(name: str, k: int | None) -> Any:
    """Draft scheme of its name on the command line."""
    from otspec.core.errors import BadArgument, UnknownName
    from otspec.core.schemes import Greedy, Hub, Hybrid, WithoutReplacement, WithReplacement

    drafts = 2 if k is None else k
    kind, _, top = name.partition(":")
    if kind == "hybrid" and top.isdecimal():
        return Hybrid(int(top), drafts)
    if name == "hub":
        if drafts != 2:
            raise BadArgument(f"-k: {k} drafts, but SpecHub has two. Fix: -k 2, or another scheme.")
        return Hub()
    kinds: dict[str, Any] = {"with-replacement": WithReplacement, "without-replacement": WithoutReplacement,
                             "greedy": Greedy}
    if name not in kinds:
        raise UnknownName(f"--scheme: {name!r} is unknown. Fix: {SCHEMES}.")
    return kinds[name](drafts)


def read_law(option: str, text: str | None, normalised: bool) -> Any:
    """Laws of one option: masses separated by commas, or a file with one law per row."""
    import warnings
    from zipfile import BadZipFile

    import numpy as np

    from otspec.core.checks import as_law
    from otspec.core.errors import BadArgument, BadFile
    from otspec.core.laws import normalize

    if text is None:
        raise BadArgument(f"{option}: missing. Fix: give masses such as 0.5,0.3,0.2, or a .npy or .csv file.")
    try:
        if text.endswith(".npy"):
            law = np.load(text, allow_pickle=False)
            if not isinstance(law, np.ndarray):
                raise ValueError("an archive of arrays, not one array")
        elif text.endswith(".csv"):
            with warnings.catch_warnings(action="ignore", category=UserWarning):  # an empty file is refused below
                law = np.loadtxt(text, delimiter=",", dtype=np.float64, ndmin=1)
        else:
            law = np.array([float(part) for part in text.split(",")])
    except OSError as error:
        raise BadFile(f"{option}: {text} cannot be read ({error.strerror or error}). Fix: check the path.") from None
    except (ValueError, EOFError, BadZipFile) as error:
        raise BadFile(f"{option}: {text[:60]!r} holds no numbers ({error}). Fix: masses such as 0.5,0.3,0.2, or a "
                      f".npy or .csv file.") from None
    if law.size == 0:
        raise BadFile(f"{option}: {text[:60]!r} holds no law (shape {law.shape}). Fix: one law per row, at least one.")
    law = law.astype(np.float64) if law.dtype.kind in "iuf" else law
    return normalize(law) if normalised else as_law(option.lstrip("-"), law)
