"""The first bytes of a file tell whether it is sound."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from tests.odd_files import TELEPHONE, encoded_media
from uss_ray.audio.sniff import HEAD_BYTES, looks_like_sound

NOISE = (0.1 * np.random.default_rng(0).standard_normal((1, 20_000))).astype(np.float32)


@pytest.mark.parametrize(
    "format", ["WAV", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3", "VOC", "NIST"]
)
def test_what_libsndfile_writes_is_sound(format: str) -> None:
    file = io.BytesIO()
    soundfile.write(file, NOISE.T, 44100, format=format)
    assert looks_like_sound(file.getvalue()[:HEAD_BYTES])
    assert looks_like_sound(b"ID3\x03\0\0\0\0\0\x10" + bytes(16) + file.getvalue()[:HEAD_BYTES])


@pytest.mark.parametrize(
    ("container", "coding"),
    [
        ("adts", "aac"),
        ("ac3", "ac3"),
        ("asf", "wmav2"),
        ("wv", "wavpack"),
        ("tta", "tta"),
        ("mp2", "mp2"),
        ("matroska", "aac"),
        ("avi", "pcm_s16le"),
        ("mov", "pcm_s16le"),
        ("mp4", "aac"),
        ("flv", "aac"),
        ("mpegts", "mp2"),
        ("mpeg", "mp2"),
    ],
)
def test_what_ffmpeg_writes_is_sound(container: str, coding: str) -> None:
    pytest.importorskip("av")
    content = encoded_media(NOISE, rate=48000, container=container, coding=coding, bit_rate=128_000)
    assert looks_like_sound(content[:HEAD_BYTES])


def test_speech_of_a_telephone_is_sound() -> None:
    assert looks_like_sound(TELEPHONE.read_bytes()[:HEAD_BYTES])


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"a",
        b"ID3",
        b"Dear reader,\n" * 100,
        b'{"a": 1}',
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(200),
        b"PAR1" + bytes(50),
        b"%PDF-1.7",
        b"RIFF\0\0\0\0WEBP" + bytes(40),
        b"\0\0\0\x18ftypheic" + bytes(40),
        b"Some free verse",
        b"\xff" * 3000,
        bytes(3000),
    ],
)
def test_what_is_something_else_is_not(head: bytes) -> None:
    assert not looks_like_sound(head)


def test_noise_is_hardly_ever_taken_for_sound() -> None:
    random = np.random.default_rng(5)
    assert sum(looks_like_sound(random.bytes(600)) for _ in range(5000)) <= 2
