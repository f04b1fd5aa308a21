from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from tests.unit.separation.fakes import BandSeparator, noise
from uss_ray.errors import ConfigError
from uss_ray.separation.settings import SeparationSettings
from uss_ray.separation.windows import Span, WindowGrid, segment_weights

RATE = 8000
LENGTHS = [1, 700, 16_000, 16_001, 40_003, 97_531]


def segments_of(total_samples: int, grid: WindowGrid) -> range:
    return range(-(-total_samples // grid.segment_samples))


@pytest.mark.parametrize("total", LENGTHS)
def test_the_frames_of_a_window_are_those_of_the_whole_recording(total: int) -> None:
    separator = BandSeparator(RATE)
    grid = WindowGrid(SeparationSettings(), separator=separator)
    recording = torch.from_numpy(noise(1, total)[0])
    whole = separator.stft(recording)
    for segment in segments_of(total, grid):
        window = grid.window(segment, total_samples=total)
        first = window.origin_sample // separator.stft.hop_samples
        seen = separator.stft(recording[window.start_sample : window.stop_sample])[window.skip_frames :]
        torch.testing.assert_close(
            seen[: window.frames], whole[first : first + window.frames], atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize("context_seconds", [0.64, 0.48, 0.3337, 1.0])
@pytest.mark.parametrize("grid_frames", [1, 8, 50, 64])
@pytest.mark.parametrize("total", LENGTHS)
def test_a_window_holds_its_segment_and_context_and_starts_on_the_pooling_grid(
    total: int, grid_frames: int, context_seconds: float
) -> None:
    separator = BandSeparator(RATE)
    separator.time_grid_samples = grid_frames * separator.stft.hop_samples
    settings = SeparationSettings(context_seconds=context_seconds)
    grid = WindowGrid(settings, separator=separator)
    context = round(settings.context_seconds * RATE)
    for segment in segments_of(total, grid):
        window = grid.window(segment, total_samples=total)
        start, stop = segment * grid.segment_samples, (segment + 1) * grid.segment_samples
        assert window.origin_sample % separator.time_grid_samples == 0
        assert window.origin_sample <= max(0, start - context)
        assert window.origin_sample + window.samples + separator.stft.hop_samples >= min(
            stop + context, total
        )
        assert window.origin_sample + window.samples <= max(total, 1)


@pytest.mark.parametrize("total", LENGTHS)
def test_a_window_is_the_same_before_the_end_of_the_recording_is_known(total: int) -> None:
    grid = WindowGrid(SeparationSettings(), separator=BandSeparator(RATE))
    for segment in segments_of(total, grid):
        if grid.reach(segment) <= total:
            assert grid.window(segment, total_samples=None) == grid.window(segment, total_samples=total)
        assert grid.window(segment, total_samples=total).start_sample >= grid.history(segment)


def test_windows_share_one_shape_except_at_the_end() -> None:
    grid = WindowGrid(SeparationSettings(), separator=BandSeparator(RATE))
    frames = [grid.window(segment, total_samples=200_000).frames for segment in segments_of(200_000, grid)]
    assert len(set(frames[:-2])) == 1


@pytest.mark.parametrize("context_seconds", [0.64, 1.0, 3.3])
@pytest.mark.parametrize("grid_frames", [1, 50])
def test_the_context_of_a_span_covers_its_windows_and_those_of_its_neighbours(
    grid_frames: int, context_seconds: float
) -> None:
    separator = BandSeparator(RATE)
    separator.time_grid_samples = grid_frames * separator.stft.hop_samples
    grid = WindowGrid(SeparationSettings(context_seconds=context_seconds), separator=separator)
    before = grid.history(20 - 1) - 20 * grid.segment_samples
    after = grid.reach(20) - 20 * grid.segment_samples
    assert grid.halo_segments == 1
    seconds = grid.span_context_seconds
    assert seconds * RATE >= max(-before, after)
    assert seconds * RATE - max(-before, after) <= grid.segment_samples + RATE


def test_hard_segments_need_nothing_but_what_resampling_does() -> None:
    grid = WindowGrid(SeparationSettings.published(), separator=BandSeparator(RATE))
    assert (grid.halo_segments, grid.span_context_seconds) == (0, 1)


@pytest.mark.parametrize(("first", "last"), [(-1, 3), (3, 3), (4, 2), (-2, None)])
def test_a_span_without_segments_is_refused(first: int, last: int | None) -> None:
    with pytest.raises(ConfigError, match="span of segments"):
        Span(first, last)


def test_a_hard_window_is_its_segment() -> None:
    window = WindowGrid(SeparationSettings.published(), separator=BandSeparator(RATE)).window(
        3, total_samples=50_000
    )
    assert (window.start_sample, window.stop_sample, window.skip_frames) == (48_000, 64_000, 0)
    assert (window.origin_sample, window.samples) == (48_000, 16_000)


def test_a_context_that_cannot_hold_the_edge_of_the_stft_is_refused() -> None:
    settings = SeparationSettings(context_seconds=0.13, fade_seconds=0.25)
    with pytest.raises(ConfigError, match="context_seconds"):
        WindowGrid(settings, separator=BandSeparator(RATE))


@pytest.mark.parametrize("fade_frames", [0, 1.5, 7, 40])
def test_the_weights_of_all_segments_sum_to_one(fade_frames: float) -> None:
    boundaries = [0, 40, 80, 93]
    total = np.zeros(93)
    for index, (start, stop) in enumerate(itertools.pairwise(boundaries)):
        weights = segment_weights(
            0,
            93,
            segment_start_frame=start,
            segment_stop_frame=stop,
            fade_frames=fade_frames,
            first=index == 0,
            last=index == 2,
        )
        assert weights.min() >= 0
        total += weights
    np.testing.assert_allclose(total, 1.0, atol=1e-6)


def test_a_fade_is_centred_at_the_boundary() -> None:
    weights = segment_weights(
        0, 100, segment_start_frame=30, segment_stop_frame=70, fade_frames=10, first=False, last=False
    )
    assert weights[:25].max() == 0
    assert weights[35:65].min() == 1
    np.testing.assert_allclose(weights[29] + weights[30], 1.0, atol=1e-6)
    assert (np.diff(weights[25:35]) > 0).all()
