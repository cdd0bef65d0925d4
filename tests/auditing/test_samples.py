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
    (([[]], [[[0]]]), "empty prompt"), (([[0.9]], [[[0]]]), "prompts.0.: no list of token ids"),
    (([[0]], [[[1.99]]]), "texts.0.: no list of token ids"), (([[0]], [[[True]]]), "texts.0.: a bool"),
    ((None, [[[0]]]), "prompts: NoneType"), (([[0]], None), "texts: NoneType"), (("a", [[[0]]]), "prompts: a string"),
    (([[8]], [[[0]]]), "outside 0 .. 7")])
def test_bad_arguments(given, says):
    with pytest.raises(ot.BadArgument, match=says):
        ot.audit_samples(TARGET, *given)
    with pytest.raises(ot.BadArgument, match="tv: 2"):
        ot.samples_needed(2)


@pytest.mark.parametrize("ids", [iter, np.array, tuple])
def test_texts_may_be_any_lists_of_whole_numbers(ids):
    texts = [[[1, 2], [3, 4]]]
    report = ot.audit_samples(TARGET, ids([[0]]), ids(texts))
    assert report.cases.rows == ot.audit_samples(TARGET, [[0]], texts).cases.rows


@pytest.mark.parametrize(("pair", "says"), [
    (None, "a NoneType holds no laws"), ((TARGET, DRAFT, DRAFT), "a tuple of 3"), ((TARGET, None), "no MarkovModel"),
    ((TARGET, ot.MarkovModel.memoryless([0.5, 0.5])), "target_model has 8 tokens, draft_model 2")])
def test_what_holds_no_laws_is_refused(pair, says):
    with pytest.raises(ot.OtspecError, match=says):
        ot.audit_samples(pair, [[0]], [[[0]]])


@pytest.mark.parametrize("seed", range(3))
def test_texts_drawn_from_the_stream_of_the_seed_pass(seed):
    """An engine and its audit may have one seed, and draw alike."""
    law = [0.5, 0.3, 0.2]
    texts = np.random.default_rng(seed).choice(3, size=(500, 20), p=law).tolist()
    report = ot.audit_samples(ot.MarkovModel.memoryless(law), [[0]], [texts], seed=seed)
    assert report.passed is True
    assert report.p_value > 0.01


@pytest.mark.parametrize(("tv", "outcomes", "says"), [
    (1e-12, 16, "2..62"), (1e-200, 16, "2..62"), (0.05, 1, "on 1 outcome is farther than 0 "),
    (0.99, 2, "on 2 outcomes is farther than 0.5 "), (0.05, 2**20 + 1, "1048577 cells")])
def test_questions_without_an_answer_are_refused(tv, outcomes, says):
    with pytest.raises((ot.BadArgument, ot.TooLarge), match=says):
        ot.samples_needed(tv, outcomes=outcomes)


def test_a_whole_vocabulary_is_no_obstacle():
    """Simulating its counts took minutes, and ended where the search did, at 5 million."""
    assert 4e7 < ot.samples_needed(0.05, outcomes=151_936) < 6e7


def test_half_and_no_more_is_found_on_two_outcomes():
    assert ot.samples_needed(0.5, outcomes=2) < 200


def test_more_power_takes_more_samples():
    assert ot.samples_needed(0.05) < ot.samples_needed(0.02)
    assert ot.samples_needed(0.05, outcomes=2) < ot.samples_needed(0.05, outcomes=64)


def test_the_title_names_the_model_that_texts_are_judged_by():
    report = ot.audit_samples((TARGET, DRAFT), PROMPTS, emitted(TARGET.rows, count=2))
    assert report.subject == repr(TARGET)

    class Named:
        target_name, draft_name = "folder/target", "folder/draft"

    assert _name(Named()) == "folder/target"
