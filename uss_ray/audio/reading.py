"""Decoding a recording block by block in bounded memory; every way it can be broken is a RecordingError.

Owns what counts as a readable recording. Containers are checked in `containers`, decoders are `sndfile_decoder`,
`media_decoder` and, for streams one behind the other, `chained`; encoding is `writing`'s.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from uss_ray.audio.bridge import FaultKeepingFile
from uss_ray.audio.chained import ChainedDecoder
from uss_ray.audio.containers import inspect_container
from uss_ray.audio.decoding import Decoder, DecodingError
from uss_ray.audio.flac_header import has_another_start
from uss_ray.audio.inspection import Inspection, Stream
from uss_ray.audio.media_decoder import MEDIA_HINT, MediaDecoder, Missing, has_media_decoder
from uss_ray.audio.sndfile_decoder import SndfileDecoder
from uss_ray.audio.spec import AudioSpec
from uss_ray.audio.splice import SplicedFile
from uss_ray.audio.tags import read_tags
from uss_ray.errors import RecordingError

HIGHEST_RATE = 4_000_000
"""Hz. The fastest recorders reach it; a header that states more has a wrong byte, and memory would follow it."""

_MOST_READ_AHEAD = 1 << 16


def open_recording(
    file: str | os.PathLike[str] | BinaryIO, *, name: str | None = None, strict: bool = False
) -> RecordingReader:
    """Open a recording for reading in blocks.

    Parameters
    ----------
    file : path or binary file
        Anything libsndfile decodes: WAV, RF64, W64, FLAC, OGG, Opus, MP3, AIFF and more; and, where the extra `media`
        is installed, what FFmpeg does: the first sound track of MP4, QuickTime, Matroska, WebM and AVI, and AAC, AC-3,
        WMA, AMR, WavPack and more. The content decides, not the name. A file object must be seekable and stays open
        when the reader closes.
    name : str, default=None
        What errors call the recording; None takes the path.
    strict : bool, default=False
        Whether a header that lies (see `chunked`) is an error; otherwise the sound is read to its end, and
        `RecordingReader.spec` has a note.

    Returns
    -------
    RecordingReader
        A context manager.

    Raises
    ------
    RecordingError
        If there is no such file, it is a folder, empty, cut off, without samples or not audio.
    """
    return RecordingReader(file, name=name, strict=strict)


class RecordingReader:
    """A recording open for reading: its spec, and its samples in blocks.

    Parameters
    ----------
    file : path or binary file
        See `open_recording`.
    name : str, default=None
        What errors call the recording; None takes the path.
    strict : bool, default=False
        See `open_recording`.

    Attributes
    ----------
    name : str
        What errors call the recording.
    spec : AudioSpec
        What the header says.

    Raises
    ------
    RecordingError
        See `open_recording`.
    """

    def __init__(
        self, file: str | os.PathLike[str] | BinaryIO, *, name: str | None = None, strict: bool = False
    ) -> None:
        self.name = name or _name_of(file)
        with ExitStack() as resources:
            self._file = self._opened(file, resources)
            self._bridge = FaultKeepingFile(self._file)
            self._file_bytes = self._bridge.seek(0, os.SEEK_END)
            self._inspection = self._inspected()
            self._missing: dict[Stream, Missing] = {}
            self._decoder: Decoder | None = self._start_decoder()
            resources.callback(self._stop_decoder)
            notes = (*self._inspection.notes, *filter(None, [self._decoder.spec.note]))
            self.spec = replace(self._decoder.spec, note="; ".join(notes) or None)
            if strict:
                self._check_strictly()
            self._check_spec()
            self._resources = resources.pop_all()

    @property
    def sample_rate(self) -> int:
        """Native rate, in Hz."""
        return self.spec.sample_rate

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.spec.channels

    @property
    def frames(self) -> int | None:
        """Samples in each channel; None when the header leaves it open (streamed FLAC, DASH)."""
        return self.spec.frames

    def tagged_spec(self) -> AudioSpec:
        """Give the spec with what the file says besides its sound: titles, dates, chunks of broadcast WAV."""
        return replace(self.spec, tags=read_tags(self._bridge, file_bytes=self._file_bytes))

    def __enter__(self) -> RecordingReader:
        """Return the reader itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Close the decoder, and the file if the reader opened it."""
        self._resources.close()

    def blocks(self, block_frames: int) -> Iterator[NDArray[np.float32]]:
        """Decode the recording from its start, block by block.

        Parameters
        ----------
        block_frames : int
            Samples in each channel of every block but the last, 1 or more.

        Yields
        ------
        ndarray of shape (channels, n), dtype=float32
            The next samples, contiguous, 1 <= n <= `block_frames`. Full scale is 1; float recordings may exceed it.

        Raises
        ------
        RecordingError
            If fewer samples come out than the header says, none come out, one is NaN or infinite, or the decoder or
            the file fails. The place is named in seconds.
        ValueError
            If `block_frames` is below 1.
        """
        if block_frames < 1:
            raise ValueError(f"block_frames must be 1 or more, not {block_frames}")
        decoder = self._rewound_decoder()
        seen_frames = 0
        while True:
            block = self._decode(decoder, block_frames, at=seen_frames)
            if block.shape[1] == 0:
                break
            self._check_finite(block, at=seen_frames)
            seen_frames += block.shape[1]
            yield block
        self._check_complete(seen_frames)

    def _opened(self, file: str | os.PathLike[str] | BinaryIO, resources: ExitStack) -> BinaryIO:
        if not isinstance(file, (str, os.PathLike)):
            return file
        try:
            mode = os.stat(file).st_mode
            if stat.S_ISREG(mode):
                return resources.enter_context(open(file, "rb"))
        except (OSError, ValueError) as error:
            raise RecordingError(
                self.name, expected="a readable audio file", found=_wording(error)
            ) from error
        found = "a folder" if stat.S_ISDIR(mode) else "something that is not a regular file"
        raise RecordingError(self.name, expected="an audio file", found=found)

    def _inspected(self) -> Inspection:
        if self._file_bytes == 0:
            raise RecordingError(self.name, expected="an audio file", found="an empty file (0 bytes)")
        inspection = inspect_container(self._bridge)
        self._raise_fault(at_seconds=0.0)
        if inspection.fault is not None:
            expected, found = inspection.fault
            raise RecordingError(self.name, expected=expected, found=found)
        return inspection

    def _check_strictly(self) -> None:
        if self.spec.note is not None:
            expected = "a file that is as it says of itself, for it is read strictly"
            raise RecordingError(self.name, expected=expected, found=self.spec.note)

    def _check_spec(self) -> None:
        spec = self.spec
        if spec.frames == 0:
            raise RecordingError(self.name, expected="at least one sample", found="a header with 0 samples")
        if not 0 < spec.sample_rate <= HIGHEST_RATE:
            expected = f"a sample rate of 1 to {HIGHEST_RATE} Hz"
            raise RecordingError(self.name, expected=expected, found=f"{spec.sample_rate} Hz in the header")

    def _start_decoder(self) -> Decoder:
        whole = Stream((range(self._file_bytes),))
        streams = self._inspection.streams or (whole,)
        try:
            if len(streams) == 1:
                return self._decoder_of(streams[0])
            return ChainedDecoder(lambda place: self._decoder_of(streams[place]), count=len(streams))
        except DecodingError as error:
            self._raise_fault(at_seconds=0.0)
            expected = error.expected or _known_formats()
            raise RecordingError(self.name, expected=expected, found=error.found) from error

    def _decoder_of(self, stream: Stream) -> Decoder:
        """Open one stream: with libsndfile, and with FFmpeg what that does not know."""
        if self._inspection.is_for_ffmpeg:
            return self._media_decoder(stream)
        try:
            return SndfileDecoder(self._shown(stream), frames=stream.frames)
        except DecodingError as error:
            self._raise_fault(at_seconds=0.0)
            if not has_media_decoder():
                raise
            try:
                return self._media_decoder(stream)
            except DecodingError:
                self._raise_fault(at_seconds=0.0)
                raise error from None

    def _media_decoder(self, stream: Stream) -> MediaDecoder:
        """Open one with FFmpeg. What is missing within it is looked for once, however often it is decoded."""
        known = self._missing.get(stream)
        decoder = MediaDecoder(self._shown(stream), kind=self._inspection.kind, missing=known)
        self._missing[stream] = decoder.missing
        return decoder

    def _shown(self, stream: Stream) -> SplicedFile:
        self._view = SplicedFile(self._bridge, stream.pieces)
        return self._view

    def _check_single(self) -> None:
        """Refuse a FLAC that is two of the same length: no header tells, and libsndfile does not go on."""
        start = max(1, self._view.tell() - _MOST_READ_AHEAD)
        if self.spec.format == "FLAC" and has_another_start(self._view, start):
            raise RecordingError(
                self.name, expected="one FLAC stream (convert it)", found="another one behind it"
            )

    def _stop_decoder(self) -> None:
        if self._decoder is not None:
            self._decoder.close()
            self._decoder = None

    def _rewound_decoder(self) -> Decoder:
        if self._decoder is None or self._decoder.started:
            self._stop_decoder()
            self._decoder = self._start_decoder()
        return self._decoder

    def _decode(self, decoder: Decoder, block_frames: int, *, at: int) -> NDArray[np.float32]:
        at_seconds = at / self.sample_rate
        try:
            block = decoder.read(block_frames)
        except DecodingError as error:
            self._raise_fault(at_seconds=at_seconds)
            self._check_single()
            expected = error.expected or f"decodable audio after {at_seconds:.1f} s"
            raise RecordingError(self.name, expected=expected, found=error.found) from error
        self._raise_fault(at_seconds=at_seconds)
        return block

    def _raise_fault(self, *, at_seconds: float) -> None:
        fault = self._bridge.fault
        if fault is not None:
            raise RecordingError(
                self.name, expected=f"readable bytes after {at_seconds:.1f} s", found=_wording(fault)
            ) from fault

    def _check_finite(self, block: NDArray[np.float32], *, at: int) -> None:
        finite = np.isfinite(block)
        if finite.all():
            return
        offset = int(np.argmin(finite.all(axis=0)))
        found = "NaN" if np.isnan(block[:, offset]).any() else "Inf"
        seconds = (at + offset) / self.sample_rate
        raise RecordingError(self.name, expected="finite samples", found=f"{found} at {seconds:.3f} s")

    def _check_complete(self, seen_frames: int) -> None:
        expected_frames = self.spec.frames
        self._check_single()
        if seen_frames == 0:
            raise RecordingError(self.name, expected="at least one sample", found="none that can be decoded")
        if expected_frames is not None and seen_frames < expected_frames:
            raise RecordingError(
                self.name,
                expected=f"{expected_frames} samples in each channel, as the header says",
                found=f"{seen_frames}, the rest is cut off or damaged",
            )


def _name_of(file: str | os.PathLike[str] | BinaryIO) -> str:
    if isinstance(file, (str, os.PathLike)):
        return str(Path(file))
    return str(getattr(file, "name", "recording"))


def _known_formats() -> str:
    known = "audio (WAV, FLAC, OGG, MP3, AIFF, M4A, WMA, MKV …)"
    return known if has_media_decoder() else f"audio (WAV, FLAC, OGG, MP3, AIFF …; for more, {MEDIA_HINT})"


def _wording(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    return (getattr(error, "strerror", None) or f"{type(error).__name__}: {error}").replace("\n", " ")
