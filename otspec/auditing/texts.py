"""Cases of texts: one drafted block or tree in a small Markov model whose rows depend on the last token."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from otspec.auditing.cases import Answer, BadAnswer, Case, Question, Shown
from otspec.core.schemes import Greedy, WithoutReplacement
from otspec.core.tree import DraftTree

Prefix = tuple[int, ...]
Kids = tuple[tuple[int, Any], ...]
START = 0  # last token of the context that every text of a case follows


class TextCase(Case):
    """What blocks and trees share: rows after the last token, and the law of texts of ``length`` tokens.

    Parameters
    ----------
    name : str
    target, draft : [V V]
        Rows after each token.
    length : int
        Tokens of a text, one more than can be drafted.
    show : callable
        How the function sees laws.
    """

    def __init__(self, name: str, target: np.ndarray, draft: np.ndarray, length: int, show: Shown) -> None:
        self.name, self.length = name, length
        self._target, self.target = show(target, "target")
        self._draft, self.draft = show(draft, "draft")
        size = self.target.shape[-1]
        # law of m more tokens after each last token, m = 0 .. length
        self._after = [np.ones((size,))]
        for _ in range(length):
            below = self._after[-1]
            self._after.append(self.target.reshape(size, size, *(1,) * (below.ndim - 1)) * below[None])
        self.law = self._after[-1][START]
        self.listed = []
        self._prefixes: list[frozenset[Prefix]] = []

    def outcome(self, number: int, answer: Answer, question: Question | None = None) -> np.ndarray:
        """The emitted tokens, completed by the target."""
        size = self.target.shape[-1]
        if not answer:
            raise BadAnswer("no token is emitted; a call emits at least one")
        if not all(0 <= token < size for token in answer):
            raise BadAnswer(f"what is emitted, {list(answer)}, holds no token of the vocabulary of {size}")
        if answer[:-1] not in self._prefixes[number]:
            raise BadAnswer(f"{list(answer)} is no drafted prefix followed by one more token; drafted was "
                            f"{self.listed[number].tokens.tolist()}")
        return self.completed(answer)

    def completed(self, answer: Answer) -> np.ndarray:
        """Law of the texts that begin with some tokens."""
        law = np.zeros(self.law.shape)
        law[answer] = self._after[self.length - len(answer)][answer[-1]]
        return law

    def kept(self, number: int, answer: Answer, question: Question | None = None) -> int:
        """All emitted tokens but the last."""
        return len(answer) - 1


class BlockCase(TextCase):
    """A drafted path of ``draft_length`` tokens."""

    def __init__(self, name: str, target: np.ndarray, draft: np.ndarray, draft_length: int, show: Shown) -> None:
        super().__init__(name, target, draft, draft_length + 1, show)
        chances = []
        for tokens in itertools.product(range(self.draft.shape[-1]), repeat=draft_length):
            path = [START, *tokens]
            chance = float(np.prod([self.draft[last, token] for last, token in itertools.pairwise(path)]))
            if chance > 0:
                chances.append(chance)
                self.listed.append(Question(self._target[path], self._draft[path[:-1]], np.array(tokens, int)))
                self._prefixes.append(frozenset(tokens[:count] for count in range(draft_length + 1)))
        self.chance = np.array(chances)

    @property
    def optimum(self) -> float:
        """Matched prefix of two texts coupled as well as can be, which no rule exceeds in one call. [block]."""
        total, texts = 0.0, [np.ones(1), np.ones(1)]
        last = np.array([START])
        for _ in range(self.length - 1):
            texts = [(text[:, None] * rows[last]).ravel()
                     for text, rows in zip(texts, (self.target, self.draft), strict=True)]
            last = np.tile(np.arange(self.target.shape[-1]), last.size)
            total += float(np.minimum(*texts).sum())
        return total


class TreeCase(TextCase):
    """A drafted tree: K paths, or children in given numbers, drawn without replacement or chosen but for one.

    Parameters
    ----------
    widths : sequence of int
        Children of a node at each depth; with ``paths`` the number of independent paths, once for each depth.
    how : {"paths", "without_replacement", "greedy", "given"}
        How the tree comes about; ``given``: the likeliest tokens, no law of their own.
    """

    def __init__(self, name: str, target: np.ndarray, draft: np.ndarray, widths: Sequence[int], how: str,
                 show: Shown) -> None:
        super().__init__(name, target, draft, len(widths) + 1, show)
        self.widths, self.how = tuple(widths), how
        if how == "paths":
            found = path_trees(self.draft, len(widths), widths[0])
        elif how == "given":
            found = iter([(1.0, given_tree(self.draft, self.widths))])
        else:
            found = drawn_trees(lambda prefix: self.draft[prefix[-1] if prefix else START], self.widths, how)
        chances = []
        for chance, tree in found:
            last = np.where(tree.tokens < 0, START, tree.tokens)
            chances.append(chance)
            self.listed.append(Question(self._target[last], self._draft[last], tree.tokens[1:], tree))
            self._prefixes.append(frozenset(tree_prefixes(tree)))
        self.chance = np.array(chances)


def path_trees(draft: np.ndarray, length: int, count: int) -> Iterator[tuple[float, DraftTree]]:
    """Every tree of ``count`` independent paths after `START`, in drawing order, with its chance."""
    paths = []
    for tokens in itertools.product(range(draft.shape[-1]), repeat=length):
        chance = float(np.prod([draft[last, token] for last, token in itertools.pairwise([START, *tokens])]))
        if chance > 0:
            paths.append((chance, tokens))
    for chosen in itertools.product(paths, repeat=count):
        yield float(np.prod([chance for chance, _ in chosen])), DraftTree.from_paths([path for _, path in chosen])


def drawn_trees(draft: Callable[[Prefix], np.ndarray], widths: tuple[int, ...],
                how: str = "without_replacement") -> Iterator[tuple[float, DraftTree]]:
    """Every tree whose nodes have children in given numbers, with its chance.

    Parameters
    ----------
    draft : callable
        Draft law ``[V]`` after a tuple of tokens.
    widths : tuple of int
        Children of a node at each depth.
    how : {"without_replacement", "greedy"}
        How they come about.
    """
    scheme = Greedy if how == "greedy" else WithoutReplacement

    def below(prefix: Prefix) -> Iterator[tuple[float, Kids]]:
        if len(prefix) == len(widths):
            yield 1.0, ()
            return
        lists, law = scheme(widths[len(prefix)]).lists(draft(prefix))
        for drawn, chance in zip(lists.tolist(), law.tolist(), strict=True):
            tokens = [token for token in drawn if token >= 0]
            for parts in itertools.product(*(list(below((*prefix, token))) for token in tokens)):
                yield (chance * float(np.prod([share for share, _ in parts])),
                       tuple((token, kids) for token, (_, kids) in zip(tokens, parts, strict=True)))

    for chance, kids in below(()):
        parents, tokens = [-1], [-1]
        _write(0, kids, parents, tokens)
        yield chance, DraftTree(parents, tokens, scheme=how)


def given_tree(draft: np.ndarray, widths: tuple[int, ...]) -> DraftTree:
    """The tree of the likeliest tokens after each node, likeliest first."""
    def below(last: int, depth: int) -> Kids:
        if depth == len(widths):
            return ()
        best = np.argsort(-draft[last], kind="stable")[: widths[depth]].tolist()
        return tuple((token, below(token, depth + 1)) for token in best)

    parents, tokens = [-1], [-1]
    _write(0, below(START, 0), parents, tokens)
    return DraftTree(parents, tokens, scheme="deterministic")


def _write(parent: int, kids: Kids, parents: list[int], tokens: list[int]) -> None:
    for token, more in kids:
        parents.append(parent)
        tokens.append(token)
        _write(len(parents) - 1, more, parents, tokens)


def tree_prefixes(tree: DraftTree) -> list[Prefix]:
    """Drafted tokens up to each node."""
    prefixes: list[Prefix] = [()]
    for parent, token in zip(tree.parents[1:].tolist(), tree.tokens[1:].tolist(), strict=True):
        prefixes.append((*prefixes[parent], token))
    return prefixes
