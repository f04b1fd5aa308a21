from __future__ import annotations

import numpy as np
import pytest

from tests.unit.separation.fakes import RaggedSource, noise, snr_db, tone
from uss_ray.errors import ConfigError, RecordingError
from uss_ray.separation.mixture import ArraySource, MixtureReader, PartSource, Source, Timeline


def read_all(source: Source, *, model_rate: int) -> MixtureReader:
    reader = MixtureReader(source, model_rate=model_rate, step_seconds=2)
    while not reader.ended:
        reader.read_until(reader.model.stop + 1)
    return reader


def test_a_timeline_forgets_the_past_and_pads_the_future_with_silence() -> None:
    timeline = Timeline(1)
    timeline.append(np.arange(5, dtype=np.float32)[None])
    timeline.forget(2)
    np.testing.assert_array_equal(timeline.view(3, 7), [[3, 4, 0, 0]])
    np.testing.assert_array_equal(timeline.view(9, 11), [[0, 0]])
    with pytest.raises(IndexError, match="forgotten"):
        timeline.view(1, 4)


@pytest.mark.parametrize("rate", [8000, 16000, 22050])
def test_how_a_source_cuts_its_blocks_changes_no_sample(rate: int) -> None:
    waveform = noise(2, int(7.3 * rate))
    even = read_all(ArraySource(waveform, sample_rate=rate), model_rate=16000)
    ragged = read_all(
        RaggedSource(waveform, sample_rate=rate, lengths=(1, 30_000, 77, 4096)), model_rate=16000
    )
    assert even.model.stop == ragged.model.stop == -(-waveform.shape[1] * 16000 // rate)
    stop = even.model.stop
    np.testing.assert_array_equal(even.model.view(0, stop), ragged.model.view(0, stop))
    np.testing.assert_array_equal(ragged.native.view(0, waveform.shape[1]), waveform)


def test_resampling_piece_by_piece_leaves_a_tone_whole() -> None:
    reader = read_all(ArraySource(tone(0, 9.0, sample_rate=44100), sample_rate=44100), model_rate=32000)
    expected = tone(0, 9.0, sample_rate=32000)[None]
    inner = slice(3200, -3200)
    assert snr_db(reader.model.view(0, reader.model.stop)[:, inner], expected[:, inner]) > 90


def test_reading_stops_as_soon_as_enough_is_known() -> None:
    reader = MixtureReader(ArraySource(noise(1, 80_000), sample_rate=8000), model_rate=8000, step_seconds=2)
    reader.read_until(16_000)
    assert not reader.ended
    assert 16_000 <= reader.native.stop <= 24_000


@pytest.mark.parametrize("rate", [8000, 16000, 22050])
@pytest.mark.parametrize("first_step", [1, 2])
def test_what_is_read_does_not_depend_on_where_reading_begins(rate: int, first_step: int) -> None:
    waveform = noise(2, int(9.3 * rate))
    whole = read_all(ArraySource(waveform, sample_rate=rate), model_rate=16000)
    early = rate + 77
    part = PartSource(waveform[:, early:], sample_rate=rate, start_frame=early, ends_recording=True)
    for source in (ArraySource(waveform, sample_rate=rate), part):
        reader = MixtureReader(source, model_rate=16000, step_seconds=2, first_step=first_step)
        while not reader.ended:
            reader.read_until(reader.model.stop + 1)
        first, stop = first_step * 32_000, whole.model.stop
        assert (reader.model.start, reader.model.stop) == (first, stop)
        np.testing.assert_array_equal(reader.model.view(first, stop), whole.model.view(first, stop))
        frame = first_step * 2 * rate
        np.testing.assert_array_equal(reader.native.view(frame, reader.native.stop), waveform[:, frame:])


def test_a_part_is_not_read_beyond_what_it_holds() -> None:
    part = PartSource(noise(1, 40_000), sample_rate=8000, start_frame=8000, ends_recording=False)
    reader = MixtureReader(part, model_rate=8000, step_seconds=2, first_step=1)
    reader.read_until(48_000)
    assert not reader.ended
    with pytest.raises(ConfigError, match=r"16000 frames \(2.00 s\) after it"):
        reader.read_until(48_001)


def test_a_part_says_what_is_missing_on_which_side() -> None:
    part = PartSource(noise(1, 8000), sample_rate=8000, start_frame=4000, ends_recording=False)
    part.require(4000, 12_000)
    with pytest.raises(ConfigError, match=r"4000 frames .* before it and 1 frames .* after it missing"):
        part.require(0, 12_001)
    with pytest.raises(ConfigError, match="rest of the recording"):
        part.require(4000, None)
    last = PartSource(noise(1, 8000), sample_rate=8000, start_frame=4000, ends_recording=True)
    last.require(4000, None)
    last.require(4000, 99_000)
    with pytest.raises(ConfigError, match="before it"):
        last.require(3999, 12_000)
    with pytest.raises(RecordingError, match="start_frame"):
        PartSource(noise(1, 8), sample_rate=8000, start_frame=-1, ends_recording=True)


def test_a_block_with_another_number_of_channels_is_refused() -> None:
    source = RaggedSource(noise(2, 100), sample_rate=8000, lengths=(50,))
    source.channels = 1
    with pytest.raises(RecordingError, match="shape"):
        read_all(source, model_rate=8000)


@pytest.mark.parametrize(
    "waveform", [np.zeros((1, 0)), np.zeros((1, 2, 3)), np.array([0.0, np.nan]), np.array([np.inf])]
)
def test_a_waveform_that_is_none_is_refused(waveform: np.ndarray) -> None:
    with pytest.raises(RecordingError, match="waveform"):
        ArraySource(waveform, sample_rate=8000)
