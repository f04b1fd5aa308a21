"""What the HTTP face asks of whoever separates: in this process, or on Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from uss_ray.api.request import SoundRequest
from uss_ray.audio.spec import AudioSpec

TOLD = (
    "node_id",
    "label",
    "level",
    "kind",
    "status",
    "reason",
    "probability",
    "certainty",
    "stem_probability",
    "active_seconds",
    "active_spans",
    "detected_spans",
    "level_db",
    "peak_db",
    "stem_uri",
    "stem_sha256",
    "stem_bytes",
    "clipped_samples",
    "sample_rate",
    "channels",
    "frames",
    "format",
)
"""Columns of the index that a client is told."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """A recording, decoded, and what is asked of it.

    Attributes
    ----------
    sounds : SoundRequest
    name : str
        What errors and results call the recording.
    spec : AudioSpec
        Of its file.
    samples : ndarray of shape (channels, frames), dtype=float32
    sha256 : str
        Of its file.
    examples : tuple of bytes
        Example recordings of a wanted sound, as WAV files of float32.
    segments : bool, default=False
        Whether the probabilities of all segments are told.
    """

    sounds: SoundRequest
    name: str
    spec: AudioSpec
    samples: NDArray[np.float32]
    sha256: str
    examples: tuple[bytes, ...] = ()
    segments: bool = False

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return float(self.samples.shape[1]) / self.spec.sample_rate


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of a recording.

    Attributes
    ----------
    rows : sequence of mapping
        One for each class that was asked for, then the residuals.
    files : mapping of str to bytes
        Stems and labels by their names, as they lie below the folder of a recording.
    run : mapping
        Name and sha256 of the weights, name of the run, and how long it took.
    segment_seconds : int
    probabilities : mapping of str to ndarray of shape (segments,)
        By key; empty unless the work asks for it.
    """

    rows: Sequence[Mapping[str, Any]]
    files: Mapping[str, bytes]
    run: Mapping[str, Any]
    segment_seconds: int = 2
    probabilities: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EngineFacts:
    """What a front needs to know of the weights.

    Attributes
    ----------
    weights_name, weights_sha256 : str
    known_classes : tuple of int
        Indexes of the classes that they were trained on.
    sample_rate : int
        Of the networks.
    device : str
    """

    weights_name: str
    weights_sha256: str
    known_classes: tuple[int, ...]
    sample_rate: int
    device: str


def told_row(record: dict[str, Any], *, folder: str) -> dict[str, Any]:
    """Let a row name its files as they lie below the folder of its recording."""
    for named in (record, *record["active_spans"]):
        if named["stem_uri"] is not None:
            named["stem_uri"] = named["stem_uri"].removeprefix(f"{folder}/")
    return record


class Backend(Protocol):
    """Whoever separates."""

    async def facts(self) -> EngineFacts:
        """Tell what it separates with."""
        ...

    async def answer(self, work: Work) -> Answer:
        """Separate a recording. A caller that is cancelled costs at most one more forward.

        Raises
        ------
        UssRayError
            Whose fault it was; `problems.Refusal` if there is no room for it now.
        """
        ...

    async def missing(self) -> Mapping[str, str]:
        """Tell what keeps it from answering, by the name of the part; empty if nothing does."""
        ...

    async def close(self) -> None:
        """End what it has begun."""
        ...
