"""Exact law of the first three tokens of a tiny pair against the texts of the real decoder, every drafter and rule.

For each lawful pair n texts of three tokens are decoded and compared with the target's law of all 125 by a chi-square
test; rare texts are pooled so that every cell expects at least 20. The false-alarm budget of one in a thousand is
shared by all pairs (Holm). The negative control, lossy on purpose, must fail by far: it says what the test can see.
"""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from scipy import stats

import otspec as ot
from otspec.core.verifier import TokenVerifier
from tests.bench.harness import save
from tests.decode import tiny

SIZE, LENGTH, PROMPT, BUDGET = 5, 3, [1, 2], 1e-3
PATHS = {"chain": ot.drafter("paths", scheme=1, draft_length=3), "paths": ot.drafter("paths", scheme=2, draft_length=3)}
TREES = {"tree": ot.drafter("tree", widths=(3, 2, 1)), "paths w/o": ot.drafter("tree", widths=(3, 1, 1)),
         "heap": ot.drafter("heap", nodes=6), "rerank": ot.drafter("rerank", nodes=6, width=2, max_depth=3)}


class Greedily(TokenVerifier):
    """Control: after a rejection the token is drawn from the target itself, not from the residual."""

    schemes = (ot.WithReplacement,)

    def _conditional(self, target: Any, draft: Any, tokens: Any) -> Any:
        keep = np.minimum(1.0, np.take_along_axis(target, tokens, -1) / np.take_along_axis(draft, tokens, -1))
        drafted = np.arange(target.shape[-1]) == tokens
        return keep * drafted + (1 - keep) * target


def lawful() -> Iterator[tuple[str, str, Any, Any]]:
    """Name of the drafts, name of the rule, drafter and verifier of every pair that the decoder takes."""
    lookup = ot.drafter("lookup", draft_length=2)
    for name, drafter in {**PATHS, "lookup": lookup, **TREES}.items():
        for rule in ot.list_verifiers():
            try:
                ot.generate(tiny.pair(size=SIZE), [PROMPT], verifier=rule, drafter=drafter, max_new_tokens=1)
            except ot.OtspecError:
                continue
            if "lossless" in ot.list_verifiers()[rule].claims and rule not in ("lp", "hierarchical"):
                yield name, rule, drafter, rule
    for scheme in (ot.WithoutReplacement(2), ot.Greedy(2), ot.Hub()):
        for rule in ot.list_verifiers(scheme, kind="token"):
            if rule != "lp" and "lossless" in ot.list_verifiers()[rule].claims:
                yield str(scheme), rule, ot.drafter("paths", scheme=scheme, draft_length=1), rule
    for rule in ("gumbel", "minhash", None):
        yield "coupled" if rule else "plain", str(rule), None, rule


def exact(pair: Any) -> np.ndarray:
    """Probability of every text, in lexicographic order."""
    texts = itertools.product(range(SIZE), repeat=LENGTH)
    return np.array([np.prod([tiny.law(pair.target, [*PROMPT, *text[:i]])[text[i]] for i in range(LENGTH)])
                     for text in texts])


def tested(pair: Any, law: np.ndarray, drafter: Any, rule: Any, count: int) -> dict[str, float]:
    """Decode, count, test."""
    run = ot.generate(pair, [PROMPT] * count, verifier=rule, drafter=drafter, draft_length=3, max_new_tokens=LENGTH,
                      stop_token=None, predict=False, batch_size=min(count, 8192))
    places = np.asarray(run.tokens) @ SIZE ** np.arange(LENGTH)[::-1]
    seen = np.bincount(places, minlength=law.size)
    rare = law * count < 20
    expected, found = (np.append(array[~rare], array[rare].sum()) for array in (law * count, seen))
    kept = expected > 0
    statistic = ((found - expected)[kept] ** 2 / expected[kept]).sum()
    return {"chi2": float(statistic), "cells": int(kept.sum()), "p": float(stats.chi2.sf(statistic, kept.sum() - 1)),
            "tv": float(0.5 * np.abs(seen / count - law).sum()), "tokens_per_call": run.block_efficiency.mean}


def main() -> None:
    """Test all pairs and the controls, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--out", default="losslessness")
    given = parser.parse_args()
    torch.set_num_threads(1)
    pair = tiny.pair(size=SIZE, draft=9, scale=1.5)
    law = exact(pair)
    control = ("chain", "control: no residual", None, Greedily(1))
    rows = []
    for drafts, name, drafter, rule in [control, *by_turns(lawful())]:
        rows.append({"drafts": drafts, "rule": name, "n": given.count, **tested(pair, law, drafter, rule, given.count)})
        judged(rows)
        save(given.out, rows, "torch", "transformers", "scipy")  # a run that is stopped keeps what it has tested


def by_turns(pairs: Iterator[Any]) -> list[Any]:
    """One pair of every kind of drafts after the other, so that a run that is stopped has seen all kinds."""
    kinds: dict[str, list[Any]] = {}
    for one in pairs:
        kinds.setdefault(one[0], []).append(one)
    return [one for turn in itertools.zip_longest(*kinds.values()) for one in turn if one is not None]


def judged(rows: list[dict[str, Any]]) -> None:
    """Compare the p-values of all pairs with their shares of the budget."""
    ordered = sorted((row for row in rows if not row["rule"].startswith("control")), key=lambda row: row["p"])
    for place, row in enumerate(ordered):  # Holm: the smallest p against the budget over all, and so on
        row["limit"] = BUDGET / (len(ordered) - place)
    for row in rows:
        row.setdefault("limit", BUDGET)
        row["passes"] = bool(row["p"] > row["limit"])


if __name__ == "__main__":
    main()
