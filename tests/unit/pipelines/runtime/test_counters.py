"""Sums of a run, and the exit code that follows."""

from __future__ import annotations

import pytest

from uss_ray.pipelines.runtime.counters import Counters, Increment


def test_reports_add_up():
    counters = Counters()
    counters.add(Increment(done=2, audio_seconds=3.0, amounts={"stems": 4}, stage_seconds={"write": 0.5}))
    counters.add(Increment(failed=1, failures={"a.wav: expected audio, found a letter": 1}))
    counters.add(
        Increment(failed=2, failures={"b.wav: expected audio, found a letter": 2}, amounts={"stems": 1})
    )
    counters.add(Increment(unfinished=1, unfinished_reason="no space left"))
    counters.add(Increment(stage_seconds={"write": 1.0}))
    assert (counters.done, counters.failed, counters.unfinished, counters.finished) == (2, 3, 1, 5)
    assert counters.failed_fraction == 0.6
    assert dict(counters.amounts) == {"stems": 5}
    assert dict(counters.stage_seconds) == {"write": 1.5}
    assert counters.failures.most_common() == {"expected audio, found a letter": 3}
    assert counters.unfinished_reason == "no space left"
    counters.forget_unfinished()
    assert counters.unfinished == 0


def test_stages_beside_the_actors_have_no_memory_measured():
    counters = Counters()
    for worker, peak in (("a", 5), ("b", 9), ("a", 7)):
        counters.add(Increment(worker=worker, peak_bytes=peak, stage_seconds={"decode": 1.0, "mine": 2.0}))
    decode, mine = counters.stage_summaries({"decode": 3, "mine": 2})
    assert (decode.workers, decode.busy_seconds, decode.peak_memory_bytes) == (3, 3.0, None)
    assert (mine.workers, mine.busy_seconds, mine.peak_memory_bytes) == (2, 6.0, 9)


@pytest.mark.parametrize(
    ("counters", "tolerated", "code"),
    [
        (Counters(done=3), 1.0, 0),
        (Counters(), 1.0, 0),
        (Counters(skipped=3), 1.0, 0),
        (Counters(done=1, failed=1), 1.0, 8),
        (Counters(skipped=1, failed=1), 1.0, 8),
        (Counters(failed=2), 1.0, 9),
        (Counters(unfinished=2), 1.0, 9),
        (Counters(done=1, unfinished=1), 0.9, 8),
        (Counters(done=1, failed=1), 0.5, 0),
        (Counters(done=1, failed=2), 0.5, 8),
        (Counters(skipped=4, failed_before=1), 1.0, 8),
        (Counters(skipped=4, failed_before=1), 0.2, 0),
        (Counters(skipped=4, failed_before=1), 0.1, 8),
        (Counters(failed_before=2), 1.0, 9),
    ],
)
def test_the_exit_code_tells_how_much_is_done(counters, tolerated, code):
    assert counters.exit_code(max_failed_fraction=tolerated) == code


def test_a_signal_shows_in_the_exit_code():
    assert Counters(done=3).exit_code(signal_number=15) == 143
