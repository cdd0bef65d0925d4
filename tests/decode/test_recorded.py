from functools import partial

import pytest

torch = pytest.importorskip("torch")

from otspec.decode import recorded  # noqa: E402
from otspec.decode.recorded import Recorder, name_of  # noqa: E402


class Doubling:
    def __init__(self):
        self.calls = 0

    def double(self, values):
        self.calls += 1
        return 2 * values


class Replay(recorded._Recording):
    """A recording that only says that it was replayed."""

    def __init__(self):
        self.replays = 0

    def replay(self, arguments):
        self.replays += 1
        return arguments[0] * 2


@pytest.fixture
def made(monkeypatch):
    recordings = []

    def record(self, function, arguments):
        recordings.append(Replay())
        return recordings[-1]

    monkeypatch.setattr(Recorder, "_record", record)
    return recordings


def test_a_call_is_recorded_once_for_each_shape(made):
    recorder, twice = Recorder(), Doubling()
    for size in (3, 4):
        for _ in range(recorded.WARM + 3):
            assert torch.equal(recorder(twice.double, torch.ones(size)), torch.full((size,), 2.0))
    assert twice.calls == 2 * recorded.WARM
    assert [replay.replays for replay in made] == [3, 3]
    recorder(twice.double, torch.ones(3, dtype=torch.int64))  # another dtype is another call
    assert twice.calls == 2 * recorded.WARM + 1
    recorder.forget()
    recorder(twice.double, torch.ones(3))
    assert twice.calls == 2 * recorded.WARM + 2


def test_what_cannot_be_recorded_is_called_as_it_is(monkeypatch):
    asked = []
    monkeypatch.setattr(Recorder, "_record", lambda *call: asked.append(1))
    recorder, twice = Recorder(), Doubling()
    for _ in range(recorded.WARM + 3):
        recorder(twice.double, torch.ones(2))
    assert (len(asked), twice.calls) == (1, recorded.WARM + 3)


def test_no_more_is_kept_than_stated(made, monkeypatch):
    monkeypatch.setattr(recorded, "MOST", 2)
    recorder, twice = Recorder(), Doubling()
    for size in range(1, 5):
        for _ in range(recorded.WARM + 2):
            recorder(twice.double, torch.ones(size))
    assert len(made) == 2


def test_shapes_seen_once_take_no_place(made, monkeypatch):
    monkeypatch.setattr(recorded, "MOST", 1)
    recorder, twice = Recorder(), Doubling()
    for size in (*range(1, 9), 9, 9, 9):
        recorder(twice.double, torch.ones(size))
    assert [replay.replays for replay in made] == [1]
    recorder.forget()
    for _ in range(recorded.WARM + 1):
        recorder(twice.double, torch.ones(1))
    assert len(made) == 2


def test_names():
    one, other = Doubling(), Doubling()
    assert name_of(one.double) == name_of(one.double) != name_of(other.double)
    assert name_of(partial(one.double, 3)) == name_of(partial(one.double, 3)) != name_of(partial(one.double, 4))
    assert name_of(max) == name_of(max) != name_of(min)
