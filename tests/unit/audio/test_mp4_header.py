"""Boxes built here by hand; whole files from an encoder are in `test_mp4`."""

from __future__ import annotations

import io
import struct

import pytest

from uss_ray.audio.mp4_header import Box, RecordedSpans, boxes, is_mp4, recorded_spans

RATE = 44_100
NORMAL = (1, 0)


def box(kind: bytes, *bodies: bytes) -> bytes:
    body = b"".join(bodies)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def header(kind: bytes, *, timescale: int, ticks: int, version: int = 0) -> bytes:
    form = ">IQQIQ" if version else ">IIIII"
    return box(kind, struct.pack(form, version << 24, 0, 0, timescale, ticks) + bytes(20))


def movie(
    *edits: tuple[int, int, tuple[int, int]],
    ticks: int = 100_000,
    movie_timescale: int = 1000,
    handler: bytes = b"soun",
    version: int = 0,
    extra: bytes = b"",
) -> io.BytesIO:
    entry = ">QqHH" if version else ">IiHH"
    listed = struct.pack(">II", version << 24, len(edits)) + b"".join(
        struct.pack(entry, length, start, *speed) for length, start, speed in edits
    )
    media = box(
        b"mdia",
        header(b"mdhd", timescale=RATE, ticks=ticks, version=version),
        box(b"hdlr", bytes(8) + handler + bytes(12)),
    )
    track = box(b"trak", box(b"edts", box(b"elst", listed)) if edits else b"", media)
    return io.BytesIO(
        box(b"ftyp", b"M4A ")
        + box(b"moov", header(b"mvhd", timescale=movie_timescale, ticks=0, version=version), track, extra)
    )


def test_boxes_lie_beside_one_another_in_all_three_sizes() -> None:
    long = struct.pack(">I4sQ", 1, b"long", 20) + b"abcd"
    content = box(b"free", b"xy") + long + struct.pack(">I4s", 0, b"rest") + b"to the end"
    assert list(boxes(io.BytesIO(content))) == [
        Box(b"free", 8, 10),
        Box(b"long", 26, 30),
        Box(b"rest", 38, len(content)),
    ]
    assert list(boxes(io.BytesIO(content), stop=10)) == [Box(b"free", 8, 10)]


def test_a_box_smaller_than_its_head_ends_the_walk() -> None:
    assert list(boxes(io.BytesIO(box(b"free") + struct.pack(">I4s", 7, b"nono") + bytes(40)))) == [
        Box(b"free", 8, 8)
    ]


@pytest.mark.parametrize(
    ("kind", "answer"), [(b"ftyp", True), (b"mdat", True), (b"RIFF", False), (b"", False)]
)
def test_the_first_box_tells_what_a_file_is(kind: bytes, answer: bool) -> None:
    assert is_mp4(io.BytesIO(b"\0\0\0\x08" + kind)) is answer


@pytest.mark.parametrize("version", [0, 1])
def test_an_edit_cuts_lead_in_and_padding(version: int) -> None:
    file = movie((1000, 1024, NORMAL), version=version)
    assert recorded_spans(file) == RecordedSpans(RATE, [(1024, 1024 + RATE)])


def test_an_edit_to_within_a_tick_of_the_movie_ends_with_the_track() -> None:
    ticks = 1024 + 44_099  # 999.977 ms of sound
    assert recorded_spans(movie((1000, 1024, NORMAL), ticks=ticks)).spans == [(1024, ticks)]


def test_an_edit_that_shows_nothing_is_left_out() -> None:
    assert recorded_spans(movie((500, -1, NORMAL), (1000, 0, NORMAL))).spans == [(0, RATE)]


def test_no_edits_are_the_whole_track() -> None:
    assert recorded_spans(movie()).spans == [(0, 100_000)]


def test_fragments_leave_the_end_open() -> None:
    assert recorded_spans(movie((0, 1024, NORMAL), extra=box(b"mvex"))).spans == [(1024, None)]


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (movie((1000, 50_000, NORMAL), (1000, 0, NORMAL)), "goes back in time"),
        (movie((1000, 0, (2, 0))), "changes the speed"),
        (movie(handler=b"vide"), "without a sound track"),
        (movie(movie_timescale=0), "without a time scale"),
        (io.BytesIO(box(b"ftyp")), "without a sound track"),
    ],
)
def test_what_cannot_be_followed_is_an_error(file: io.BytesIO, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        recorded_spans(file)


def test_more_edits_than_the_list_has_room_for_are_an_error() -> None:
    content = movie((1000, 0, NORMAL)).getvalue()
    at = content.index(b"elst") + 8
    with pytest.raises(ValueError, match="an edit list of 9 edits"):
        recorded_spans(io.BytesIO(content[:at] + (9).to_bytes(4, "big") + content[at + 4 :]))
