"""Stems are never coarser than their recording."""

from __future__ import annotations

import pytest

from uss_ray.audio.spec import AudioSpec, stem_subtype
from uss_ray.errors import ConfigError


@pytest.mark.parametrize(
    ("recording", "flac", "wav"),
    [
        ("PCM_16", "PCM_16", "PCM_16"),
        ("PCM_U8", "PCM_16", "PCM_16"),
        ("MPEG_LAYER_III", "PCM_16", "PCM_16"),
        ("PCM_24", "PCM_24", "PCM_24"),
        ("PCM_32", "PCM_24", "FLOAT"),
        ("FLOAT", "PCM_24", "FLOAT"),
        ("DOUBLE", "PCM_24", "FLOAT"),
    ],
)
def test_the_stem_coding_follows_the_recording(recording: str, flac: str, wav: str) -> None:
    assert stem_subtype(recording, stem_format="flac") == flac
    assert stem_subtype(recording, stem_format="wav") == wav


@pytest.mark.parametrize("recording", ["PCM_16", "PCM_24", "FLOAT", "VORBIS", "MPEG_LAYER_III"])
def test_a_lossy_format_has_one_coding_whatever_the_recording(recording: str) -> None:
    assert stem_subtype(recording, stem_format="ogg") == "VORBIS"
    assert stem_subtype(recording, stem_format="opus") == "OPUS"


def test_an_unknown_stem_format_is_a_setting_error() -> None:
    with pytest.raises(ConfigError, match="expected flac, wav, ogg, opus or mp3, found 'aac'"):
        stem_subtype("PCM_16", stem_format="aac")


def test_a_length_left_open_has_no_duration() -> None:
    assert AudioSpec(48000, 1, None, "FLAC", "PCM_16").duration_seconds is None
    assert AudioSpec(48000, 1, 24000, "FLAC", "PCM_16").duration_seconds == 0.5
