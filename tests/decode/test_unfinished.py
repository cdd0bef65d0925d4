"""Runs that end early: what had been finished is in the error, and is what the whole run would have given."""

import copy
import gc
import pickle
import re
import weakref

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from otspec.core.errors import BadArgument, NotALaw, TooLarge  # noqa: E402
from otspec.decode.loop import generate  # noqa: E402
from otspec.decode.model_laws import NoLaw  # noqa: E402
from otspec.recording.record import record  # noqa: E402
from tests.decode import tiny  # noqa: E402

PROMPTS = [[5, 6, 7, 8, 9], [1], [3, 2, 60], [11, 12], [4, 4], [9]]
CALL = {"verifier": "block", "draft_length": 2, "max_new_tokens": 9, "batch_size": 2, "stop_token": range(20, 30)}


@pytest.fixture
def pair():
    return tiny.pair()


def ending(pair, which, change, **settings):
    """The whole run, and the error of one whose ``which`` model is changed from some call on."""
    whole = generate(pair, PROMPTS, **(CALL | settings))  # the models are tried here, once
    hook = getattr(pair, which).register_forward_hook(change)
    try:
        with pytest.raises(BaseException) as caught:  # noqa: PT011 (told apart by whoever asks)
            generate(pair, PROMPTS, **(CALL | settings))
    finally:
        hook.remove()
    return whole, caught.value


def from_call(number, act):
    calls = []

    def change(module, args, out):
        calls.append(1)
        if len(calls) >= number:
            act(out)

    return change


def check_kept(whole, run):
    """The finished texts, their counts and predictions are those of the whole run."""
    places = run.settings["finished"]
    assert len(run.tokens) == len(places)
    assert run.tokens == [whole.tokens[place] for place in places]
    np.testing.assert_array_equal(run.rounds, whole.rounds[places])
    assert run.accepted.shape == (max(run.rounds, default=0), len(places))
    np.testing.assert_array_equal(run.accepted, whole.accepted[: len(run.accepted), places])
    if run.predicted is not None:
        np.testing.assert_allclose(run.predicted, whole.predicted[: len(run.accepted), places], atol=1e-9)  # 64 terms
    assert {key: run.settings[key] for key in whole.settings} == whole.settings


def raising(error):
    def act(out):
        raise error

    return act


@pytest.mark.parametrize("which", ["target", "draft"])
@pytest.mark.parametrize(("value", "says"), [(np.nan, "hold NaN or +inf"), (np.inf, "hold NaN or +inf"),
                                             (-np.inf, "are -inf everywhere")])
def test_logits_that_define_no_law_name_the_prompt_and_the_step(pair, which, value, says):
    row = 1

    def act(out):
        out.logits[min(row, len(out.logits) - 1), -1] = value

    whole, error = ending(pair, which, from_call(12, act))
    assert type(error) is NotALaw
    found = re.fullmatch(rf"{which} model: logits of prompts\[(\d)\] after (\d+) new tokens {re.escape(says)}.*; "
                         rf"(\d) of 6 texts are finished, see `run` of this error\. Fix: .+\.", str(error))
    assert found, error
    sequence, step, kept = map(int, found.groups())
    check_kept(whole, error.run)
    assert len(error.run.tokens) == kept > 0
    assert sequence not in error.run.settings["finished"]
    assert step < len(whole.tokens[sequence])


def test_the_prompt_and_the_step_are_the_right_ones(pair):
    # the model breaks at the text whose last token it reads is the fourth new one of prompt 2
    whole = generate(pair, PROMPTS, **CALL | {"stop_token": None, "verifier": None})
    sequence, step = 2, 4
    marked = (len(PROMPTS[sequence]) + step - 1, whole.tokens[sequence][step - 1])

    def change(module, args, kwargs, out):
        same = (kwargs["position_ids"][:, -1] == marked[0]) & (kwargs["input_ids"][:, -1] == marked[1])
        out.logits[same] = np.nan

    hook = pair.target.register_forward_hook(change, with_kwargs=True)
    with pytest.raises(NotALaw, match=r"target model: logits of prompts\[2\] after 4 new tokens hold NaN"):
        generate(pair, PROMPTS, **CALL | {"stop_token": None, "verifier": None})
    hook.remove()


def test_a_recording_names_the_row():
    pair = tiny.pair()
    record(pair, PROMPTS, progress=False)

    def act(out):
        out.logits[2] = np.nan

    hook = pair.target.register_forward_hook(from_call(1, act))
    with pytest.raises(NotALaw, match="target model: logits of row 2 of the batch hold NaN"):
        record(pair, [[1, 2], [3, 4], [5, 6]], progress=False)
    hook.remove()


def test_an_interrupt_stays_one_and_carries_what_is_done(pair):
    whole, error = ending(pair, "target", from_call(12, raising(KeyboardInterrupt())))
    assert type(error) is KeyboardInterrupt
    check_kept(whole, error.run)
    assert 0 < len(error.run.tokens) < 6


def test_any_other_error_is_left_as_it_is(pair):
    broken = ZeroDivisionError("a bug of the model's own")
    whole, error = ending(pair, "draft", from_call(15, raising(broken)), predict=False)
    assert error is broken
    check_kept(whole, error.run)
    assert error.run.predicted is None


@pytest.mark.parametrize("raised", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB"),
                                    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")])
def test_memory_that_runs_out_names_half_the_batch(pair, raised):
    whole, error = ending(pair, "target", from_call(12, raising(raised)))
    assert type(error) is TooLarge
    assert re.match(r"batch_size: memory ran out with 2 sequences; \d of 6 texts are finished, .*Fix: batch_size=1\.$",
                    str(error))
    assert 0 < error.estimate < 1e-3  # GB
    check_kept(whole, error.run)
    alone = ending(pair, "target", from_call(12, raising(raised)), batch_size=1)[1]
    assert "with 1 sequences" in str(alone)
    assert "Fix: fewer drafts, shorter texts or a smaller pair." in str(alone)


def test_an_error_of_memory_holds_no_tensors_of_the_failed_round(pair):
    held = []

    def act(out):
        held.append(weakref.ref(out.logits))
        raise torch.OutOfMemoryError("CUDA out of memory")

    error = ending(pair, "target", from_call(12, act))[1]
    gc.collect()
    assert error.__context__ is None
    assert [one for one in held if one() is not None] == []


def test_nothing_finished_is_an_empty_run(pair):
    whole, error = ending(pair, "target", from_call(1, raising(KeyboardInterrupt())))
    assert error.run.tokens == []
    check_kept(whole, error.run)
    assert repr(error.run) == "DecodeRun(0 sequences, 0 target calls)"
    assert len(error.run.to_table()) == 0


def test_errors_of_settings_come_before_any_run(pair):
    with pytest.raises(BadArgument) as caught:
        generate(pair, PROMPTS, max_new_tokens=0)
    assert not hasattr(caught.value, "run")


def test_the_errors_survive_a_process_border(pair):
    logits = torch.zeros(3, 2, 4)
    logits[1, 1, 2] = np.nan
    error = NoLaw.found("draft", logits)
    assert error.row == 1
    there = pickle.loads(pickle.dumps(error))
    assert (str(there), there.row, str(there.of("x", "y"))) == (str(error), 1, str(error.of("x", "y")))
    whole, ended = ending(pair, "draft", from_call(12, lambda out: out.logits.fill_(np.nan)))
    again = copy.copy(pickle.loads(pickle.dumps(ended)))
    check_kept(whole, again.run)
