"""Audits say how far they are: in instances, calls or texts; a function that hangs is stopped; names are suggested."""

import numpy as np
import pytest

import otspec as ot
from otspec.auditing import judge, samples
from otspec.auditing.watch import Hung, watched
from tests.auditing.test_audit import right, with_coins


class Bar:
    """A bar that is read by a test."""

    def __init__(self, total, unit, shown):
        self.total, self.unit, self.shown, self.done = total, unit, shown, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def update(self, count=1):
        self.done += count


@pytest.fixture
def bars(monkeypatch):
    made = []

    def bar(*given):
        made.append(Bar(*given))
        return made[-1]
    for module in (judge, samples):
        monkeypatch.setattr(module, "progress_bar", bar)
    return made


def test_an_exact_audit_counts_instances(bars):
    report = ot.audit(with_coins, kind="token", coins=2, large=False)
    (bar,) = bars
    assert (bar.unit, bar.shown) == ("instances", True)
    assert bar.done == bar.total == len(report.cases)


def test_a_sampled_audit_counts_calls(bars):
    report = ot.audit(right, kind="token", tv=0.2, large=False, progress=False)
    (bar,) = bars
    assert (bar.unit, bar.shown) == ("calls", False)
    assert bar.done == bar.total == report.calls


def test_an_audit_of_samples_counts_texts(bars):
    model = ot.MarkovModel([[0.5, 0.5], [0.9, 0.1]])
    ot.audit_samples(model, [[0], [1]], [[[1, 0]], [[0, 1], [0, 0]]])
    (bar,) = bars
    assert (bar.unit, bar.total, bar.done) == ("texts", 3, 3)


def test_the_clock_stops_what_catches_every_exception_and_is_taken_down():
    caught = []

    def stubborn():
        while len(caught) < 1000:
            try:
                while True:
                    np.arange(10).sum()
            except Exception as error:
                caught.append(error)
    with pytest.raises(Hung), watched(0.05):
        stubborn()
    assert caught == []
    with watched(0.05):
        pass
    import signal
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_failed_function_that_hangs_while_it_is_explained_stays_failed(monkeypatch):
    from otspec.auditing import verdict
    calls = 0

    def late(target, draft, token, rng):
        nonlocal calls
        calls += 1
        while calls > 600:  # the first round convicts it
            pass
        return token
    monkeypatch.setattr(verdict, "GRACE", 0.3)
    monkeypatch.setattr(judge, "FIRST", 25)
    report = ot.audit(late, kind="token", large=False, explain=0.2, seconds=60)
    assert report.passed is False
    assert report.counterexample is not None


def test_a_misspelt_kind_names_the_nearest():
    with pytest.raises(ot.UnknownName, match=r"'tokn' is none of token, multi, block, tree.*Did you mean 'token'\?"):
        ot.audit(right, kind="tokn")
    with pytest.raises(ot.UnknownName, match=r"Did you mean 'logits'\?"):
        ot.audit(right, kind="token", inputs="logit")
    with pytest.raises(ot.UnknownName) as nothing_like_it:
        ot.audit(right, kind="zzz")
    assert "Did you mean" not in str(nothing_like_it.value)
