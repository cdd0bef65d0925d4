"""Times that add up, and memory in bytes."""

import time

import pytest

torch = pytest.importorskip("torch")

from otspec.decode.stopwatch import PARTS, PENDING, Stopwatch  # noqa: E402


def test_parts_and_the_rest_add_up():
    begun = time.perf_counter()
    watch = Stopwatch("cpu")
    for _ in range(3):
        with watch("draft"):
            time.sleep(0.01)
        time.sleep(0.02)
    with watch("rule"):
        time.sleep(0.04)
    split = watch.split()
    assert list(split) == [*PARTS, "bookkeeping"]
    assert split["draft"] >= 0.03
    assert split["rule"] >= 0.04
    assert split["bookkeeping"] >= 0.06
    assert split["target"] == split["prediction"] == 0
    assert 0.13 <= sum(split.values()) <= time.perf_counter() - begun


def test_the_peak_of_memory_is_in_bytes():
    watch = Stopwatch("cpu")
    block = bytearray(1 << 20)
    assert 1 << 24 < watch.peak_bytes() < 1 << 40  # an interpreter with torch, on any machine
    assert len(block) == 1 << 20


class Events:
    """A device's clock: events are recorded at once and happen later, in order, when the device gets there."""

    def __init__(self, monkeypatch):
        self.now, self.waits, self.made = 0.0, 0, []
        events = self

        class Event:
            def __init__(self, enable_timing):
                assert enable_timing
                self.at, self.over = None, False
                events.made.append(self)

            def record(self, stream):
                assert stream == "stream"
                events.now += 1.0
                self.at = events.now

            def query(self):
                return self.over

            def synchronize(self):
                events.waits += not self.over
                self.over = True

            def elapsed_time(self, end):
                return (end.at - self.at) * 1000

        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: "stream")
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 77)


def test_a_device_is_not_waited_for_before_the_end(monkeypatch):
    events = Events(monkeypatch)
    watch = Stopwatch("cuda:0")
    for _ in range(2 * PENDING):
        with watch("target"):
            pass
    assert events.waits == 0
    assert len(watch._pending) == 2 * PENDING
    for event in events.made:
        event.over = True
    with watch("draft"):
        pass
    assert [part for part, *_ in watch._pending] == ["draft"]  # what has happened is read, and forgotten
    split = watch.split()
    assert events.waits == 1
    assert (split["target"], split["draft"]) == (2 * PENDING, 1.0)
    assert watch.peak_bytes() == 77
