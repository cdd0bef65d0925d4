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
# # Two parties who do not talk
#
# A drafter with law `draft` and a verifier with law `target` each select a token. Neither sees the other's law, but
# both read the same random numbers. How often do they select the same token?

# %%
import itertools
import warnings

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import linprog

import otspec as ot

warnings.filterwarnings("ignore", message="IProgress")  # widgets are not needed here

target = np.array([0.30, 0.25, 0.20, 0.15, 0.10])
draft = np.array([0.05, 0.15, 0.20, 0.25, 0.35])
table = ot.compare_couplings(target, draft)
table

# %% [markdown]
# `lower` is what a coupling promises from the total variation alone, `upper` what no coupling of its kind can exceed.
# The order *MinHash ≤ Gumbel ≤ ceiling* holds for every pair of laws, and a shared uniform promises nothing.
# A call decides for one party, with its own law and the noise of a position:

# %%
noise = ot.Noise(7, np.arange(100_000))
race = ot.coupling("gumbel")
same = ot.Estimate.from_samples(race.select(target, noise) == race.select(draft, noise))
exact = float(ot.agreement("gumbel", target, draft))
print("measured", same, " exact", round(exact, 6))
assert same.covers(exact)

lower, upper = (float(bound) for bound in race.bounds(target, draft))
minhash = float(ot.agreement("minhash", target, draft))
assert lower <= minhash <= exact <= upper
assert float(ot.agreement("shared_uniform", target, draft)) < lower

# %% [markdown]
# ## What no protocol can beat
#
# Let law i be uniform on all tokens but i. A protocol is a random function from laws to tokens, so the best promise
# over all pairs is a linear programme with one variable per function. Its value is the promise of Gumbel and MinHash.

# %%
n = 4
laws = (1 - np.eye(n)) / (n - 1)
functions = [f for f in itertools.product(range(n), repeat=n) if all(x != i for i, x in enumerate(f))]
marginals = [[float(f[i] == x) for f in functions] + [0.0] for i in range(n) for x in range(n)]
promises = [[-float(f[i] == f[j]) for f in functions] + [1.0] for i, j in itertools.combinations(range(n), 2)]
best = -linprog([0.0] * len(functions) + [-1.0], A_ub=promises, b_ub=[0.0] * len(promises), A_eq=marginals,
                b_eq=laws.ravel(), method="highs").fun
print("best protocol", best, " gumbel", float(ot.agreement("gumbel", laws[0], laws[1])))
assert abs(best - (n - 2) / n) < 1e-9
assert abs(float(ot.agreement("gumbel", laws[0], laws[1])) - best) < 1e-9

# %% [markdown]
# ## What a few bits buy
#
# If the parties may exchange about `2 log2(V) + 2 log2(V / epsilon)` bits, they reach the ceiling but for `epsilon`.

# %%
rule = ot.coupling("communicated", epsilon=0.01)
runs = rule.couple(target, draft, ot.Noise(0, np.arange(50_000)))
counted = ot.Estimate.from_samples(runs.bits)
print("bits", counted, " expected", float(ot.bits(rule, target, draft)), " bound", round(rule.bits_bound(5), 2))
assert counted.covers(float(ot.bits(rule, target, draft)))
assert float(ot.bits(rule, target, draft)) <= rule.bits_bound(5)
assert float(rule.agreement(target, draft)) >= upper - 0.01

# %% [markdown]
# ## Lists
#
# A drafter may send k tokens. With k *sheets* of clocks (`list_gumbel`) the drafts are k independent draws; with the
# first k of *one* race (`gumbel`) they are draws without replacement, and the target's token does not depend on k.

# %%
sizes = (1, 2, 3, 4)
curves = {
    "optimum, without replacement": [float(ot.optimal_acceptance(target, draft, ot.WithoutReplacement(k)))
                                     for k in sizes],
    "first k of one race": [float(ot.agreement("gumbel", target, draft, k=k)) for k in sizes],
    "optimum, with replacement": [float(ot.optimal_acceptance(target, draft, k)) for k in sizes],
    "k sheets of clocks": [float(ot.coupling("list_gumbel", num_drafts=k).agreement(target, draft)) for k in sizes],
}
fig, ax = plt.subplots(figsize=(4.6, 3.0), layout="constrained")
for (label, values), style in zip(curves.items(), ("k--", "o-", "k:", "s-"), strict=True):
    ax.plot(sizes, values, style, label=label)
ax.set(xlabel="number of drafts k", ylabel="Pr[target's token was drafted]", xticks=sizes)
ax.legend(fontsize=8)
plt.show()

drawn = race.select_list(draft, noise, 3)
hit = ot.Estimate.from_samples((drawn == race.select(target, noise)[:, None]).any(axis=1))
assert hit.covers(curves["first k of one race"][2])
assert curves["first k of one race"][3] > curves["k sheets of clocks"][3] + 0.1

# %% [markdown]
# ## Drafter-invariant decoding
#
# The decoder keys the noise by seed and absolute position, so a text is a function of seed and target: drafter, draft
# length, batch and number of drafts decide about speed alone.

# %%
prompts = ["def main():", "import os\n", "class Reader:", "for line in"]
settings = {"max_new_tokens": 32, "stop_token": None, "seed": 1, "predict": False}
texts = {}
for name, scheme, length in (("pocket", 1, 0), ("pocket", 1, 4), ("pocket-small", 1, 2),
                             ("pocket", ot.WithoutReplacement(4), 3)):
    run = ot.generate(ot.load_pair(name), prompts, verifier="gumbel", scheme=scheme, draft_length=length, **settings)
    texts[name, str(scheme), length] = run.tokens
    print(f"{name:13} {scheme!s:24} length {length}: {run.block_efficiency}")
alone, *others = texts.values()
assert all(text == alone for text in others)

# %% [markdown]
# ## Whoever knows the seed can tell
#
# Selected tokens have early clocks. The sum of scores has an exact p-value, whatever the text, if it was written
# without the seed.

# %%
pair = ot.load_pair("pocket")
start = len(pair.encode(prompts[0]))
with_seed = ot.detect_watermark(alone[0], ot.text_noise(1, 0, start, 32))
wrong_seed = ot.detect_watermark(alone[0], ot.text_noise(2, 0, start, 32))
print(with_seed, wrong_seed, sep="\n")
assert with_seed.p_value < 1e-4 < wrong_seed.p_value

# %% [markdown]
# ## Fewest bits to describe
#
# The coupling with the least entropy serves compression, not agreement: greedy is within 0.531 bits of the optimum.
# With a *bottleneck* a source is described in at most `rate` bits and the output made from the description; what is
# gained climbs a staircase.

# %%
greedy, least = (ot.coupling("entropy", method=method) for method in ("greedy", "exact"))
small = [0.15, 0.25, 0.25, 0.35], [0.35, 0.10, 0.05, 0.50]
bits = [rule.cells(*small).entropy for rule in (greedy, least)]
print("greedy", bits[0], " least", bits[1], " certified from below", least.entropy_bounds(*small)[0])
assert least.entropy_bounds(*small)[0] <= bits[1] + 1e-9 < bits[0] <= bits[1] + 0.531

rates = np.linspace(0, 2.4, 25)
for encoder, style in (("exact", "-"), ("greedy", "--")):
    gained = [ot.entropy_bottleneck(target, draft, rate, encoder=encoder).information for rate in rates]
    plt.step(rates, gained, style, where="post", label=f"{encoder} encoder")
    assert all(value <= rate + 1e-9 for value, rate in zip(gained, rates, strict=True))
    assert gained == sorted(gained)
plt.plot(rates, rates, "k:", label="rate")
plt.gcf().set_size_inches(4.6, 3.0)
plt.gca().set(xlabel="rate of the description (bits)", ylabel="information kept (bits)")
plt.legend(fontsize=8)
plt.show()
