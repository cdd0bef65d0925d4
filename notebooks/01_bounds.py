# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # First steps: two laws, one optimum
#
# A small *draft* model proposes tokens, a large *target* model verifies them without changing its own law.
# Given both laws at one position, how often can *any* verifier accept one of `k` drafts? otspec answers with a
# certificate: a plan that attains the number and a cut that no plan can beat.

# %%
import matplotlib.pyplot as plt
import numpy as np

import otspec as ot

target = np.array([0.30, 0.25, 0.20, 0.15, 0.10])
draft = np.array([0.05, 0.15, 0.20, 0.25, 0.35])
float(ot.overlap(target, draft))

# %% [markdown]
# With one draft the best possible acceptance is the overlap `1 - TV`. With two i.i.d. drafts it is a transport
# problem; `acceptance_bound` returns both sides.

# %%
bound = ot.acceptance_bound(target, draft, 2)
print(bound)
assert abs(float(bound.gap)) < 1e-12

# %% [markdown]
# The upper end is a *cut*: a token set H with `1 + target(H) - Pr[every draft lies in H]`. Anyone can check it.

# %%
subset = bound.cut.subset
by_hand = 1 + target[subset].sum() - draft[subset].sum() ** 2
print("H =", np.flatnonzero(subset), " value =", by_hand)
assert abs(by_hand - float(bound.upper)) < 1e-12

# %% [markdown]
# The lower end is attained by a *plan*. The linear programme gives one for small vocabularies, and its marginals
# are the two laws.

# %%
plan = ot.optimal_plan(target, draft, 2).plan
print("acceptance", plan.acceptance, " largest violation", plan.violation())
assert abs(plan.acceptance - 0.7975) < 1e-12

# %% [markdown]
# How far is every published rule from that optimum? `share` is 0 for a single draft and 1 at the optimum.

# %%
table = ot.compare(target, draft, 2)
table

# %%
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
ot.plots.compare(table, ax)
plt.show()

# %% [markdown]
# Drawing *without replacement* moves the optimum itself, and so does taking the likeliest token for certain.

# %%
for scheme in (ot.WithReplacement(2), ot.WithoutReplacement(2), ot.Greedy(2)):
    best = ot.acceptance_bound(target, draft, scheme)
    print(f"{scheme!s:28} {best}")
assert abs(float(ot.optimal_acceptance(target, draft, ot.WithoutReplacement(2))) - 0.81491327) < 1e-8

# %% [markdown]
# The optimal rule is not only a number: `optimal` plays it, exactly losslessly. Its output law is the target.

# %%
np.testing.assert_allclose(ot.output_law("optimal", target, draft, 2), target, atol=1e-14)

rng = np.random.default_rng(0)
scheme, rule, n = ot.WithReplacement(2), ot.verifier("optimal", 2), 20_000
drafts = scheme.sample(np.broadcast_to(draft, (n, 5)), rng.random((n, scheme.num_uniforms)))
verdict = rule.draw(target, draft, drafts, rng.random((n, rule.num_uniforms)))
accepted = ot.Estimate.from_samples(verdict.slot >= 0)
print("measured", accepted, " exact", float(bound.upper))
assert accepted.covers(float(bound.upper))

# %% [markdown]
# The same call works at the size of a real vocabulary, and stays certified.

# %%
size = 151_936
weights = np.exp(-1.1 * np.log1p(np.arange(size)))
large_target = ot.normalize(weights * rng.gamma(1.0, size=size))
large_draft = ot.normalize(weights * rng.gamma(1.0, size=size))
large = ot.acceptance_bound(large_target, large_draft, 8)
print(large)
assert abs(float(large.gap)) < 1e-9
