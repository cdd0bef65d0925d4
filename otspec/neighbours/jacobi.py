"""Speculative Jacobi decoding: the target drafts for itself, by sampling again from laws with stale contexts.

Definitions. Behind the text stands a *window* of W drafted tokens ``x_1 .. x_W``, each with the law ``q_i`` that it was
drawn from. One target call reads the window and gives ``p_1 .. p_{W+1}``, the target's laws after the text and
``x_1 .. x_{i-1}``. Every position gets a new token ``y_i`` of law ``p_i``, coupled with ``x_i``; the *kept* tokens are
those before the first ``y_i != x_i``, and the call emits them and the token after them. The rest of y, whose contexts
are stale now, is the next window, and p its stored laws; a *fill* makes up the missing tokens. Three couplings:

* ``independent`` [sjd]: single-draft rejection, ``x_i`` is kept with probability ``min(1, p_i(x_i) / q_i(x_i))``, up to
  the first rejection; the positions after it are drawn afresh.
* ``maximal``: single-draft rejection at every position, so that a stale token survives where its law hardly moved.
* ``gumbel``: ``y_i`` is the winner of an exponential race on noise that belongs to the absolute position. The text is
  the fixed point of plain Jacobi iteration and does not depend on window or fill.

Theorem. All three emit exactly the target's law. Let G_i be everything known of the positions before i, in all
iterations so far. The laws ``q_i`` (from the iteration before) and ``p_i`` are functions of G_i, and given G_i the
token ``x_i`` has law ``q_i``: drawn so at first, and since a coupling gives ``y_i`` the law ``p_i`` given G_i, so again
in the next iteration. The emitted ``y_i`` therefore has law ``p_i`` given G_i, and its context is the emitted text. It
is the *stored* law that matters: any other in place of ``q_i`` breaks the second step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from otspec.analysis.blocks import same_order
from otspec.core.checks import check_positive, check_seed
from otspec.core.errors import BadArgument
from otspec.core.estimate import Estimate
from otspec.core.laws import draw
from otspec.core.markov import MarkovModel, check_models
from otspec.core.names import did_you_mean
from otspec.core.noise import Noise
from otspec.couplings import coupling as coupling_of
from otspec.verifiers import verifier

Array = Any
Reader = Callable[[np.ndarray, np.ndarray, int], np.ndarray]  # text [B n], ends [B], count -> laws [B count V]
COUPLINGS = ("independent", "maximal", "gumbel")
FILLS = ("random", "repeat", "draft")


@dataclass(frozen=True)
class JacobiRun:
    """Texts of a run and the target calls that each took.

    Attributes
    ----------
    texts : [n length] int
        Emitted tokens, cut to one length.
    calls : [n] int
        Target calls until at least ``length`` tokens were emitted.
    settings : dict
        Arguments of the run.
    """

    texts: np.ndarray
    calls: np.ndarray
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def calls_per_token(self) -> Estimate:
        """Target calls per token of the text: 1 for plain decoding, at best ``1 / (window + 1)``."""
        if len(self.calls) < 2:
            raise BadArgument("n: one text, and a standard error needs at least 2. Fix: decode more, or read `calls`.")
        return Estimate.from_samples(self.calls / self.texts.shape[1])


def jacobi(target_model: MarkovModel, window: int, *, length: int, n: int, seed: int, coupling: str = "maximal",
           fill: str = "random", draft_model: MarkovModel | None = None) -> JacobiRun:
    """Emit texts by speculative Jacobi decoding.

    Parameters
    ----------
    target_model : MarkovModel
    window : int
        Drafted tokens W that one target call reads.
    length : int
        Tokens of each text.
    n : int
        Texts.
    seed : int
    coupling : {"maximal", "independent", "gumbel"}
        Of a position's tokens in consecutive iterations.
    fill : {"random", "repeat", "draft"}
        New tokens at the end of the window: uniform, a copy of the token before, or drawn from ``draft_model``.
    draft_model : MarkovModel, optional
        For ``fill="draft"`` only.

    Returns
    -------
    JacobiRun

    Raises
    ------
    BadArgument, ShapeMismatch

    Examples
    --------
    >>> run = jacobi(MarkovModel.memoryless([0.0, 1.0]), 3, length=8, n=2, seed=0, fill="repeat")
    >>> run.texts[0], run.calls
    (array([1, 1, 1, 1, 1, 1, 1, 1]), array([2, 2]))
    """
    target, draft = checked_models(target_model, fill, draft_model)
    count, rng = check_positive("n", n), np.random.default_rng(check_seed(seed))
    flat = draw(np.broadcast_to(target.initial.reshape(-1), (count, target.initial.size)), rng.random(count))
    contexts = np.stack(np.unravel_index(flat, target.initial.shape), axis=-1)
    ends = np.full(count, target.order)
    seeds = rng.integers(0, 2**62, count)
    loop = Loop(toy_reader(target), target.vocabulary, window, length, coupling, fill,
                None if draft is None else toy_reader(draft))
    texts, calls = loop.run(contexts, ends, rng, seeds)
    return JacobiRun(texts, calls, {"window": loop.window, "coupling": coupling, "fill": fill, "seed": seed})


def toy_reader(model: MarkovModel) -> Reader:
    """Laws of ``count`` tokens from position ``ends`` on, each after all tokens before it."""

    def read(text: np.ndarray, ends: np.ndarray, count: int) -> np.ndarray:
        places = ends[:, None, None] + np.arange(count)[:, None] + np.arange(-model.order, 0)
        return model.next_law(text[np.arange(len(text))[:, None, None], places])

    return read


class Loop:
    """Jacobi iterations on rows of different length, whatever model gives the laws."""

    def __init__(self, read: Reader, vocabulary: int, window: int, length: int, coupling: str, fill: str,
                 read_draft: Reader | None) -> None:
        check_names(coupling, fill)
        self.read, self.read_draft = read, read_draft
        self.vocabulary, self.coupling, self.fill = vocabulary, coupling, fill
        self.window, self.length = check_positive("window", window), check_positive("length", length)

    def run(self, prompts: np.ndarray, ends: np.ndarray, rng: np.random.Generator, seeds: np.ndarray,
            tick: Callable[[int], Any] = lambda texts: None) -> tuple[np.ndarray, np.ndarray]:
        """Emit after every prompt ``[n longest]``, whose tokens end before ``ends``; return texts and calls."""
        room = self.length + 2 * self.window + 1
        text = np.concatenate([prompts, np.zeros((len(prompts), room), dtype=np.int64)], axis=1)
        start, end, calls = ends.copy(), ends.copy(), np.zeros(len(ends), dtype=np.int64)
        stored = np.zeros((len(text), self.window, self.vocabulary))
        carried, active = np.zeros(len(text), dtype=np.int64), np.arange(len(text))
        while active.size:
            rows, stops, noise = text[active], end[active], seeds[active]
            stored = self._filled(rows, stops, carried, stored, rng, noise)
            kept, current = self._iterate(rows, stops, stored, rng, noise)
            text[active], calls[active] = rows, calls[active] + 1
            end[active] += kept + 1
            going = end[active] - start[active] < self.length
            tick(int((~going).sum()))
            stored = moved_on(current, kept)[going]
            carried, active = (self.window - kept)[going], active[going]
        return np.take_along_axis(text, start[:, None] + np.arange(self.length), axis=1), calls

    def _filled(self, text: np.ndarray, end: np.ndarray, carried: np.ndarray, stored: np.ndarray,
                rng: np.random.Generator, seeds: np.ndarray) -> np.ndarray:
        """Make up the slots from ``carried`` on, in ``text`` itself; return the stored laws of the whole window."""
        for slot in range(self.window):
            rows, uniforms = np.flatnonzero(carried <= slot), rng.random(len(text))
            if rows.size:
                places = end[rows] + slot
                law = self._fill_law(text[rows], places)
                stored[rows, slot] = law
                text[rows, places] = self._select(law, uniforms[rows], seeds[rows], places)
        return stored

    def _fill_law(self, text: np.ndarray, places: np.ndarray) -> np.ndarray:
        if self.read_draft is not None:
            return self.read_draft(text, places, 1)[:, 0]
        previous = text[np.arange(len(text)), places - 1]
        return fill_law(self.fill, previous, self.vocabulary)

    def _select(self, law: np.ndarray, uniforms: np.ndarray, seeds: np.ndarray, places: np.ndarray) -> np.ndarray:
        if self.coupling == "gumbel":
            return coupling_of("gumbel").select(law, Noise(seeds, places))
        return draw(law, uniforms)

    def _iterate(self, text: np.ndarray, end: np.ndarray, stored: np.ndarray, rng: np.random.Generator,
                 seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Put the new tokens into ``text``; return the number kept and the laws they were drawn from."""
        places = end[:, None] + np.arange(self.window + 1)
        stale = np.take_along_axis(text, places[:, :-1], axis=1)
        current = self.read(text, end, self.window + 1)
        uniforms = rng.random((2, *places.shape))
        if self.coupling == "gumbel":
            fresh = self._select(current, uniforms[0], seeds[:, None], places)
        else:
            fresh = draw(judged(stale, stored, current), uniforms[0])
        kept = np.cumprod(fresh[:, :-1] == stale, axis=1).sum(axis=1)
        if self.coupling == "independent":
            beyond = np.arange(self.window + 1) > kept[:, None]
            fresh = np.where(beyond, draw(current, uniforms[1]), fresh)
        np.put_along_axis(text, places, fresh, axis=1)
        return kept, current


def judged(stale: Array, stored: Array, current: Array) -> np.ndarray:
    """Law of every new token given the stale one, under the maximal coupling of the two laws.

    Parameters
    ----------
    stale : [*batch W] int
        Drafted tokens.
    stored : [*batch W V]
        Laws that they were drawn from.
    current : [*batch W+1 V]
        Laws of the positions now.

    Returns
    -------
    [*batch W+1 V]
        Single-draft rejection at each position; the last one has no draft.

    Examples
    --------
    >>> judged(np.array([0]), np.array([[1.0, 0.0]]), np.array([[0.25, 0.75], [0.5, 0.5]]))
    array([[0.25, 0.75],
           [0.5 , 0.5 ]])
    """
    verdict = verifier("single_draft", 1).conditional(current[..., :-1, :], stored, stale[..., None])
    return np.concatenate([verdict, current[..., -1:, :]], axis=-2)


def moved_on(laws: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Laws ``[n W+1 V]`` of a window, seen from the next one ``[n W V]``; slots to be filled hold anything."""
    places = kept[:, None] + 1 + np.arange(laws.shape[1] - 1)
    return np.take_along_axis(laws, np.minimum(places, laws.shape[1] - 1)[..., None], axis=1)


def fill_law(fill: str, previous: Array, vocabulary: int) -> np.ndarray:
    """Law ``[*batch V]`` of a new token after ``previous`` ``[*batch]``, without a draft model.

    Examples
    --------
    >>> fill_law("repeat", np.array(1), 3)
    array([0., 1., 0.])
    """
    if fill == "repeat":
        return np.eye(vocabulary)[previous]
    return np.full((*np.shape(previous), vocabulary), 1.0 / vocabulary)


def check_names(coupling: str, fill: str) -> None:
    """Refuse an unknown coupling or fill."""
    for name, value, known in (("coupling", coupling, COUPLINGS), ("fill", fill, FILLS)):
        if value not in known:
            raise BadArgument(f"{name}: {value!r} is none of {', '.join(map(repr, known))}."
                              f"{did_you_mean(value, known)}")


def checked_models(target_model: MarkovModel, fill: str,
                   draft_model: MarkovModel | None) -> tuple[MarkovModel, MarkovModel | None]:
    """Models of one order; the draft model is there if and only if the fill asks for it."""
    if (fill == "draft") != (draft_model is not None):
        raise BadArgument(f"draft_model: {'missing' if draft_model is None else 'given'} with fill={fill!r}. "
                          f"Fix: fill='draft' goes with a draft_model, the other fills without.")
    if draft_model is None:
        check_models(target_model, target_model)
        return target_model, None
    check_models(target_model, draft_model)
    return same_order(target_model, draft_model)
