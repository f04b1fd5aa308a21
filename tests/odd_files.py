"""Recordings in the formats that archives hold, from FFmpeg's own encoders and muxers."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from uss_ray.records import RECORDING_SUFFIXES

TELEPHONE = Path(__file__).parent / "data/telephone.amr"


def encoded_media(
    waveform: NDArray[np.float32],
    *,
    rate: int,
    container: str,
    coding: str,
    video: bool = False,
    bit_rate: int | None = None,
    muxer: Mapping[str, str] | None = None,
) -> bytes:
    """Encode (channels, frames) as the sound of a file; with a picture beside it where `video` is asked for."""
    import av

    layout = {1: "mono", 2: "stereo"}[len(waveform)]
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=dict(muxer or {})) as output:
        picture = None
        if video:
            picture = output.add_stream("mpeg4", rate=10)
            picture.width = picture.height = 32
        track = output.add_stream(coding, rate=rate, layout=layout)
        if bit_rate is not None:
            track.bit_rate = bit_rate
        form = track.codec_context.codec.audio_formats[0]
        wanted = "fltp" if form.name not in _SCALES else form.name
        track.codec_context.format = wanted
        samples = _converted(waveform, wanted)
        track.codec_context.open()
        if picture is not None:
            for _ in range(int(10 * waveform.shape[1] / rate) + 1):
                output.mux(picture.encode(av.VideoFrame(32, 32, "yuv420p")))
            output.mux(picture.encode(None))
        step = track.codec_context.frame_size or 4096
        for at in range(0, waveform.shape[1], step):
            block = np.ascontiguousarray(samples[:, at : at + step])
            if not wanted.endswith("p"):
                block = block.T.reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format=wanted, layout=layout)
            frame.sample_rate, frame.pts = rate, at
            output.mux(track.encode(frame))
        output.mux(track.encode(None))
    return file.getvalue()


def repacked(content: bytes, *, container: str) -> bytes:
    """Put the packets of a file's sound into another container."""
    import av

    file = io.BytesIO()
    with av.open(io.BytesIO(content)) as source, av.open(file, "w", format=container) as output:
        sound = source.streams.audio[0]
        track = output.add_stream_from_template(sound)
        for packet in source.demux(sound):
            if packet.dts is not None:
                packet.stream = track
                output.mux(packet)
    return file.getvalue()


_SCALES = {"flt": 1.0, "fltp": 1.0, "dbl": 1.0, "dblp": 1.0, "s16": 2.0**15, "s16p": 2.0**15, "s32": 2.0**31}
_SCALES |= {"s32p": 2.0**31, "u8": 2.0**7, "u8p": 2.0**7}


def _converted(waveform: NDArray[np.float32], form: str) -> NDArray:
    plain = form.removesuffix("p")
    if plain == "flt":
        return waveform.astype(np.float32)
    if plain == "dbl":
        return waveform.astype(np.float64)
    scaled = np.round(waveform.astype(np.float64) * _SCALES[form])
    if plain == "u8":
        return (scaled + 128).clip(0, 255).astype(np.uint8)
    bits = int(plain[1:])
    return scaled.clip(-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1).astype(f"int{bits}")


def packets_of(content: bytes) -> tuple[bytes, list[bytes]]:
    """Take the first sound track apart: the coding's own header, and its packets."""
    import av

    with av.open(io.BytesIO(content)) as container:
        track = container.streams.audio[0]
        packets = [bytes(packet) for packet in container.demux(track) if packet.size]
        return bytes(track.codec_context.extradata or b""), packets


def caf_of_packets(
    packets: Sequence[bytes],
    *,
    coding: bytes,
    cookie: bytes,
    rate: int,
    channels: int,
    packet_frames: int,
    frames: int,
    priming: int,
) -> bytes:
    """Put packets into a Core Audio file with a packet table, as Apple's programs do (FFmpeg's muxer refuses to)."""
    sizes = b"".join(_variable_length(len(packet)) for packet in packets)
    remainder = len(packets) * packet_frames - priming - frames
    table = struct.pack(">qqii", len(packets), frames, priming, remainder) + sizes
    described = struct.pack(">d4sIIIII", rate, coding, 0, 0, packet_frames, channels, 0)
    chunks = [
        (b"desc", described),
        (b"kuki", cookie),
        (b"pakt", table),
        (b"data", bytes(4) + b"".join(packets)),
    ]
    body = b"".join(name + struct.pack(">q", len(content)) + content for name, content in chunks if content)
    return b"caff\0\1\0\0" + body


def aac_cookie(config: bytes) -> bytes:
    """Wrap an AAC configuration as in an `esds` box."""
    decoder = b"\x40\x15" + bytes(11) + b"\x05" + bytes([len(config)]) + config
    inner = b"\0\0\0" + b"\x04" + bytes([len(decoder)]) + decoder + b"\x06\x01\x02"
    return bytes(4) + b"\x03" + bytes([len(inner)]) + inner


def _variable_length(number: int) -> bytes:
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(number & 0x7F | 0x80)
    return bytes(reversed(digits))


_BY_FFMPEG = {
    "3g2": ("3gp", "aac", 44100), "3gp": ("3gp", "aac", 44100), "aac": ("adts", "aac", 44100),
    "ac3": ("ac3", "ac3", 48000), "asf": ("asf", "wmav2", 44100), "avi": ("avi", "libmp3lame", 44100),
    "eac3": ("eac3", "eac3", 48000), "flv": ("flv", "aac", 44100), "m2ts": ("mpegts", "mp2", 48000),
    "m4a": ("mp4", "aac", 44100), "m4b": ("mp4", "aac", 44100), "m4r": ("mp4", "aac", 44100),
    "m4v": ("mp4", "aac", 44100), "mka": ("matroska", "flac", 44100), "mkv": ("matroska", "libopus", 48000),
    "mov": ("mov", "pcm_s16le", 48000), "mp2": ("mp2", "mp2", 48000), "mp4": ("mp4", "aac", 44100),
    "mpeg": ("mpeg", "mp2", 48000), "mpg": ("mpeg", "mp2", 48000), "mts": ("mpegts", "mp2", 48000),
    "ogv": ("ogg", "flac", 44100), "ogx": ("ogg", "flac", 44100), "qt": ("mov", "pcm_s24be", 48000),
    "spx": ("ogg", "flac", 44100), "tta": ("tta", "tta", 44100), "vob": ("mpeg", "mp2", 48000),
    "webm": ("webm", "libopus", 48000), "wma": ("asf", "wmav2", 44100), "wmv": ("asf", "wmav2", 44100),
    "wv": ("wv", "wavpack", 44100),
}  # fmt: skip
_BY_SNDFILE = {
    "aif": "AIFF", "aifc": "AIFF", "aiff": "AIFF", "au": "AU", "bwf": "WAV", "caf": "CAF", "flac": "FLAC",
    "mp3": "MP3", "mpga": "MP3", "nist": "NIST", "oga": "OGG", "ogg": "OGG", "rf64": "RF64", "snd": "AU", "sph": "NIST",
    "voc": "VOC", "w64": "W64", "wav": "WAV", "wave": "WAV",
}  # fmt: skip


def write_odd_archive(folder: Path, *, seconds: float = 0.25) -> tuple[set[str], set[str]]:
    """Write a file of each suffix that recordings have; give the names of those with sound, and of those with none.

    For some suffixes nobody has an encoder here: those files hold what is no sound.
    """
    folder.mkdir(parents=True, exist_ok=True)
    good, bad = set(), set()
    for suffix in sorted(each.removeprefix(".") for each in RECORDING_SUFFIXES):
        name = f"a.{suffix}"
        rate = _BY_FFMPEG[suffix][2] if suffix in _BY_FFMPEG else 44100
        frames = round(rate * seconds)
        noise = (0.1 * np.random.default_rng(len(name)).standard_normal((1, frames))).astype(np.float32)
        if suffix in _BY_FFMPEG:
            container, coding, _ = _BY_FFMPEG[suffix]
            bit_rate = 128_000 if container == "asf" else None
            content = encoded_media(noise, rate=rate, container=container, coding=coding, bit_rate=bit_rate)
            (folder / name).write_bytes(content)
        elif suffix in _BY_SNDFILE:
            soundfile.write(folder / name, noise.T, rate, format=_BY_SNDFILE[suffix])
        elif suffix == "opus":
            soundfile.write(folder / name, noise.T, 48000, format="OGG", subtype="OPUS")
        elif suffix == "amr":
            (folder / name).write_bytes(TELEPHONE.read_bytes())
        else:
            (folder / name).write_bytes(bytes(range(256)) * 8)
            bad.add(name)
            continue
        good.add(name)
    return good, bad
