"""What the engine hands over and what was asked of it: blocks of a recording, and the stems that come of them.

Owns the shape of both and the checks that blocks are whole; nothing is written here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from uss_ray.errors import ConfigError, RecordingError
from uss_ray.results.index.table import Kind, RecordingFacts

Floats = npt.NDArray[np.float32]


class EstimateBlock(Protocol):
    """What the engine gives for one stretch of a recording, at the native rate.

    Attributes
    ----------
    start_frame : int
        Where the stretch begins; blocks follow each other without gap or overlap.
    mixture : ndarray of shape (channels, n), dtype=float32
        The recording itself.
    estimates : mapping of str to ndarray of shape (channels, n)
        By target key; a target that is not there is inactive throughout the stretch.
    segment_probs : ndarray of shape (segments, targets)
        Probabilities of the segments that begin in the stretch, targets in the order they were asked for;
        NaN for a target that is not tagged.
    detected, sure, active : ndarray of shape (segments, targets), dtype=bool
        Where a target was detected, surely so, and where it was separated.
    tagged : ndarray of shape (segments,), dtype=bool
        False where the segment is too quiet to be tagged; its probabilities are 0.
    held_by : ndarray of shape (segments, targets), dtype=int16
        The place of the target whose estimate holds the sound of a target, mostly its own; -1 where nothing is
        separated of it.
    detected_spans : sequence of ndarray of shape (n, 3)
        For each segment: target, and start and end in seconds, of what is detected in it.
    stem_probs : ndarray of shape (segments, targets)
        Probability of a target in its own estimate; NaN where that was not tagged.
    segment_spans_seconds : ndarray of shape (segments, 2)
        Start and end of each of these segments; the first begins with the block.
    """

    @property
    def start_frame(self) -> int: ...  # noqa: D102
    @property
    def mixture(self) -> Floats: ...  # noqa: D102
    @property
    def estimates(self) -> Mapping[str, Floats]: ...  # noqa: D102
    @property
    def segment_probs(self) -> Floats: ...  # noqa: D102
    @property
    def detected(self) -> npt.NDArray[np.bool_]: ...  # noqa: D102
    @property
    def sure(self) -> npt.NDArray[np.bool_]: ...  # noqa: D102
    @property
    def detected_spans(self) -> Sequence[npt.NDArray[np.float64]]: ...  # noqa: D102
    @property
    def stem_probs(self) -> Floats: ...  # noqa: D102
    @property
    def active(self) -> npt.NDArray[np.bool_]: ...  # noqa: D102
    @property
    def tagged(self) -> npt.NDArray[np.bool_]: ...  # noqa: D102
    @property
    def held_by(self) -> npt.NDArray[np.int16]: ...  # noqa: D102
    @property
    def segment_spans_seconds(self) -> npt.NDArray[np.float64]: ...  # noqa: D102


@dataclasses.dataclass(frozen=True, kw_only=True)
class StemRequest:
    """One stem that was asked for.

    Parameters
    ----------
    key : str
        Node id or `query:<name>`, as in the engine's targets.
    label : str
        Display name.
    level : int or None, default=None
        Ontology level, or None for a query.
    kind : {"node", "event", "class", "union", "text", "example", "rest"}, default="node"
        What was asked for.
    is_known : bool, default=True
        Whether the weights were trained on it.
    is_separable : bool, default=True
        Whether they can be steered to it; another is only heard.
    """

    key: str
    label: str
    level: int | None = None
    kind: Kind = "node"
    is_known: bool = True
    is_separable: bool = True

    @property
    def group(self) -> int | None:
        """With which others it shares a folder and a residual: those of its level, events (0), or queries (None)."""
        return 0 if self.kind == "event" else self.level


@dataclasses.dataclass(frozen=True)
class Stretch:
    """A segment of one target, or several without sound.

    Parameters
    ----------
    start_frame, n_frames : int
        Where it lies in the recording.
    samples : ndarray of shape (channels, n_frames), dtype=float32, or None
        None for silence.
    active : bool
        Whether the target is active in it.
    """

    start_frame: int
    n_frames: int
    samples: Floats | None = None
    active: bool = False


@dataclasses.dataclass(frozen=True)
class Geometry:
    """Rate and channels of a recording, which are known before the first block.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    channels : int
        Number of channels.
    """

    sample_rate: int
    channels: int

    @classmethod
    def of(cls, recording: RecordingFacts) -> Geometry:
        """Take them from the facts.

        Raises
        ------
        ConfigError
            If they are not known.
        """
        if recording.sample_rate is None or recording.channels is None:
            raise ConfigError(recording.recording_id, expected="known rate and channels", found="none")
        return cls(recording.sample_rate, recording.channels)


def checked_blocks(
    blocks: Iterator[EstimateBlock], *, start_frame: int | None, geometry: Geometry, name: str
) -> Iterator[EstimateBlock]:
    """Pass blocks on that follow each other and fit the recording.

    Parameters
    ----------
    blocks : iterator of EstimateBlock
        From the engine.
    start_frame : int or None
        Where the first begins; None: anywhere.
    geometry : Geometry
        Of the recording.
    name : str
        The recording, for errors.

    Yields
    ------
    EstimateBlock
        The same.

    Raises
    ------
    RecordingError
        If there is a gap, or arrays of another shape.
    """
    expected = start_frame
    for block in blocks:
        if expected is not None and block.start_frame != expected:
            raise RecordingError(
                name, expected=f"a block from frame {expected}", found=f"from {block.start_frame}"
            )
        n_frames = block.mixture.shape[1]
        shape = (geometry.channels, n_frames)
        for key, samples in {"mixture": block.mixture, **block.estimates}.items():
            if samples.shape != shape:
                raise RecordingError(
                    f"{name}, {key}", expected=f"a block of shape {shape}", found=str(samples.shape)
                )
        if not len(block.active):
            raise RecordingError(name, expected="at least one segment in a block", found="none")
        expected = block.start_frame + n_frames
        yield block


def check_length(n_frames: int, *, recording: RecordingFacts) -> None:
    """Check that all of a recording came.

    Raises
    ------
    RecordingError
        If nothing came, or another number of samples than the facts say.
    """
    if n_frames == 0:
        raise RecordingError(recording.recording_uri, expected="at least one sample", found="none")
    if recording.frames is not None and n_frames != recording.frames:
        raise RecordingError(
            recording.recording_uri, expected=f"{recording.frames} samples a channel", found=str(n_frames)
        )


def segment_bounds(block: EstimateBlock, *, sample_rate: int) -> npt.NDArray[np.int64]:
    """Find the frames at which the segments of a block begin.

    Parameters
    ----------
    block : EstimateBlock
        With at least one segment.
    sample_rate : int
        In Hz.

    Returns
    -------
    ndarray of shape (segments + 1,), dtype=int64
        Positions in the recording, the end of the block last.
    """
    stop = block.start_frame + block.mixture.shape[1]
    starts = np.rint(np.asarray(block.segment_spans_seconds)[:, 0] * sample_rate).astype(np.int64)
    bounds = np.append(starts, stop)
    bounds[0] = block.start_frame
    return bounds
