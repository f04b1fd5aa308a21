from __future__ import annotations

import numpy as np
import pytest

from tests.unit.results.conftest import RATE, faded_scene, keep_part
from uss_ray.errors import DataError, OutputError
from uss_ray.results.blocks import Geometry, StemRequest
from uss_ray.results.stems.timeline import Timeline
from uss_ray.store.store import Store

SCENE = faded_scene({"dog": ".#.#.", "cat": "..##.", "bird": "....."})
STEMS = [StemRequest(key=key, label=key) for key in SCENE.estimates]
CUTS = ((0, 2), (2, 3), (3, 5))


@pytest.fixture
def parts(tmp_path, recording_facts, run_facts):
    folders = []
    for first, last in CUTS:
        folders.append(tmp_path / str(first))
        keep_part(
            SCENE.blocks(first, last),
            stems=STEMS,
            run=run_facts,
            folder=folders[-1],
            recording=recording_facts,
        )
    return [Store(folder, error=OutputError) for folder in folders]


@pytest.fixture
def timeline_of(recording_facts):
    def make(parts, **changes):
        facts = {
            "run_id": "run",
            "recording_id": recording_facts.recording_id,
            "keys": tuple(SCENE.estimates),
            "geometry": Geometry(RATE, 2),
            "spans_have_files": False,
        }
        return Timeline(parts, **(facts | changes))

    return make


def test_parts_in_a_row_are_the_recording(parts, timeline_of):
    timeline = timeline_of(parts)
    assert timeline.frames == SCENE.frames
    assert timeline.bounds.tolist() == [0, RATE, 2 * RATE, 3 * RATE, 4 * RATE, SCENE.frames]
    assert timeline.present == [0, 1], "no bird anywhere"
    assert timeline.segments_of_part(1).tolist() == [2 * RATE, 3 * RATE]


@pytest.mark.parametrize("target", [0, 1])
def test_a_target_is_given_over_the_bounds_of_parts(parts, timeline_of, target):
    found = np.zeros_like(SCENE.mixture)
    active = np.zeros(5, bool)
    for stretch in timeline_of(parts).stretches(target):
        active[stretch.start_frame // RATE] = stretch.active
        if stretch.samples is not None:
            found[:, stretch.start_frame : stretch.start_frame + stretch.n_frames] = stretch.samples
    np.testing.assert_array_equal(found, list(SCENE.estimates.values())[target])
    np.testing.assert_array_equal(active, SCENE.active[:, target])


def test_the_sounds_of_one_part_are_given_apart(parts, timeline_of):
    for first_frame, samples in timeline_of(parts).sounds_of_part(0, part=1):
        assert 2 * RATE <= first_frame < first_frame + samples.shape[1] <= 3 * RATE
        np.testing.assert_array_equal(
            samples, SCENE.estimates["dog"][:, first_frame : first_frame + samples.shape[1]]
        )


def test_activities_are_those_of_all_parts(parts, timeline_of):
    activities = timeline_of(parts).activities()
    assert activities["dog"].highest_probability == pytest.approx(SCENE.probs[:, 0].max())
    assert [span.start_seconds for span in activities["dog"].spans] == [1.0, 3.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run_id": "other"}, "run_id"),
        ({"recording_id": "other.wav"}, "recording_id"),
        ({"keys": ("dog", "cat")}, "keys"),
        ({"geometry": Geometry(RATE + 1, 2)}, "sample_rate"),
        ({"geometry": Geometry(RATE, 1)}, "channels"),
    ],
)
def test_parts_of_something_else_are_refused(parts, timeline_of, change, message):
    with pytest.raises(DataError, match=message):
        timeline_of(parts, **change)


@pytest.mark.parametrize(
    ("order", "message"), [([], "at least one"), ([1, 2], "from frame 0"), ([0, 2], "from frame 16000")]
)
def test_a_part_that_is_missing_is_noticed(parts, timeline_of, order, message):
    with pytest.raises(DataError, match=message):
        timeline_of([parts[place] for place in order])
