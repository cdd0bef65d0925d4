"""Exact block efficiency and exact emitted text of a rule on Markov models; estimates on recorded rows.

One block, from a context c, ends in a *chunk*: the tokens kept and one more. A rule is lossless when the text made of
chunk after chunk has the target's law, which `text_law` computes by a dynamic programme over contexts. Block
efficiency is the mean length of a chunk, ``E[accepted] + 1``.

Three kinds of rule give chunks. A sequence rule sees the drafted tree, of one path or of K. A token rule on K paths is
applied at each depth to the copies that have survived, which are independent draws given the prefix they share. A
coupling selects the target token at each position by itself, and the block goes on while the drafter selects the
same one. Of a rule that carries a state, a single block is the first of a text; a text carries the state along.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from otspec.analysis.chunks import agreed_law, chunk_laws, refuse
from otspec.analysis.states import StatefulText, check_texts
from otspec.core.block import BlockVerifier
from otspec.core.checks import check_positive, check_seed
from otspec.core.coupling import Coupling
from otspec.core.errors import BadArgument, SchemeMismatch, ShapeMismatch
from otspec.core.estimate import Estimate
from otspec.core.host import to_host
from otspec.core.laws import at, namespace
from otspec.core.markov import MarkovModel, check_models
from otspec.core.rows import checked_rows
from otspec.core.sequence import SequenceVerifier
from otspec.core.verifier import TokenVerifier
from otspec.core.walk import TokenWalk
from otspec.couplings import coupling, list_couplings
from otspec.verifiers import verifier as make_verifier

Array = Any
Rule = SequenceVerifier | TokenVerifier | Coupling


def block_efficiency(verifier: str | Rule, target_model: MarkovModel, draft_model: MarkovModel, draft_length: int, *,
                     num_paths: int = 1) -> Estimate:
    """Mean number of tokens that one block emits, by enumeration.

    Parameters
    ----------
    verifier : str, SequenceVerifier, TokenVerifier or Coupling
        A block or tree rule, a token rule (applied at each depth to the surviving paths) or a coupling. A rule that
        carries a state begins a text.
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
    target, draft = same_order(target_model, draft_model)
    chunks = chunk_laws(bound_rule(verifier, num_paths), target, draft, check_positive("draft_length", draft_length))
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
    target, draft = same_order(target_model, draft_model)
    size, states = target.vocabulary, len(target.rows)
    refuse(float(states) * float(size) ** (check_positive("length", length) + 1), "texts", "length")
    rule, drafted = bound_rule(verifier, num_paths), check_positive("draft_length", draft_length)
    if isinstance(rule, SequenceVerifier) and rule.stateful:
        check_texts(rule, target, drafted, length)
        blocks = StatefulText(rule, target, draft, drafted)
        laws = np.stack([blocks.text_law(context, rule.fresh_state(), length) for context in range(states)])
        return (target.initial.reshape(-1) @ laws).reshape((size,) * length)
    chunks = chunk_laws(rule, target, draft, drafted)
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


def trace_block_efficiency(verifier: str | Rule, target_rows: Array, draft_rows: Array, tokens: Array, *,
                           seed: int = 0) -> Estimate:
    """Block efficiency over recorded paths, with coins and last drafts integrated out as far as the rule allows.

    Parameters
    ----------
    verifier : str, SequenceVerifier, TokenVerifier or Coupling
    target_rows : [n L+1 V] or [n K L+1 V]
    draft_rows : [n L V] or [n K L V]
        The laws along each path; the paths must have been drawn from the draft rows.
    tokens : [n L] or [n K L] int
    seed : int
        Of the coins that are tossed: on several paths, those that choose among them.

    Returns
    -------
    Estimate
        Mean over the n contexts of an unbiased estimate of ``1 + E[accepted]``, with its standard error. One path:
        ``1 + sum_i Pr[accepted >= i | tokens before i]``, except that a token rule's i-th draft is not integrated
        out, which costs V evaluations of the rule. K paths: see `SequenceVerifier.expected_paths`.

    Raises
    ------
    NotALaw, ShapeMismatch, BadArgument, SchemeMismatch
    """
    given = np.ndim(tokens) if isinstance(tokens, (list, tuple)) else tokens.ndim
    paths = int(np.shape(tokens)[1]) if given == 3 else 1
    rule = bound_rule(verifier, paths)
    if isinstance(rule, TokenVerifier) and given == 3:
        rule = TokenWalk(rule)
    if isinstance(rule, SequenceVerifier) and not isinstance(rule, BlockVerifier):
        return Estimate.from_samples(1.0 + _expected_on_paths(rule, target_rows, draft_rows, tokens, seed))
    target_rows, draft_rows, tokens = checked_rows(target_rows, draft_rows, tokens)
    if tokens.ndim != 2:
        raise ShapeMismatch(f"tokens: shape {tuple(tokens.shape)} is not [n L]. Fix: one row per recorded path.")
    if isinstance(rule, BlockVerifier):
        passed = to_host(rule._passed(target_rows, draft_rows, tokens, *rule._memory(None)), np.float64)
    elif isinstance(rule, Coupling):
        passed = coupling_passed(rule, target_rows, draft_rows, tokens)
    else:
        passed = token_passed(rule, target_rows, draft_rows, tokens)
    return Estimate.from_samples(1.0 + passed.sum(axis=1))


def token_passed(rule: TokenVerifier, target_rows: Array, draft_rows: Array, tokens: Array) -> np.ndarray:
    """``Pr[accepted >= i | x^i]``, ``[n L]``, of a token rule on one draft, walked down chains ``[n L]``."""
    chances = [to_host(at(rule.conditional(target_rows[:, i, :], draft_rows[:, i, :], tokens[:, i : i + 1]),
                          tokens[:, i : i + 1]), np.float64) for i in range(tokens.shape[-1])]
    return np.cumprod(np.concatenate(chances, axis=1), axis=1)


def _expected_on_paths(rule: SequenceVerifier, target_rows: Array, draft_rows: Array, tokens: Array,
                       seed: int) -> np.ndarray:
    if tokens.ndim == 2:
        target_rows, draft_rows, tokens = (array[:, None] for array in (target_rows, draft_rows, tokens))
    if tokens.ndim != 3:
        raise ShapeMismatch(f"tokens: shape {tuple(tokens.shape)} is not [n K L]. Fix: one set of paths per context.")
    # a stream of their own: the paths may have been drawn from default_rng(seed), and must be independent of them
    rng, width = np.random.default_rng([check_seed(seed), 1]), rule.num_uniforms(tokens.shape[-1])
    coins = rng.random((tokens.shape[0], width))
    coins = namespace(target_rows).asarray(coins, device=target_rows.device)
    return to_host(rule.expected_paths(target_rows, draft_rows, tokens, coins), np.float64)


def coupling_passed(rule: Coupling, target_rows: Array, draft_rows: Array, tokens: Array) -> np.ndarray:
    """``Pr[accepted >= i | x^(i-1)]``, ``[n L]``, of a coupling down chains ``[n L]``; shorter chains begin alike."""
    passed, before = [], np.ones(tokens.shape[0])
    for i in range(tokens.shape[-1]):
        agreed = agreed_law(rule, target_rows[:, i, :], draft_rows[:, i, :])
        passed.append(before * to_host(agreed, np.float64).sum(axis=1))
        token = tokens[:, i : i + 1]
        both, drafted = (to_host(at(laws, token), np.float64)[:, 0] for laws in (agreed, draft_rows[:, i, :]))
        # Pr[target party agrees | the drafter selected this token]
        before = before * np.minimum(1.0, both / np.where(drafted > 0, drafted, 1.0))
    return np.stack(passed, axis=1)


def bound_rule(verifier: str | Rule, num_paths: int) -> Rule:
    """Rule bound to ``num_paths`` independent paths, by name or as it is."""
    paths = check_positive("num_paths", num_paths)
    if isinstance(verifier, str):
        rule = coupling(verifier) if verifier in list_couplings() else make_verifier(verifier, paths)
    else:
        rule = verifier
    if isinstance(rule, Coupling):
        if paths > 1 or rule.num_drafts > 1:
            raise SchemeMismatch(f"{rule!r}: a coupling is enumerated on one path with one draft; got num_paths="
                                 f"{paths}. Fix: num_paths=1, and 'gumbel' instead of lists.")
    elif not isinstance(rule, (SequenceVerifier, TokenVerifier)):
        raise BadArgument(f"verifier: {verifier!r} is no rule for a block. Fix: otspec.list_verifiers().")
    elif rule.scheme.num_drafts != paths:
        raise SchemeMismatch(f"{rule!r} verifies {rule.scheme.num_drafts} paths; got num_paths={paths}. "
                             f"Fix: num_paths={rule.scheme.num_drafts}.")
    return rule


def same_order(target: MarkovModel, draft: MarkovModel) -> tuple[MarkovModel, MarkovModel]:
    """Write both models with the longer context of the two."""
    check_models(target, draft)
    order = max(target.order, draft.order)
    # only the draft's rows are used, so its own initial law may be dropped
    return target.lifted(order), MarkovModel(draft.transition).lifted(order)
