"""A report that an executor decodes and records says the same."""

from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from otspec.core.schemes import WithReplacement
from otspec.report import build_report
from otspec.reporting.settings import Run, Settings
from otspec.reporting.study import Study
from tests.decode.sweep import small

SIZE = Settings(schemes=(WithReplacement(1),), contexts=4, lists=2,
                runs=(Run("block", draft_length=2), Run("k_seq", WithReplacement(2), 2)), sequences=5, calls=15,
                blocks=4, draft_length=2, toys=1, paths=(2,), path_lengths=(2,), path_contexts=4)


class Counting(ThreadPoolExecutor):
    count = 0

    def submit(self, *arguments):
        self.count += 1
        return super().submit(*arguments)


def test_decoding_and_recording(tmp_path, monkeypatch):
    monkeypatch.setattr("otspec.report.PICTURES", {})
    pair = small.load(small.folders(tmp_path / "models"))
    asked = {"pair": pair, "prompts": small.PROMPTS, "settings": SIZE, "progress": False}
    here = build_report(out=tmp_path / "here", **asked)
    with Counting(2) as pool:
        there = build_report(out=tmp_path / "there", executor=pool, **asked)
    assert pool.count == 1 + len(SIZE.runs)  # one batch of contexts, and every run
    assert len(here.tables["decoding"]) == 2
    assert there.tables["decoding"].rows == here.tables["decoding"].rows
    assert there.tables["acceptance"].rows == here.tables["acceptance"].rows


def test_workers_are_sent_what_they_decode(tmp_path):
    from otspec.recording.record import record

    pair = small.load(small.folders(tmp_path))
    trace = record(pair, small.PROMPTS, progress=False)
    with Counting(1) as pool:
        table = Study(trace, SIZE, pair=pair, executor=pool).decoding()
    assert table.rows == Study(trace, SIZE, pair=pair).decoding().rows
    assert pool.count == 2
