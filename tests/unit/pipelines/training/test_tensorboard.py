from __future__ import annotations

from pathlib import Path

from uss_ray.pipelines.training.tensorboard import EVENTS_NAME, event_file

METRICS = [{"step": step, "loss": 1.0 / step, "at": 100.0 + step} for step in (2, 4)]


def test_tensorboard_reads_what_is_written(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing import event_accumulator as accumulator

    place = tmp_path / EVENTS_NAME
    place.parent.mkdir()
    place.write_bytes(event_file(METRICS, [{"step": 4, "sdri_db": 3.5, "query": "class-mean"}]))
    read = accumulator.EventAccumulator(str(place.parent)).Reload()
    assert [(event.step, event.value, event.wall_time) for event in read.Scalars("training/loss")] == [
        (2, 0.5, 102.0),
        (4, 0.25, 104.0),
    ]
    assert [event.value for event in read.Scalars("validation/sdri_db")] == [3.5]


def test_a_longer_run_begins_with_the_same_bytes() -> None:
    assert event_file(METRICS, []).startswith(event_file(METRICS[:1], []))
