"""The text the pocket pair is trained on: whatever ships with the running CPython, cut into token ids.

Four kinds of documents: ``source`` (every ``.py`` file of the standard library, its test suite included),
``topic`` (the language reference in ``pydoc_data.topics``), ``docstring`` (objects of the modules written in C)
and ``header`` (the C headers). They are on every machine that has the interpreter, so the corpus needs no
download, and one CPython version and build gives one corpus, named by its SHA-256.

A document is held out by a hash of its kind and name, never by position: which documents are held out does not
depend on what else is in the corpus. Contexts for measurements are windows of held-out documents.
"""

import hashlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import json
import platform
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from otspec.core.errors import BadArgument, BadFile, MissingExtra
from otspec.core.files import replacing
from otspec.core.names import did_you_mean
from otspec.core.progress import progress_bar

KINDS = ("source", "topic", "docstring", "header")
END_OF_TEXT = 0
TOGETHER = 256  # documents that are cut together, about a second of work: an interrupt waits for it
HELD_OUT = 0.03
_FORMAT = "otspec-corpus-1"
# folders and files whose text is tables or depends on the machine that compiled the interpreter
_SKIPPED = (
    "site-packages/",
    "__pycache__/",
    "encodings/",
    "config-",
    "_sysconfigdata",
    "pydoc_data/topics.py",
)

# "($self, /, value)": how C code writes the argument that a bound method hides
_BOUND = re.compile(r"\(\$\w+(, /)?(, )?")


@dataclass(frozen=True)
class Document:
    """One held-out document: its kind, its name and its token ids, uint16 `[length]`."""

    kind: str
    name: str
    tokens: np.ndarray


@dataclass(frozen=True)
class Window:
    """A context of held-out text: token ids, int64 `[length]`, and where in which document they start."""

    kind: str
    name: str
    start: int
    tokens: np.ndarray


@dataclass(frozen=True)
class Corpus:
    """Token ids for training and held-out documents.

    Attributes
    ----------
    train : ndarray of uint16 [N]
        All training documents, each followed by token 0, in a fixed shuffled order.
    heldout : list of Document
        Documents that no training token comes from.
    tokens_per_kind : dict
        Kind to number of training tokens.
    python_version : str
        The interpreter whose files these are.
    sha256 : str
        Over the training tokens and the held-out documents with their names.
    """

    train: np.ndarray
    heldout: list[Document]
    tokens_per_kind: dict[str, int]
    python_version: str
    sha256: str

    def save(self, path: str | Path) -> None:
        """Write the corpus as one safetensors file whose header holds the rest as JSON."""
        _, save_file = _safetensors()
        ends = np.cumsum([len(document.tokens) for document in self.heldout], dtype=np.int64)
        arrays = {"train": self.train, "heldout": _joined(self.heldout), "heldout_ends": ends}
        header = {
            "names": [[document.kind, document.name] for document in self.heldout],
            "tokens_per_kind": self.tokens_per_kind,
            "python_version": self.python_version,
            "sha256": self.sha256,
        }
        with replacing(path) as temporary:
            save_file(arrays, temporary, metadata={"format": _FORMAT, "header": json.dumps(header)})

    @staticmethod
    def load(path: str | Path) -> "Corpus":
        """Read a file that `save` wrote.

        Raises
        ------
        BadFile
            The file is missing, is no corpus, or its tokens do not have the SHA-256 in its header.
        """
        safe_open, _ = _safetensors()
        try:
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except Exception as error:  # safetensors raises its own class and three built-in ones
            raise BadFile(f"{path}: cannot be read as a corpus ({error}); build it with build_corpus") from error
        if metadata.get("format") != _FORMAT:
            raise BadFile(f"{path}: format {metadata.get('format')!r}, expected {_FORMAT!r}; build it again")
        header = json.loads(metadata["header"])
        pieces = np.split(arrays["heldout"], arrays["heldout_ends"][:-1])
        heldout = [Document(kind, name, tokens) for (kind, name), tokens in zip(header["names"], pieces, strict=True)]
        corpus = Corpus(arrays["train"], heldout, header["tokens_per_kind"], header["python_version"], header["sha256"])
        if (found := _digest(corpus.train, heldout)) != corpus.sha256:
            raise BadFile(f"{path}: its tokens have SHA-256 {found[:12]}..., its header says {corpus.sha256[:12]}...")
        return corpus


def build_corpus(tokenizer: Any, *, kinds: Sequence[str] = KINDS, library: str | Path | None = None,
                 progress: bool = False) -> Corpus:
    """Collect the text that ships with the running CPython and cut it into tokens.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
        At most 65,536 tokens; id 0 must be the end-of-text mark.
    kinds : sequence of str
        Which of ``"source"``, ``"topic"``, ``"docstring"``, ``"header"`` to take.
    library : path, optional
        The folder to take sources from; the standard library unless given.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Corpus
        The same for the same interpreter build, tokenizer and arguments.

    Raises
    ------
    BadArgument
        A kind that does not exist, a tokenizer with more than 65,536 tokens, no document found.
    """
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        raise BadArgument(f"kinds: {unknown[0]!r} is none of {', '.join(map(repr, KINDS))}."
                          f"{did_you_mean(unknown[0], KINDS)}")
    if tokenizer.get_vocab_size() > 1 << 16:
        raise BadArgument(f"tokenizer: {tokenizer.get_vocab_size()} tokens do not fit uint16; at most 65,536")
    train, heldout, counts = [], [], dict.fromkeys(kinds, 0)
    documents = sorted(_documents(kinds, library), key=lambda one: _hash(one[0], one[1]))
    if not documents:
        raise BadArgument(f"library: no document of the kinds {tuple(kinds)} in {library or 'the standard library'}")
    encodings: list[Any] = []
    with progress_bar(len(documents), "documents", progress) as bar:
        for start in range(0, len(documents), TOGETHER):
            part = [text for _, _, text in documents[start : start + TOGETHER]]
            encodings += tokenizer.encode_batch(part)
            bar.update(len(part))
    for (kind, name, _), encoding in zip(documents, encodings, strict=True):
        tokens = np.asarray([*encoding.ids, END_OF_TEXT], dtype=np.uint16)
        if is_held_out(kind, name):
            heldout.append(Document(kind, name, tokens))
        else:
            train.append(tokens)
            counts[kind] += len(tokens)
    stream = np.concatenate(train) if train else np.zeros(0, np.uint16)
    return Corpus(stream, heldout, counts, platform.python_version(), _digest(stream, heldout))


def is_held_out(kind: str, name: str) -> bool:
    """Say whether a document is held out: true for about 3 % of the names, the same on every machine."""
    return int(_hash(kind, name)[:8], 16) < HELD_OUT * 16**8


def heldout_windows(corpus: Corpus, length: int = 96, stride: int = 142, limit: int | None = None) -> list[Window]:
    """Cut disjoint windows out of the held-out documents.

    The windows come in an order that mixes kinds and documents, so the first `limit` of them are a fair sample.

    Parameters
    ----------
    corpus : Corpus
    length : int
        Tokens per window.
    stride : int
        Distance of two starts in one document, at least `length`; the gap leaves room for a continuation.
    limit : int, optional
        At most that many windows.

    Returns
    -------
    list of Window

    Raises
    ------
    BadArgument
        ``length < 1`` or ``stride < length`` (windows would overlap).
    """
    if length < 1:
        raise BadArgument(f"length: {length} is less than 1")
    if stride < length:
        raise BadArgument(f"stride: {stride} is less than length {length}: windows would overlap")
    windows = [
        Window(one.kind, one.name, start, one.tokens[start : start + length].astype(np.int64))
        for one in corpus.heldout
        for start in range(0, len(one.tokens) - length + 1, stride)
    ]
    windows.sort(key=lambda window: _hash(window.kind, window.name, str(window.start)))
    return windows[:limit]


def _documents(kinds: Sequence[str], library: str | Path | None) -> Iterator[tuple[str, str, str]]:
    paths = sysconfig.get_paths()
    if "source" in kinds:
        yield from _files("source", Path(library or paths["stdlib"]), "*.py")
    if "header" in kinds:
        yield from _files("header", Path(paths["include"]), "*.h")
    if "topic" in kinds:
        from pydoc_data.topics import topics

        yield from (("topic", name, text) for name, text in topics.items())
    if "docstring" in kinds:
        yield from _docstrings()


def _files(kind: str, folder: Path, pattern: str) -> Iterator[tuple[str, str, str]]:
    for path in folder.rglob(pattern):
        name = path.relative_to(folder).as_posix()
        # pyconfig.h records the machine that compiled the interpreter
        if any(part in f"/{name}" for part in _SKIPPED) or name == "pyconfig.h":
            continue
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:  # test data that is broken on purpose, or in an old encoding
            continue
        if text.strip():
            yield kind, name, text.replace("\r\n", "\n")


def _docstrings() -> Iterator[tuple[str, str, str]]:
    """Yield one document per documented object of a module written in C, each text once."""
    seen: set[str] = set()
    for module_name in sorted(_compiled_modules()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # some old modules warn on import
            try:
                module = importlib.import_module(module_name)
            except ImportError:  # an extension whose C library this machine lacks
                continue
        for name, thing in sorted(vars(module).items()):
            # sys.excepthook and its like are replaced by test runners and notebooks; __excepthook__ is not
            replaceable = f"__{name}__" in vars(module)
            text = "" if replaceable else _description(name, thing)
            if text and text not in seen:
                seen.add(text)
                yield "docstring", f"{module_name}.{name}", text


def _compiled_modules() -> Iterator[str]:
    suffixes = tuple(importlib.machinery.EXTENSION_SUFFIXES)
    for name in sys.stdlib_module_names:
        if name.startswith(("_test", "_xx", "xx")):
            continue
        spec = None if name in sys.builtin_module_names else importlib.util.find_spec(name)
        if name in sys.builtin_module_names or (spec and spec.origin and spec.origin.endswith(suffixes)):
            yield name


def _description(name: str, thing: Any) -> str:
    if not (inspect.isclass(thing) or inspect.isbuiltin(thing)):
        return ""
    parts = [_entry(name, thing)]
    if inspect.isclass(thing):
        parts += [_entry(f"{name}.{key}", member) for key, member in sorted(vars(thing).items())]
    return "\n\n".join(part for part in parts if part)


def _entry(name: str, thing: Any) -> str:
    text = getattr(thing, "__doc__", None)
    # instances show their class's docstring; it belongs to the class only
    if not isinstance(text, str) or not text.strip() or isinstance(thing, (str, int, float, tuple, dict, bytes)):
        return ""
    signature = _BOUND.sub("(", getattr(thing, "__text_signature__", None) or "")
    body = "\n".join(f"    {line}".rstrip() for line in inspect.cleandoc(text).splitlines())
    return f"{name}{signature}\n{body}\n"


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _digest(train: np.ndarray, heldout: list[Document]) -> str:
    digest = hashlib.sha256(train.astype("<u2").tobytes())
    for document in heldout:
        digest.update(f"{document.kind}\0{document.name}\0{len(document.tokens)}\0".encode())
        digest.update(document.tokens.astype("<u2").tobytes())
    return digest.hexdigest()


def _joined(documents: list[Document]) -> np.ndarray:
    return np.concatenate([one.tokens for one in documents]) if documents else np.zeros(0, np.uint16)


def _safetensors() -> tuple[Any, Any]:
    try:
        from safetensors import safe_open
        from safetensors.numpy import save_file
    except ImportError as error:
        raise MissingExtra('a corpus file needs safetensors: pip install -e ".[models]"') from error
    return safe_open, save_file
