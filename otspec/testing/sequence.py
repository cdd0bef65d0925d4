"""Checks of a sequence rule: the text of small models, exactly; verdicts on paths against the law they come from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from otspec.analysis.blocks import block_efficiency, text_law
from otspec.analysis.instances import random_models
from otspec.core.block import BlockVerifier
from otspec.core.estimate import Estimate
from otspec.core.markov import MarkovModel
from otspec.core.pathwise import path_tree
from otspec.core.schemes import WithReplacement
from otspec.core.sequence import SequenceLaw, SequenceVerifier
from otspec.testing.failure import Checks
from otspec.testing.token import EXACT, Z, check_torch, compare_shares
from otspec.testing.trees import check_trees

DRAWS = 4000
FAMILIES = ("dirichlet", "zeros", "ties", "peaked", "equal")
# vocabulary, draft length, text length by number of paths; a state makes every block of a text count
SHAPES = {1: ((5, 2, 3), (3, 3, 4)), 2: ((5, 1, 2), (3, 2, 3)), 3: ((5, 1, 2), (2, 2, 3))}
MORE = ((5, 1, 2),)
STATEFUL = ((5, 2, 3), (3, 2, 4))


def check_sequence(rule: SequenceVerifier, claims: frozenset[str], checks: Checks, seed: int) -> None:
    """Run every check of a block or tree rule on its scheme."""
    if isinstance(rule.scheme, WithReplacement):
        _check_texts(rule, claims, checks, seed)
        _check_laws(rule, checks, seed)
        if not rule.stateful:
            _check_paths(rule, claims, checks, seed)
        if isinstance(rule, BlockVerifier):
            _check_rows(rule, claims, checks, seed)
    else:
        check_trees(rule, claims, checks, seed)


def _check_texts(rule: SequenceVerifier, claims: frozenset[str], checks: Checks, seed: int) -> None:
    paths = rule.scheme.num_drafts
    shapes = STATEFUL if rule.stateful else SHAPES.get(paths, MORE)
    for (size, draft_length, length), (place, family) in itertools.product(shapes, enumerate(FAMILIES)):
        name = f"{family} models, V={size}, {paths} x {draft_length}, seed={seed + place}"
        models = random_models(family, size, np.random.default_rng(seed + place))
        emitted = checks.ask("text", name, lambda pair=models, drafted=draft_length, wanted=length: text_law(
            rule, pair[0], pair[1], wanted, draft_length=drafted, num_paths=paths))
        if "lossless" in claims:
            off = np.abs(emitted - models[0].text_law(length))
            where = np.unravel_index(int(off.argmax()), off.shape)
            checks.require("lossless", name, off.max() <= EXACT, f"the law of {length} emitted tokens is off by total "
                           f"variation {off.sum() / 2:.4g}", text=tuple(map(int, where)),
                           emitted=float(emitted[where]), target=float(models[0].text_law(length)[where]))
        if "reflexive" in claims and family == "equal":
            tokens = block_efficiency(rule, *models, draft_length, num_paths=paths).mean
            checks.require("reflexive", name, abs(tokens - draft_length - 1) <= EXACT,
                           "with the target as draft model some tokens are refused", tokens_per_block=tokens)


def drawn_paths(models: tuple[MarkovModel, MarkovModel], paths: int, length: int, count: int,
                rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows ``[n K L+1 V]``, ``[n K L V]`` and tokens ``[n K L]`` of paths drawn from the draft model."""
    target, draft = models
    contexts = [np.repeat(rng.choice(target.vocabulary, size=(count, 1), p=target.initial), paths, axis=1)]
    for _ in range(length):
        below = np.cumsum(draft.rows[contexts[-1]], axis=-1)
        drawn = (rng.random((count, paths, 1)) >= below / below[..., -1:]).sum(axis=-1)
        contexts.append(drawn)
    at = np.stack(contexts, axis=-1)
    return target.rows[at], draft.rows[at[..., :-1]], at[..., 1:]


def _examples(rule: SequenceVerifier, seed: int, count: int) -> Iterator[tuple[str, tuple[np.ndarray, ...]]]:
    for family in ("dirichlet", "zeros"):
        rng = np.random.default_rng(seed)
        models = random_models(family, 5, rng)
        yield f"{family} models, V=5, seed={seed}", drawn_paths(models, rule.scheme.num_drafts, 2, count, rng)


def _check_laws(rule: SequenceVerifier, checks: Checks, seed: int) -> None:
    for name, batch in _examples(rule, seed, 20):
        for rows in zip(*batch, strict=True):
            merged = path_tree(*rows)
            law = checks.ask("conditional law", name, SequenceVerifier.conditional, rule, merged.tree, merged.target,
                             merged.draft)
            held = all(part.min() >= -EXACT and np.abs(part.sum(axis=-1) - 1).max() <= EXACT for part in law)
            checks.require("conditional law", name, held, "what is returned is no law of node and next token",
                           paths=rows[2].tolist(), stop=law.stop, following_sums=law.following.sum(axis=-1))
            if not rule.order_matters:
                _check_order(rule, checks, name, rows, law)


def _check_order(rule: SequenceVerifier, checks: Checks, name: str, rows: tuple[np.ndarray, ...],
                 law: SequenceLaw) -> None:
    """The same paths drawn in the opposite order, where the rule declares that it does not matter."""
    one, other = path_tree(*rows), path_tree(*(part[::-1] for part in rows))
    swapped = SequenceVerifier.conditional(rule, other.tree, other.target, other.draft)
    mine, theirs = one.nodes[::-1].ravel(), other.nodes.ravel()
    off = np.abs((law.stop[:, None] * law.following)[mine] - (swapped.stop[:, None] * swapped.following)[theirs]).max()
    checks.require("order_matters", name, off <= EXACT, "the order of siblings matters, although the rule declares "
                   "that it does not. Fix: order_matters = True", paths=rows[2].tolist(), distance=off)


def _check_paths(rule: SequenceVerifier, claims: frozenset[str], checks: Checks, seed: int) -> None:
    """Verdicts of the form for many texts: as the definition says, alone as in a batch, on tensors as on arrays."""
    width, rng = rule.num_uniforms(2), np.random.default_rng(seed + 1)
    for name, batch in _examples(rule, seed, 12):
        coins = rng.random((12, width))
        whole = checks.ask("draw", name, rule.draw_paths, *batch, coins)
        for row in range(0, 12, 4):
            target, draft, tokens = (part[row] for part in batch)
            alone = rule.draw_paths(target, draft, tokens, coins[row])
            checks.require("batches", name, all(int(one) == int(part[row]) for one, part in zip(alone, whole,
                           strict=True)), "one text alone is judged otherwise than in a batch")
        if "numpy_only" not in claims:
            check_torch(checks, name, "verdict", rule.draw_paths, *batch, coins)
            check_torch(checks, name, "expected number of tokens", rule.expected_paths, *batch, coins)
        _check_draws(rule, checks, name, [part[:1] for part in batch], rng)
    models = random_models("dirichlet", 3, np.random.default_rng(seed))
    paths = rule.scheme.num_drafts
    if 3.0 ** (2 * paths) > 1e4:
        return
    drawn = drawn_paths(models, paths, 2, DRAWS, rng)
    found = Estimate.from_samples(np.asarray(rule.expected_paths(*drawn, rng.random((DRAWS, width)))))
    exact = block_efficiency(rule, *models, 2, num_paths=paths).mean - 1
    held = found.covers(exact, z=Z) or abs(found.mean - exact) < EXACT
    checks.require("expected_paths", "dirichlet models, V=3", held,
                   "the estimate of the tokens kept is biased", estimate=str(found), exact=exact)


def _check_draws(rule: SequenceVerifier, checks: Checks, name: str, one: list[np.ndarray],
                 rng: np.random.Generator) -> None:
    merged = path_tree(*(part[0] for part in one))
    law = SequenceVerifier.conditional(rule, merged.tree, merged.target, merged.draft)
    exact = law.stop[:, None] * law.following
    # the tree does not say in which order its copies were drawn: every order that makes the same tree, equally often
    orders = [list(order) for order in itertools.permutations(range(one[2].shape[1]))
              if _same(path_tree(*(part[0][list(order)] for part in one)).tree, merged.tree)]
    order = np.asarray(orders)[rng.integers(len(orders), size=DRAWS)]
    many = [part[0][order] for part in one]
    verdict = checks.ask("draw", name, rule.draw_paths, *many, rng.random((DRAWS, rule.num_uniforms(2))))
    nodes = merged.nodes[order[np.arange(DRAWS), np.asarray(verdict.path)], np.asarray(verdict.accepted)]
    seen = np.zeros_like(exact)
    np.add.at(seen, (nodes, np.asarray(verdict.token)), 1 / DRAWS)
    compare_shares(checks, "draw", name, seen, exact, DRAWS)


def _same(one: object, other: object) -> bool:
    return all(np.array_equal(getattr(one, part), getattr(other, part)) for part in ("parents", "tokens"))


def _check_rows(rule: BlockVerifier, claims: frozenset[str], checks: Checks, seed: int) -> None:
    """Chains as rows: the same law as the tree of one path, for every row of a batch and on tensors."""
    for name, batch in _examples(rule, seed, 13):
        target, draft, tokens = (part[:, 0] for part in batch)
        law = checks.ask("chains", name, rule.conditional, target, draft, tokens)
        checks.require("chains", name, np.shape(law.stop) == (13, 3) and np.shape(law.following) == (13, 3, 5),
                       f"shapes {np.shape(law.stop)} and {np.shape(law.following)} for 13 paths of 2 tokens")
        for row in range(13):
            alone = rule.conditional(target[row], draft[row], tokens[row])
            off = np.abs(alone.stop[:, None] * alone.following - law.stop[row][:, None] * law.following[row]).max()
            checks.require("chains", name, off <= EXACT, "one path alone is judged otherwise than in a batch",
                           distance=off)
        if "numpy_only" not in claims:
            check_torch(checks, name, "law of the verdict", rule.conditional, target, draft, tokens)
