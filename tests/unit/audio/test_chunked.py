from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
import soundfile

from uss_ray.audio import chunked
from uss_ray.audio.inspection import Inspection
from uss_ray.audio.splice import SplicedFile

FRAMES = 1000
SOUND = (np.arange(FRAMES, dtype=np.float32) - 500) / 1024


def encoded(format: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, SOUND, 8000, format=format, subtype="PCM_16")
    return file.getvalue()


def inspected(content: bytes) -> Inspection:
    file, file_bytes = io.BytesIO(content), len(content)
    look: dict[bytes, Callable[[], Inspection]] = {
        b"RIFF": lambda: chunked.inspect_riff(file, file_bytes=file_bytes, magic=b"RIFF"),
        b"FORM": lambda: chunked.inspect_aiff(file, file_bytes=file_bytes),
        b"riff": lambda: chunked.inspect_w64(file, file_bytes=file_bytes),
        b"caff": lambda: chunked.inspect_caf(file, file_bytes=file_bytes),
        b".snd": lambda: chunked.inspect_au(content[:24], file_bytes=file_bytes, byteorder="big"),
    }
    return look[content[:4]]()


def stating(content: bytes, size: int) -> bytes:
    """Let the chunk of the sound state another number of bytes."""
    at, form = {
        b"RIFF": (content.find(b"data") + 4, "<I"),
        b"FORM": (content.find(b"SSND") + 4, ">I"),
        b"riff": (content.find(b"data\xf3\xac\xd3\x11") + 16, "<Q"),
        b"caff": (content.find(b"data") + 4, ">Q"),
        b".snd": (8, ">I"),
    }[content[:4]]
    return content[:at] + struct.pack(form, size) + content[at + struct.calcsize(form) :]


def decoded(content: bytes, found: Inspection) -> np.ndarray:
    (stream,) = found.streams
    return soundfile.read(io.BytesIO(SplicedFile(io.BytesIO(content), stream.pieces).read(1 << 30)))[0]


FORMATS = ("WAV", "AIFF", "W64", "CAF", "AU")
PLACEHOLDERS = {"WAV": 0x7FFFF000, "AIFF": 0x7FFFF000, "W64": 1 << 62, "CAF": 1 << 62, "AU": 0x7FFFF000}


@pytest.mark.parametrize("format", FORMATS)
def test_a_header_that_says_what_there_is_leaves_the_file_as_it_is(format: str) -> None:
    found = inspected(encoded(format))
    assert (found.streams, found.notes, found.fault, found.is_for_ffmpeg) == ((), (), None, False)


@pytest.mark.parametrize("format", FORMATS)
def test_a_placeholder_is_read_to_the_end(format: str) -> None:
    content = stating(encoded(format), PLACEHOLDERS[format])
    found = inspected(content)
    (note,) = found.notes
    assert note.startswith(f"the header states {PLACEHOLDERS[format]}"[:25])
    assert found.fault is None
    np.testing.assert_array_equal(decoded(content, found), SOUND)


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_is_cut_off_is_a_fault(format: str) -> None:
    content = encoded(format)[:-1500]
    found = inspected(content)
    assert found.fault is not None
    assert found.fault[1].endswith("the rest is cut off")
    assert found.notes == ()


def test_bytes_that_no_chunk_explains_are_sound() -> None:
    content = stating(encoded("WAV"), 400)
    found = inspected(content)
    assert found.notes == ("the header states 400 bytes of audio, there are 2000: read to the end",)
    np.testing.assert_array_equal(decoded(content, found), SOUND)


@pytest.mark.parametrize(
    "behind",
    [
        b"LIST" + struct.pack("<I", 4) + b"INFO",
        b"mine" + struct.pack("<I", 6) + b"abcdef",
        b"TAG".ljust(128, b" "),
        bytes(5000),
        b"odd",
    ],
    ids=["known chunk", "named chunk", "tag", "zeros", "a few bytes"],
)
def test_what_is_behind_the_sound_and_explains_itself_is_no_sound(behind: bytes) -> None:
    found = inspected(encoded("WAV") + behind)
    assert (found.streams, found.notes, found.fault) == ((), (), None)


def test_a_file_that_contradicts_itself_is_read_to_its_end() -> None:
    content = stating(encoded("WAV"), 5000)  # the file as a whole states what there is
    assert inspected(content).notes
    short = content[:4] + struct.pack("<I", 5036) + content[8:]
    assert inspected(short).fault == ("5000 bytes of audio", "2000 bytes, the rest is cut off")


def test_a_coding_that_libsndfile_lacks_is_for_ffmpeg() -> None:
    content = bytearray(encoded("WAV"))
    at = content.index(b"fmt ") + 8
    content[at : at + 2] = struct.pack("<H", 0x2000)  # AC-3
    assert inspected(bytes(content)).is_for_ffmpeg


def test_a_name_that_libsndfile_lacks_is_shown_as_one_it_has() -> None:
    content = b"BW64" + encoded("WAV")[4:]
    found = chunked.inspect_riff(io.BytesIO(content), file_bytes=len(content), magic=b"BW64")
    assert found.streams[0].pieces == (b"RF64", range(4, len(content)))
