from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.unit.results.conftest import RATE, FakeBlock
from uss_ray.errors import ConfigError, RecordingError
from uss_ray.results.blocks import Geometry, check_length, checked_blocks, segment_bounds

STEREO = Geometry(sample_rate=RATE, channels=2)


def block(start_frame: int, n_frames: int, *, segments: int = 1, **estimates: np.ndarray) -> FakeBlock:
    starts = (start_frame + np.arange(segments) * (n_frames // max(1, segments))) / RATE
    return FakeBlock(
        start_frame=start_frame,
        mixture=np.zeros((2, n_frames), np.float32),
        estimates=estimates,
        segment_probs=np.zeros((segments, 1), np.float32),
        active=np.zeros((segments, 1), bool),
        segment_spans_seconds=np.stack([starts, starts + 1], axis=1),
    )


def checked(*blocks: FakeBlock, start_frame: int | None = 0) -> list:
    return list(checked_blocks(iter(blocks), start_frame=start_frame, geometry=STEREO, name="a.wav"))


def test_blocks_that_follow_each_other_pass():
    blocks = [block(5, 10, dog=np.zeros((2, 10))), block(15, 3)]
    assert checked(*blocks, start_frame=None) == blocks


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([block(1, 10)], "from frame 0"),
        ([block(0, 10), block(11, 10)], "from frame 10"),
        ([block(0, 10), block(9, 10)], "from frame 10"),
        ([block(0, 10, dog=np.zeros((2, 9)))], "dog"),
        ([block(0, 10, dog=np.zeros((1, 10)))], "dog"),
        ([block(0, 10, segments=0)], "at least one segment"),
    ],
)
def test_gaps_and_other_shapes_are_refused(blocks, message):
    with pytest.raises(RecordingError, match=message):
        checked(*blocks)


def test_segments_begin_at_whole_frames_and_the_last_ends_with_the_block():
    third = block(100, 3001, segments=3)
    assert segment_bounds(third, sample_rate=RATE).tolist() == [100, 1100, 2100, 3101]


def test_all_of_a_recording_must_come(recording_facts):
    check_length(recording_facts.frames, recording=recording_facts)
    check_length(5, recording=dataclasses.replace(recording_facts, frames=None))
    for frames in (0, 5):
        with pytest.raises(RecordingError):
            check_length(frames, recording=recording_facts)


def test_rate_and_channels_must_be_known(recording_facts):
    assert Geometry.of(recording_facts) == STEREO
    with pytest.raises(ConfigError, match="known rate"):
        Geometry.of(dataclasses.replace(recording_facts, channels=None))
