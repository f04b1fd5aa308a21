"""What is kept of one stem as its sound passes by: one file, one for each active span, none, or the sound in memory.

Owns when a file begins and ends and which of its sound is kept. Encoding is the business of `audio.codec`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
import numpy.typing as npt

from uss_ray.audio.codec import StemWriter, WrittenStem
from uss_ray.audio.spec import StemFormat, StemSubtype
from uss_ray.audio.tagging import Cue, StemTags
from uss_ray.audio.tags import RecordingTags
from uss_ray.errors import OutputError
from uss_ray.results.blocks import StemRequest, Stretch
from uss_ray.version import VERSION

Floats = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Encoding:
    """What all stems of one recording have in common.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    channels : int
        Number of channels.
    frames : int or None
        Length of the recording where it is known.
    stem_format : str
        Container, and the ending of the names.
    subtype : str
        Coding.
    tags : RecordingTags or None, default=None
        What the recording's file says besides its sound, for the stems to say too. None: they say nothing.
    """

    sample_rate: int
    channels: int
    frames: int | None
    stem_format: StemFormat
    subtype: StemSubtype
    tags: RecordingTags | None = None


@dataclasses.dataclass(frozen=True)
class StemFile:
    """A finished file.

    Parameters
    ----------
    uri : str
        Name relative to the output root.
    start_frame : int
        Where in the recording it begins.
    span_start_frame : int
        Where the active span begins for which it was made; 0 for a whole stem.
    written : WrittenStem
        What stands there.
    """

    uri: str
    start_frame: int
    span_start_frame: int
    written: WrittenStem


class StemFiles(Protocol):
    """Where the sound of a stem goes."""

    @property
    def finished(self) -> Sequence[StemFile]:
        """Files that are complete."""

    def take(self, stretch: Stretch, *, heard: bool) -> None:
        """Take the next stretch; `heard` says whether it is above the silence level."""

    def finish(self, events: Sequence[Stretch] = ()) -> None:
        """Complete what is open: the recording has ended. `events` are where the sound of a whole stem was detected."""

    def discard(self) -> None:
        """Leave nothing behind, neither open nor finished."""


class NoFiles:
    """For an index without stems."""

    finished: Sequence[StemFile] = ()

    def take(self, stretch: Stretch, *, heard: bool) -> None:
        """Pass it over."""

    def finish(self, events: Sequence[Stretch] = ()) -> None:
        """Nothing is open."""

    def discard(self) -> None:
        """Nothing is there."""


class WholeFile:
    """One file as long as the recording, opened when the stem is first heard.

    Parameters
    ----------
    root : Path
        Output root.
    uri : str
        Its name below.
    encoding : Encoding
        Its format.
    stem : StemRequest
        What it holds.
    """

    def __init__(self, root: Path, *, uri: str, encoding: Encoding, stem: StemRequest) -> None:
        self._stem = _LazyStem(
            root, uri=uri, start_frame=0, span_start_frame=0, encoding=encoding, request=stem
        )
        self.finished: list[StemFile] = []

    def take(self, stretch: Stretch, *, heard: bool) -> None:
        """Take the next stretch."""
        self._stem.add(stretch.samples, n_frames=stretch.n_frames, heard=heard)

    def finish(self, events: Sequence[Stretch] = ()) -> None:
        """Complete the file, if there is one."""
        self.finished.extend(self._stem.closed(events))

    def discard(self) -> None:
        """Leave nothing behind."""
        self._stem.discard()


class HeldSound:
    """The sound of a whole stem in memory, as its file would have it before it is encoded.

    Parameters
    ----------
    uri : str
        Name that its file would have below an output root.
    channels : int
        Number of channels.

    Notes
    -----
    It holds the arrays that it is given, and copies none of them until it is asked for the whole.
    """

    finished: Sequence[StemFile] = ()

    def __init__(self, *, uri: str, channels: int) -> None:
        self.uri = uri
        self.is_heard = False
        self._channels = channels
        self._frames = 0
        self._pieces: list[tuple[int, Floats]] = []

    def take(self, stretch: Stretch, *, heard: bool) -> None:
        """Take the next stretch; what comes before the first that is heard counts as silence."""
        self.is_heard = self.is_heard or heard
        if self.is_heard and stretch.samples is not None:
            self._pieces.append((stretch.start_frame, stretch.samples))
        self._frames = stretch.start_frame + stretch.n_frames

    def finish(self, events: Sequence[Stretch] = ()) -> None:
        """Nothing is open."""

    def discard(self) -> None:
        """Let go of the sound."""
        self._pieces = []

    def samples(self) -> Floats:
        """Put the whole stem together, of shape (channels, frames), in an array of its own."""
        whole = np.zeros((self._channels, self._frames), np.float32)
        for start, piece in self._pieces:
            whole[:, start : start + piece.shape[1]] = piece
        return whole


class SpanFiles:
    """One file for each active span, with the fade on both sides of it; opened when the span is first heard.

    Parameters
    ----------
    root : Path
        Output root.
    uri_at : callable
        Gives the name of a file from the second at which it begins.
    encoding : Encoding
        Format.
    stem : StemRequest
        What they hold.
    fade_seconds : float
        Length of the cross-fade of two segments; half of it lies outside a span.
    heard_so_far : callable
        Gives start and end in seconds of where the sound was detected, up to the end of what was taken or further.
    """

    def __init__(
        self,
        root: Path,
        *,
        uri_at: Callable[[float], str],
        encoding: Encoding,
        stem: StemRequest,
        fade_seconds: float,
        heard_so_far: Callable[[], Sequence[tuple[float, float]]],
    ) -> None:
        self._root = root
        self._request = stem
        self._uri_at = uri_at
        self._encoding = encoding
        self._heard_so_far = heard_so_far
        self._margin_frames = math.ceil(fade_seconds * encoding.sample_rate / 2)
        self._open: _LazyStem | None = None
        self._made: list[_LazyStem] = []
        self._free_from = 0
        self._active_frames = 0
        self._margin: Floats | None = None
        self.finished: list[StemFile] = []

    def take(self, stretch: Stretch, *, heard: bool) -> None:
        """Take the next stretch; a span begins and ends with one."""
        samples = stretch.samples
        if stretch.active:
            span = self._open or self._begun(stretch.start_frame, heard=heard)
            span.add(samples, n_frames=stretch.n_frames, heard=heard)
            self._active_frames += stretch.n_frames
        elif self._open is not None:
            count = min(self._margin_frames, stretch.n_frames)
            # Whatever else is heard in the stretch: the fade of a span that was not heard is not either.
            self._open.add(None if samples is None else samples[:, :count], n_frames=count, heard=False)
            self._free_from = stretch.start_frame + count
            self.finish()
        first = max(0, stretch.n_frames - self._margin_frames)
        self._margin = None if samples is None else samples[:, first:].copy()

    def finish(self, events: Sequence[Stretch] = ()) -> None:  # noqa: ARG002
        """Complete the span that is open; the events in its file are where the sound was detected in it."""
        if self._open is not None:
            first = self._open.span_start_frame
            self.finished.extend(self._open.closed(self._events(first, first + self._active_frames)))
            self._open = None

    def discard(self) -> None:
        """Leave nothing behind."""
        for stem in self._made:
            stem.discard()

    def _events(self, first: int, stop: int) -> list[Stretch]:
        """Cut what was detected to a stretch of the recording, in frames."""
        rate = self._encoding.sample_rate
        edges = [(round(start * rate), round(end * rate)) for start, end in self._heard_so_far()]
        cut = [(max(start, first), min(end, stop)) for start, end in edges]
        return [Stretch(start, end - start) for start, end in cut if start < end]

    def _begun(self, start_frame: int, *, heard: bool) -> _LazyStem:
        lead = min(self._margin_frames, start_frame - self._free_from)
        first_frame = start_frame - lead
        self._open = _LazyStem(
            self._root,
            uri=self._uri_at(first_frame / self._encoding.sample_rate),
            start_frame=first_frame,
            span_start_frame=start_frame,
            encoding=self._encoding,
            request=self._request,
        )
        self._active_frames = 0
        self._made.append(self._open)
        before = None if self._margin is None or lead == 0 else self._margin[:, -lead:]
        self._open.add(before, n_frames=lead, heard=heard)
        return self._open


class _LazyStem:
    """A file that is there from the first stretch that is heard; what comes before counts as silence."""

    def __init__(
        self,
        root: Path,
        *,
        uri: str,
        start_frame: int,
        span_start_frame: int,
        encoding: Encoding,
        request: StemRequest,
    ) -> None:
        self.span_start_frame = span_start_frame
        self._request = request
        self._path = root / uri
        self._uri = uri
        self._start_frame = start_frame
        self._encoding = encoding
        self._frames_before = 0
        self._writer: StemWriter | None = None
        self._is_closed = False

    def add(self, samples: Floats | None, *, n_frames: int, heard: bool) -> None:
        if self._writer is None and not heard:
            self._frames_before += n_frames
            return
        writer = self._writer or self._opened()
        if samples is None:
            writer.write_silence(n_frames)
        else:
            writer.write(samples)

    def closed(self, events: Sequence[Stretch]) -> list[StemFile]:
        """Complete the file and give it; none if nothing was heard."""
        if self._writer is None:
            return []
        written = self._writer.close(self._tags(events))
        self._is_closed = True
        # A stem beyond full scale has become another file.
        self._path = written.path
        uri = PurePosixPath(self._uri).with_suffix(written.path.suffix).as_posix()
        return [StemFile(uri, self._start_frame, self.span_start_frame, written)]

    def _tags(self, events: Sequence[Stretch]) -> StemTags | None:
        label = self._request.label
        return stem_tags(
            self._encoding.tags,
            label=label,
            key=self._request.key,
            start_frame=self._start_frame,
            cues=tuple(Cue(one.start_frame - self._start_frame, one.n_frames, label) for one in events),
        )

    def discard(self) -> None:
        if self._is_closed:
            self._path.unlink(missing_ok=True)
        elif self._writer is not None:
            self._writer.abort()

    def _opened(self) -> StemWriter:
        encoding = self._encoding
        try:
            # Never the root: who ends a run takes it away while a worker may still be writing.
            for above in reversed(self._path.parents[: len(PurePosixPath(self._uri).parts) - 1]):
                above.mkdir(exist_ok=True)
        except OSError as error:
            found = error.strerror or type(error).__name__
            raise OutputError(
                str(self._path.parent), expected="a folder that can be made", found=found
            ) from error
        self._writer = StemWriter(
            self._path,
            sample_rate=encoding.sample_rate,
            channels=encoding.channels,
            format=encoding.stem_format,
            subtype=encoding.subtype,
            expected_frames=None if encoding.frames is None else encoding.frames - self._start_frame,
            grows=True,
            name=self._uri,
        )
        self._writer.write_silence(self._frames_before)
        return self._writer


def stem_tags(
    tags: RecordingTags | None, *, label: str, key: str, start_frame: int = 0, cues: tuple[Cue, ...] = ()
) -> StemTags | None:
    """Say of a stem what its recording says, and what it is; nothing, if the recording's words are not kept.

    Parameters
    ----------
    tags : RecordingTags or None
    label, key : str
        Of what is separated.
    start_frame : int, default=0
        Where in the recording it begins.
    cues : tuple of Cue, default=()
        Its events.
    """
    if tags is None:
        return None
    software = f"USS-Ray {VERSION}"
    return StemTags(
        recording=tags,
        comment=f"{label} ({key}), separated by {software}",
        software=software,
        start_frame=start_frame,
        cues=cues,
    )
