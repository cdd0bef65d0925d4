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
# # Neighbours of speculative decoding
#
# Other ways to get several tokens out of one model call: the target drafts for itself (*Jacobi*), extra heads draft
# a block at once (*blockwise*), independence is simply assumed (*parallel decoding*). And one way to spend drafts on
# quality instead of speed (*best-of-n*). Each is small enough to be exact about.

# %%
import math
import warnings

import matplotlib.pyplot as plt
import numpy as np

import otspec as ot
from otspec.neighbours.alignment import best_of_n_point, optimal_reward, rate_function
from otspec.neighbours.best_of_n import kl_estimate, win_rate
from otspec.neighbours.list_tasks import TASKS, list_task, one_step, shuffle_rate, shuffle_schedule

warnings.filterwarnings("ignore", message="IProgress not found")

# %% [markdown]
# ## Jacobi: the target drafts for itself
# A window of stale guesses stands behind the text. One call gives the law of every position; each guess is judged
# against the law that it was *drawn from*, kept with chance `min(1, new / old)`, and all guesses behind the first
# rejection are drawn again. Because the old law is stored, the text has exactly the target's law: sum out all coins.

# %%
rng = np.random.default_rng(3)
target = ot.MarkovModel(rng.dirichlet(np.full(3, 0.7), 3))
for coupling in ("independent", "maximal"):
    found = ot.jacobi_law(target, 3, length=3, coupling=coupling)
    error = np.abs(found.text_law - target.text_law(3)).max()
    print(f"{coupling:12} largest error {error:.1e}, target calls per token {found.calls_per_token:.4f}")
    assert error < 1e-12

# %% [markdown]
# Fresh guesses waste what the last iteration knew. If instead a position's new guess is *coupled* with its old one,
# by the maximal coupling or by noise that belongs to the position, a long window pays.

# %%
target = ot.MarkovModel(np.random.default_rng(3).dirichlet(np.full(8, 0.3), 8))
windows = (1, 2, 4, 8, 16)
fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
calls = {}
for coupling in ("independent", "maximal", "gumbel"):
    runs = [ot.jacobi(target, window, length=32, n=1000, seed=0, coupling=coupling) for window in windows]
    calls[coupling] = [run.calls_per_token for run in runs]
    ax.errorbar(windows, [c.mean for c in calls[coupling]], [c.stderr for c in calls[coupling]], label=coupling)
ax.set(xscale="log", xlabel="window (tokens)", ylabel="target calls per token", ylim=(0, 1))
ax.legend()
plt.show()
fresh, kept, race = (calls[name][-1] for name in ("independent", "maximal", "gumbel"))
print(f"window 16: fresh {fresh}, maximal {kept}, Gumbel {race}")
assert max(kept.interval(5)[1], race.interval(5)[1]) < fresh.interval(5)[0]

# %% [markdown]
# On the pocket target the laws move too much from one iteration to the next: at temperature 1 Jacobi saves about one
# call in eight, where a draft model saves more than half of them.

# %%
pair, trace = ot.load_pair("pocket", device="cpu"), ot.load_trace("pocket")
prompts = [context[-24:].tolist() for context in trace.contexts[:16]]
own = ot.decode_jacobi(pair, prompts, 4, max_new_tokens=16, seed=0, progress=False).calls_per_token
drafted = ot.generate(pair, prompts, verifier="block", scheme=1, draft_length=4, temperature=1.0, seed=0,
                      max_new_tokens=16, stop_token=None, progress=False)
print("Jacobi, window 4:", own, " draft model, 4 tokens:", 1 / drafted.block_efficiency.mean)
assert 1 / drafted.block_efficiency.mean < own.mean < 1

# %% [markdown]
# ## Blockwise: heads that draft a block at once
# Six heads on the target's last hidden state guess the tokens 2 to 7 of a block, each blind to the others. Keep the k
# best of every position: a lattice of `k**7` paths. A bigram model finds the best path by Viterbi's recursion, the
# draft model chooses among the 16 best, and the *oracle* says what no choice can exceed.

# %%
table = ot.blockwise(pair, [context[-32:].tolist() for context in trace.contexts[:64]], k=8, progress=False)
reached = dict(zip(table.column("draft"), table.column("verified"), strict=True))
assert reached["heads"] < min(reached["ngram"], reached["neural"])
assert max(reached["ngram"], reached["neural"]) < reached["best_of_paths"] < reached["oracle"]
table

# %% [markdown]
# ## Parallel decoding has a floor
# Tokens decoded in one step are drawn independently, so their dependence is lost: the divergence from the data is at
# least the sum of the *total correlations* of the steps, whatever the model. For lists it is known in closed form.

# %%
n = 6
for name in TASKS:
    costs = [bound.divergence for bound in list_task(name, n).best_schedules()]
    print(f"{name:15}", "  ".join(f"{cost:.3f}" for cost in costs))
    assert abs(costs[0] - one_step(name, n)) < 1e-12
assert one_step("copy", n) == 0
assert abs(one_step("shuffle", n) - (n * math.log(n) - math.log(math.factorial(n)))) < 1e-12

# %% [markdown]
# The best schedule comes from dynamic programming over sets of positions. A chain is best decoded with gaps: given
# every other token, the rest are independent. And a shuffle is *not* best decoded in equal steps: of two steps the
# first should take `1 - 1/e` of the list.

# %%
chain = ot.MarkovModel([[0.9, 0.1], [0.1, 0.9]]).text_law(3)
print(ot.parallel_bound(chain, 2))
assert ot.parallel_bound(chain, 2).schedule == [(1,), (0, 2)]
value, sizes = shuffle_schedule(1000, 2)
print(f"shuffle of 1000 in two steps of {sizes}: {value / 1000:.4f} nats per item, limit {shuffle_rate(2):.4f}")
assert abs(sizes[0] / 1000 - (1 - 1 / math.e)) < 2e-3

# %% [markdown]
# ## Best-of-n: drafts spent on a score
# The best of n drafts has the law `F**n - F_**n`. Its divergence from the drafter is at most `log n - (n-1)/n`, and
# less where single outcomes carry mass; the mass of the winner gives a tight estimate.

# %%
target_laws, draft_laws = trace.laws(slice(0, 64))
draft, scores = draft_laws[5], target_laws[5]
for n in (1, 2, 4, 8, 16):
    best = ot.best_of_n_law(draft, scores, n)
    exact, bound = float(ot.best_of_n_kl(draft, scores, n)), ot.kl_ceiling(n)
    estimate, wins = float(best @ kl_estimate(draft, n)), float(win_rate(draft, scores, n))
    top = float(kl_estimate(draft[np.argmax(scores)], n))
    print(f"n = {n:2}: exact {exact:.4f}, estimate {estimate:.4f}, bound {bound:.4f}, win rate {wins:.3f}")
    assert exact <= top + 1e-12
    assert top <= bound + 1e-12
    assert wins <= n / (n + 1) + 1e-12

# %% [markdown]
# It is the extreme case of speculative decoding without rejection: n drafts reach the law of best-of-n, and n - 1
# do not. That is why the same number, `log n - (n-1)/n`, bounds both.

# %%
best = ot.best_of_n_law(draft, scores, 4)
for k in (2, 3, 4, 5):
    possible = bool(ot.zero_rejection(best, draft, k).possible)
    print(f"{k} drafts: acceptance {float(ot.optimal_acceptance(best, draft, k)):.4f}, without rejection: {possible}")
assert bool(ot.zero_rejection(best, draft, 4).possible)
assert not bool(ot.zero_rejection(best, draft, 3).possible)

# %% [markdown]
# ## For long texts, best-of-n is as good as any alignment
# Reference: independent tokens; reward: a sum over tokens. The most reward per token that `d` nats per token can buy
# is the x with `I(x) = d`, I the Legendre transform of the log moment generating function. The best of `exp(m d)` texts
# of m tokens lies below that curve, exactly computed, and closes in on it.

# %%
law, rewards = np.array([0.4, 0.3, 0.15, 0.1, 0.05]), np.array([0, 1, 1, 2, 4])
grid = np.linspace(0, 2, 41)
fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.plot(grid, [optimal_reward(law, rewards, d) for d in grid], "k", label="optimum")
for length in (2, 8, 32, 128):
    points = np.array([best_of_n_point(law, rewards, length, rate) for rate in grid[2::4]])
    ax.plot(*points.T, "o", ms=3, label=f"best-of-n, {length} tokens")
ax.set(xlabel="divergence per token (nats)", ylabel="reward per token")
ax.legend()
plt.show()

gaps = []
for length in (8, 32, 128):
    divergence, reward = best_of_n_point(law, rewards, length, 0.6)
    gaps.append(optimal_reward(law, rewards, divergence) - reward)
print("missing to the optimum at rate 0.6:", [round(gap, 4) for gap in gaps])
assert gaps == sorted(gaps, reverse=True)
assert gaps[-1] > 0
assert abs(rate_function(law, rewards, optimal_reward(law, rewards, 0.6)) - 0.6) < 1e-9
