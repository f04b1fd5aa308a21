"""The sound of an MP4 comes out whole, without the encoder's lead-in; every broken one is a one-line error."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.memory import least_peak_bytes
from tests.mp4 import encoded_mp4, silent_video
from uss_ray.audio.codec import AudioSpec, open_recording, stem_subtype
from uss_ray.audio.mp4_header import boxes
from uss_ray.errors import RecordingError

pytest.importorskip("av")

RATE = 44100
LEAD_IN = 1024  # of FFmpeg's encoder, in samples
LAYOUTS = {
    "table last": {},
    "table first": {"movflags": "faststart"},
    "fragments": {"movflags": "frag_keyframe+delay_moov", "frag_duration": "500000"},
    "dash": {"movflags": "dash+frag_keyframe+delay_moov", "frag_duration": "500000"},
}


def noise(frames: int, *, channels: int = 1) -> NDArray[np.float32]:
    """Low noise, which a cross-correlation has one peak in and a coder keeps most of."""
    rng = np.random.default_rng(frames)
    white = rng.standard_normal((channels, frames + 31))
    smooth = np.stack([np.convolve(row, np.hanning(32), "valid") for row in white])
    return (0.05 * smooth).astype(np.float32)


def decoded(content: bytes, *, block_frames: int = 3000) -> NDArray[np.float32]:
    with open_recording(io.BytesIO(content), name="clip") as reader:
        return np.concatenate(list(reader.blocks(block_frames)), axis=1)


def spec(content: bytes) -> AudioSpec:
    with open_recording(io.BytesIO(content), name="clip") as reader:
        return reader.spec


def reason(content: bytes) -> str:
    with pytest.raises(RecordingError) as caught:
        decoded(content)
    text = str(caught.value)
    assert text.startswith("clip: expected ")
    assert "\n" not in text
    return text


def shift(estimate: NDArray[np.float32], source: NDArray[np.float32]) -> int:
    """By how many samples the estimate comes late, where the cross-correlation is largest."""
    size = 2 * len(source)
    product = np.fft.rfft(estimate, size) * np.conj(np.fft.rfft(source, size))
    peak = int(np.fft.irfft(product, size).argmax())
    return peak if peak < len(source) else peak - size


def inserted(content: bytes, path: Sequence[bytes], added: bytes) -> bytes:
    """Put bytes at the end of a box, and let the boxes around it grow; nothing behind may be pointed at."""
    changed, file = bytearray(content), io.BytesIO(content)
    start, stop = 0, len(content)
    for kind in path:
        box = next(box for box in boxes(file, start=start, stop=stop) if box.kind == kind)
        size_at = box.start - 8
        changed[size_at : box.start - 4] = struct.pack(">I", box.stop - size_at + len(added))
        start, stop = box.start + (4 if kind == b"meta" else 0), box.stop
    changed[stop:stop] = added
    return bytes(changed)


def with_edits(content: bytes, edits: Sequence[tuple[int, int]], *, speed: int = 1) -> bytes:
    """Replace the one edit of a file by others: length in milliseconds, start in samples."""
    ticks = struct.unpack_from(">I", content, content.index(b"mvhd") + 16)[
        0
    ]  # FFmpeg's muxers differ in them
    rows = [struct.pack(">IiHH", length * ticks // 1000, start, speed, 0) for length, start in edits]
    grown = bytearray(inserted(content, (b"moov", b"trak", b"edts", b"elst"), b"".join(rows[1:])))
    at = grown.index(b"elst") + 8
    grown[at : at + 16] = struct.pack(">I", len(rows)) + rows[0]
    return bytes(grown)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 32000, 44100, 48000])
@pytest.mark.parametrize("frames", [5, 1024, 30000, 41987])
def test_as_many_samples_come_out_as_went_in_and_none_is_late(channels: int, rate: int, frames: int) -> None:
    source = noise(frames, channels=channels)
    content = encoded_mp4(source, rate=rate)
    assert spec(content) == AudioSpec(rate, channels, frames, format="MP4", subtype="AAC", decoder="FFmpeg")
    found = decoded(content)
    assert found.shape == (channels, frames)
    if frames > 2000:
        assert [shift(*pair) for pair in zip(found, source, strict=True)] == [0] * channels
        assert np.corrcoef(found[0], source[0])[0, 1] > 0.95


def test_lossless_sound_comes_out_as_it_went_in() -> None:
    source = noise(30000, channels=2)
    content = encoded_mp4(source, rate=RATE, coding="alac")
    np.testing.assert_allclose(decoded(content), source, atol=2.0**-22)
    assert stem_subtype(spec(content).subtype, stem_format="flac") == "PCM_24"


def test_stems_of_aac_have_sixteen_bits() -> None:
    assert stem_subtype(spec(encoded_mp4(noise(3000), rate=RATE)).subtype, stem_format="flac") == "PCM_16"


def test_blocks_are_the_same_samples_whatever_their_length_and_again_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "recording.m4a"
    path.write_bytes(encoded_mp4(noise(RATE, channels=2), rate=RATE))
    with open_recording(path) as reader:
        next(reader.blocks(100))
        blocks = list(reader.blocks(10000))
        assert [block.shape for block in blocks] == [(2, 10000)] * 4 + [(2, 4100)]
        assert all(block.dtype == np.float32 and block.flags.c_contiguous for block in blocks)
        whole = np.concatenate(blocks, axis=1)
        for block_frames in (777, 1 << 20):
            assert np.array_equal(np.concatenate(list(reader.blocks(block_frames)), axis=1), whole)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_holds_the_same_sound(layout: str) -> None:
    source = noise(100_000)
    found = decoded(encoded_mp4(source, rate=RATE, muxer=LAYOUTS[layout]))
    # The headers of fragments do not tell the length to the sample.
    assert 0 <= found.shape[1] - 100_000 < (1 if layout.startswith("table") else LEAD_IN)
    assert np.array_equal(found[:, :100_000], decoded(encoded_mp4(source, rate=RATE)))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kept", [0.01, 0.3, 0.7, 0.95])
def test_every_layout_cut_off_is_noticed(layout: str, kept: float) -> None:
    content = encoded_mp4(noise(100_000), rate=RATE, muxer=LAYOUTS[layout])
    reason(content[: int(len(content) * kept)])


def test_a_file_without_an_edit_list_is_played_from_its_first_packet() -> None:
    source = noise(30000)
    plain = encoded_mp4(source, rate=RATE, muxer={"use_editlist": "0"})
    found = decoded(plain)
    assert found.shape[1] == LEAD_IN + 30000
    assert np.array_equal(found[:, LEAD_IN:], decoded(encoded_mp4(source, rate=RATE)))


@pytest.mark.parametrize(
    ("edits", "kept"),
    [
        ([(500, LEAD_IN)], [(0, 22050)]),
        ([(500, LEAD_IN + 7000)], [(7000, 29050)]),
        ([(9000, LEAD_IN + 7000)], [(7000, 60000)]),
        ([(250, -1), (500, LEAD_IN)], [(0, 22050)]),
        ([(200, LEAD_IN), (100, LEAD_IN + 20000)], [(0, 8820), (20000, 24410)]),
    ],
)
def test_the_edit_list_says_what_is_heard(edits: list[tuple[int, int]], kept: list[tuple[int, int]]) -> None:
    content = encoded_mp4(noise(60000), rate=RATE)
    edited = with_edits(content, edits)
    whole = decoded(content)
    expected = np.concatenate([whole[:, start:stop] for start, stop in kept], axis=1)
    assert spec(edited).frames == expected.shape[1]
    assert np.array_equal(decoded(edited), expected)


@pytest.mark.parametrize(
    ("edits", "speed", "said"),
    [
        ([(200, 20000), (100, LEAD_IN)], 1, "goes back in time"),
        ([(200, LEAD_IN)], 2, "changes the speed"),
        ([(200, -7)], 1, "changes the speed"),
    ],
)
def test_an_edit_list_that_cannot_be_followed_is_an_error(
    edits: list[tuple[int, int]], speed: int, said: str
) -> None:
    assert said in reason(with_edits(encoded_mp4(noise(60000), rate=RATE), edits, speed=speed))


def test_a_note_of_itunes_stands_in_for_an_edit_list() -> None:
    content = encoded_mp4(noise(60000), rate=RATE)
    text = f" 00000000 {LEAD_IN:08X} 000001CA {60000:016X} 00000000".encode()
    parts = [
        b"\0\0\0\0com.apple.iTunes", b"\0\0\0\0iTunSMPB", struct.pack(">II", 1, 0) + text
    ]  # fmt: skip
    body = b"".join(
        struct.pack(">I4s", 8 + len(part), kind) + part
        for kind, part in zip((b"mean", b"name", b"data"), parts, strict=True)
    )
    note = struct.pack(">I4s", 8 + len(body), b"----") + body
    noted = inserted(content, (b"moov", b"udta", b"meta", b"ilst"), note).replace(b"edts", b"free")
    assert spec(noted).frames == 60000
    assert np.array_equal(decoded(noted), decoded(content))


def test_a_long_recording_is_read_in_bounded_memory() -> None:
    content = encoded_mp4(np.tile(noise(80_000), 8), rate=8000)
    whole_bytes = 8 * 80_000 * 4

    def read() -> None:
        with open_recording(io.BytesIO(content), name="clip") as reader:
            assert sum(block.shape[1] for block in reader.blocks(8000)) == 8 * 80_000

    assert least_peak_bytes(read) < whole_bytes / 2


def test_damage_in_the_middle_is_an_error() -> None:
    content = bytearray(encoded_mp4(noise(4 * RATE), rate=RATE))
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    assert "decodable audio after " in reason(bytes(content))


@pytest.mark.parametrize("stated", [0, RATE, 2**32 - 1])
@pytest.mark.parametrize("coding", ["aac", "alac"])
def test_a_track_header_that_lies_costs_no_sound(coding: str, stated: int) -> None:
    content = encoded_mp4(noise(3 * RATE), rate=RATE, coding=coding)
    with open_recording(io.BytesIO(content), name="clip") as reader:
        meant = np.concatenate(list(reader.blocks(5000)), axis=1)
        assert reader.spec.note is None
    at = content.index(b"mdhd") + 20
    lying = content[:at] + stated.to_bytes(4, "big") + content[at + 4 :]
    with open_recording(io.BytesIO(lying), name="clip") as reader:
        found = np.concatenate(list(reader.blocks(5000)), axis=1)
        assert reader.frames == meant.shape[1]
        assert ("packets last" in str(reader.spec.note)) == (stated < 2**32 - 1)
    assert np.array_equal(found, meant)


def test_a_picture_without_sound_is_no_recording() -> None:
    assert "without a sound track" in reason(silent_video())


def test_boxes_full_of_nothing_are_an_error() -> None:
    content = encoded_mp4(noise(3000), rate=RATE)
    for kind in (b"mvhd", b"trak", b"stsd", b"mdhd", b"hdlr", b"stsz"):
        reason(content.replace(kind, b"free"))


def test_a_fault_of_the_file_is_not_taken_for_its_end() -> None:
    class Unplugged(io.BytesIO):
        broken = False

        def read(self, count: int | None = -1) -> bytes:
            if self.broken:
                raise ConnectionResetError(104, "Connection reset by peer")
            return super().read(count)

    file = Unplugged(encoded_mp4(np.tile(noise(RATE), 30), rate=RATE))
    with open_recording(file, name="clip") as reader:
        blocks = reader.blocks(4000)
        next(blocks)
        file.broken = True
        with pytest.raises(RecordingError, match="Connection reset by peer") as caught:
            list(blocks)
    assert isinstance(caught.value.__cause__, ConnectionResetError)
