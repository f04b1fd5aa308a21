from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from uss_ray.audio.flac_header import has_another_start, inspect_flac
from uss_ray.audio.inspection import Inspection
from uss_ray.audio.splice import SplicedFile

FRAMES = 10_000
TOTAL_AT = 21  # four bits of the length lie in the byte before the last four of its five bytes


def encoded(frames: int = FRAMES, *, seed: int = 0) -> bytes:
    file = io.BytesIO()
    sound = 0.1 * np.random.default_rng(seed).standard_normal(frames)
    soundfile.write(file, sound, 16_000, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def stating(content: bytes, frames: int) -> bytes:
    return content[: TOTAL_AT + 1] + frames.to_bytes(4, "big") + content[TOTAL_AT + 5 :]


def inspected(content: bytes) -> Inspection:
    return inspect_flac(io.BytesIO(content), file_bytes=len(content))


def decoded(content: bytes, found: Inspection, place: int = 0) -> np.ndarray:
    view = SplicedFile(io.BytesIO(content), found.streams[place].pieces)
    return soundfile.read(io.BytesIO(view.read(1 << 30)))[0]


@pytest.mark.parametrize("frames", [100, 4096, FRAMES])
def test_a_header_that_says_what_there_is_leaves_the_file_as_it_is(frames: int) -> None:
    assert inspected(encoded(frames)) == Inspection()


@pytest.mark.parametrize("behind", [b"", b"TAG".ljust(128, b"x")], ids=["nothing", "a tag"])
@pytest.mark.parametrize("stated", [1, 4096, FRAMES - 1])
def test_a_header_that_states_too_little_is_mended(stated: int, behind: bytes) -> None:
    content = encoded()
    found = inspected(stating(content, stated) + behind)
    assert found.notes == (f"the header states {stated} samples, there are {FRAMES}: read to the end",)
    expected = soundfile.read(io.BytesIO(content))[0]
    np.testing.assert_array_equal(decoded(stating(content, stated), found), expected)


def test_a_length_left_open_is_no_lie() -> None:
    assert inspected(stating(encoded(), 0)) == Inspection()


def test_a_file_that_is_cut_off_is_left_to_the_decoder() -> None:
    assert inspected(encoded()[:-1]) == Inspection()


def test_files_joined_to_one_are_streams_of_their_own() -> None:
    first, second = encoded(5000, seed=1), encoded(7000, seed=2)
    found = inspected(first + second)
    assert [stream.pieces for stream in found.streams] == [
        (range(len(first)),),
        (range(len(first), len(first) + len(second)),),
    ]
    assert [len(decoded(first + second, found, place)) for place in (0, 1)] == [5000, 7000]


def test_another_start_is_found_behind_an_offset_only() -> None:
    file = io.BytesIO(b"junk" + encoded(100))
    assert has_another_start(file, 4)
    assert not has_another_start(file, 5)


@pytest.mark.parametrize("length", range(1, 8))
@pytest.mark.parametrize("sync", [b"\xff\xf8", b"\xff\xf9"])
def test_an_end_that_looks_like_the_beginning_of_a_frame_is_none(sync: bytes, length: int) -> None:
    content = encoded()
    for end in (content[:-length], content):
        assert inspected(end[:-2] + (sync + bytes(5))[:length]) == Inspection()
