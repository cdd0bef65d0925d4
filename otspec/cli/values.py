"""Values of command-line options: laws, draft schemes and prompts, each with an error that names the option."""

from __future__ import annotations

import argparse
import json
import re
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


def read_prompts(path: str) -> list[Any]:
    """Prompts of a file: the strings or the lists of token ids of a ``.json`` list, or one per line of text."""
    from otspec.core.errors import BadFile

    fix = "Fix: one prompt per line, or a .json list of strings, or of lists of token ids."
    try:
        text = Path(path).read_text(encoding="utf-8")
        found = json.loads(text) if path.endswith(".json") else [line for line in text.splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise BadFile(f"--prompts: {path} cannot be read ({error}). {fix}") from None
    if not isinstance(found, list) or not found:
        raise BadFile(f"--prompts: {path} holds no prompts. {fix}")
    for number, one in enumerate(found):
        if not one or not (isinstance(one, str) or (isinstance(one, list) and all(type(id) is int for id in one))):
            raise BadFile(f"--prompts: {path} holds no prompts: entry {number} is {json.dumps(one)[:60]}. {fix}")
    return found


def read_names(option: str, text: str) -> list[str]:
    """Names with commas between them; blanks around them do not count."""
    from otspec.core.errors import BadArgument

    names = [part.strip() for part in text.split(",")]
    if not all(names):
        raise BadArgument(f"{option}: {text!r} holds an empty name. Fix: names with single commas between them.")
    return names


def read_scheme(name: str, k: int | None) -> Any:
    """Draft scheme of its name on the command line."""
    from otspec.core.errors import BadArgument, UnknownName
    from otspec.core.names import did_you_mean
    from otspec.core.schemes import Greedy, Hub, Hybrid, WithoutReplacement, WithReplacement

    drafts = 2 if k is None else k
    kind, _, top = name.partition(":")
    if kind == "hybrid" and top.isdecimal():
        return Hybrid(int(top), drafts)
    if kind == "hybrid":
        raise BadArgument(f"--scheme: {name!r} does not say how many of the most likely tokens are drafted. "
                          f"Fix: hybrid:1, say, of -k 2.")
    if name == "hub":
        if drafts != 2:
            raise BadArgument(f"-k: {k} drafts, but SpecHub has two. Fix: -k 2, or another scheme.")
        return Hub()
    kinds: dict[str, Any] = {"with-replacement": WithReplacement, "without-replacement": WithoutReplacement,
                             "greedy": Greedy}
    if name not in kinds:
        raise UnknownName(f"--scheme: {name!r} is unknown.{did_you_mean(kind, (*kinds, 'hub', 'hybrid:1'))} "
                          f"Fix: {SCHEMES}.")
    return kinds[name](drafts)


def add_law_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that give two laws."""
    parser.add_argument("--target", metavar="LAW", help="masses such as 0.5,0.3,0.2, or a .npy or .csv file")
    parser.add_argument("--draft", metavar="LAW", help="likewise")
    parser.add_argument("--normalize", action="store_true", help="divide both by their sums first")
    parser.add_argument("--logits", action="store_true",
                        help="--target and --draft hold logits: their softmax is taken, at --temperature")


def temperature_of(given: Any) -> float:
    """Value of ``--temperature``, 1 where it was not given."""
    return 1.0 if given.temperature is None else float(given.temperature)


def read_laws(given: Any) -> tuple[Any, Any]:
    """Laws of ``--target`` and ``--draft``: masses, or logits at a temperature."""
    from otspec.core.errors import BadArgument

    if given.normalize and given.logits:
        raise BadArgument("--normalize: given beside --logits, whose softmax sums to one. Fix: leave it out.")
    if given.temperature is not None and not given.logits:
        raise BadArgument("--temperature: laws are taken as they are. Fix: --logits where --target and --draft hold "
                          "logits, or leave it out.")
    target, draft = (_law(f"--{name}", _numbers(f"--{name}", getattr(given, name)), given)
                     for name in ("target", "draft"))
    return target, draft


def _law(option: str, numbers: Any, given: Any) -> Any:
    """Law of numbers, refused in the words of the command line where they define none."""
    from otspec.core.checks import as_law
    from otspec.core.errors import NotALaw
    from otspec.core.laws import law_from_logits, normalize

    name = option.lstrip("-")
    try:
        if given.logits:
            return law_from_logits(numbers, temperature=temperature_of(given))
        return normalize(numbers) if given.normalize else as_law(name, numbers)
    except NotALaw as error:
        text = re.sub("^(weights|logits|target|draft)", option, str(error))
        text = text.replace(f"otspec.normalize({name})", "--normalize")
        raise NotALaw(re.sub(r"otspec\.law_from_logits\(\w+\)", "--logits", text)) from None


def _numbers(option: str, text: str | None) -> Any:
    """Numbers of one option: separated by commas, or a file with one law per row."""
    import warnings
    from zipfile import BadZipFile

    import numpy as np

    from otspec.core.errors import BadArgument, BadFile

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
    return law.astype(np.float64) if law.dtype.kind in "iuf" else law


def read_drafter(text: str) -> Any:
    """Drafter of a name and parameters: ``tree:widths=3x2x1``, ``rerank:nodes=16,width=4``.

    Examples
    --------
    >>> read_drafter("tree:widths=3x2x1"), read_drafter("heap:nodes=8,max_depth=none"), read_drafter("lookup")
    (FixedTree(widths=(3, 2, 1), counts=None), Heap(nodes=8, max_depth=None), Lookup(draft_length=4, ngram=3))
    """
    from otspec.core.errors import BadArgument, OtspecError
    from otspec.decode.drafters import DRAFTERS, drafter

    name, colon, rest = text.partition(":")
    params: dict[str, Any] = {}
    for part in rest.split(",") if colon else ():
        key, equals, value = part.partition("=")
        if not equals or not key or key in params:
            raise BadArgument(f"--drafter: {part!r} of {text!r} sets nothing new. Fix: {name}:KEY=VALUE,KEY=VALUE.")
        params[key] = _drafter_value(key, value)
    try:
        fields = getattr(DRAFTERS[name].factory, "__dataclass_fields__", {})
        for key in params.keys() & fields.keys():  # one number is a sequence of one where a sequence is asked for
            if "Sequence" in str(fields[key].type) and isinstance(params[key], int):
                params[key] = (params[key],)
        return drafter(name, **params)
    except OtspecError as error:
        untyped = getattr(DRAFTERS[name].factory, "measured", {}) if name in DRAFTERS else {}
        aside = f" From Python only: {', '.join(untyped)} cannot be typed on a command line." if untyped else ""
        raise BadArgument(f"--drafter {text}: {error}{aside}") from None


def _drafter_value(key: str, value: str) -> Any:
    """``none``, a whole number, or several with ``x`` between them."""
    from otspec.core.errors import BadArgument

    if value == "none":
        return None
    numbers = value.split("x")
    if not all(number.isascii() and number.isdecimal() for number in numbers):
        raise BadArgument(f"--drafter: {key}={value!r} is no whole number. Fix: {key}=4, several as {key}=3x2x1, "
                          f"or {key}=none.")
    return int(value) if len(numbers) == 1 else tuple(map(int, numbers))


def check_stop_words(asked: list[str] | None) -> list[str]:
    """Values of ``--stop-token``, checked as far as they can be without a model.

    Raises
    ------
    BadArgument
    """
    from otspec.core.errors import BadArgument

    if not asked or asked == ["none"]:
        return asked or ["model"]
    wrong = [one for one in asked if one != "model" and not (one.isascii() and one.isdecimal())]
    if wrong:
        why = "stands beside others" if wrong[0] == "none" else "is no token id"
        raise BadArgument(f"--stop-token: {wrong[0]!r} {why}. Fix: a token id, model, or none alone.")
    return asked


def read_stop_tokens(asked: list[str] | None, pair: Any) -> Any:
    """Argument ``stop_token`` of ``generate``: all ids that were given, and the target's own where ``model`` is."""
    from otspec.decode.stopping import stop_tokens

    asked = check_stop_words(asked)
    if asked in (["model"], ["none"]):
        return "model" if asked == ["model"] else None
    own = stop_tokens(pair, "model") if "model" in asked else frozenset()
    return sorted(own | {int(one) for one in asked if one != "model"})
