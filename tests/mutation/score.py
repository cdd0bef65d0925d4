"""The score of a mutation run, with its interval."""

from __future__ import annotations

import json
import math
from pathlib import Path

from tests.bench.harness import save
from tests.mutation.change import Mutant, judged_equivalent, key

FATES = ("killed", "survived", "equivalent", "timeout", "broken")


def counts(judged: list[tuple[Mutant, str]]) -> dict[str, int]:
    """How many mutants had each fate; of those that survived, the equivalent ones apart."""
    equivalent = judged_equivalent()
    fates = [fate if fate != "survived" or key(mutant) not in equivalent else "equivalent" for mutant, fate in judged]
    return {fate: fates.count(fate) for fate in FATES}


def report(judged: list[tuple[Mutant, str]]) -> None:
    """Print the score and the survivors."""
    equivalent, many = judged_equivalent(), counts(judged)
    telling = many["killed"] + many["survived"]
    low, high = wilson(many["killed"], telling)
    print(f"score {100 * many['killed'] / max(1, telling):.1f} % (95 %: {100 * low:.1f} to {100 * high:.1f}), "
          f"{100 * many['killed'] / max(1, telling + many['equivalent']):.1f} % with the equivalent ones: "
          + ", ".join(f"{many[fate]} {fate}" for fate in FATES))
    for mutant, fate in judged:
        if fate == "survived" and key(mutant) not in equivalent:
            print(f"  {mutant.module}:{mutant.line} {mutant.function}: {mutant.before}  ->  {mutant.after}")


def last_fates(files: list[str]) -> dict[int, list[tuple[Mutant, str]]]:
    """Mutants of each seed with the last fate that a file tells of them."""
    fates: dict[int, dict[tuple[object, ...], tuple[Mutant, str]]] = {}
    for line in (line for file in files if Path(file).exists() for line in Path(file).read_text().splitlines()):
        row = json.loads(line)
        mutant = Mutant(*row["mutant"])
        fates.setdefault(row["seed"], {})[(*key(mutant), mutant.node)] = mutant, row["fate"]
    return {seed: list(judged.values()) for seed, judged in fates.items()}


def tabulate(files: list[str], answered: list[int]) -> None:
    """Write the counts and the score of each seed, from files of judged mutants, beside the other results.

    A sample whose survivors were ``answered`` by tests says less of mutants that nobody has seen than a first look.
    """
    rows: list[dict[str, object]] = []
    for seed, judged in last_fates(files).items():
        many = counts(judged)
        telling = many["killed"] + many["survived"]
        low, high = wilson(many["killed"], telling)
        look = "again, after tests for its survivors" if seed in answered else "first"
        rows.append({"seed": seed, "look": look, **many, "score": many["killed"] / telling, "wilson_low": low,
                     "wilson_high": high, "score_with_equivalent": many["killed"] / (telling + many["equivalent"])})
    save("mutation", rows, "pytest")


def wilson(hits: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Interval of a share (Wilson 1927)."""
    if not count:
        return 0.0, 1.0
    share, spread = hits / count, z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return middle - half, middle + half
