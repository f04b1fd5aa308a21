"""Decoding a recording block by block in bounded memory; every way it can be broken is a RecordingError.

Owns what counts as a readable recording. Containers are checked in `containers`, decoders are `sndfile_decoder` and
`mp4_decoder`, encoding is `writing`'s.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from uss_ray.audio.bridge import FaultKeepingFile
from uss_ray.audio.containers import inspect_container
from uss_ray.audio.decoding import Decoder, DecodingError
from uss_ray.audio.mp4_decoder import Mp4Decoder
from uss_ray.audio.mp4_header import is_mp4
from uss_ray.audio.sndfile_decoder import SndfileDecoder
from uss_ray.audio.splice import SplicedFile
from uss_ray.errors import RecordingError


def open_recording(file: str | os.PathLike[str] | BinaryIO, *, name: str | None = None) -> RecordingReader:
    """Open a recording for reading in blocks.

    Parameters
    ----------
    file : path or binary file
        Anything libsndfile decodes: WAV, RF64, W64, FLAC, OGG, Opus, MP3, AIFF and more; and the sound of an MP4
        (`.m4a`) where the extra `aac` is installed. A file object must be seekable and stays open when the reader
        closes.
    name : str, default=None
        What errors call the recording; None takes the path.

    Returns
    -------
    RecordingReader
        A context manager.

    Raises
    ------
    RecordingError
        If there is no such file, it is a folder, empty, cut off, without samples or not audio.
    """
    return RecordingReader(file, name=name)


class RecordingReader:
    """A recording open for reading: its spec, and its samples in blocks.

    Parameters
    ----------
    file : path or binary file
        See `open_recording`.
    name : str, default=None
        What errors call the recording; None takes the path.

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

    def __init__(self, file: str | os.PathLike[str] | BinaryIO, *, name: str | None = None) -> None:
        self.name = name or _name_of(file)
        with ExitStack() as resources:
            self._file = self._opened(file, resources)
            self._bridge = self._check_container()
            self._decoder: Decoder | None = self._start_decoder()
            resources.callback(self._stop_decoder)
            self.spec = self._decoder.spec
            if self.spec.frames == 0:
                raise RecordingError(
                    self.name, expected="at least one sample", found="a header with 0 samples"
                )
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
        """Samples in each channel; None when the header leaves it open (streamed FLAC, headerless MP3, DASH)."""
        return self.spec.frames

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

    def _check_container(self) -> FaultKeepingFile:
        bridge = FaultKeepingFile(self._file)
        file_bytes = bridge.seek(0, os.SEEK_END)
        completeness = inspect_container(bridge)
        self._raise_fault(bridge, at_seconds=0.0)
        if file_bytes == 0:
            raise RecordingError(self.name, expected="an audio file", found="an empty file (0 bytes)")
        if completeness.expected is not None and completeness.found is not None:
            raise RecordingError(self.name, expected=completeness.expected, found=completeness.found)
        if completeness.splice is not None:
            return FaultKeepingFile(SplicedFile(self._file, completeness.splice))
        return bridge

    def _start_decoder(self) -> Decoder:
        kind = Mp4Decoder if is_mp4(self._bridge) else SndfileDecoder
        self._bridge.seek(0)
        try:
            return kind(self._bridge)
        except DecodingError as error:
            self._raise_fault(self._bridge, at_seconds=0.0)
            expected = error.expected or "audio (WAV, FLAC, OGG, MP3, AIFF, M4A …)"
            raise RecordingError(self.name, expected=expected, found=error.found) from error

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
            self._raise_fault(self._bridge, at_seconds=at_seconds)
            expected = error.expected or f"decodable audio after {at_seconds:.1f} s"
            raise RecordingError(self.name, expected=expected, found=error.found) from error
        self._raise_fault(self._bridge, at_seconds=at_seconds)
        return block

    def _raise_fault(self, bridge: FaultKeepingFile, *, at_seconds: float) -> None:
        fault = bridge.fault
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


def _wording(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    return (getattr(error, "strerror", None) or f"{type(error).__name__}: {error}").replace("\n", " ")
