from __future__ import annotations

import io
import struct

import pytest

from uss_ray.audio.mpeg_audio import FrameHeader, MpegAudio, after_id3, inspect_mpeg, parse

LAYER_3 = bytes.fromhex("fffb9064")  # MPEG 1, 128 kbit/s, 44100 Hz, joint stereo
FRAME_BYTES = 417  # 144 * 128000 / 44100


def frame(head: bytes = LAYER_3) -> bytes:
    found = parse(head)
    assert found is not None
    return head.ljust(found.size, b"\0")


def info_frame(*, frames: int, byte_count: int) -> bytes:
    note = b"Info" + (3).to_bytes(4, "big") + frames.to_bytes(4, "big") + byte_count.to_bytes(4, "big")
    return (LAYER_3 + bytes(32) + note).ljust(FRAME_BYTES, b"\0")


def inspected(content: bytes) -> MpegAudio:
    found = inspect_mpeg(io.BytesIO(content))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("raw", "layer", "rate", "is_mono", "size", "samples", "side_info"),
    [
        ("fffb9064", 3, 44_100, False, 417, 1152, 32),
        ("fffb9264", 3, 44_100, False, 418, 1152, 32),  # padded
        ("fffb90c4", 3, 44_100, True, 417, 1152, 17),
        ("fff340c4", 3, 22_050, True, 104, 576, 9),  # MPEG 2, 32 kbit/s: 72 * 32000 / 22050
        ("ffe340c4", 3, 11_025, True, 208, 576, 9),  # MPEG 2.5
        ("fffda404", 2, 48_000, False, 576, 1152, 32),  # 192 kbit/s: 144 * 192000 / 48000
        ("ffff9404", 1, 48_000, False, 288, 384, 32),  # 288 kbit/s: 4 * (12 * 288000 / 48000)
    ],
)
def test_a_frame_is_understood_by_its_first_bytes(
    raw: str, layer: int, rate: int, is_mono: bool, size: int, samples: int, side_info: int
) -> None:
    found = parse(bytes.fromhex(raw))
    assert isinstance(found, FrameHeader)
    assert (found.layer, found.sample_rate, found.is_mono) == (layer, rate, is_mono)
    assert (found.size, found.samples, found.side_info_bytes) == (size, samples, side_info)


@pytest.mark.parametrize(
    "raw", ["fffb", "fefb9064", "ffeb9064", "fff99064", "fffb0064", "fffbf064", "fffb9c64"]
)
def test_what_is_no_frame_is_none(raw: str) -> None:
    assert parse(bytes.fromhex(raw)) is None


def test_tags_before_the_sound_are_passed_over() -> None:
    plain = b"ID3\4\0\0" + bytes([0, 0, 1, 2]) + bytes(130)
    with_footer = b"ID3\4\0\x10" + bytes([0, 0, 0, 5]) + bytes(15)
    assert after_id3(io.BytesIO(plain + with_footer + LAYER_3)) == 140 + 25
    assert after_id3(io.BytesIO(LAYER_3 * 4)) == 0


def test_no_frames_are_none() -> None:
    assert inspect_mpeg(io.BytesIO(bytes(5000))) is None


def test_without_a_length_header_the_decoder_gets_one_and_no_junk() -> None:
    found = inspected(bytes(100) + 10 * frame() + b"TAG".ljust(128, b"\0"))
    (stream,) = found.streams
    head, sound = stream.pieces
    assert isinstance(head, bytes)
    assert b"Xing" + (1).to_bytes(4, "big") + (10).to_bytes(4, "big") in head
    assert sound == range(100, 100 + 10 * FRAME_BYTES)
    assert (stream.frames, found.notes, found.fault) == (None, (), None)


def test_a_length_header_that_holds_is_believed() -> None:
    content = info_frame(frames=10, byte_count=11 * FRAME_BYTES) + 10 * frame()
    assert inspected(content).streams[0].pieces == (range(len(content)),)


def test_frames_behind_the_stated_end_are_counted_and_told() -> None:
    content = info_frame(frames=5, byte_count=6 * FRAME_BYTES) + 20 * frame()
    found = inspected(content)
    assert found.notes == ("the MP3's length header says 5 frames, there are 20",)
    head, sound = found.streams[0].pieces
    assert isinstance(head, bytes)
    assert b"Xing" + (1).to_bytes(4, "big") + (20).to_bytes(4, "big") in head
    assert sound == range(FRAME_BYTES, 21 * FRAME_BYTES)


@pytest.mark.parametrize("stated", [19, 21])
def test_a_count_that_is_one_off_is_set_right_without_a_word(stated: int) -> None:
    content = info_frame(frames=stated, byte_count=21 * FRAME_BYTES) + 20 * frame()
    found = inspected(content)
    assert (found.notes, found.fault) == ((), None)
    assert b"Xing" + (1).to_bytes(4, "big") + (20).to_bytes(4, "big") in bytes(found.streams[0].pieces[0])


@pytest.mark.parametrize("lost", [100, FRAME_BYTES, 5 * FRAME_BYTES])
def test_frames_that_are_missing_are_a_fault(lost: int) -> None:
    content = info_frame(frames=20, byte_count=21 * FRAME_BYTES) + 20 * frame()
    found = inspected(content[:-lost])
    count = 20 - -(-lost // FRAME_BYTES)
    assert found.fault == ("20 MPEG frames, as the header says", f"{count}, the rest is cut off")
    content = content[: 10 * FRAME_BYTES] + content[10 * FRAME_BYTES + lost :]
    assert (inspected(content).fault is None) == (lost == 0)


@pytest.mark.parametrize("first", ["", "frames stated", "none stated"])
def test_what_lies_between_frames_is_left_out_and_told(first: str) -> None:
    head = {"": b"", "frames stated": info_frame(frames=20, byte_count=21 * FRAME_BYTES)}.get(
        first, info_frame(frames=0, byte_count=0)
    )
    found = inspected(head + 8 * frame() + 700 * b"\xff\xfb" + 12 * frame())
    at = len(head)
    assert found.streams[0].pieces[1:] == (
        range(at, at + 8 * FRAME_BYTES),
        range(at + 8 * FRAME_BYTES + 1400, at + 20 * FRAME_BYTES + 1400),
    )
    assert b"Xing" + (1).to_bytes(4, "big") + (20).to_bytes(4, "big") in bytes(found.streams[0].pieces[0])
    assert found.notes == (
        "1400 bytes within the MPEG stream are no frames and were left out: 1400 at 0.2 s",
    )
    assert found.fault is None


def test_sound_behind_megabytes_of_zeros_is_not_lost() -> None:
    found = inspected(10 * frame() + bytes(3 << 20) + 10 * frame())
    assert found.streams[0].pieces[-1] == range(10 * FRAME_BYTES + (3 << 20), 20 * FRAME_BYTES + (3 << 20))
    assert len(found.notes) == 1


def test_one_damaged_header_is_no_change_of_channels() -> None:
    mono = bytes([*LAYER_3[:3], 0xC4])
    found = inspected(10 * frame() + frame(mono) + 10 * frame())
    assert found.fault is None
    assert found.streams[0].pieces[1:] == (range(10 * FRAME_BYTES), range(11 * FRAME_BYTES, 21 * FRAME_BYTES))


def test_tags_between_joined_streams_are_left_out_without_a_word() -> None:
    ape = b"APETAGEX" + struct.pack("<IIIIQ", 2000, 532, 1, 0xA0000000, 0) + bytes(500)
    ape += b"APETAGEX" + struct.pack("<IIIIQ", 2000, 532, 1, 0x80000000, 0)
    id3 = b"ID3\4\0\0" + bytes([0, 0, 1, 2]) + bytes(130)
    tags = ape + b"TAG".ljust(128, b"\0") + id3
    found = inspected(10 * frame() + tags + 10 * frame())
    assert found.notes == ()
    assert [len(piece) for piece in found.streams[0].pieces[1:]] == [10 * FRAME_BYTES, 10 * FRAME_BYTES]


def test_in_layer_2_what_lies_between_frames_is_left_out_too() -> None:
    one = frame(bytes.fromhex("fffda404"))
    (stream,) = inspected(8 * one + bytes(777) + 8 * one).streams
    assert stream.frames == 16 * 1152
    assert stream.pieces[:-1] == (range(8 * len(one)), range(8 * len(one) + 777, 16 * len(one) + 777))


def test_layer_2_is_counted_in_samples_and_ends_in_a_frame_of_silence() -> None:
    one = frame(bytes.fromhex("fffda404"))
    (stream,) = inspected(8 * one).streams
    assert stream.frames == 8 * 1152
    sound, silence = stream.pieces
    assert sound == range(8 * len(one))
    assert silence == one


def test_another_rate_in_the_middle_is_a_fault() -> None:
    found = inspected(10 * frame() + 10 * frame(bytes.fromhex("fffb9464")))
    assert found.streams == ()
    assert found.fault == (
        "MPEG layer III, 44100 Hz, 2 channels throughout",
        "MPEG layer III, 48000 Hz, 2 channels",
    )
