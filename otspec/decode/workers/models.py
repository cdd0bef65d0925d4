"""Models for workers: at hand, or named so that every worker loads them itself.

Weights are not sent to workers. What is sent are the arguments of `load_pair`, and the fingerprint of the weights that
they must turn out to be.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from otspec.core.errors import BadArgument
from otspec.decode.derived import is_derived
from otspec.decode.gguf import place_of
from otspec.decode.identity import identity
from otspec.decode.models import POCKET_PAIRS, Pair, _fingerprint, _locations, common_vocab_size, load_pair
from otspec.decode.weights import load_tokenizer, locate, need_transformers

_LOCK = threading.Lock()
_LOADED: dict[Recipe, Pair] = {}  # one pair a process: a worker does many units of the same request


@dataclass(frozen=True)
class Recipe:
    """Arguments of `load_pair`."""

    name: str | None = None
    target: str | None = None
    draft: str | None = None
    device: str = "auto"
    dtype: str = "auto"

    @classmethod
    def of(cls, given: Any) -> Recipe:
        """Read a recipe off a name, a mapping of arguments, or a pair that was loaded by them.

        Raises
        ------
        BadArgument
        """
        if isinstance(given, str):
            return cls(name=given)
        if isinstance(given, Pair):
            return cls._of_pair(given)
        if not isinstance(given, Mapping):
            raise BadArgument(f"pair: {given!r} is no pair. Fix: a Pair, the name of a pocket pair, or the arguments "
                              f"of load_pair as a mapping.")
        unknown = sorted(set(given) - set(cls.__dataclass_fields__))
        if unknown:
            raise BadArgument(f"pair: {unknown[0]!r} is no argument of load_pair. "
                              f"Fix: {', '.join(cls.__dataclass_fields__)}.")
        return cls(**{name: _absolute(value) for name, value in given.items()})

    @classmethod
    def _of_pair(cls, pair: Pair) -> Recipe:
        settings = {"device": pair.device, "dtype": _dtype(pair)}
        for name in POCKET_PAIRS:
            if (pair.target_name, pair.draft_name) == (f"{name}/target", f"{name}/draft"):
                return cls(name=name, **settings)
        return cls(target=_absolute(pair.target_name), draft=_absolute(pair.draft_name), **settings)

    def load(self) -> Pair:
        """Return the pair, loaded once in every process."""
        with _LOCK:
            if self not in _LOADED:
                _LOADED.clear()
                _LOADED[self] = load_pair(self.name, target=self.target, draft=self.draft, device=self.device,
                                          dtype=self.dtype)
            return _LOADED[self]


@dataclass(frozen=True)
class Front:
    """What is known of a pair without its weights; prompts are encoded and checked with it as with a `Pair`."""

    target_name: str
    draft_name: str
    vocab_size: int
    fingerprint: str
    tokenizer: Any = field(repr=False, default=None)

    encode = Pair.encode
    _need_tokenizer = Pair._need_tokenizer

    @classmethod
    def of(cls, recipe: Recipe) -> Front:
        """Read configurations, tokenizers and the hashes of the weights.

        Raises
        ------
        BadFile, BadArgument, ShapeMismatch, UnknownName, MissingExtra
        """
        need_transformers("otspec.decode")
        target, draft = _locations(recipe.name, recipe.target, recipe.draft)
        made = str(draft) if is_derived(draft) else ""
        sources = [locate(target, "target"), *([] if made else [locate(draft, "draft")])]
        both = [sources[0], sources[-1]]
        tokenizers = [load_tokenizer(source) for source in both]
        names = (f"{recipe.name}/target", f"{recipe.name}/draft") if recipe.name else (str(target), str(draft))
        return cls(*names, common_vocab_size(*map(_width, both), *tokenizers), _fingerprint(sources, made),
                   tokenizers[0] if tokenizers[0] is not None else tokenizers[1])


def models_for(given: Any, executor: Any) -> tuple[Any, Recipe | None]:
    """Return the pair, or what is known of it, and the recipe by which workers are to load it, if they are.

    Raises
    ------
    BadArgument
        No executor, or nothing that stands for a pair.
    """
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise BadArgument(f"executor: {executor!r} has no submit(). Fix: a concurrent.futures.Executor, or None.")
    if executor is None or isinstance(executor, ThreadPoolExecutor):  # they share this process's memory
        return given if isinstance(given, Pair) else Recipe.of(given).load(), None
    recipe = Recipe.of(given)
    return given if isinstance(given, Pair) else Front.of(recipe), recipe


def described_models(pair: Any) -> dict[str, Any]:
    """Names and fingerprint of a pair, for the index of a request."""
    return {"target": pair.target_name, "draft": pair.draft_name, "fingerprint": pair.fingerprint}


def known_of(pair: Any) -> dict[str, Any]:
    """Return what is known of the models: all that their laws depend on, or the fingerprint where they are not here."""
    return {"fingerprint": pair.fingerprint} if isinstance(pair, Front) else origin(pair)


def origin(pair: Pair) -> dict[str, Any]:
    """Return what the numbers of a pair depend on: the models as they are in memory, and the kind of device."""
    return {"device": str(pair.device).split(":")[0], **identity(pair)}


def check_same(pair: Pair, expected: dict[str, Any]) -> dict[str, Any]:
    """Refuse models that are not those of the request; return all that is known of them.

    Raises
    ------
    BadArgument
    """
    found = origin(pair)
    for key, value in expected.items():
        if found[key] != value:
            raise BadArgument(f"pair: {key} of the models that a worker loads for {pair.target_name!r} and "
                              f"{pair.draft_name!r} is {found[key]!r}, it was asked for {value!r}. "
                              f"Fix: let every machine see the same model folders, unchanged in memory.")
    return found


def _absolute(value: Any) -> Any:
    """Return folders and files by their full path, since a worker may run in another folder."""
    if isinstance(value, Path) or (isinstance(value, str) and Path(value).expanduser().exists()):
        return str(Path(value).expanduser().resolve())
    return value


def _dtype(pair: Pair) -> str:
    return str(pair.target.dtype).rsplit(".", 1)[-1]


def _width(source: str | Path) -> int:
    from transformers import AutoConfig

    where, inside = place_of(source)
    config = AutoConfig.from_pretrained(where, trust_remote_code=False, local_files_only=isinstance(source, Path),
                                        **inside)
    return int(config.get_text_config().vocab_size)
