"""Every readable recording comes out whole; every broken one is a one-line error that says what is wrong."""

from __future__ import annotations

import io
import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from tests.memory import least_peak_bytes
from uss_ray.audio.codec import open_recording
from uss_ray.errors import RecordingError

RATE = 16000

# (container, coding, largest error of a round trip); lossy codings are checked for length and rough likeness only.
ENCODINGS = [
    ("WAV", "PCM_U8", 1 / 100),
    ("WAV", "PCM_16", 1 / 32000),
    ("WAV", "PCM_24", 1e-6),
    ("WAV", "PCM_32", 1e-6),
    ("WAV", "FLOAT", 0),
    ("WAV", "DOUBLE", 0),
    ("WAV", "ULAW", 0.05),
    ("WAVEX", "PCM_16", 1 / 32000),
    ("RF64", "PCM_24", 1e-6),
    ("W64", "PCM_16", 1 / 32000),
    ("AIFF", "PCM_16", 1 / 32000),
    ("AU", "PCM_16", 1 / 32000),
    ("CAF", "PCM_16", 1 / 32000),
    ("FLAC", "PCM_16", 1 / 32000),
    ("FLAC", "PCM_24", 1e-6),
    ("OGG", "VORBIS", 0.3),
    ("OGG", "OPUS", 0.5),
    ("MP3", "MPEG_LAYER_III", 0.3),
]


def sound(seconds: float = 1.0, *, rate: int = RATE, channels: int = 1) -> NDArray[np.float32]:
    """A tone with a little noise, (channels, frames): noise keeps compressed frames from becoming tiny."""
    frames = round(seconds * rate)
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(frames) / rate)
    noise = 0.02 * np.random.default_rng(5).standard_normal((channels, frames))
    return (tone + noise).astype(np.float32)


def encoded(
    waveform: NDArray[np.float32], *, format: str = "WAV", subtype: str = "PCM_16", rate: int = RATE
) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, waveform.T, rate, format=format, subtype=subtype)
    return file.getvalue()


def decoded(file: str | Path | io.BytesIO, *, block_frames: int = 4000) -> NDArray[np.float32]:
    with open_recording(file, name=None if isinstance(file, (str, Path)) else "clip") as reader:
        return np.concatenate(list(reader.blocks(block_frames)), axis=1)


def reason(content: bytes, *, block_frames: int = 4000) -> str:
    with pytest.raises(RecordingError) as caught:
        decoded(io.BytesIO(content), block_frames=block_frames)
    text = str(caught.value)
    assert text.startswith("clip: expected ")
    assert "\n" not in text
    return text


@pytest.mark.parametrize(("format", "subtype", "tolerance"), ENCODINGS)
def test_every_encoding_comes_out_whole(format: str, subtype: str, tolerance: float, tmp_path: Path) -> None:
    waveform = sound(channels=2)
    path = tmp_path / "recording"
    path.write_bytes(encoded(waveform, format=format, subtype=subtype))
    with open_recording(path) as reader:
        assert (reader.sample_rate, reader.channels, reader.frames) == (RATE, 2, RATE)
        assert (reader.spec.format, reader.spec.subtype) == (format, subtype)
        blocks = list(reader.blocks(3000))
    assert [block.shape for block in blocks] == [(2, 3000)] * 5 + [(2, 1000)]
    assert all(block.dtype == np.float32 and block.flags.c_contiguous for block in blocks)
    assert np.abs(np.concatenate(blocks, axis=1) - waveform).max() <= tolerance


@pytest.mark.parametrize(("format", "subtype", "tolerance"), ENCODINGS)
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.999])
def test_every_encoding_cut_off_is_noticed(format: str, subtype: str, tolerance: float, kept: float) -> None:
    content = encoded(sound(3.0), format=format, subtype=subtype)
    reason(content[: int(len(content) * kept)])


@pytest.mark.parametrize(
    ("rate", "channels", "frames"),
    [(8000, 1, 8000), (192000, 1, 1920), (44100, 8, 500), (44099, 3, 1), (32000, 1, 1)],
)
@pytest.mark.parametrize("format", ["WAV", "FLAC"])
def test_unusual_rates_channels_and_one_sample_are_fine(
    rate: int, channels: int, frames: int, format: str
) -> None:
    waveform = np.full((channels, frames), 0.25, dtype=np.float32)
    content = encoded(waveform, rate=rate, format=format)
    assert np.array_equal(decoded(io.BytesIO(content)), waveform)


def test_digital_silence_is_fine() -> None:
    assert not decoded(io.BytesIO(encoded(np.zeros((2, 50000), dtype=np.float32), format="FLAC"))).any()


def test_float_samples_beyond_full_scale_are_kept() -> None:
    loud = np.array([[2.5, -7.0, 0.5]], dtype=np.float32)
    assert np.array_equal(decoded(io.BytesIO(encoded(loud, subtype="FLOAT"))), loud)


@pytest.mark.parametrize(
    "name", ["two  spaces.wav", "птица.flac", "鳥の声 🐦.wav", "a::b#c?*.wav", "no_ending", "x.raw"]
)
def test_any_name_is_fine(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(encoded(sound(0.1)))
    assert decoded(path).shape == (1, 1600)


def test_a_name_that_is_no_text_is_fine(tmp_path: Path) -> None:
    path = os.path.join(os.fsencode(tmp_path), b"\xff\xfe.wav")
    try:
        Path(os.fsdecode(path)).write_bytes(encoded(sound(0.1)))
    except OSError:
        pytest.skip("this file system takes text names only")
    assert decoded(os.fsdecode(path)).shape == (1, 1600)


def test_blocks_can_be_read_again_from_the_start() -> None:
    waveform = sound()
    with open_recording(io.BytesIO(encoded(waveform, subtype="FLOAT")), name="clip") as reader:
        next(reader.blocks(100))
        for _ in range(2):
            assert np.array_equal(np.concatenate(list(reader.blocks(7000)), axis=1), waveform)


def test_a_file_object_stays_open_and_a_path_is_closed(tmp_path: Path) -> None:
    file = io.BytesIO(encoded(sound(0.1)))
    decoded(file)
    assert not file.closed
    path = tmp_path / "a.wav"
    path.write_bytes(file.getvalue())
    with open_recording(path) as reader:
        list(reader.blocks(100))
    assert reader._file.closed


def test_a_long_recording_is_read_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    hour_frames = 3600 * 8000
    header = encoded(np.zeros((1, 1), dtype=np.float32), rate=8000)[:44]
    with open(path, "wb") as file:
        file.write(header[:40] + struct.pack("<I", hour_frames * 2))
        file.truncate(44 + hour_frames * 2)

    def read() -> None:
        with open_recording(path) as reader:
            assert sum(block.shape[1] for block in reader.blocks(80000)) == hour_frames

    assert least_peak_bytes(read, tries=1) < hour_frames  # a quarter of its samples


@pytest.mark.parametrize("data_bytes", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0])
@pytest.mark.parametrize("riff_bytes", [0xFFFFFFFF, 0])
def test_a_wav_written_to_a_pipe_plays_to_its_end(data_bytes: int, riff_bytes: int) -> None:
    waveform = sound()
    content = bytearray(encoded(waveform))
    content[4:8] = struct.pack("<I", riff_bytes)
    content[40:44] = struct.pack("<I", data_bytes)
    assert np.abs(decoded(io.BytesIO(content)) - waveform).max() < 1 / 32000


def test_a_flac_of_open_length_plays_to_its_end() -> None:
    waveform = sound()
    content = bytearray(encoded(waveform, format="FLAC"))
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    with open_recording(io.BytesIO(content), name="clip") as reader:
        assert reader.frames is None
        assert sum(block.shape[1] for block in reader.blocks(999)) == RATE
    assert "decodable audio after" in reason(bytes(content[:-200]))


@pytest.mark.parametrize("tag", [b"", b"ID3\x04\x00\x00\x00\x00\x01\x00" + bytes(128)])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 24000, 48000])
@pytest.mark.parametrize("loud_first", [True, False])
def test_a_variable_rate_mp3_without_a_length_plays_to_its_end(
    tag: bytes, channels: int, rate: int, loud_first: bool
) -> None:
    loud = 0.3 * np.random.default_rng(1).standard_normal((channels, 2 * rate)).astype(np.float32)
    parts = [loud, np.zeros_like(loud)]
    content = encoded(
        np.concatenate(parts if loud_first else parts[::-1], axis=1),
        format="MP3",
        subtype="MPEG_LAYER_III",
        rate=rate,
    )
    assert b"Xing" in content[:64]
    second_frame = content.index(content[:2], 4)
    with open_recording(io.BytesIO(tag + content[second_frame:]), name="clip") as reader:
        seen_frames = sum(block.shape[1] for block in reader.blocks(rate))
        assert reader.frames == seen_frames
    assert abs(seen_frames - 4 * rate) < 3000


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        RecordingError, match=r"gone\.wav: expected a readable audio file, found no such file"
    ):
        open_recording(tmp_path / "gone.wav")


def test_a_folder_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="found a folder"):
        open_recording(tmp_path)


def test_a_device_is_no_recording() -> None:
    with pytest.raises(RecordingError, match="not a regular file"):
        open_recording("/dev/zero")


def test_a_name_with_a_zero_byte_is_a_recording_error() -> None:
    with pytest.raises(RecordingError, match="null byte"):
        open_recording("a\0b.wav")


def test_an_empty_file_is_called_empty() -> None:
    assert "an empty file (0 bytes)" in reason(b"")


@pytest.mark.parametrize(
    "content",
    [
        b"hello world\n" * 5000,
        bytes(100000),
        b"PK\x03\x04" + bytes(3000),
        b"RIFF",
        b"fLaC",
        b"OggS",
        b"RIFF\x00\x00\x00\x00WAVE" + bytes(100000),
        np.random.default_rng(1).bytes(200000),
    ],
    ids=["text", "zeros", "zip", "RIFF", "fLaC", "OggS", "empty WAV", "noise"],
)
def test_what_is_not_audio_is_an_error(content: bytes) -> None:
    reason(content)


def test_an_mp4_says_what_to_install_where_nothing_decodes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    boxes = [(b"ftyp", b"M4A " + bytes(12)), (b"mdat", bytes(100)), (b"moov", b"")]
    content = b"".join(struct.pack(">I4s", 8 + len(body), kind) + body for kind, body in boxes)
    assert "pip install 'uss-ray[media]'" in reason(content)


@pytest.mark.parametrize("format", ["WAV", "RF64", "AIFF", "W64"])
def test_a_header_without_samples_is_an_error(format: str) -> None:
    content = encoded(np.zeros((1, 0), dtype=np.float32), format=format)
    assert "a header with 0 samples" in reason(content)


def test_an_empty_flac_is_an_error() -> None:
    reason(encoded(np.zeros((1, 0), dtype=np.float32), format="FLAC"))


@pytest.mark.parametrize(("bad", "word"), [(np.nan, "NaN"), (np.inf, "Inf"), (-np.inf, "Inf")])
def test_a_sample_that_is_no_number_is_named_with_its_second(bad: float, word: str) -> None:
    waveform = sound(2.0, channels=2)
    waveform[1, 24000] = bad
    assert f"found {word} at 1.500 s" in reason(encoded(waveform, subtype="FLOAT"))


@pytest.mark.parametrize("format", ["FLAC", "MP3", "OGG"])
def test_damage_in_the_middle_is_an_error(format: str) -> None:
    subtype = {"FLAC": "PCM_16", "MP3": "MPEG_LAYER_III", "OGG": "VORBIS"}[format]
    content = bytearray(encoded(sound(4.0), format=format, subtype=subtype))
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    reason(bytes(content))


def test_damage_is_named_with_its_second() -> None:
    content = bytearray(encoded(sound(4.0), format="FLAC"))
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    assert "decodable audio after 1.5 s" in reason(bytes(content), block_frames=RATE // 2)


def test_a_fault_of_the_file_is_not_taken_for_its_end() -> None:
    class Unplugged(io.BytesIO):
        def readinto(self, buffer: object) -> int:
            raise AssertionError("not asked for")

        def read(self, count: int | None = -1) -> bytes:
            if self.tell() > 60000:
                raise ConnectionResetError(104, "Connection reset by peer")
            return super().read(count)

    reader = open_recording(Unplugged(encoded(sound(4.0))), name="clip")
    with pytest.raises(RecordingError, match="Connection reset by peer") as caught:
        list(reader.blocks(4000))
    assert isinstance(caught.value.__cause__, ConnectionResetError)


def test_a_block_without_samples_is_refused() -> None:
    reader = open_recording(io.BytesIO(encoded(sound(0.1))), name="clip")
    with pytest.raises(ValueError, match="1 or more"):
        next(reader.blocks(0))
