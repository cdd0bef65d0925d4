"""The decoder: batched speculative decoding of a pair of models, in one sitting.

One *round* for all sequences: the draft model draws ``K`` paths of ``L`` tokens, the target model reads the last
token and the paths in one call, a `Method` keeps a prefix of one path and adds one token. The text of a sequence is
all that it has kept; the caches hold everything of it but the last token.

Theorem: if the verification rule is lossless, the text has the law of sampling from the target alone, whatever the
draft model, ``K`` and ``L`` are. `DecodeRun` holds the test of it: measured against predicted acceptance.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np

from otspec.core.checks import check_positive
from otspec.core.noise import Noise
from otspec.core.schemes import DraftScheme
from otspec.decode.cache import CachedModel, as_token_lists, check_room, check_warp, laws, left_pad
from otspec.decode.drafting import Method, check_seed, draft_paths, method, sequence_seeds, streams
from otspec.decode.measure import DecodeRun, Ledger, expected_kept, progress_bar

ENTRIES = 1 << 26  # of a round's target laws by default: 512 MB of float64


def generate(pair: Any, prompts: Iterable[Any], *, verifier: Any = "block", scheme: DraftScheme | int = 1,
             draft_length: int = 4, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None,
             seed: int = 0, max_new_tokens: int = 64, stop_token: int | None = None, batch_size: int | None = None,
             predict: bool = True, progress: bool = False) -> DecodeRun:
    """Continue prompts by speculative decoding.

    Parameters
    ----------
    pair : Pair
    prompts : iterable of str or of token lists
    verifier : str, object or None
        A token or tree rule on ``K`` paths, a block rule or a coupling on one; None samples from the target alone.
    scheme : DraftScheme or int
        ``WithReplacement(K)``: K i.i.d. paths of ``draft_length`` tokens. Other schemes: ``draft_length=1``.
    draft_length : int
        Tokens per path, ``L``; 0 with a coupling decodes the target alone with the coupling's noise.
    temperature, top_k, top_p
        Applied to both models, as in ``law_from_logits``.
    seed : int
        Every sequence has its own stream: a text depends on seed and place in ``prompts``, not on the batch.
    max_new_tokens : int
        Exact length of every text, unless it stops earlier.
    stop_token : int, optional
        Texts end after this token.
    batch_size : int, optional
        Sequences decoded together; by default as many as keep a round's target laws within 512 MB.
    predict : bool
        Also sum up the expected acceptance of every round (costs time, see `expected_kept`).
    progress : bool
        Show a progress bar.

    Returns
    -------
    DecodeRun

    Raises
    ------
    BadArgument, SchemeMismatch, UnknownName
        Bad prompts or settings, texts longer than the models can hold, a rule that cannot be decoded that way.
    """
    how = method(verifier, scheme, draft_length)
    texts = as_token_lists(pair, prompts)
    seed, length = check_seed(seed), check_positive("max_new_tokens", max_new_tokens)
    warp = check_warp(temperature, top_k, top_p)
    longest = max(map(len, texts))
    check_room(pair, slots=longest + length * (how.draft_length + 1), positions=longest + length + how.draft_length)
    fitting = ENTRIES // (how.paths * (how.draft_length + 1) * pair.vocab_size)
    size = max(1, fitting) if batch_size is None else check_positive("batch_size", batch_size)
    start = time.perf_counter()
    with progress_bar(len(texts) * length, "tokens", progress) as bar:
        parts = [_decode(pair, how, texts[i : i + size], i, Ledger(len(texts[i : i + size]), length, stop_token, bar),
                         warp, seed, predict) for i in range(0, len(texts), size)]
    settings = {"target": pair.target_name, "draft": pair.draft_name, "fingerprint": pair.fingerprint,
                "device": str(pair.device), "verifier": verifier if isinstance(verifier, str) else repr(verifier),
                "scheme": repr(getattr(verifier, "scheme", scheme)), "paths": how.paths,
                "draft_length": how.draft_length, **warp, "seed": seed, "max_new_tokens": length,
                "stop_token": stop_token, "batch_size": size}
    return Ledger.joined(parts, predict, settings, time.perf_counter() - start)


def _decode(pair: Any, how: Method, prompts: list[list[int]], first: int, ledger: Any, warp: dict[str, Any],
            seed: int, predict: bool) -> Any:
    """Decode one batch; ``first`` is the place of its first prompt among all."""
    import torch

    how = how.started(len(prompts))
    device, paths, length = torch.device(pair.device), how.paths, how.draft_length

    def on_device(array: np.ndarray) -> Any:
        return torch.from_numpy(array).to(device, non_blocking=True)

    with torch.inference_mode():
        target = CachedModel(pair.target, pair.vocab_size)
        draft = CachedModel(pair.draft, pair.vocab_size) if length else None
        tokens, mask = map(on_device, left_pad(prompts))
        places = (mask.cumsum(1) - 1).clamp(min=0)
        # every sequence owns `paths` adjacent rows of both caches; between rounds they are equal
        each, ahead = torch.arange(len(prompts), device=device), torch.arange(length + 1, device=device)
        if tokens.shape[1] > 1:
            for model in (target, draft) if draft is not None else (target,):
                model.read(tokens[:, :-1], places[:, :-1], mask[:, :-1], keep=1)
                model.select(each.repeat_interleave(paths))
        current, position = (array[:, -1:].expand(-1, paths) for array in (tokens, places))  # of the last token
        mask = mask[:, None, :-1].expand(-1, paths, -1)
        uniform_streams = streams(seed, first, len(prompts))
        seeds = on_device(sequence_seeds(seed, first, len(prompts)))
        while ledger.unfinished:
            uniforms = on_device(np.stack([stream.random(how.num_uniforms) for stream in uniform_streams]))
            noise = partial(_noise_ahead, seeds, position[:, 0])
            mask = torch.cat([mask, mask.new_ones(len(prompts), paths, length + 1)], dim=2)
            drafted, draft_rows = current.new_zeros(len(prompts), paths, 0), None
            if draft is not None:
                drafted, draft_rows = draft_paths(draft, how, current, position, mask, warp, uniforms, noise)
            # one target call scores all paths: row i is the law after the first i drafts
            read = torch.cat([current[..., None], drafted.clamp(min=0)], dim=2).flatten(0, 1)
            logits = target.read(read, (position[..., None] + ahead).flatten(0, 1), mask.flatten(0, 1))
            target_rows = laws(logits, warp, "target").unflatten(0, (len(prompts), paths))
            outcome = how.judge(target_rows, draft_rows, drafted, uniforms, noise)
            expected = expected_kept(how, target_rows, draft_rows, drafted, outcome, uniforms) if predict else None
            kept = drafted[each, outcome.path]
            # the one wait of a round: the host must know which sequences have ended
            numbers = torch.cat([outcome.accepted[:, None], outcome.token[:, None], kept], dim=1).cpu().numpy()
            going = on_device(ledger.add(numbers, expected))
            # rejected drafts keep their slots and are hidden; an ended sequence hides all and stays where it is
            mask[..., -length - 1 :] = ((ahead <= outcome.accepted[:, None]) & going[:, None])[:, None]
            position = torch.where(going[:, None], position + outcome.accepted[:, None] + 1, position)
            current = outcome.token[:, None].expand(-1, paths)
            if paths > 1:  # all rows of a sequence go on from the path that survived
                survivors = (each * paths + outcome.path).repeat_interleave(paths)
                target.select(survivors)
                draft.select(survivors)
    return ledger


def _noise_ahead(seeds: Any, position: Any, depth: int) -> Noise:
    """Noise of the token ``depth + 1`` places after ``position``: keyed by its place in the text, not by the round."""
    return Noise(seeds, position + 1 + depth)
