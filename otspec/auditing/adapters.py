"""Adapters: functions of the shapes that engines use, asked as the audit asks.

Each takes the function as it is called inside its engine and calls it with arrays of that shape. A few lines more are
usually enough for a kernel with other arguments: write ``fn`` as a lambda that reorders them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from otspec.auditing.cases import BadAnswer, Question
from otspec.auditing.subjects import Coins, Subject, import_torch, rows_of, seeded, shown
from otspec.core.checks import whole
from otspec.core.errors import BadArgument
from otspec.core.schemes import WithoutReplacement

Array = Any


class HuggingFace(Subject):
    """A function of the shape of assisted generation in transformers, batch 1, sampling from torch's global generator.

    ``fn(candidate_input_ids [1 n+L], candidate_logits [1 L V], candidate_length, new_logits [1 L+1 V],
    is_done_candidate) -> (valid_tokens [1 m+1], n_matches)``

    Parameters
    ----------
    fn : callable
    dtype : {"float32", "float64", "bfloat16"}
        Of the logits.
    """

    kind, inputs, library = "block", "logits", "torch"
    shape = ("fn(candidate_input_ids [1 n+L], candidate_logits [1 L V], candidate_length, new_logits [1 L+1 V], "
             "is_done_candidate) -> (valid_tokens [1 m+1], n_matches)")

    def __init__(self, fn: Callable[..., Any], *, dtype: str = "float32") -> None:
        self.fn, self.dtype, self.name = fn, dtype, getattr(fn, "__name__", "function")

    def answer(self, questions: Sequence[Question], coins: Coins) -> list[Any]:
        """One call for each question, the generator seeded before the first."""
        torch = import_torch()
        found = []
        with seeded(int(coins.integers(1 << 31))):
            for one in questions:
                ids = torch.tensor([[0, *one.tokens.tolist()]])
                draft, target = (part[None].clone() for part in (one.draft, one.target))
                tokens, matches = self.fn(ids, draft, len(one.tokens), target, False)
                tokens = tokens.reshape(-1).tolist()
                if int(matches) != len(tokens) - 1:
                    raise BadAnswer(f"{int(matches)} matches are reported with {len(tokens)} tokens; n matches go with "
                                    f"n + 1 tokens")
                found.append(tokens)
        return found


class RejectionSampler(Subject):
    """A sampler of a serving engine on a ragged batch of requests, coins from the library's global generator.

    ``fn(num_draft_tokens: list of int, draft_token_ids [sum], draft_probs [sum V] or None, target_logits [sum V],
    bonus_token_ids [B 1]) -> [B max+1]``, padded with numbers below zero. The bonus token of each request is drawn
    from its last target row before the call, as engines do.

    Parameters
    ----------
    fn : callable
    draft_probs : bool
        Whether drafts come with the law that they were drawn from; else they are given, as by a lookup, and
        ``draft_probs`` is None.
    library : {"torch", "numpy"}
    dtype : {"float32", "float64", "bfloat16"}
    batch_size : int
        Requests of a call, of different draft lengths, none included.
    """

    kind, ragged = "block", True
    shape = ("fn(num_draft_tokens, draft_token_ids [sum], draft_probs [sum V] or None, target_logits [sum V], "
             "bonus_token_ids [B 1]) -> [B max+1]")

    def __init__(self, fn: Callable[..., Any], *, draft_probs: bool = True, library: str = "torch",
                 dtype: str = "float32", batch_size: int = 32) -> None:
        self.fn, self.library, self.dtype, self.batch_size = fn, library, dtype, int(batch_size)
        self.given, self.name = not draft_probs, getattr(fn, "__name__", "function")

    def show(self, law: np.ndarray, part: str) -> tuple[Array, np.ndarray]:
        """The target as logits, the draft as probabilities."""
        return shown(law, "logits" if part == "target" else "probabilities", self.library, self.dtype)

    def answer(self, questions: Sequence[Question], coins: Coins) -> list[Any]:
        """One call for all questions."""
        counts = [len(one.tokens) for one in questions]
        last = np.stack([np.asarray(_plain(one.target[-1]), dtype=np.float64) for one in questions])
        masses = np.exp(last - last.max(axis=1, keepdims=True)).cumsum(axis=1)
        bonus = (masses <= coins.random((len(questions), 1)) * masses[:, -1:]).sum(axis=1)[:, None]
        join = import_torch().cat if self.library == "torch" else np.concatenate
        tokens = np.concatenate([one.tokens for one in questions]).astype(np.int64)
        if self.library == "torch":
            tokens, bonus = (import_torch().from_numpy(part) for part in (tokens, bonus))
        target = join([one.target[:-1] for one in questions])
        draft = None if self.given else join([one.draft for one in questions])
        with seeded(int(coins.integers(1 << 31))):
            rows = rows_of(self.fn(counts, tokens, draft, target, bonus))
        if len(rows) != len(questions):
            raise BadAnswer(f"{len(rows)} rows of tokens for {len(questions)} requests")
        return rows


class TreeSampler(Subject):
    """A sampler on a drafted tree in the arrays that kernels use, its coins supplied.

    ``fn(candidates [N], parents [N], retrieve_indices [leaves depth+1], target_probs [N V], draft_probs [N V] or None,
    coins [N+1]) -> (accepted nodes [m], next token)``. Node 0 is the context, with token -1 and parent -1; a row of
    ``retrieve_indices`` holds the nodes from it to a leaf, padded with -1; accepted nodes may hold node 0 and padding.

    Parameters
    ----------
    fn : callable
    draft_probs : bool
        Whether children were drawn (without replacement) from ``draft_probs``; else they are given, the likeliest.
    library : {"numpy", "torch"}
    dtype : {"float64", "float32", "bfloat16"}
    """

    kind, scheme = "tree", WithoutReplacement(2)
    shape = ("fn(candidates [N], parents [N], retrieve_indices [leaves depth+1], target_probs [N V], draft_probs [N V] "
             "or None, coins [N+1]) -> (accepted nodes [m], next token)")

    def __init__(self, fn: Callable[..., Any], *, draft_probs: bool = True, library: str = "numpy",
                 dtype: str = "float64") -> None:
        self.fn, self.library, self.dtype = fn, library, dtype
        self.given, self.name = not draft_probs, getattr(fn, "__name__", "function")

    def answer(self, questions: Sequence[Question], coins: Coins) -> list[Any]:
        """One call for each question."""
        found = []
        for one in questions:
            tree = one.tree
            assert tree is not None
            arrays = [tree.tokens.copy(), tree.parents.copy(), _leaves(tree.parents), coins.random(len(tree) + 1)]
            if self.library == "torch":
                arrays = [import_torch().from_numpy(part) for part in arrays]
            laws = [None if part is None else part.clone() if self.library == "torch" else part.copy()
                    for part in (one.target, None if self.given else one.draft)]
            nodes, token = self.fn(*arrays[:3], *laws, arrays[3])
            nodes = [int(node) for node in np.ravel(_plain(nodes)).tolist() if node > 0]
            found.append([*(int(tree.tokens[node]) for node in nodes), int(token)])
        return found


def _leaves(parents: np.ndarray) -> np.ndarray:
    """Nodes from the root to each leaf, padded with -1."""
    paths = []
    for leaf in sorted(set(range(len(parents))) - set(parents.tolist())):
        path = [leaf]
        while path[-1]:
            path.append(int(parents[path[-1]]))
        paths.append(path[::-1])
    longest = max(map(len, paths))
    return np.array([path + [-1] * (longest - len(path)) for path in paths])


def _plain(array: Array) -> Any:
    """Numbers of an array of any library, as lists."""
    return array.tolist() if hasattr(array, "tolist") else array


def hugging_face(fn: Callable[..., Any], *, dtype: str = "float32") -> HuggingFace:
    """Adapter of a function of assisted generation, see `HuggingFace`.

    Examples
    --------
    >>> hugging_face(lambda *given: None).kind
    'block'
    """
    return HuggingFace(fn, dtype=dtype)


def rejection_sampler(fn: Callable[..., Any], *, draft_probs: bool = True, library: str = "torch",
                      dtype: str = "float32", batch_size: int = 32) -> RejectionSampler:
    """Adapter of a serving engine's sampler, see `RejectionSampler`.

    Examples
    --------
    >>> rejection_sampler(lambda *given: None, draft_probs=False).given
    True
    """
    size = whole(batch_size)
    if size is None or size < 1:
        raise BadArgument(f"batch_size: {batch_size!r} is no number of requests. Fix: 32.")
    return RejectionSampler(fn, draft_probs=draft_probs, library=library, dtype=dtype, batch_size=size)


def tree_sampler(fn: Callable[..., Any], *, draft_probs: bool = True, library: str = "numpy",
                 dtype: str = "float64") -> TreeSampler:
    """Adapter of a sampler on drafted trees, see `TreeSampler`.

    Examples
    --------
    >>> tree_sampler(lambda *given: None).kind
    'tree'
    """
    return TreeSampler(fn, draft_probs=draft_probs, library=library, dtype=dtype)
