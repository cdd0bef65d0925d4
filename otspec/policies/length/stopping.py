"""When to stop drafting, solved exactly on Markov models: a semi-Markov decision process. [specdec++].

A round starts in a context c, drafts tokens one by one at ``draft_cost`` each, stops by choice or at ``max_length``,
and pays ``verify_cost`` for token-wise verification. What it emits depends on where it stopped, and the context it
leaves is where the next round starts. With y the least cost per token and h the relative value of contexts, a round
that stops behind ``x^k`` is worth ``E[y tokens + h(next)] - cost``, and the optimal decision at every drafted prefix
follows by backward induction. Policy iteration finds y and h; y is certified from both sides: a policy attains it,
and no policy gains more than ``max (T h - h)`` per round on it, where T is the optimal round.

Threshold theorem. Let ``r`` be the probability, given ``x^k``, that one of the k drafts is refused, and g the most that
any way to go on can gain where nothing has been refused yet, over all contexts. To go on gains at most
``(1 - r) g - r draft_cost``, so to stop is optimal as soon as

    r >= g / (g + draft_cost),

which is SpecDec++'s ``(c2 + D) / (c1 + c2 + D)`` with ``c1 = draft_cost`` and ``c2 + D = g``. The converse needs more.
Where nothing depends on the context (a memoryless pair), h is constant and one step ahead decides: it gains
``(1 - r) y (1 - TV) - draft_cost``, which falls as r grows, and r only grows, so the optimum *is* the threshold
``1 - draft_cost / (y (1 - TV))``. In general the optimum also looks at where the draft stands, and beats every
threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from otspec.core.checks import check_positive
from otspec.core.errors import NotCertified, TooLarge
from otspec.core.markov import MarkovModel, check_models
from otspec.policies.length.base import check_cost

MAX_NODES = 2**20
TIE = 1e-12  # gains smaller than this are rounding; then drafting stops


@dataclass(frozen=True)
class Stopped:
    """A way to stop, with its exact numbers.

    Attributes
    ----------
    cost_per_token : float
        In the long run.
    tokens_per_call, drafts_per_call : float
    stops : list of [states V^k] bool
        Whether it stops behind each drafted prefix, ``k = 0 .. max_length``.
    """

    cost_per_token: float
    tokens_per_call: float
    drafts_per_call: float
    stops: list[np.ndarray]


@dataclass(frozen=True)
class Optimum:
    """The optimal way to stop.

    Attributes
    ----------
    best : Stopped
    lower : float
        No policy has a lower cost per token.
    value : [states]
        Relative value h of contexts.
    gain : float
        Most that going on can gain where nothing has been refused, g.
    threshold : float
        ``g / (g + draft_cost)``: to stop is optimal at any larger probability of a refusal so far.
    """

    best: Stopped
    lower: float
    value: np.ndarray
    gain: float
    threshold: float


class StoppingProblem:
    """Draft lengths of a pair of Markov models under token-wise verification.

    Parameters
    ----------
    target_model, draft_model : MarkovModel
        Of one order; contexts have one closed class under the target.
    max_length : int
    draft_cost, verify_cost : float

    Raises
    ------
    BadArgument, ShapeMismatch, TooLarge

    Examples
    --------
    >>> coin = MarkovModel.memoryless([0.5, 0.5])
    >>> StoppingProblem(coin, coin, 3, draft_cost=0.1).optimum().best.tokens_per_call
    4.0
    """

    def __init__(self, target_model: MarkovModel, draft_model: MarkovModel, max_length: int, *, draft_cost: float,
                 verify_cost: float = 1.0) -> None:
        check_models(target_model, draft_model)
        order = max(target_model.order, draft_model.order)
        # only the rows are used, so initial laws may be dropped
        self.target, self.draft = (MarkovModel(model.transition).lifted(order).rows
                                   for model in (target_model, draft_model))
        self.max_length = check_positive("max_length", max_length)
        self.draft_cost, self.verify_cost = check_cost("draft_cost", draft_cost), check_cost("verify_cost", verify_cost)
        self.states, self.size = self.target.shape
        nodes = self.states * float(self.size) ** max_length
        if nodes > MAX_NODES:
            raise TooLarge(f"{nodes:.3g} drafted prefixes, more than {MAX_NODES:.3g}. Fix: a shorter max_length.",
                           nodes)
        self._chance = np.where(self.draft > 0, np.minimum(1.0, self.target / np.where(self.draft > 0, self.draft, 1)),
                                0.0)
        self._after = (np.arange(self.states)[:, None] * self.size + np.arange(self.size)) % self.states

    # -- the tree of drafted prefixes -----------------------------------------------------------------------------

    @cached_property
    def _levels(self) -> list[dict[str, np.ndarray]]:
        """Per depth ``[states V^k]``: the context reached, the draft probability, the chance that all are accepted."""
        start = np.arange(self.states)[:, None]
        levels = [{"context": start, "share": np.ones(start.shape), "kept": np.ones(start.shape)}]
        for _ in range(self.max_length):
            last = levels[-1]

            def grown(name: str, rows: np.ndarray, last: dict[str, np.ndarray] = last) -> np.ndarray:
                return (last[name][..., None] * rows[last["context"]]).reshape(self.states, -1)

            levels.append({"context": self._after[last["context"]].reshape(self.states, -1),
                           "share": grown("share", self.draft), "kept": grown("kept", self._chance)})
        return levels

    def refusal_chances(self) -> list[np.ndarray]:
        """Probability of a refusal among the drafts so far, ``[states V^k]`` for each k."""
        return [1.0 - level["kept"] for level in self._levels]

    def threshold(self, threshold: float) -> Stopped:
        """Stop as soon as the probability of a refusal so far exceeds a threshold."""
        return self.evaluate([chance > threshold for chance in self.refusal_chances()])

    def fixed(self, length: int) -> Stopped:
        """Stop at a fixed length."""
        return self.evaluate([np.full(level["kept"].shape, depth >= length)
                              for depth, level in enumerate(self._levels)])

    def clairvoyant_cost(self) -> float:
        """Cost per token of drafting exactly what will be kept, at most ``max_length`` tokens."""
        tokens = self.fixed(self.max_length).tokens_per_call
        return (self.verify_cost + self.draft_cost * (tokens - 1)) / tokens

    # -- values ---------------------------------------------------------------------------------------------------

    def evaluate(self, stops: list[np.ndarray]) -> Stopped:
        """Exact numbers of a way to stop, from the stationary law of the contexts that its rounds start in."""
        tokens, drafts, step = self._round(stops)
        law = _stationary(step)
        emitted, drafted = float(law @ tokens), float(law @ drafts)
        cost = self.verify_cost + self.draft_cost * drafted
        return Stopped(cost / emitted, emitted, drafted, stops)

    def _round(self, stops: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tokens and drafts ``[states]`` of a round, and the law ``[states states]`` of the context it leaves."""
        going = np.ones((self.states, 1), dtype=bool)
        tokens, drafts = np.ones(self.states), np.zeros(self.states)
        step = np.zeros((self.states, self.states))
        rows = np.arange(self.states)
        for depth, level in enumerate(self._levels):
            weight = level["share"] * level["kept"] * going
            on = going & ~stops[depth] if depth < self.max_length else np.zeros_like(going)
            for law, here in ((self.target, weight * ~on), (self._refused, weight * on)):
                mass = here[..., None] * law[level["context"]]
                np.add.at(step, (rows[:, None, None], self._after[level["context"]]), mass)
            if depth == self.max_length:
                break
            drafts += (level["share"] * on).sum(axis=1)
            going = np.repeat(on, self.size, axis=1)
            tokens += (self._levels[depth + 1]["share"] * self._levels[depth + 1]["kept"] * going).sum(axis=1)
        return tokens, drafts, step

    @property
    def _refused(self) -> np.ndarray:
        """Mass ``[states V]`` of (refused, emitted token) of one draft: the residual, not normalised."""
        return np.maximum(self.target - self.draft, 0.0)

    def _worth(self, price: float, value: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Best worth ``[states]`` of a round and its decisions, given y and h, by backward induction.

        What a prefix is worth splits in two: what earlier refusals have settled, which no decision can change, and
        ``kept`` times what follows when nothing is refused. Only the second, and the cost of drafts, are compared.
        """
        bonus = (self.target * value[self._after]).sum(axis=1)
        refused = (self._refused * value[self._after]).sum(axis=1)
        stops: list[np.ndarray] = []
        best = np.empty(0)
        for depth in range(self.max_length, -1, -1):
            level = self._levels[depth]
            stop = level["kept"] * (price * (depth + 1) + bonus[level["context"]])
            if depth == self.max_length:
                best, chosen = stop, np.ones(stop.shape, dtype=bool)
            else:
                lost = 1.0 - (self.draft * self._chance)[level["context"]].sum(axis=-1)
                settled = level["kept"] * (lost * price * (depth + 1) + refused[level["context"]])
                below = (self.draft[level["context"]] * best.reshape(*stop.shape, self.size)).sum(axis=-1)
                go = settled + below - self.draft_cost
                chosen = go <= stop + TIE
                best = np.where(chosen, stop, go)
            stops.append(chosen)
        return best[:, 0] - self.verify_cost, stops[::-1]

    def optimum(self) -> Optimum:
        """Solve the decision process by policy iteration and certify the result.

        Raises
        ------
        NotCertified
            The two ends differ by more than 1e-10.
        """
        found = self.fixed(self.max_length)
        for _ in range(1000):
            tokens, drafts, step = self._round(found.stops)
            price = found.cost_per_token
            reward = price * tokens - self.verify_cost - self.draft_cost * drafts
            value = _relative_value(step, reward)
            worth, stops = self._worth(price, value)
            better = self.evaluate(stops)
            if better.cost_per_token >= price - 1e-15:
                break
            found = better
        # a round emits at least one token, so no policy saves more than this per token
        lower = price - max(0.0, float((worth - value).max()))
        if price - lower > 1e-10:
            raise NotCertified(f"cost per token between {lower!r} and {price!r}. Fix: report this pair.",
                               price - lower)
        bonus = (self.target * value[self._after]).sum(axis=1)
        gain = float((worth + self.verify_cost - price - bonus).max())
        return Optimum(found, lower, value, gain, gain / (gain + self.draft_cost))

    def best_threshold(self) -> tuple[float, Stopped]:
        """The best of all thresholds, found by trying every probability that occurs.

        Raises
        ------
        TooLarge
            More than 4096 different ones.
        """
        values = np.unique(np.concatenate([part.ravel() for part in self.refusal_chances()]).round(13))
        if values.size > 4096:
            raise TooLarge(f"{values.size} thresholds to try, more than 4096. Fix: a shorter max_length.", values.size)
        tried = [(float(value) + 1e-12, self.threshold(float(value) + 1e-12)) for value in (-1.0, *values)]
        return min(tried, key=lambda pair: pair[1].cost_per_token)


def _stationary(step: np.ndarray) -> np.ndarray:
    """Stationary law of the contexts in which rounds start."""
    return MarkovModel(step / step.sum(axis=1, keepdims=True)).initial


def _relative_value(step: np.ndarray, reward: np.ndarray) -> np.ndarray:
    """H with ``h = reward + step h``, its mean zero; solvable because the stationary mean of the reward is zero."""
    size = len(reward)
    system = np.concatenate([np.eye(size) - step, np.ones((1, size))])
    return np.linalg.lstsq(system, np.append(reward, 0.0), rcond=None)[0]
