"""Fuzzing of the public entries, by hand: ``python -m tests.fuzz --n 1000000`` (a small n runs in the suite).

Input ``i`` of a seed is one call of one entry, its arguments drawn from laws, almost laws, and what users pass by
mistake. A call may return or raise an exception of `otspec.core.errors`; everything else, warnings of NumPy included,
is a finding, reported with the numbers that make it again. ``--entry NAME --at I`` shows one input.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import copy
import io
import json
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import otspec as ot
from otspec.cli import main as command
from otspec.core.trace import FORMAT
from otspec.couplings import list_couplings

Rng = np.random.Generator
ODD: tuple[Any, ...] = (
    None, True, "0.5,0.5", "", b"ab", {}, {"a": 1}, [], [[]], [0.5, "x"], [[0.5], [0.5, 0.5]], object(), float("nan"),
    1, -1, 0, 2.5, 1 + 2j, np.array([]), np.zeros((0, 3)), np.zeros((2, 0)), np.array(["a", "b"]),
    np.array([None, 1.0]),
    np.array(0.5), np.array([1, 0]), np.array([True, False]), np.array([0.5 + 0j, 0.5]), np.float16([0.5, 0.5]),
    np.array([np.inf, 0.0]), np.array([-np.inf, -np.inf]), np.datetime64("2026-01-01"), range(3), (0.5, 0.5),
    iter([1.0]),
)
NUMBERS: tuple[Any, ...] = (0, 1, 2, 3, 5, -1, 0.0, 0.5, 1.0, 1.5, -0.5, 1e-300, 1e300, float("nan"), float("inf"),
                            None, True, "2", 2**70, np.int64(2), np.float32(0.5), [1], 1j)
WORDS = ("optimal", "block", "k_seq", "lp", "", "typical", "frontier", "all", "pocket", None, 3, "ö", "naive",
         "traversal")


def pick(rng: Rng, values: Any) -> Any:
    """One of the values."""
    return values[int(rng.integers(len(values)))]


def number(rng: Rng) -> Any:
    """Mostly a small whole number."""
    return int(rng.integers(1, 4)) if rng.random() < 0.6 else pick(rng, NUMBERS)


def law(rng: Rng, size: int, batch: tuple[int, ...] = ()) -> Any:
    """A law, or what may stand in its place."""
    kind, good = rng.random(), rng.dirichlet(np.full(size, 10 ** rng.uniform(-2, 1)), size=batch or None)
    if kind < 0.5:
        return good
    if kind < 0.58:
        return good.tolist()
    if kind < 0.64:
        cut = np.where(rng.random(good.shape) < 0.5, 0.0, good)
        return cut / cut.sum(axis=-1, keepdims=True) if (cut.sum(axis=-1) > 0).all() else cut
    if kind < 0.70:
        return good.astype(pick(rng, (np.float32, np.float16, np.longdouble, np.int64, bool, object)))
    if kind < 0.88:
        bad = good.copy()
        bad[..., int(rng.integers(size))] = pick(rng, (np.nan, -1e-9, -1.0, np.inf, -np.inf, 2.0, 5e-324, 1e-17, 0.0))
        return bad
    if kind < 0.91:
        import torch

        return torch.as_tensor(good, dtype=pick(rng, (torch.float64, torch.float32, torch.float16, torch.bfloat16)))
    return pick(rng, ODD)


def pair(rng: Rng) -> tuple[Any, Any]:
    """Two laws that mostly fit together."""
    size = int(rng.integers(1, 6))
    batch = pick(rng, ((), (), (), (2,), (1,), (2, 2)))
    other = size if rng.random() < 0.95 else size + 1
    return law(rng, size, batch), law(rng, other, batch if rng.random() < 0.9 else ())


def scheme(rng: Rng) -> Any:
    """A scheme, or what may stand in its place."""
    make = pick(rng, (ot.WithReplacement, ot.WithoutReplacement, ot.Greedy, ot.Independent, ot.Hub, ot.Hybrid, ot.Joint,
                      int, None))
    if make is int or make is None:
        return number(rng) if make is int else pick(rng, (ot.Hub, "with-replacement", *NUMBERS))
    if make is ot.Hub:
        return make()
    if make is ot.Hybrid:
        return make(number(rng), number(rng))
    if make is ot.Joint:
        return make(_joint_law(rng))
    return make(number(rng))


def _joint_law(rng: Rng) -> Any:
    given = law(rng, 4)
    return given.reshape(2, 2) if isinstance(given, np.ndarray) and given.size == 4 else given


def bound_scheme(rng: Rng) -> Any:
    """As `scheme`, made so that the entry itself is what may fail."""
    try:
        return scheme(rng)
    except ot.OtspecError:
        return int(rng.integers(1, 4))


def tokens(rng: Rng, size: int, count: int) -> Any:
    """A list of drafts, or what may stand in its place."""
    if rng.random() < 0.8:
        return rng.integers(-1, size + (rng.random() < 0.1), size=pick(rng, ((count,), (2, count))))
    return pick(rng, (*ODD, [0] * count, np.zeros(count), np.full(count, 2**40)))


def coins(rng: Rng, count: int) -> Any:
    """Uniforms, or what may stand in their place."""
    if rng.random() < 0.8:
        return rng.random(pick(rng, ((count,), (2, count))))
    return pick(rng, (*ODD, [0.5] * count, np.full(count, 1.0), np.full(count, -0.1), np.full(count, np.nan)))


# -- entries: one function for each family of public names ------------------------------------------------------------


def laws(rng: Rng) -> None:
    """Functions of laws."""
    one, two = pair(rng)
    name = pick(rng, ("total_variation", "overlap", "residual", "normalize", "temper", "truncate", "law_from_logits",
                      "draw"))
    if name in ("total_variation", "overlap", "residual"):
        getattr(ot, name)(one, two)
    elif name == "normalize":
        ot.normalize(one)
    elif name == "temper":
        ot.temper(one, number(rng))
    elif name == "truncate":
        ot.truncate(one, top_k=number(rng), top_p=pick(rng, (None, *NUMBERS)))
    elif name == "law_from_logits":
        logits = 3 * one - 1 if isinstance(one, np.ndarray) and one.dtype.kind == "f" else one
        ot.law_from_logits(logits, temperature=number(rng), top_k=pick(rng, NUMBERS), top_p=pick(rng, NUMBERS))
    else:
        ot.draw(one, coins(rng, 1))


def schemes(rng: Rng) -> None:
    """Schemes: made, listed, sampled."""
    made = scheme(rng) if rng.random() < 0.5 else bound_scheme(rng)
    if not isinstance(made, ot.DraftScheme):
        made = ot.WithReplacement(made)
    draft = pair(rng)[1]
    if rng.random() < 0.5:
        made.lists(draft)
    else:
        made.sample(draft, coins(rng, made.num_uniforms if made.num_uniforms < 9 else 2))


def bounds(rng: Rng) -> None:
    """The optimum and its certificates."""
    target, draft = pair(rng)
    drafted = bound_scheme(rng)
    name = pick(rng, ("optimal_acceptance", "acceptance_bound", "winner_law", "optimal_plan", "lossy_bound", "problem"))
    if name == "lossy_bound":
        str(ot.lossy_bound(target, draft, drafted, pick(rng, NUMBERS)))
    elif name == "problem":
        ot.MembershipProblem(target, draft, drafted)
    else:
        str(getattr(ot, name)(target, draft, drafted))


def rules(rng: Rng) -> None:
    """Verification rules, lossless and lossy."""
    drafted = bound_scheme(rng)
    lossy = rng.random() < 0.3
    known = list(ot.list_lossy()) if lossy else list(ot.list_verifiers(kind="token"))
    rule = (ot.lossy if lossy else ot.verifier)(pick(rng, known) if rng.random() < 0.9 else pick(rng, WORDS), drafted)
    target, draft = pair(rng)
    count = rule.scheme.num_drafts if rule.scheme.num_drafts < 9 else 2
    what = rng.random()
    if what < 0.5 and hasattr(rule, "conditional"):
        rule.conditional(target, draft, tokens(rng, 4, count))
    elif what < 0.8 and isinstance(rule, ot.TokenVerifier):
        rule.draw(target, draft, tokens(rng, 4, count), coins(rng, rule.num_uniforms))
    elif what < 0.9:
        ot.acceptance(rule, target, draft, drafted)
    else:
        ot.output_law(rule, target, draft, drafted)


def blocks(rng: Rng) -> None:
    """Block and tree rules on rows."""
    rule = ot.verifier(pick(rng, list(ot.list_verifiers(1, kind="block"))), 1)
    size, length = int(rng.integers(1, 4)), int(rng.integers(0, 3))
    target, draft = law(rng, size, (length + 1,)), law(rng, size, (max(length, 1),))
    if rng.random() < 0.5:
        rule.conditional(target, draft, tokens(rng, size, length))
    else:
        rule.draw(target, draft, tokens(rng, size, length), coins(rng, length + 1))


def trees(rng: Rng) -> None:
    """Drafted trees."""
    count = int(rng.integers(1, 5))
    parents = [-1, *(int(rng.integers(-1, node + 1)) for node in range(1, count))]
    given = [-1, *(int(rng.integers(-1, 3)) for _ in range(count - 1))]
    parents, given = (kept if rng.random() < 0.9 else pick(rng, ODD) for kept in (parents, given))
    tree = ot.DraftTree(parents, given)
    rule = ot.verifier(pick(rng, list(ot.list_verifiers(2, kind="tree"))), 2)
    rule.conditional(tree, law(rng, 3, (count,)), law(rng, 3, (count,)))


def couplings(rng: Rng) -> None:
    """Couplings and their noise."""
    target, draft = pair(rng)
    name = pick(rng, (*list_couplings(), *WORDS))
    if rng.random() < 0.5:
        ot.agreement(name, target, draft)
    else:
        ot.coupling(name).select(target, ot.Noise(number(rng), number(rng)))


def models(rng: Rng) -> None:
    """Markov models and what is computed on them."""
    size = int(rng.integers(1, 4))
    target, draft = (ot.MarkovModel(law(rng, size, (size,)), pick(rng, (None, None, law(rng, size)))) for _ in range(2))
    ot.block_efficiency(pick(rng, ("block", "token_wise", *WORDS)), target, draft, pick(rng, (1, 2, *NUMBERS[:9])),
                        num_paths=pick(rng, (1, 1, 2)))


def tables(rng: Rng) -> None:
    """Comparison of rules, and tables."""
    target, draft = pair(rng)
    names = pick(rng, (["naive"], ["k_seq", "naive"], pick(rng, WORDS), [pick(rng, WORDS)]))
    table = ot.compare(target, draft, bound_scheme(rng), names, n=number(rng), seed=number(rng))
    table.column(pick(rng, ("rule", "acceptance", "none")))


def numbers(rng: Rng) -> None:
    """Estimates."""
    made = ot.Estimate(pick(rng, NUMBERS), pick(rng, NUMBERS), pick(rng, NUMBERS))
    made.covers(pick(rng, NUMBERS))


_FOLDER = Path(tempfile.mkdtemp(prefix="otspec-fuzz-"))


def traces(rng: Rng) -> None:
    """Traces made of laws, and trace files with some bytes changed."""
    if rng.random() < 0.3:
        target, draft = law(rng, 3, (2,)), law(rng, 3, (2,))
        made = ot.Trace.from_laws(target, draft, dtype=pick(rng, ("float16", "float32", "float64", "int8", None)),
                                  contexts=pick(rng, (None, [[1], [2]], law(rng, 2), [[1], [2, 3]])))
        made.laws(pick(rng, (0, slice(None), [0, 1])))
        made.with_temperature(number(rng)).truncated(number(rng), pick(rng, NUMBERS)).laws()
        return
    path = _FOLDER / "whole.safetensors"
    if not path.exists():
        ot.Trace.from_laws(np.full((2, 3), 1 / 3), np.full((2, 3), 1 / 3), contexts=[[1], [2]]).save(path)
    data = bytearray(path.read_bytes())
    header = int.from_bytes(data[:8], "little")
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.integers(8, 8 + header)) if rng.random() < 0.7 else int(rng.integers(len(data)))
        data[place] = pick(rng, (int(rng.integers(256)), *b'0129-"{}[],:'))
    if rng.random() < 0.2:
        data = data[: int(rng.integers(len(data)))]
    broken = _FOLDER / "broken.safetensors"
    broken.write_bytes(data)
    ot.Trace.load(broken, verify=bool(rng.random() < 0.5)).laws()


def headers(rng: Rng) -> None:
    """Trace files with a header of valid JSON that lies."""
    values: tuple[Any, ...] = (None, 0, -1, 7, 2**40, "F16", "F8", [], [0, 12], [12, 0], [2, 3], [0], {}, "x", True,
                               [-2, 3], [2**33, 3], ["a", 3], [1.5, 3], {"a": 1})
    entry = {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]}
    stated: Any = {"__metadata__": {"format": FORMAT, "provenance": "{}", "transforms": "[]", "fingerprint": "0"},
                   "target": dict(entry), "draft": entry | {"data_offsets": [12, 24]}}
    for _ in range(int(rng.integers(1, 3))):
        part = pick(rng, (*stated, "new"))
        if part in stated and isinstance(stated[part], dict) and stated[part] and rng.random() < 0.8:
            stated[part][pick(rng, (*stated[part], "other"))] = copy.deepcopy(pick(rng, values))
        else:
            stated[part] = copy.deepcopy(pick(rng, values))
    text = json.dumps(pick(rng, (stated, stated, stated, [stated], 3, None))).encode()
    broken = _FOLDER / "header.safetensors"
    broken.write_bytes(len(text).to_bytes(8, "little") + text + bytes(24))
    ot.Trace.load(broken, verify=False).laws()


def shell(rng: Rng) -> None:
    """The command line, as it is typed."""
    texts = ("0.5,0.5", "1,0", "0.2,0.3,0.5", "", ",", "a,b", "1", "-1,2", "nan,1", "0.5;0.5", "1e400,0", "/none.npy",
             ".", "2,3", "--", "0,0", "\0", "ö")
    flags = ("--json", "--quiet", "--normalize", "--scheme=hub", "--scheme=greedy", "--scheme=independent", "-k=2",
             "-k", "3", "-k=0", "-k=99", "--tv-budget=0.1", "--tv-budget=2", "--rules=naive", "--rules=", "--rules=x",
             "--threads=1", "--threads=0", "--trace=none", "--lists=2", "--seed=-1", "--contexts=0",
             "--out=/none/x.csv", "--nothing")
    arguments = [pick(rng, ("bound", "compare", "bound", "compare", "", "none", "models")),
                 *(word for name in ("--target", "--draft") if rng.random() < 0.95
                   for word in (name, pick(rng, texts))),
                 *(pick(rng, flags) for _ in range(int(rng.integers(0, 4))))]
    if arguments[0] == "compare" and not any(flag.startswith("--rules") for flag in arguments):
        arguments.append("--rules=naive")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        code = command(arguments)
    if code not in (0, 1, 2):
        raise AssertionError(f"exit code {code} of {arguments}")
    if code == 2 and "Traceback" in said.getvalue():
        raise AssertionError(f"a traceback is shown for {arguments}")


#: entries with their share of the inputs: those that are soon done are asked more often
ENTRIES: dict[str, tuple[Callable[[Rng], None], float]] = {
    "laws": (laws, 44), "schemes": (schemes, 25), "numbers": (numbers, 10), "bounds": (bounds, 3), "rules": (rules, 4),
    "blocks": (blocks, 4), "trees": (trees, 4), "couplings": (couplings, 3), "traces": (traces, 1),
    "headers": (headers, 1), "models": (models, 0.5), "tables": (tables, 0.4), "shell": (shell, 0.1),
}


def run(n: int, seed: int, only: str | None = None, seconds: float = float("inf"),
        tell: Callable[[str], None] = lambda text: None) -> tuple[int, collections.Counter, dict[str, str]]:
    """Make ``n`` inputs; return how many were made, outcomes by entry and class, and the first finding of each kind."""
    names = [only] if only else list(ENTRIES)
    shares = np.array([ENTRIES[name][1] for name in names])
    chosen = np.random.default_rng([seed, 0]).choice(len(names), size=n, p=shares / shares.sum())
    outcomes: collections.Counter = collections.Counter()
    findings: dict[str, str] = {}
    begun = time.monotonic()
    for i in range(n):
        name = names[chosen[i]]
        outcome, place = one(name, seed, i)
        outcomes[name, outcome] += 1
        if place and (kind := f"{name}: {outcome} at {place}") not in findings:
            findings[kind] = f"--entry {name} --seed {seed} --at {i}"
            tell(f"{kind}   {findings[kind]}")
        if i % 10_000 == 9_999:
            tell(f"{i + 1:,} inputs, {time.monotonic() - begun:.0f} s, {len(findings)} findings")
            if time.monotonic() - begun > seconds:
                return i + 1, outcomes, findings
    return n, outcomes, findings


def one(name: str, seed: int, i: int, show: bool = False) -> tuple[str, str]:
    """Outcome of one input, and the place in the package where it went wrong."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            ENTRIES[name][0](np.random.default_rng([seed, i + 1]))
        except ot.OtspecError as error:
            return type(error).__name__, ""
        except Exception as error:
            return _found(error, show)
    return "returned", ""


def _found(error: Exception, show: bool) -> tuple[str, str]:
    if show:
        traceback.print_exception(error)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/otspec/" in frame.filename]
    if not frames:
        return f"{type(error).__name__} of the harness: {error}", "tests.fuzz"
    return type(error).__name__, f"{frames[-1].filename.rpartition('/otspec/')[2]}:{frames[-1].lineno}"


def main() -> int:
    """Fuzz and report; exit code 1 where anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--entry", choices=list(ENTRIES))
    parser.add_argument("--at", type=int, help="only this input of the entry, with its traceback")
    given = parser.parse_args()
    if given.at is not None:
        print(*one(given.entry, given.seed, given.at, show=True))
        return 0
    made, outcomes, findings = run(given.n, given.seed, given.entry, given.seconds,
                                   lambda text: print(text, flush=True))
    by_class: collections.Counter = collections.Counter()
    for (_, outcome), count in outcomes.items():
        by_class[outcome] += count
    for outcome, count in by_class.most_common():
        print(f"{count:10,}  {outcome}")
    print(f"{made:,} inputs, {len(findings)} findings")
    for kind, how in findings.items():
        print(f"{kind}   {how}")
    return int(bool(findings))


if __name__ == "__main__":
    sys.exit(main())
