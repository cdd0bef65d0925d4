"""Validation of arguments: one place that decides what a law, a token list and a count must look like.

Sums may miss one by 1e-6 in float64 and 1e-3 in float32; beyond that the caller normalises explicitly.
Half precision is refused: residuals of half-precision laws do not preserve the target law.
"""

from __future__ import annotations

import math
import numbers
import operator
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from otspec.core.errors import BadArgument, NotALaw, ShapeMismatch

Array = Any
SUM_TOLERANCE = {"float64": 1e-6, "float32": 1e-3}
FAR_FROM_ONE = 0.5  # sums that rounding or a forgotten token would not give


def dtype_name(array: Array) -> str:
    """Name of the dtype without its namespace, such as ``float64``."""
    return str(getattr(array.dtype, "name", array.dtype)).rsplit(".", 1)[-1]


def first_index(mask: Array) -> tuple[int, ...]:
    """Index of the first true entry, for error messages."""
    try:
        flat = np.asarray(mask)
    except TypeError:  # a CUDA tensor
        flat = np.asarray(mask.cpu())
    return tuple(int(i) for i in np.argwhere(flat)[0])


def as_law(name: str, law: Array, *, sums_to_one: bool = True) -> Array:
    """Check one array of laws ``[*batch V]`` and return it; lists become float64 arrays.

    Raises
    ------
    NotALaw
        Naming the argument, the offending value with its index, and the fix.
    """
    xp, law = as_array(name, law)
    if not xp.isdtype(law.dtype, "real floating"):
        raise NotALaw(f"{name}: dtype {dtype_name(law)} holds no probabilities. Fix: otspec.normalize({name}).")
    if dtype_name(law) not in SUM_TOLERANCE:
        raise NotALaw(
            f"{name}: dtype {dtype_name(law)} is refused, because half-precision residuals change the target law. "
            f"Fix: cast to float32 or float64 and normalise there; of logits, otspec.law_from_logits({name})."
        )
    if law.ndim == 0 or law.shape[-1] == 0:
        raise NotALaw(f"{name}: shape {tuple(law.shape)} has no vocabulary axis. Fix: pass [*batch V] with V >= 1.")
    _check_values(xp, name, law)
    if sums_to_one:
        _check_sums(xp, name, law)
    return law


def as_array(name: str, given: Any) -> tuple[Any, Array]:
    """Return ``(xp, array)`` of an array, or of a list of numbers, which becomes a float64 array.

    Raises
    ------
    NotALaw
        Neither of the two, or a list of rows of different length.
    """
    if isinstance(given, (list, tuple)):
        try:
            given = np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError):
            raise NotALaw(f"{name}: a list, but no array of numbers. Fix: rows of one length, all numbers.") from None
    try:
        return array_namespace(given), given
    except TypeError:
        raise NotALaw(f"{name}: {type(given).__name__} is not an array. Fix: pass a NumPy or torch array.") from None


def number_array(name: str, given: Any) -> np.ndarray:
    """Return an array or a list of numbers as a NumPy array.

    Raises
    ------
    NotALaw
        Neither of the two, or of a dtype that NumPy does not have.
    """
    _, array = as_array(name, given)
    try:
        return np.asarray(array)
    except (TypeError, RuntimeError):  # bfloat16, another device, a tensor that wants gradients
        raise NotALaw(f"{name}: {dtype_name(array)} on {device(array)} is no NumPy array. "
                      f"Fix: .detach().cpu().double().") from None


def as_tokens(tokens: Any) -> Array:
    """Return token ids as an array; lists become NumPy arrays.

    Raises
    ------
    ShapeMismatch
        Neither an array nor a list of rows of one length.
    """
    if isinstance(tokens, (list, tuple)):
        try:
            tokens = np.asarray(tokens)
        except ValueError:
            raise ShapeMismatch("tokens: lists of different length. Fix: -1 where a draft is absent.") from None
    if not hasattr(tokens, "dtype") or not hasattr(tokens, "shape"):
        raise ShapeMismatch(f"tokens: {type(tokens).__name__} is not an array. Fix: pass token ids, [*batch k].")
    return tokens


def _check_values(xp: Any, name: str, law: Array) -> None:
    # one pass decides the common case; a comparison with NaN is false, so NaN fails it too
    if bool(xp.all((law >= 0) & (law < xp.inf))):
        return
    where = first_index(~((law >= 0) & (law < xp.inf)))
    raise NotALaw(
        f"{name}{list(where)} = {float(law[where])}: masses must be finite and >= 0. "
        f"Fix: repair that entry (a softmax of finite logits gives none like it).{_of_logits(xp, name, law)}"
    )


def _of_logits(xp: Any, name: str, values: Array) -> str:
    """Sentence on values that look like logits: some are negative, or their sums are far from one."""
    some = xp.where(xp.isfinite(values), values, xp.zeros_like(values))  # of values without NaN and infinities
    far = xp.abs(xp.sum(some, axis=-1, dtype=xp.float64) - 1.0) > FAR_FROM_ONE
    looks = bool(xp.any(values < 0)) or bool(xp.any(far))
    return f" If these are logits: otspec.law_from_logits({name})." if looks else ""


def _check_sums(xp: Any, name: str, law: Array) -> None:
    mass = xp.sum(law, axis=-1, dtype=xp.float64)
    tolerance = SUM_TOLERANCE[dtype_name(law)]
    bad = xp.abs(mass - 1.0) > tolerance
    if not bool(xp.any(bad)):
        return
    where = first_index(bad)
    raise NotALaw(
        f"{name}{list(where) if where else ''} sums to {float(mass[where]):.9g}, not to 1 (tolerance {tolerance:g}). "
        f"Fix: otspec.normalize({name}).{_of_logits(xp, name, law)}"
    )


def as_laws(**laws: Array) -> tuple[Any, ...]:
    """Check laws that belong together; return ``(xp, law, ...)`` broadcast to one batch shape.

    Raises
    ------
    NotALaw, ShapeMismatch
        Different vocabularies, batch shapes, dtypes, devices or array libraries.
    """
    checked = {name: as_law(name, law) for name, law in laws.items()}
    xp = check_together(**checked)
    first = next(iter(checked.values()))
    if any(law.shape != first.shape for law in checked.values()):
        _check_vocabulary(checked)
        try:
            return (xp, *xp.broadcast_arrays(*checked.values()))
        except (ValueError, RuntimeError):
            shapes = ", ".join(f"{name} {tuple(law.shape)}" for name, law in checked.items())
            raise ShapeMismatch(f"batch shapes do not fit: {shapes}. Fix: give both the same leading axes.") from None
    return (xp, *checked.values())


def _check_vocabulary(laws: dict[str, Array]) -> None:
    sizes = {name: law.shape[-1] for name, law in laws.items()}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} has {size} tokens" for name, size in sizes.items())
        raise ShapeMismatch(f"vocabularies differ: {listed}. Fix: both laws must live on one vocabulary.")


def check_no_grad(**arrays: Array) -> None:
    """Refuse tensors that ask for gradients where a computation on the host would cut them.

    Raises
    ------
    BadArgument
    """
    for name, array in arrays.items():
        if getattr(array, "requires_grad", False):
            raise BadArgument(f"{name}: the tensor requires gradients, which this computation does not pass on. "
                              f"Fix: {name}.detach(), or torch.inference_mode() around the model.")


def check_place(**arrays: Array) -> Any:
    """Namespace of arrays that share library and device; an error that names the odd one otherwise."""
    for name, array in arrays.items():
        if not hasattr(array, "dtype"):
            raise ShapeMismatch(f"{name}: {type(array).__name__} is not an array. Fix: pass a NumPy or torch array.")
    try:
        xp = array_namespace(*arrays.values())
    except TypeError:
        kinds = ", ".join(f"{name} is {type(a).__module__.split('.')[0]}" for name, a in arrays.items())
        raise ShapeMismatch(f"array libraries differ: {kinds}. Fix: convert one of them.") from None
    _check_same("devices", {name: str(device(a)) for name, a in arrays.items()})
    return xp


def check_together(**arrays: Array) -> Any:
    """Namespace of arrays that share library, device and dtype; an error that names the odd one otherwise."""
    xp = check_place(**arrays)
    _check_same("dtypes", {name: dtype_name(a) for name, a in arrays.items()})
    return xp


def _check_same(what: str, seen: dict[str, str]) -> None:
    if len(set(seen.values())) > 1:
        listed = ", ".join(f"{name} {value}" for name, value in seen.items())
        raise ShapeMismatch(f"{what} differ: {listed}. Fix: convert one of them explicitly.")


def check_positive(name: str, value: Any) -> int:
    """Return ``value`` as an int of at least 1.

    Raises
    ------
    BadArgument
        Not an integer, or smaller than 1.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise BadArgument(f"{name}: {value!r} is not an integer. Fix: give a whole number of at least 1.") from None
    if isinstance(value, bool):
        raise BadArgument(f"{name}: {value!r} is a bool. Fix: give a whole number of at least 1.")
    if number < 1:
        raise BadArgument(f"{name}: {value!r} is smaller than 1. Fix: give a whole number of at least 1.")
    if number >= 1 << 31:
        raise BadArgument(f"{name}: {value!r} is beyond any use. Fix: give a whole number below 2**31.")
    return number


def whole(value: Any) -> int | None:
    """Return a whole number, NumPy's too, as an int; None of anything else, a bool included.

    Examples
    --------
    >>> whole(np.int64(3)), whole(3.0), whole(True)
    (3, None, None)
    """
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def check_seed(seed: Any, name: str = "seed") -> int:
    """Return a seed as an int in ``0 .. 2**64 - 1``.

    Raises
    ------
    BadArgument
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 1 << 64:
        raise BadArgument(f"{name}: {seed!r} is no whole number in 0 .. 2**64-1. Fix: {name}=0.")
    return int(seed)


def seed_after(seed: Any, steps: int) -> int:
    """Seed a number of steps after ``seed``: after the largest comes 0, so that every good seed has a next one.

    Examples
    --------
    >>> seed_after(7, 2), seed_after(2**64 - 1, 1)
    (9, 0)
    """
    return (check_seed(seed) + steps) % (1 << 64)


def check_number(name: str, value: Any, wanted: str) -> float:
    """Return a real number as a float; what only looks like one (text, a bool, None) is refused.

    Raises
    ------
    BadArgument
    """
    if isinstance(value, (bool, np.bool)) or not isinstance(value, numbers.Real):
        raise BadArgument(f"{name}: {value!r} is no number but a {type(value).__name__}. Fix: {wanted}.")
    try:
        return float(value)
    except OverflowError:
        raise BadArgument(f"{name}: a number beyond 1e308. Fix: {wanted}.") from None


def check_temperature(temperature: Any) -> float:
    """Return a temperature as a float in ``[0, inf)``.

    Raises
    ------
    BadArgument
    """
    wanted = "use 0 (greedy) or a positive number"
    number = check_number("temperature", temperature, wanted)
    if not 0 <= number < math.inf:
        raise BadArgument(f"temperature: {temperature} is outside [0, inf). Fix: {wanted}.")
    return number


def check_top_p(top_p: Any) -> float:
    """Return a mass to keep as a float in (0, 1].

    Raises
    ------
    BadArgument
    """
    wanted = "give the mass to keep, such as 0.9 (1 or None keeps all)"
    number = check_number("top_p", top_p, wanted)
    if not 0 < number <= 1:
        raise BadArgument(f"top_p: {top_p} is outside (0, 1]. Fix: {wanted}.")
    return number


def check_tokens(tokens: Array, vocabulary: int, num_drafts: int, **beside: Array) -> Array:
    """Check draft lists ``[*batch k]`` of integers in ``-1 .. V-1``, on the library and device of arrays ``beside``."""
    tokens = as_tokens(tokens)
    xp = check_place(tokens=tokens, **beside)
    if not xp.isdtype(tokens.dtype, "integral"):
        raise ShapeMismatch(f"tokens: dtype {dtype_name(tokens)} is not an integer type. Fix: pass token ids.")
    if tokens.ndim == 0 or tokens.shape[-1] != num_drafts:
        raise ShapeMismatch(
            f"tokens: shape {tuple(tokens.shape)} does not end in the scheme's {num_drafts} drafts. "
            f"Fix: pass [*batch {num_drafts}], with -1 for a draft that is absent."
        )
    outside = (tokens < -1) | (tokens >= vocabulary)
    if bool(xp.any(outside)):
        where = first_index(outside)
        raise BadArgument(
            f"tokens{list(where)} = {int(tokens[where])} is outside the vocabulary of {vocabulary}. "
            f"Fix: ids run from 0 to {vocabulary - 1}; -1 means that a draft is absent."
        )
    return tokens


def check_possible(mass: Array, tokens: Array, law: str) -> None:
    """Refuse tokens that the law called so, in which they have ``mass``, cannot draw; absent ones (-1) pass.

    Raises
    ------
    BadArgument
    """
    never = (tokens >= 0) & ~(mass > 0)
    if bool(array_namespace(never).any(never)):
        where = first_index(never)
        raise BadArgument(f"tokens{list(where)} = {int(tokens[where])} has probability 0 under {law}, so it was not "
                          f"drawn from it. Fix: pass the law that the draft was drawn from.")


def check_uniforms(uniforms: Array, needed: int, **beside: Array) -> Array:
    """Check uniforms ``[*batch needed]`` in [0, 1), arrays or lists, on the library and device of ``beside``."""
    if isinstance(uniforms, (list, tuple)):
        try:
            uniforms = np.asarray(uniforms, dtype=np.float64)
        except (TypeError, ValueError):
            raise ShapeMismatch("uniforms: a list, but no array of numbers. Fix: rows of one length.") from None
    xp = check_place(uniforms=uniforms, **beside)
    if uniforms.ndim == 0 or uniforms.shape[-1] != needed:
        raise ShapeMismatch(
            f"uniforms: shape {tuple(uniforms.shape)} does not end in the {needed} numbers needed. "
            f"Fix: pass [*batch {needed}] (see num_uniforms)."
        )
    if not xp.isdtype(uniforms.dtype, ("real floating", "integral")):
        raise BadArgument(f"uniforms: dtype {dtype_name(uniforms)} holds no numbers in [0, 1). "
                          f"Fix: draw them with Generator.random.")
    if bool(xp.any(~((uniforms >= 0) & (uniforms < 1)))):
        raise BadArgument("uniforms: a value lies outside [0, 1). Fix: draw them with Generator.random.")
    return uniforms
