"""Audit of samples: texts of the target pass, texts of other laws fail, too few are told from enough."""

import numpy as np
import pytest

import otspec as ot
from otspec.auditing.contexts import laws_along_texts
from otspec.auditing.samples import _name

RNG = np.random.default_rng(5)
TARGET = ot.MarkovModel(RNG.dirichlet(np.ones(8), size=8))
DRAFT = ot.MarkovModel(RNG.dirichlet(np.ones(8), size=8))
PROMPTS = [[0], [3, 4], [7]]


def emitted(rows, count=400, length=6, seed=0):
    """Texts of a Markov law, for each prompt."""
    rng, below = np.random.default_rng(seed), np.cumsum(rows, axis=1)
    texts = []
    for prompt in PROMPTS:
        last, columns = np.full(count, prompt[-1]), []
        for _ in range(length):
            last = (rng.random((count, 1)) >= below[last] / below[last, -1:]).sum(axis=1)
            columns.append(last)
        texts.append(np.stack(columns, axis=1).tolist())
    return texts


def test_texts_of_the_target_pass():
    report = ot.audit_samples((TARGET, DRAFT), PROMPTS, emitted(TARGET.rows, count=1500), tv=0.1)
    assert report.passed is True
    assert report.p_value > 0.01
    assert report.resolved <= 0.1
    assert [row["case"] for row in report.cases.rows] == ["first tokens", "ranks", "log-likelihoods", "draft"]


def test_few_texts_cannot_tell():
    report = ot.audit_samples(TARGET, PROMPTS, emitted(TARGET.rows, count=10))
    assert report.passed is None
    assert "Cannot tell" in report.reason
    assert str(ot.samples_needed(0.05)) in report.reason


@pytest.mark.parametrize(("rows", "name"), [
    (0.9 * TARGET.rows + 0.1 * DRAFT.rows, "leans_to_the_draft"),
    (ot.temper(TARGET.rows, 0.8), "other_temperature")], ids=["draft", "temperature"])
def test_texts_of_another_law_fail(rows, name):
    report = ot.audit_samples((TARGET, DRAFT), PROMPTS, emitted(rows, count=1500))
    assert report.passed is False
    assert report.mistake == name
    assert report.counterexample.tv > 0
    assert "FAILED" in str(report)


def test_first_tokens_alone_tell():
    """A law that is wrong after the prompt only."""
    texts = emitted(TARGET.rows, count=3000, length=1)
    wrong = [[[(one[0] + 1) % 8] if place % 5 == 0 else one for place, one in enumerate(part)] for part in texts]
    assert ot.audit_samples(TARGET, PROMPTS, wrong).passed is False


def test_an_impossible_token_ends_the_audit():
    cut = {"top_p": 0.8}
    report = ot.audit_samples(TARGET, PROMPTS, emitted(TARGET.rows, count=100), **cut)
    assert (report.passed, report.mistake, report.p_value) == (False, "impossible_token", 0.0)
    assert "probability zero" in report.counterexample.why
    kept = np.stack([ot.truncate(row, top_p=0.8) for row in TARGET.rows])
    assert ot.audit_samples(TARGET, PROMPTS, emitted(kept, count=900), tv=0.1, **cut).passed is True


def test_false_alarms_are_rare():
    failed = [ot.audit_samples((TARGET, DRAFT), PROMPTS, emitted(TARGET.rows, count=40, length=4, seed=seed),
                               alarm=0.05, seed=seed).passed is False for seed in range(60)]
    assert sum(failed) <= 6  # 3 expected at most; 7 or more in 3 % of runs if every bet were tight


def test_laws_along_texts_of_a_pair_are_those_after_every_prefix():
    from tests.decode import tiny

    pair, texts = tiny.pair(size=5), [[1, 4, 2], [3], [0, 0]]
    warp = {"temperature": 1.0, "top_k": None, "top_p": None}
    for number, target, draft in laws_along_texts(pair, [1, 2], texts, warp):
        for place in range(len(texts[number])):
            context = [1, 2, *texts[number][:place]]
            np.testing.assert_allclose(target[place], tiny.law(pair.target, context), atol=1e-6)
            np.testing.assert_allclose(draft[place], tiny.law(pair.draft, context), atol=1e-6)


@pytest.mark.parametrize(("given", "says"), [
    ((["text"], [[[0]]]), "prompts: a string"), (([[0]], ["text"]), "texts.0.: a string"),
    (([[0]], [["text"]]), "texts.0.: a string"), (([[0]], []), "samples of 0 prompts"),
    (([[0]], [[[]]]), "no sample that holds"), (([[0]], [[[9]]]), "outside 0 .. 7"), (([[0]], [[0]]), "list of lists"),
    (([[]], [[[0]]]), "empty prompt")])
def test_bad_arguments(given, says):
    with pytest.raises(ot.BadArgument, match=says):
        ot.audit_samples(TARGET, *given)
    with pytest.raises(ot.BadArgument, match="tv: 2"):
        ot.samples_needed(2)


def test_more_power_takes_more_samples():
    assert ot.samples_needed(0.05) < ot.samples_needed(0.02)
    assert ot.samples_needed(0.05, outcomes=2) < ot.samples_needed(0.05, outcomes=64)


def test_the_title_names_the_model_that_texts_are_judged_by():
    report = ot.audit_samples((TARGET, DRAFT), PROMPTS, emitted(TARGET.rows, count=2))
    assert report.subject == repr(TARGET)

    class Named:
        target_name, draft_name = "folder/target", "folder/draft"

    assert _name(Named()) == "folder/target"
