"""The whole planner on a tiny pair: what it answers, that the answer runs, and what it refuses."""

import json
import math
import shlex

import numpy as np
import pytest
from matplotlib.figure import Figure

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import otspec as ot  # noqa: E402
from otspec.cli import _parser, main  # noqa: E402
from otspec.cli.decoding import _method  # noqa: E402
from otspec.cli.planning import read_curve  # noqa: E402
from otspec.core.errors import BadArgument  # noqa: E402
from otspec.core.progress import progress_bar  # noqa: E402
from otspec.decode.drafters.paths import Paths  # noqa: E402
from otspec.decode.method import method  # noqa: E402
from otspec.planner.candidates import FAMILIES, Candidate, candidates  # noqa: E402
from otspec.planner.contexts import split  # noqa: E402
from otspec.planner.costs import Costs  # noqa: E402
from otspec.planner.lines import command_line  # noqa: E402
from otspec.planner.measured import measure_costs  # noqa: E402
from otspec.planner.rounds import Method, tokens_per_call  # noqa: E402
from otspec.planner.search import curve_budgets  # noqa: E402
from otspec.planner.sources import PairSource  # noqa: E402
from otspec.planner.tables import acceptance_tables  # noqa: E402
from tests.planner import tinies  # noqa: E402

WARP = {"temperature": 1.0, "top_k": None, "top_p": None}
TEXTS = tinies.contexts(72)


@pytest.fixture(scope="module")
def pair():
    return tinies.pair()


@pytest.fixture(scope="module")
def answer(pair):
    return ot.recommend(pair, 4, draft_cost=0.01, prompts=TEXTS)


@pytest.fixture(scope="module")
def tables(pair):
    return acceptance_tables(pair, TEXTS[:20], 6, WARP, seed=0)


@pytest.fixture(scope="module")
def trace(pair):
    return ot.record(pair, TEXTS, draft_length=3, progress=False)


def test_the_answer_is_the_best_of_those_that_it_may_choose_on_the_contexts_that_chose(answer):
    mine = [one for one in (answer.choice, *answer.runners_up)
            if one.candidate.drafter and not FAMILIES[one.candidate.family].rival]
    fast = {one.candidate: answer.costs.speedup(one.calibrated, drafts=one.candidate.drafts, steps=one.candidate.steps)
            for one in mine}
    assert fast[answer.choice.candidate] == max(fast.values()) > 1
    assert answer.choice.candidate.drafts <= 4
    families = {one.candidate.family for one in answer.runners_up}
    assert {"plain", "default", "sequoia", "token_wise"} <= families
    ranks = [one.speedup.mean for one in answer.runners_up]
    assert ranks == sorted(ranks, reverse=True)


def test_what_is_reported_was_measured_on_contexts_that_did_not_choose(pair, answer):
    held_out = split(TEXTS).held_out
    kept = tokens_per_call(pair, held_out, [Method(answer.drafter, answer.verifier)], WARP, seed=2)[0]
    assert answer.predicted.mean == pytest.approx(kept.mean(), abs=1e-9)
    assert answer.predicted.n == len(held_out) == answer.settings["held_out_contexts"]
    assert answer.predicted.stderr > 0
    assert answer.speedup.mean == pytest.approx(answer.costs.speedup(
        answer.predicted.mean, drafts=answer.choice.candidate.drafts, steps=answer.choice.candidate.steps))


def test_the_line_decodes_as_predicted(pair, answer):
    """The printed line is run from the contexts that tested it: the first rounds keep what was predicted of them."""
    held_out = split(TEXTS).held_out
    call = answer.python.removesuffix(")") + ", seed=1, max_new_tokens=12, stop_token=None)"
    run = eval(call, {"ot": ot, "pair": pair, "prompts": held_out * 24})
    assert abs(run.z_score) < 5
    first = ot.Estimate.from_samples(1 + run.accepted[0].reshape(24, -1).mean(axis=1))  # over the same contexts
    exact = tokens_per_call(pair, held_out, [Method(answer.drafter, answer.verifier)], WARP, seed=5, sets=24).mean()
    assert first.covers(exact)
    assert answer.predicted.covers(exact)


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in ("heap", "split")])
def test_the_command_says_the_same(tables, name):
    """Of every family, one candidate: the command is parsed by the command line itself."""
    from otspec.planner.lines import command_line, python_line

    one = [found for found in candidates(6, tables, Costs(0.01)) if found.family == name][-1]
    words = shlex.split(command_line(one, {"target": "a", "draft": "b", "temperature": 0.6}))
    given = _parser().parse_args(words[1:])
    drafts, _ = method(given.verifier, **{"scheme": 1, "draft_length": 4} | {
        {"drafter": "drafted_by"}.get(key, key): value for key, value in _method(given).items()})
    assert drafts == one.drafter
    assert given.temperature == 0.6
    made = eval(python_line(one, 0.6), {"ot": _Caller, "pair": None, "prompts": None})
    assert made == (one.verifier, one.drafter)


class _Caller:
    drafter = staticmethod(ot.drafter)

    @staticmethod
    def generate(pair, prompts, *, verifier, scheme=1, draft_length=4, drafter=None, temperature=1.0):
        assert temperature == 0.6
        return verifier, drafter or ot.drafter("paths", scheme=scheme, draft_length=draft_length)


@pytest.mark.parametrize("name", ["heap", "split"])
def test_a_tree_fitted_to_the_text_is_written_down_in_python_alone(tables, name):
    from otspec.planner.lines import command_line, python_line

    one = [found for found in candidates(6, tables, Costs(1e-6)) if found.family == name][-1]
    assert command_line(one, {"target": "a", "draft": "b", "temperature": 0.6}) is None
    names = {"ot": _Caller, "pair": None, "prompts": None, "Calibration": ot.Calibration}
    assert eval(python_line(one, 0.6), names) == (one.verifier, one.drafter)


@pytest.mark.parametrize("budget", [1, 2, 7])
def test_candidates_keep_the_budget_and_are_lawful(tables, budget):
    found = candidates(budget, tables, Costs(1e-6))
    assert found
    for one in found:
        assert 1 <= one.drafts <= budget
        method(one.verifier, 1, 4, one.drafter)  # raises SchemeMismatch for a rule that would be biased
        if one.drafter.adaptive_widths:
            assert one.verifier == "traversal"


def test_dear_drafts_are_not_recommended(pair):
    answer = ot.recommend(pair, 3, draft_cost=5.0, prompts=TEXTS, curve=False)
    assert (answer.verifier, answer.drafter) == (None, None)
    assert answer.speedup.mean == answer.predicted.mean == 1.0
    assert "nothing that was measured beats it" in str(answer)
    assert answer.python == "ot.generate(pair, prompts, verifier=None, temperature=1.0)"
    assert answer.engines == ()


def test_dear_steps_make_drafts_wide_and_dear_tokens_make_them_few(pair):
    deep = ot.recommend(pair, 4, draft_cost=1e-3, prompts=TEXTS, curve=False)
    wide = ot.recommend(pair, 4, draft_cost=0.45, prompts=TEXTS, curve=False)
    few = ot.recommend(pair, 4, draft_cost=1e-3, verify_cost={1: 1.0, 2: 1.3, 5: 4.0}, prompts=TEXTS, curve=False)
    assert wide.choice.candidate.steps < deep.choice.candidate.steps
    assert few.choice.candidate.drafts < deep.choice.candidate.drafts


def test_the_curve_rises_with_the_budget_and_ends_there(answer):
    assert curve_budgets(4) == sorted(set(answer.curve.column("budget"))) == [1, 2, 4]
    for family in ("chain", "lookahead"):
        rows = answer.curve.where(family=family).rows
        scores = [answer.costs.speedup(row["calibrated"], drafts=row["drafts"], steps=row["steps"])
                  for row in rows[:-1]]
        assert scores == sorted(scores)  # a budget may be left unspent; the last was measured again
    assert answer.limit.column("budget") == [1, 2, 4]
    assert (np.diff(answer.limit.column("tokens")) > 0).all()


def test_it_can_be_written_down(answer, tmp_path):
    value = json.loads(answer.to_json())
    assert value["verifier"] == answer.verifier
    assert value["curve"] == answer.curve.rows
    assert answer.runners_up[0].candidate.text in str(answer)
    assert (answer.python in str(answer)) == (len(answer.python) < 400)
    assert "<table>" in answer._repr_html_()
    assert len(answer.lines()) <= 4
    brief = answer.brief()
    assert [line.split()[2] for line in brief[:-1]] == ["1", "2", "4"]
    assert answer.choice.candidate.text in brief[2]
    path = answer.save_plot(tmp_path / "plan.png")
    assert path.stat().st_size > 10_000
    assert ot.Table.from_csv(tmp_path / "plan.csv").rows == answer.drawn.rows
    axes = answer.figure().axes
    assert [ax.get_ylabel() for ax in axes] == ["tokens per target call", "speed-up over plain sampling"]
    one = Figure().subplots()
    assert answer.plot(one) is one
    assert answer.choice.candidate.text in one.get_title()


def test_a_trace_with_blocks_plans_chains(trace):
    answer = ot.recommend(trace, 8, draft_cost=0.01)
    assert answer.verifier == "block"
    assert answer.drafter.paths == 1
    assert answer.drafter.depth == 3  # as long as was recorded
    target, draft, tokens = trace.rows(np.flatnonzero(np.arange(len(trace)) % 3))
    kept = ot.verifier("block").expected_accepted(target, draft, tokens).mean()
    assert answer.predicted.covers(1 + kept)  # two estimates from the same blocks, one with the last token averaged
    assert "chains alone" in str(answer)


@pytest.mark.parametrize(("given", "says"), [
    ({"budget": 0}, "budget"), ({"budget": 2.5}, "budget"), ({"budget": True}, "budget"), ({"budget": 129}, "reaches"),
    ({"draft_cost": 0.0}, "draft_cost"), ({"draft_cost": math.nan}, "draft_cost"),
    ({"verify_cost": -1.0}, "verify_cost"), ({"verify_cost": {1: math.nan, 2: 1.0}}, "verify_cost"),
    ({"batch_size": 0}, "batch_size"), ({"temperature": -1}, "temperature"), ({"sets": 0}, "sets"),
    ({"seed": -1}, "seed"), ({"prompts": TEXTS[:30]}, "at least 48"), ({"prompts": None}, "prompts"),
    ({"calibration": TEXTS[:20]}, "calibration context"), ({"prompts": [[99]]}, "vocabulary")])
def test_refusals(pair, given, says):
    arguments = {"budget": 4, "draft_cost": 0.1, "prompts": TEXTS} | given
    with pytest.raises(BadArgument, match=says):
        ot.recommend(pair, arguments.pop("budget"), **arguments)


def test_the_largest_seed_measures(pair):
    source = PairSource(pair, TEXTS, None, 2, 1.0, seed=2**64 - 1, sets=1, progress=False)
    assert source.measure([Method(Paths(1, 1), "block")], 1).min() >= 1


def test_refusals_of_traces(pair, trace):
    with pytest.raises(BadArgument, match=r"no rows along blocks.*draft_length=4"):
        ot.recommend(ot.load_trace("pocket"), 4, draft_cost=0.1)
    with pytest.raises(BadArgument, match=r"were drawn at 1.0.*temperature=0.6"):
        ot.recommend(trace, 4, draft_cost=0.1, temperature=0.6)
    with pytest.raises(BadArgument, match="48"):
        ot.recommend(ot.record(pair, TEXTS[:9], draft_length=2, progress=False), 2, draft_cost=0.1)
    with pytest.raises(BadArgument, match="prompts"):
        ot.recommend(trace, 4, draft_cost=0.1, prompts=TEXTS)
    with pytest.raises(BadArgument, match="neither"):
        ot.recommend("pocket", 4, draft_cost=0.1)


def test_measured_costs(pair):
    measured = measure_costs(pair, TEXTS[:4], batch_sizes=(1, 2), drafts=(0, 1, 4), repeats=2)
    assert len(measured.table) == 6
    costs = measured.at(2)
    assert costs.batch_size == 2
    assert [at for at, _ in costs.verify] == [2, 4, 10]
    assert costs.draft == measured.table.where(batch_size=2).rows[0]["draft_ms"] > 0
    with pytest.raises(BadArgument, match="was not measured"):
        measured.at(3)
    for wrong in ({"drafts": ()}, {"batch_sizes": ()}, {"drafts": (-1, 2)}, {"drafts": ("x",)}):
        with pytest.raises(BadArgument, match=r"batch_sizes, drafts: .*Fix"):
            measure_costs(pair, TEXTS[:4], **wrong)


def test_command_line(trace, tmp_path, capsys):
    trace.save(tmp_path / "trace.safetensors")
    given = ["recommend", "--trace", str(tmp_path / "trace.safetensors"), "--budget", "4", "--out",
             str(tmp_path / "plan.png")]
    assert main([*given, "--draft-cost", "0.01", "--json", "--quiet"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["verifier"] == "block"
    assert (tmp_path / "plan.png").exists()
    assert main([*given, "--draft-cost", "0.01", "--verify-cost", "1=1,5=1.2", "--out", "none"]) == 0
    assert "chain of 3 + block" in capsys.readouterr().out
    for more, says in (([], "--draft-cost"), (["--draft-cost", "0"], "draft_cost"), (["--budget", "0"], "--budget"),
                       (["--measure-costs"], "--trace"), (["--prompts", "x"], "--trace"),
                       (["--draft-cost", "1", "--verify-cost", "a"], "--verify-cost"),
                       (["--draft-cost", "1", "--out", "plan.txt"], "--out")):
        assert main([*given, *more]) == 2
        err = capsys.readouterr().err
        assert says in err
        assert err.count("\n") == 1
    assert read_curve(None) is None


def test_the_command_line_knows_the_pocket_trace(trace, monkeypatch):
    asked = []

    def load(name, **given):
        asked.append((name, given))
        return trace

    monkeypatch.setattr("otspec.recording.record.load_trace", load)
    assert main(["recommend", "--trace", "pocket", "--budget", "4", "--draft-cost", "0.1", "--out", "none"]) == 0
    assert asked == [("pocket", {"draft_length": 4, "temperature": 1.0, "progress": True})]


def test_a_misspelt_trace_is_named(capsys):
    assert main(["recommend", "--trace", "poket", "--budget", "4", "--draft-cost", "0.1", "--out", "none"]) == 2
    assert "Did you mean 'pocket'" in capsys.readouterr().err


@pytest.mark.parametrize(("settings", "prompts"), [
    ({"target": "pocket/target", "draft": "pocket/draft"}, "--prompt 'def main():'"),
    ({"target": "a", "draft": "b", "tokenizer": True}, "--prompt 'def main():'"),
    ({"target": "a", "draft": "b", "tokenizer": False}, "--prompts ids.json"),
    ({"target": "a", "draft": "b"}, "--prompts ids.json")])
def test_commands_fit_what_is_known_of_the_tokenizer(settings, prompts):
    line = command_line(Candidate("chain", Paths(1, 2), "block"), settings | {"temperature": 1.0})
    assert f" {prompts} --verifier block " in line


def test_every_bar_says_what_is_done(pair, monkeypatch):
    seen = []

    def bar(total, unit, shown, done=0, *, title=None):
        seen.append(title)
        return progress_bar(total, unit, False)

    for module in ("rounds", "tables"):
        monkeypatch.setattr(f"otspec.planner.{module}.progress_bar", bar)
    ot.recommend(pair, 2, draft_cost=0.1, prompts=TEXTS, curve=False)
    assert None not in seen
    assert len(set(seen)) >= 3
