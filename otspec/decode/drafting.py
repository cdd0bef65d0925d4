"""How the paths of one round are drawn, and how many of their tokens survive.

A *round* drafts ``K`` paths of ``L`` tokens, lets the target model score all of them at once, keeps a prefix of one
path and adds one token more. A `Method` says which tokens to draft and which to keep:

* `TokenPaths`: a token rule decides depth by depth. The paths that agree with the text so far hold i.i.d. drafts of
  the next token, so the rule bound to ``K`` draws with replacement applies with the number of survivors in place of
  ``K``; the text has the target's law because each emitted token has, given all before it.
* `BlockPath`: a block rule looks at one whole path; `otspec.decode.whole_paths` holds those that look at ``K`` whole
  paths, or carry a state.
* `Coupled`: both models select their tokens with the same noise, keyed by sequence and absolute position; the emitted
  tokens are those of the target, whatever was drafted.
* `Plain`: no drafts, the reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from otspec.core.checks import check_positive
from otspec.core.drafters import Independent, Joint
from otspec.core.errors import BadArgument, SchemeMismatch
from otspec.core.laws import draw
from otspec.core.noise import Noise
from otspec.core.schemes import DraftScheme, WithReplacement, as_scheme
from otspec.decode.cache import CachedModel, laws


class Depth(NamedTuple):
    """What a rule saw at one depth: laws ``[B V]``, drafts ``[B K]`` (-1: dead), and which rows got there ``[B]``."""

    target: Any
    draft: Any
    drafts: Any
    reached: Any


class Outcome(NamedTuple):
    """Number of drafts kept ``[B]``, the token after them ``[B]``, the path that holds them ``[B]``, and the trail.

    The trail is what a prediction needs beside the laws: the depths that were judged, or the states before the round.
    """

    accepted: Any
    token: Any
    path: Any
    trail: list[Any]


@dataclass(frozen=True)
class Method:
    """How to draft and verify; `num_uniforms` numbers per sequence and round feed both, drafting first."""

    paths: int
    draft_length: int

    @property
    def num_uniforms(self) -> int:
        """Uniforms per sequence and round."""
        return 0

    def propose(self, depth: int, law: Any, uniforms: Any, noise: Any) -> Any:
        """Next tokens ``[B K]`` of all paths from their laws ``[B K V]``."""
        raise NotImplementedError

    def started(self, size: int) -> Method:
        """Return the method for a batch of ``size`` texts that begin; one without memory serves every batch."""
        return self

    def judge(self, target_rows: Any, draft_rows: Any, tokens: Any, uniforms: Any, noise: Any) -> Outcome:
        """Verify ``tokens [B K L]`` under ``target_rows [B K L+1 V]`` and ``draft_rows [B K L V]``."""
        raise NotImplementedError


@dataclass(frozen=True)
class TokenPaths(Method):
    """A token rule on ``K`` paths."""

    rule: Any

    @property
    def num_uniforms(self) -> int:
        """Drafts, then the rule's numbers for every depth, then one for the token after a full path."""
        drafting = self.rule.scheme.num_uniforms + self.paths * (self.draft_length - 1)
        return drafting + self.draft_length * self.rule.num_uniforms + 1

    def propose(self, depth: int, law: Any, uniforms: Any, noise: Any) -> Any:
        """Draw the scheme's list at the first depth, one continuation per path later."""
        start = self.rule.scheme.num_uniforms
        if depth == 0:
            return self.rule.scheme._sample(law[:, 0], uniforms[:, :start])
        start += self.paths * (depth - 1)
        return draw(law, uniforms[:, start : start + self.paths])

    def judge(self, target_rows: Any, draft_rows: Any, tokens: Any, uniforms: Any, noise: Any) -> Outcome:
        """Apply the rule to the surviving copies, depth by depth."""
        import torch

        size, _, length = tokens.shape
        each = torch.arange(size, device=tokens.device)
        alive = torch.ones_like(tokens[:, :, 0], dtype=torch.bool)
        reached = torch.ones_like(each, dtype=torch.bool)
        accepted, token = torch.zeros_like(each), torch.zeros_like(each)
        width = self.rule.num_uniforms
        coins = uniforms[:, self.num_uniforms - 1 - length * width :]
        trail = []
        for depth in range(length):
            # survivors share their prefix, hence their laws; the first one's rows stand for all
            first = alive.int().argmax(dim=1)
            rows = Depth(target_rows[each, first, depth], draft_rows[each, first, depth],
                         _compact(tokens[:, :, depth], alive), reached)
            trail.append(rows)
            emitted = self._emitted(rows, coins[:, depth * width : (depth + 1) * width])
            hit = alive & (tokens[:, :, depth] == emitted[:, None])
            token = torch.where(reached, emitted, token)
            reached = reached & hit.any(dim=1)
            accepted = accepted + reached
            alive = torch.where(reached[:, None], hit, alive)
        first = alive.int().argmax(dim=1)
        bonus = draw(target_rows[each, first, length], coins[:, -1])
        return Outcome(accepted, torch.where(reached, bonus, token), first, trail)

    def _emitted(self, rows: Depth, coins: Any) -> Any:
        """Token of every row; on the CPU the rule is spared the rows that were decided before."""
        if rows.reached.device.type != "cpu":  # choosing rows would make the host wait for the device
            return _ask(self.rule._draw, rows.target, rows.draft, rows.drafts, coins)
        token = rows.drafts.new_zeros(len(rows.drafts))
        if rows.reached.any():
            chosen = (array[rows.reached] for array in (rows.target, rows.draft, rows.drafts, coins))
            token[rows.reached] = _ask(self.rule._draw, *chosen)
        return token


@dataclass(frozen=True)
class BlockPath(Method):
    """A block rule on one path."""

    rule: Any

    @property
    def num_uniforms(self) -> int:
        """One per draft, then the rule's own."""
        return self.draft_length + self.rule.num_uniforms(self.draft_length)

    def propose(self, depth: int, law: Any, uniforms: Any, noise: Any) -> Any:
        """Draw one continuation."""
        return draw(law, uniforms[:, depth : depth + 1])

    def judge(self, target_rows: Any, draft_rows: Any, tokens: Any, uniforms: Any, noise: Any) -> Outcome:
        """Ask the rule."""
        import torch

        accepted, token = _ask(self.rule._draw, target_rows[:, 0], draft_rows[:, 0], tokens[:, 0],
                               uniforms[:, self.draft_length :])
        return Outcome(accepted, token, torch.zeros_like(token), [])


@dataclass(frozen=True)
class Coupled(Method):
    """A coupling: the target's tokens, and drafts that guess them with the same noise."""

    coupling: Any

    def propose(self, depth: int, law: Any, uniforms: Any, noise: Any) -> Any:
        """Select with the noise of the token's own position."""
        return _ask(self.coupling._select, law[:, 0], noise(depth))[:, None]

    def judge(self, target_rows: Any, draft_rows: Any, tokens: Any, uniforms: Any, noise: Any) -> Outcome:
        """Select the target's tokens and keep the drafts up to the first that differs."""
        import torch

        length = self.draft_length
        chosen = torch.stack([_ask(self.coupling._select, target_rows[:, 0, i], noise(i)) for i in range(length + 1)],
                             dim=1)
        same = (chosen[:, :length] == tokens[:, 0]).long().cumprod(dim=1)
        accepted = same.sum(dim=1)
        reached = torch.cat([torch.ones_like(accepted)[:, None], same], dim=1).bool()
        trail = [Depth(target_rows[:, 0, i], draft_rows[:, 0, i], tokens[:, :, i], reached[:, i])
                 for i in range(length)]
        token = chosen.gather(1, accepted[:, None])[:, 0]
        return Outcome(accepted, token, torch.zeros_like(token), trail)


@dataclass(frozen=True)
class Plain(Method):
    """Autoregressive sampling from the target alone."""

    @property
    def num_uniforms(self) -> int:
        """One per token."""
        return 1

    def judge(self, target_rows: Any, draft_rows: Any, tokens: Any, uniforms: Any, noise: Any) -> Outcome:
        """Draw from the target's law."""
        import torch

        token = draw(target_rows[:, 0, 0], uniforms[:, 0])
        return Outcome(torch.zeros_like(token), token, torch.zeros_like(token), [])


def method(verifier: Any, scheme: DraftScheme | int, draft_length: int) -> Method:
    """Return the method that a verifier's name or object stands for.

    Raises
    ------
    UnknownName
        No verifier and no coupling has that name.
    SchemeMismatch
        Several paths for a rule that reads one, a scheme without replacement with ``draft_length > 1`` or for a tree
        rule, or another scheme than that of an object.
    BadArgument
        ``draft_length < 1`` where something is to be drafted.
    """
    from otspec.core.block import BlockVerifier
    from otspec.core.coupling import Coupling
    from otspec.core.tree_verifier import TreeVerifier
    from otspec.core.verifier import TokenVerifier
    from otspec.couplings import coupling, list_couplings
    from otspec.decode.whole_paths import GreedyPath
    from otspec.verifiers import verifier as make_verifier
    from otspec.verifiers.block.greedy_block import GreedyBlock

    scheme = as_scheme(scheme)
    if isinstance(verifier, str):
        verifier = coupling(verifier) if verifier in list_couplings() else make_verifier(verifier, scheme)
    elif isinstance(verifier, (TokenVerifier, TreeVerifier)):
        # an object brings its scheme; one draft is what `generate` passes on where nothing was asked for
        scheme = make_verifier(verifier, None if scheme == WithReplacement(1) else scheme).scheme
    if verifier is None or (isinstance(verifier, Coupling) and draft_length == 0):
        return Plain(1, 0) if verifier is None else Coupled(1, 0, verifier)
    draft_length = check_positive("draft_length", draft_length)
    if isinstance(verifier, TokenVerifier):
        return _token_paths(verifier, scheme, draft_length)
    if isinstance(verifier, TreeVerifier):
        return _tree_paths(verifier, scheme, draft_length)
    for kind, make in ((GreedyBlock, partial(GreedyPath, states=[])), (BlockVerifier, BlockPath), (Coupling, Coupled)):
        if isinstance(verifier, kind):
            if scheme != WithReplacement(1):
                raise SchemeMismatch(f"{verifier!r} reads one path; got {scheme}. Fix: scheme=1.")
            return make(1, draft_length, verifier)
    raise BadArgument(f"verifier: {verifier!r} is no token rule, block rule, tree rule or coupling. "
                      f"Fix: give a name of otspec.list_verifiers() or otspec.list_couplings(), or None.")


def _tree_paths(rule: Any, scheme: DraftScheme, draft_length: int) -> Method:
    from otspec.core.walk import TokenWalk
    from otspec.decode.whole_paths import TreePaths

    if isinstance(rule, TokenWalk):  # the same tokens from the same numbers, and predicted exactly
        return _token_paths(rule.rule, scheme, draft_length)
    if not isinstance(scheme, WithReplacement):
        raise SchemeMismatch(f"{rule!r} verifies drafted trees; the decoder drafts independent paths. "
                             f"Fix: a tree rule bound to WithReplacement(k), or conditional(tree, ...) on a DraftTree.")
    rule.num_uniforms(draft_length)  # a rule for trees only says so here, before any model runs
    return TreePaths(scheme.num_drafts, draft_length, rule)


def _token_paths(rule: Any, scheme: DraftScheme, draft_length: int) -> TokenPaths:
    if isinstance(scheme, (Independent, Joint)):
        raise SchemeMismatch(f"scheme: {scheme} needs several drafters. Fix: scheme=WithReplacement(k).")
    if draft_length > 1 and not isinstance(scheme, WithReplacement):
        raise SchemeMismatch(f"draft_length: {draft_length} tokens deep, {scheme} is not decoded: survivors of such "
                             f"drafts are no longer draws by the scheme. Fix: draft_length=1, or WithReplacement(k).")
    return TokenPaths(scheme.num_drafts, draft_length, rule)


def draft_paths(model: CachedModel, how: Method, current: Any, positions: Any, mask: Any, warp: dict[str, Any],
                uniforms: Any, noise: Any) -> tuple[Any, Any]:
    """Draft the paths of one round; the model also reads their last tokens, so its cache holds whole paths.

    Parameters
    ----------
    current : [B K] int64
        The last token of the text, which no cache holds yet.
    positions : [B K]
        Its position.
    mask : [B K slots + L + 1] bool
    warp : dict
        Arguments of ``law_from_logits``.

    Returns
    -------
    tokens : [B K L] int64
    rows : [B K L V] float64
        The laws they were drawn from.
    """
    import torch

    size, paths = current.shape
    slots = mask.shape[-1] - how.draft_length - 1
    mask = mask.flatten(0, 1)
    tokens = current.new_zeros((size, paths, 0))
    rows = []
    for depth in range(how.draft_length + 1):
        logits = model.read(current.reshape(-1, 1), (positions + depth).reshape(-1, 1), mask[:, : slots + depth + 1])
        if depth == how.draft_length:
            break
        law = shared_rows(laws(logits[:, -1], warp, "draft").unflatten(0, (size, paths)), tokens)
        rows.append(law)
        current = how.propose(depth, law, uniforms, noise)
        tokens = torch.cat([tokens, current[..., None]], dim=-1)
        current = current.clamp(min=0)  # an absent draft still takes its slot; it is never accepted
    return tokens, torch.stack(rows, dim=2)


def shared_rows(law: Any, tokens: Any) -> Any:
    """Give copies with one prefix bit-identical laws; a batched model may differ between rows in the last digits."""
    import torch

    if law.shape[1] == 1:
        return law
    same = (tokens[:, :, None] == tokens[:, None]).all(dim=-1)
    leader = same.int().argmax(dim=-1)
    return torch.take_along_dim(law, leader[..., None], dim=1)


def shared_targets(rows: Any, tokens: Any) -> Any:
    """Target laws ``[B K L+1 V]`` of paths ``[B K L]``, those after one prefix bit-identical."""
    import torch

    if rows.shape[1] == 1:
        return rows
    return torch.stack([shared_rows(rows[:, :, i], tokens[:, :, :i]) for i in range(rows.shape[2])], dim=2)


def _compact(tokens: Any, alive: Any) -> Any:
    """Move the living drafts ``[B K]`` to the front, in order, and replace the dead by -1."""
    order = (~alive).long().argsort(dim=1, stable=True)
    return tokens.masked_fill(~alive, -1).gather(1, order)


def streams(seed: int, first: int, count: int) -> list[np.random.Generator]:
    """One stream of uniforms per sequence, so that a text depends on neither the batch nor the device."""
    # an unsigned key: a list of large ints would pass through float64, and neighbouring streams would coincide
    keys = (np.array([seed, number], dtype=np.uint64) for number in range(first, first + count))
    return [np.random.Generator(np.random.Philox(key=key)) for key in keys]


def check_seed(seed: Any) -> int:
    """Return a seed as an int in ``0 .. 2**64 - 1``."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 1 << 64:
        raise BadArgument(f"seed: {seed!r} is no whole number in 0 .. 2**64-1. Fix: seed=0.")
    return int(seed)


def sequence_seeds(seed: int, first: int, count: int) -> np.ndarray:
    """Seeds ``[count]`` int64 of the noise of every sequence: a hash, so that runs with seeds 0 and 1 share none."""
    words = [np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0] for number in
             range(first, first + count)]
    return np.asarray(words, dtype=np.uint64).view(np.int64)


def _ask(function: Any, *arguments: Any, dtype: Any = np.int64) -> Any:
    """Call a rule on tensors; on the CPU as NumPy views of them, which is what rules without a torch form need."""
    import torch

    if arguments[0].device.type != "cpu":
        return function(*arguments)
    views = [a.numpy() if isinstance(a, torch.Tensor) else a for a in arguments]
    views = [a.like(views[0]) if isinstance(a, Noise) else a for a in views]
    answer = function(*views)
    if isinstance(answer, tuple):
        return tuple(torch.from_numpy(np.array(part, dtype=dtype)) for part in answer)
    return torch.from_numpy(np.array(answer, dtype=dtype))
