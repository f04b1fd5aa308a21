"""Recordings as people really have them: each comes out with its length, its offset and its gain, or says what to do.

The sound is known, so what comes out is compared with it: an impulse stands where it was put, and is as high.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from tests.memory import least_peak_bytes
from tests.odd_files import TELEPHONE, aac_cookie, caf_of_packets, encoded_media, packets_of, repacked
from uss_ray.audio.codec import AudioSpec, open_recording
from uss_ray.errors import RecordingError

RATE = 44100
FRAMES = 40_000
Floats = NDArray[np.float32]


def sound(frames: int = FRAMES, *, channels: int = 1, seed: int = 1) -> Floats:
    """Noise that every coder keeps most of, so that a cross-correlation has one peak."""
    white = np.random.default_rng(seed).standard_normal((channels, frames + 31))
    smooth = np.stack([np.convolve(row, np.hanning(32), "valid") for row in white])
    return (0.04 * smooth).astype(np.float32)


def encoded(waveform: Floats, format: str = "WAV", subtype: str | None = "PCM_16", rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, waveform.T, rate, format=format, subtype=subtype)
    return file.getvalue()


def read(content: bytes, *, strict: bool = False) -> tuple[AudioSpec, Floats]:
    with open_recording(io.BytesIO(content), name="clip", strict=strict) as reader:
        return reader.spec, np.concatenate(list(reader.blocks(4099)), axis=1)


def reason(content: bytes, *, strict: bool = False) -> str:
    with pytest.raises(RecordingError) as caught:
        read(content, strict=strict)
    text = str(caught.value)
    assert text.startswith("clip: expected ")
    assert "\n" not in text
    return text


def shift(found: Floats, source: Floats) -> int:
    size = 2 * max(len(found), len(source))
    product = np.fft.rfft(found, size) * np.conj(np.fft.rfft(source, size))
    peak = int(np.fft.irfft(product, size).argmax())
    return peak if peak < size // 2 else peak - size


def gain(found: Floats, source: Floats, late: int) -> float:
    there = found[max(0, late) :][: len(source) - max(0, -late)]
    meant = source[max(0, -late) :][: len(there)]
    return float(np.vdot(there, meant) / np.vdot(meant, meant))


# --- what FFmpeg decodes -------------------------------------------------------------------------------------------

# container, coding, rate, channels, then what the container cannot tell: samples more than went in, samples late
MEDIA = [
    ("adts", "aac", 44100, 2, range(1025, 2049), 1024),
    ("ac3", "ac3", 48000, 2, range(256, 1793), 256),
    ("eac3", "eac3", 48000, 1, range(256, 1793), 256),
    ("wv", "wavpack", 44100, 2, range(1), 0),
    ("tta", "tta", 44100, 1, range(1), 0),
    ("wav", "ac3", 48000, 2, range(256, 1793), 256),
    ("wav", "g722", 16000, 1, range(2), 22),
    ("w64", "ac3", 48000, 2, range(256, 1793), 256),
    ("caf", "alac", 44100, 2, range(1), 0),
    ("caf", "libmp3lame", 44100, 1, range(1), 0),
    ("caf", "adpcm_ima_qt", 44100, 1, range(64), 0),
    ("matroska", "libopus", 48000, 2, range(1), 0),
    ("matroska", "aac", 44100, 1, range(1024), 0),
    ("matroska", "flac", 44100, 2, range(1), 0),
    ("matroska", "pcm_s16le", 44100, 2, range(1), 0),
    ("matroska", "libmp3lame", 44100, 2, range(1), 0),
    ("matroska", "ac3", 48000, 1, range(1536), 0),
    ("webm", "libopus", 48000, 1, range(1), 0),
    ("mp4", "libopus", 48000, 1, range(1), 0),
    ("mp4", "libmp3lame", 44100, 1, range(1), 0),
    ("mp4", "flac", 44100, 1, range(1), 0),
    ("mp4", "ac3", 48000, 1, range(1536), 0),
    ("mov", "aac", 44100, 2, range(1), 0),
    ("mov", "pcm_s16le", 48000, 2, range(1), 0),
    ("mov", "pcm_s24be", 48000, 1, range(1), 0),
    ("mov", "pcm_u8", 8000, 1, range(1), 0),
    ("3gp", "aac", 44100, 1, range(1), 0),
    ("avi", "pcm_s16le", 44100, 2, range(1), 0),
    ("avi", "libmp3lame", 44100, 2, range(1105, 2900), 1105),
    ("avi", "ac3", 48000, 2, range(256, 1793), 256),
    ("avi", "aac", 44100, 1, range(1025, 2049), 1024),
    ("flv", "aac", 44100, 1, range(1025, 2049), 1024),
    ("mpegts", "aac", 44100, 1, range(1025, 2049), 1024),
    ("mpegts", "mp2", 48000, 2, range(1700), 481),
    ("mpeg", "mp2", 48000, 2, range(1700), 481),
    ("ogg", "flac", 44100, 2, range(1), 0),
    ("voc", "pcm_u8", 8000, 1, range(1), 0),
    ("sox", "pcm_s32le", 44100, 2, range(1), 0),
]
WITH_VIDEO = [kind for kind in MEDIA if kind[0] in ("matroska", "mp4", "mov", "avi", "3gp")]


@pytest.mark.parametrize("kind", MEDIA, ids=lambda kind: f"{kind[0]}-{kind[1]}")
def test_what_ffmpeg_decodes_has_its_length_offset_and_gain(kind: tuple) -> None:
    check_media(kind, video=False)


@pytest.mark.parametrize("kind", WITH_VIDEO, ids=lambda kind: f"{kind[0]}-{kind[1]}")
def test_the_sound_behind_a_picture_is_the_same(kind: tuple) -> None:
    check_media(kind, video=True)


UNTOLD = {"aac": 1024, "ac3": 256}


def pyav_version() -> int:
    import av

    return int(av.__version__.split(".")[0])


def check_media(kind: tuple, *, video: bool) -> None:
    pytest.importorskip("av")
    container, coding, rate, channels, more, late = kind
    if container == "matroska" and coding in UNTOLD and pyav_version() < 17:
        late, more = UNTOLD[coding], range(2049)  # its muxer does not note the lead-in
    source = sound(channels=channels)
    content = encoded_media(source, rate=rate, container=container, coding=coding, video=video)
    spec, found = read(content)
    assert (spec.sample_rate, spec.channels, spec.decoder) == (rate, channels, "FFmpeg")
    assert spec.frames in (None, found.shape[1])
    assert found.shape[1] - FRAMES in more
    for channel in range(channels):
        assert shift(found[channel], source[channel]) == late
        assert gain(found[channel], source[channel], late) == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize(("container", "late"), [("asf", -2048), ("wav", -2048)])
def test_wma_comes_out_as_ffmpeg_plays_it(container: str, late: int) -> None:
    """FFmpeg leaves out the two frames with which encoders begin; its own begins with one."""
    pytest.importorskip("av")
    source = sound(channels=2)
    content = encoded_media(source, rate=RATE, container=container, coding="wmav2", bit_rate=128_000)
    spec, found = read(content)
    assert spec.subtype == "WMAV2"
    assert abs(found.shape[1] - FRAMES) < 2048
    assert shift(found[0], source[0]) == late
    assert gain(found[0], source[0], late) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("kept", [1.0, 0.5])
def test_aac_in_a_core_audio_file_is_cut_as_its_packet_table_says(kept: float) -> None:
    pytest.importorskip("av")
    source = sound(channels=2)
    config, packets = packets_of(encoded_media(source, rate=RATE, container="mov", coding="aac"))
    content = caf_of_packets(
        packets,
        coding=b"aac ",
        cookie=aac_cookie(config),
        rate=RATE,
        channels=2,
        packet_frames=1024,
        frames=FRAMES,
        priming=1024,
    )
    if kept < 1:
        assert "cut off" in reason(content[: int(kept * len(content))])
        return
    spec, found = read(content)
    assert (spec.format, spec.subtype, spec.frames) == ("CAF", "AAC", FRAMES)
    assert found.shape == source.shape
    assert shift(found[1], source[1]) == 0
    assert gain(found[1], source[1], 0) == pytest.approx(1, abs=0.05)


def test_adts_in_a_wav_is_decoded() -> None:
    pytest.importorskip("av")
    source = sound()
    body = encoded_media(source, rate=RATE, container="adts", coding="aac")
    form = struct.pack("<HHIIHHH", 0x1600, 1, RATE, 16000, 1024, 16, 0)
    content = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(body)) + body
    _, found = read(b"RIFF" + struct.pack("<I", 4 + len(content)) + b"WAVE" + content)
    assert 1024 < found.shape[1] - FRAMES + 1 < 2049
    assert shift(found[0], source[0]) == 1024


def test_of_streams_side_by_side_in_an_ogg_the_first_sounding_one_is_taken() -> None:
    """A skeleton, which holds no sound, stands beside the sound."""
    pytest.importorskip("av")
    whole = encoded_media(sound(), rate=48000, container="ogg", coding="libopus")
    first, *others = ogg_pages(whole)
    head = first[:6] + bytes(8) + b"\x77\x07\0\0" + bytes(8)
    bones = with_checksum(head + b"\x01\x40" + b"fishead\0\3\0\0\0".ljust(64, b"\0"))
    end = with_checksum(bones[:5] + b"\4" + bones[6:18] + b"\1\0\0\0" + bytes(4) + b"\x01\0")
    content = bones + first + others[0] + end + b"".join(others[1:])
    _, found = read(content)
    assert abs(found.shape[1] - FRAMES) < 1000
    assert abs(shift(found[0], sound()[0])) < 400


@pytest.mark.parametrize("container", ["amr", "3gp"])
def test_speech_of_a_telephone_comes_out(container: str) -> None:
    pytest.importorskip("av")
    # Half of it silence, half of it 300 Hz at 0.3, by OpenCORE's encoder, which not every FFmpeg has.
    at, frames = 12_000, 24_000
    content = TELEPHONE.read_bytes()
    spec, found = read(content if container == "amr" else repacked(content, container=container))
    assert (spec.sample_rate, spec.subtype[:3]) == (8000, "AMR")
    assert 0 <= found.shape[1] - frames < 320
    onset = int(np.argmax(np.abs(found[0]) > 0.1))
    assert abs(onset - at) < 160
    assert np.abs(found[0, at + 2000 : -2000]).max() == pytest.approx(0.3, rel=0.2)


@pytest.mark.parametrize("coding", ["wavpack", "alac", "pcm_s24le"])
def test_what_is_lossless_and_fine_gets_fine_stems(coding: str) -> None:
    pytest.importorskip("av")
    container = "wv" if coding == "wavpack" else "mov"
    spec, _ = read(encoded_media(sound(), rate=RATE, container=container, coding=coding))
    assert spec.subtype.startswith("PCM_")


@pytest.mark.parametrize(
    ("container", "coding"),
    [
        ("adts", "aac"),
        ("wv", "wavpack"),
        ("tta", "tta"),
        ("matroska", "libopus"),
        ("matroska", "pcm_s16le"),
        ("avi", "pcm_s16le"),
        ("mov", "pcm_s16le"),
        ("caf", "alac"),
        ("ogg", "flac"),
        ("wav", "ac3"),
    ],
)
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.995])
def test_what_ffmpeg_would_play_though_it_is_cut_off_is_noticed(
    container: str, coding: str, kept: float
) -> None:
    pytest.importorskip("av")
    rate = 48000 if coding in ("libopus", "ac3") else RATE
    content = encoded_media(sound(channels=2), rate=rate, container=container, coding=coding)
    reason(content[: int(kept * len(content))])


@pytest.mark.parametrize("container", ["adts", "wv", "matroska", "avi", "asf", "ac3", "ogg"])
def test_without_ffmpeg_the_message_says_what_to_install(
    container: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    pytest.importorskip("av")
    coding = {"adts": "aac", "wv": "wavpack", "asf": "wmav2", "ac3": "ac3", "ogg": "flac"}.get(
        container, "pcm_s16le"
    )
    content = encoded_media(sound(), rate=48000, container=container, coding=coding, bit_rate=128_000)
    monkeypatch.setitem(sys.modules, "av", None)
    assert "pip install 'uss-ray[media]'" in reason(content)


def test_a_list_of_addresses_is_no_recording() -> None:
    for text in (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", b"ffconcat version 1.0\nfile /etc/passwd\n"):
        reason(text)


def test_a_long_film_is_read_in_bounded_memory() -> None:
    pytest.importorskip("av")
    content = encoded_media(
        np.tile(sound(80_000), 10), rate=8000, container="matroska", coding="pcm_s16le", video=True
    )

    def read_all() -> None:
        with open_recording(io.BytesIO(content), name="clip") as reader:
            assert sum(block.shape[1] for block in reader.blocks(8000)) == 800_000

    assert least_peak_bytes(read_all) < 800_000 * 4 / 2


# --- headers that lie ----------------------------------------------------------------------------------------------


def wav(
    *,
    data: int | None = None,
    riff: int | None = None,
    tail: bytes = b"",
    channels: int = 2,
    junk: bytes = b"",
) -> bytes:
    """A 16-bit WAV with sizes as they are told."""
    body = np.round(sound(channels=channels).T * 32767).astype("<i2").tobytes()
    head = (
        b"fmt " + struct.pack("<IHHIIHH", 16, 1, channels, RATE, RATE * 2 * channels, 2 * channels, 16) + junk
    )
    data = len(body) if data is None else data
    riff = 4 + len(head) + 8 + len(body) + len(tail) if riff is None else riff
    return (
        b"RIFF" + struct.pack("<I", riff) + b"WAVE" + head + b"data" + struct.pack("<I", data) + body + tail
    )


BODY = FRAMES * 4
LIES = {
    "zero": {"data": 0},
    "zero in a pipe": {"data": 0, "riff": 0},
    "zero and 8": {"data": 0, "riff": 8},
    "all ones": {"data": 0xFFFFFFFF, "riff": 0xFFFFFFFF},
    "ones, riff right": {"data": 0xFFFFFFFF},
    "2 GiB less one": {"data": 0x7FFFFFFF, "riff": 0x7FFFFFFF},
    "sox": {"data": 0x7FFFF000, "riff": 0x7FFFF024},
    "sox of aiff": {"data": 0x7F000000, "riff": 0x7F000024},
    "1 GiB": {"data": 1 << 30, "riff": (1 << 30) + 36},
    "2 too many": {"data": BODY + 2, "riff": BODY + 38},
    "8 too many": {"data": BODY + 8, "riff": BODY + 44},
    "header counted": {"data": BODY + 44, "riff": BODY + 80},
    "riff size for data": {"data": BODY + 36},
    "twice, riff right": {"data": 2 * BODY},
    "half": {"data": BODY // 2},
    "half, riff as short": {"data": BODY // 2, "riff": BODY // 2 + 36},
    "a second": {"data": RATE * 4, "riff": RATE * 4 + 36},
    "a few too few": {"data": BODY - 400},
}


@pytest.mark.parametrize("lie", [lie for lie in LIES if lie != "a second"])
def test_a_wav_whose_header_lies_is_read_to_its_end_with_a_note(lie: str) -> None:
    content = wav(**LIES[lie])
    spec, found = read(content)
    assert spec.frames == FRAMES
    assert np.abs(found - sound(channels=2)).max() < 1 / 32000
    assert spec.note is not None
    assert "the header states" in spec.note
    assert "read strictly" in reason(content, strict=True)


TAILS = {
    "nothing": b"",
    "a list": b"LIST" + struct.pack("<I", 12) + b"INFOISFT\0\0\0\0",
    "chunks nobody knows": b"abcd"
    + struct.pack("<I", 6)
    + b"123456"
    + b"xyz1"
    + struct.pack("<I", 3)
    + b"abc\0",
    "a list that is cut": b"LIST" + struct.pack("<I", 4000) + b"INFO" + bytes(10),
    "zeros": bytes(5000),
    "a tag": b"TAG" + b"title" + bytes(120),
    "ID3": b"ID3\x03\0\0\0\0\x02\x00" + b"x" * 256,
    "two bytes": b"\x01\x02",
}


@pytest.mark.parametrize("tail", TAILS)
def test_what_honestly_stands_behind_the_sound_is_no_sound(tail: str) -> None:
    spec, found = read(wav(tail=TAILS[tail]), strict=True)
    assert (found.shape, spec.note) == ((2, FRAMES), None)


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.999])
@pytest.mark.parametrize("junk", [b"", b"JUNK" + struct.pack("<I", 28) + bytes(28)])
def test_a_wav_whose_header_agrees_with_itself_is_cut_off(kept: float, junk: bytes) -> None:
    content = wav(junk=junk)
    assert "cut off" in reason(content[: int(len(content) * kept)])


@pytest.mark.parametrize("format", ["WAV", "AIFF"])
@pytest.mark.parametrize("frames", [(FRAMES, 9001), (FRAMES, FRAMES, 7000)])
def test_joined_files_are_one_recording(format: str, frames: tuple[int, ...]) -> None:
    parts = [sound(count, seed=count) for count in frames]
    content = b"".join(encoded(part, format=format) for part in parts)
    spec, found = read(content)
    assert (spec.frames, spec.note) == (sum(frames), None)
    assert np.abs(found - np.concatenate(parts, axis=1)).max() < 1 / 32000
    assert "cut off" in reason(content[:-2000])
    assert "throughout" in reason(content + encoded(sound(channels=2), format=format))


def test_many_joined_files_are_read_without_recursion() -> None:
    content = 1500 * encoded(sound(20))
    assert read(content)[0].frames == 30_000


def test_all_chunks_of_sound_in_a_wav_are_read() -> None:
    whole = encoded(sound())
    at, cut = whole.index(b"data"), 4000
    body = whole[at + 8 :]
    parts = [b"data" + len(part).to_bytes(4, "little") + part for part in (body[:cut], body[cut:])]
    content = whole[:at] + parts[0] + b"LIST\x04\0\0\0INFO" + parts[1]
    content = content[:4] + (len(content) - 8).to_bytes(4, "little") + content[8:]
    spec, found = read(content)
    assert spec.frames == FRAMES
    assert np.abs(found - sound()).max() < 1 / 32000
    assert "2 chunks of sound" in str(spec.note)


def test_a_wav_that_states_nothing_and_holds_nothing_has_no_sample() -> None:
    empty = wav(data=0, riff=36)[:44]
    assert "0 samples" in reason(empty)
    assert "0 samples" in reason(empty + TAILS["a list"])


def test_a_wav_above_4_gib_whose_size_wrapped_is_read_to_its_end(tmp_path: Path) -> None:
    frames = (2**32 + 10 * RATE * 4) // 4
    for stated in (frames * 4 % 2**32, 0xFFFFFFFF, 0):
        path = tmp_path / "long.wav"
        with open(path, "wb") as file:
            file.write(wav(data=stated, riff=stated)[: 44 + 4000])
            file.truncate(44 + frames * 4)
            file.seek(-4, os.SEEK_END)
            file.write(struct.pack("<hh", 8192, -8192))
        with open_recording(path) as reader:
            assert reader.frames == frames
            assert reader.spec.note


@pytest.mark.parametrize(
    ("format", "size_at", "byteorder", "width"),
    [("AIFF", None, "big", 4), ("AU", 8, "big", 4), ("W64", None, "little", 8), ("CAF", None, "big", 8)],
)
@pytest.mark.parametrize("lie", ["half", "placeholder", "8 too many"])
def test_other_headers_that_lie_are_read_to_the_end_as_well(
    format: str, size_at: int | None, byteorder: str, width: int, lie: str
) -> None:
    content = bytearray(encoded(sound(), format=format))
    if size_at is None:
        name = {"AIFF": b"SSND", "W64": b"data\xf3\xac", "CAF": b"data"}[format]
        size_at = content.index(name) + (16 if format == "W64" else 4)
    extra = int.from_bytes(content[size_at : size_at + width], byteorder) - FRAMES * 2
    stated = {
        "half": FRAMES + extra,
        "placeholder": 0x7F000000 + extra,
        "8 too many": FRAMES * 2 + extra + 8,
    }[lie]
    if format == "W64" and lie == "placeholder":
        stated = 2**63 - 1
        content[16:24] = stated.to_bytes(8, "little")
    content[size_at : size_at + width] = stated.to_bytes(width, byteorder)
    if format == "AIFF" and lie == "placeholder":
        content[4:8] = (0x7F000000).to_bytes(4, "big")
    spec, found = read(bytes(content))
    assert (spec.format, found.shape) == (format, (1, FRAMES))
    assert np.abs(found - sound()).max() < 1 / 32000
    assert spec.note
    reason(bytes(content), strict=True)


@pytest.mark.parametrize("format", ["NIST", "VOC", "W64"])
def test_other_headers_are_believed_where_they_agree_with_the_file(format: str) -> None:
    content = encoded(sound(8000, channels=1), format=format, rate=16_000)
    wanted = read(content)[1]
    assert wanted.shape == (1, 8000)
    for tail in (b"", bytes(5000)):
        spec, found = read(content + tail)
        np.testing.assert_array_equal(found, wanted)
        assert spec.note is None
    assert "the rest is cut off" in reason(content[: len(content) // 2])


@pytest.mark.parametrize("count", [0, 3])
def test_a_sphere_file_that_states_too_little_is_read_to_its_end(count: int) -> None:
    content = encoded(sound(8000), format="NIST", rate=16_000)
    lying = content.replace(b"sample_count -i 8000", f"sample_count -i {count}   ".encode())
    spec, found = read(lying)
    assert found.shape == (1, 8000)
    assert f"states {2 * count} bytes" in (spec.note or "")


def svx(
    channels: int, *, stated: int | None = None, packing: int = 0, tail: bytes = b""
) -> tuple[bytes, Floats]:
    """An Amiga recording, one channel behind the other, and its sound."""
    samples = (127 * np.clip(4 * sound(8000, channels=channels), -1, 1)).astype(np.int8)
    body = samples.tobytes()
    header = struct.pack(">IIIHBBI", 8000, 0, 0, 8363, 1, packing, 0x10000)
    parts = [(b"VHDR", header), *([(b"CHAN", struct.pack(">I", 6))] if channels == 2 else [])]
    data = b"".join(name + struct.pack(">I", len(content)) + content for name, content in parts)
    data += b"BODY" + struct.pack(">I", len(body) if stated is None else stated) + body + tail
    return b"FORM" + struct.pack(">I", len(data) + 4) + b"8SVX" + data, samples.astype(np.float32) / 128


@pytest.mark.parametrize("channels", [1, 2])
def test_the_channels_of_an_amiga_recording_lie_one_behind_the_other(channels: int) -> None:
    if channels == 2:
        pytest.importorskip("av")
    content, wanted = svx(channels)
    spec, found = read(content)
    assert (spec.sample_rate, spec.note) == (8363, None)
    np.testing.assert_array_equal(found, wanted)
    assert read(svx(channels, tail=b"ANNO\0\0\0\4made")[0])[1].shape == wanted.shape
    assert "cut off" in reason(content[:-1000])


def test_an_amiga_recording_that_states_too_little_is_read_to_its_end() -> None:
    spec, found = read(svx(1, stated=0)[0])
    assert "the header states 0 bytes" in (spec.note or "")
    assert found.shape == (1, 8000)


@pytest.mark.parametrize(("format", "at"), [("CAF", None), ("AU", 8)])
def test_a_length_that_is_left_open_lawfully_is_no_lie(format: str, at: int | None) -> None:
    content = bytearray(encoded(sound(), format=format))
    if at is None:
        at = content.index(b"data") + 4
        content[at : at + 8] = b"\xff" * 8
    else:
        content[at : at + 4] = b"\xff" * 4
    spec, found = read(bytes(content), strict=True)
    assert (spec.note, found.shape) == (None, (1, FRAMES))


def test_bw64_is_rf64_by_another_name() -> None:
    content = encoded(sound(), format="RF64")
    _, found = read(b"BW64" + content[4:])
    assert np.abs(found - sound()).max() < 1 / 32000


TAG = b"ID3\x04\0\0\0\0\x4e\x20" + b"P" * (0x4E << 7 | 0x20)


@pytest.mark.parametrize(
    ("format", "subtype"),
    [("WAV", "PCM_16"), ("AIFF", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")],
)
def test_a_tag_in_front_costs_no_sample_and_hides_no_cut(format: str, subtype: str) -> None:
    content = encoded(sound(), format=format, subtype=subtype)
    _, plain = read(content)
    spec, found = read(TAG + content, strict=True)
    assert spec.format == format
    assert np.array_equal(found, plain)
    reason(TAG + content[:-300])


# --- FLAC ----------------------------------------------------------------------------------------------------------


def flac_stating(frames: int, *, content: bytes | None = None) -> bytes:
    changed = bytearray(content or encoded(sound(), format="FLAC"))
    changed[21] = changed[21] & 0xF0 | frames >> 32
    changed[22:26] = (frames & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(changed)


@pytest.mark.parametrize("stated", [1, FRAMES // 2, FRAMES - 1])
@pytest.mark.parametrize("tail", [b"", b"TAG" + bytes(125)])
def test_a_flac_that_states_too_few_samples_is_read_to_its_end(stated: int, tail: bytes) -> None:
    content = flac_stating(stated) + tail
    spec, found = read(content)
    assert spec.frames == FRAMES
    assert np.abs(found - sound()).max() < 1 / 32000
    assert f"states {stated} samples" in str(spec.note)
    reason(content, strict=True)


@pytest.mark.parametrize("stated", [FRAMES + 1, 2 * FRAMES])
def test_a_flac_that_states_too_many_samples_but_ends_with_a_whole_frame_is_read_to_its_end(
    stated: int,
) -> None:
    content = flac_stating(stated)
    spec, found = read(content)
    assert (spec.frames, found.shape[1]) == (FRAMES, FRAMES)
    assert f"states {stated} samples" in str(spec.note)
    reason(content, strict=True)
    reason(content[:-100])


@pytest.mark.parametrize(
    "tail", [b"TAG" + bytes(125), bytes(5000), b"APETAGEX" + bytes(24), b"LYRICSBEGIN x", b"\xff\xf8" * 40]
)
def test_what_stands_behind_a_flac_is_no_sound_and_no_fault(tail: bytes) -> None:
    spec, found = read(encoded(sound(), format="FLAC") + tail)
    assert (spec.frames, spec.note, found.shape[1]) == (FRAMES, None, FRAMES)


def test_two_flac_files_of_one_length_are_not_taken_for_the_first() -> None:
    """Quiet behind one loud second: no header and no count of bytes tells that there are two."""
    quiet = 0.01 * sound(20 * FRAMES)
    quiet[:, :RATE] *= 90
    assert "another one behind it" in reason(2 * encoded(quiet, format="FLAC"))


@pytest.mark.parametrize("frames", [(FRAMES, 9000), (9000, FRAMES), (FRAMES, FRAMES), (5000, 6000, 7000)])
def test_joined_flac_files_are_one_recording(frames: tuple[int, ...]) -> None:
    parts = [sound(count, seed=count) for count in frames]
    spec, found = read(b"".join(encoded(part, format="FLAC") for part in parts))
    assert spec.frames == sum(frames)
    assert np.abs(found - np.concatenate(parts, axis=1)).max() < 1 / 32000


# --- Ogg -----------------------------------------------------------------------------------------------------------


def ogg_pages(content: bytes) -> list[bytes]:
    starts = [at for at in range(len(content)) if content.startswith(b"OggS\0", at)]
    return [content[start:stop] for start, stop in zip(starts, [*starts[1:], len(content)], strict=True)]


def with_checksum(page: bytes) -> bytes:
    from uss_ray.audio.ogg import page_checksum

    blank = page[:22] + bytes(4) + page[26:]
    return page[:22] + page_checksum(blank).to_bytes(4, "little") + page[26:]


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("count", [2, 3])
def test_chained_ogg_streams_are_one_recording(subtype: str, count: int) -> None:
    rate = 48000
    parts = [sound(FRAMES + 7 * seed, seed=seed) for seed in range(count)]
    files = [encoded(part, format="OGG", subtype=subtype, rate=rate) for part in parts]
    spec, found = read(b"".join(files))
    assert spec.frames in (None, found.shape[1])
    assert np.array_equal(found, np.concatenate([read(file)[1] for file in files], axis=1))
    assert found.shape[1] == sum(part.shape[1] for part in parts)


def test_chained_streams_that_differ_say_what_to_do() -> None:
    mixed = b"".join(encoded(sound(channels=channels), format="OGG", subtype="VORBIS") for channels in (1, 2))
    assert "throughout (convert it)" in reason(mixed)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_without_an_end_of_stream_flag_is_read_with_a_note(subtype: str) -> None:
    whole = encoded(sound(), format="OGG", subtype=subtype, rate=48000)
    pages = ogg_pages(whole)
    pages[-1] = with_checksum(pages[-1][:5] + bytes([pages[-1][5] & ~4]) + pages[-1][6:])
    spec, found = read(b"".join(pages))
    assert np.array_equal(found, read(whole)[1])
    assert "says that it is the last" in str(spec.note)
    reason(b"".join(pages), strict=True)
    assert "cut off" in reason(b"".join(pages)[:-20])


@pytest.mark.parametrize("padding", [10, 5000, 400_000])
def test_padding_behind_an_ogg_is_no_sound(padding: int) -> None:
    whole = encoded(sound(), format="OGG", subtype="VORBIS")
    assert np.array_equal(read(whole + bytes(padding), strict=True)[1], read(whole)[1])


@pytest.mark.parametrize(
    ("stated", "rate"), [(0, 48000), (8000, 48000), (44100, 48000), (48000, 48000), (96000, 48000)]
)
def test_the_rate_that_an_opus_header_notes_is_not_that_of_the_sound(stated: int, rate: int) -> None:
    whole = encoded(sound(), format="OGG", subtype="OPUS", rate=48000)
    pages = ogg_pages(whole)
    at = pages[0].index(b"OpusHead") + 12
    pages[0] = with_checksum(pages[0][:at] + struct.pack("<I", stated) + pages[0][at + 4 :])
    spec, found = read(b"".join(pages))
    assert spec.sample_rate == rate
    assert np.array_equal(found, read(whole)[1])


# --- MPEG audio ----------------------------------------------------------------------------------------------------


def mp3(waveform: Floats | None = None, *, rate: int = RATE) -> bytes:
    return encoded(
        sound() if waveform is None else waveform, format="MP3", subtype="MPEG_LAYER_III", rate=rate
    )


def frames_of(content: bytes) -> list[bytes]:
    from uss_ray.audio.mpeg_audio import parse

    frames, at = [], 0
    while (header := parse(content[at : at + 4])) is not None:
        frames.append(content[at : at + header.size])
        at += header.size
    return frames


def without_header(content: bytes) -> bytes:
    return b"".join(frames_of(content)[1:])


def vbri(content: bytes) -> bytes:
    first, *rest = frames_of(content)
    body = b"VBRI" + struct.pack(">HHHII", 1, 1105, 75, len(content), len(rest))
    return (first[:4] + bytes(32) + body).ljust(len(first), b"\0") + b"".join(rest)


def test_an_mp3_of_variable_rate_with_a_vbri_header_is_whole_and_its_cut_is_noticed() -> None:
    quiet_then_loud = np.concatenate([np.zeros((1, 60_000), np.float32), 5 * sound(60_000)], axis=1)
    content = vbri(mp3(quiet_then_loud))
    spec, found = read(content)
    assert spec.frames in (None, found.shape[1])
    assert 0 <= found.shape[1] - 120_000 < 3000
    assert abs(shift(found[0, 60_000:], quiet_then_loud[0, 60_000:])) <= 1105
    assert "cut off" in reason(content[: len(content) // 2])


@pytest.mark.parametrize("flags", ["no frames flag", "0 frames"])
def test_an_mp3_whose_header_tells_no_length_is_whole_to_the_sample(flags: str) -> None:
    content = bytearray(mp3())
    at = content.index(b"Xing") if b"Xing" in content[:100] else content.index(b"Info")
    number = int.from_bytes(content[at + 4 : at + 8], "big")
    assert number & 1
    if flags == "0 frames":
        content[at + 8 : at + 12] = bytes(4)
    else:
        content[at + 4 : at + 8] = (number & ~1).to_bytes(4, "big")
        del content[at + 8 : at + 12]
        stop = len(frames_of(mp3())[0])
        content[stop - 4 : stop - 4] = bytes(4)
    _, found = read(bytes(content))
    assert found.shape == (1, FRAMES)
    assert shift(found[0], sound()[0]) == 0


FRONTS = {
    "a zero": b"\0",
    "zeros": bytes(3000),
    "HTTP": b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n",
    "ID3 and a zero": TAG + b"\0",
    "half a frame": None,
}


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("kind", ["as it is", "without a length"])
def test_what_stands_before_an_mp3_is_no_sound(front: str, kind: str) -> None:
    whole = mp3() if kind == "as it is" else without_header(mp3())
    before = frames_of(whole)[3][60:] if FRONTS[front] is None else FRONTS[front]
    _, found = read(before + whole)
    assert np.array_equal(found, read(whole)[1])


@pytest.mark.parametrize(
    "tail",
    [
        bytes(5000),
        b"LYRICSBEGIN" + b"la " * 2000 + b"LYRICS200",
        b"TAG" + bytes(125),
        b"APETAGEX" + bytes(3000),
    ],
)
@pytest.mark.parametrize("kind", ["as it is", "without a length"])
def test_what_stands_behind_an_mp3_is_no_sound(tail: bytes, kind: str) -> None:
    whole = mp3() if kind == "as it is" else without_header(mp3())
    _, found = read(whole + tail)
    assert np.array_equal(found, read(whole)[1])


@pytest.mark.parametrize("lengths", [(FRAMES, 9000), (9000, FRAMES), (FRAMES, FRAMES)])
def test_joined_mp3_files_are_one_recording(lengths: tuple[int, ...]) -> None:
    parts = [sound(frames, seed=frames) for frames in lengths]
    spec, found = read(b"".join(mp3(part) for part in parts))
    assert spec.frames == sum(lengths)
    whole = np.concatenate(parts, axis=1)
    assert found.shape == whole.shape
    assert shift(found[0], whole[0]) == 0


def test_an_mp3_without_a_length_that_ends_within_a_frame_has_a_note() -> None:
    whole = without_header(mp3())
    spec, found = read(whole[:-100])
    assert "not whole" in str(spec.note)
    assert 0 < read(whole)[1].shape[1] - found.shape[1] <= 2304
    reason(whole[:-100], strict=True)


DAMAGES: dict[str, Callable[[bytes, int], bytes]] = {
    "a byte is gone": lambda whole, at: whole[:at] + whole[at + 1 :],
    "3000 bytes are gone": lambda whole, at: whole[:at] + whole[at + 3000 :],
    "300 random bytes": lambda whole, at: (
        whole[:at] + np.random.default_rng(at).bytes(300) + whole[at + 300 :]
    ),
    "2000 zeros": lambda whole, at: whole[:at] + bytes(2000) + whole[at + 2000 :],
    "5000 bytes of something else": lambda whole, at: whole[:at] + 1250 * b"\xff\xfb\0U" + whole[at:],
}


@pytest.mark.parametrize(
    ("container", "damage"),
    [
        *(("none", damage) for damage in DAMAGES),
        *(("wav", damage) for damage in DAMAGES if "gone" not in damage),
    ],
)
def test_what_comes_behind_a_damaged_place_of_an_mp3_is_there(damage: str, container: str) -> None:
    source = sound(200_000)
    whole = without_header(mp3(source))
    if container == "wav":
        pytest.importorskip("av")
        whole = encoded_media(source, rate=RATE, container="wav", coding="libmp3lame")
    frames = len(read(whole)[1][0])
    for place in range(3, 8):
        spec, found = read(DAMAGES[damage](whole, len(whole) * place // 10 + 31 * place))
        lost = frames - found.shape[1]
        assert spec.frames == found.shape[1]
        assert 0 <= lost <= 20 * 1152
        assert lost == 0 or "are no frames and were left out" in str(spec.note)
        tail = source[0, -20_000:]
        assert gain(found[0, -20_000:], tail, shift(found[0, -20_000:], tail)) == pytest.approx(1, abs=0.1)


def ape(size: int, flags: int) -> bytes:
    numbers = (2000, size, 0, flags)
    return b"APETAGEX" + b"".join(number.to_bytes(4, "little") for number in numbers) + bytes(8)


def inside(content: bytes, inserted: bytes) -> bytes:
    frames = frames_of(content)
    return b"".join([*frames[: len(frames) // 2], inserted, *frames[len(frames) // 2 :]])


@pytest.mark.parametrize(
    "lie", [ape(0x7FFFFFFF, 0xA0000000), b"ID3\x04\0\0\x7f\x7f\x7f\x7f", b"ID3\x04\0\0\0\x7f\x7f\x7f"]
)
def test_a_tag_within_an_mp3_that_claims_more_than_there_is_hides_nothing(lie: bytes) -> None:
    whole = without_header(mp3())
    spec, found = read(inside(whole, lie))
    assert found.shape == read(whole)[1].shape
    assert f"{len(lie)} bytes within the MPEG stream are no frames" in str(spec.note)


@pytest.mark.parametrize("tag", [b"", b"TAG" + bytes(125)])
def test_a_tag_at_the_end_that_has_no_header_is_no_gap(tag: bytes) -> None:
    whole = without_header(mp3())
    spec, found = read(whole + bytes(range(1, 200)) + ape(199 + 32, 0) + tag)
    assert (spec.note, found.shape) == (None, read(whole)[1].shape)


def test_a_tag_between_frames_that_a_header_counts_rightly_is_left_out() -> None:
    noise = np.random.default_rng(0).bytes(70_000)
    tag = ape(len(noise) + 32, 0xA0000000) + noise + ape(len(noise) + 32, 0x80000000)
    assert np.array_equal(read(inside(mp3(), tag))[1], read(mp3())[1])


def test_what_stands_behind_an_mp3_whose_header_counts_itself_is_no_damage() -> None:
    content = bytearray(mp3())
    at = content.index(b"Xing") if b"Xing" in content[:100] else content.index(b"Info")
    stated = int.from_bytes(content[at + 8 : at + 12], "big")
    content[at + 8 : at + 12] = (stated + 1).to_bytes(4, "big")
    assert np.array_equal(read(bytes(content) + b"\r\n" * 10)[1], read(bytes(content))[1])


@pytest.mark.parametrize("has_gapless", [True, False])
@pytest.mark.parametrize("more", [1, -20])
def test_an_mp3_whose_header_counts_itself_or_too_few_is_whole(more: int, has_gapless: bool) -> None:
    content = bytearray(mp3())
    at = content.index(b"Xing") if b"Xing" in content[:100] else content.index(b"Info")
    assert content[at + 4 : at + 8] == bytes([0, 0, 0, 15])
    if not has_gapless:
        content[at + 120 : at + 156] = bytes(36)
    meant = read(bytes(content))[1]
    stated = int.from_bytes(content[at + 8 : at + 12], "big")
    content[at + 8 : at + 12] = (stated + more).to_bytes(4, "big")
    spec, found = read(bytes(content))
    assert np.array_equal(found, meant)
    assert spec.note == (
        None if more == 1 else f"the MP3's length header says {stated - 20} frames, there are {stated}"
    )


@pytest.mark.parametrize("change", ["rate", "channels"])
def test_an_mp3_that_changes_says_what_it_expected(change: str) -> None:
    other = mp3(rate=48000) if change == "rate" else mp3(sound(channels=2))
    assert "throughout" in reason(mp3() + other)
    assert "throughout" in reason(without_header(mp3()) + without_header(other))


@pytest.mark.parametrize("rate", [22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_layer_two_has_its_length_at_every_rate(rate: int, channels: int) -> None:
    pytest.importorskip("av")
    source = sound(channels=channels)
    content = encoded_media(source, rate=rate, container="mp2", coding="mp2")
    spec, found = read(content)
    assert spec.frames == found.shape[1]
    assert found.shape[1] == -(-FRAMES // 1152) * 1152
    assert shift(found[0], source[0]) == 481
    assert gain(found[0], source[0], 481) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("container", ["wav", "w64"])
@pytest.mark.parametrize(("coding", "late"), [("libmp3lame", 576), ("mp2", 481)])
def test_mpeg_audio_in_a_wav_is_decoded(container: str, coding: str, late: int) -> None:
    pytest.importorskip("av")
    source = sound(channels=2)
    _, found = read(encoded_media(source, rate=RATE, container=container, coding=coding))
    assert 0 <= found.shape[1] - FRAMES < 2400
    assert shift(found[0], source[0]) == late
    assert gain(found[0], source[0], late) == pytest.approx(1, abs=0.06)


def test_a_short_piece_of_an_mp3_is_called_what_it_is() -> None:
    for kept in (60, 200):
        found = reason(frames_of(mp3())[2][:kept])
        assert "does not exist" not in found


# --- impossible headers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [50_000_000, 2**31 - 1])
def test_a_rate_that_no_recorder_has_is_refused_at_once(rate: int) -> None:
    content = bytearray(wav())
    content[24:28] = struct.pack("<I", rate)
    assert "a sample rate of 1 to 4000000 Hz" in reason(bytes(content))


@pytest.mark.parametrize("rate", [1, 250_000, 500_000, 1_000_000])
def test_slow_and_ultrasonic_rates_are_fine(rate: int) -> None:
    content = bytearray(wav())
    content[24:28] = struct.pack("<I", rate)
    spec, found = read(bytes(content))
    assert (spec.sample_rate, found.shape) == (rate, (2, FRAMES))


def test_random_changes_of_a_header_end_in_sound_or_in_one_line() -> None:
    makers: list[Callable[[], bytes]] = [
        wav,
        lambda: encoded(sound(4000), format="FLAC"),
        lambda: encoded(sound(4000), format="AIFF"),
        lambda: encoded(sound(4000), format="W64"),
        lambda: encoded(sound(4000), format="CAF"),
        lambda: encoded(sound(4000), format="OGG", subtype="VORBIS"),
        lambda: mp3(sound(4000)),
    ]
    random = np.random.default_rng(7)
    for make in makers:
        content = make()[:40_000]
        for _ in range(60):
            changed = bytearray(content)
            for at in random.integers(0, 120, 3):
                changed[at] = random.integers(256)
            with contextlib.suppress(RecordingError):
                read(bytes(changed))


# --- Damaged places of what FFmpeg decodes -------------------------------------------------------------------------

CLICK = 90_000
_CLOCKED = {
    "webm": ("webm", "libopus", {}),
    "webm with open ends": ("webm", "libopus", {"live": "1"}),
    "matroska flac": ("matroska", "flac", {}),
    "matroska aac": ("matroska", "aac", {}),
    "ogg flac": ("ogg", "flac", {}),
    "nut": ("nut", "libopus", {}),
    "mpegts": ("mpegts", "mp2", {}),
    "mpeg": ("mpeg", "mp2", {}),
    "asf": ("asf", "wmav2", {}),
    "flv": ("flv", "aac", {}),
    "fragments": ("mp4", "flac", {"movflags": "frag_keyframe+empty_moov", "frag_duration": "300000"}),
}


def with_click(*, frames: int = 100_000) -> Floats:
    """Give noise of different loudness, with a click that is louder than all else."""
    waveform = sound(frames)
    waveform[:, CLICK : CLICK + 200] = 0.9
    return waveform


def place_of_click(found: Floats) -> int:
    return int(np.convolve(np.abs(found[0]), np.ones(200), "valid").argmax())


def without_packets(
    content: bytes, *, container: str, lost: range = range(0), late: Callable[[int], float] = lambda _: 0.0
) -> bytes:
    """Take packets out of a file; those behind keep their times, or are so many seconds late by their number."""
    import av

    file = io.BytesIO()
    with av.open(io.BytesIO(content)) as source, av.open(file, "w", format=container) as output:
        heard = source.streams.audio[0]
        track = output.add_stream_from_template(heard)
        for number, packet in enumerate(source.demux(heard)):
            if packet.dts is not None and number not in lost:
                ticks = round(late(number) / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts + ticks, packet.dts + ticks, track
                output.mux(packet)
    return file.getvalue()


def clocked_media(kind: str) -> tuple[str, bytes]:
    container, coding, muxer = _CLOCKED[kind]
    options = {"bit_rate": 128_000} if container == "asf" else {}
    return container, encoded_media(
        with_click(), rate=48000, container=container, coding=coding, muxer=muxer, **options
    )


@pytest.mark.parametrize("kind", _CLOCKED)
def test_packets_that_are_lost_are_silence_and_what_lies_behind_keeps_its_place(kind: str) -> None:
    pytest.importorskip("av")
    container, whole = clocked_media(kind)
    spec, heard = read(whole, strict=True)
    assert spec.note is None
    if kind == "fragments":
        places = [at for at in range(len(whole)) if whole.startswith(b"moof", at)]
        damaged = whole[: places[2]] + b"free" + whole[places[2] + 4 :]
    else:
        damaged = without_packets(whole, container=container, lost=range(6, 10))
    spec, found = read(damaged)
    tick = 48 * 2
    assert abs(found.shape[1] - heard.shape[1]) <= tick
    assert abs(place_of_click(found) - place_of_click(heard)) <= tick
    assert "of sound are missing within the file and are silence here" in str(spec.note)
    assert "read strictly" in reason(damaged, strict=True)


@pytest.mark.parametrize("kind", [kind for kind in _CLOCKED if kind != "fragments"])
def test_single_packets_that_are_lost_again_and_again_are_silence(kind: str) -> None:
    pytest.importorskip("av")
    container, whole = clocked_media(kind)
    spec, found = read(without_packets(whole, container=container, lost=range(3, 16, 3)))
    assert abs(found.shape[1] - read(whole)[1].shape[1]) <= 5 * 48 * 2
    assert "of sound are missing within the file and are silence here" in str(spec.note)


@pytest.mark.parametrize(
    ("container", "coding"),
    [
        ("flv", "aac"),
        ("asf", "libmp3lame"),
        ("nut", "aac"),
        ("mpegts", "aac"),
        ("matroska", "aac"),
        ("webm", "libopus"),
    ],
)
def test_a_clock_that_drifts_ahead_cuts_no_pauses_in(container: str, coding: str) -> None:
    pytest.importorskip("av")
    rate = 48000
    whole = encoded_media(with_click(frames=240_000), rate=rate, container=container, coding=coding)
    drifting = without_packets(whole, container=container, late=lambda number: 0.015 * (number // 40))
    spec, found = read(drifting, strict=True)
    assert spec.note is None
    assert abs(found.shape[1] - read(whole)[1].shape[1]) <= 48


@pytest.mark.parametrize(("container", "coding"), [("flv", "aac"), ("asf", "libmp3lame")])
@pytest.mark.parametrize(
    "late", [lambda number: 1200 * min(number, 1), lambda number: 3000 * min(number, 500)]
)
def test_a_clock_that_jumps_adds_no_silence(
    container: str, coding: str, late: Callable[[int], float]
) -> None:
    pytest.importorskip("av")
    whole = encoded_media(with_click(), rate=RATE, container=container, coding=coding)
    spec, found = read(without_packets(whole, container=container, late=late))
    assert found.shape == read(whole)[1].shape
    assert str(spec.note).startswith("the file's clock jumps, and what lies behind follows at once: ")


def test_a_damaged_cluster_of_a_webm_is_silence() -> None:
    pytest.importorskip("av")
    muxer = {"cluster_time_limit": "300"}
    whole = encoded_media(with_click(), rate=48000, container="webm", coding="libopus", muxer=muxer)
    clusters = [at for at in range(len(whole)) if whole.startswith(b"\x1f\x43\xb6\x75", at)]
    damaged = whole[: clusters[2]] + bytes(4) + whole[clusters[2] + 4 :]
    heard, (spec, found) = read(whole)[1], read(damaged)
    assert abs(found.shape[1] - heard.shape[1]) <= 96
    assert abs(place_of_click(found) - place_of_click(heard)) <= 96
    assert str(spec.note).startswith("0.3")
    lost = np.flatnonzero(np.abs(found[0]) > 0)
    assert np.diff(lost).max() > 12_000


def test_a_damaged_page_of_flac_in_ogg_is_silence() -> None:
    pytest.importorskip("av")
    whole = encoded_media(
        with_click(frames=122_000),
        rate=48000,
        container="ogg",
        coding="flac",
        muxer={"page_duration": "200000"},
    )
    heard = read(whole, strict=True)[1]
    pages = ogg_pages(whole)
    middle, last = len(pages) // 2, len(pages) - 1
    for lost in (middle, last):
        damaged = [page if at != lost else page[:-9] + bytes(9) for at, page in enumerate(pages)]
        spec, found = read(b"".join(damaged))
        if lost == middle:
            assert found.shape == heard.shape
            gone = (found != heard).any(axis=0)
            assert 0 <= 3 * 4608 - gone.sum() < 10  # some were silent before
            assert not found[:, gone].any()
            assert "are silence here" in str(spec.note)
        else:
            assert np.array_equal(found, heard[:, : found.shape[1]])
            assert "the file states a length of 2.5 s" in str(spec.note)


@pytest.mark.parametrize("is_with_picture", [False, True])
def test_a_matroska_whose_end_is_lost_has_a_note(is_with_picture: bool) -> None:
    pytest.importorskip("av")
    whole = encoded_media(
        with_click(),
        rate=48000,
        container="matroska",
        coding="libopus",
        video=is_with_picture,
        muxer={"cluster_time_limit": "300"},
    )
    assert read(whole, strict=True)[0].note is None
    clusters = [at for at in range(len(whole)) if whole.startswith(b"\x1f\x43\xb6\x75", at)]
    damaged = bytearray(whole)
    for at in clusters[-2:]:
        damaged[at : at + 4] = bytes(4)
    spec, found = read(bytes(damaged))
    assert found.shape[1] < 96_000
    assert "the file states a length of 2.1 s, its sound ends at 1." in str(spec.note)


class CountedFile(io.BytesIO):
    """Counts the bytes that are read."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self.count += len(content)
        return content


@pytest.mark.parametrize("lost", [range(0), range(6, 10)])
def test_what_is_missing_is_looked_for_once_however_often_a_file_is_read(lost: range) -> None:
    pytest.importorskip("av")
    whole = encoded_media(with_click(frames=2_000_000), rate=48000, container="webm", coding="libopus")
    file = CountedFile(without_packets(whole, container="webm", lost=lost))
    size = len(file.getvalue())
    with open_recording(file) as reader:
        first = np.concatenate(list(reader.blocks(65536)), axis=1)
        before = file.count
        assert before > (1.9 + bool(lost)) * size
        assert np.array_equal(np.concatenate(list(reader.blocks(65536)), axis=1), first)
        assert (file.count - before) / size < 1.5


def test_joined_files_are_read_as_they_lie() -> None:
    pytest.importorskip("av")
    part = encoded_media(sound(), rate=48000, container="webm", coding="libopus")
    spec, found = read(part + part)
    assert spec.note is None
    assert found.shape[1] > 1.9 * FRAMES
