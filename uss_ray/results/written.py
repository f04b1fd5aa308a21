"""What came of one recording: index rows and what a report shows, put together when all its stems are finished."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence

from uss_ray.results.activity import Activity
from uss_ray.results.index import IndexRow, RecordingFacts, RunFacts
from uss_ray.results.portrait import Portrait, StemId
from uss_ray.results.spectrogram import Spectrogram
from uss_ray.results.tracks import Track


@dataclasses.dataclass(frozen=True, kw_only=True)
class WrittenRecording:
    """One recording, separated and written.

    Parameters
    ----------
    recording : RecordingFacts
        Its facts, the length now known.
    run : RunFacts
        The run.
    rows : tuple of IndexRow
        Stems in the order asked for, then residuals.
    activities : mapping of str to Activity
        By node id.
    portrait : Portrait or None
        What a report shows, unless nothing was to be drawn.
    """

    recording: RecordingFacts
    run: RunFacts
    rows: tuple[IndexRow, ...]
    activities: Mapping[str, Activity]
    portrait: Portrait | None


def put_together(
    tracks: Sequence[Track],
    *,
    activities: Mapping[str, Activity],
    portrait: Portrait | None,
    recording: RecordingFacts,
    run: RunFacts,
    started: float | None,
) -> WrittenRecording:
    """Make the rows of finished tracks, residuals last; `started` as in `writer.write_estimates`."""
    took_seconds = None if started is None else time.monotonic() - started
    return WrittenRecording(
        recording=recording,
        run=run,
        rows=tuple(
            track.row(
                activities.get(track.request.key),
                recording=recording,
                run=run,
                processing_seconds=took_seconds,
            )
            for track in tracks
        ),
        activities=activities,
        portrait=portrait,
    )


def drawn(tracks: Iterable[Track]) -> dict[StemId, Spectrogram]:
    """Collect the spectrograms of the stems that were heard."""
    return {track.stem_id: track.meter.result() for track in tracks if track.meter is not None}
