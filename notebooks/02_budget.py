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
# # What does a budget of 16 drafted tokens buy?
#
# One call of the target model verifies 16 drafted tokens. They may be one long chain, a few independent paths, or a
# tree; and each of these wants a rule of its own. The *planner* measures all of them on your pair, chooses on some
# contexts, and reports what the choice gives on others.
#
# Here: the pocket pair at temperature 1. Draft steps are almost free at first, so that tokens per call alone decide.

# %%
import warnings

import matplotlib.pyplot as plt

import otspec as ot

plt.rcParams["figure.dpi"] = 110
warnings.filterwarnings("ignore", message="IProgress not found")
pair = ot.load_pair("pocket", device="cpu")
contexts = ot.load_trace("pocket").prompts[:240]
free = ot.recommend(pair, 16, draft_cost=0.001, prompts=contexts, curve=False)
free

# %% [markdown]
# The families, in the order of the contexts on which the choice was made; the numbers are those of other contexts, so
# that neighbours may stand the other way round within their errors. The same drafts under different rules, and the same
# rule on different drafts: most of the gain comes from judging whole blocks instead of one token after the other.

# %%
best = {}
for option in (free.choice, *free.runners_up):
    best.setdefault(option.candidate.family, option)
    print(f"{option.tokens.mean:.3f} ± {option.tokens.stderr:.3f}  {option.candidate.text}")

# %% [markdown]
# Contexts are paired, so a ratio is known much better than a level. Against Sequoia (its own tree, recursive
# rejection without replacement) and against what engines do by default, a chain of 5 judged token by token:

# %%
print("over Sequoia:", free.choice.over_sequoia)
print("over a chain of 5:", free.choice.over_default)
assert free.choice.over_sequoia.mean > 1.06
assert free.choice.over_sequoia.score(1.0) > 3
assert free.choice.over_default.mean > 1.2

# %% [markdown]
# ## When draft steps cost
# Let a draft step cost a tenth of a target call. A chain of 16 now pays 16 steps, four paths of four tokens only four:
# the best drafts become short and wide, and the rules that make the most of independent paths, scores and look-ahead,
# come first or close to it. The figure shows every budget up to 16: tokens per call on the left, speed-up on the right.

# %%
dear = ot.recommend(pair, 16, draft_cost=0.1, prompts=contexts)
print("\n".join(dear.lines()))
assert dear.choice.candidate.steps < free.choice.candidate.steps
assert dear.speedup.mean < free.speedup.mean
figure, panels = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for panel, quantity in zip(panels, ("tokens", "speedup"), strict=True):
    ot.plots.budget_curves(dear.drawn, panel, quantity=quantity)
_ = figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)

# %% [markdown]
# If a draft step costs two target calls, nothing pays, and the planner says so.

# %%
hopeless = ot.recommend(pair, 16, draft_cost=2.0, prompts=contexts[:72], curve=False)
print("\n".join(hopeless.lines()))
assert hopeless.verifier is None

# %% [markdown]
# ## Run it
# The answer prints the line that decodes so. A run sums up what its own laws predict for every round, so each run is a
# test of its own.

# %%
print(dear.python)
print(dear.command)
run = ot.generate(pair, contexts[:48], verifier=dear.verifier, drafter=dear.drafter, max_new_tokens=32, seed=3)
print(f"measured {run.block_efficiency}, predicted {run.predicted_efficiency.mean:.4f}, z {run.z_score:+.2f}")
assert abs(run.z_score) < 4
