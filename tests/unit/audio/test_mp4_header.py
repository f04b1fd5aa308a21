"""Boxes built here by hand; whole files from an encoder are in `test_mp4`."""

from __future__ import annotations

import io
import struct

import pytest

from uss_ray.audio.mp4_header import Box, RecordedSpans, boxes, is_mp4, length_note, recorded_spans

RATE = 44_100
NORMAL = (1, 0)


def box(kind: bytes, *bodies: bytes) -> bytes:
    body = b"".join(bodies)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def header(kind: bytes, *, timescale: int, ticks: int, version: int = 0) -> bytes:
    form = ">IQQIQ" if version else ">IIIII"
    return box(kind, struct.pack(form, version << 24, 0, 0, timescale, ticks) + bytes(20))


def table_of(packets: tuple[tuple[int, int], ...], *, counted: int | None) -> bytes:
    """List packets as so many of so many ticks each; another table counts them."""
    times = struct.pack(">II", 0, len(packets)) + b"".join(struct.pack(">II", *entry) for entry in packets)
    counted = sum(count for count, _ in packets) if counted is None else counted
    sizes = box(b"stsz", struct.pack(">III", 0, 100, counted))
    return box(b"minf", box(b"stbl", box(b"stts", times), sizes))


def movie(
    *edits: tuple[int, int, tuple[int, int]],
    ticks: int = 100_000,
    movie_timescale: int = 1000,
    handler: bytes = b"soun",
    version: int = 0,
    extra: bytes = b"",
    packets: tuple[tuple[int, int], ...] = (),
    counted: int | None = None,
) -> io.BytesIO:
    entry = ">QqHH" if version else ">IiHH"
    listed = struct.pack(">II", version << 24, len(edits)) + b"".join(
        struct.pack(entry, length, start, *speed) for length, start, speed in edits
    )
    media = box(
        b"mdia",
        header(b"mdhd", timescale=RATE, ticks=ticks, version=version),
        box(b"hdlr", bytes(8) + handler + bytes(12)),
        table_of(packets, counted=counted) if packets else b"",
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


PACKETS = ((99, 1024), (1, 500))
PACKED = 99 * 1024 + 500


@pytest.mark.parametrize(
    ("stated", "stop", "is_told"),
    [
        (PACKED, PACKED, False),
        (PACKED - 1000, PACKED - 1000, False),  # the last packet is filled up
        (PACKED + 524, PACKED + 524, False),
        (PACKED // 2, PACKED, True),
        (0, PACKED, True),
        (2 * PACKED, PACKED, True),
        (0xFFFFFFFF, PACKED, False),  # the standard's way to leave it open
    ],
)
def test_a_track_ends_with_its_packets(stated: int, stop: int, is_told: bool) -> None:
    file = movie(ticks=stated, packets=PACKETS)
    assert recorded_spans(file) == RecordedSpans(RATE, [(0, stop)])
    assert (length_note(file) is not None) == is_told


def test_an_edit_cuts_from_packets_as_from_what_is_stated() -> None:
    file = movie((1000, 1024, NORMAL), ticks=2000, packets=PACKETS)
    assert recorded_spans(file) == RecordedSpans(RATE, [(1024, 1024 + RATE)])
    assert length_note(file) == "the header of the sound track says 0.045 s, its packets last 2.310 s"


@pytest.mark.parametrize(
    "packets",
    [((0, 1024),), ((1, 0x80000001), (1, 1024)), ((3, 0),)],
    ids=["none", "backwards", "without a length"],
)
def test_packets_that_make_no_sense_are_not_believed(packets: tuple[tuple[int, int], ...]) -> None:
    assert recorded_spans(movie(packets=packets)) == RecordedSpans(RATE, [(0, 100_000)])


def test_packets_that_another_table_counts_otherwise_are_not_believed() -> None:
    file = movie(ticks=50_000, packets=PACKETS, counted=50)
    assert recorded_spans(file) == RecordedSpans(RATE, [(0, 50_000)])
    cut = file.getvalue().replace(struct.pack(">II", 0, 2), struct.pack(">II", 0, 2**31))
    assert recorded_spans(io.BytesIO(cut)) == RecordedSpans(RATE, [(0, 50_000)])
