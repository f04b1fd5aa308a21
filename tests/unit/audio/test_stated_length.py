"""Formats whose header states a length in one field: what is cut off is found, and a header that lies is no limit."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile as sf

from uss_ray.audio.containers import inspect_container
from uss_ray.audio.reading import open_recording
from uss_ray.errors import RecordingError

FRAMES = 6000
# Where each of them keeps its length, and how wide that is.
PLACES = {
    ("AVR", "PCM_S8"): (26, "big"),
    ("AVR", "PCM_16"): (26, "big"),
    ("MAT4", "PCM_16"): (47, "little"),
    ("MAT4", "PCM_32"): (47, "little"),
    ("MAT4", "FLOAT"): (47, "little"),
    ("MAT4", "DOUBLE"): (47, "little"),
    ("MPC2K", "PCM_16"): (30, "little"),
    ("WVE", "ALAW"): (18, "big"),
}
NO_LIES = [("MAT5", "PCM_16"), ("MAT5", "FLOAT"), ("SDS", "PCM_S8"), ("SDS", "PCM_16"), ("SDS", "PCM_24")]
MONO = ("WVE", "SDS")


def made(kind: str, subtype: str, *, channels: int = 1) -> bytes:
    sound = 0.1 * np.random.default_rng(7).standard_normal((FRAMES, channels))
    file = io.BytesIO()
    rate = 8000 if kind == "WVE" else 44_100
    sf.write(file, sound, rate, format=kind, subtype=subtype)
    return file.getvalue()


def frames_of(content: bytes) -> int:
    with open_recording(io.BytesIO(content)) as recording:
        return sum(block.shape[-1] for block in recording.blocks(1000))


@pytest.mark.parametrize(
    ("kind", "subtype", "channels"),
    [(*each, channels) for each in [*PLACES, *NO_LIES] for channels in ((1,) if each[0] in MONO else (1, 2))],
)
def test_what_is_cut_off_is_found_and_what_is_whole_is_not(kind: str, subtype: str, channels: int) -> None:
    whole = made(kind, subtype, channels=channels)
    found = inspect_container(io.BytesIO(whole))
    assert (found.fault, found.notes) == (None, ())
    for keep in (0.5, 0.97):
        cut = inspect_container(io.BytesIO(whole[: int(len(whole) * keep)]))
        assert cut.fault is not None
        assert cut.fault[1].endswith("the rest is cut off")


@pytest.mark.parametrize(("kind", "subtype"), PLACES)
def test_a_header_that_states_too_little_is_read_to_the_end_with_a_note(kind: str, subtype: str) -> None:
    at, order = PLACES[kind, subtype]
    content = bytearray(made(kind, subtype))
    stated = int.from_bytes(content[at : at + 4], order)
    content[at : at + 4] = (stated // 3).to_bytes(4, order)
    found = inspect_container(io.BytesIO(bytes(content)))
    assert found.fault is None
    assert "read to the end" in found.notes[0]
    content[at : at + 4] = bytes(4)  # nothing stated, nothing to compare
    assert inspect_container(io.BytesIO(bytes(content))).notes == ()


@pytest.mark.parametrize("order", ["little", "big"])
def test_the_format_of_sox_states_its_samples(order: str) -> None:
    magic = b".SoX" if order == "little" else b"XoS."
    head = magic + (32).to_bytes(4, order) + FRAMES.to_bytes(8, order) + bytes(8 + 4 + 4 + 4)
    whole = head + bytes([1] * (4 * FRAMES + 4))
    whole = whole[: 36 + 4 * FRAMES]
    assert inspect_container(io.BytesIO(whole)).fault is None
    assert inspect_container(io.BytesIO(whole[:-900])).fault is not None


def test_an_instrument_states_a_length_or_none() -> None:
    content = bytearray(made("XI", "DPCM_16"))
    assert inspect_container(io.BytesIO(bytes(content))).fault is None
    content[298:302] = (2 * FRAMES).to_bytes(4, "little")
    assert inspect_container(io.BytesIO(bytes(content))).fault is None
    assert inspect_container(io.BytesIO(bytes(content[:-3000]))).fault is not None


def test_two_channels_may_be_counted_by_the_sample() -> None:
    content = bytearray(made("AVR", "PCM_16", channels=2))
    content[26:30] = (2 * FRAMES).to_bytes(4, "big")
    assert inspect_container(io.BytesIO(bytes(content))).fault is None


def test_a_cut_file_is_refused_as_a_recording() -> None:
    whole = made("AVR", "PCM_16")
    assert frames_of(whole) == FRAMES
    with pytest.raises(RecordingError, match="the rest is cut off"):
        frames_of(whole[:-4000])
