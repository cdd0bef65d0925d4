"""What both models say in the rounds of a decoder, whatever is drafted and kept: the laws of plain passes.

A judge that keeps random nodes takes the place of a verifier, so every drafter is tried, and every way to go on.
"""

from dataclasses import dataclass, field

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from otspec.decode import loop  # noqa: E402
from otspec.decode.drafters import (  # noqa: E402
    BudgetSplit,
    CalibratedHeap,
    Delayed,
    FixedTree,
    GreedyTree,
    Heap,
    Likeliest,
    Lookup,
    Paths,
    Rerank,
    Rheo,
)
from otspec.decode.drafters.base import Drafter  # noqa: E402
from otspec.decode.judges import Judge, Outcome  # noqa: E402
from otspec.decode.speaking import DraftSide, TargetSide  # noqa: E402
from otspec.decode.tree_judge import way_to  # noqa: E402
from otspec.policies.trees import Calibration  # noqa: E402
from tests.decode import tiny  # noqa: E402
from tests.decode.drafters.tables import chain, check_order  # noqa: E402
from tests.decode.strange import strange  # noqa: E402

PROMPTS = [[1], [2, 3], [5, 6, 7, 8, 9], [4], [2, 7], [0, 0, 3], [9, 8, 7, 6, 5, 4, 3]]
SIZE = 16
BINS = Calibration((1.0,), [[0.5, 0.5], [0.2, 0.4]], (0.2,), [[0.4, 0.8], [0.2, 0.5]])
DRAFTERS = [Paths(1, 3), Paths(3, 2), FixedTree(widths=(2, 2, 1)), FixedTree(counts=(3, 0, 2, 1)),
            FixedTree(widths=(1, 1)), Heap(5), Heap(1), Rerank(7, 2, 3), Rerank(4, 3, 2), Lookup(3, 1), Likeliest(5),
            Delayed(1, 2, 2), CalibratedHeap(5, BINS, max_children=2), BudgetSplit(5, (0.5, 0.3), BINS),
            GreedyTree(widths=(3, 2)), Rheo(7, 3, 3)]


@dataclass(frozen=True)
class Watched(Drafter):
    """A drafter whose texts can be seen."""

    inner: Drafter
    seen: list = field(default_factory=list)

    num_nodes = property(lambda self: self.inner.num_nodes)
    depth = property(lambda self: self.inner.depth)
    paths = property(lambda self: self.inner.paths)
    branches = property(lambda self: self.inner.branches)
    num_uniforms = property(lambda self: self.inner.num_uniforms)
    asks_model = property(lambda self: self.inner.asks_model)

    def propose(self, speaker, uniforms):
        self.seen[:] = [list(text) for text in speaker.texts]
        return self.inner.propose(speaker, uniforms)


class Whim(Judge):
    """Keeps the way to a random node and adds a random token, after checking every law of the round."""

    num_uniforms = 2

    def __init__(self, pair, drafts, warp):
        self.pair, self.drafts, self.warp, self.rounds = pair, drafts, warp, []
        # masked attention sums in another order: a few eps per layer; GPT-Neo's softmax is single precision always
        self.bounds = {"rtol": 0, "atol": 1e-5 if "Neo" in type(pair.target).__name__ else 1e-11}

    def judge(self, target_rows, draft, uniforms, noise):
        check_order(draft)
        texts = self.drafts.seen
        assert len(target_rows) == len(texts)
        node = torch.zeros(len(texts), dtype=torch.int64)
        for row, text in enumerate(texts):
            tokens, parents = draft.tokens[row].tolist(), draft.parents[row].tolist()
            present = [0, *(n for n, token in enumerate(tokens, start=1) if token >= 0)]
            for n in present:
                way = text + chain(tokens, parents, n)
                np.testing.assert_allclose(target_rows[row, n], tiny.law(self.pair.target, way, **self.warp),
                                           **self.bounds)
            self.check_drafts(text, tokens, parents, draft.rows if draft.rows is None else draft.rows[row])
            node[row] = present[int(uniforms[row, 0] * len(present))]
        token = (uniforms[:, 1] * SIZE).long()
        nodes, accepted = way_to(node, draft.parents, self.drafts.depth)
        self.rounds.append((texts.copy(), accepted.tolist()))
        return Outcome(accepted, token, nodes, [])

    def expected(self, target_rows, draft, outcome, uniforms):
        raise AssertionError("nothing is predicted here")

    def check_drafts(self, text, tokens, parents, rows):
        if rows is None or not self.drafts.asks_model:
            return
        if rows.ndim == 2:  # after every node that has children
            for n in {parent for parent, token in zip(parents, tokens, strict=True) if token >= 0}:
                law = tiny.law(self.pair.draft, text + chain(tokens, parents, n), **self.warp)
                np.testing.assert_allclose(rows[n], law, **self.bounds)
            return
        count = len(rows)
        for path in range(count):
            for depth, row in enumerate(rows[path]):
                law = tiny.law(self.pair.draft, text + tokens[path::count][:depth], **self.warp)
                np.testing.assert_allclose(row, law, **self.bounds)


def whims(monkeypatch, pair, drafts, **settings):
    """Decode at whim; texts must be what the rounds have kept."""
    warp = {name: settings[name] for name in ("temperature", "top_p") if name in settings}
    watched = Watched(drafts)
    judge = Whim(pair, watched, warp)
    monkeypatch.setattr(loop, "method", lambda *call: (watched, judge))
    run = loop.generate(pair, PROMPTS, predict=False, **({"max_new_tokens": 9, "stop_token": 11} | settings))
    assert sum(len(texts) for texts, _ in judge.rounds) == run.rounds.sum()
    for prompt, text in zip(PROMPTS, run.tokens, strict=True):
        seen = [before for texts, _ in judge.rounds for before in texts if before[: len(prompt)] == prompt and
                before[len(prompt) :] == text[: len(before) - len(prompt)]]
        assert prompt in seen  # a text begins with its prompt
        assert len(text) == 9 or text[-1] == 11
    return run, judge


@pytest.fixture(scope="module")
def pair():
    return tiny.pair(size=SIZE)


@pytest.mark.parametrize("drafts", DRAFTERS, ids=lambda drafts: repr(drafts)[:40])
def test_laws_of_every_round_are_those_of_plain_passes(pair, drafts, monkeypatch):
    run, judge = whims(monkeypatch, pair, drafts, batch_size=3)
    assert max(len(texts) for texts, _ in judge.rounds) == 3
    assert max(kept for _, counts in judge.rounds for kept in counts) >= min(2, drafts.depth)
    other, _ = whims(monkeypatch, pair, drafts, batch_size=7)
    assert other.tokens == run.tokens


@pytest.mark.parametrize("drafts", [FixedTree(widths=(3, 2)), Heap(5), Rerank(7, 3, 3), Paths(3, 2), Rheo(7, 3, 3),
                                    GreedyTree(widths=(3, 2))], ids=repr)
@pytest.mark.parametrize("warp", [{"temperature": 0.0}, {"temperature": 0.5, "top_p": 0.5}], ids=["greedy", "top_p"])
def test_absent_nodes_are_not_kept_and_hide_nothing(pair, drafts, warp, monkeypatch):
    whims(monkeypatch, pair, drafts, **warp)


@pytest.mark.parametrize("family", ["gpt2", "mistral", "gpt_neo"])
@pytest.mark.parametrize("drafts", [FixedTree(widths=(2, 2)), Heap(4), Rerank(5, 2, 3), Paths(2, 2)], ids=repr)
def test_other_models_in_rounds_of_trees(family, drafts, monkeypatch):
    if family == "gpt_neo":
        pair = tiny.pair(size=SIZE)
        object.__setattr__(pair, "target", strange("gpt_neo", 1, size=SIZE))
        object.__setattr__(pair, "draft", strange("gpt_neo", 2, size=SIZE))
    else:
        pair = tiny.pair(size=SIZE, family=family, **({"sliding_window": 4} if family == "mistral" else {}))
    whims(monkeypatch, pair, drafts, batch_size=3)


# -- planted bugs -----------------------------------------------------------------------------------------------------


def next_node(keep):
    """Planted bug: the node after each node kept is taken over."""
    return lambda side, nodes, *given, **more: keep(side, (nodes + 1).clamp(max=nodes.max()), *given, **more)


def one_less(keep):
    """Planted bug: the last draft kept is forgotten."""
    return lambda side, nodes, accepted, *given, **more: keep(side, nodes, (accepted - 1).clamp(min=0), *given, **more)


def as_proposed(keep):
    """Planted bug: nodes are taken for read in the order in which they were proposed."""
    return lambda side, nodes, accepted, read_at, *given, **more: keep(side, nodes, accepted, None, *given, **more)


@pytest.mark.parametrize(("side", "bug", "drafts"), [
    (TargetSide, next_node, FixedTree(widths=(2, 2, 1))), (TargetSide, one_less, Paths(1, 3)),
    (DraftSide, next_node, Paths(3, 2)), (DraftSide, next_node, Heap(5)), (DraftSide, one_less, Paths(1, 3))])
def test_wrong_nodes_kept_are_caught(pair, side, bug, drafts, monkeypatch):
    monkeypatch.setattr(side, "keep", bug(side.keep))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        whims(monkeypatch, pair, drafts)


def test_nodes_of_a_reranked_tree_lie_where_they_were_read(pair, monkeypatch):
    # its laws are not handed on, but its nodes are a function of them
    monkeypatch.setattr(Whim, "judge", recording(Whim.judge, found := []))
    whims(monkeypatch, pair, Rerank(7, 2, 3))
    right = list(found)
    for texts, tokens, parents in right:
        for text, *nodes in zip(texts, tokens, parents, strict=True):
            assert {tuple(chain(*nodes, n)) for n in range(1, 8)} == likeliest(pair.draft, text, 7, 2, 3)
    found.clear()
    monkeypatch.setattr(DraftSide, "keep", as_proposed(DraftSide.keep))
    whims(monkeypatch, pair, Rerank(7, 2, 3))
    assert any({tuple(chain(*nodes, n)) for n in range(1, 8)} != likeliest(pair.draft, text, 7, 2, 3)
               for texts, tokens, parents in found for text, *nodes in zip(texts, tokens, parents, strict=True))


def recording(judge, found):
    def judged(how, target_rows, draft, *given):
        found.append((how.drafts.seen.copy(), draft.tokens.tolist(), draft.parents.tolist()))
        return judge(how, target_rows, draft, *given)

    return judged


def likeliest(model, text, nodes, width, depth):
    """Chains that a plain search with beams finds likeliest behind a text."""
    beam, proposed = [((), 1.0)], []
    for _ in range(depth):
        here = []
        for way, value in beam:
            law = tiny.law(model, [*text, *way])
            here += [((*way, int(token)), value * law[token]) for token in law.argsort()[::-1][:width]]
        proposed += here
        beam = sorted(here, key=lambda one: -one[1])[:width]
    return {way for way, _ in sorted(proposed, key=lambda one: -one[1])[:nodes]}
