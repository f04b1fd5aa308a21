"""A result to be read: its rows, its files, windows of sound, and all of it as a zip; wherever the files lie.

What is kept of one call lies in one object, a recording of a job in a folder: either way a file is a stretch of an
object, and is read in place. Nothing here grows with the length of a recording.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from uss_ray.audio.pcm import to_float, to_int16
from uss_ray.audio.splice import SplicedFile
from uss_ray.audio.stretch import read_stretch, stem_blocks
from uss_ray.errors import OutputError, UssRayError
from uss_ray.results.layout import CALL_INDEX_NAME
from uss_ray.service.problems import Refusal
from uss_ray.store.store import Store

WINDOW_SAMPLES = 1 << 23
"""Most samples of a window, over all channels and stems."""

_CHUNK_BYTES = 1 << 18
_LEAST_AHEAD_BYTES = 1 << 16
_SAMPLE_BYTES = 2
_MIXED_FRAMES = 1 << 18
_WAV_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_MOST_WAV_BYTES = (1 << 32) - 1 - _WAV_HEADER.size
_AT_ONCE = 16  # of a store that is far away
_SEEN_BLOCKS = 600  # as many columns as a picture has
_BLOCK_FRAMES = 1 << 15  # many windows of a spectrogram: none reaches from one stretch into the next

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A file of a result: an object of a store, or a stretch of one.

    Attributes
    ----------
    place : Store
    size : int
        Bytes.
    tag : str
        Another one where the content is another.
    offset : int
        Where in the object it begins.
    start_frame : int
        Where in the recording its sound begins.
    """

    place: Store
    size: int
    tag: str
    offset: int = 0
    start_frame: int = 0

    @contextmanager
    def opened(self, *, ahead_bytes: int | None = None) -> Iterator[SplicedFile]:
        """Open it for reading; see `opened`."""
        with opened(self.place, ahead_bytes=ahead_bytes) as file:
            yield SplicedFile(file, [range(self.offset, self.offset + self.size)])

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """Read some of its bytes, block by block."""
        with self.opened() as file:
            file.seek(start)
            while start < stop and (block := file.read(min(_CHUNK_BYTES, stop - start))):
                start += len(block)
                yield block


@dataclass(frozen=True, kw_only=True)
class Result:
    """What is known of a result without reading sound.

    Attributes
    ----------
    result_id : str
    index : mapping
        What `index.json` says: rate, channels, frames, name of the recording, rows, run, probabilities of segments.
    parts : mapping of str to Part
        Files by their names, as rows have them.
    recording : tuple of str
        Stems whose sum is the recording; empty where there are none.
    archive : Part or None, default=None
        The zip of all of it, where it lies in the store as one.
    expires : int or None, default=None
        Second of Unix time from which it is gone; None: with its job.
    """

    result_id: str
    index: Mapping[str, Any]
    parts: Mapping[str, Part]
    recording: tuple[str, ...]
    archive: Part | None = None
    expires: int | None = None

    @property
    def sample_rate(self) -> int:
        """Of the recording and all stems, in Hz."""
        return int(self.index["sample_rate"])

    @property
    def channels(self) -> int:
        """Of the recording and all stems."""
        return int(self.index["channels"])

    @property
    def frames(self) -> int:
        """Length of the recording in samples of a channel."""
        return int(self.index["frames"])

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return self.frames / self.sample_rate

    @property
    def links(self) -> dict[str, str]:
        """Where the service gives it."""
        own = f"/v1/results/{self.result_id}"
        pictures = {"spectrogram": f"{own}/spectrogram.png"} if self.recording else {}
        return {"self": own, "zip": f"{own}.zip", "window": f"{own}/window", **pictures}

    def part(self, name: str) -> Part:
        """Give a file by its name.

        Raises
        ------
        Refusal
            If there is none of that name.
        """
        found = self.parts.get(name)
        if found is None:
            raise Refusal(f"stem {name[:100]}", expected="a stem of this result", found="none", status=404)
        return found

    def window(self, names: Sequence[str], *, start: int, frames: int) -> NDArray[np.int16]:
        """Read the same stretch of several stems.

        Parameters
        ----------
        names : sequence of str
            Which stems, in the order in which they are wanted.
        start, frames : int
            The stretch in native frames of the recording; what is beyond its end is left out.

        Returns
        -------
        ndarray of shape (frames, stems, channels), dtype=int16
            Silence where a stem has no sound.

        Raises
        ------
        Refusal
            If it is more than a window may be, or a stem is not there.
        """
        frames = max(0, min(frames, self.frames - start))
        samples = frames * len(names) * self.channels
        if samples > WINDOW_SAMPLES:
            raise Refusal(
                "window",
                expected=f"at most {WINDOW_SAMPLES} samples over all channels and stems",
                found=str(samples),
                status=413,
            )
        parts = [self.part(name) for name in names]
        window = np.zeros((frames, len(names), self.channels), np.int16)

        def fill(place: int) -> None:
            part = parts[place]
            skipped = max(0, part.start_frame - start)
            if skipped >= frames:
                return
            with part.opened(ahead_bytes=_CHUNK_BYTES) as file:
                read = read_stretch(
                    file,
                    start=max(0, start - part.start_frame),
                    frames=frames - skipped,
                    name=names[place],
                )
            window[skipped : skipped + read.shape[1], place] = to_int16(read).T

        if any(part.place.is_remote for part in parts):
            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="window") as pool:
                list(pool.map(fill, range(len(parts))))
        else:
            for place in range(len(parts)):
                fill(place)
        return window

    @property
    def seen_frames(self) -> int:
        """How many frames `seen` gives."""
        return min(self.frames, _SEEN_BLOCKS * _BLOCK_FRAMES)

    def seen(self, names: Sequence[str]) -> Iterator[tuple[int, Floats]]:
        """Read the sum of stems to be drawn: of long ones stretches that are spread over all of it.

        Parameters
        ----------
        names : sequence of str
            Several are as long as the recording.

        Yields
        ------
        start : int
            Where in the recording the stretch begins.
        samples : ndarray of shape (channels, n), dtype=float32
            `seen_frames` in all of a stem that is as long as the recording.
        """
        parts = [self.part(name) for name in names]
        is_far = any(part.place.is_remote for part in parts) and self.seen_frames < self.frames
        readers = _AT_ONCE if is_far else 1
        with ExitStack() as files:
            shares = [
                self._seen_share(dict(zip(names, parts, strict=True)), share=(number, readers), files=files)
                for number in range(readers)
            ]
            if not is_far:
                yield from shares[0]
                return
            # What lies far away is asked for side by side; no more of it is held than that.
            with ThreadPoolExecutor(readers, thread_name_prefix="picture") as pool:
                while found := [each for each in pool.map(_next_of, shares) if each is not None]:
                    yield from found

    def _seen_share(
        self, parts: Mapping[str, Part], *, share: tuple[int, int], files: ExitStack
    ) -> Iterator[tuple[int, Floats]]:
        is_long = self.seen_frames < self.frames
        stems = [
            stem_blocks(
                files.enter_context(part.opened(ahead_bytes=self._ahead_bytes(part) if is_long else None)),
                block_frames=_BLOCK_FRAMES,
                most_blocks=_SEEN_BLOCKS,
                name=name,
                share=share,
            )
            for name, part in parts.items()
        ]
        first = next(iter(parts.values())).start_frame
        for blocks in zip(*stems, strict=False):
            yield first + blocks[0][0], sum((block for _, block in blocks[1:]), start=blocks[0][1])

    def _ahead_bytes(self, part: Part) -> int:
        """Tell how much is fetched at once of a stem of which stretches are read: about one of them."""
        return max(_LEAST_AHEAD_BYTES, 5 * part.size * _BLOCK_FRAMES // (4 * self.frames))

    def mixed(self, gains: Mapping[str, float]) -> tuple[int, Iterator[bytes]]:
        """Add up stems as a WAV file of 16 bits, as they are read.

        Parameters
        ----------
        gains : mapping of str to float
            By the names of the stems; at least one.

        Returns
        -------
        size : int
            Bytes.
        blocks : iterator of bytes

        Raises
        ------
        Refusal
            If a stem is not there, or a WAV file cannot be so long.
        """
        for name in gains:
            self.part(name)
        size = self.frames * self.channels * _SAMPLE_BYTES
        if size > _MOST_WAV_BYTES:
            raise Refusal(
                "mix", expected=f"at most {_MOST_WAV_BYTES} bytes of sound", found=str(size), status=413
            )
        return _WAV_HEADER.size + size, self._mixed(gains, size=size)

    def _mixed(self, gains: Mapping[str, float], *, size: int) -> Iterator[bytes]:
        rate, channels = self.sample_rate, self.channels
        bytes_a_frame = channels * _SAMPLE_BYTES
        yield _WAV_HEADER.pack(
            b"RIFF", _WAV_HEADER.size - 8 + size, b"WAVE", b"fmt ", 16, 1, channels, rate,
            rate * bytes_a_frame, bytes_a_frame, 8 * _SAMPLE_BYTES, b"data", size,
        )  # fmt: skip
        factors = np.array(list(gains.values()), np.float32)
        step = max(1, min(_MIXED_FRAMES, WINDOW_SAMPLES // (len(gains) * channels)))
        for start in range(0, self.frames, step):
            window = self.window(list(gains), start=start, frames=step)
            mix = np.tensordot(to_float(window), factors, axes=(1, 0))
            yield to_int16(mix).astype("<i2", copy=False).tobytes()

    def zipped(self, names: Sequence[str]) -> Iterator[bytes]:
        """Give the index and some files as one zip without compression, as they are read.

        Raises
        ------
        Refusal
            If one is not there.
        """
        parts = {name: self.part(name) for name in dict.fromkeys(names)}
        return _zip_of(self.index, parts)


def _next_of(blocks: Iterator[tuple[int, Floats]]) -> tuple[int, Floats] | None:
    return next(blocks, None)


def _zip_of(index: Mapping[str, Any], parts: Mapping[str, Part]) -> Iterator[bytes]:
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(CALL_INDEX_NAME), json.dumps(index, default=str, ensure_ascii=False))
        for name, part in parts.items():
            entry = zipfile.ZipInfo(name)
            entry.file_size = part.size  # so that it is told whether the sizes need 64 bits
            with archive.open(entry, "w") as written:
                for block in part.read(0, part.size):
                    written.write(block)
                    yield sink.taken()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """What was written and nobody has taken yet; cannot be sought in, so sizes stand behind each file."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, block: Any) -> int:
        self._blocks.append(bytes(block))
        return len(block)

    def taken(self) -> bytes:
        blocks, self._blocks = self._blocks, []
        return b"".join(blocks)


@contextmanager
def opened(place: Store, *, ahead_bytes: int | None = None, name: str | None = None) -> Iterator[BinaryIO]:
    """Open an object of the store for reading.

    Parameters
    ----------
    place : Store
    ahead_bytes : int, optional
        See `Store.open`.
    name : str, optional
        What is said to be gone; by default what the object is called.

    Raises
    ------
    Refusal
        If it is gone.
    OutputError
        If the store does not give it.
    """
    try:
        file = place.open(ahead_bytes=ahead_bytes)
    except UssRayError as error:
        if place.is_gone():
            raise gone(name or place.name) from error
        raise OutputError(str(place), expected=error.expected, found=error.found) from error
    with file:
        yield file


def gone(name: str) -> Refusal:
    """Make what is said where nothing is."""
    return Refusal(f"result {name[:80]}", expected="a result that is kept", found="none", status=404)
