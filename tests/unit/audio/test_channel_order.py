"""Who hears what from where: read and written Ogg against FFmpeg, which knows the order by itself."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from uss_ray.audio.channel_order import as_in_file, as_in_wav, order_in_ogg
from uss_ray.audio.reading import open_recording
from uss_ray.audio.stretch import read_stretch, stem_blocks
from uss_ray.audio.writing import StemWriter

RATE = 48000
LAYOUTS = {3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
SUBWOOFER = 3
Floats = NDArray[np.float32]


def tones(channels: int, *, low: bool = False) -> Floats:
    """One tone for each channel; that of a subwoofer is a low one."""
    hertz = [500 + 250 * channel for channel in range(channels)]
    if low and channels > 5:
        hertz[SUBWOOFER] = 60
    time = np.arange(RATE) / RATE
    return np.stack([0.3 * np.sin(2 * np.pi * one * time) for one in hertz]).astype(np.float32)


def order_of(found: Floats, meant: Floats) -> list[int]:
    """By found channel, the one that it is."""
    return [int(np.argmax(np.abs(meant @ row))) for row in found[:, : meant.shape[1]]]


def by_ffmpeg(content: bytes) -> Floats:
    av = pytest.importorskip("av")
    from uss_ray.audio.media_decoder import waveform_of

    with av.open(io.BytesIO(content)) as container:
        return np.concatenate([waveform_of(frame) for frame in container.decode(audio=0)], axis=1)


def read(content: bytes) -> Floats:
    with open_recording(io.BytesIO(content), name="clip") as reader:
        assert reader.spec.decoder == "libsndfile"
        return np.concatenate(list(reader.blocks(10_007)), axis=1)


def by_encoder(
    waveform: Floats, *, container: str, coding: str, options: dict[str, str] | None = None
) -> bytes:
    av = pytest.importorskip("av")
    from fractions import Fraction

    file, layout = io.BytesIO(), LAYOUTS[len(waveform)]
    with av.open(file, "w", format=container) as target:
        track = target.add_stream(coding, rate=RATE, options=options or {})
        track.layout = layout
        track.codec_context.open()
        frame = av.AudioFrame.from_ndarray(waveform.T.reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        resampler = av.AudioResampler(
            format=track.format, layout=layout, rate=RATE, frame_size=track.codec_context.frame_size or None
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            for packet in track.encode(piece):
                target.mux(packet)
    return file.getvalue()


def opus_by_ffmpeg(waveform: Floats) -> bytes:
    return by_encoder(waveform, container="ogg", coding="libopus", options={"mapping_family": "1"})


@pytest.mark.parametrize("channels", LAYOUTS)
def test_opus_comes_in_the_order_it_went_in(channels: int) -> None:
    source = tones(channels, low=True)
    content = opus_by_ffmpeg(source)
    assert order_of(read(content), source) == list(range(channels))
    assert order_of(by_ffmpeg(content), source) == list(range(channels))


def test_chained_streams_come_in_order_each() -> None:
    parts = [tones(3), tones(3)[:, ::-1].copy()]
    found = read(b"".join(opus_by_ffmpeg(part) for part in parts))
    assert order_of(found[:, RATE:], tones(3)) == [0, 1, 2]
    assert order_of(found, tones(3)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("format", "channels"),
    [("ogg", 3), ("ogg", 4), ("ogg", 5), ("ogg", 7), ("ogg", 8), ("opus", 3), ("opus", 5)],
)
def test_ogg_stems_are_for_the_world_what_they_are_here(format: str, channels: int, tmp_path: Path) -> None:
    source = tones(channels)
    with StemWriter(tmp_path / "stem", sample_rate=RATE, channels=channels, format=format) as writer:
        writer.write(source)
    content = (tmp_path / "stem").read_bytes()
    order = list(range(channels))
    assert order_of(by_ffmpeg(content), source) == order
    assert order_of(read(content), source) == order
    stretch = read_stretch(io.BytesIO(content), start=RATE // 2, frames=10_000, name="stem")
    assert order_of(stretch, source[:, :10_000]) == order
    ((_, block),) = stem_blocks(io.BytesIO(content), block_frames=RATE, most_blocks=1, name="stem")
    assert order_of(block, source) == order


def test_channels_without_names_stay_where_they_are() -> None:
    head = bytearray(b"OggS".ljust(26, b"\0") + b"\1\x13OpusHead\1\6".ljust(20, b"\0"))
    head += bytes(8)
    for family in (0, 2, 255):
        head[28 + 18] = family
        assert order_in_ogg(bytes(head)) is None
    head[28 + 18] = 1
    assert order_in_ogg(bytes(head)) == (0, 2, 1, 5, 3, 4)
    flac = io.BytesIO()
    soundfile.write(flac, tones(6).T, RATE, format="FLAC")
    assert order_in_ogg(flac.getvalue()) is None
    assert order_in_ogg(b"") is None
    assert order_in_ogg(b"OggS" + bytes(22) + b"\xff") is None


@pytest.mark.parametrize("channels", [3, 5, 6, 8])
@pytest.mark.parametrize(
    ("container", "coding"), [("ogg", "flac"), ("matroska", "libopus"), ("mp4", "aac"), ("wav", "pcm_s16le")]
)
def test_what_ffmpeg_or_another_container_has_is_in_order_already(
    container: str, coding: str, channels: int
) -> None:
    source = tones(channels, low=True)
    options = {"mapping_family": "1"} if coding == "libopus" else None
    content = by_encoder(source, container=container, coding=coding, options=options)
    with open_recording(io.BytesIO(content), name="clip") as reader:
        found = np.concatenate(list(reader.blocks(10_000)), axis=1)
    assert order_of(found, source) == list(range(channels))


@pytest.mark.parametrize("channels", range(1, 12))
def test_there_and_back_is_the_same(channels: int) -> None:
    samples = np.arange(channels, dtype=np.float32)[None]
    written = as_in_file(samples, stem_format="ogg")
    head = b"OggS".ljust(26, b"\0") + b"\1\x1e" + b"\x01vorbis" + bytes(4) + bytes([channels]) + bytes(18)
    assert np.array_equal(as_in_wav(written, order_in_ogg(head)), samples)
    assert np.array_equal(as_in_file(samples, stem_format="flac"), samples)
