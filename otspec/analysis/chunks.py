"""Laws of the chunk that one block emits, after every context, by enumeration.

A chunk is the tokens kept and one more. Rules that see whole paths are asked about every drafted path or tree; token
rules and couplings are given by one-step laws, applied at each depth to the copies that have survived.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from otspec.analysis.paths import tree_chunks
from otspec.core.block import BlockVerifier
from otspec.core.coupling import Coupling
from otspec.core.errors import BadArgument, SchemeMismatch, TooLarge
from otspec.core.markov import MarkovModel
from otspec.core.schemes import WithReplacement
from otspec.core.sequence import SequenceVerifier
from otspec.core.verifier import TokenVerifier

Array = Any
# floats that one call may hold: 1.6 GB
MAX_SIZE = 2e8


def agreed_law(rule: Coupling, target: Array, draft: Array) -> Array:
    """Exact law of the token that both parties select, ``[*batch V]``, or an error that says what to do instead."""
    agreed = rule.agreed_law(target, draft)
    if agreed is None:
        raise BadArgument(f"{rule!r} has no exact law of the agreed token. Fix: measure it by decoding.")
    return agreed


def refuse(size: float, what: str, shorter: str) -> None:
    """Raise `TooLarge` if an enumeration would need more than `MAX_SIZE` floats."""
    if size > MAX_SIZE:
        raise TooLarge(f"enumerating all {what} needs {size:.3g} floats, more than {MAX_SIZE:.0e}. Fix: a smaller "
                       f"{shorter} or vocabulary, or trace_block_efficiency on sampled paths.", size)


def chunk_laws(rule: Any, target: MarkovModel, draft: MarkovModel, length: int) -> list[np.ndarray]:
    """Law of the chunk after each context: for n = 0 .. L kept tokens, ``[V**m V**n V]``.

    Of a rule that carries a state, the first chunk of a text.
    """
    if isinstance(rule, BlockVerifier):
        return _path_chunks(rule, target, draft, length)
    if isinstance(rule, SequenceVerifier):
        return tree_chunks(rule, target, draft, length)
    if isinstance(rule, Coupling):
        steps = _coupling_steps(rule, target, draft)
    else:
        steps = _token_steps(rule, target, draft, length)
    return _stepped_chunks(steps, target, length)


def _path_chunks(rule: BlockVerifier, target: MarkovModel, draft: MarkovModel, length: int) -> list[np.ndarray]:
    """Chunks of a rule that sees the whole path: every path from every context."""
    size, states = target.vocabulary, len(target.rows)
    paths = size**length
    # rows of both models, residual laws and their temporaries for the paths of one context, and the result
    refuse(paths * size * (5.0 * (length + 1) + 2.0 * states), "paths", "draft_length")
    digits = np.arange(paths)[:, None] // size ** np.arange(length, -1, -1)
    tokens = digits[:, 1:] % size
    chunks = [np.zeros((states, size**kept, size)) for kept in range(length + 1)]
    for context in range(states):
        # digits[:, i] numbers the prefix of length i
        reached = (context * size ** np.arange(length + 1) + digits) % states
        draft_rows = draft.rows[reached[:, :-1]]
        weight = np.take_along_axis(draft_rows, tokens[..., None], axis=-1)[..., 0].prod(axis=1)
        drawn = weight > 0  # a rule may divide by the chance of a draft, so it is not asked about others
        verdict = rule.conditional(target.rows[reached[drawn]], draft_rows[drawn], tokens[drawn])
        for kept, chunk in enumerate(chunks):
            mass = np.zeros((paths, size))
            mass[drawn] = (weight[drawn] * verdict.stop[:, kept])[:, None] * verdict.following[:, kept]
            chunk[context] = mass.reshape(size**kept, -1, size).sum(axis=1)
    return chunks


def _coupling_steps(rule: Coupling, target: MarkovModel, draft: MarkovModel) -> np.ndarray:
    agreed = np.asarray(agreed_law(rule, target.rows, draft.rows))
    steps = np.zeros((len(agreed), 2, target.vocabulary, 2))
    steps[:, 1, :, 1] = agreed
    steps[:, 1, :, 0] = np.maximum(target.rows - agreed, 0.0)
    return steps


def _token_steps(rule: TokenVerifier, target: MarkovModel, draft: MarkovModel, length: int) -> np.ndarray:
    """Law of (emitted token, copies of it) given n surviving copies, ``[V**m K+1 V K+1]``."""
    count, size, states = rule.scheme.num_drafts, target.vocabulary, len(target.rows)
    independent = isinstance(rule.scheme, WithReplacement)
    if not independent and length > 1:
        raise SchemeMismatch(f"{rule!r}: paths that survive together must be independent draws, so {rule.scheme} "
                             f"allows draft_length 1 only, not {length}. Fix: WithReplacement({count}).")
    refuse(3.0 * float(size) ** (count + 1) + float(states) * size * (count + 1) ** 2, "draft lists", "num_paths")
    steps = np.zeros((states, count + 1, size, count + 1))
    for copies in range(1 if independent else count, count + 1):
        scheme = WithReplacement(copies) if independent else rule.scheme
        for context in range(states):
            lists, law = scheme.lists(draft.rows[context])
            # absent drafts tell the rule how many copies are left
            lists = np.pad(lists, ((0, 0), (0, count - copies)), constant_values=-1)
            target_rows, draft_rows = (np.broadcast_to(m.rows[context], (len(lists), size)) for m in (target, draft))
            emitted = law[:, None] * rule.conditional(target_rows, draft_rows, lists)
            left = (lists[:, None, :] == np.arange(size)[:, None]).sum(axis=-1)
            np.add.at(steps[context, copies], (np.arange(size), left), emitted)
    return steps


def _stepped_chunks(steps: np.ndarray, target: MarkovModel, length: int) -> list[np.ndarray]:
    """Chunks from one-step laws: at each depth the surviving copies are verified afresh."""
    size, states, count = target.vocabulary, len(target.rows), steps.shape[1] - 1
    refuse(2.0 * states * float(size) ** (length + 1) * (count + 1) ** 2, "paths", "draft_length")
    surviving = np.zeros((states, 1, count + 1))
    surviving[:, 0, count] = 1.0
    chunks = []
    for kept in range(length):
        reached = target.contexts_after(size**kept)
        onward = np.einsum("cjn,cjnym->cjym", surviving, steps[reached])
        chunks.append(onward[..., 0].copy())
        onward[..., 0] = 0.0
        surviving = onward.reshape(states, -1, count + 1)
    rows = target.rows[target.contexts_after(size**length)]
    return [*chunks, surviving.sum(axis=2)[..., None] * rows]
