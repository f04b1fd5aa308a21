from __future__ import annotations

import io
import struct

import pytest

from uss_ray.audio.inspection import Inspection
from uss_ray.audio.media_headers import inspect_media, matroska_seconds, media_name

EBML = b"\x1aE\xdf\xa3"
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
WHOLE = Inspection(is_for_ffmpeg=True)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (EBML, "Matroska or WebM"),
        (ASF, "WMA"),
        (b"wvpk", "WavPack"),
        (b"RIFF\0\0\0\0AVI ", "AVI"),
        (b"\x0bw", "AC-3"),
        (b"w\x0b", "AC-3"),
        (b"\xff\xf1\x50\x80", "AAC"),
        (b"\xff\xf9\x50\x80", "AAC"),
        (b"\xff\xfb\x90\x00", None),  # MP3
        (b"\xff\xf1\x74\x80", None),  # a rate that ADTS does not know
        (b"RIFF\0\0\0\0WAVE", None),
        (b"OggS", None),
        (b"", None),
    ],
)
def test_files_are_named_by_their_first_bytes(head: bytes, name: str | None) -> None:
    assert media_name(head.ljust(16, b"\0") if head else head) == name


def inspected(content: bytes, *, cut: int = 0) -> Inspection:
    content = content[: len(content) - cut]
    return inspect_media(io.BytesIO(content), head=content[:16], file_bytes=len(content))


def matroska(*, size: int | None, body: bytes = bytes(50)) -> bytes:
    """A head of two empty bytes, and a segment whose size takes one byte or is left open."""
    return (
        EBML + b"\x82\0\0" + b"\x18\x53\x80\x67" + (b"\xff" if size is None else bytes([0x80 | size])) + body
    )


def asf(*, size: int, flags: int = 0) -> bytes:
    properties = ASF_PROPERTIES + bytes(24) + struct.pack("<Q", size) + bytes(40) + struct.pack("<I", flags)
    return (ASF + bytes(14) + properties).ljust(200, b"\0")


def avi(*, size: int) -> bytes:
    return b"RIFF" + struct.pack("<I", size) + b"AVI " + bytes(88)


def wavpack(*, stated: int, blocks: tuple[int, ...], second_channels: int = 0) -> bytes:
    content = b""
    for number, samples in enumerate(blocks):
        flags = 0 if number < second_channels else 0x800
        body = struct.pack("<HBBIIIII", 0x410, 0, 0, stated, 0, samples, flags, 0)
        content += b"wvpk" + struct.pack("<I", len(body) + 10) + body + bytes(10)
    return content


@pytest.mark.parametrize(
    "content",
    [
        matroska(size=50),
        asf(size=200),
        avi(size=92),
        wavpack(stated=30, blocks=(10, 20)),
        b"TTA1" + bytes(40),
    ],
    ids=["matroska", "asf", "avi", "wavpack", "tta"],
)
def test_a_whole_file_is_left_to_ffmpeg(content: bytes) -> None:
    assert inspected(content) == WHOLE


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (matroska(size=50), "62 bytes"),
        (asf(size=200), "200 bytes"),
        (avi(size=92), "100 bytes"),
        (wavpack(stated=30, blocks=(10, 20)), "30 samples"),
    ],
    ids=["matroska", "asf", "avi", "wavpack"],
)
def test_a_file_that_is_cut_off_is_a_fault(content: bytes, expected: str) -> None:
    found = inspected(content, cut=1)
    assert found.is_for_ffmpeg
    assert found.fault is not None
    assert found.fault[0] == expected
    assert found.fault[1].endswith("the rest is cut off")


@pytest.mark.parametrize(
    "content",
    [matroska(size=None), asf(size=5000, flags=1), avi(size=0), avi(size=0x7FFFFFFF)],
    ids=["live matroska", "asf broadcast", "avi to a pipe", "avi placeholder"],
)
def test_a_length_left_open_is_no_fault(content: bytes) -> None:
    assert inspected(content, cut=1) == WHOLE


def test_samples_of_further_channels_are_not_counted_twice() -> None:
    content = wavpack(stated=20, blocks=(10, 10), second_channels=1)
    assert inspected(content).fault == ("20 samples", "10, the rest is cut off")


def element(number: str, body: bytes) -> bytes:
    return bytes.fromhex(number) + bytes([0x80 | len(body)]) + body


@pytest.mark.parametrize(
    ("info", "seconds"),
    [
        (element("4489", struct.pack(">d", 2500.0)), 2.5),
        (element("4489", struct.pack(">f", 2500.0)) + element("2ad7b1", b"\x0f\x42\x40"), 2.5),
        (element("2ad7b1", b"\x01\x86\xa0") + element("4489", struct.pack(">d", 2500.0)), 0.25),
        (element("2ad7b1", b"\x0f\x42\x40"), None),
        (element("4489", b""), None),
        (element("4489", struct.pack(">d", float("nan"))), None),
        (element("4489", struct.pack(">d", float("inf"))), None),
    ],
)
@pytest.mark.parametrize("is_open", [False, True])
def test_the_length_that_a_matroska_states(info: bytes, seconds: float | None, is_open: bool) -> None:
    body = element("114d9b74", bytes(9)) + element("1549a966", element("4d80", b"somebody") + info)
    content = matroska(size=None if is_open else len(body), body=body)
    assert matroska_seconds(io.BytesIO(content)) == seconds


@pytest.mark.parametrize("content", [b"", EBML, matroska(size=50), matroska(size=None, body=b"")])
def test_no_length_is_made_up(content: bytes) -> None:
    assert matroska_seconds(io.BytesIO(content)) is None
