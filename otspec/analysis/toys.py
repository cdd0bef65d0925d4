"""Every sequence-level rule on small random models, exactly, beside the certified optima of its drafts.

Rules are compared at equal target tokens: the target reads ``K L`` drafted tokens in one call, as K independent paths
of L tokens or as one path of ``K L``. Each shape has two optima. No rule that is lossless call by call exceeds the
stateless one, which block verification reaches with one path; the one-call optimum lies above it, and bounds the first
block of a text under a rule that carries a state, which such a rule pays for in later blocks.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from otspec.analysis.block_optimum import block_optimum
from otspec.analysis.blocks import block_efficiency
from otspec.analysis.instances import random_models
from otspec.core.checks import check_positive, check_seed
from otspec.core.errors import BadArgument
from otspec.core.markov import MarkovModel
from otspec.core.table import Table
from otspec.verifiers import list_verifiers

# vocabulary and tokens per path: with two paths, 0.2 s per toy for all rules and optima
SHAPES = ((2, 3), (3, 2))
# not among them: families in which all rules are alike, because the draft is the target or knows one token only
FAMILIES = ("dirichlet", "close", "ties", "peaked", "zeros")
# rules that the others are measured against on the same drafts: by one path, by several
LEAVES_FIRST = ("block", "traversal")
TOKEN_BY_TOKEN = ("token_wise", "optimal_walk")


@dataclass(frozen=True)
class Toy:
    """One random instance, named by its family, size and seed.

    Attributes
    ----------
    family : str
        Of `otspec.analysis.instances`.
    vocabulary, length : int
        Tokens, and tokens of each of several paths.
    seed : int
    """

    family: str
    vocabulary: int
    length: int
    seed: int

    def models(self) -> tuple[MarkovModel, MarkovModel]:
        """Target and draft model, of order 1."""
        return random_models(self.family, self.vocabulary, np.random.default_rng(self.seed))


def toys(count: int, seed: int = 0) -> list[Toy]:
    """Return ``count`` toys, family by family in every shape, then all again with the next seed.

    Examples
    --------
    >>> toys(2)[1]
    Toy(family='dirichlet', vocabulary=3, length=2, seed=0)
    """
    named = (Toy(family, *shape, seed + again) for again in itertools.count() for family in FAMILIES
             for shape in SHAPES)
    return list(itertools.islice(named, check_positive("count", count)))


def compare_toys(count: int = 20, *, num_paths: int = 2, seed: int = 0,
                 tick: Callable[[float], Any] = lambda amount: None) -> Table:
    """Tokens per target call of every block and tree rule on small models, by enumeration.

    Parameters
    ----------
    count : int
        Number of toys, see `toys`.
    num_paths : int
        Paths K of the tree rules, at least 2; block rules take one path of as many tokens as K paths have together.
    seed : int
        Of the first toys.
    tick : callable
        Told the part done by each toy.

    Returns
    -------
    Table
        Columns ``family, vocabulary, seed``; ``rule, paths, draft_length, target_tokens``; ``efficiency``; the
        stateless ``optimum`` and the ``one_call`` optimum of the same drafts, with the larger of their two
        ``certificate`` gaps; ``gap_percent`` of the rule to the ``optimum``, which for a rule that carries a state,
        counted in the first block of a text, is the one-call optimum; and its differences in tokens on
        the same drafts, ``to_traversal`` (to Traversal, or block verification on one path) and ``to_token_wise`` (to
        the best token rule played at each depth: `optimal_walk`, or `token_wise`), and ``to_chain``, to block
        verification on one path of as many tokens.

    Raises
    ------
    BadArgument, TooLarge

    Examples
    --------
    >>> table = compare_toys(1)
    >>> all(row["efficiency"] <= row["optimum"] + 1e-9 for row in table.rows)
    True
    """
    if check_positive("num_paths", num_paths) < 2:
        raise BadArgument("num_paths: 1, which is a chain, and chains stand beside. Fix: num_paths=2.")
    rows: list[dict[str, Any]] = []
    for toy in toys(count, check_seed(seed)):
        rows += _toy_rows(toy, num_paths)
        tick(1 / count)
    return Table(rows, {"toys": count, "seed": seed})


def _toy_rows(toy: Toy, num_paths: int) -> list[dict[str, Any]]:
    models = toy.models()
    tokens = num_paths * toy.length
    chain = _efficiencies(models, 1, tokens, "block")
    shapes = {(1, tokens): chain, (num_paths, toy.length): _efficiencies(models, num_paths, toy.length, "tree")}
    rows = []
    for (paths, length), found in shapes.items():
        best, one_call = (block_optimum(*models, length, num_paths=paths, kind=kind)
                          for kind in ("stateless", "one_call"))
        traversal, token_wise = (found[names[paths > 1]] for names in (LEAVES_FIRST, TOKEN_BY_TOKEN))
        for rule, value in found.items():
            limit = one_call.upper if "carries_state" in list_verifiers()[rule].claims else best.upper
            rows.append({"family": toy.family, "vocabulary": toy.vocabulary, "seed": toy.seed, "rule": rule,
                         "paths": paths, "draft_length": length, "target_tokens": tokens, "efficiency": value,
                         "optimum": limit, "one_call": one_call.upper, "certificate": max(best.gap, one_call.gap),
                         "gap_percent": 100 * (limit - value) / limit, "to_traversal": value - traversal,
                         "to_token_wise": value - token_wise, "to_chain": value - chain["block"]})
    return rows


def _efficiencies(models: tuple[MarkovModel, MarkovModel], paths: int, length: int, kind: str) -> dict[str, float]:
    return {rule: block_efficiency(rule, *models, length, num_paths=paths).mean
            for rule in list_verifiers(paths, kind=kind)}
