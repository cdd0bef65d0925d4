"""What is audited: a function, and how it wants to be asked.

`Subject` is the one form that the audit knows: questions in, one answer (a tuple of token ids) for each. `Function`
gives it to a function of the usual signature, on probabilities or logits, NumPy or torch, one row or many at a time,
its coins supplied or its own. The adapters of `otspec.auditing.adapters` give it to functions of other shapes.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from otspec.auditing.cases import Answer, BadAnswer, Question
from otspec.core.checks import whole
from otspec.core.errors import BadArgument, MissingExtra, UnknownName
from otspec.core.names import did_you_mean
from otspec.core.schemes import DraftScheme

Array = Any
#: what a subject tosses: a generator, or uniforms ``[n num_uniforms]`` that were tossed for it
Coins = Any
SIGNATURES = {
    "token": "fn(target [V], draft [V], token, rng) -> token",
    "multi": "fn(target [V], draft [V], tokens [k], rng) -> token",
    "block": "fn(target_rows [L+1 V], draft_rows [L V], tokens [L], rng) -> list of 1 .. L+1 tokens",
    "tree": "fn(tree, target_rows [N V], draft_rows [N V], rng) -> list of tokens",
}
#: what a function may raise; one that ends the program has done a mistake too
RAISED = (Exception, SystemExit)
INPUTS, LIBRARIES, DTYPES = ("probabilities", "logits"), ("numpy", "torch"), ("float64", "float32", "bfloat16")


class Subject(ABC):
    """A verification rule as the audit asks it.

    Attributes
    ----------
    kind : str
        ``"token"``, ``"multi"``, ``"block"`` or ``"tree"``.
    name : str
    batch_size : int
        Questions asked at a time.
    num_uniforms : int or None
        Uniforms that one question takes; None where the subject tosses its own coins.
    given : bool
        Whether drafts come without a law of their own, as those of a lookup do.
    ragged : bool
        Whether questions of different lengths may stand in one batch.
    dtype : str
        Precision of the laws that it is given.
    scheme : DraftScheme or None
        How its drafts are drawn where an audit does not say.
    """

    kind: str = "token"
    name: str = "function"
    batch_size: int = 1
    num_uniforms: int | None = None
    given: bool = False
    ragged: bool = False
    dtype: str = "float64"
    inputs: str = "probabilities"
    library: str = "numpy"
    scheme: DraftScheme | None = None

    @property
    def shape(self) -> str:
        """How a function of its kind is called, for messages."""
        return SIGNATURES[self.kind]

    @abstractmethod
    def answer(self, questions: Sequence[Question], coins: Coins) -> list[Any]:
        """Answer of each question, in order; tokens, lists of tokens, or laws."""

    def show(self, law: np.ndarray, part: str) -> tuple[Array, np.ndarray]:
        """A law as the subject gets it, as ``part`` target or draft, and the law (float64) that this stands for."""
        return shown(law, self.inputs, self.library, self.dtype)

    def close(self) -> None:  # noqa: B027 most subjects hold nothing
        """Give back what the subject holds."""


class Function(Subject):
    """A function of the usual signature.

    Parameters
    ----------
    fn : callable
    kind : {"token", "multi", "block", "tree"}
    inputs : {"probabilities", "logits"}
        What stands in the arrays of laws.
    library : {"numpy", "torch"}
    dtype : {"float64", "float32", "bfloat16"}
        ``bfloat16`` of NumPy is float32 whose values are rounded to it.
    coins : int or {"generator", "global"}
        Last argument of ``fn``: so many uniforms; a generator of the library; or none, because it tosses the coins of
        NumPy's or torch's global generator, which is then seeded around each call and restored.
    batch_size : int, optional
        Give arrays of so many rows with a leading axis, and expect as many answers.
    """

    def __init__(self, fn: Callable[..., Any], kind: str, *, inputs: str = "probabilities", library: str = "numpy",
                 dtype: str = "float64", coins: int | str = "generator", batch_size: int | None = None) -> None:
        if not callable(fn):
            raise BadArgument(f"fn: {fn!r} cannot be called. Fix: a function, {SIGNATURES.get(kind, '')}.")
        for label, value, known in (("inputs", inputs, INPUTS), ("library", library, LIBRARIES),
                                    ("dtype", dtype, DTYPES), ("kind", kind, tuple(SIGNATURES))):
            if value not in known:
                raise UnknownName(f"{label}: {value!r} is none of {', '.join(known)}."
                                  f"{did_you_mean(value, known)}")
        self.num_uniforms = whole(coins)
        if coins not in ("generator", "global") if self.num_uniforms is None else self.num_uniforms < 1:
            raise BadArgument(f"coins: {coins!r}. Fix: the number of uniforms that fn takes, 'generator' or 'global'.")
        if batch_size is not None and kind == "tree":
            raise BadArgument("batch_size: trees have no common shape. Fix: leave it out, or write a Subject.")
        self.fn, self.kind, self.inputs, self.library, self.dtype, self.coins = fn, kind, inputs, library, dtype, coins
        self.name = getattr(fn, "__name__", type(fn).__name__)
        self.batched = batch_size is not None
        self.batch_size = int(batch_size or 1)

    @property
    def shape(self) -> str:
        """How the function is called, with its coins and its batch."""
        last = {"global": "", "generator": ", generator" if self.library == "torch" else ", rng"}
        coins = f", coins [{self.num_uniforms}]" if self.num_uniforms is not None else last[str(self.coins)]
        batch = f", each array, and the answer, with a leading axis of {self.batch_size}" if self.batched else ""
        return SIGNATURES[self.kind].replace(", rng", coins) + batch

    def answer(self, questions: Sequence[Question], coins: Coins) -> list[Any]:
        """Call the function once, or once for each question."""
        with self._tossed(coins) as last:
            if not self.batched:
                own = last if self.num_uniforms is None else None
                return [self.fn(*self._laws(one), *((self._tokens(coins[place]),) if own is None else own))
                        for place, one in enumerate(questions)]
            target, draft = (self._stack([getattr(one, part) for one in questions]) for part in ("target", "draft"))
            tokens = np.stack([one.tokens for one in questions])
            answers = rows_of(self.fn(target, draft, self._tokens(tokens[:, 0] if self.kind == "token" else tokens),
                                      *last))
        if len(answers) != len(questions):
            raise BadAnswer(f"{len(answers)} answers to a batch of {len(questions)}")
        return answers

    def _laws(self, one: Question) -> list[Any]:
        laws = [copied(one.target), copied(one.draft)]
        if self.kind == "tree":
            return [one.tree, *laws]
        return [*laws, int(one.tokens[0]) if self.kind == "token" else self._tokens(one.tokens.copy())]

    def _tokens(self, tokens: np.ndarray) -> Array:
        if self.library == "torch":
            import torch

            return torch.from_numpy(np.ascontiguousarray(tokens))
        return tokens

    def _stack(self, arrays: list[Array]) -> Array:
        if self.library == "torch":
            import torch

            return torch.stack(arrays)
        return np.stack(arrays)

    @contextmanager
    def _tossed(self, coins: Coins) -> Iterator[tuple[Any, ...]]:
        """Last argument of the calls that follow, as a tuple; none where the global generators are used."""
        if self.num_uniforms is not None:
            yield (self._tokens(coins),)
        elif self.coins == "global":
            with seeded(int(coins.integers(1 << 31))):
                yield ()
        elif self.library == "torch":
            generator = import_torch().Generator()
            generator.manual_seed(int(coins.integers(1 << 31)))
            yield (generator,)
        else:
            yield (coins,)


def shown(law: np.ndarray, inputs: str, library: str, dtype: str) -> tuple[Array, np.ndarray]:
    """A law in the form a function wants, and the law (float64) that this form stands for.

    Examples
    --------
    >>> shown(np.array([0.25, 0.75]), "probabilities", "numpy", "float32")[1]
    array([0.25, 0.75])
    """
    with np.errstate(divide="ignore"):
        values = np.log(law) if inputs == "logits" else np.asarray(law, dtype=np.float64)
    array: Array = values if dtype == "float64" else values.astype(np.float32)
    if dtype == "bfloat16" and library == "numpy":
        array = to_bfloat16(array)
    held = array.astype(np.float64)
    if library == "torch":
        torch = import_torch()
        array = torch.from_numpy(np.ascontiguousarray(array)).to(getattr(torch, dtype))
        held = array.to(torch.float64).numpy()
    weights = np.exp(held - held.max(axis=-1, keepdims=True)) if inputs == "logits" else held
    return array, weights / weights.sum(axis=-1, keepdims=True)


def to_bfloat16(array: np.ndarray) -> np.ndarray:
    """Float32 values rounded to the nearest bfloat16, ties to even.

    Examples
    --------
    >>> float(to_bfloat16(np.float32([0.3]))[0])
    0.30078125
    """
    bits = np.ascontiguousarray(array, dtype=np.float32).view(np.uint32)
    finite = np.isfinite(array)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return np.where(finite, rounded.astype(np.uint32).view(np.float32), array)


def import_torch() -> Any:
    """The torch module.

    Raises
    ------
    MissingExtra
    """
    try:
        import torch
    except ImportError:
        raise MissingExtra("library: torch is not installed. Fix: pip install torch, or library='numpy'.") from None
    return torch


def copied(array: Array) -> Array:
    """A copy that the function may write to."""
    return array.copy() if isinstance(array, np.ndarray) else array.clone()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of NumPy, `random` and, where it is loaded, torch; put them back afterwards."""
    import random
    import sys

    torch = sys.modules.get("torch")
    numpy_state, state = np.random.get_state(), random.getstate()  # noqa: NPY002 the function under audit uses it
    torch_state = torch.random.get_rng_state() if torch else None
    try:
        np.random.set_state(np.random.RandomState(seed).get_state())  # noqa: NPY002
        random.seed(seed)
        if torch:
            torch.default_generator.manual_seed(seed)
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(state)
        if torch:
            torch.random.set_rng_state(torch_state)


def rows_of(answers: Any) -> list[Any]:
    """The answers of a batch, one by one."""
    if hasattr(answers, "tolist"):
        return answers.tolist()
    try:
        return list(answers)
    except TypeError:
        raise BadAnswer(f"{type(answers).__name__} where the answers of a batch are expected") from None


def as_answer(value: Any) -> Answer:
    """Token ids of an answer; padding, ids below zero at its end, is cut off.

    Raises
    ------
    BadAnswer
        Something else than whole numbers.
    """
    if type(value) is int:
        return (value,)
    if hasattr(value, "tolist"):
        value = value.tolist()
    while isinstance(value, (list, tuple)) and len(value) == 1 and isinstance(value[0], (list, tuple)):
        value = value[0]  # a batch of one
    entries = value if isinstance(value, (list, tuple)) else (value,)
    tokens = []
    for entry in entries:
        if hasattr(entry, "tolist"):
            entry = entry.tolist()
        if isinstance(entry, bool) or not isinstance(entry, (int, np.integer)):
            raise BadAnswer(f"what is emitted, {str(value)[:80]}, is no token of the vocabulary")
        tokens.append(int(entry))
    while len(tokens) > 1 and tokens[-1] < 0:
        tokens.pop()
    return tuple(tokens)


def signature(fn: Callable[..., Any]) -> str:
    """Signature of a function, for messages."""
    try:
        return f"{getattr(fn, '__name__', 'fn')}{inspect.signature(fn)}"
    except (TypeError, ValueError):
        return getattr(fn, "__name__", repr(fn))
