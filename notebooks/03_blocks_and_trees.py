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
# # From token to block to tree
#
# A draft model proposes whole *blocks*. How many tokens one call of the target model yields depends on how the
# block is verified, although the text has the target's law every time. Two coins are enough to see it.

# %%
import matplotlib.pyplot as plt
import numpy as np

import otspec as ot

target = ot.MarkovModel.memoryless([1 / 3, 2 / 3])
draft = ot.MarkovModel.memoryless([2 / 3, 1 / 3])

# %% [markdown]
# ## One path
# *Token by token*, each drafted token is accepted with chance 2/3 and the first rejection ends the block:
# 2/3 + 4/9 = 10/9 tokens are kept on average. *Block verification* judges the block as a whole: a likely token
# saves up for an unlikely one, and 11/9 are kept. The most that one call can keep is 12/9, but then the next call
# must make up for it: that is the *one-call* optimum. No rule that forgets its drafts beats the *stateless* one.

# %%
token = float(ot.block_efficiency("token_wise", target, draft, 2)) - 1
block = float(ot.block_efficiency("block", target, draft, 2)) - 1
stateless = ot.block_optimum(target, draft, 2)
one_call = ot.block_optimum(target, draft, 2, kind="one_call")
print(f"kept: token by token {9 * token:.6f}/9, block {9 * block:.6f}/9")
print("stateless:", stateless)
print("one call: ", one_call)
np.testing.assert_allclose([token, block, one_call.upper - 1], [10 / 9, 11 / 9, 12 / 9], atol=1e-9)
assert abs(stateless.upper - 1 - block) < 1e-9

# %% [markdown]
# Both rules are lossless: the text that they emit, block after block, has exactly the target's law.

# %%
for rule in ("token_wise", "block"):
    law = ot.text_law(rule, target, draft, 4, draft_length=2)
    print(rule, "largest error", np.abs(law - target.text_law(4)).max())
    np.testing.assert_allclose(law, target.text_law(4), atol=1e-14)

# %% [markdown]
# With one path block verification attains the stateless optimum on every pair of models, and the advantage over
# token-wise verification grows with the length of the block.

# %%
rng = np.random.default_rng(3)
target, draft = (ot.MarkovModel(rng.dirichlet(np.full(2, 0.7), 2)) for _ in range(2))
lengths = range(1, 7)
for length in lengths:
    token, block = (float(ot.block_efficiency(rule, target, draft, length)) for rule in ("token_wise", "block"))
    best = ot.block_optimum(target, draft, length).upper
    print(f"L = {length}: token {token:.4f}, block {block:.4f}, optimum {best:.4f}")
    assert token <= block + 1e-12
    assert abs(block - best) < 1e-8

# %% [markdown]
# ## Several paths
# K independent paths form a tree. Which rule is best is open; the linear programme shows how far each is from
# the optimum. A token rule walked down the tree ignores the block, Traversal ignores which sibling suits best;
# choosing a winner at each level and verifying its path as a block uses both. `score_block` chooses later: every path
# has a score whose law its rows split among the tokens, the highest wins, and its path is verified as a block.

# %%
rules = ("recursive_walk", "spectr_paths", "optimal_walk", "traversal", "winner_block", "lookahead_block",
         "score_block")


def gaps(target, draft, length, paths):
    """Tokens per call of every rule, and what is missing to the certified stateless optimum."""
    best = ot.block_optimum(target, draft, length, num_paths=paths)
    rows = []
    for rule in rules:
        value = float(ot.block_efficiency(rule, target, draft, length, num_paths=paths))
        rows.append({"rule": rule, "tokens": value, "gap_percent": 100 * (1 - value / best.upper)})
    return ot.Table(rows, {"optimum": best.upper, "certificate": best.gap})


table = gaps(target, draft, 2, 2)
print("optimum", table.metadata["optimum"])
table

# %% [markdown]
# One pair of models proves little: here are several random ones, on two and on three tokens. Scores win on most, no
# rule on all.

# %%
collected = {rule: [] for rule in rules}
wins = dict.fromkeys(rules, 0)
for number in range(12):
    size = 2 + number % 2
    models = [ot.MarkovModel(rng.dirichlet(np.full(size, 1.0), size)) for _ in range(2)]
    table = gaps(*models, 2, 2)
    for row in table.rows:
        collected[row["rule"]].append(row["gap_percent"])
    wins[min(table.rows, key=lambda row: row["gap_percent"])["rule"]] += 1
for rule in rules:
    print(f"{rule:16} mean gap {np.mean(collected[rule]):5.2f} %, largest {max(collected[rule]):5.2f} %, "
          f"best of all on {wins[rule]} pairs")
assert min(map(min, collected.values())) > -1e-6
assert max(wins.values()) < 12

# %%
fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.boxplot([collected[rule] for rule in rules], orientation="horizontal", tick_labels=rules)
ax.set(xlabel="missing to the stateless optimum (%)", title="12 random pairs, 2 paths of 2 tokens")
plt.show()

# %% [markdown]
# More paths help every rule, and all rules remain lossless on them.

# %%
growth = {rule: [float(ot.block_efficiency(rule, target, draft, 2, num_paths=k)) for k in (1, 2, 3)] for rule in rules}
for rule, values in growth.items():
    print(f"{rule:16}", "  ".join(f"K={k}: {value:.4f}" for k, value in enumerate(values, 1)))
    law = ot.text_law(rule, target, draft, 3, draft_length=2, num_paths=2)
    np.testing.assert_allclose(law, target.text_law(3), atol=1e-12)
assert all(values == sorted(values) for values in growth.values())
for rule in ("traversal", "winner_block", "lookahead_block", "score_block"):  # with one path, all are block
    assert abs(growth[rule][0] - float(ot.block_efficiency("block", target, draft, 2))) < 1e-12
