"""Encoding stems: written under a temporary sibling name, checked, hashed, then committed by rename.

Owns what may go wrong on the way to the disk; where stems go and what they are called is the caller's business.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NoReturn

import numpy as np
import soundfile
from numpy.typing import NDArray

from uss_ray.audio.bridge import FaultKeepingSink
from uss_ray.audio.capacity import check_format_holds
from uss_ray.audio.channel_order import as_in_file
from uss_ray.audio.ogg import settle_serial_number
from uss_ray.audio.pieces import EvenPieces
from uss_ray.audio.riff import settle_peak_time
from uss_ray.audio.spec import LOSSY_FORMATS, STEM_SUBTYPES, StemFormat, StemSubtype, checked_stem_format
from uss_ray.audio.tagging import StemTags, write_tagged
from uss_ray.errors import ConfigError, OutputError

_CONTAINERS: dict[StemFormat, str] = {"flac": "FLAC", "wav": "WAV", "ogg": "OGG", "opus": "OGG", "mp3": "MP3"}
_SAMPLE_BYTES: dict[StemSubtype, int] = {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}
# Vorbis starts from a guess made of the first piece it gets, and puts all of a piece on the stack.
_LOSSY_PIECE_FRAMES = 4096
# RIFF counts bytes in 32 bits; the margin is for its headers.
_WAV_MAX_BYTES = 2**32 - 2**16
_BUFFER_BYTES = 1 << 20
_SILENCE_FRAMES = 1 << 16


@dataclass(frozen=True)
class WrittenStem:
    """A stem that has been committed.

    Attributes
    ----------
    path : Path
        Its final name.
    coding : str
        Format and coding, such as `FLAC/PCM_16`.
    frames : int
        Samples in each channel.
    file_bytes : int
        Size of the file.
    sha256 : str
        Hash of the file's bytes, in hexadecimal.
    clipped_samples : int
        Samples beyond full scale that integer coding had to clip, counted over all channels.
    """

    path: Path
    coding: str
    frames: int
    file_bytes: int
    sha256: str
    clipped_samples: int


class StemWriter:
    """Write one stem block by block; nothing stands under its final name until `close` has succeeded.

    As a context manager it closes on success and aborts on an exception.

    Parameters
    ----------
    path : path
        Final name; its folder must exist. An older file of that name is replaced.
    sample_rate : int
        Rate of the stem, in Hz.
    channels : int
        Number of channels.
    format : {"flac", "wav", "ogg", "opus", "mp3"}, default="flac"
        Container: `ogg` holds Vorbis. WAV becomes RF64 when `expected_frames` need more than 4 GiB.
    subtype : {"PCM_16", "PCM_24", "FLOAT", "VORBIS", "OPUS", "MPEG_LAYER_III"}, default=None
        Coding; None takes the format's first: PCM_16, or the one of a lossy format. FLOAT is for WAV only. See
        `spec.stem_subtype` for the choice that suits a recording.
    expected_frames : int, default=None
        Samples in each channel to come, where known.
    grows : bool, default=False
        Whether a stem of integers goes on as a WAV of floats, under a name that ends so, from the first sample on that
        lies beyond full scale; what came before keeps its rounding. Otherwise, and in lossy formats, it is clipped.

    name : str, default=None
        What errors call the stem; None takes the path.

    Attributes
    ----------
    path : Path
        Final name; another after a stem has grown.
    name : str
        What errors call the stem.
    frames : int
        Samples in each channel so far.
    clipped_samples : int
        Samples beyond full scale so far that were clipped.

    Raises
    ------
    ConfigError
        If the format is unknown or cannot hold the subtype, the rate or the channels.
    OutputError
        If the file cannot be created.

    Notes
    -----
    The same samples give the same bytes, in whatever blocks they come (ADR 17).
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        sample_rate: int,
        channels: int,
        format: str = "flac",
        subtype: str | None = None,
        expected_frames: int | None = None,
        grows: bool = False,
        name: str | None = None,
    ) -> None:
        self.path = Path(path)
        self.name = name or str(self.path)
        self.sample_rate = sample_rate
        self.channels = channels
        self.frames = 0
        self.clipped_samples = 0
        self._format = checked_stem_format(format)
        self._subtype = _checked_subtype(subtype, stem_format=self._format)
        check_format_holds(self._format, item=self.name, sample_rate=sample_rate, channels=channels)
        self._expected_frames = expected_frames
        self._grows = grows and self._format not in LOSSY_FORMATS
        self._pieces = EvenPieces(_LOSSY_PIECE_FRAMES) if self._format in LOSSY_FORMATS else None
        self._max_frames = self._wav_max_frames() if self._format == "wav" else None
        container = _CONTAINERS[self._format]
        if self._max_frames is not None and (expected_frames or 0) > self._max_frames:
            container, self._max_frames = "RF64", None
        self._open_file(container)

    def _open_file(self, container: str) -> None:
        # Not the stem's own name with an ending: that could grow longer than a file system allows.
        self._temporary = self.path.with_name(f".{secrets.token_hex(8)}.part")
        self._file = self._created()
        self._bridge = FaultKeepingSink(self._file)
        self._open = True
        self._encoder = self._started(container=container, sample_rate=self.sample_rate)

    def __enter__(self) -> StemWriter:
        """Return the writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Commit on success, leave nothing behind on an exception."""
        if kind is None and self._open:
            self.close()
        else:
            self.abort()

    def write(self, block: NDArray[np.float32]) -> None:
        """Append samples.

        Parameters
        ----------
        block : ndarray of shape (channels, n), dtype=float32
            Samples, full scale 1; any coding but FLOAT clips what lies beyond and counts it.

        Raises
        ------
        OutputError
            If the disk is full or fails, samples are not finite, or a WAV would outgrow 4 GiB. The writer aborts.
        ValueError
            If `block` has another number of channels, or the writer is closed.
        """
        if block.ndim != 2 or block.shape[0] != self.channels:
            raise ValueError(f"expected a block of shape ({self.channels}, n), not {block.shape}")
        if block.shape[1] == 0:
            return
        highest, lowest = float(block.max()), float(block.min())
        if not (np.isfinite(highest) and np.isfinite(lowest)):
            self._fail(expected="finite samples", found="NaN or Inf")
        if self._subtype != "FLOAT" and (highest > 1 or lowest < -1):
            if self._grows:
                # At that very sample: what comes in other blocks gives the same file.
                within = int(np.argmax((np.abs(block) > 1).any(axis=0)))
                if within:
                    self._append(np.ascontiguousarray(block[:, :within].T, dtype=np.float32))
                self._grow()
                block = block[:, within:]
            else:
                self.clipped_samples += int(np.count_nonzero(np.abs(block) > 1))
                block = np.clip(block, -1, 1)
        self._append(np.ascontiguousarray(block.T, dtype=np.float32))

    def write_silence(self, frames: int) -> None:
        """Append digital silence, in memory that does not grow with its length.

        Parameters
        ----------
        frames : int
            Samples in each channel, 0 or more.

        Raises
        ------
        OutputError
            As `write`.
        """
        silence = np.zeros((min(frames, _SILENCE_FRAMES), self.channels), dtype=np.int16)
        while frames > 0:
            count = min(frames, _SILENCE_FRAMES)
            self._append(silence[:count])
            frames -= count

    def close(self, tags: StemTags | None = None) -> WrittenStem:
        """Finish the file, check it, and give it its final name.

        Parameters
        ----------
        tags : StemTags, optional
            What the stem says of itself; its samples stay the same.

        Returns
        -------
        WrittenStem
            What now stands under the final name.

        Raises
        ------
        OutputError
            If the last bytes cannot be written, the file does not hold every sample, or the rename fails; the
            temporary file is gone then.
        ValueError
            If the writer is closed already.
        """
        self._check_open()
        try:
            self._finish_encoding()
            if tags is not None:
                self._tag(tags)
            if self._format in ("ogg", "opus"):
                settle_serial_number(self._temporary)
            elif self._format == "wav":
                settle_peak_time(self._temporary)
            os.fsync(self._file.fileno())
            self._open = False
            self._file.close()
            self._check_length()
            digest, file_bytes = _sha256(self._temporary)
            os.replace(self._temporary, self.path)
        except (OSError, soundfile.SoundFileError) as error:
            self._fail(expected="a finished file", found=_wording(error), cause=error)
        coding = f"{self._format.upper()}/{self._subtype}"
        return WrittenStem(self.path, coding, self.frames, file_bytes, digest, self.clipped_samples)

    def _tag(self, tags: StemTags) -> None:
        """Go on with a copy that has the tags."""
        untagged = self._temporary
        self._file.close()
        try:
            self._temporary = self.path.with_name(f".{secrets.token_hex(8)}.part")
            self._file = self._created()
            write_tagged(untagged, self._file, stem_format=self._format, tags=tags)
            self._file.flush()
        finally:
            untagged.unlink(missing_ok=True)

    def abort(self) -> None:
        """Stop and leave nothing behind; harmless after `close`."""
        if self._open:
            # What the encoder still wants to write is of no interest now, nor is whether it can.
            self._bridge.fault = self._bridge.fault or InterruptedError("the stem was given up")
            with contextlib.suppress(soundfile.SoundFileError):
                self._encoder.close()
        self._discard_file()

    def _finish_encoding(self) -> None:
        for piece in self._pieces.rest() if self._pieces else ():
            self._encode(piece)
        self._encoder.close()
        self._raise_fault()
        self._file.flush()

    def _grow(self) -> None:
        """Go on as a WAV of floats: what was written is decoded and written again, block by block."""
        self._check_open()
        before, held_frames = self._temporary, self.frames
        try:
            self._finish_encoding()
            self._file.close()
        except (OSError, soundfile.SoundFileError) as error:
            self._fail(expected="a finished file", found=_wording(error), cause=error)
        try:
            self.path, self.frames = self.path.with_suffix(".wav"), 0
            self._format, self._subtype = "wav", "FLOAT"
            self._max_frames = None if self._expected_frames is None else self._wav_max_frames()
            is_long = self._max_frames is None or (self._expected_frames or 0) > self._max_frames
            self._max_frames = None if is_long else self._max_frames
            self._open_file("RF64" if is_long else "WAV")
            if held_frames:
                with soundfile.SoundFile(before) as held:
                    while len(block := held.read(_SILENCE_FRAMES, dtype="float32", always_2d=True)):
                        self._append(block)
        except (OSError, soundfile.SoundFileError) as error:
            self._fail(expected="a file that can be read back", found=_wording(error), cause=error)
        finally:
            before.unlink(missing_ok=True)
        if self.frames != held_frames:
            self._fail(expected=f"{held_frames} samples so far", found=str(self.frames))

    def _created(self) -> BinaryIO:
        try:
            return open(self._temporary, "xb+", buffering=_BUFFER_BYTES)
        except (OSError, ValueError) as error:
            found = _wording(error)
            raise OutputError(self.name, expected="a file that can be written", found=found) from error

    def _started(self, *, container: str, sample_rate: int) -> soundfile.SoundFile:
        try:
            return soundfile.SoundFile(
                self._bridge, "w", sample_rate, self.channels, self._subtype, format=container
            )
        except (soundfile.SoundFileError, TypeError, ValueError) as error:
            self._discard_file()
            fault = self._bridge.fault or error
            asked = f"{sample_rate} Hz, {self.channels} channels, {self._subtype}"
            raise OutputError(
                self.name, expected=f"room for {container} of {asked}", found=_wording(fault)
            ) from fault

    def _append(self, interleaved: NDArray[np.float32] | NDArray[np.int16]) -> None:
        self._check_open()
        if self._max_frames is not None and self.frames + len(interleaved) > self._max_frames:
            self._fail(expected="less than 4 GiB, or expected_frames given for RF64", found="more samples")
        interleaved = as_in_file(interleaved, stem_format=self._format)
        for piece in self._pieces.cut(interleaved) if self._pieces else (interleaved,):
            self._encode(piece)
        self.frames += len(interleaved)

    def _encode(self, interleaved: NDArray[np.float32] | NDArray[np.int16] | NDArray[np.int32]) -> None:
        if self._format == "wav" and interleaved.dtype == np.float32 and self._subtype != "FLOAT":
            interleaved = _rounded(
                interleaved.astype(np.float32, copy=False), bits=8 * _SAMPLE_BYTES[self._subtype]
            )
        try:
            self._encoder.write(interleaved)
        # soundfile asserts that every frame was taken; that is how a short write shows.
        except (soundfile.SoundFileError, AssertionError) as error:
            self._raise_fault()
            self._fail(expected="room for more samples", found=_wording(error), cause=error)
        self._raise_fault()

    def _raise_fault(self) -> None:
        fault = self._bridge.fault
        if fault is not None:
            self._fail(expected="a disk that takes every byte", found=_wording(fault), cause=fault)

    def _check_length(self) -> None:
        if self.frames == 0:
            return
        held_frames = soundfile.info(self._temporary).frames
        if held_frames != self.frames:
            self._fail(expected=f"{self.frames} samples in the finished file", found=str(held_frames))

    def _discard_file(self) -> None:
        self._open = False
        with contextlib.suppress(OSError):
            self._file.close()
        self._temporary.unlink(missing_ok=True)

    def _fail(self, *, expected: str, found: str, cause: Exception | None = None) -> NoReturn:
        self.abort()
        raise OutputError(self.name, expected=expected, found=found) from cause

    def _check_open(self) -> None:
        if not self._open:
            raise ValueError(f"the stem writer of {self.name} is closed")

    def _wav_max_frames(self) -> int:
        return _WAV_MAX_BYTES // (self.channels * _SAMPLE_BYTES[self._subtype])


def _rounded(samples: NDArray[np.floating], *, bits: int) -> NDArray[np.int32]:
    """Round samples to the nearest of some bits, at the upper end of 32, as FLAC does.

    libsndfile cuts the samples of a WAV down: half a bit off in each stem, and one way in all of them, so that their
    sum is not the recording's.
    """
    scaled = samples * np.float32(1 << (bits - 1))
    np.clip(np.rint(scaled, out=scaled), -(1 << (bits - 1)), (1 << (bits - 1)) - 1, out=scaled)
    return np.asarray(scaled.astype(np.int32) << (32 - bits))


def _checked_subtype(subtype: str | None, *, stem_format: StemFormat) -> StemSubtype:
    if subtype is None:
        return STEM_SUBTYPES[stem_format][0]
    for known in STEM_SUBTYPES[stem_format]:
        if subtype == known:
            return known
    expected = " or ".join(STEM_SUBTYPES[stem_format])
    raise ConfigError(f"subtype of {stem_format} stems", expected=expected, found=repr(subtype))


def _sha256(path: Path) -> tuple[str, int]:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return digest.hexdigest(), file.tell()


def _wording(error: Exception) -> str:
    if isinstance(error, soundfile.LibsndfileError):
        return str(error.error_string).strip().rstrip(".")
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).replace("\n", " ")
