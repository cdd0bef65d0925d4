"""Exact block efficiency and exact emitted text of a rule on Markov models; estimates on recorded rows.

One block, from a context c, ends in a *chunk*: the tokens kept and one more. A rule is lossless when the text made of
chunk after chunk has the target's law, which `text_law` computes by a dynamic programme over contexts. Block
efficiency is the mean length of a chunk, ``E[accepted] + 1``.

Four kinds of rule give chunks. A block rule sees the whole path, a tree rule all K paths. A token rule on K paths is
applied at each depth to the copies that have survived, which are independent draws given the prefix they share. A
coupling selects the target token at each position by itself, and the block goes on while the drafter selects the
same one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from otspec.analysis.paths import tree_chunks
from otspec.core.block import BlockVerifier, checked_block
from otspec.core.checks import check_positive
from otspec.core.coupling import Coupling
from otspec.core.errors import BadArgument, SchemeMismatch, ShapeMismatch, TooLarge
from otspec.core.estimate import Estimate
from otspec.core.laws import at
from otspec.core.markov import MarkovModel
from otspec.core.schemes import WithReplacement
from otspec.core.tree_verifier import TreeVerifier
from otspec.core.verifier import TokenVerifier
from otspec.couplings import coupling, list_couplings
from otspec.verifiers import verifier as make_verifier

Array = Any
Rule = BlockVerifier | TreeVerifier | TokenVerifier | Coupling
# floats that one call may hold: 1.6 GB
MAX_SIZE = 2e8


def block_efficiency(verifier: str | Rule, target_model: MarkovModel, draft_model: MarkovModel, draft_length: int, *,
                     num_paths: int = 1) -> Estimate:
    """Mean number of tokens that one block emits, by enumeration.

    Parameters
    ----------
    verifier : str, BlockVerifier, TreeVerifier, TokenVerifier or Coupling
        A block or tree rule, a token rule (applied at each depth to the surviving paths) or a coupling.
    target_model, draft_model : MarkovModel
        The context is drawn from the target model's `initial` and shared by both.
    draft_length : int
        Tokens per drafted path.
    num_paths : int
        Independent paths K.

    Returns
    -------
    Estimate
        ``E[accepted] + 1``; exact, so the standard error is 0.

    Raises
    ------
    TooLarge
        With the number of floats needed.
    SchemeMismatch, BadArgument, UnknownName

    Examples
    --------
    >>> coin = MarkovModel.memoryless([0.5, 0.5])
    >>> block_efficiency("token_wise", coin, coin, 3).mean
    4.0
    """
    target, draft = _same_order(target_model, draft_model)
    chunks = _chunk_laws(_rule(verifier, num_paths), target, draft, check_positive("draft_length", draft_length))
    initial = target.initial.reshape(-1)
    lengths = [(kept + 1) * float(initial @ law.sum(axis=(1, 2))) for kept, law in enumerate(chunks)]
    return Estimate(float(sum(lengths)))


def text_law(verifier: str | Rule, target_model: MarkovModel, draft_model: MarkovModel, length: int, *,
             draft_length: int, num_paths: int = 1) -> np.ndarray:
    """Exact law of the first ``length`` tokens emitted by block after block.

    Parameters
    ----------
    verifier, target_model, draft_model, draft_length, num_paths
        As in `block_efficiency`.
    length : int

    Returns
    -------
    [V] * length
        Equal to ``target_model.text_law(length)`` when the rule is lossless.

    Raises
    ------
    TooLarge
        With the number of floats needed.

    Examples
    --------
    >>> text_law("block", MarkovModel.memoryless([0.25, 0.75]), MarkovModel.memoryless([0.5, 0.5]), 1, draft_length=2)
    array([0.25, 0.75])
    """
    target, draft = _same_order(target_model, draft_model)
    size, states = target.vocabulary, len(target.rows)
    _refuse(float(states) * float(size) ** (check_positive("length", length) + 1), "texts", "length")
    chunks = _chunk_laws(_rule(verifier, num_paths), target, draft, check_positive("draft_length", draft_length))
    texts = [np.ones((states, 1))]
    for wanted in range(1, length + 1):
        law = np.zeros((states, size**wanted))
        for kept, chunk in enumerate(chunks):
            emitted = kept + 1
            if emitted >= wanted:
                law += chunk.reshape(states, size**wanted, -1).sum(axis=2)
            else:
                rest = texts[wanted - emitted][target.contexts_after(size**emitted)]
                law += (chunk.reshape(states, -1)[:, :, None] * rest).reshape(states, -1)
        texts.append(law)
    return (target.initial.reshape(-1) @ texts[length]).reshape((size,) * length)


def trace_block_efficiency(verifier: str | Rule, target_rows: Array, draft_rows: Array, tokens: Array) -> Estimate:
    """Block efficiency over recorded paths, with all coins and each last draft integrated out.

    Parameters
    ----------
    verifier : str, BlockVerifier, TokenVerifier or Coupling
        A rule for one path.
    target_rows : [n L+1 V]
    draft_rows : [n L V]
        The laws along each path; the path must have been drawn from the draft rows.
    tokens : [n L] int

    Returns
    -------
    Estimate
        Mean over the n paths of ``1 + sum_i Pr[accepted >= i | tokens before i]``, with its standard error. For a
        token rule the i-th draft is not integrated out, which costs V evaluations of the rule.

    Raises
    ------
    NotALaw, ShapeMismatch, BadArgument
    """
    rule = _rule(verifier, 1)
    target_rows, draft_rows, tokens = checked_block(target_rows, draft_rows, tokens)
    if tokens.ndim != 2:
        raise ShapeMismatch(f"tokens: shape {tuple(tokens.shape)} is not [n L]. Fix: one row per recorded path.")
    if isinstance(rule, BlockVerifier):
        passed = _to_numpy(rule._passed(target_rows, draft_rows, tokens))
    elif isinstance(rule, Coupling):
        passed = _coupling_passed(rule, target_rows, draft_rows, tokens)
    else:
        chances = [_to_numpy(at(rule.conditional(target_rows[:, i, :], draft_rows[:, i, :], tokens[:, i : i + 1]),
                                tokens[:, i : i + 1])) for i in range(tokens.shape[-1])]
        passed = np.cumprod(np.concatenate(chances, axis=1), axis=1)
    return Estimate.from_samples(1.0 + passed.sum(axis=1))


def _coupling_passed(rule: Coupling, target_rows: Array, draft_rows: Array, tokens: Array) -> np.ndarray:
    passed, before = [], np.ones(tokens.shape[0])
    for i in range(tokens.shape[-1]):
        agreed = _agreed(rule, target_rows[:, i, :], draft_rows[:, i, :])
        passed.append(before * _to_numpy(agreed).sum(axis=1))
        token = tokens[:, i : i + 1]
        both, drafted = _to_numpy(at(agreed, token))[:, 0], _to_numpy(at(draft_rows[:, i, :], token))[:, 0]
        # Pr[target party agrees | the drafter selected this token]
        before = before * np.minimum(1.0, both / np.where(drafted > 0, drafted, 1.0))
    return np.stack(passed, axis=1)


def _agreed(rule: Coupling, target: Array, draft: Array) -> Array:
    agreed = rule.agreed_law(target, draft)
    if agreed is None:
        raise BadArgument(f"{rule!r} has no exact law of the agreed token. Fix: measure it by decoding.")
    return agreed


def _to_numpy(array: Array) -> np.ndarray:
    return np.asarray(array.cpu() if hasattr(array, "cpu") else array, dtype=np.float64)


def _rule(verifier: str | Rule, num_paths: int) -> Rule:
    """Rule bound to ``num_paths`` independent paths."""
    paths = check_positive("num_paths", num_paths)
    if isinstance(verifier, str):
        rule = coupling(verifier) if verifier in list_couplings() else make_verifier(verifier, paths)
    else:
        rule = verifier
    if isinstance(rule, Coupling):
        if paths > 1:
            raise SchemeMismatch(f"{rule!r} verifies one path; got num_paths={paths}. Fix: num_paths=1.")
    elif not isinstance(rule, (BlockVerifier, TreeVerifier, TokenVerifier)):
        raise BadArgument(f"verifier: {verifier!r} is no rule for a block. Fix: otspec.list_verifiers().")
    elif rule.scheme.num_drafts != paths:
        raise SchemeMismatch(f"{rule!r} verifies {rule.scheme.num_drafts} paths; got num_paths={paths}. "
                             f"Fix: num_paths={rule.scheme.num_drafts}.")
    return rule


def _same_order(target: MarkovModel, draft: MarkovModel) -> tuple[MarkovModel, MarkovModel]:
    """Write both models with the longer context of the two."""
    for name, model in (("target_model", target), ("draft_model", draft)):
        if not isinstance(model, MarkovModel):
            raise BadArgument(f"{name}: {type(model).__name__} is no MarkovModel. Fix: MarkovModel.memoryless(law).")
    if target.vocabulary != draft.vocabulary:
        raise ShapeMismatch(f"vocabularies differ: target_model has {target.vocabulary} tokens, draft_model "
                            f"{draft.vocabulary}. Fix: both models must live on one vocabulary.")
    order = max(target.order, draft.order)
    # only the draft's rows are used, so its own initial law may be dropped
    return target.lifted(order), MarkovModel(draft.transition).lifted(order)


def _refuse(size: float, what: str, shorter: str) -> None:
    if size > MAX_SIZE:
        raise TooLarge(f"enumerating all {what} needs {size:.3g} floats, more than {MAX_SIZE:.0e}. Fix: a smaller "
                       f"{shorter} or vocabulary, or trace_block_efficiency on sampled paths.", size)


def _chunk_laws(rule: Rule, target: MarkovModel, draft: MarkovModel, length: int) -> list[np.ndarray]:
    """Law of the chunk after each context: for n = 0 .. L kept tokens, ``[V**m V**n V]``."""
    if isinstance(rule, BlockVerifier):
        return _path_chunks(rule, target, draft, length)
    if isinstance(rule, TreeVerifier):
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
    _refuse(paths * size * (5.0 * (length + 1) + 2.0 * states), "paths", "draft_length")
    digits = np.arange(paths)[:, None] // size ** np.arange(length, -1, -1)
    tokens = digits[:, 1:] % size
    chunks = [np.zeros((states, size**kept, size)) for kept in range(length + 1)]
    for context in range(states):
        # digits[:, i] numbers the prefix of length i
        reached = (context * size ** np.arange(length + 1) + digits) % states
        draft_rows = draft.rows[reached[:, :-1]]
        weight = np.take_along_axis(draft_rows, tokens[..., None], axis=-1)[..., 0].prod(axis=1)
        verdict = rule.conditional(target.rows[reached], draft_rows, tokens)
        for kept, chunk in enumerate(chunks):
            mass = (weight * verdict.stop[:, kept])[:, None] * verdict.following[:, kept]
            chunk[context] = mass.reshape(size**kept, -1, size).sum(axis=1)
    return chunks


def _coupling_steps(rule: Coupling, target: MarkovModel, draft: MarkovModel) -> np.ndarray:
    agreed = np.asarray(_agreed(rule, target.rows, draft.rows))
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
    _refuse(3.0 * float(size) ** (count + 1) + float(states) * size * (count + 1) ** 2, "draft lists", "num_paths")
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
    _refuse(2.0 * states * float(size) ** (length + 1) * (count + 1) ** 2, "paths", "draft_length")
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
