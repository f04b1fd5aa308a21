from __future__ import annotations

import numpy as np
import pytest

from tests.unit.results.conftest import stem_run
from uss_ray.results.blocks import StemRequest, Stretch
from uss_ray.results.index.activity import ActivityLog
from uss_ray.results.index.rows import absent_row
from uss_ray.results.index.table import RecordingFacts, blank_row
from uss_ray.results.stems.tracks import Tracks

RATE = 100
DOG = StemRequest(key="/m/1", label="Dog", level=1)
QUERY = StemRequest(key="query:q", label="Q", kind="text")
SOFT, LOUD = (np.full((1, RATE), level, np.float32) for level in (1e-5, 0.5))


@pytest.fixture
def tracks_of(tmp_path, run_facts):
    def make(**options):
        wanted = stem_run([DOG, QUERY], run_facts, **({"stem_format": "wav", "draw": False} | options))
        facts = RecordingFacts(
            recording_id="a.wav", recording_uri="a.wav", sample_rate=RATE, channels=1, frames=3 * RATE
        )
        return Tracks(
            wanted,
            root=tmp_path,
            recording=facts,
            subtype="FLOAT",
            heard_so_far=lambda _: (),
        )

    return make


def row_of(track, facts, run):
    return track.row(absent_row(blank_row(facts, run=run), track.request), spans=())


def take(track, *levels):
    for number, samples in enumerate(levels):
        track.take(Stretch(number * RATE, RATE, samples, active=True))
    track.finish(3 * RATE)


def test_a_stem_begins_with_the_first_segment_that_is_heard(tracks_of):
    track = tracks_of().at(0)
    take(track, SOFT, LOUD, SOFT)
    assert track.first_kept_frame == RATE
    assert track.kept(SOFT, start_frame=0) is None
    np.testing.assert_array_equal(track.kept(LOUD, start_frame=RATE // 2), LOUD[:, RATE // 2 :])
    np.testing.assert_array_equal(track.kept(SOFT, start_frame=2 * RATE), SOFT)


@pytest.mark.parametrize(
    ("silent_below_dbfs", "levels", "status"),
    [
        (-70.0, (SOFT, SOFT), "silent"),
        (-110.0, (SOFT, SOFT), "written"),
        (0.0, (LOUD, LOUD), "silent"),
        (None, (SOFT * 0,), "written"),
        (None, (None,), "silent"),
    ],
)
def test_the_threshold_decides_which_stems_there_are(
    tracks_of, recording_facts, run_facts, silent_below_dbfs, levels, status
):
    track = tracks_of(silent_below_dbfs=silent_below_dbfs).at(0)
    take(track, *levels)
    assert row_of(track, recording_facts, run_facts).status == status


def test_measures_are_of_the_whole_stem_whatever_is_kept(tracks_of, recording_facts, run_facts):
    track = tracks_of(silent_below_dbfs=0.0).at(0)
    take(track, None, LOUD, SOFT)
    row = row_of(track, recording_facts, run_facts)
    assert row.peak_db == pytest.approx(-6.02, abs=0.01)
    assert row.level_db == pytest.approx(20 * np.log10(0.5 / np.sqrt(3)), abs=0.01)
    assert (row.stem_uri, row.format, row.clipped_samples) == (None, None, None)


def test_without_files_a_stem_is_detected(tracks_of, recording_facts, run_facts):
    tracks = tracks_of(write="index-only")
    take(tracks.at(1), None)
    assert row_of(tracks.at(1), recording_facts, run_facts).status == "detected"
    assert tracks.residuals == []


@pytest.mark.parametrize(
    ("options", "residuals"), [({}, 2), ({"residual": False}, 0), ({"write": "active-spans"}, 0)]
)
def test_residuals_go_with_whole_stems_and_stand_after_them(tracks_of, options, residuals):
    tracks = tracks_of(**options)
    tracks.at(1)
    assert list(tracks.by_place()) == [1, *range(2, 2 + residuals)]
    assert tracks.at(1) is tracks.at(1)


def test_what_is_discarded_leaves_no_file(tracks_of, tmp_path):
    tracks = tracks_of()
    for place in (0, 1):
        tracks.at(place).take(Stretch(0, RATE, LOUD, active=True))
    tracks.finish(3 * RATE, activities=ActivityLog([DOG.key, QUERY.key]).result(total_seconds=3.0))
    assert len([path for path in tmp_path.rglob("*.wav") if path.is_file()]) == 2
    tracks.discard()
    assert [path for path in tmp_path.rglob("*.wav") if path.is_file()] == []


def test_spectrograms_are_of_the_stems_that_were_heard(tracks_of):
    tracks = tracks_of(draw=True)
    take(tracks.at(0), SOFT, LOUD)
    take(tracks.at(1), SOFT)
    assert set(tracks.drawn()) == {(1, "/m/1")}
