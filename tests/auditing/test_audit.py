"""The audit of functions: rules of the package pass, every way of asking works, and what cannot be judged says so."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import otspec as ot
from otspec.auditing import Function
from otspec.testing import CheckFailed, assert_lossless
from tests.auditing.masses import Masses, joint

QUICK = {"tv": 0.1, "large": False, "explain": 0.3}
SCHEMES = (ot.WithReplacement(2), ot.WithoutReplacement(2), ot.Greedy(2), ot.Hub(), ot.Independent(2))


def pick(law, uniform):
    ends = np.cumsum(law)
    return int(np.searchsorted(ends, uniform * ends[-1], side="right"))


def right(target, draft, token, rng):
    if rng.random() * draft[token] < target[token]:
        return token
    left = np.maximum(target - draft, 0.0)
    return pick(left, rng.random())


def wrong(target, draft, token, rng):
    return token if rng.random() * draft[token] < target[token] else pick(target, rng.random())


def with_coins(target, draft, token, coins):
    if coins[0] * draft[token] < target[token]:
        return token
    return pick(np.maximum(target - draft, 0.0), coins[1])


def token_rules():
    for scheme in SCHEMES:
        for name, entry in ot.list_verifiers(scheme, kind="token").items():
            if "lossless" in entry.claims and name not in ("lp", "hierarchical"):
                yield name, scheme


@pytest.mark.parametrize(("name", "scheme"), list(token_rules()), ids=str)
def test_token_rules_of_the_package_pass(name, scheme):
    rule = ot.verifier(name, scheme)
    report = ot.audit(lambda target, draft, tokens, rng: rule.conditional(target, draft, tokens), kind="multi",
                      scheme=scheme)
    assert report.passed is True
    assert report.tv <= 1e-9
    assert report.method == "exact"


@pytest.mark.parametrize("name", [name for name, entry in ot.list_verifiers(kind="block").items()
                                  if "lossless" in entry.claims and not ot.verifier(name).stateful])
def test_block_rules_of_the_package_pass(name):
    rule = ot.verifier(name, 1)
    assert ot.audit(Masses(name, "block", joint(rule)), tv=0.1).passed is True


@pytest.mark.parametrize(("name", "scheme"), [
    (name, scheme) for scheme in (ot.WithReplacement(2), ot.WithoutReplacement(2), ot.Greedy(2))
    for name, entry in ot.list_verifiers(scheme, kind="tree").items() if "lossless" in entry.claims], ids=str)
def test_tree_rules_of_the_package_pass(name, scheme):
    rule = ot.verifier(name, scheme)
    assert ot.audit(Masses(name, "tree", joint(rule)), scheme=scheme, tv=0.2).passed is True


def test_a_right_function_passes_and_says_how_small_a_deviation_it_would_have_found():
    report = ot.audit(right, kind="token", tv=0.1)
    assert report.passed is True
    assert report.p_value > 0.001
    assert report.counterexample is None
    assert "0.1 on any instance (0.2 on the large vocabulary)" in report.reason
    for row in report.acceptance.rows:
        assert row["kept"] == pytest.approx(row["optimum"], abs=0.08)


def test_a_wrong_function_fails_with_all_that_is_needed_to_mend_it(tmp_path):
    report = ot.audit(wrong, kind="token", **QUICK)
    assert report.passed is False
    assert report.p_value < 1e-3
    assert report.mistake == "redraw_from_target"
    assert "(target - draft)+" in report.remedy
    found = report.counterexample
    assert len(found.target) < 5
    assert found.tv > 0.05
    low, high = report.interval
    assert low <= report.tv <= high
    kept = json.loads(report.to_json(tmp_path / "audit.json"))
    assert kept == json.loads((tmp_path / "audit.json").read_text())
    assert kept["passed"] is False
    assert kept["counterexample"]["target"] == found.target
    assert "FAILED" in str(report)
    assert "redraw_from_target" in report._repr_html_()
    report.figure(tmp_path / "audit.png")
    assert (tmp_path / "audit.png").stat().st_size > 5000


def test_supplied_coins_are_integrated_exactly():
    report = ot.audit(with_coins, kind="token", coins=2, large=False)
    assert (report.passed, report.method) == (True, "exact")
    assert max(row["upper"] for row in report.cases.rows) < 1e-9
    bad = ot.audit(lambda target, draft, token, coins: with_coins(target, draft, token, coins[[0, 0]]), kind="token",
                   coins=2, large=False, explain=0.3)
    assert (bad.passed, bad.mistake) == (False, "one_uniform")
    worst = max(bad.cases.rows, key=lambda row: row["tv"])
    # by hand on the spread pair: the uniform that rejected is above the ratio, so that early tokens lose
    assert bad.cases.where(case="spread").rows[0]["tv"] == pytest.approx(0.0714286, abs=1e-6)
    assert worst["case"] == bad.family


def test_a_deviation_of_one_millionth_is_found_where_coins_are_supplied():
    def nearly(target, draft, token, coins):
        return 0 if coins[0] < 1e-6 else with_coins(target, draft, token, (coins - 1e-6).clip(0) / (1 - 1e-6))
    assert ot.audit(nearly, kind="token", coins=2, large=False, explain=0).passed is False


def test_coins_that_make_no_boxes_are_undecided_not_passed():
    def diagonal(target, draft, token, coins):
        return pick(target, (coins[0] + coins[1]) % 1.0)
    report = ot.audit(diagonal, kind="token", coins=2, large=False)
    assert report.passed is None
    assert "coins='generator'" in report.reason


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("inputs", ["probabilities", "logits"])
def test_inputs_of_every_kind(inputs, dtype):
    def torch_rule(target, draft, tokens, generator):
        p, q = (part.double().softmax(-1) if inputs == "logits" else part.double() for part in (target, draft))
        p, q = (part / part.sum(-1, keepdim=True) for part in (p, q))
        at = tokens[:, None]
        keep = torch.rand(len(tokens), generator=generator) * q.gather(1, at)[:, 0] < p.gather(1, at)[:, 0]
        left = (p - q).clamp(min=0)
        left = torch.where(left.sum(-1, keepdim=True) > 0, left, p)
        return torch.where(keep, tokens, torch.multinomial(left, 1, generator=generator)[:, 0])
    report = ot.audit(torch_rule, kind="token", inputs=inputs, library="torch", dtype=dtype, batch_size=1024, **QUICK)
    assert report.passed is True


def test_a_residual_in_bfloat16_is_not_lossless():
    def halved(target, draft, tokens, generator):
        at = tokens[:, None]
        keep = torch.rand(len(tokens), generator=generator) * draft.gather(1, at)[:, 0] < target.gather(1, at)[:, 0]
        left = ((target.bfloat16() * 1.01 - draft.bfloat16()).clamp(min=0) + 2**-6).double()
        return torch.where(keep, tokens, torch.multinomial(left, 1, generator=generator)[:, 0])
    assert ot.audit(halved, kind="token", library="torch", batch_size=1024, large=False, explain=0).passed is False


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_functions_that_toss_the_global_generator(library):
    def tossing(target, draft, tokens):
        coin = float(torch.rand(1)) if library == "torch" else np.random.rand()  # noqa: NPY002
        again = float(torch.rand(1)) if library == "torch" else np.random.rand()  # noqa: NPY002
        p, q = np.asarray(target), np.asarray(draft)
        token = int(tokens)
        return token if coin * q[token] < p[token] else pick(np.maximum(p - q, 0.0), again)
    state = np.random.get_state()[1].copy(), torch.random.get_rng_state()  # noqa: NPY002
    first, second = (ot.audit(tossing, kind="token", library=library, coins="global", tv=0.2, large=False)
                     for _ in range(2))
    assert first.passed is True
    assert first.cases.rows == second.cases.rows
    assert (np.random.get_state()[1] == state[0]).all()  # noqa: NPY002
    assert torch.equal(torch.random.get_rng_state(), state[1])


def test_a_row_that_depends_on_its_neighbour_fails():
    def leaking(target, draft, tokens, rng):
        rows = np.arange(len(tokens))
        keep = rng.random(len(tokens)) * draft[rows, tokens] < np.roll(target, 1, axis=0)[rows, tokens]
        left = np.maximum(target - draft, 0)
        left = np.where(left.sum(axis=1, keepdims=True) > 0, left, target)
        return np.where(keep, tokens, ot.draw(left, rng.random(len(tokens))))
    assert ot.audit(leaking, kind="token", batch_size=64, large=False, explain=0).passed is False


def test_an_audit_of_numpy_functions_loads_no_torch():
    code = ("import sys, otspec as ot; print(ot.audit(lambda target, draft, token, rng: rng.choice(len(target), "
            "p=target), kind='token', tv=0.2, large=False).passed, 'torch' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.split() == ["True", "False"]


def test_too_little_time_or_too_few_calls_are_undecided():
    few = ot.audit(right, kind="token", calls=300, large=False)
    assert few.passed is None
    assert "calls allowed" in few.reason
    late = ot.audit(right, kind="token", seconds=0.2, large=False)
    assert late.passed is None
    assert "time was up" in late.reason
    assert "UNDECIDED" in str(late)


@pytest.mark.parametrize(("fn", "says"), [
    (lambda target, draft, token, rng: 99, "99, is no token"),
    (lambda target, draft, token, rng: 0.5, "0.5, is no token"),
    (lambda target, draft, token, rng: [1, 2], "2 tokens where one"),
    (lambda target, draft, token, rng: {}["no"] if target[token] == 0 else right(target, draft, token, rng),
     "KeyError")])
def test_answers_that_no_rule_can_give(fn, says):
    report = ot.audit(fn, kind="token", **QUICK)
    assert report.passed is False
    assert says in report.counterexample.why
    assert report.counterexample.tokens is not None
    assert "No answer" in str(report)


@pytest.mark.parametrize(("answer", "says"), [
    ([], "no token is emitted"), ([4, 4, 4, 4], "no drafted prefix"), ([7], "no token of the vocabulary")])
def test_texts_that_no_rule_can_emit(answer, says):
    report = ot.audit(lambda target, draft, tokens, rng: answer, kind="block")
    assert report.passed is False
    assert says in report.counterexample.why


def test_the_same_seed_gives_the_same_report():
    one, other = (ot.audit(wrong, kind="token", seed=3, **{**QUICK, "explain": 0}) for _ in range(2))
    assert one.p_value == other.p_value
    assert ot.audit(wrong, kind="token", seed=4, **{**QUICK, "explain": 0}).p_value != one.p_value


@pytest.mark.parametrize(("given", "error", "says"), [
    ({"kind": "guess"}, ot.UnknownName, "kind: 'guess'"), ({}, ot.UnknownName, "kind: None"),
    ({"kind": "token", "scheme": 2}, ot.BadArgument, "kind='multi'"),
    ({"kind": "token", "tv": 0}, ot.BadArgument, "tv: 0"), ({"kind": "token", "alarm": 2}, ot.BadArgument, "alarm: 2"),
    ({"kind": "token", "coins": "many"}, ot.BadArgument, "coins: 'many'"),
    ({"kind": "token", "dtype": "int8"}, ot.UnknownName, "dtype: 'int8'"),
    ({"kind": "token", "seconds": 0}, ot.BadArgument, "seconds: 0"),
    ({"kind": "block", "draft_length": 9}, ot.BadArgument, "draft_length: 9"),
    ({"kind": "tree", "scheme": ot.Hub()}, ot.SchemeMismatch, "trees of"),
    ({"kind": "multi", "scheme": ot.WithoutReplacement(9)}, ot.SchemeMismatch, "more drafts")])
def test_bad_arguments(given, error, says):
    with pytest.raises(error, match=says):
        ot.audit(right, **given)


def test_a_function_that_cannot_be_called_is_an_error_with_the_signature():
    with pytest.raises(ot.BadArgument, match=r"fn\(target \[V\], draft \[V\], token, rng\) -> token; yours is"):
        ot.audit(lambda target: 0, kind="token")
    with pytest.raises(ot.BadArgument, match="leave kind out"):
        ot.audit(Function(right, "token"), kind="block")
    with pytest.raises(ot.BadArgument, match="cannot be called"):
        ot.audit(3, kind="token")


def test_the_assertion_of_tests_takes_every_kind():
    assert_lossless(right, kind="token", tv=0.2, n=2000)
    assert_lossless(Masses("block", "block", joint(ot.verifier("block", 1))), tv=0.2)
    with pytest.raises(CheckFailed, match="redraw_from_target"):
        assert_lossless(wrong, kind="token")
