"""Rules that are written as the law of (node, next token), asked as the audit asks; laws are kept by question."""

import numpy as np

from otspec.auditing import Subject
from otspec.auditing.texts import tree_prefixes


class Masses(Subject):
    def __init__(self, name, kind, mass):
        self.name, self.kind, self.mass, self.batch_size = name, kind, mass, 4096
        self.known = {}

    def answer(self, questions, rng):
        found = [None] * len(questions)
        places = {}
        for place, one in enumerate(questions):
            places.setdefault(id(one.tokens), []).append(place)
        for where in places.values():
            answers, below = self._law(questions[where[0]])
            picked = np.searchsorted(below, rng.random(len(where)) * below[-1], side="right")
            for place, pick in zip(where, picked, strict=True):
                found[place] = answers[pick]
        return found

    def _law(self, one):
        if id(one.tokens) not in self.known:
            if one.tree is None:
                mass = self.mass(one.target, one.draft, one.tokens)
                prefixes = [tuple(one.tokens[:i].tolist()) for i in range(len(one.tokens) + 1)]
            else:
                mass, prefixes = self.mass(one.tree, one.target, one.draft), tree_prefixes(one.tree)
            answers = [(*prefix, token) for prefix in prefixes for token in range(mass.shape[1])]
            self.known[id(one.tokens)] = (one, answers, np.cumsum(mass.ravel()))
        return self.known[id(one.tokens)][1:]


def joint(rule):
    """Mass of a sequence rule of the package."""
    def mass(*given):
        law = rule.conditional(*given)
        return law.stop[:, None] * law.following
    return mass


def drawn(rule):
    """Block rule of the package that draws with its own code."""
    def fn(target, draft, tokens, rng):
        kept, token = rule.draw(target, draft, tokens, rng.random((len(tokens), rule.num_uniforms(tokens.shape[-1]))))
        rows = np.full((len(tokens), tokens.shape[1] + 1), -1)
        for row, (count, last) in enumerate(zip(kept, token, strict=True)):
            rows[row, :count], rows[row, count] = tokens[row, :count], last
        return rows
    return fn
