"""What the benchmarks hand to the archive job in place of its separator: one that is timed, and one that does nothing.

Ray's workers import this module: Ray puts the folder of the script that starts it on their path.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uss_ray.api.publisher import Publisher
from uss_ray.api.queries import plan_targets
from uss_ray.api.request import SeparationRequest
from uss_ray.api.separator import RecordingSeparator
from uss_ray.separation.mixture import Source
from uss_ray.separation.networks import Networks
from uss_ray.separation.scheduler import Scheduler, Session
from uss_ray.separation.session import EstimateBlock
from uss_ray.separation.windows import Span

_BLOCK_SEGMENTS = 4


class TimedSeparator(RecordingSeparator):
    """The real one; notes when it is ready, in a file for each worker."""

    def __init__(self, request: SeparationRequest, *, notes: Path, scratch: Path | None = None) -> None:
        super().__init__(request, scratch=scratch)
        note_ready(notes)


def note_ready(notes: Path) -> None:
    """Write the time of the monotonic clock, which all processes of a machine share."""
    notes.mkdir(parents=True, exist_ok=True)
    now = time.monotonic()
    (notes / f"{now:.6f}").touch()


def ready_times(notes: Path) -> list[float]:
    """Tell when workers were ready, first to last."""
    return sorted(float(path.name) for path in notes.iterdir())


class NoNetworks(Networks):
    """Networks that no session asks."""

    def __init__(self) -> None:
        self.batch_size = 1


class NullEngine:
    """Gives blocks as the engine does, without networks: the mixture, no tags, and what `sounding` asks for.

    Parameters
    ----------
    keys : sequence of str
        Of the targets.
    segment_seconds : int
    sounding : int
        So many of the targets are active everywhere, each estimate an even share of the mixture.
    """

    def __init__(self, keys: Sequence[str], *, segment_seconds: int, sounding: int) -> None:
        self._keys = tuple(keys)
        self._segment_seconds = segment_seconds
        self._sounding = self._keys[:sounding]

    def scheduler(self) -> Scheduler[EstimateBlock]:
        """Make the scheduler of a worker."""
        return Scheduler(NoNetworks())

    def session(self, source: Source, span: Span) -> Session[EstimateBlock]:
        """Give the blocks of a recording, or of a span of one."""
        rate = source.sample_rate
        segment_frames = self._segment_seconds * rate
        waveform = np.concatenate(list(source.blocks(1 << 30)), axis=1)
        origin = getattr(source, "start_frame", 0)
        end = origin + waveform.shape[1]
        if span.last_segment is not None:
            end = min(end, span.last_segment * segment_frames)
        step = _BLOCK_SEGMENTS * segment_frames
        for start in range(span.first_segment * segment_frames, end, step):
            mixture = waveform[:, start - origin : min(start + step, end) - origin]
            segments = -(-mixture.shape[1] // segment_frames)
            active = np.zeros((segments, len(self._keys)), np.bool_)
            active[:, : len(self._sounding)] = True
            yield EstimateBlock(
                start_frame=start,
                sample_rate=rate,
                mixture=mixture,
                estimates={key: mixture / len(self._sounding) for key in self._sounding},
                segment_probs=np.full(active.shape, np.nan, np.float32),
                detected=active,
                sure=active,
                active=active,
                tagged=np.ones(segments, np.bool_),
                held_by=np.where(active, np.arange(len(self._keys), dtype=np.int16), np.int16(-1)),
                segment_seconds=self._segment_seconds,
                detected_spans=tuple(
                    self._whole_segment(
                        (start + first) / rate, min(start + first + segment_frames, end) / rate
                    )
                    for first in range(0, mixture.shape[1], segment_frames)
                ),
                stem_probs=np.full(active.shape, np.nan, np.float32),
            )

    def _whole_segment(self, start_seconds: float, stop_seconds: float) -> NDArray[np.float64]:
        """Say of every target that is active that it is there from one end of a segment to the other."""
        return np.array(
            [(target, start_seconds, stop_seconds) for target in range(len(self._sounding))], np.float64
        ).reshape(-1, 3)


class NullSeparator:
    """Stands for `RecordingSeparator` where the house around the engine is measured.

    Parameters
    ----------
    request : SeparationRequest
        Its weights are read for the names of the stems, and let go.
    notes : Path
        Where to note that it is ready.
    sounding : int, default=0
        See `NullEngine`.
    scratch : Path or None, default=None
        See `RecordingSeparator`.
    """

    def __init__(
        self, request: SeparationRequest, *, notes: Path, sounding: int = 0, scratch: Path | None = None
    ) -> None:
        real = RecordingSeparator(request, scratch=scratch)
        plan = plan_targets(request, engine=real.engine)
        self.publisher: Publisher = real.publisher
        self.engine = NullEngine(
            [target.key for target in plan.separation.targets],
            segment_seconds=request.settings.segment_seconds,
            sounding=0 if request.write.write == "index-only" else sounding,
        )
        note_ready(notes)

    def open_session(self, source: Source, *, span: Span | None = None) -> Session[EstimateBlock]:
        """Take a recording, or a span of one."""
        return self.engine.session(source, span or Span(0, None))
