"""The dual bound on a pair of models: its laws, its exact cases, its files, and its errors."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import otspec as ot
from otspec.core.errors import BadArgument, BadFile, SchemeMismatch, TooLarge
from otspec.core.trace import Trace
from otspec.decode.arguments import check_warp
from otspec.recording import path_bound as module
from otspec.recording.along import laws_after
from otspec.recording.path_bound import path_bound, path_bounds
from otspec.recording.paths import record_paths
from otspec.recording.prefixes import PairPrefixes
from tests.decode import tiny

PROMPTS = [[1, 2, 3], [4], [5, 6], [7, 8, 9, 10], [3, 3, 1]]
FLOAT32 = 2e-7  # laws of deeper prefixes are held in single precision


@pytest.fixture(scope="module")
def pair():
    return tiny.pair(size=12)


@pytest.fixture(scope="module")
def blocks(pair):
    return ot.record(pair, PROMPTS * 8, draft_length=3, progress=False)


def test_prefixes_have_the_laws_of_plain_passes(pair, monkeypatch):
    monkeypatch.setattr("otspec.recording.prefixes.ENTRIES", 30)  # two prefixes a call
    prefixes = PairPrefixes(pair, [1, 2], check_warp(0.8, None, None), 20)
    first = prefixes.visit(np.array([0, 0, 0, 0]), np.array([3, 5, 3, 7]))
    assert first.tolist() == [1, 2, 1, 3]
    second = prefixes.visit(np.array([2, 1, 0]), np.array([4, 4, 5]))
    assert second.tolist() == [4, 5, 2]
    third = prefixes.visit(np.array([5, 4]), np.array([0, 11]))
    assert len(prefixes) == 8
    for number, path in zip([0, *first, *second, *third],
                            [[], [3], [5], [3], [7], [5, 4], [3, 4], [5], [3, 4, 0], [5, 4, 11]], strict=True):
        for law, model in zip(prefixes.laws(number), (pair.target, pair.draft), strict=True):
            plain = tiny.laws_along(model, [1, 2], path, temperature=0.8)[-1]
            np.testing.assert_allclose(law, plain, atol=FLOAT32)


@pytest.mark.parametrize("kind", ["stateless", "one_call", "level"])
def test_one_token_is_the_exact_optimum(pair, kind):
    bound = path_bound(pair, PROMPTS, 3, 1, kind=kind, temperature=0.7)
    target, draft = (law.double().cpu().numpy() for law in laws_after(pair, PROMPTS, check_warp(0.7, None, None), 4))
    np.testing.assert_allclose(bound.by_context, 1 + ot.optimal_acceptance(target, draft, 3), atol=1e-9)
    assert bound.monte_carlo == 0


def test_kinds_are_ordered_and_no_rule_exceeds_them(pair):
    shape, values = (2, 3), {}
    for kind in module.KINDS:
        bound = path_bound(pair, PROMPTS, *shape, kind=kind, samples=800, seed=2)
        assert bound.tokens.mean == pytest.approx(float(bound.by_context.mean()))
        values[kind] = bound
    error = 4 * max(bound.monte_carlo for bound in values.values())
    assert values["stateless"].tokens.mean <= values["one_call"].tokens.mean + error
    assert values["one_call"].tokens.mean <= values["level"].tokens.mean + error
    table = ot.compare_sequences(pair, PROMPTS, rules=["lookahead_block", "traversal"], num_paths=(2,),
                                 draft_lengths=(3,), sets=100, progress=False)
    assert max(table.column("efficiency")) <= values["stateless"].tokens.mean + error + 0.05
    assert 1 <= values["stateless"].tokens.mean <= 4


def test_one_path_is_block_verification(pair):
    bound = path_bound(pair, PROMPTS, 1, 3, samples=1000, seed=4)
    table = ot.compare_sequences(pair, PROMPTS, rules=["block"], num_paths=(1,), draft_lengths=(3,), sets=400,
                                 progress=False)
    # the rule's own Monte-Carlo error is about that of the bound
    assert abs(bound.tokens.mean - table.rows[0]["efficiency"]) < 6 * bound.monte_carlo


def test_shapes_share_drafts_and_seeds_matter(pair):
    shapes = [(2, 2), (4, 3)]
    both = path_bounds(pair, PROMPTS[:2], shapes, samples=32, progress=False)
    again = path_bounds(pair, PROMPTS[:2], shapes, samples=32, progress=False)
    other = path_bounds(pair, PROMPTS[:2], shapes, samples=32, seed=1, progress=False)
    for shape in shapes:
        np.testing.assert_array_equal(both[shape].by_context, again[shape].by_context)
        assert (both[shape].by_context != other[shape].by_context).any()
        assert "tokens per call (stateless" in str(both[shape])
    single = path_bound(pair, PROMPTS[:1], 2, 2, samples=32)
    assert single.tokens.stderr == single.monte_carlo > 0


def test_interrupted_work_goes_on(pair, tmp_path, monkeypatch):
    out = tmp_path / "bound.json"
    arguments = {"samples": 16, "progress": False}
    whole = path_bound(pair, PROMPTS, 2, 3, **arguments)
    after, calls = module._after, []

    def failing(*given):
        calls.append(given[1])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return after(*given)

    monkeypatch.setattr(module, "_after", failing)
    with pytest.raises(KeyboardInterrupt):
        path_bound(pair, PROMPTS, 2, 3, out=out, **arguments)
    assert len(json.loads(out.read_text())["found"]) == 2
    resumed = path_bound(pair, PROMPTS, 2, 3, out=out, **arguments)
    assert calls[2:] == [PROMPTS[2], *PROMPTS[2:]]
    np.testing.assert_array_equal(resumed.by_context, whole.by_context)
    with pytest.raises(BadFile, match="samples is 16 there"):
        path_bound(pair, PROMPTS, 2, 3, out=out, samples=20)
    out.write_text("{}")
    with pytest.raises(BadFile, match="no file of path_bound"):
        path_bound(pair, PROMPTS, 2, 3, out=out, **arguments)


def test_recorded_rows_need_no_models(pair, blocks):
    for paths in (1, 2):
        recorded = path_bound(None, blocks, paths, 3, kind="level")
        drawn = path_bound(pair, PROMPTS, paths, 3, kind="level", samples=800)
        assert recorded.by_context is None
        assert recorded.tokens.mean + 4 * recorded.tokens.stderr > drawn.tokens.mean
        if paths == 1:  # nothing is lost by one block per context
            assert abs(recorded.tokens.mean - drawn.tokens.mean) < 5 * recorded.tokens.stderr
    assert path_bound(blocks, None, 2, 3, kind="level").tokens == recorded.tokens
    assert path_bound(blocks, np.int64(2), 3, kind="level").tokens == recorded.tokens
    first = path_bound(None, blocks, 3, 1)
    np.testing.assert_allclose(first.by_context, 1 + ot.optimal_acceptance(*blocks.laws(), 3), atol=1e-12)


def test_clear_errors(pair, blocks, monkeypatch):
    with pytest.raises(BadArgument, match="kind='level' on the recorded rows"):
        path_bound(None, blocks, 2, 3)
    with pytest.raises(BadArgument, match="temperature: 0"):
        path_bound(None, blocks, 2, 3, kind="level", temperature=0.5)
    with pytest.raises(BadArgument, match="draft_length: 4, the trace holds rows along 3"):
        path_bound(None, blocks, 2, 4, kind="level")
    with pytest.raises(BadArgument, match="num_paths: 21 from 40 recorded paths"):
        path_bound(None, blocks, 21, 3, kind="level")
    with pytest.raises(BadArgument, match="prompts are no trace"):
        path_bound(None, PROMPTS, 2, 3, kind="level")
    with pytest.raises(BadArgument, match="holds its contexts"):
        path_bound(blocks, PROMPTS, 2, 3, kind="level")
    with pytest.raises(BadArgument, match="samples: 9 paths for num_paths=5"):
        path_bound(pair, PROMPTS, 5, 3, samples=9)
    with pytest.raises(BadArgument, match="rollouts: 1"):
        path_bound(pair, PROMPTS, 2, 3, rollouts=1)
    with pytest.raises(BadArgument, match="kind: 'best'"):
        path_bound(pair, PROMPTS, 2, 3, kind="best")
    with pytest.raises(BadArgument, match="prompts: None"):
        path_bound(pair, None, 2, 3)
    monkeypatch.setattr(module, "free_memory", lambda device: 10_000)
    with pytest.raises(TooLarge, match="fewer samples"):
        path_bound(pair, PROMPTS, 2, 3)


def test_the_short_form(pair, blocks):
    """Three arguments: a trace brings its contexts, and only the pocket pair has some of its own."""
    level = path_bound(blocks, 2, 3, kind="level")
    assert level == path_bound(blocks, None, 2, 3, kind="level")
    assert level == path_bound(blocks, ot.WithReplacement(2), 3, kind="level")
    assert level == path_bound(blocks, 2, draft_length=3, kind="level")
    assert (path_bound(blocks, ot.drafter("paths", scheme=2, draft_length=3), kind="level")).tokens == level.tokens
    pocket = ot.load_pair("pocket", device="cpu")
    trace = ot.load_trace("pocket")
    short = path_bound(pocket, 2, 1, contexts=3, progress=False)
    np.testing.assert_array_equal(short.by_context, path_bound(pocket, trace, 2, 1, contexts=3).by_context)
    # the trace has its laws in half precision
    np.testing.assert_allclose(short.by_context, path_bound(trace, 2, 1, contexts=3).by_context, atol=2e-3)
    with pytest.raises(BadArgument, match=r"contexts nobody has named. Fix: path_bound\(pair, prompts, 2, 3\)"):
        path_bound(pair, 2, 3)
    with pytest.raises(BadArgument, match="draft_length: given twice, 3 and 4"):
        path_bound(pair, 2, 3, 4)
    with pytest.raises(BadArgument, match="num_paths: none"):
        path_bound(pair, PROMPTS)
    with pytest.raises(SchemeMismatch, match=r"drafter\('tree'"):
        path_bound(pair, PROMPTS, ot.WithoutReplacement(2), 3)
    with pytest.raises(SchemeMismatch, match="exact optimum of one token"):
        path_bound(blocks, ot.Greedy(2), 1)


def test_a_trace_alone_says_which_call_has_what_it_lacks(blocks):
    trace = ot.load_trace("pocket")
    with pytest.raises(BadArgument, match=r"path_bound\(otspec.load_pair\('pocket'\), trace, 2, 3\), or kind='level'"):
        path_bound(trace, 2, 3)
    with pytest.raises(BadArgument, match=r"Fix: otspec.load_trace\('pocket', draft_length=3\)"):
        path_bound(trace, 2, 3, kind="level")
    loads = r"otspec.load_pair\(target='tiny/target', draft='tiny/draft'\)"
    with pytest.raises(BadArgument, match=rf"Fix: path_bound\({loads}, trace, 2, 3\)"):
        path_bound(blocks, 2, 3)
    with pytest.raises(BadArgument, match=rf"Fix: otspec.record\({loads}, prompts, draft_length=4\)"):
        path_bound(blocks, 2, 4, kind="level")


class Bar:
    """A progress bar that somebody watches, or nobody."""

    def __init__(self, watched):
        self.disable, self.said = not watched, []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def update(self, count):
        pass

    def write(self, text, file):
        self.said.append(text)


def test_it_says_beforehand_how_long_it_takes_and_keeps_a_limit(pair, tmp_path, monkeypatch):
    """Contexts of 10 s by a clock of the test, the first one of 100 s: three more after the first two, 30 s."""
    now, after, out = [0.0], module._after, tmp_path / "bound.json"
    monkeypatch.setattr("otspec.recording.path_time.time.perf_counter", lambda: now[0])

    def slow(*given):
        now[0] += 100.0 if given[1] == PROMPTS[0] else 10.0
        return after(*given)

    monkeypatch.setattr(module, "_after", slow)
    for watched in (True, False):
        bar = Bar(watched)
        monkeypatch.setattr(module, "progress_bar", lambda *_, bar=bar: bar)
        whole = path_bound(pair, PROMPTS, 2, 2, samples=16)
        assert bar.said == (["path_bound: 3 more contexts, about 30 s"] if watched else [])
    with pytest.raises(TooLarge, match=r"5 contexts need about 140 s .* 125 s are allowed. Fix: contexts=3") as error:
        path_bound(pair, PROMPTS, 2, 2, samples=16, time_limit=125, out=out)
    assert error.value.estimate == pytest.approx(140.0)
    assert len(json.loads(out.read_text())["found"]) == 2  # what was done is kept
    resumed = path_bound(pair, PROMPTS, 2, 2, samples=16, time_limit=125, out=out)  # and need not be done again
    np.testing.assert_array_equal(resumed.by_context, whole.by_context)
    path_bound(pair, PROMPTS, 2, 2, samples=16, time_limit=140)
    for limit in (0, -1.0, True, "5"):
        with pytest.raises(BadArgument, match="no positive number of seconds"):
            path_bound(pair, PROMPTS, 2, 2, time_limit=limit)


def test_nothing_is_said_where_nobody_watches(pair, capsys):
    path_bound(pair, PROMPTS, 2, 2, samples=16)
    path_bound(pair, PROMPTS, 2, 2, samples=16, progress=False)
    assert capsys.readouterr() == ("", "")


def test_laws_truncated_after_the_tokens_were_drawn(pair):
    rows, drafts, tokens = (np.concatenate(parts)[:, 0] for parts in zip(
        *record_paths(pair, PROMPTS, num_paths=1, draft_length=2), strict=True))
    drafts[3, 1, tokens[3, 1]] = 0.0
    with np.errstate(divide="ignore"):
        trace = Trace([{"target_rows": np.log(rows), "draft_rows": np.log(drafts), "tokens": tokens}], {})
    with pytest.raises(BadArgument, match=r"tokens\[3, 1\] .* truncated to another support"):
        path_bound(None, trace, 1, 2, kind="level")
    truncated = ot.record(pair, PROMPTS * 2, draft_length=2, top_k=3, progress=False)
    assert path_bound(None, truncated, 1, 2, kind="level").tokens.mean >= 1.0
    with pytest.raises(BadArgument, match="do not follow the changed draft law"):
        path_bound(None, ot.record(pair, PROMPTS, draft_length=2, progress=False).truncated(top_k=2), 1, 2,
                   kind="level")


def test_trees_of_drafters(pair):
    widths = path_bound(pair, PROMPTS[:2], ot.drafter("tree", widths=(2, 1)), samples=64)
    heap = path_bound(pair, PROMPTS[:2], ot.drafter("heap", nodes=3), samples=32)
    assert min(widths.tokens.mean, heap.tokens.mean) >= 1
    assert widths.monte_carlo > 0
    assert (widths.num_paths, widths.draft_length) == (4, 2)
    greedy = path_bound(pair, PROMPTS[:2], ot.drafter("greedy_tree", widths=(2, 1)), samples=64)
    rheo = path_bound(pair, PROMPTS[:2], ot.drafter("rheo", nodes=4, width=2, max_depth=2), samples=32)
    assert min(greedy.tokens.mean, rheo.tokens.mean) >= 1
    for name, params in (("rerank", {"nodes": 4}), ("lookup", {"ngram": 1})):
        assert path_bound(pair, PROMPTS[:2], ot.drafter(name, **params)).monte_carlo == 0
    same = path_bound(pair, PROMPTS[:2], ot.drafter("paths", scheme=2, draft_length=3), samples=32)
    np.testing.assert_array_equal(same.by_context, path_bound(pair, PROMPTS[:2], 2, 3, samples=32).by_context)
    with pytest.raises(SchemeMismatch, match=r"2 model\(s\)"):
        path_bound(pair, PROMPTS, ot.drafter("several"))
    with pytest.raises(SchemeMismatch, match="optimal_acceptance"):
        path_bound(pair, PROMPTS, ot.drafter("paths", scheme=ot.WithoutReplacement(2), draft_length=1))
    with pytest.raises(BadArgument, match="drafts 2 tokens deep"):
        path_bound(pair, PROMPTS, ot.drafter("tree", widths=(2, 1)), 3)
    with pytest.raises(BadArgument, match="kind: 'level' of the trees"):
        path_bound(pair, PROMPTS, ot.drafter("tree", widths=(2, 1)), kind="level")
    with pytest.raises(BadArgument, match="draft_length: none"):
        path_bound(pair, PROMPTS, 2)
