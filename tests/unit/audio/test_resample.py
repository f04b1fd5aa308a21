"""Blocks join as if converted whole, lengths are exact, and nothing depends on what came before."""

from __future__ import annotations

import math

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from uss_ray.audio.resample import BlockResampler, context_seconds

MODEL_RATE = 32000
COMMON_RATES = [8000, 11025, 16000, 44100, 48000, 96000, 192000]
ODD_RATES = [7418, 22254, 44099]


def in_blocks(
    waveform: NDArray[np.float32], *, from_rate: int, to_rate: int, block_seconds: int
) -> NDArray[np.float32]:
    resampler = BlockResampler(from_rate, to_rate)
    total = waveform.shape[1]
    converted = []
    for start in range(0, total, block_seconds * from_rate):
        end = min(total, start + block_seconds * from_rate)
        left = min(resampler.context_frames, start)
        right = min(resampler.context_frames, total - end)
        block = waveform[:, start - left : end + right]
        converted.append(resampler.resample(block, left_context=left, right_context=right))
    return np.concatenate(converted, axis=1)


def noise(frames: int, *, channels: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(7).uniform(-1, 1, (channels, frames)).astype(np.float32)


def whole(waveform: NDArray[np.float32], *, from_rate: int, to_rate: int) -> NDArray[np.float32]:
    return soxr.resample(waveform.T, from_rate, to_rate, quality="VHQ").T


@pytest.mark.parametrize("native_rate", COMMON_RATES)
@pytest.mark.parametrize("to_model", [True, False])
def test_blocks_of_noise_equal_the_whole_recording(native_rate: int, to_model: bool) -> None:
    from_rate, to_rate = (native_rate, MODEL_RATE) if to_model else (MODEL_RATE, native_rate)
    waveform = noise(3 * from_rate + 777, channels=2)
    blocks = in_blocks(waveform, from_rate=from_rate, to_rate=to_rate, block_seconds=1)
    reference = whole(waveform, from_rate=from_rate, to_rate=to_rate)
    common = min(blocks.shape[1], reference.shape[1])
    assert blocks.shape[1] - common <= 1
    assert np.abs(blocks[:, :common] - reference[:, :common]).max() < 1e-6


@pytest.mark.parametrize("native_rate", [44100, 48000, 22254])
def test_an_impulse_at_a_join_stays_where_it_is_and_rings_across(native_rate: int) -> None:
    waveform = np.zeros((1, 3 * native_rate), dtype=np.float32)
    waveform[0, native_rate] = 1.0
    blocks = in_blocks(waveform, from_rate=native_rate, to_rate=MODEL_RATE, block_seconds=1)
    reference = whole(waveform, from_rate=native_rate, to_rate=MODEL_RATE)
    assert int(np.abs(blocks[0]).argmax()) == MODEL_RATE
    assert np.abs(blocks - reference).max() < 1e-6


@pytest.mark.parametrize("native_rate", ODD_RATES)
def test_a_tone_at_an_odd_rate_is_truer_in_blocks_than_whole(native_rate: int) -> None:
    seconds = np.arange(20 * native_rate) / native_rate
    tone = np.sin(2 * np.pi * 1000 * seconds).astype(np.float32)[np.newaxis]
    truth = np.sin(2 * np.pi * 1000 * np.arange(20 * MODEL_RATE) / MODEL_RATE)
    inner = slice(MODEL_RATE, -MODEL_RATE)
    blocks = in_blocks(tone, from_rate=native_rate, to_rate=MODEL_RATE, block_seconds=2)
    error = np.abs(blocks[0, inner] - truth[inner]).max()
    error_whole = np.abs(
        whole(tone, from_rate=native_rate, to_rate=MODEL_RATE)[0, : len(truth)][inner] - truth[inner]
    ).max()
    assert error < 1e-6
    assert error <= error_whole


@pytest.mark.parametrize(("top_hz", "tolerance"), [(8000, 5e-6), (14000, 5e-4)])
def test_a_sweep_comes_back_from_the_model_rate(top_hz: int, tolerance: float) -> None:
    """Near the band's edge the filter may be off by a hundredth of a decibel, as its maker says."""
    rate, total = 44100, 4 * 44100 + 31
    seconds = np.arange(total) / rate
    sweep = 0.5 * np.sin(2 * np.pi * (100 * seconds + (top_hz - 100) / 2 / seconds[-1] * seconds**2))
    # A smooth fade: the kink of a straight one would reach beyond the model rate's band.
    fade = np.sin(np.pi / 2 * np.minimum(1, np.minimum(seconds, seconds[-1] - seconds) / 0.25)) ** 4
    native = (sweep * fade).astype(np.float32)[np.newaxis]
    model = in_blocks(native, from_rate=rate, to_rate=MODEL_RATE, block_seconds=2)
    back = in_blocks(model, from_rate=MODEL_RATE, to_rate=rate, block_seconds=1)[:, :total]
    assert back.shape == native.shape
    assert np.abs(back - native).max() < tolerance


@pytest.mark.parametrize("native_rate", [*COMMON_RATES, *ODD_RATES, 31999, 1])
@pytest.mark.parametrize("extra_frames", [0, 1, 2, 1234])
def test_lengths_follow_the_rule_there_and_back(native_rate: int, extra_frames: int) -> None:
    native_frames = 2 * native_rate + extra_frames
    there = BlockResampler(native_rate, MODEL_RATE)
    model_frames = math.ceil(native_frames * MODEL_RATE / native_rate)
    assert there.output_frames(native_frames) == model_frames
    assert BlockResampler(MODEL_RATE, native_rate).output_frames(model_frames) >= native_frames


@pytest.mark.parametrize("native_rate", [8000, 44100, 44099, 192000])
@pytest.mark.parametrize("frames", [1, 2, 3, 5, 17])
def test_the_shortest_recordings_get_their_exact_length(native_rate: int, frames: int) -> None:
    model = BlockResampler(native_rate, MODEL_RATE).resample(noise(frames, channels=8))
    assert model.shape == (8, math.ceil(frames * MODEL_RATE / native_rate))
    back = BlockResampler(MODEL_RATE, native_rate).resample(model)
    assert back.shape[1] >= frames
    assert np.isfinite(back).all()


def test_a_block_depends_on_nothing_but_its_samples() -> None:
    waveform = noise(3 * 44100, channels=2)
    resampler = BlockResampler(44100, MODEL_RATE)
    context = resampler.context_frames
    middle = waveform[:, 44100 - context : 2 * 44100 + context]
    first = resampler.resample(middle, left_context=context, right_context=context)
    resampler.resample(waveform)
    again = resampler.resample(middle, left_context=context, right_context=context)
    assert np.array_equal(first, again)


def test_equal_rates_change_no_bit() -> None:
    resampler = BlockResampler(MODEL_RATE, MODEL_RATE)
    waveform = noise(1000, channels=2) * 3
    assert (resampler.context_frames, resampler.grid_frames) == (0, 1)
    assert np.array_equal(resampler.resample(waveform, left_context=10, right_context=5), waveform[:, 10:995])


@pytest.mark.parametrize("native_rate", [*COMMON_RATES, *ODD_RATES])
def test_whole_seconds_and_contexts_lie_on_the_grid(native_rate: int) -> None:
    for resampler in (BlockResampler(native_rate, MODEL_RATE), BlockResampler(MODEL_RATE, native_rate)):
        assert resampler.from_rate % resampler.grid_frames == 0
        assert resampler.context_frames % resampler.grid_frames == 0
        assert 0 < resampler.context_frames <= resampler.from_rate


def test_a_context_off_the_grid_or_too_long_is_refused() -> None:
    resampler = BlockResampler(44100, MODEL_RATE)
    with pytest.raises(ValueError, match="off the grid of 441"):
        resampler.resample(noise(44100), left_context=440)
    with pytest.raises(ValueError, match="do not fit"):
        resampler.resample(noise(441), left_context=441, right_context=1)


def test_a_rate_below_one_hertz_is_refused() -> None:
    with pytest.raises(ValueError, match="1 Hz"):
        BlockResampler(0, MODEL_RATE)


@pytest.mark.parametrize("rate", [1, 3, 99, 100, 255, 256, 257, 300, 7418, 44099, 44100, 192_000])
def test_whole_seconds_hold_the_context_of_a_rate(rate: int) -> None:
    for other in (rate, rate + 1, 8000, 32_000):
        if other >= rate:
            assert BlockResampler(rate, other).context_frames <= context_seconds(rate) * rate
    for lower in (256, 8000, 32_000):
        if lower < rate:
            assert BlockResampler(rate, lower).context_frames <= rate
