from __future__ import annotations

import numpy as np
import pytest

from uss_ray.mining.scoring import pick_positions, score_anchor_positions


def slow_scores(probs: np.ndarray, segment_frames: int) -> np.ndarray:
    half = segment_frames // 2
    at = [
        [probs[min(max(i + k, 0), len(probs) - 1)] for k in range(-half, half + 1)] for i in range(len(probs))
    ]
    return np.array([np.mean(window) for window in at])


@pytest.mark.parametrize(("frames", "segment_frames"), [(1, 1), (7, 3), (50, 21), (20, 41)])
def test_scores_equal_a_slow_reference(frames: int, segment_frames: int) -> None:
    probs = np.random.default_rng(frames).random(frames)
    assert np.allclose(
        score_anchor_positions(probs, segment_frames=segment_frames), slow_scores(probs, segment_frames)
    )


def test_an_even_window_is_refused() -> None:
    with pytest.raises(ValueError, match="odd"):
        score_anchor_positions(np.zeros(5), segment_frames=4)


def test_equally_good_positions_are_not_told_apart_by_rounding() -> None:
    probs = np.full(1001, 0.1, np.float32)
    probs[300:700] = np.float32(0.7)
    scores = score_anchor_positions(probs, segment_frames=201)
    assert set(scores[400:600]) == {scores[400]}
    assert pick_positions(scores, segment_frames=201)[0][0] == 400


def test_picked_positions_lie_inside_and_do_not_overlap() -> None:
    scores = np.zeros(1001)
    scores[[3, 500, 520, 901]] = [1.0, 0.9, 0.8, 0.3]
    picked = pick_positions(scores, segment_frames=201, count=5, min_share=0.5)
    assert [centre for centre, _ in picked] == [100, 500]
    everything = pick_positions(scores, segment_frames=201, count=5)
    centres = sorted(centre for centre, _ in everything)
    assert min(np.diff(centres)) >= 200
    assert centres[0] >= 100
    assert centres[-1] <= 900


def test_a_clip_full_of_anchors_gives_as_many_as_fit() -> None:
    picked = pick_positions(np.linspace(1, 0.9, 1001), segment_frames=201, count=9)
    assert [centre for centre, _ in picked] == [100, 300, 500, 700, 900]


def test_the_score_is_that_of_the_position_inside_the_clip() -> None:
    scores = np.linspace(1, 0, 1001)
    assert pick_positions(scores, segment_frames=201) == [(100, scores[100])]


def test_a_clip_shorter_than_a_segment_gives_its_middle() -> None:
    assert pick_positions(np.array([0.1, 0.2]), segment_frames=201) == [(1, 0.2)]
