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
# # Is it really lossless?
#
# Four things are audited: a function of the shape that Hugging Face's assisted generation uses, a block rule with a
# subtle mistake, texts that an engine has emitted, and a kernel of one's own whose coins are supplied. Each verdict
# comes with its evidence, and each failure with a counterexample small enough to step through.

# %%
# %matplotlib inline
import numpy as np
import torch

import otspec as ot
from otspec.auditing import hugging_face

# %% [markdown]
# ## 1. A function of assisted generation
#
# It takes candidate ids and both models' logits, tosses torch's global generator, and returns the accepted ids with
# one more token, and the number of matches. The adapter calls it as its engine does, on small models whose rows differ
# after every token.

# %%
def assisted(candidate_input_ids, candidate_logits, candidate_length, new_logits, is_done_candidate):
    """Accept candidates one by one; after the first refusal draw from the residual."""
    ids = candidate_input_ids[0, -candidate_length:]
    draft, target = candidate_logits[0].softmax(-1), new_logits[0].softmax(-1)
    at = torch.arange(candidate_length)
    passed = torch.rand(candidate_length) * draft[at, ids] <= target[at, ids]
    matches = int(passed.long().cumprod(0).sum())
    law = target[matches]
    if matches < candidate_length:
        left = (law - draft[matches]).clamp(min=0)
        law = left if float(left.sum()) > 0 else law
    return torch.cat([ids[:matches], torch.multinomial(law, 1)])[None], matches


right = ot.audit(hugging_face(assisted), tv=0.1, seconds=120)
right

# %%
right.figure()

# %% [markdown]
# *Passed* is not a proof: it says how small a deviation would have been found. The evidence against the function is a
# bet that is fair if the function is lossless, so one may look after every call and stop when it is large enough.

# %% [markdown]
# ## 2. A block rule with a subtle mistake
#
# Block verification keeps the longest prefix that passes its own test, and then draws from $(w\,p - q)_+$, where $w$ is
# the weight of the prefix. This one draws from $(p - q)_+$, as token verification does: on most inputs the difference
# is small.

# %%
def verify_block(target, draft, tokens, rng):
    """Block verification of many rows at once, with the residual of token verification."""
    rows, length = np.arange(len(tokens)), tokens.shape[1]
    weight, kept = np.ones(len(tokens)), np.zeros(len(tokens), dtype=int)
    for i in range(length):
        weight = np.minimum(1, weight * target[rows, i, tokens[:, i]] / draft[rows, i, tokens[:, i]])
        chance = weight
        if i + 1 < length:
            left = np.maximum(weight[:, None] * target[:, i + 1] - draft[:, i + 1], 0).sum(axis=1)
            below = left + 1 - weight
            chance = np.where(below > 0, left / np.where(below > 0, below, 1), 1.0)
        kept = np.where(rng.random(len(tokens)) < chance, i + 1, kept)
    proposal = np.concatenate([draft, np.zeros_like(target[:, :1])], axis=1)
    law = np.maximum(target - proposal, 0)[rows, kept]
    law = np.where(law.sum(axis=1, keepdims=True) > 0, law, target[rows, kept])
    ends = law.cumsum(axis=1)
    last = (ends <= rng.random((len(tokens), 1)) * ends[:, -1:]).sum(axis=1)
    emitted = np.where(np.arange(length + 1) < kept[:, None], np.pad(tokens, ((0, 0), (0, 1))), -1)
    emitted[rows, kept] = last
    return emitted


block = ot.audit(verify_block, kind="block", batch_size=2048, seconds=120)
block

# %%
block.figure()

# %% [markdown]
# The mistake is named because its law is known: of all mistakes in the registry it is the only one that every instance
# agrees with. The counterexample is what is left after dropping tokens and drafts and rounding masses to tenths, as
# long as the rule still fails.

# %% [markdown]
# ## 3. Texts that an engine has emitted
#
# No function at hand, only texts for known prompts: 600 continuations of four prompts, from an engine that lets one
# token in ten come from the draft model. The models of this example are small, so that the texts are quickly made;
# with `ot.load_pair` the call is the same.

# %%
rng = np.random.default_rng(0)
target, draft = (ot.MarkovModel(rng.dirichlet(np.full(32, 0.3), size=32)) for _ in range(2))
prompts = [[1], [5], [9], [20]]


def engine(rows, count, length=8):
    """Texts whose next token has the law ``rows[last token]``."""
    below, texts = rows.cumsum(axis=1), []
    for prompt in prompts:
        last, columns = np.full(count, prompt[-1]), []
        for _ in range(length):
            last = (rng.random((count, 1)) >= below[last] / below[last, -1:]).sum(axis=1)
            columns.append(last)
        texts.append(np.stack(columns, axis=1).tolist())
    return texts


leaning = ot.audit_samples((target, draft), prompts, engine(0.9 * target.rows + 0.1 * draft.rows, 600))
leaning

# %%
leaning.figure()

# %%
honest = ot.audit_samples((target, draft), prompts, engine(target.rows, 600))
few = ot.audit_samples((target, draft), prompts, engine(target.rows, 20))
print(honest, few, sep="\n\n")
print("tokens needed to find a deviation of .05, .02, .01:", [ot.samples_needed(tv) for tv in (0.05, 0.02, 0.01)])

# %% [markdown]
# ## 4. A kernel of one's own
#
# A kernel that takes its uniforms as an argument is a deterministic function. Its coins are integrated over the cells
# that its answers reveal, and the verdict is exact to rounding: even a deviation of one millionth is found. This one
# saves a coin: the number that refused the draft also draws from the residual.

# %%
def kernel(target, draft, token, coins):
    """Accept or redraw, with one coin for both."""
    if coins[0] * draft[token] < target[token]:
        return token
    below = np.maximum(target - draft, 0).cumsum()
    return int(below.searchsorted(coins[0] * below[-1], side="right"))


def mended(target, draft, token, coins):
    """The same with a coin of its own for the residual."""
    if coins[0] * draft[token] < target[token]:
        return token
    below = np.maximum(target - draft, 0).cumsum()
    return int(below.searchsorted(coins[1] * below[-1], side="right"))


saved = ot.audit(kernel, kind="token", coins=1, large=False)
exact = ot.audit(mended, kind="token", coins=2, large=False)
saved

# %%
saved.figure()

# %%
exact

# %% [markdown]
# ## What was claimed

# %%
assert right.passed is True
assert block.passed is False
assert block.mistake == "token_residual"
assert leaning.passed is False
assert leaning.mistake == "leans_to_the_draft"
assert honest.passed is True
assert few.passed is None
assert saved.passed is False
assert saved.mistake == "one_uniform"
assert exact.passed is True
assert exact.tv < 1e-12
