"""What a stem format cannot hold goes to another, or is refused, before any work is done."""

from __future__ import annotations

import pytest

from uss_ray.audio.capacity import OPUS_RATES, check_format_holds, stem_encoding
from uss_ray.audio.spec import AudioSpec
from uss_ray.errors import ConfigError, RecordingError


@pytest.mark.parametrize(
    ("stem_format", "sample_rate", "channels"),
    [
        ("wav", 12_345_678, 300),
        ("flac", 655_350, 8),
        ("flac", 65_535, 1),
        ("flac", 192_000, 2),
        ("ogg", 200_000, 5),
        ("ogg", 44_100, 255),
        ("ogg", 44_100, 7),
        *(("opus", rate, 2) for rate in OPUS_RATES),
        ("opus", 48_000, 9),
        ("mp3", 8_000, 1),
        ("mp3", 48_000, 2),
    ],
)
def test_what_a_format_holds_is_let_pass(stem_format, sample_rate: int, channels: int) -> None:
    check_format_holds(stem_format, item="a.wav", sample_rate=sample_rate, channels=channels)


@pytest.mark.parametrize(
    ("stem_format", "sample_rate", "channels", "said"),
    [
        ("flac", 44_100, 9, "at most 8 channels in FLAC (use wav), found 9"),
        ("flac", 655_360, 1, "up to 655350 Hz (use wav), found 655360 Hz"),
        ("flac", 88_201, 1, "a rate FLAC can state"),
        ("ogg", 200_001, 1, "at most 200000 Hz in Vorbis"),
        ("ogg", 44_100, 6, "found 6, one of them coded as a subwoofer's"),
        ("ogg", 44_100, 256, "at most 255 channels in ogg"),
        (
            "opus",
            44_100,
            2,
            "8000, 12000, 16000, 24000 or 48000 Hz in Opus (use ogg or flac), found 44100 Hz",
        ),
        ("mp3", 44_099, 1, "44100 or 48000 Hz in MP3 (use ogg or flac), found 44099 Hz"),
        ("mp3", 44_100, 3, "at most 2 channels in MP3 (use ogg or flac), found 3"),
        ("opus", 48_000, 6, "one of them coded as a subwoofer's"),
        ("opus", 48_000, 8, "one of them coded as a subwoofer's"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_with_one_that_can(
    stem_format, sample_rate: int, channels: int, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_format_holds(stem_format, item="a.wav", sample_rate=sample_rate, channels=channels)
    assert str(caught.value).startswith("a.wav: expected ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("rate", "channels", "subtype", "expected"),
    [
        (48000, 8, "PCM_16", ("flac", "PCM_16")),
        (48000, 9, "PCM_16", ("wav", "PCM_16")),
        (48000, 64, "FLOAT", ("wav", "FLOAT")),
        (655350, 1, "PCM_16", ("flac", "PCM_16")),
        (700000, 1, "PCM_24", ("wav", "PCM_24")),
        (96001, 1, "PCM_16", ("wav", "PCM_16")),
    ],
)
def test_what_flac_cannot_hold_goes_to_wav(rate: int, channels: int, subtype: str, expected: tuple) -> None:
    spec = AudioSpec(rate, channels, None, "WAV", subtype)
    assert stem_encoding(spec, stem_format="flac", item="a.wav") == expected


@pytest.mark.parametrize(
    ("stem_format", "rate", "channels", "found"),
    [("opus", 44100, 2, "44100 Hz"), ("ogg", 48000, 6, "6, one of")],
)
def test_what_a_lossy_format_cannot_hold_names_the_recording_and_the_way_out(
    stem_format: str, rate: int, channels: int, found: str
) -> None:
    spec = AudioSpec(rate, channels, None, "WAV", "PCM_16")
    with pytest.raises(RecordingError, match=rf"a\.wav: expected .*use .*flac.*, found {found}"):
        stem_encoding(spec, stem_format=stem_format, item="a.wav")
