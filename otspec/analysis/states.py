"""Texts of a rule that carries a state from block to block, exactly: the recursion over contexts and states.

A block starts from a context and a state, ends in a chunk, and hands both on. What a state says of later blocks is
whatever the rule makes of it, so nothing can be summed over states, only over the ways that reach the same one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from otspec.analysis.paths import drafted_trees, prefix_numbers
from otspec.core.block import BlockVerifier
from otspec.core.errors import TooLarge
from otspec.core.markov import MarkovModel
from otspec.core.sequence import SequenceVerifier, State
from otspec.core.tree import DraftTree

MAX_BRANCHES = 2e6  # drafted trees verified times tokens they may end in, at about 50 us each


class Branch(NamedTuple):
    """One end of a block: tokens emitted, their number as a text, the state after them, and its probability."""

    emitted: int
    number: int
    state: State
    mass: float


class StatefulText:
    """Blocks of one rule on two models of equal order, asked again and again.

    Parameters
    ----------
    rule : SequenceVerifier
        With a state.
    target, draft : MarkovModel
    length : int
        Tokens per drafted path.

    Raises
    ------
    TooLarge
    """

    def __init__(self, rule: SequenceVerifier, target: MarkovModel, draft: MarkovModel, length: int) -> None:
        self.rule, self.target, self.draft, self.length = rule, target, draft, length
        drafted = drafted_trees(target.vocabulary, length, rule.scheme.num_drafts, ordered=rule.order_matters)
        self._trees = [(tree, count, prefix_numbers(tree, target.vocabulary)) for tree, count in drafted]
        self.branches = lru_cache(maxsize=None)(self._branches)
        self._texts: dict[tuple[int, State, int], np.ndarray] = {}

    def text_law(self, context: int, state: State, wanted: int) -> np.ndarray:
        """Law ``[V**wanted]`` of the next tokens."""
        key = context, state, wanted
        if key not in self._texts:
            size, law = self.target.vocabulary, np.zeros(self.target.vocabulary**wanted)
            for branch in self.branches(context, state, wanted):
                if branch.emitted >= wanted:
                    law[branch.number // size ** (branch.emitted - wanted)] += branch.mass
                else:
                    rest = self.text_law(self._after(context, branch), branch.state, wanted - branch.emitted)
                    law.reshape(size**branch.emitted, -1)[branch.number] += branch.mass * rest
            self._texts[key] = law
        return self._texts[key]

    def total(self, context: int, state: State, rounds: int) -> float:
        """Mean number of tokens of so many blocks."""
        if rounds == 0:
            return 0.0
        wanted = self.length + 2 if rounds > 1 else 1
        return sum(branch.mass * (branch.emitted + self.total(self._after(context, branch), branch.state, rounds - 1))
                   for branch in self.branches(context, state, wanted))

    def _after(self, context: int, branch: Branch) -> int:
        size = self.target.vocabulary
        return (context * size**branch.emitted + branch.number) % len(self.target.rows)

    def _branches(self, context: int, state: State, wanted: int) -> tuple[Branch, ...]:
        """Ends of one block; the state after ``wanted`` tokens or more is left out, since nobody asks for it."""
        found: dict[tuple[int, int, State], float] = {}
        states: dict[tuple[int, int], State] = {}
        size = self.target.vocabulary
        for tree, numbers, rows, joint in self._verdicts(context, state):
            for node, token in zip(*np.nonzero(joint), strict=True):
                emitted, number = int(tree.depths[node]) + 1, int(numbers[node]) * size + int(token)
                later = None
                if emitted < wanted:
                    key = emitted, number
                    if not self.rule.state_of_text or key not in states:
                        states[key] = self.rule.carried(tree, rows[0], rows[1], state, int(node), int(token))
                    later = states[key]
                end = emitted, number, later
                found[end] = found.get(end, 0.0) + float(joint[node, token])
        return tuple(Branch(*end, mass) for end, mass in found.items())

    def _verdicts(self, context: int, state: State) -> Iterator[tuple[DraftTree, np.ndarray, Any, np.ndarray]]:
        """Every drafted tree: with the numbers of its prefixes, its rows and the masses of its verdicts."""
        size, states = self.target.vocabulary, len(self.target.rows)
        drawn, memory = [], self.rule._memory(state)
        for tree, count, numbers in self._trees:
            reached = (context * size**tree.depths + numbers) % states
            rows = self.target.rows[reached], self.draft.rows[reached]
            chances = rows[1][tree.parents[1:], tree.tokens[1:]] ** tree.multiplicity[1:]
            weight = count * float(chances.prod())
            if weight > 0:
                drawn.append((weight, tree, numbers, rows))
        if isinstance(self.rule, BlockVerifier):  # chains are of one shape, so all are verified at once
            tokens = np.stack([tree.tokens[1:] for _, tree, _, _ in drawn])
            target, draft = (np.stack([rows[i] for _, _, _, rows in drawn]) for i in (0, 1))
            law = self.rule._conditional(target, draft[:, :-1], tokens, *memory)
            joints = law.stop[..., None] * law.following
        else:
            joints = (self.rule._joint(tree, rows[0], rows[1], *memory) for _, tree, _, rows in drawn)
        for (weight, tree, numbers, rows), joint in zip(drawn, joints, strict=True):
            yield tree, numbers, rows, weight * joint


def check_texts(rule: SequenceVerifier, target: MarkovModel, length: int, wanted: int) -> None:
    """Refuse texts of ``wanted`` tokens that would verify too many drafted trees.

    Raises
    ------
    TooLarge
    """
    size = float(target.vocabulary)
    # every text that is shorter, every way to cut it into blocks
    blocks = len(target.rows) * (1.0 + sum(size**n * 2.0 ** (n - 1) for n in range(1, wanted)))
    trees = blocks * size ** (length * rule.scheme.num_drafts)
    if trees > MAX_BRANCHES:
        raise TooLarge(f"texts of {wanted} tokens with a state carried verify up to {trees:.3g} drafted trees, more "
                       f"than {MAX_BRANCHES:.0e}. Fix: a shorter text, a smaller draft_length or vocabulary.", trees)


def check_branches(rule: SequenceVerifier, target: MarkovModel, length: int, blocks: int) -> None:
    """Refuse what would verify too many drafted trees.

    Raises
    ------
    TooLarge
    """
    trees = float(target.vocabulary) ** (length * rule.scheme.num_drafts)
    branches = (trees * target.vocabulary * (length + 1)) ** blocks
    if branches > MAX_BRANCHES:
        raise TooLarge(f"{blocks} iterations have {branches:.3g} branches, more than {MAX_BRANCHES:.0e}. "
                       f"Fix: fewer iterations or a smaller draft_length.", branches)
