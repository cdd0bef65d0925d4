"""The decoder: batched speculative decoding of a pair of models, in one sitting.

One *round* for all sequences: a drafter proposes nodes, the target model reads the last token and the nodes in one
call, a judge keeps the way to one node and adds one token. A sequence that has ended leaves the batch, and a waiting
prompt takes its row. On a device, where calls are recorded for their shapes, the rows close up only when half of them
are done; until then a row without a text idles: it drafts, keeps nothing, and is not booked.

Theorem: if the verification rule is lossless for drafts of that kind, the text has the law of sampling from the target
alone, whatever drafts. `DecodeRun` holds the test of it: measured against predicted acceptance.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from otspec.core.checks import check_positive
from otspec.core.progress import progress_bar
from otspec.core.schemes import DraftScheme
from otspec.decode.arguments import as_token_lists, check_seed, check_warp
from otspec.decode.asking import on_device
from otspec.decode.drafters.base import Draft, Drafter
from otspec.decode.judges import Judge
from otspec.decode.ledger import Ledger
from otspec.decode.measure import DecodeRun
from otspec.decode.method import method
from otspec.decode.model_laws import ModelLaws, check_law_dtype
from otspec.decode.room import Room, check_room
from otspec.decode.settings import settings_of
from otspec.decode.speaking import TargetSide, draft_side, ends_of
from otspec.decode.stopping import stop_tokens
from otspec.decode.stopwatch import Stopwatch
from otspec.decode.streams import sequence_seeds, streams
from otspec.decode.unfinished import decode_all


def generate(pair: Any, prompts: Iterable[Any], *, verifier: Any = "block", scheme: DraftScheme | int = 1,
             draft_length: int = 4, drafter: Any = None, temperature: float = 1.0, top_k: int | None = None,
             top_p: float | None = None, seed: int = 0, max_new_tokens: int = 64, stop_token: Any = "model",
             batch_size: int | None = None, predict: bool = True, progress: bool = False,
             law_dtype: str = "float64", first_sequence: int = 0) -> DecodeRun:
    """Continue prompts by speculative decoding.

    Parameters
    ----------
    pair : Pair
    prompts : iterable of str or of token lists
    verifier : str, object or None
        A token or tree rule, a block rule on one path, or a coupling; None samples from the target alone.
    scheme : DraftScheme or int
        ``WithReplacement(K)``: K i.i.d. paths of ``draft_length`` tokens. Other schemes: ``draft_length=1``. With a
        coupling, its lists: ``WithoutReplacement(K)`` for ``"gumbel"``, ``WithReplacement(K)`` for ``"list_gumbel"``.
    draft_length : int
        Tokens per path, ``L``; 0 with a coupling decodes the target alone with the coupling's noise.
    drafter : str or Drafter, optional
        Instead of ``scheme`` and ``draft_length``: a name of `list_drafters`, or a drafter.
    temperature, top_k, top_p
        Applied to both models, as in ``law_from_logits``.
    seed : int
        Every sequence has its own stream: a text depends on seed and place in ``prompts``, not on the batch.
    max_new_tokens : int
        Length of every text, unless it stops earlier.
    stop_token : "model", int, several of them, or None
        Texts end after any of these tokens; by default after the target's own end of text, as its generation
        configuration has it. None: every text gets its full length.
    batch_size : int, optional
        Sequences decoded together; by default as many as fit, see `otspec.decode.room`.
    predict : bool
        Also sum up the expected acceptance of every round (costs time, see `otspec.decode.judges`).
    progress : bool
        Show a progress bar.
    law_dtype : {"float64", "float32"}
        That laws are kept in between model, drafter and rule. At float32 they take half the memory, and every token's
        law may differ from the target's by up to 2**-22 in total variation, see `otspec.decode.model_laws`.
    first_sequence : int
        Number of the first prompt in a longer list, whose parts, decoded one by one, have the streams of the whole.

    Returns
    -------
    DecodeRun

    Raises
    ------
    BadArgument, SchemeMismatch, UnknownName, TooLarge, NotALaw
        Bad prompts or settings, texts longer than the models can hold, a rule that cannot verify such drafts, a model
        that is no causal language model, a batch that does not fit, logits that define no law.
        Whatever ends a run has the finished texts in its attribute ``run``, see `otspec.decode.unfinished`.
    """
    drafts, judge = method(verifier, scheme, draft_length, drafter)
    texts = as_token_lists(pair, prompts)
    seed, length = check_seed(seed), check_positive("max_new_tokens", max_new_tokens)
    warp, stops = check_warp(temperature, top_k, top_p), stop_tokens(pair, stop_token)
    first, law_dtype = check_seed(first_sequence, "first_sequence"), check_law_dtype(law_dtype)
    longest = max(map(len, texts)) + length
    check_room(pair, drafts, longest)
    room = Room.of(pair, drafts, longest, law_dtype)
    size = room.batch(batch_size, len(texts))
    settings = settings_of(pair, verifier, scheme, drafts, **warp, seed=seed, first_sequence=first,
                           max_new_tokens=length, stop_token=sorted(stops), batch_size=size, law_dtype=law_dtype,
                           read=room.ways)
    clock = Stopwatch(pair.device)
    with progress_bar(len(texts) * length, "tokens", progress) as bar:
        ledger = Ledger(len(texts), length, stops, bar)
        laws = [ModelLaws(which, warp, law_dtype) for which in ("target", "draft")]
        batch = _Batch(pair, drafts, judge, texts, ledger, laws, (seed, first), size, room, predict, clock)
        decode_all(batch, settings, room.bytes_per_sequence)
    timing = clock.split()
    return ledger.run(predict, settings, sum(timing.values()), timing, clock.peak_bytes())


class _Batch:
    """The rows that are decoded together, and the prompts that wait for one."""

    def __init__(self, pair: Any, drafts: Drafter | None, judge: Judge, prompts: list[list[int]], ledger: Ledger,
                 laws: list[ModelLaws], key: tuple[int, int], size: int, room: Room, predict: bool,
                 clock: Stopwatch) -> None:
        self.device, self.idles = pair.device, room.recorded
        self.drafts, self.judge, self.ledger, self.predict, self.clock = drafts, judge, ledger, predict, clock
        self.texts = [list(prompt) for prompt in prompts]  # what every sequence has read and written
        self.target = TargetSide(room.target(size), laws[0])
        self.draft: Any = draft_side(room.drafts(size), pair.vocab_size, laws[1])
        self.rows: list[int] = []  # the sequence of every row
        self.waiting, self.size = list(range(len(prompts)))[::-1], size
        self.streams, self.seeds = streams(*key, len(prompts)), sequence_seeds(*key, len(prompts))
        judge.begin(size)

    def decode(self) -> None:
        """Decode until every text has ended; in inference mode."""
        self._admit(list(range(self.size)))
        while self.rows:
            self._leave(self._round())

    def _admit(self, free: list[int]) -> None:
        """Give free rows to waiting prompts."""
        free = free[: len(self.waiting)]
        if not free:
            return
        new = [self.waiting.pop() for _ in free]
        self.rows += [-1] * (max(free) + 1 - len(self.rows))
        for row, sequence in zip(free, new, strict=True):
            self.rows[row] = sequence
        texts = [self.texts[sequence] for sequence in new]
        with self.clock("target"):
            self.target.admit(free, texts)
        with self.clock("draft"):
            self.draft.admit(free, texts)
        self.judge.renew(free)

    def _round(self) -> np.ndarray:
        """Draft, verify and book one round of all rows; return which rows go on."""
        import torch

        texts = [self.texts[sequence] for sequence in self.rows]
        ends, lengths = ends_of(texts, self.device)
        drafting = self.drafts.num_uniforms if self.drafts else 0
        uniforms = on_device(np.stack([self.streams[sequence].random(drafting + self.judge.num_uniforms)
                                       for sequence in self.rows]), self.device)
        self.draft.begin(texts, ends, lengths, on_device(self.seeds[self.rows], self.device))
        none = ends.new_zeros(len(ends), 0)
        draft, coins = Draft(none, none, None), uniforms[:, drafting:]
        if self.drafts:
            with self.clock("draft"):
                draft = self.drafts.propose(self.draft, uniforms[:, :drafting])
        with self.clock("target"):  # one call scores all nodes
            target_rows = self.target.rows(ends[:, -1], draft.tokens, draft.parents)
        with self.clock("rule"):
            outcome = self.judge.judge(target_rows, draft, coins, self.draft.noise)
        with self.clock("prediction"):
            expected = self.judge.expected(target_rows, draft, outcome, coins) if self.predict else None
        kept = torch.cat([draft.tokens.new_full((len(ends), 1), -1), draft.tokens], dim=1).gather(1, outcome.nodes)
        faults = [side.laws.faults(outcome.token)[:, None] for side in (self.target, self.draft)]
        # the one wait of a round: the host must know which sequences have ended
        numbers = torch.cat([*faults, outcome.accepted[:, None], outcome.token[:, None], kept], dim=1).cpu().numpy()
        for place, side in enumerate((self.target, self.draft)):
            side.laws.check(numbers[:, place])
        numbers = numbers[:, 2:]
        idle = np.array([self.ledger.ended[sequence] for sequence in self.rows])
        accepted = outcome.accepted.masked_fill(on_device(idle, self.device), -1)
        for text, row, rests in zip(texts, numbers, idle, strict=True):
            text += [] if rests else [*row[2 : 2 + row[0]].tolist(), int(row[1])]
        most, chain = max(map(len, texts)), self.drafts is None or not self.drafts.branches
        self.target.keep(outcome.nodes, accepted, most, chain=chain)
        if self.drafts:
            single = any(len(text) - 1 - row[0] == 1 for text, row in zip(texts, numbers, strict=True))
            self.draft.keep(outcome.nodes, accepted, draft.read_at, most, chain=chain and not single)
        return self.ledger.add(self.rows, numbers, expected)

    def _leave(self, going: np.ndarray) -> None:
        """Let prompts take the rows of texts that have ended; without prompts, close the batch up, see the module."""
        ended = np.flatnonzero(~going).tolist()
        taken = ended[: len(self.waiting)]
        self._admit(taken)
        staying = sorted({*np.flatnonzero(going).tolist(), *taken})
        if len(staying) == len(self.rows) or (self.idles and 2 * len(staying) > len(self.rows)):
            return
        self.rows = [self.rows[row] for row in staying]
        if staying:
            self.judge.select(staying)
            chosen = on_device(np.array(staying), self.device)
            self.target.select(chosen)
            self.draft.select(chosen)
