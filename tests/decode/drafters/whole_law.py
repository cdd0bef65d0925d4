"""Every draft that a drafter may make behind a small model, with its probability.

A drafter with one draw for each node is run once on all texts of choices at once: row by row the draws are told which
token to take, and their laws say how likely that was.
"""

import itertools
from contextlib import nullcontext
from unittest import mock

import numpy as np
import torch

from otspec.core.tree import DraftTree


class ToySpeaker:
    """Speaks the draft laws of a toy, which has its own after every prefix."""

    def __init__(self, toy, size):
        self.toy, self.size, self.vocab_size = toy, size, toy.size
        self.prefixes = [[()] for _ in range(size)]

    def start(self):
        return self._laws([[()]] * self.size)[:, 0]

    def after(self, tokens, parents):
        new = [[(*self.prefixes[row][above], max(token, 0)) for token, above in zip(*nodes, strict=True)]
               for row, nodes in enumerate(zip(tokens.tolist(), parents.tolist(), strict=True))]
        for known, more in zip(self.prefixes, new, strict=True):
            known += more
        return self._laws(new)

    def _laws(self, prefixes):
        return torch.from_numpy(np.stack([np.stack([law_after(self.toy, prefix) for prefix in row])
                                          for row in prefixes]))


def law_after(toy, prefix):
    """Draft law after a prefix; behind the depth of the toy, where nothing is drafted, any law."""
    if len(prefix) > toy.depth:
        return np.full(toy.size, 1 / toy.size)
    return toy.draft[len(prefix)][np.ravel_multi_index(prefix, (toy.size,) * len(prefix)) if prefix else 0]


def all_drafts(drafter, toy, module=None):
    """Trees ``(probability, tree)`` of a drafter; ``module`` holds the ``draw`` that makes its draws, if any."""
    texts = np.asarray(list(itertools.product(range(toy.size), repeat=drafter.num_uniforms)), dtype=np.int64)
    chance, read = np.ones(len(texts)), []

    def told(law, token):
        token = token.long()
        read.append(law[torch.arange(len(token)), token] / law.sum(dim=-1))
        return token

    with mock.patch.object(module, "draw", told) if module else nullcontext():
        draft = drafter.propose(ToySpeaker(toy, len(texts)), torch.from_numpy(texts).double())
    seen, alike = set(), {}
    if module:  # of choices that were not asked for, one stands for all
        chance = np.where(texts[:, len(read) :].any(axis=1), 0.0, chance)
    for n, mass in enumerate(read):
        # behind the end of a draft nothing is chosen, and one text of choices stands for all that begin alike; a copy
        # that is merged into an earlier node was chosen all the same
        made = draft.copies is not None or draft.tokens[:, n].numpy() >= 0
        chance = np.where(made, chance * mass.numpy(), chance)
    for row in np.flatnonzero(chance > 0):
        above = torch.where(draft.tokens[row] < 0, -1, draft.parents[row])
        key = (*draft.tokens[row].tolist(), *above.tolist())
        if draft.copies is None:
            if key not in seen:
                seen.add(key)
                yield chance[row], _tree(drafter, draft, row)
        else:  # here every choice was counted, so equal trees add up
            key = (*key, *draft.copies[row].tolist())
            alike[key] = (alike.get(key, (0.0,))[0] + chance[row], row)
    for total, row in alike.values():
        yield total, _tree(drafter, draft, row)


def _tree(drafter, draft, row):
    copies = None if draft.copies is None else draft.copies[row].tolist()
    return tree_of(draft.tokens[row].tolist(), draft.parents[row].tolist(), copies, scheme=drafter.tree,
                   adaptive_widths=drafter.adaptive_widths)


def tree_of(tokens, parents, copies=None, **kind):
    """DraftTree of the nodes that there are."""
    place, kept = {0: 0}, [(-1, -1)]
    for node, (token, above) in enumerate(zip(tokens, parents, strict=True), 1):
        if token >= 0:
            place[node] = len(kept)
            kept.append((place[above], token))
    above, last = zip(*kept, strict=True)
    if copies is not None:
        copies = [1, *(number for token, number in zip(tokens, copies, strict=True) if token >= 0)]
    return DraftTree(above, last, copies, **kind)
