from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest

from tests.unit.results.conftest import stem_run
from uss_ray.results.blocks import StemRequest, Stretch
from uss_ray.results.index.activity import ActivityLog, Loudness, Sounding
from uss_ray.results.index.table import RecordingFacts
from uss_ray.results.stems.stem_run import StemRun
from uss_ray.results.stems.tracks import Tracks
from uss_ray.results.stems.written import WrittenRecording, assemble

STEMS = [StemRequest(key="/m/1", label="Dog", level=1), StemRequest(key="/m/2", label="Cat", level=1)]
RATE = 100
FACTS = RecordingFacts(recording_id="a.wav", recording_uri="a.wav", sample_rate=RATE, channels=1, frames=RATE)


def heard_in(log: ActivityLog, *, probs: list[float], targets: list[int], explained: list[bool]) -> None:
    """One segment of a second, with some targets detected in it."""
    log.add(
        np.array([probs], np.float32),
        sounding=Sounding(
            targets=np.array(targets),
            times=np.array([[0.0, 1.0]] * len(targets)),
            segments=np.zeros(len(targets), np.int64),
            detected=np.ones(len(targets), np.bool_),
            sure=np.ones(len(targets), np.bool_),
            explained=np.array(explained),
        ),
        active=np.ones((1, len(probs)), np.bool_),
        spans_seconds=np.array([[0.0, 1.0]]),
        stem_probs=np.full((1, len(probs)), np.nan),
        loudness=Loudness.TAGGED,
    )


def tracks_of(wanted: StemRun, log: ActivityLog, *, root: Path | None) -> Tracks:
    return Tracks(
        wanted,
        root=root,
        recording=FACTS,
        subtype="FLOAT",
        heard_so_far=log.spans_so_far,
    )


def assembled(
    tracks: Tracks, wanted: StemRun, log: ActivityLog, recording: RecordingFacts, *, started: float | None
) -> WrittenRecording:
    """A recording of a second in which the second stem sounds."""
    for track in (tracks.at(1), *tracks.residuals):
        track.take(Stretch(0, RATE, np.full((1, RATE), 0.5, np.float32), active=True))
    activities = log.result(total_seconds=1.0)
    tracks.finish(RATE, activities=activities)
    return assemble(
        tracks, wanted, activities=activities, portrait=None, recording=recording, started=started
    )


def test_rows_are_those_of_the_stems_and_then_of_the_residuals(tmp_path, recording_facts, run_facts):
    wanted = stem_run(STEMS, run_facts, stem_format="wav", draw=False)
    log = ActivityLog(wanted.plan.keys)
    tracks = tracks_of(wanted, log, root=tmp_path)
    heard_in(log, probs=[0.25, 0.75], targets=[1], explained=[False])
    written = assembled(tracks, wanted, log, recording_facts, started=time.monotonic() - 5.0)
    assert [(row.label, row.status, row.probability) for row in written.rows] == [
        ("Dog", "absent", 0.25),
        ("Cat", "written", 0.75),
        ("Residual", "written", None),
    ]
    assert [span.end_seconds for span in written.rows[1].active_spans] == [1.0]
    assert (written.rows.common.processing_seconds or 0.0) >= 5.0
    assert (written.run, written.recording) == (run_facts, recording_facts)


@pytest.mark.parametrize(("sure_below", "certainty"), [(0.3, "sure"), (0.25, "doubtful"), (None, None)])
@pytest.mark.parametrize("has_track", [False, True])
def test_what_is_absent_is_so_for_sure_or_not_whether_it_has_a_track_or_none(
    recording_facts, run_facts, has_track, sure_below, certainty
):
    wanted = dataclasses.replace(stem_run(STEMS, run_facts, draw=False), surely_absent_below=sure_below)
    log = ActivityLog(wanted.plan.keys)
    tracks = tracks_of(wanted, log, root=None)
    heard_in(log, probs=[0.25, 0.75], targets=[1], explained=[False])
    for place in (0, 1) if has_track else (1,):
        tracks.at(place).take(
            Stretch(0, RATE, np.full((1, RATE), 0.5 * place, np.float32), active=place == 1)
        )
    activities = log.result(total_seconds=1.0)
    tracks.finish(RATE, activities=activities)
    written = assemble(
        tracks, wanted, activities=activities, portrait=None, recording=recording_facts, started=None
    )
    dog, cat = written.rows[:2]
    assert (dog.status, dog.certainty) == ("absent", certainty)
    assert (cat.status, cat.certainty) == ("held", "sure")


@pytest.mark.parametrize(("is_separable", "status"), [(True, "explained"), (False, "detected")])
def test_what_something_more_specific_explains_or_nothing_steers_to_has_a_row_that_says_so_and_no_stem(
    tmp_path, recording_facts, run_facts, is_separable, status
):
    events = [
        StemRequest(key="/m/1", label="Animal", level=1, kind="event", is_separable=is_separable),
        StemRequest(key="/m/2", label="Dog", level=3, kind="event"),
    ]
    wanted = stem_run(events, run_facts, stem_format="wav", draw=False)
    log = ActivityLog(wanted.plan.keys)
    tracks = tracks_of(wanted, log, root=tmp_path)
    heard_in(log, probs=[0.75, 0.75], targets=[0, 1], explained=[True, False])
    written = assembled(tracks, wanted, log, recording_facts, started=None)
    assert [(row.label, row.status, row.level, row.certainty) for row in written.rows] == [
        ("Animal", status, 1, "sure"),
        ("Dog", "written", 3, "sure"),
        ("Residual", "written", 0, None),
    ]
    assert len(written.rows[0].active_spans) == 1
    assert (tmp_path / "a.wav/events/residual.wav").exists()
    assert written.rows.counts == {status: 1, "written": 1}
