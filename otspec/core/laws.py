"""Probability laws on a vocabulary, as plain arrays ``[*batch V]``.

A *law* is a non-negative array whose last axis sums to one. Every function here runs on the array-API
namespace of its arguments, so NumPy, torch (CPU and CUDA) and ``array_api_strict`` share the same lines.
What the standard lacks (cumulative maximum, gathering with absent tokens) is defined here, once.

The one fact used everywhere: two laws can be coupled to agree with probability at most
``overlap(target, draft) = 1 - total_variation(target, draft)``, and single-draft rejection attains it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_numpy_namespace, is_torch_namespace

from otspec.core.checks import SUM_TOLERANCE, as_array, as_law, as_laws, check_temperature, dtype_name, first_index
from otspec.core.errors import BadArgument, NotALaw, ShapeMismatch
from otspec.core.names import did_you_mean
from otspec.core.truncation import check_cut, keep_top

Array = Any


def namespace(*arrays: Array) -> Any:
    """Return the array-API namespace shared by ``arrays``."""
    return array_namespace(*arrays)


def total(law: Array) -> Array:
    """Sum over the last axis, ``[*batch V] -> [*batch]``."""
    return array_namespace(law).sum(law, axis=-1)


def positive_part(values: Array) -> Array:
    """``max(values, 0)`` elementwise."""
    xp = array_namespace(values)
    return xp.where(values > 0, values, xp.zeros_like(values))


def normalize(weights: Array) -> Array:
    """Divide non-negative weights by their sum.

    Parameters
    ----------
    weights : [*batch V]
        Non-negative, finite, each row with a positive sum. Integers are welcome here.

    Returns
    -------
    [*batch V]
        Laws, in the dtype of ``weights`` (float64 for integers and lists).

    Raises
    ------
    NotALaw
        A negative, NaN or infinite weight, or a row that sums to zero.

    Examples
    --------
    >>> normalize([1, 1, 2])
    array([0.25, 0.25, 0.5 ])
    """
    xp, weights = as_array("weights", weights)
    if xp.isdtype(weights.dtype, "integral"):
        weights = xp.astype(weights, xp.float64)
    if not xp.isdtype(weights.dtype, "real floating"):
        raise NotALaw(f"weights: dtype {dtype_name(weights)} holds no weights. Fix: pass real numbers or integers.")
    as_law("weights", weights, sums_to_one=False)
    peak = xp.max(weights, axis=-1, keepdims=True)
    if bool(xp.any(peak > xp.finfo(weights.dtype).max / weights.shape[-1])):  # their sum may overflow
        weights = weights / xp.where(peak > 1, peak, xp.ones_like(peak))
    mass = total(weights)
    if bool(xp.any(mass <= 0)):
        raise NotALaw(
            "weights: a row sums to zero, so it defines no law. Fix: give at least one positive weight per row."
        )
    return weights / mass[..., None]


def overlap(target: Array, draft: Array) -> Array:
    """Largest probability with which one draft can equal the target token, ``1 - TV``.

    Parameters
    ----------
    target, draft : [*batch V]
        Laws on the same vocabulary.

    Returns
    -------
    [*batch]
        Sum of the smaller of the two masses. [leviathan2023]

    Examples
    --------
    >>> float(overlap([0.5, 0.5], [1.0, 0.0]))
    0.5
    """
    xp, target, draft = as_laws(target=target, draft=draft)
    return xp.sum(xp.minimum(target, draft), axis=-1)


def total_variation(target: Array, draft: Array) -> Array:
    """Total variation distance ``(1/2) sum |target - draft|``, ``[*batch]``.

    Examples
    --------
    >>> float(total_variation([0.5, 0.5], [1.0, 0.0]))
    0.5
    """
    xp, target, draft = as_laws(target=target, draft=draft)
    return 0.5 * xp.sum(xp.abs(target - draft), axis=-1)


def normalized_or(weights: Array, fallback: Array) -> Array:
    """Normalise each row of ``weights``; a row of zeros becomes the row of ``fallback``.

    This is the one place that says what 0/0 means in a residual: a residual without mass is never sampled,
    so any law may stand there, and a finite one keeps NaN out of everything downstream.
    """
    xp = array_namespace(weights, fallback)
    mass = xp.sum(weights, axis=-1)[..., None]
    empty = mass <= 0
    return xp.where(empty, fallback, weights / xp.where(empty, xp.ones_like(mass), mass))


def residual(target: Array, draft: Array) -> Array:
    """Law proportional to ``(target - draft)+``; ``target`` itself where the excess is zero.

    Parameters
    ----------
    target, draft : [*batch V]
        Laws on the same vocabulary.

    Returns
    -------
    [*batch V]
        The law of the token emitted after a rejection. [leviathan2023]

    Examples
    --------
    >>> residual([0.5, 0.5, 0.0], [0.25, 0.25, 0.5])
    array([0.5, 0.5, 0. ])
    """
    _, target, draft = as_laws(target=target, draft=draft)
    return normalized_or(positive_part(target - draft), target)


def cumulative_sum(law: Array) -> Array:
    """Cumulative sums along the last axis, carried in float64."""
    xp = array_namespace(law)
    return xp.cumulative_sum(xp.astype(law, xp.float64), axis=-1)


def cumulative_maximum(values: Array) -> Array:
    """Running maximum along the last axis (missing from the array standard)."""
    xp = array_namespace(values)
    if is_numpy_namespace(xp):
        return np.maximum.accumulate(values, axis=-1)
    if is_torch_namespace(xp):
        return values.cummax(dim=-1).values
    size, shift = values.shape[-1], 1
    while shift < size:  # doubling: each round covers twice the distance to the left
        head = values[..., :shift]
        values = xp.concat([head, xp.maximum(values[..., shift:], values[..., :-shift])], axis=-1)
        shift *= 2
    return values


def one_hot(tokens: Array, size: int, dtype: Any) -> Array:
    """Indicator rows ``[*batch size]`` of ``tokens`` ``[*batch]``; an absent token (-1) gives a row of zeros."""
    xp = array_namespace(tokens)
    ids = xp.arange(size, dtype=tokens.dtype, device=tokens.device)
    return xp.astype(tokens[..., None] == ids, dtype)


def take(values: Array, index: Array) -> Array:
    """Entries of the last axis at ``index``, none of it negative: ``take_along_axis`` in one step of torch."""
    xp = array_namespace(values, index)
    return values.gather(-1, index) if is_torch_namespace(xp) else xp.take_along_axis(values, index, axis=-1)


def at(law: Array, tokens: Array) -> Array:
    """Mass of ``tokens`` ``[*batch n]`` under ``law`` ``[*batch V]``; zero for absent tokens (-1)."""
    xp = array_namespace(law, tokens)
    present = tokens >= 0
    safe = xp.astype(xp.where(present, tokens, xp.zeros_like(tokens)), xp.int64)
    law = xp.broadcast_to(law, (*safe.shape[:-1], law.shape[-1]))
    mass = take(law, safe)
    return xp.where(present, mass, xp.zeros_like(mass))


def draw(law: Array, uniform: Array) -> Array:
    """Token at the ``uniform`` quantile of each law (inverse cumulative sum in float64).

    Parameters
    ----------
    law : [*batch V]
        Laws; rows need not be exactly normalised.
    uniform : [*batch]
        Numbers in [0, 1).

    Returns
    -------
    [*batch] int64
        A token of positive mass.

    Examples
    --------
    >>> int(draw(np.array([0.0, 0.5, 0.5]), np.array(0.25)))
    1
    """
    try:
        xp = array_namespace(law, uniform)
        if not xp.isdtype(law.dtype, "real floating") or not xp.isdtype(uniform.dtype, "real floating"):
            raise TypeError("dtype")
        cdf = cumulative_sum(law)
        mass = cdf[..., -1:]
        if is_numpy_namespace(xp):  # elsewhere a device would have to wait
            if not np.isfinite(mass).all():
                raise NotALaw("law: NaN or infinite masses. Fix: pass a law, finite and of sum one.")
            if not np.isfinite(uniform).all():
                raise BadArgument("uniform: NaN or infinite. Fix: numbers in [0, 1), such as Generator.random gives.")
        level = xp.astype(uniform, xp.float64)[..., None] * mass
        # `cdf < mass` keeps a level that rounded up to the total from running past the last positive token
        return xp.sum(xp.astype((cdf <= level) & (cdf < mass), xp.int64), axis=-1)
    except (TypeError, ValueError, IndexError, RuntimeError, AttributeError) as error:
        raise _undrawable(law, uniform) or error from None


def _undrawable(law: Array, uniform: Array) -> Exception | None:
    """What is wrong with arguments that could not be drawn from: nothing is checked beforehand, for speed."""
    for name, array in (("law", law), ("uniform", uniform)):
        if not hasattr(array, "dtype") or not hasattr(array, "shape"):
            return ShapeMismatch(f"{name}: {type(array).__name__} is not an array. Fix: pass a NumPy or torch array.")
        if str(array.dtype).rpartition(".")[2] not in ("float64", "float32", "float16", "bfloat16"):
            return NotALaw(f"{name}: dtype {array.dtype} holds no probabilities. Fix: pass floats.")
    if type(law) is not type(uniform):
        return ShapeMismatch(f"array libraries differ: law is {type(law).__name__}, uniform {type(uniform).__name__}. "
                             f"Fix: convert one of them.")
    if law.ndim == 0 or tuple(law.shape[:-1]) != tuple(uniform.shape):
        return ShapeMismatch(f"law {tuple(law.shape)} and uniform {tuple(uniform.shape)} do not fit. "
                             f"Fix: one uniform per law, [*batch V] and [*batch].")
    return None


def descending_order(draft: Array) -> Array:
    """Tokens by descending mass, ties by ascending id, ``[*batch V]``."""
    xp = array_namespace(draft)
    return xp.argsort(-draft, axis=-1, stable=True)


def law_from_logits(logits: Array, *, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None,
                    dtype: str = "float64") -> Array:
    """Softmax at a temperature, then top-k and top-p in that order.

    Parameters
    ----------
    logits : [*batch V]
        Any real dtype; ``-inf`` bans a token.
    temperature : float
        0 puts all mass on the largest logit (lowest id on ties).
    top_k, top_p : int, float, optional
        Keep the ``top_k`` largest, then the smallest set of largest masses that reaches ``top_p``.
    dtype : {"float64", "float32"}
        Of the computation and of the laws. Half the memory at float32, whose laws sum to one within 1e-3 at worst.

    Returns
    -------
    [*batch V]

    Raises
    ------
    NotALaw
        NaN, ``+inf``, or a row of ``-inf``.
    BadArgument
        A setting outside its range.

    Examples
    --------
    >>> law_from_logits(np.array([0.0, 0.0, -np.inf]))
    array([0.5, 0.5, 0. ])
    """
    xp, logits = as_array("logits", logits)
    temperature, (top_k, top_p) = check_temperature(temperature), check_cut(top_k, top_p)
    if dtype not in tuple(SUM_TOLERANCE):  # a list, say, is no key
        raise BadArgument(f"dtype: {dtype!r} is none of {', '.join(map(repr, SUM_TOLERANCE))}."
                          f"{did_you_mean(dtype, SUM_TOLERANCE)}")
    if logits.ndim == 0 or 0 in logits.shape or not xp.isdtype(logits.dtype, ("real floating", "integral")):
        raise NotALaw(f"logits: {logits.dtype} of shape {tuple(logits.shape)}. Fix: numbers, [*batch V] with V >= 1.")
    peak = xp.max(logits, axis=-1, keepdims=True)
    if not bool(xp.all(xp.isfinite(peak))):  # NaN and +inf are maxima too, so one pass finds all
        raise _no_law(xp, peak)
    return law_from_checked_logits(logits, temperature=temperature, top_k=top_k, top_p=top_p, dtype=dtype, peak=peak)


def law_from_checked_logits(logits: Array, *, temperature: float = 1.0, top_k: int | None = None,
                            top_p: float | None = None, dtype: str = "float64", peak: Array | None = None) -> Array:
    """`law_from_logits` of logits that are known to define laws and settings that are known to be good.

    Examples
    --------
    >>> law_from_checked_logits(np.array([0.0, 0.0, -np.inf]))
    array([0.5, 0.5, 0. ])
    """
    xp = array_namespace(logits)
    number = getattr(xp, dtype)
    if temperature == 0:
        return one_hot(xp.argmax(logits, axis=-1), logits.shape[-1], number)
    top_k, top_p = check_cut(top_k, top_p)
    return keep_top(_softmax(xp, logits, peak, temperature, number), top_k, top_p, ours=True)


def _no_law(xp: Any, peak: Array) -> NotALaw:
    where = first_index(~xp.isfinite(peak[..., 0]))
    row = f"row {list(where)}" if where else "the row"
    if bool(peak[(*where, 0)] == -xp.inf):
        return NotALaw(f"logits: {row} is -inf everywhere, so no token can be emitted. "
                       f"Fix: unban at least one token.")
    return NotALaw(f"logits: NaN or +inf found in {row}. Fix: check the model's output (half-precision overflow?).")


def _softmax(xp: Any, logits: Array, peak: Array | None, temperature: float, dtype: Any) -> Array:
    """Softmax of checked logits, ``[*batch V]``, in memory of its own; the peak is found only where it is needed."""
    narrowed = logits.dtype == xp.float64 and dtype == xp.float32
    if is_torch_namespace(xp) and temperature == 1 and not narrowed:
        return xp.softmax(logits, -1, dtype=dtype)
    peak = xp.max(logits, axis=-1, keepdims=True) if peak is None else peak
    # the peak first, where all there is may overflow to -inf, whose exponential is the zero it should be: the distance
    # of two ends of float64, float64 at float32 (a peak of 1e39 would be infinite there), a quotient by a temperature
    with np.errstate(over="ignore"):
        weights = xp.astype(logits - peak, dtype) if narrowed else xp.astype(logits, dtype) - xp.astype(peak, dtype)
        if temperature != 1:
            weights /= max(temperature, float(xp.finfo(dtype).smallest_normal))  # none that is zero at float32
    if is_torch_namespace(xp):
        return xp.softmax(weights, -1)
    weights = np.exp(weights, out=weights) if is_numpy_namespace(xp) else xp.exp(weights)
    weights /= xp.sum(weights, axis=-1, keepdims=True)
    return weights


def temper(law: Array, temperature: float) -> Array:
    """Law proportional to ``law ** (1 / temperature)``; temperature 0 keeps only the largest mass.

    Examples
    --------
    >>> temper([0.6, 0.4, 0.0], 0.0)
    array([1., 0., 0.])
    """
    xp, law = as_laws(law=law)
    if check_temperature(temperature) == 1:
        return law
    with np.errstate(divide="ignore"):
        logits = xp.log(law)
    return xp.astype(law_from_logits(logits, temperature=temperature), law.dtype)


def truncate(law: Array, *, top_k: int | None = None, top_p: float | None = None) -> Array:
    """Restrict each law to its largest masses and renormalise.

    Parameters
    ----------
    law : [*batch V]
    top_k : int, optional
        Number of tokens kept (lower id counts as larger on ties).
    top_p : float, optional
        Keep the fewest largest masses whose sum reaches ``top_p`` in (0, 1].

    Returns
    -------
    [*batch V]
        Same dtype; a set that is cut by ties keeps their lowest ids.

    Raises
    ------
    NotALaw, BadArgument

    Examples
    --------
    >>> truncate([0.5, 0.3, 0.2], top_p=0.5)
    array([1., 0., 0.])
    """
    _, law = as_laws(law=law)
    return keep_top(law, *check_cut(top_k, top_p), ours=False)
