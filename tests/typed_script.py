"""A script of a user, for the type checker: what the public functions return is known by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import otspec as ot


def bounds(target: np.ndarray, draft: np.ndarray) -> str:
    """Bounds, their evidence, and a comparison."""
    bound: ot.AcceptanceBound = ot.acceptance_bound(target, draft, ot.WithoutReplacement(2))
    cut: ot.Cut = bound.cut
    plan: ot.TransportPlan | None = ot.optimal_plan(target, draft, 2, method="highs").plan
    table: ot.Table = ot.compare(target, draft, 2, ["recursive", "optimal"])
    table.to_csv(Path("table.csv"))
    names: list[str] = table.columns
    lossy: ot.LossyBound = ot.lossy_bound(target, draft, 2, tv_budget=0.02)
    budget: float = lossy.tv_budget
    bound.plot()
    return f"{cut} {plan} {names} {budget} {bound}"


def rules(target: np.ndarray, draft: np.ndarray) -> ot.Estimate:
    """Rules by name and by hand, exact and sampled."""
    rule: ot.TokenVerifier = ot.verifier("optimal", ot.WithReplacement(3))
    scheme: ot.DraftScheme = rule.scheme
    tokens = scheme.sample(draft, np.zeros((1, scheme.num_uniforms)))
    verdict: ot.Verdict = rule.draw(target, draft, tokens, np.zeros((1, rule.num_uniforms)))
    sampled: ot.Estimate = ot.sampled_acceptance("recursive", target, draft, 3, n=100, seed=0)
    low, high = sampled.interval()
    known = {name: str(entry.source) for name, entry in ot.list_verifiers().items()}
    width: float = high - low
    return ot.Estimate(width, float(verdict.token[0]), len(known))


def models(prompts: list[str], folder: Path) -> str:
    """A pair of models: decode, bound, plan, sweep."""
    pair: ot.Pair = ot.load_pair("pocket", device="cpu")
    trace: ot.Trace = ot.load_trace("pocket")
    drafts: ot.Drafter = ot.drafter("tree", widths=(3, 2))
    run: ot.DecodeRun = ot.generate(pair, prompts, verifier="traversal", drafter=drafts, max_new_tokens=8)
    measured: ot.Estimate = run.block_efficiency
    limit: ot.PathBound = ot.path_bound(pair, trace, 2, 4, contexts=4)
    answer: ot.Recommendation = ot.recommend(pair, 8, draft_cost=0.05, prompts=prompts)
    chosen: str | None = answer.verifier
    sweep: ot.Sweep = ot.decode_sweep(pair, prompts, {"draft_length": [2, 4]}, out=folder)
    texts: list[str] = [pair.decode(text) for text in run.tokens]
    return f"{measured.mean} {limit.tokens.mean} {chosen} {len(sweep)} {texts} {answer.speedup.stderr}"


def trees_and_lengths(trace: ot.Trace) -> list[str]:
    """Policies."""
    rates = ot.AcceptanceTable([[0.6, 0.1], [0.7, 0.1]], rule="traversal")
    plan: ot.TreePlan = ot.tree_policy("fitted").plan(rates, budget=8)
    rule: ot.TreeVerifier = plan.lawful("traversal")
    policy: ot.LengthPolicy = ot.length_policy("best", max_length=4)
    lengths: ot.Table = ot.compare_lengths(trace, draft_cost=0.1, policies=["fixed", policy])
    return [repr(rule), *lengths.columns]


def checks() -> int:
    """Audits, couplings and refusals."""
    def verify(target: np.ndarray, draft: np.ndarray, token: int, rng: np.random.Generator) -> int:
        return token if rng.random() * draft[token] < target[token] else int(rng.choice(len(target), p=target))

    report: ot.AuditReport = ot.audit(verify, kind="token", tv=0.05)
    passed: bool | None = report.passed
    coupling: ot.Coupling = ot.coupling("gumbel")
    noise = ot.Noise(0, 0)
    token = int(coupling.select(np.array([0.5, 0.5]), noise))
    try:
        ot.verifier("block", ot.Greedy(2))
    except ot.SchemeMismatch as error:
        message: str = str(error)
        return len(message) + token + bool(passed)
    except ot.OtspecError:
        return 2
    needed: int = ot.samples_needed(0.05)
    return needed


class Mine(ot.TokenVerifier):
    """A rule of one's own."""

    schemes = (ot.WithReplacement,)

    def _conditional(self, target: np.ndarray, draft: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        return target


def register() -> str:
    """One's own rule in the registry."""
    entry = ot.register("mine", Mine, source="here", claims="lossless", summary="the target's law")
    ot.unregister(entry.name)
    return ot.cite()
