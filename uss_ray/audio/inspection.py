"""How a file is to be read, as its container tells it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from uss_ray.audio.splice import Piece, moved

Kind = Literal["MP4", "CAF", "media"]
"""Who tells what of the decoded sound is the recording: an edit list, a packet table, or FFmpeg (`media`)."""


@dataclass(frozen=True)
class Stream:
    """One stream of a file, to be decoded from its start to its end.

    Attributes
    ----------
    pieces : tuple of Piece
        What to show the decoder.
    frames : int or None
        Samples in each channel, where they are known better than by the decoder.
    """

    pieces: tuple[Piece, ...]
    frames: int | None = None


@dataclass(frozen=True)
class Inspection:
    """What a container says of itself, compared with the file.

    Attributes
    ----------
    streams : tuple of Stream
        One behind the other; none means the file as it is.
    kind : {"MP4", "CAF", "media"}
        How FFmpeg decodes it.
    is_for_ffmpeg : bool
        Whether libsndfile does not even try.
    notes : tuple of str
        What the header says that is not so, and what was done instead; one line each.
    fault : (str, str) or None
        What was expected and what was found, where sound is missing.
    """

    streams: tuple[Stream, ...] = ()
    kind: Kind = "media"
    is_for_ffmpeg: bool = False
    notes: tuple[str, ...] = ()
    fault: tuple[str, str] | None = None

    def moved(self, by: int, *, file_bytes: int) -> Inspection:
        """Say the same of a file of `file_bytes` in which so many bytes lie before."""
        if not self.streams:
            return replace(self, streams=(Stream((range(by, file_bytes),)),))
        streams = tuple(replace(stream, pieces=moved(stream.pieces, by=by)) for stream in self.streams)
        return replace(self, streams=streams)
