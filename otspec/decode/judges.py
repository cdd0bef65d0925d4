"""How the drafts of a round are judged: a verifier, seen from the decoder.

A judge takes the laws after all nodes and gives the node where each text stops, the token after it, and, if asked, the
number of drafts that it was expected to keep. It knows nothing of models or caches.

* `TokenWalkJudge`: a token rule decides depth by depth. The paths that agree with the text so far hold i.i.d. drafts of
  the next token, so the rule bound to ``K`` draws with replacement applies with the number of survivors in place of
  ``K``; the text has the target's law because each emitted token has, given all before it.
* `ChainJudge`: a block rule on one path; `StatefulJudge`: one with a memory, which makes it lossless over many rounds.
* `PathsJudge`: a rule that sees ``K`` whole paths; `TreeJudge`: a rule on drafted trees.
* `CoupledJudge`: the target's tokens are selected with shared noise, whatever was drafted; `PlainJudge`: no drafts.

``E_r``, the expectation of what round ``r`` keeps, is conditioned on what was known before the coins it averages over:
the acceptance of the rule at each depth reached, the expected length given the block, an unbiased estimate with coins
of its own, or the agreement of the coupling at the rows reached (of its lists, estimated with noise of its own).
"""

from __future__ import annotations

import inspect
import itertools
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from otspec.core.errors import BadArgument
from otspec.core.host import to_host
from otspec.core.laws import draw, one_hot
from otspec.core.noise import Noise
from otspec.core.schemes import WithReplacement, as_scheme
from otspec.core.survivors import Survivors
from otspec.decode.asking import ask
from otspec.decode.drafters.base import Draft
from otspec.decode.drafters.paths import along_paths, shared_targets
from otspec.decode.recorded import Recorder

ESTIMATES = 16  # independent noises of one prediction


class Depth(NamedTuple):
    """What a rule saw at one depth: laws ``[B V]``, drafts ``[B K]`` (-1: dead), and which rows got there ``[B]``."""

    target: Any
    draft: Any
    drafts: Any
    reached: Any


class Outcome(NamedTuple):
    """Drafts kept ``[B]``, the token after them ``[B]``, and the nodes of a way that begins with those kept ``[B D]``.

    The trail is what a prediction needs beside the laws: the depths that were judged, or the states before the round.
    """

    accepted: Any
    token: Any
    nodes: Any
    trail: list[Any]


class Judge(ABC):
    """Base of the judges: one that keeps nothing from round to round.

    Attributes
    ----------
    num_uniforms : int
        Uniform numbers per text and round.
    """

    @property
    def num_uniforms(self) -> int:
        """None, unless a judge says otherwise."""
        return 0

    @cached_property
    def recorder(self) -> Recorder:
        """Of the rule's calls on a CUDA device."""
        return Recorder()

    def begin(self, size: int) -> None:  # noqa: B027 (nothing to keep)
        """Make place for ``size`` texts."""

    def renew(self, rows: list[int]) -> None:  # noqa: B027 (nothing to keep)
        """New texts begin in these rows."""

    def select(self, rows: list[int]) -> None:  # noqa: B027 (nothing to keep)
        """Keep these rows, in this order."""

    @abstractmethod
    def judge(self, target_rows: Any, draft: Draft, uniforms: Any, noise: Any) -> Outcome:
        """Verify a draft under ``target_rows [B N+1 V]``, the law after the text first."""

    @abstractmethod
    def expected(self, target_rows: Any, draft: Draft, outcome: Outcome, uniforms: Any) -> np.ndarray:
        """Expected number of drafts kept, ``[B]`` float64 on the host."""


def path_nodes(path: Any, paths: int, depth: int) -> Any:
    """Node numbers ``[B depth]`` of one path each of K paths."""
    import torch

    return path[:, None] + torch.arange(depth, device=path.device) * paths + 1


class _OnPaths(Judge):
    """Judges of K paths of L tokens: they see rows and tokens along the paths."""

    def __init__(self, rule: Any, paths: int, length: int) -> None:
        self.rule, self.paths, self.length = rule, paths, length

    def _tokens(self, draft: Draft) -> Any:
        return draft.tokens.unflatten(1, (self.length, self.paths)).transpose(1, 2)

    def _views(self, target_rows: Any, draft: Draft) -> tuple[Any, Any, Any]:
        return along_paths(target_rows, self.paths), draft.rows, self._tokens(draft)

    def _outcome(self, accepted: Any, token: Any, path: Any, trail: list[Any]) -> Outcome:
        return Outcome(accepted, token, path_nodes(path, self.paths, self.length), trail)


class TokenWalkJudge(_OnPaths):
    """A token rule, depth by depth."""

    @property
    def num_uniforms(self) -> int:
        """The rule's numbers for every depth, then one for the token after a full path."""
        return self.length * self.rule.num_uniforms + 1

    def judge(self, target_rows: Any, draft: Draft, uniforms: Any, noise: Any) -> Outcome:
        """Apply the rule to the surviving copies."""
        import torch

        target, rows, tokens = target_rows, draft.rows, self._tokens(draft)
        walk, width = Survivors(tokens), self.rule.num_uniforms
        each, token, trail = torch.arange(len(tokens), device=tokens.device), torch.zeros_like(walk.first), []
        for depth in range(self.length):
            # survivors share their prefix, hence their laws; the first one's rows stand for all
            node = walk.first + (depth - 1) * self.paths + 1 if depth else walk.first
            here = Depth(target[each, node], rows[each, walk.first, depth], walk.drafts(depth), walk.reached)
            trail.append(here)
            emitted = self._emitted(here, uniforms[:, depth * width : (depth + 1) * width])
            token = torch.where(walk.reached, emitted, token)
            walk.step(depth, emitted)
        bonus = draw(target[each, walk.first + (self.length - 1) * self.paths + 1], uniforms[:, -1])
        return self._outcome(walk.accepted, torch.where(walk.reached, bonus, token), walk.first, trail)

    def _emitted(self, here: Depth, coins: Any) -> Any:
        """Token of every row; on the CPU the rule is spared the rows that were decided before."""
        if here.reached.device.type != "cpu":  # choosing rows would make the host wait for the device
            return ask(self.rule._draw, here.target, here.draft, here.drafts, coins, recorder=self.recorder)
        token = here.drafts.new_zeros(len(here.drafts))
        if here.reached.any():
            chosen = (array[here.reached] for array in (here.target, here.draft, here.drafts, coins))
            token[here.reached] = ask(self.rule._draw, *chosen)
        return token

    def expected(self, target_rows: Any, draft: Draft, outcome: Outcome, uniforms: Any) -> np.ndarray:
        """Acceptance of the rule at every depth reached, with as many drafts as there were survivors."""
        return _over_depths(outcome.trail, len(target_rows), lambda here, rows: _chance(self.rule, here))


class ChainJudge(_OnPaths):
    """A block rule on one path."""

    @property
    def num_uniforms(self) -> int:
        """Those of the rule."""
        return self.rule.num_uniforms(self.length)

    def judge(self, target_rows: Any, draft: Draft, uniforms: Any, noise: Any) -> Outcome:
        """Ask the rule."""
        accepted, token = ask(self.rule._draw, target_rows, draft.rows[:, 0], draft.tokens, uniforms,
                              recorder=self.recorder)
        return self._outcome(accepted, token, accepted * 0, [])

    def expected(self, target_rows: Any, draft: Draft, outcome: Outcome, uniforms: Any) -> np.ndarray:
        """Expected tokens kept of the block."""
        return to_host(self.rule.expected_accepted(*map(to_host, (target_rows, draft.rows[:, 0], draft.tokens))))


class StatefulJudge(_OnPaths):
    """A block rule that carries a state from round to round; on the host: for measuring, not for speed."""

    def __init__(self, rule: Any, paths: int, length: int, fresh: Any) -> None:
        super().__init__(rule, paths, length)
        self._fresh: Any = fresh
        self._states: list[Any] = []

    @property
    def num_uniforms(self) -> int:
        """Those of the rule."""
        return self.rule.num_uniforms(self.length)

    def begin(self, size: int) -> None:
        """Every text begins with a fresh state."""
        self._states = [self._fresh] * size

    def renew(self, rows: list[int]) -> None:
        """New texts begin."""
        for row in rows:
            self._states[row] = self._fresh

    def select(self, rows: list[int]) -> None:
        """Keep these rows."""
        self._states = [self._states[row] for row in rows]

    def judge(self, target_rows: Any, draft: Draft, uniforms: Any, noise: Any) -> Outcome:
        """Ask the rule; the trail holds the states it was asked with."""
        import torch

        before = list(self._states)
        given = map(to_host, (target_rows, draft.rows[:, 0], draft.tokens, uniforms))
        kept, emitted, self._states = self.rule.draw_texts(*given, before)
        accepted, token = (torch.from_numpy(numbers).to(target_rows.device) for numbers in (kept, emitted))
        return self._outcome(accepted, token, torch.zeros_like(token), before)

    def expected(self, target_rows: Any, draft: Draft, outcome: Outcome, uniforms: Any) -> np.ndarray:
        """Mean number kept, given the path and the state before the round."""
        return self.rule.expected_texts(*map(to_host, (target_rows, draft.rows[:, 0], draft.tokens)), outcome.trail)


class PathsJudge(_OnPaths):
    """A rule on K independent paths."""

    @property
    def num_uniforms(self) -> int:
        """The rule's own, and as many again for the prediction."""
        return 2 * self.rule.num_uniforms(self.length)

    def judge(self, target_rows: Any, draft: Draft, uniforms: Any, noise: Any) -> Outcome:
        """Ask the rule."""
        target, rows, tokens = self._views(target_rows, draft)
        coins = uniforms[:, : self.num_uniforms // 2]
        accepted, token, path = ask(self.rule._draw_paths, shared_targets(target, tokens), rows, tokens, coins,
                                    recorder=self.recorder)
        return self._outcome(accepted, token, path, [])

    def expected(self, target_rows: Any, draft: Draft, outcome: Outcome, uniforms: Any) -> np.ndarray:
        """The rule's unbiased estimate on the same paths, with coins that no verdict depends on."""
        target, rows, tokens = self._views(target_rows, draft)
        coins = uniforms[:, self.num_uniforms // 2 :]
        return to_host(ask(self.rule._expected_paths, shared_targets(target, tokens), rows, tokens, coins,
                           dtype=np.float64))


class CoupledJudge(_OnPaths):
    """The target's own tokens by shared noise; drafts count where they guessed them."""

    @property
    def num_uniforms(self) -> int:
        """One for the prediction of lists; verdicts need none."""
        return int(self.paths > 1 or self.rule.num_drafts > 1)

    def judge(self, target_rows: Any, draft: Draft, uniforms: Any, noise: Any) -> Outcome:
        """Select the target's tokens, and keep the path that holds them up to the first that none does."""
        import torch

        tokens = self._tokens(draft) if self.length else draft.tokens[:, None]
        walk = Survivors(tokens)
        each, token, trail = torch.arange(len(tokens), device=tokens.device), torch.zeros_like(walk.first), []
        for depth in range(self.length + 1):
            node = walk.first + (depth - 1) * self.paths + 1 if depth else walk.first
            target = target_rows[each, node]
            chosen = ask(self.rule._select, target, noise(depth))
            token = torch.where(walk.reached, chosen, token)
            if depth == self.length:
                break
            trail.append(Depth(target, draft.rows[each, walk.first, depth], walk.drafts(depth), walk.reached))
            walk.step(depth, chosen)
        return self._outcome(walk.accepted, token, walk.first, trail)

    def expected(self, target_rows: Any, draft: Draft, outcome: Outcome, uniforms: Any) -> np.ndarray:
        """Agreement of the coupling at every depth reached, with as many drafts as there were survivors."""
        if not self.num_uniforms:
            return _over_depths(outcome.trail, len(target_rows), lambda here, rows: self._agreement(here))
        # a seed for every depth, so that no noise serves two of them
        depths = itertools.count()
        seeds = (to_host(uniforms[:, -1]) * 2.0**62).astype(np.int64)
        return _over_depths(outcome.trail, len(target_rows),
                            lambda here, rows: self._estimated(here, seeds[rows] + next(depths)))

    def _agreement(self, here: Depth) -> np.ndarray:
        agreement = self.rule.agreement(here.target, here.draft)
        if agreement is None:
            raise BadArgument(f"verifier: {self.rule!r} has no exact agreement to predict from. Fix: predict=False.")
        return np.asarray(agreement)

    def _estimated(self, here: Depth, seeds: np.ndarray) -> np.ndarray:
        """Unbiased estimate with noise that no verdict depends on; exact forms of lists take too long to be asked."""
        found = np.empty(len(seeds))
        for count, rows in _by_survivors(here):
            noise = Noise(seeds[rows][:, None], np.arange(ESTIMATES))
            drafts = self.rule._select_list(here.draft[rows][:, None], noise, count)
            token = self.rule._select(here.target[rows][:, None], noise)
            found[rows] = (drafts == token[..., None]).any(axis=-1).mean(axis=-1)
        return found


class PlainJudge(Judge):
    """Autoregressive sampling from the target alone."""

    num_uniforms = 1

    def judge(self, target_rows: Any, draft: Draft, uniforms: Any, noise: Any) -> Outcome:
        """Draw from the target's law."""
        import torch

        token = draw(target_rows[:, 0], uniforms[:, 0])
        return Outcome(torch.zeros_like(token), token, token.new_zeros(len(token), 0), [])

    def expected(self, target_rows: Any, draft: Draft, outcome: Outcome, uniforms: Any) -> np.ndarray:
        """None."""
        return np.zeros(len(target_rows))


def _over_depths(trail: list[Depth], size: int, chance: Any) -> np.ndarray:
    """Sum ``[size]`` of a chance over the depths that each row reached; it is asked with those rows, and which."""
    expected = np.zeros(size)
    for depth in trail:
        depth = Depth(*map(to_host, depth))
        rows = np.flatnonzero(depth.reached)
        if rows.size == 0:
            break
        expected[rows] += chance(Depth(*(array[rows] for array in depth)), rows)
    return expected


def _chance(rule: Any, depth: Depth) -> np.ndarray:
    """Probability that the emitted token is a draft, row by row; only draws with replacement lose copies."""
    if not isinstance(rule.scheme, WithReplacement):
        return chance_of(rule, depth)
    chance = np.empty(len(depth.drafts))
    for count, rows in _by_survivors(depth):
        part = Depth(*(array[rows] for array in depth))
        chance[rows] = chance_of(bound_to(rule, count), part._replace(drafts=part.drafts[:, :count]))
    return chance


def _by_survivors(depth: Depth) -> list[tuple[int, np.ndarray]]:
    """Numbers of living drafts that occur, each with its rows."""
    present = (depth.drafts >= 0).sum(axis=1)
    return [(int(count), np.flatnonzero(present == count)) for count in np.unique(present)]


def chance_of(rule: Any, depth: Depth) -> np.ndarray:
    """Probability ``[B]`` that a draft is emitted: the acceptance of the rule, or the mass of the drafts at hand."""
    chance = None if rule.acceptance_is_slow else rule.acceptance(depth.target, depth.draft)
    if chance is not None:
        return np.asarray(chance)
    law = rule.conditional(depth.target, depth.draft, depth.drafts)
    drafted = np.zeros(law.shape, dtype=bool)
    for column in depth.drafts.T:  # a token drafted twice counts once
        drafted |= one_hot(column, law.shape[-1], np.float64) > 0
    return np.where(drafted, law, 0).sum(axis=-1)


def bound_to(rule: Any, scheme: Any) -> Any:
    """Return the same rule, with the same parameters, for another scheme; an int means draws with replacement."""
    scheme = as_scheme(scheme)
    if rule.scheme == scheme:
        return rule
    names = [name for name in inspect.signature(type(rule)).parameters if name != "scheme"]
    return type(rule)(scheme, **{name: getattr(rule, name) for name in names})
