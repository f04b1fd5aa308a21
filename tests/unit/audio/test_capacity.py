"""What a stem format cannot hold goes to another, or is refused, before any work is done."""

from __future__ import annotations

import pytest

from uss_ray.audio.capacity import stem_encoding
from uss_ray.audio.spec import AudioSpec
from uss_ray.errors import RecordingError


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
