"""Blockwise parallel drafts of a pair: heads on the target's last hidden state, rescored, and verified greedily.

Head i maps the hidden state after the text to one at i tokens further on, and the target's own output layer turns it
into a law: ``softmax(E (A_i h + b_i))``. So one target call drafts a whole block, its first token from the target
itself. The heads that ship with otspec belong to the pocket target; ``python -m otspec.train.heads`` made them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from otspec.core.checks import check_number, check_positive
from otspec.core.errors import BadArgument, BadFile, MissingExtra
from otspec.core.estimate import Estimate
from otspec.core.files import replacing
from otspec.core.progress import progress_bar
from otspec.core.table import Table
from otspec.decode.arguments import as_token_lists
from otspec.decode.hashes import check_hashes
from otspec.decode.models import POCKET
from otspec.neighbours.jacobi_pair import model_reader
from otspec.neighbours.lattice import Bigram, Lattice, verified_prefix

POCKET_HEADS = POCKET / "heads" / "heads.safetensors"
FORMAT = "otspec-heads-1"
BATCH = 64  # texts of one model call


@dataclass(frozen=True)
class Heads:
    """Heads of a target, with the bigrams of its training text.

    Attributes
    ----------
    weights : [heads D+1 D] float32
        ``A_i`` (transposed) and, in the last row, ``b_i``.
    bigram : Bigram
    """

    weights: np.ndarray
    bigram: Bigram

    @property
    def length(self) -> int:
        """Tokens of a block: one per head, and the target's own."""
        return len(self.weights) + 1

    def save(self, path: str | Path) -> None:
        """Write one safetensors file in half precision."""
        half = {"weights": self.weights.astype(np.float16), "masses": self.bigram.masses.astype(np.float16)}
        arrays = half | {"successors": self.bigram.successors.astype(np.uint16),
                         "frequency": self.bigram.frequency.astype(np.float32)}
        _, save_file = _safetensors()
        with replacing(path) as temporary:
            save_file(arrays, temporary, metadata={"format": FORMAT})

    @classmethod
    def load(cls, path: str | Path = POCKET_HEADS) -> Heads:
        """Read a file of `save`; by default the heads of the pocket target, whose hash is checked.

        Raises
        ------
        BadFile
            The file is missing, altered or something else.
        """
        if Path(path) == POCKET_HEADS:
            check_hashes(POCKET)
        safe_open, _ = _safetensors()
        try:
            with safe_open(path, framework="numpy") as file:
                kind = (file.metadata() or {}).get("format")
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except Exception as error:  # safetensors raises its own class and three built-in ones
            raise BadFile(f"{path}: cannot be read as heads ({error}). Fix: python -m otspec.train.heads.") from error
        if kind != FORMAT:
            raise BadFile(f"{path}: its format is {kind!r}, not {FORMAT!r}. Fix: python -m otspec.train.heads.")
        frequency = arrays["frequency"].astype(np.float64)
        bigram = Bigram(arrays["successors"].astype(np.int64), arrays["masses"].astype(np.float64),
                        frequency / frequency.sum())
        return cls(arrays["weights"].astype(np.float32), bigram)


def blockwise(pair: Any, prompts: Iterable[Any], *, k: int = 8, paths: int = 16, heads: Heads | None = None,
              weight: float = 0.5, progress: bool = True) -> Table:
    """Draft one block after every prompt in parallel, and measure how far greedy verification follows it.

    Parameters
    ----------
    pair : Pair
        The draft model rescores.
    prompts : iterable of str or of token lists
    k : int
        Tokens of the lattice in each position.
    paths : int
        Candidates that the draft model chooses from.
    heads : Heads, optional
        Those of the pocket target unless given.
    weight : float
        Of the bigrams' lifts, and of the draft model's log-probabilities, beside those of the heads.
    progress : bool
        Show a progress bar on a terminal.

    Returns
    -------
    Table
        Columns ``draft`` (``heads`` without rescoring; ``ngram``: the best path with bigrams; ``neural``: the draft
        model's choice among the best ``paths``, in one call; ``local``: its choice in one position after the other;
        the best of the ``paths``; the ``oracle`` of the lattice; the ``draft_model`` on its own, token by token),
        ``k``, ``verified`` tokens of a block, the first of them certain, with ``stderr`` and ``n``, and
        ``to_oracle``, what is missing to the oracle. [blockwise-drafts]

    Raises
    ------
    BadArgument, BadFile, MissingExtra

    Examples
    --------
    >>> table = blockwise(ot.load_pair("pocket", device="cpu"), ["def f(x):", "import os"], k=2, paths=4)
    >>> table.column("draft")
    ['heads', 'ngram', 'neural', 'local', 'best_of_paths', 'oracle', 'draft_model']
    """
    texts, heads = as_token_lists(pair, prompts), Heads.load() if heads is None else heads
    if not check_number("weight", weight, "give a weight such as 0.5") >= 0:
        raise BadArgument(f"weight: {weight} is negative. Fix: 0 leaves the heads alone.")
    if len(texts) < 2:
        raise BadArgument("prompts: 1 prompt gives no standard error. Fix: pass at least two.")
    written = greedy_blocks(pair.target, pair, texts, heads.length, progress)
    # the first token of a block is the target's own: no head is asked for it
    lattice = Lattice.top(head_logs(pair, texts, heads), check_positive("k", k))
    first, right = written[:, 0], written[:, 1:]
    texts = [[*text, int(token)] for text, token in zip(texts, first, strict=True)]
    ngram, scores = lattice.best_paths(first, heads.bigram, weight=weight,
                                       paths=min(check_positive("paths", paths), k ** right.shape[1]))
    neural = ngram[np.arange(len(texts)), np.argmax(scores + weight * draft_logs(pair, texts, ngram), axis=1)]
    own = greedy_blocks(pair.draft, pair, texts, right.shape[1], progress)
    local = local_path(pair, texts, lattice, weight)
    drafts = {"heads": lattice.greedy(), "ngram": ngram[:, 0], "neural": neural, "local": local}
    reached = {name: 1 + verified_prefix(draft, right) for name, draft in drafts.items()}
    reached |= {"best_of_paths": 1 + verified_prefix(ngram, right[:, None]).max(axis=1),
                "oracle": 1 + lattice.oracle(right), "draft_model": 1 + verified_prefix(own, right)}
    rows = []
    for name, values in reached.items():
        found = Estimate.from_samples(values)
        rows.append({"draft": name, "k": k, "verified": found.mean, "stderr": found.stderr, "n": found.n,
                     "to_oracle": float(reached["oracle"].mean() - values.mean())})
    return Table(rows, {"paths": paths, "weight": weight, "block": heads.length})


def head_logs(pair: Any, texts: list[list[int]], heads: Heads) -> np.ndarray:
    """Log-probabilities ``[n heads V]`` of the positions from the second one after each text.

    Raises
    ------
    BadArgument
        Heads of another target.
    """
    import torch

    width = int(pair.target.get_output_embeddings().weight.shape[1])
    if heads.weights.shape[1:] != (width + 1, width):
        raise BadArgument(f"heads: weights of shape {heads.weights.shape} do not fit the target's hidden size {width}. "
                          f"Fix: python -m otspec.train.heads trains the pocket target's.")
    weights = torch.from_numpy(heads.weights).to(pair.device)
    found = []
    with torch.inference_mode():
        for text, ends in _chunks(texts):
            ids = torch.from_numpy(text).to(pair.device)
            states = pair.target(input_ids=ids, use_cache=False, output_hidden_states=True).hidden_states[-1]
            hidden = states[torch.arange(len(ids)), torch.from_numpy(ends - 1)].float()
            ahead = torch.einsum("nd,hde->nhe", hidden, weights[:, :-1]) + weights[:, -1]
            output = pair.target.get_output_embeddings().weight[: pair.vocab_size].float()
            found.append((ahead @ output.T).log_softmax(-1).cpu().numpy())
    return np.concatenate(found).astype(np.float64)


def greedy_blocks(model: Any, pair: Any, texts: list[list[int]], length: int, progress: bool) -> np.ndarray:
    """Tokens ``[n length]`` that a model of the pair writes greedily after every text."""
    read, found = model_reader(model, pair, {"temperature": 0.0}), []
    with progress_bar(len(texts), "texts", progress) as bar:
        for text, ends in _chunks(texts):
            room = np.concatenate([text, np.zeros((len(text), length), dtype=np.int64)], axis=1)
            rows = np.arange(len(text))
            for place in range(length):
                room[rows, ends + place] = read(room, ends + place, 1)[:, 0].argmax(axis=-1)
            found.append(room[rows[:, None], ends[:, None] + np.arange(length)])
            bar.update(len(text))
    return np.concatenate(found)


def draft_logs(pair: Any, texts: list[list[int]], candidates: np.ndarray) -> np.ndarray:
    """Log-probability ``[n p]`` that the draft model gives to every candidate ``[n p L]`` after its text."""
    count, length = candidates.shape[1:]
    read, found = model_reader(pair.draft, pair, {"temperature": 1.0}), []
    rows = [[*text, *path] for text, some in zip(texts, candidates.tolist(), strict=True) for path in some]
    for text, ends in _chunks(rows):
        laws = read(text, ends - length, length)
        tokens = text[np.arange(len(text))[:, None], ends[:, None] + np.arange(-length, 0)]
        found.append(np.log(np.take_along_axis(laws, tokens[..., None], axis=-1)[..., 0]).sum(axis=1))
    return np.concatenate(found).reshape(len(texts), count)


def local_path(pair: Any, texts: list[list[int]], lattice: Lattice, weight: float) -> np.ndarray:
    """Path ``[n L]`` whose tokens are chosen one after the other by heads and draft model together."""
    read, found = model_reader(pair.draft, pair, {"temperature": 1.0}), [list(text) for text in texts]
    for place in range(lattice.tokens.shape[-2]):
        laws = np.concatenate([read(text, ends, 1)[:, 0] for text, ends in _chunks(found)])
        tokens = lattice.tokens[..., place, :]
        scores = lattice.scores[..., place, :] + weight * np.log(np.take_along_axis(laws, tokens, axis=-1))
        for text, chosen in zip(found, tokens[np.arange(len(found)), scores.argmax(axis=-1)], strict=True):
            text.append(int(chosen))
    return np.array([text[len(before) :] for text, before in zip(found, texts, strict=True)])


def _chunks(texts: list[list[int]]) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Texts side by side, padded behind, with their lengths."""
    for start in range(0, len(texts), BATCH):
        part = texts[start : start + BATCH]
        ends = np.array([len(text) for text in part])
        padded = np.zeros((len(part), int(ends.max())), dtype=np.int64)
        for row, text in zip(padded, part, strict=True):
            row[: len(text)] = text
        yield padded, ends


def _safetensors() -> tuple[Any, Any]:
    try:
        from safetensors import safe_open
        from safetensors.numpy import save_file
    except ImportError as error:
        raise MissingExtra('heads need safetensors: pip install -e ".[models]"') from error
    return safe_open, save_file
