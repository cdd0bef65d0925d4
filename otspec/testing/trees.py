"""Checks of a tree rule whose children are not independent draws: every tree of fixed widths, exactly."""

from __future__ import annotations

import itertools

import numpy as np

from otspec.analysis.instances import random_pair
from otspec.auditing.texts import drawn_trees
from otspec.core.schemes import Greedy
from otspec.core.sequence import SequenceVerifier
from otspec.core.tree import DraftTree
from otspec.testing.failure import Checks
from otspec.testing.token import EXACT

SHAPES = ((5, (3,)), (5, (2, 1)), (3, (2, 2)))  # vocabulary, children of a node at each depth
FAMILIES = ("dirichlet", "zeros", "ties", "peaked")


def check_trees(rule: SequenceVerifier, claims: frozenset[str], checks: Checks, seed: int) -> None:
    """Check the law of one verified tree, completed by the target."""
    most, how = rule.scheme.num_drafts, "greedy" if isinstance(rule.scheme, Greedy) else "without_replacement"
    for (size, shape), (place, family) in itertools.product(SHAPES, enumerate(FAMILIES)):
        widths = tuple(min(width, most) for width in shape)
        name = f"{family} laws, V={size}, children {widths}, seed={seed + place}"
        laws = _levels(family, size, len(widths), seed + place)
        text = np.zeros((size,) * (len(widths) + 1))
        for chance, tree in drawn_trees(laws[1].__getitem__, widths, how):
            rows = [_rows(level, tree, size) for level in laws]
            law = checks.ask("conditional law", name, rule.conditional, tree, *rows)
            held = all(part.min() >= -EXACT and np.abs(part.sum(axis=-1) - 1).max() <= EXACT for part in law)
            checks.require("conditional law", name, held, "what is returned is no law of node and next token",
                           tree=tree, stop=law.stop)
            for node in np.flatnonzero(law.stop):
                prefix = _prefix(tree, int(node))
                text[prefix] += chance * law.stop[node] * _completed(laws[0], prefix, law.following[node])
        target = _completed(laws[0], (), laws[0][()])
        off = np.abs(text - target)
        if "lossless" in claims:
            checks.require("lossless", name, off.max() <= EXACT, f"the law of {len(widths) + 1} emitted tokens is off "
                           f"by total variation {off.sum() / 2:.4g}")


Laws = dict[tuple[int, ...], np.ndarray]


def _levels(family: str, size: int, depth: int, seed: int) -> tuple[Laws, Laws]:
    """Target and draft law after every prefix of at most ``depth`` tokens."""
    rng = np.random.default_rng(seed)
    prefixes = [prefix for length in range(depth + 1) for prefix in itertools.product(range(size), repeat=length)]
    pairs = [random_pair(family, size, rng) for _ in prefixes]
    target, draft = (dict(zip(prefixes, laws, strict=True)) for laws in zip(*pairs, strict=True))
    return target, draft


def _prefix(tree: DraftTree, node: int) -> tuple[int, ...]:
    tokens: list[int] = []
    while node:
        tokens.append(int(tree.tokens[node]))
        node = int(tree.parents[node])
    return tuple(reversed(tokens))


def _rows(laws: Laws, tree: DraftTree, size: int) -> np.ndarray:
    return np.stack([laws[_prefix(tree, node)] for node in range(len(tree))])


def _completed(target: Laws, prefix: tuple[int, ...], following: np.ndarray) -> np.ndarray:
    """Law of the next token and of the target's text after it, up to the depth of the laws."""
    depth = max(map(len, target))
    if len(prefix) == depth:
        return following
    return np.stack([mass * _completed(target, (*prefix, token), target[(*prefix, token)])
                     for token, mass in enumerate(following)])
