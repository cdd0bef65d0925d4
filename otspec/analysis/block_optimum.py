"""The optimum over all sequence-level rules for K independent paths, certified from both sides, at toy size.

A rule sees K paths of L drafted tokens, keeps a prefix of one of them and emits one more token. Two optima are worth
knowing. *Stateless*: the text is lossless although the next call starts afresh; no rule that forgets its drafts does
better. *One-call*: later calls may repair the text, as greedy block verification does; one call then keeps more,
what it gains is paid later. Both are linear programmes on the tree of prefixes (`otspec.transport.programme.block_lp`).
The same optimum by Frank and Wolfe's method is a mixture of orders in which paths are preferred, hence a rule that can
be played, with its bound beside it (`otspec.transport.programme.block_mixture`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from otspec.core.bound import AcceptanceBound
from otspec.core.checks import check_positive
from otspec.core.errors import BadArgument, TooLarge
from otspec.core.markov import MarkovModel, check_models
from otspec.core.names import did_you_mean
from otspec.transport.programme.block_lp import BlockSolution, Tree, dual, solve, tree
from otspec.transport.programme.block_mixture import MixtureSolution, solve_mixture

Array = Any
KINDS = ("stateless", "one_call")
METHODS = ("fronts", "frank_wolfe")
# prefixes of one tree, and of all: a tree of 340 takes seconds, one of 780 up to two minutes
MAX_NODES = 5_000
MAX_TREE = 1_100


@dataclass(frozen=True)
class BlockCut:
    """Proof of an upper bound: for each context, prices >= 0 of fronts (sets of prefixes, none extending another).

    Attributes
    ----------
    value : float
        Tokens per call that no rule exceeds, the contexts averaged.
    fronts : tuple of [n] lists of int arrays
        One list per context; prefix ``(x_1, .., x_d)`` has number ``V + .. + V**(d-1)`` plus ``x_1 .. x_d`` in base V.
    prices : tuple of [n]
    """

    value: float
    fronts: tuple[list[np.ndarray], ...]
    prices: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class OrderMixture:
    """A rule: draw an order, keep the drafted path that it prefers, and verify that as a block with the mixed law.

    Attributes
    ----------
    weights : [m]
        Of the orders.
    ranks : [m N + 1] int
        Place of a path in an order, 0 being preferred, by its last prefix that the target knows, numbered as in
        `BlockBound.passing`; the last entry is that of paths without one. -1: the target does not know the prefix.
    """

    weights: np.ndarray
    ranks: np.ndarray


@dataclass(frozen=True)
class BlockBound(AcceptanceBound):
    """An interval for the largest number of tokens per call, with its evidence.

    Attributes
    ----------
    lower, upper : float
        Tokens per call, ``E[accepted] + 1``.
    cut : BlockCut or None
        Proves ``upper``; None by Frank and Wolfe's method, where ``dual`` does.
    contexts : [n m] int
        Contexts in which a text starts with positive probability.
    context_law : [n]
    passing : [n N]
        Proves ``lower``: the probability that the rule keeps at least each of the ``N = V + .. + V**L`` prefixes.
    dual : [n N]
        Proves ``upper`` once more, by the theorem of `otspec.analysis.dual`: pi (stateless) or kappa (one-call).
    mixture : tuple of [n] OrderMixture, or None
        By Frank and Wolfe's method: the rule of each context, which reaches ``lower``.
    """

    cut: BlockCut | None  # type: ignore[assignment]  # sets of prefixes, not of tokens
    contexts: np.ndarray | None = None
    context_law: np.ndarray | None = None
    passing: np.ndarray | None = None
    dual: np.ndarray | None = None
    mixture: tuple[OrderMixture, ...] | None = None

    def __str__(self) -> str:
        """Interval and gap in one line."""
        used = self.cut.fronts if self.cut else [one.weights for one in self.mixture or ()]
        return (f"optimal tokens per call {self.lower:.6f} (gap {self.gap:.1e}; {sum(map(len, used))} "
                f"{'priced fronts' if self.cut else 'orders'} in {len(used)} contexts)")


def block_optimum(target_model: MarkovModel, draft_model: MarkovModel, draft_length: int, *, num_paths: int = 1,
                  kind: str = "stateless", method: str = "fronts") -> BlockBound:
    """Largest number of tokens per call that any rule for K independent paths can emit.

    Parameters
    ----------
    target_model, draft_model : MarkovModel
        The context is drawn from the target model's `initial`; each context has its own optimum.
    draft_length : int
        Tokens per drafted path.
    num_paths : int
        Independent paths K.
    kind : {"stateless", "one_call"}
        Whether what follows the call must be the target's fresh continuation, or may depend on the drafts.
    method : {"fronts", "frank_wolfe"}
        Cutting planes with prices of fronts; or a mixture of orders of paths, the rule and the bound together.

    Returns
    -------
    BlockBound
        `lower` is reached by a rule, `upper` by none; both are recomputed from repaired solutions.

    Raises
    ------
    TooLarge
        With the number of prefixes.
    BadArgument, ShapeMismatch, NotCertified

    Examples
    --------
    With one path, block verification is the best stateless rule: 20/9 here.

    >>> target, draft = MarkovModel.memoryless([1 / 3, 2 / 3]), MarkovModel.memoryless([2 / 3, 1 / 3])
    >>> round(block_optimum(target, draft, 2).upper, 6)
    2.222222
    """
    if kind not in KINDS:
        raise BadArgument(f"kind: {kind!r} is no optimum.{did_you_mean(kind, KINDS)} Fix: one of {', '.join(KINDS)}.")
    if method not in METHODS:
        raise BadArgument(f"method: {method!r} is none."
                          f"{did_you_mean(method, METHODS)} Fix: one of {', '.join(METHODS)}.")
    length, paths = check_positive("draft_length", draft_length), check_positive("num_paths", num_paths)
    check_models(target_model, draft_model)
    order = max(target_model.order, draft_model.order)
    contexts, law = _contexts(target_model, order)
    size = target_model.vocabulary
    prefixes = sum(float(size) ** depth for depth in range(1, length + 1))
    if prefixes > MAX_TREE or prefixes * len(contexts) > MAX_NODES:
        raise TooLarge(
            f"{prefixes:.3g} prefixes of up to {length} tokens after {len(contexts)} context(s), more than {MAX_TREE} "
            f"or {MAX_NODES} in all. Fix: a smaller draft_length or vocabulary, or an initial law on few contexts.",
            prefixes * len(contexts))
    trees = [_tree(target_model, draft_model, context, length, paths) for context in contexts]
    stateless, find = kind == "stateless", solve if method == "fronts" else solve_mixture
    # a model that forgets its context repeats the same tree
    solved = {key: find(nodes, stateless=stateless) for key, nodes in {_key(t): t for t in trees}.items()}
    solutions = [solved[_key(nodes)] for nodes in trees]
    passing, prices = (np.zeros((len(trees), int(prefixes))) for _ in range(2))
    for row, price, nodes, solution in zip(passing, prices, trees, solutions, strict=True):
        row[nodes.label] = solution.passing
        price[:] = _unreachable(nodes, size, length, stateless=stateless)
        price[nodes.label] = solution.prices if isinstance(solution, MixtureSolution) else \
            dual(nodes, solution.fronts, solution.prices, stateless=stateless)
    lower, upper = (1.0 + float(law @ [getattr(s, end) for s in solutions]) for end in ("lower", "upper"))
    if method == "frank_wolfe":
        mixture = tuple(OrderMixture(s.weights, _labelled(s.ranks, nodes, int(prefixes)))
                        for nodes, s in zip(trees, solutions, strict=True) if isinstance(s, MixtureSolution))
        return BlockBound(lower, upper, None, contexts=contexts, context_law=law, passing=passing, dual=prices,
                          mixture=mixture)
    fronts = tuple([nodes.label[u] for u in s.fronts] for nodes, s in zip(trees, solutions, strict=True)
                   if isinstance(s, BlockSolution))
    cut = BlockCut(upper, fronts, tuple(s.prices for s in solutions))
    return BlockBound(lower, upper, cut, contexts=contexts, context_law=law, passing=passing, dual=prices)


def _labelled(ranks: np.ndarray, nodes: Tree, prefixes: int) -> np.ndarray:
    """Ranks by number of the prefix, -1 for those that no rule can keep."""
    out = np.full((len(ranks), prefixes + 1), -1)
    out[:, nodes.label], out[:, -1] = ranks[:, :-1], ranks[:, -1]
    return out


def _contexts(target: MarkovModel, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Contexts of ``order`` tokens in which a text starts, and their law."""
    initial = target.lifted(order).initial
    contexts = np.argwhere(initial > 0)
    return contexts, initial[tuple(contexts.T)]


def _tree(target: MarkovModel, draft: MarkovModel, context: np.ndarray, length: int, paths: int) -> Tree:
    size = target.vocabulary
    steps: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    texts = context[None, :]
    for _ in range(length):
        for step, model in zip(steps, (target, draft), strict=True):
            step.append(model.next_law(texts))
        texts = np.concatenate([np.repeat(texts, size, axis=0), np.tile(np.arange(size), len(texts))[:, None]], axis=1)
    return tree(*steps, paths)


def _unreachable(nodes: Tree, size: int, length: int, *, stateless: bool) -> np.ndarray:
    """Prices ``[N]`` of the prefixes left out: free where the target has no mass, so the largest; 0 where undrafted."""
    depths = np.repeat(np.arange(1, length + 1), [size**depth for depth in range(1, length + 1)])
    return np.where(nodes.possible, 0.0, length + 1.0 - depths if stateless else 1.0)


def _key(nodes: Tree) -> bytes:
    return b"".join(column.tobytes() for column in (nodes.target, nodes.draft, nodes.label))
