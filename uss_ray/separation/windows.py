"""Where windows lie around segments, and the ramps that join their estimates.

Owns positions only, at the model rate unless said otherwise. What is done in a window is left to the session.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uss_ray.errors import ConfigError
from uss_ray.models.protocols import Separator, is_masking
from uss_ray.separation.settings import SeparationSettings

# A recording is resampled in whole segments with 256 periods around them, on a grid of at most a second.
_RESAMPLING_CONTEXT_SECONDS = 1


@dataclass(frozen=True)
class Span:
    """Consecutive segments of a recording.

    Parameters
    ----------
    first_segment : int
        From 0.
    last_segment : int or None
        The one after the last; None, or any beyond the recording: to its end.

    Raises
    ------
    ConfigError
        If there is no segment in it.
    """

    first_segment: int
    last_segment: int | None

    def __post_init__(self) -> None:
        last = math.inf if self.last_segment is None else self.last_segment
        if not 0 <= self.first_segment < last:
            raise ConfigError(
                "span of segments",
                expected="a first_segment of at least 0, below last_segment",
                found=f"{self.first_segment} to {self.last_segment}",
            )


@dataclass(frozen=True)
class Window:
    """The part of a recording that is separated for one segment.

    Attributes
    ----------
    start_sample, stop_sample : int
        Sound that the STFT reads; may reach beyond the end of the recording, which counts as silence.
    skip_frames : int
        Frames affected by the artificial window edge, to leave out at the start of that STFT.
    frames : int
        Frames to keep.
    origin_sample : int
        Centre of the first kept frame: where the inverse STFT starts.
    samples : int
        Length of the inverse STFT.
    """

    start_sample: int
    stop_sample: int
    skip_frames: int
    frames: int
    origin_sample: int
    samples: int


class WindowGrid:
    """Lay a window around each segment.

    With faded joins the frames of a window are those of the recording's own STFT, the window starts on the
    separator's pooling grid, and at the recording's ends it slides inwards to keep its length: so the separator sees
    what it would see of the whole recording, as far as the window reaches. With hard joins a segment is alone.

    Parameters
    ----------
    settings : SeparationSettings
    separator : Separator
        Without masks, each sample is a frame of its own, and no edge of an STFT or pooling grid is minded.

    Attributes
    ----------
    segment_samples : int
        Length of a segment.
    halo_segments : int
        Neighbours on each side of a segment whose fades reach into it.
    tag_context_samples : int
        Sound on each side of a segment that the tagger hears with it.

    Raises
    ------
    ConfigError
        If the context is too short to hold half a fade and the edge of the STFT, or the pooling grid is not one of
        whole frames.
    """

    def __init__(self, settings: SeparationSettings, *, separator: Separator) -> None:
        self._count_frames, self._hop, self._margin_frames, self._grid_samples = _frames_of(separator)
        self._hard = settings.joins == "hard"
        self._segment_seconds = settings.segment_seconds
        self.segment_samples = settings.segment_seconds * separator.sample_rate
        self.halo_segments = int(settings.fade_seconds > 0)
        self._names_segments = settings.names_reach_segments
        self._context_samples = round(settings.context_seconds * separator.sample_rate)
        self.tag_context_samples = round(settings.tag_context_seconds * separator.sample_rate)
        if self._grid_samples % self._hop:
            raise ConfigError(
                "separator time_grid_samples",
                expected=f"a multiple of {self._hop}",
                found=str(self._grid_samples),
            )
        least_seconds = settings.fade_seconds / 2 + self._margin_frames * self._hop / separator.sample_rate
        if not self._hard and settings.context_seconds < least_seconds:
            raise ConfigError(
                "separation setting context_seconds",
                expected=f"at least {least_seconds:.3f} with this fade and separator",
                found=str(settings.context_seconds),
            )
        # A window starts on the grid, so up to this much before the context of its segment.
        step = math.gcd(self.segment_samples, self._grid_samples)
        early = self._grid_samples - step + -self._context_samples % step
        reach = early + self.segment_samples + 2 * self._context_samples
        self._grid_steps = math.ceil(reach / self._grid_samples)
        faded_reach = self._grid_steps * self._grid_samples + self._margin_frames * self._hop
        self._reach_samples = self.segment_samples if self._hard else faded_reach
        # At the end of a recording the window slides back.
        self._history_samples = 0 if self._hard else faded_reach + self._grid_samples

    def reach(self, segment: int) -> int:
        """Tell up to which sample a recording must be known, or have ended, to lay the window of a segment."""
        return segment * self.segment_samples + self._reach_samples

    def history(self, segment: int) -> int:
        """Tell from which sample on a recording must be remembered for this segment and all later ones."""
        return max(0, segment * self.segment_samples - max(self._history_samples, self.tag_context_samples))

    def tagged_from(self, segment: int) -> int:
        """Tell at which sample the tagger begins to hear a segment; below 0, where that is before the recording."""
        return segment * self.segment_samples - self.tag_context_samples

    def tagged_until(self, segment: int) -> int:
        """Tell up to which sample it hears it."""
        return (segment + 1) * self.segment_samples + self.tag_context_samples

    @property
    def span_context_seconds(self) -> int:
        """Whole seconds of real sound around a span of segments that it is named and separated by, with resampling."""
        farthest = max(self._history_samples, self._reach_samples - self.segment_samples)
        named = self._names_segments + math.ceil(self.tag_context_samples / self.segment_samples)
        seen = max(math.ceil(farthest / self.segment_samples), named)
        segments = self.halo_segments + seen
        return segments * self._segment_seconds + _RESAMPLING_CONTEXT_SECONDS

    def window(self, segment: int, *, total_samples: int | None) -> Window:
        """Lay the window of a segment.

        Parameters
        ----------
        segment : int
            From 0.
        total_samples : int or None
            Length of the recording; None while it is not known to end within `reach`.

        Returns
        -------
        Window
        """
        if self._hard:
            start, length = segment * self.segment_samples, self.segment_samples
            return Window(start, start + length, 0, self._count_frames(length), start, length)
        step = max(0, (segment * self.segment_samples - self._context_samples) // self._grid_samples)
        frames = self._grid_steps * self._grid_samples // self._hop
        if total_samples is None:
            return self._faded_window(step, frames=frames)
        total_frames = self._count_frames(total_samples)
        total_steps = math.ceil(total_frames * self._hop / self._grid_samples)
        step = min(step, max(0, total_steps - self._grid_steps))
        first_frame = step * self._grid_samples // self._hop
        if first_frame + frames < total_frames:
            return self._faded_window(step, frames=frames, total_samples=total_samples)
        origin = first_frame * self._hop
        window = self._faded_window(step, frames=total_frames - first_frame, total_samples=total_samples)
        return Window(
            window.start_sample,
            total_samples,
            window.skip_frames,
            window.frames,
            window.origin_sample,
            total_samples - origin,
        )

    def _faded_window(self, step: int, *, frames: int, total_samples: int | None = None) -> Window:
        first_frame = step * self._grid_samples // self._hop
        start_frame = max(0, first_frame - self._margin_frames)
        stop_sample = (first_frame + frames - 1 + self._margin_frames) * self._hop
        return Window(
            start_sample=start_frame * self._hop,
            stop_sample=stop_sample if total_samples is None else min(stop_sample, total_samples),
            skip_frames=first_frame - start_frame,
            frames=frames,
            origin_sample=first_frame * self._hop,
            samples=(frames - 1) * self._hop,
        )


def _frames_of(separator: Separator) -> tuple[Callable[[int], int], int, int, int]:
    """Give how to count frames, their hop, how many near a cut in the sound see it, and the pooling grid in samples."""
    if not is_masking(separator):
        return (lambda samples: samples + 1), 1, 0, 1
    stft = separator.stft
    margin_frames = math.ceil(stft.window_samples / 2 / stft.hop_samples)
    return stft.frames, stft.hop_samples, margin_frames, separator.time_grid_samples


def segment_weights(
    start_frame: int,
    frames: int,
    *,
    segment_start_frame: int,
    segment_stop_frame: int,
    fade_frames: float,
    first: bool,
    last: bool,
) -> NDArray[np.float32]:
    """Weigh the estimate of one segment so that neighbours join without a seam.

    Parameters
    ----------
    start_frame : int
        Position of the first weight, at the native rate.
    frames : int
        Number of weights.
    segment_start_frame, segment_stop_frame : int
        Boundaries of the segment; the cross-fades are centred there.
    fade_frames : float
        Length of a cross-fade; 0 makes a step.
    first, last : bool
        The recording begins or ends with this segment: no fade there.

    Returns
    -------
    ndarray of shape (frames,), dtype=float32
        In [0, 1]; over all segments of a recording they sum to 1 at each position.
    """
    positions = np.arange(start_frame, start_frame + frames, dtype=np.float64) + 0.5
    rise = 1.0 if first else _ramp(positions - segment_start_frame, fade_frames)
    fall = 0.0 if last else _ramp(positions - segment_stop_frame, fade_frames)
    return np.broadcast_to(rise - fall, positions.shape).astype(np.float32)


def _ramp(positions: NDArray[np.float64], fade_frames: float) -> NDArray[np.float64]:
    """Rise from 0 to 1 around position 0 as a squared sine; positions rise."""
    ramp = (positions > 0).astype(np.float64)
    if fade_frames > 0:
        inside = slice(*np.searchsorted(positions, (-fade_frames / 2, fade_frames / 2)))
        ramp[inside] = np.sin(np.pi / 2 * (positions[inside] / fade_frames + 0.5)) ** 2
    return ramp
