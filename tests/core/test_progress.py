"""A progress bar is seen on a terminal where it is asked for, and nowhere else."""

import io
import sys

import pytest

from otspec.core.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("shown", "stream", "seen"), [(True, Terminal, True), (False, Terminal, False),
                                                       (True, io.StringIO, False)])
def test_a_bar_is_seen_on_a_terminal_where_it_is_asked_for(shown, stream, seen, monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys, "stderr", stream())
    with progress_bar(4, "contexts", shown, 1, title="measure") as bar:
        bar.update(2)
        bar.refresh()
    text = sys.stderr.getvalue()
    assert all((part in text) == seen for part in ("measure", "1/4", "3/4", "contexts"))
    assert (text == "") == (not seen)


def test_a_bar_begins_with_nothing_done(monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_bar(4, "contexts", True):
        pass
    assert "0/4" in sys.stderr.getvalue()
    assert "1/4" not in sys.stderr.getvalue()


def test_without_tqdm_nothing_is_shown(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_bar(4, "contexts", True, title="measure") as bar:
        bar.set_description("more")
        bar.total = 2
        bar.update()
        bar.refresh()
    assert sys.stderr.getvalue() == ""
