"""Named random families of laws and of Markov models, for tests, searches and examples.

Each family is a function of a generator and a vocabulary, so that a failing instance is named by three words:
family, size, seed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from otspec.core.checks import check_positive
from otspec.core.errors import UnknownName
from otspec.core.markov import MarkovModel
from otspec.core.names import did_you_mean

Pair = tuple[np.ndarray, np.ndarray]

TINY = 1e-12
#: pairs written by hand, of five tokens, because smaller vocabularies hide the usual mistakes
HAND: dict[str, tuple[list[float], list[float]]] = {
    "spread": ([0.30, 0.25, 0.20, 0.15, 0.10], [0.05, 0.15, 0.20, 0.25, 0.35]),
    "zeros": ([0.0, 0.5, 0.2, 0.3, 0.0], [0.4, 0.35, 0.0, 0.25, 0.0]),
    "ties": ([0.3, 0.3, 0.1, 0.1, 0.2], [0.2, 0.2, 0.2, 0.2, 0.2]),
    "disjoint": ([0.6, 0.4, 0.0, 0.0, 0.0], [0.0, 0.0, 0.5, 0.3, 0.2]),
    "one_hot_target": ([0.0, 0.0, 1.0, 0.0, 0.0], [0.1, 0.2, 0.15, 0.5, 0.05]),
    "equal": ([0.1, 0.2, 0.15, 0.5, 0.05], [0.1, 0.2, 0.15, 0.5, 0.05]),
    "short_support": ([0.1, 0.2, 0.15, 0.5, 0.05], [0.3, 0.0, 0.0, 0.7, 0.0]),
    "tiny_draft": ([0.1, 0.2, 0.15, 0.5, 0.05], [TINY, 2 * TINY, 1 - 6 * TINY, TINY, 2 * TINY]),
}


def _dirichlet(rng: np.random.Generator, size: int) -> Pair:
    """Two independent uniform points of the simplex."""
    return rng.dirichlet(np.ones(size)), rng.dirichlet(np.ones(size))


def _peaked(rng: np.random.Generator, size: int) -> Pair:
    """Most of the mass on a few tokens."""
    return rng.dirichlet(np.full(size, 0.3)), rng.dirichlet(np.full(size, 0.3))


def _zeros(rng: np.random.Generator, size: int) -> Pair:
    """About a third of the tokens missing from each law, one of them in common where there is room."""
    pair = []
    for _ in range(2):
        law = rng.dirichlet(np.ones(size)) * (rng.random(size) > 1 / 3)
        law[int(rng.integers(size))] += 0.5
        pair.append(law)
    if size > 2:
        common = int(rng.integers(size))
        pair = [law if law[common] == law.sum() else np.where(np.arange(size) == common, 0.0, law) for law in pair]
    return pair[0] / pair[0].sum(), pair[1] / pair[1].sum()


def _ties(rng: np.random.Generator, size: int) -> Pair:
    """Masses from {1, 2, 3}, so that masses and ratios repeat."""
    first, second = (rng.integers(1, 4, size).astype(np.float64) for _ in range(2))
    return first / first.sum(), second / second.sum()


def _close(rng: np.random.Generator, size: int) -> Pair:
    """A draft law within a few percent of the target."""
    target = rng.dirichlet(np.ones(size))
    draft = target * np.exp(0.05 * rng.standard_normal(size))
    return target, draft / draft.sum()


def _equal(rng: np.random.Generator, size: int) -> Pair:
    """The same law twice."""
    law = rng.dirichlet(np.ones(size))
    return law, law.copy()


def _one_hot_draft(rng: np.random.Generator, size: int) -> Pair:
    """A drafter that knows one token only."""
    return rng.dirichlet(np.ones(size)), np.eye(size)[int(rng.integers(size))]


def _decades(rng: np.random.Generator, size: int) -> Pair:
    """Masses spread over twelve orders of magnitude."""
    first, second = (10.0 ** -rng.uniform(0, 12, size) for _ in range(2))
    return first / first.sum(), second / second.sum()


FAMILIES: dict[str, Callable[[np.random.Generator, int], Pair]] = {
    "dirichlet": _dirichlet,
    "peaked": _peaked,
    "zeros": _zeros,
    "ties": _ties,
    "close": _close,
    "equal": _equal,
    "one_hot_draft": _one_hot_draft,
    "decades": _decades,
}


def random_pair(family: str, vocabulary: int, rng: np.random.Generator) -> Pair:
    """Target and draft law ``[V]`` of a named family.

    Raises
    ------
    UnknownName
        Listing the families.

    Examples
    --------
    >>> target, draft = random_pair("equal", 3, np.random.default_rng(0))
    >>> bool((target == draft).all())
    True
    """
    if family not in FAMILIES:
        raise UnknownName(f"no family is called {family!r}.{did_you_mean(family, FAMILIES)} "
                          f"Fix: one of {', '.join(FAMILIES)}.")
    return FAMILIES[family](rng, check_positive("vocabulary", vocabulary))


def named_pairs(seed: int = 0) -> dict[str, Pair]:
    """Target and draft laws by name: those written by hand, and random ones of five and six tokens.

    Examples
    --------
    >>> len(named_pairs())
    14
    """
    rng = np.random.default_rng(seed)
    found = {name: (np.asarray(target), np.asarray(draft)) for name, (target, draft) in HAND.items()}
    for family in ("dirichlet", "peaked", "close"):
        for size in (5, 6):
            found[f"{family} V={size} seed={seed}"] = random_pair(family, size, rng)
    return found


def random_models(family: str, vocabulary: int, rng: np.random.Generator, *,
                  order: int = 1) -> tuple[MarkovModel, MarkovModel]:
    """Target and draft model whose rows after each context are independent pairs of a named family.

    The target starts in a random law of contexts, so that a unique stationary law is not needed.

    Examples
    --------
    >>> random_models("dirichlet", 3, np.random.default_rng(0), order=2)[0]
    MarkovModel(order=2, vocabulary=3)
    """
    shape = (check_positive("vocabulary", vocabulary),) * (check_positive("order", order) + 1)
    pairs = [random_pair(family, vocabulary, rng) for _ in range(vocabulary**order)]
    initial = rng.dirichlet(np.ones(vocabulary**order)).reshape(shape[:-1])
    target, draft = (np.stack(laws).reshape(shape) for laws in zip(*pairs, strict=True))
    return MarkovModel(target, initial), MarkovModel(draft, initial)
