from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from uss_ray.audio.inspection import Inspection
from uss_ray.audio.ogg import page_checksum
from uss_ray.audio.ogg_streams import inspect_ogg, last_granule
from uss_ray.audio.splice import SplicedFile


def encoded(frames: int = 20_000, *, subtype: str = "VORBIS", rate: int = 48_000) -> bytes:
    file = io.BytesIO()
    sound = 0.1 * np.random.default_rng(frames).standard_normal(frames)
    soundfile.write(file, sound, rate, format="OGG", subtype=subtype)
    return file.getvalue()


def inspected(content: bytes) -> Inspection:
    return inspect_ogg(io.BytesIO(content), file_bytes=len(content))


def shown(content: bytes, found: Inspection, place: int = 0) -> bytes:
    return SplicedFile(io.BytesIO(content), found.streams[place].pieces).read(1 << 30)


def left_open(content: bytes) -> bytes:
    """The last page does not say that it is the last, and its checksum is right."""
    at = content.rindex(b"OggS")
    page = bytearray(content[at:])
    page[5] &= ~4
    page[22:26] = bytes(4)
    page[22:26] = page_checksum(bytes(page)).to_bytes(4, "little")
    return content[:at] + bytes(page)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_a_whole_stream_is_read_as_it_is(subtype: str) -> None:
    assert inspected(encoded(subtype=subtype)) == Inspection()


def test_junk_behind_the_last_page_is_left_out() -> None:
    content = encoded()
    assert shown(content + b"junk", inspected(content + b"junk")) == content


@pytest.mark.parametrize("cut", [1, 3000])
def test_a_stream_that_ends_within_a_page_is_a_fault(cut: int) -> None:
    content = encoded()[:-cut]
    assert inspected(content).fault == (
        "an end-of-stream page",
        f"a stream cut off after {len(content)} bytes",
    )


def test_a_stream_off_the_air_is_shown_as_if_it_ended() -> None:
    content = encoded()
    found = inspected(left_open(content))
    assert found.notes == ("no page says that it is the last: read to the end of the file",)
    assert shown(left_open(content), found) == content


def test_streams_one_behind_the_other_are_told_apart() -> None:
    first, second = encoded(10_000), encoded(15_000)
    found = inspected(first + second)
    assert [shown(first + second, found, place) for place in (0, 1)] == [first, second]


def test_an_opus_stream_of_a_full_band_is_decoded_at_the_full_rate_whatever_its_header_notes() -> None:
    content = encoded(subtype="OPUS")
    at = content.index(b"OpusHead") + 12
    noted = bytearray(content)
    noted[at : at + 4] = (8000).to_bytes(4, "little")
    found = inspected(bytes(noted))
    head = shown(bytes(noted), found)
    assert int.from_bytes(head[at : at + 4], "little") == 48_000
    assert head == content, "but for the checksum, which is made anew"


def test_what_libsndfile_does_not_decode_is_for_ffmpeg() -> None:
    content = bytearray(encoded())
    at = content.index(b"\x01vorbis")
    content[at : at + 7] = b"\x7fFLAC\1\0"
    found = inspected(bytes(content))
    assert found.is_for_ffmpeg
    assert found.fault is None


def test_the_last_page_says_where_the_one_stream_ends() -> None:
    whole = encoded(20_000)
    assert last_granule(io.BytesIO(whole), file_bytes=len(whole)) == 20_000
    joined = whole + encoded(10_000)
    assert last_granule(io.BytesIO(joined), file_bytes=len(joined)) is None
    assert last_granule(io.BytesIO(b""), file_bytes=0) is None
