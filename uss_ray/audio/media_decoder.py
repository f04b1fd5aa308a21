"""Decoding with FFmpeg what libsndfile does not know, through the optional dependency `uss-ray[media]`.

FFmpeg decodes. Which of the samples are the recording is said by `mp4_header` for MP4 and QuickTime and by `caf_header`
for Core Audio, to the sample: FFmpeg rounds an edit list to whole packets at its end, and loses some where a file
counts in milliseconds. For other containers FFmpeg follows what they say of lead-ins and padding. What a damaged place
takes out of a file is silence here, as long as the clock of the container says (`media_clock`).
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uss_ray.audio.caf_header import packet_table
from uss_ray.audio.decoding import DecodingError
from uss_ray.audio.flac_header import frame_end
from uss_ray.audio.inspection import Kind
from uss_ray.audio.media_clock import ContainerClock, Gap, PacketTimes
from uss_ray.audio.media_headers import matroska_seconds
from uss_ray.audio.mp4_header import RecordedSpans, recorded_spans
from uss_ray.audio.ogg_streams import last_granule
from uss_ray.audio.spec import AudioSpec
from uss_ray.audio.splice import SeekableReader

MEDIA_HINT = "pip install 'uss-ray[media]'"

# FFmpeg's sample formats: what a lossless coding of it is called, and its full scale.
_SUBTYPES = {"u8": "PCM_U8", "s16": "PCM_16", "s32": "PCM_32", "flt": "FLOAT", "dbl": "DOUBLE"}
_TYPES = {"u8": np.uint8, "s16": np.int16, "s32": np.int32, "flt": np.float32, "dbl": np.float64}
_FULL_SCALES = {"u8": 2.0**7, "s16": 2.0**15, "s32": 2.0**31, "flt": 1.0, "dbl": 1.0}
# FFmpeg calls these lossy as well, for a mode that few use.
_MOSTLY_LOSSLESS = frozenset({"wavpack"})
# No others: some follow addresses that a file names, and what is text or a picture is no recording.
_DEMUXERS = (
    "aac,ac3,eac3,adx,aiff,amr,ape,apc,asf,au,avi,caf,dsf,dts,dtshd,flac,flv,g722,gsm,iff,loas,matroska,webm,mlp,mov,mp4,"
    "m4a,3gp,3g2,mj2,mp3,mpc,mpc8,mpeg,mpegts,mxf,nistsphere,nsv,nut,ogg,oma,paf,qcp,qoa,rm,rso,shn,sox,spdif,tak,truehd,"
    "tta,voc,vqf,w64,wav,wsd,wv,wve,xa,xwma"
)
# FFmpeg's names of containers whose packets carry times; elsewhere it counts them. Of an MP4 only fragments do.
_WITH_CLOCK = frozenset({"matroska", "ogg", "mpegts", "mpeg", "flv", "asf", "nut", "rm"})
# Files of these are joined as they are, a receiver may lose its signal, and who records a stream may join it late,
# behind a first packet at 0: FFmpeg's own programs take what is further ahead for another clock.
_RESTARTING = frozenset({"ogg", "mpegts", "mpeg", "flv", "asf"})
_RESTART_SECONDS = 10.0
_BLOCK_FRAMES = 1 << 16
_NOTED_DURATION = re.compile(r"(\d+):(\d\d):(\d\d\.\d+)")
_NO_PROTOCOL = "none"
_OLDEST = (17, 1)

Missing = tuple[tuple[Gap, ...], tuple[str, ...]]
"""Gaps within a file, in order, and notes of them and of its end."""


@dataclass(frozen=True)
class _Cut:
    """What of the decoded sound is the recording.

    Attributes
    ----------
    spans : list of (int, int or None)
        In samples, in order, without overlaps.
    frames : int or None
        Samples in each channel where the header tells them exactly.
    """

    spans: list[tuple[int, int | None]] = field(default_factory=lambda: [(0, None)])
    frames: int | None = None


class MediaDecoder:
    """A decoder on FFmpeg.

    Parameters
    ----------
    file : binary file
        Complete as far as `containers` can tell; its first sound track is decoded. What it raises must not reach
        FFmpeg: see `bridge`.
    kind : {"MP4", "CAF", "media"}, default="media"
        Who says what of the sound is the recording: the edit list of an MP4, the packet table of a CAF, or FFmpeg.
    missing : Missing, optional
        What an earlier decoder of the same file found; None reads the file for it.

    Attributes
    ----------
    spec : AudioSpec
        `format` is FFmpeg's name of the container, ``"MP4"`` for that; `subtype` its name of a lossy coding, such as
        ``"AAC"``, and what a lossless one holds, such as ``"PCM_16"``. `frames` is None where no header tells it to
        the sample. `note` says what is missing within the file, as its clock tells.
    started : bool
    missing : Missing
        What is missing within the file, to be handed to the next decoder of it.

    Raises
    ------
    DecodingError
        If PyAV is not installed, or there is no sound track that it decodes.

    Notes
    -----
    FFmpeg keeps the table of packets of an MP4 in memory, some 5 MB for an hour of AAC. A file whose packets carry
    times is read once more, and decoded once more where these may leave gaps.
    """

    def __init__(self, file: SeekableReader, *, kind: Kind = "media", missing: Missing | None = None) -> None:
        self.started = False
        self._av = pyav()
        is_cut_here = kind in ("MP4", "CAF")
        try:
            recorded = recorded_spans(file) if kind == "MP4" else None
            table = packet_table(file) if kind == "CAF" else None
            opened = partial(_opened, self._av, file, kind=kind)
            self._container = opened()
        except (self._av.error.FFmpegError, ValueError) as error:
            raise _cannot_decode(_wording(error)) from None
        self._track: Any = next(iter(self._container.streams.audio), None)
        self._coding: Any = None if self._track is None else self._track.codec_context
        if self._coding is None or _sample_format(self._coding) not in _FULL_SCALES:
            found = "a file without a sound track"
            if self._track is not None:
                found = "a coding of sound that FFmpeg does not know"
            self.close()
            raise _cannot_decode(found)
        # What is damaged is an error, not silence; lead-ins are cut here where it is known how long they are.
        self._coding.options = {"err_detect": "explode"} | ({"flags2": "+skip_manual"} if is_cut_here else {})
        rate = int(self._coding.sample_rate)
        if recorded is not None:
            spans = _in_samples(recorded, sample_rate=rate)
            self._cut = _Cut(spans, _total_frames(recorded, spans, sample_rate=rate))
        elif table is not None:
            stop = table.priming_frames + table.valid_frames
            self._cut = _Cut([(table.priming_frames, stop)], None if table.is_rounded else table.valid_frames)
        else:
            self._cut = _Cut()
        self.missing = self._missing(file, opened) if missing is None else missing
        notes = self.missing[1]
        self.spec = AudioSpec(
            sample_rate=rate,
            channels=int(self._coding.channels),
            frames=self._cut.frames,
            format="MP4" if kind == "MP4" else _demuxer(self._container).upper(),
            subtype=_subtype(self._coding),
            decoder="FFmpeg",
            note="; ".join(notes) or None,
        )
        self._recording = self._recorded_pieces()
        self._held = np.empty((self.spec.channels, 0), np.float32)

    def read(self, frames: int) -> NDArray[np.float32]:
        """See `Decoder`."""
        self.started = True
        parts, count = [self._held], self._held.shape[1]
        while count < frames and (piece := next(self._recording, None)) is not None:
            parts.append(piece)
            count += piece.shape[1]
        joined = np.concatenate(parts, axis=1)
        self._held = joined[:, frames:].copy()
        return np.ascontiguousarray(joined[:, :frames])

    def close(self) -> None:
        """See `Decoder`."""
        self._container.close()

    def _missing(self, file: SeekableReader, reopened: Callable[[], Any]) -> Missing:
        """Find what is missing within the file. What cannot be read is told when decoding is there."""
        name = _demuxer(self._container)
        if name not in _WITH_CLOCK and not (name == "mov" and self._cut.spans[-1][1] is None):
            return (), ()
        position = file.tell()
        tick = float(self._track.time_base)
        stated = _stated_seconds(file, self._container)
        times = PacketTimes()
        with suppress(DecodingError), self._told(), closing(reopened()) as container:
            for packet in self._packets(container):
                if packet.size:
                    start = self._start_of(packet, packet.pts, packet.duration)
                    times.add(_seconds(start, tick), _seconds(packet.duration, tick))
        end = times.note_of_end(stated)
        gaps: tuple[Gap, ...] = ()
        notes: tuple[str, ...] = ()
        if times.may_have_gaps():
            clock = ContainerClock(int(self._coding.sample_rate), tick=tick)
            with suppress(DecodingError), self._told(), closing(reopened()) as container:
                container.streams.audio[0].codec_context.options = self._coding.options
                for packet in self._packets(container):
                    for frame in packet.decode():
                        start = self._start_of(packet, frame.pts, frame.samples)
                        clock.add(_seconds(start, tick), frame.samples)
            gaps, notes = clock.gaps(longest=_RESTART_SECONDS if name in _RESTARTING else stated)
        file.seek(position)
        return gaps, notes if end is None else (*notes, end)

    def _start_of(self, packet: Any, told: int | None, frames: int | None) -> int | None:
        """Say when a packet is played, in ticks.

        A page of Ogg says when it ends: FFmpeg takes one behind a lost page for that. Frames of FLAC know their place.
        """
        if _demuxer(self._container) != "ogg" or self._coding.codec.canonical_name != "flac":
            return told
        info, head = bytes(self._coding.extradata or b"")[:2], bytes(memoryview(packet)[:16])
        end = frame_end(head, smallest_block=int.from_bytes(info, "big"))
        return told if end is None or not frames else end - frames

    def _recorded_pieces(self) -> Iterator[NDArray[np.float32]]:
        at = 0
        spans = self._cut.spans
        for samples in self._without_gaps():
            for start, stop in spans:
                piece = samples[:, max(0, start - at) : None if stop is None else max(0, stop - at)]
                if piece.shape[1]:
                    yield piece
            at += samples.shape[1]
            last = spans[-1][1]
            if last is not None and at >= last:
                return

    def _without_gaps(self) -> Iterator[NDArray[np.float32]]:
        """Give what is decoded, with silence for what is missing."""
        at, left = 0, deque(self.missing[0])
        for samples in self._decoded():
            while left and left[0].at <= at:
                silent = left.popleft().frames
                while silent > 0:
                    count = min(silent, _BLOCK_FRAMES)
                    yield np.zeros((samples.shape[0], count), np.float32)
                    silent -= count
            yield samples
            at += samples.shape[1]

    def _decoded(self) -> Iterator[NDArray[np.float32]]:
        with self._told():
            for packet in self._packets(self._container):
                for frame in packet.decode():
                    yield self._samples_of(frame)

    def _packets(self, container: Any) -> Iterator[Any]:
        for packet in container.demux(container.streams.audio[0]):
            if packet.is_corrupt:
                raise DecodingError("a packet that is cut off or damaged")
            yield packet

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except self._av.error.FFmpegError as error:
            raise DecodingError(_wording(error)) from None
        except (IndexError, ValueError) as error:  # PyAV's own, such as for a track that begins midway
            raise DecodingError(f"something that PyAV does not expect ({error})") from None

    def _samples_of(self, frame: Any) -> NDArray[np.float32]:
        found = _shape(frame.sample_rate, frame.layout.nb_channels, frame)
        expected = _shape(self.spec.sample_rate, self.spec.channels, self._coding)
        if found != expected:
            raise DecodingError(found, expected=f"{expected} throughout")
        return waveform_of(frame)


def _stated_seconds(file: SeekableReader, container: Any) -> float | None:
    """Read how long the sound is by what a file says of it; where there is a picture, that may be longer."""
    name, is_alone = _demuxer(container), len(container.streams) == 1
    track = container.streams.audio[0]
    if name == "ogg" and is_alone:
        granule = last_granule(file, file_bytes=file.seek(0, os.SEEK_END))
        return _seconds(granule, float(track.time_base))
    if name != "matroska":
        return None
    noted = _NOTED_DURATION.fullmatch(str(track.metadata.get("DURATION", "")))
    if noted:
        hours, minutes, seconds = noted.groups()
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return matroska_seconds(file) if is_alone else None


def _seconds(ticks: int | None, tick: float) -> float | None:
    return None if ticks is None else ticks * tick


def waveform_of(frame: Any) -> NDArray[np.float32]:
    """Give a frame of FFmpeg as (channels, samples) of full scale 1, in whichever format it has its samples."""
    form, channels = _sample_format(frame), frame.layout.nb_channels
    if frame.format.is_packed:
        samples: NDArray[Any] = frame.to_ndarray().reshape(-1, channels).T
    else:
        # Not `to_ndarray`: of 8 channels PyAV takes what lies behind their addresses for those of more.
        planes = frame.planes[:channels]
        samples = np.stack([np.frombuffer(plane, _TYPES[form], frame.samples) for plane in planes])
    scaled = samples.astype(np.float32) / np.float32(_FULL_SCALES[form])
    return scaled - np.float32(1.0) if form == "u8" else scaled


def has_media_decoder() -> bool:
    """Tell whether FFmpeg is there."""
    try:
        import_module("av")
    except ImportError:
        return False
    return True


def pyav() -> ModuleType:
    """Give PyAV.

    Raises
    ------
    DecodingError
        If it is not there, or of a version that keeps what is no part of a recording.
    """
    try:
        av = import_module("av")
    except ImportError as error:
        expected = f"the package av, for MP4, AAC, WMA, Matroska and more ({MEDIA_HINT})"
        raise DecodingError("none", expected=expected) from error
    if _version(av) < _OLDEST:
        expected = f"PyAV {_OLDEST[0]}.{_OLDEST[1]} or later ({MEDIA_HINT})"
        raise DecodingError(
            f"PyAV {av.__version__}, which keeps what is no part of a recording", expected=expected
        )
    return av


def _version(av: ModuleType) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", str(av.__version__))[:2])


def _opened(av: ModuleType, file: SeekableReader, *, kind: Kind) -> Any:
    file.seek(0)
    options = {"protocol_whitelist": _NO_PROTOCOL, "format_whitelist": _DEMUXERS}
    # Not `options`, which go to each track as well.
    arguments: dict[str, Any] = {"container_options": options}
    if kind == "MP4":
        options["ignore_editlist"] = "1"
        arguments["format"] = "mov"
    elif kind == "CAF":
        arguments["format"] = "caf"
    # A tag in an unknown script is no reason to refuse the sound; PyAV 19 takes it without being told.
    if _version(av) < (19, 0):
        arguments["metadata_errors"] = "ignore"
    return av.open(file, **arguments)


def _in_samples(recorded: RecordedSpans, *, sample_rate: int) -> list[tuple[int, int | None]]:
    ratio = Fraction(sample_rate, recorded.timescale)
    return [
        (round(start * ratio), None if stop is None else round(stop * ratio))
        for start, stop in recorded.spans
    ]


def _total_frames(
    recorded: RecordedSpans, spans: list[tuple[int, int | None]], *, sample_rate: int
) -> int | None:
    if recorded.timescale not in (sample_rate, sample_rate / 2):
        return None
    frames = 0
    for start, stop in spans:
        if stop is None:
            return None
        frames += max(0, stop - start)
    return frames


def _demuxer(container: Any) -> str:
    return str(container.format.name).split(",", 1)[0]


def _shape(sample_rate: int, channels: int, described: Any) -> str:
    return f"{sample_rate} Hz, {channels} channels of {_sample_format(described)}"


def _sample_format(described: Any) -> str:
    """Name a coding's or a frame's samples as FFmpeg does when they are interleaved."""
    return "none" if described.format is None else str(described.format.packed.name)


def _subtype(coding: Any) -> str:
    name = str(coding.codec.canonical_name)
    if coding.codec.lossless and (not coding.codec.lossy or name in _MOSTLY_LOSSLESS):
        return _SUBTYPES[_sample_format(coding)]
    return name.upper()


def _cannot_decode(found: str) -> DecodingError:
    return DecodingError(f"something that cannot be decoded ({found})")


def _wording(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).strip().rstrip(".").replace("\n", " ")
