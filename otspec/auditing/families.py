"""Instances of an audit, by family: each was chosen because some mistake shows on it and hides on its neighbours.

``equal`` shows rejections where none may be, ``disjoint`` and ``one_hot_draft`` residuals that are all of the target,
``near`` residuals of almost no mass, ``partial`` a second draft that the residual may refuse too, ``zeros`` and
``top_p`` tokens that must never come, ``ties`` and duplicates choices among equals, ``large`` a vocabulary of 151,936.
Rows of texts differ after every token, so that a row taken from the wrong place shows.
"""

from __future__ import annotations

import numpy as np

from otspec.analysis.instances import HAND, named_pairs, random_pair
from otspec.auditing.cases import Case, LargeCase, Shown, TokenCase, drafter
from otspec.auditing.texts import BlockCase, TreeCase
from otspec.core.errors import BadArgument, SchemeMismatch, UnknownName
from otspec.core.laws import temper, truncate
from otspec.core.names import did_you_mean
from otspec.core.schemes import DraftScheme, Greedy, WithoutReplacement, WithReplacement

LARGE = 151_936
KINDS = ("token", "multi", "block", "tree")
MORE = {
    "partial": ([0.45, 0.35, 0.10, 0.05, 0.05], [0.40, 0.02, 0.30, 0.20, 0.08]),
    "peaked": ([0.92, 0.02, 0.02, 0.02, 0.02], [0.02, 0.02, 0.02, 0.02, 0.92]),
    "near": ([0.201, 0.199, 0.201, 0.199, 0.2], [0.2, 0.2, 0.2, 0.2, 0.2]),
    "one_hot_draft": ([0.30, 0.25, 0.20, 0.15, 0.10], [0.0, 0.0, 0.0, 1.0, 0.0]),
}
TEXTS = ("rolled", "zeros", "dirichlet", "ties", "peaked", "one_hot_draft", "equal")
# vocabulary and length of the drafted path, or children at each depth, by family
BLOCKS = {1: ((5, 1),), 2: ((5, 2), (5, 2), (5, 1)), 3: ((3, 3), (5, 2))}
MOST_TREES = 2000


def token_pairs(seed: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Target and draft law of every small family of one position.

    Examples
    --------
    >>> len(token_pairs())
    20
    """
    found = named_pairs(seed) | {name: (np.asarray(one), np.asarray(other)) for name, (one, other) in MORE.items()}
    target, draft = found["spread"]
    found["low_temperature"] = temper(target, 0.25), temper(draft, 0.25)
    found["top_p"] = truncate(target, top_p=0.7), truncate(draft, top_p=0.9)
    return found


def token_cases(scheme: DraftScheme, show: Shown, seed: int, *, given: bool = False) -> list[Case]:
    """One position under a scheme; drafts that are ``given`` come from one-hot laws."""
    cases: list[Case] = []
    for name, (target, draft) in token_pairs(seed).items():
        if scheme.distinct and scheme.num_drafts > target.size:
            continue
        one = np.eye(draft.size)[int(draft.argmax())] if given else draft
        law = drafter(scheme, one)
        cases.append(TokenCase(name, target, np.asarray(law if law is not None else one), scheme, show))
    if not cases:
        raise SchemeMismatch(f"scheme: {scheme} draws more drafts than any instance has tokens. Fix: k <= 6.")
    return cases


def large_case(scheme: DraftScheme, show: Shown, seed: int, *, given: bool = False) -> Case:
    """Zipf-like laws of 151,936 tokens; the target is cut at a mass of .99."""
    rng = np.random.default_rng(seed)
    base = -1.1 * np.log1p(np.arange(LARGE))[rng.permutation(LARGE)]
    target, draft = (np.exp(base + rng.normal(size=LARGE)) for _ in range(2))
    target = truncate(target / target.sum(), top_p=0.99)
    draft = np.eye(LARGE)[int(draft.argmax())] if given else draft / draft.sum()
    return LargeCase(f"large V={LARGE}", target, draft, scheme, show)


def text_models(family: str, size: int, seed: int, *, given: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Rows ``[V V]`` of target and draft after each token."""
    rng = np.random.default_rng(seed)
    if family == "rolled":
        hand = [np.asarray(law)[:size] / np.sum(law[:size]) for law in HAND["spread"]]
        pairs = [(np.roll(hand[0], last), np.roll(hand[1], last)) for last in range(size)]
    else:
        pairs = [random_pair(family, size, rng) for _ in range(size)]
    target, draft = (np.stack(rows) for rows in zip(*pairs, strict=True))
    return target, np.eye(size)[draft.argmax(axis=1)] if given else draft


def block_cases(draft_length: int, show: Shown, seed: int, *, given: bool = False, ragged: bool = False) -> list[Case]:
    """Blocks of ``draft_length`` tokens, and shorter ones; ``ragged`` adds requests without any draft."""
    if not 1 <= draft_length <= 6:
        raise BadArgument(f"draft_length: {draft_length} is outside 1 .. 6, where texts can be enumerated. Fix: 2; a "
                          f"rule that is right for 3 drafts is hardly wrong for 8.")
    shapes = BLOCKS.get(draft_length, ((2, draft_length), (5, 2)))
    cases: list[Case] = []
    for place, family in enumerate(TEXTS):
        size, length = shapes[place % len(shapes)]
        models = text_models(family, size, seed + place, given=given)
        cases.append(BlockCase(f"{family} models, V={size}, {length} drafts", *models, length, show))
    if ragged:
        models = text_models("dirichlet", 5, seed + len(TEXTS), given=given)
        cases.append(BlockCase("dirichlet models, V=5, no draft", *models, 0, show))
    return cases


def tree_cases(scheme: DraftScheme, draft_length: int, show: Shown, seed: int, *, given: bool = False) -> list[Case]:
    """Trees of K independent paths, of children without replacement, of chosen ones and a draw, or without chance."""
    if not isinstance(scheme, (WithReplacement, WithoutReplacement, Greedy)):
        raise SchemeMismatch(f"scheme: trees of {scheme} are not enumerated. Fix: WithReplacement(K), "
                             f"WithoutReplacement(k) or Greedy(k).")
    width = scheme.num_drafts
    how = "given" if given else "paths" if isinstance(scheme, WithReplacement) else \
        "greedy" if isinstance(scheme, Greedy) else "without_replacement"
    cases: list[Case] = []
    for place, family in enumerate(TEXTS[:6]):
        size, length = (5, 1) if place % 2 else (3, min(draft_length, 2))
        if how == "paths":
            if size ** (length * width) > MOST_TREES:
                size, length = 3, 1
            widths, what = (width,) * length, f"{width} paths of {length}"
        else:
            widths = (min(width, size), *(2 if given else 1,) * (length - 1))
            what = f"children {widths}"
        models = text_models(family, size, seed + place)
        cases.append(TreeCase(f"{family} models, V={size}, {what}", *models, widths, how, show))
    return cases


def build_cases(kind: str, scheme: DraftScheme, draft_length: int, show: Shown, seed: int, *, given: bool,
                ragged: bool, large: bool) -> list[Case]:
    """All cases of a kind of rule.

    Raises
    ------
    UnknownName, BadArgument, SchemeMismatch
    """
    if kind == "block":
        return block_cases(draft_length, show, seed, given=given, ragged=ragged)
    if kind == "tree":
        return tree_cases(scheme, draft_length, show, seed, given=given)
    if kind not in KINDS:
        raise UnknownName(f"kind: {kind!r} is none of {', '.join(KINDS)}.{did_you_mean(kind, KINDS)} "
                          f"Fix: say what the function verifies.")
    cases = token_cases(scheme, show, seed, given=given)
    if large and not scheme.draft_axes:
        cases.append(large_case(scheme, show, seed, given=given))
    return cases
