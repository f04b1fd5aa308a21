"""How far a job is, in words."""

from __future__ import annotations

from uss_ray.cli import run_progress as module
from uss_ray.cli.run_progress import progress_line, run_progress
from uss_ray.pipelines.runtime.progress import Progress

HALF = Progress(finished=50, failed=2, found=100, audio_seconds=7200.0, seconds=3600.0)


def test_a_line_tells_counts_speed_failures_and_what_is_left():
    assert progress_line(HALF) == "50/100, 2.00 h of sound, 2.0 h/h, 2 failed, 1:00:00 left"


def test_nothing_done_yet_is_no_division_by_zero():
    line = progress_line(Progress(finished=0, failed=0, found=9, audio_seconds=0.0))
    assert line == "0/9, 0.00 h of sound, 0.0 h/h, 0 failed"


def test_without_a_terminal_there_is_a_line_now_and_then(capsys, monkeypatch):
    clock = iter([0.0, 10.0, 31.0, 40.0, 62.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with run_progress("recordings") as show:
        for _ in range(4):
            show(HALF)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines] == ["50/100", "50/100"]


def test_the_time_left_is_told_once_it_means_something():
    for finished, seconds, is_told in ((1, 40.0, False), (30, 5.0, False), (5, 20.0, True)):
        line = progress_line(
            Progress(finished=finished, failed=0, found=60, audio_seconds=9.0, seconds=seconds)
        )
        assert line.endswith(" left") is is_told
