"""What came of one recording: index rows and what a report shows, assembled when all its stems are finished."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence

from uss_ray.results.index.activity import Activities, Activity
from uss_ray.results.index.rows import RecordingRows, absent_row, certainty_of_absence
from uss_ray.results.index.table import ActiveSpan, IndexRow, RecordingFacts, RunFacts, blank_row
from uss_ray.results.report.portrait import Portrait
from uss_ray.results.stem_plan import StemPlan
from uss_ray.results.stems.files import HeldSound
from uss_ray.results.stems.stem_run import StemRun
from uss_ray.results.stems.tracks import Track, Tracks

_USUAL_DECODER = "libsndfile"


@dataclasses.dataclass(frozen=True, kw_only=True)
class WrittenRecording:
    """One recording, separated and written.

    Parameters
    ----------
    recording : RecordingFacts
        Its facts, the length now known.
    run : RunFacts
        The run.
    rows : RecordingRows
        Stems in the order asked for, then residuals.
    activities : mapping of str to Activity
        By node id.
    portrait : Portrait or None
        What a report shows, unless nothing was to be drawn.
    held : mapping of str to HeldSound
        Stems in memory, by their names; none where there are files.
    """

    recording: RecordingFacts
    run: RunFacts
    rows: RecordingRows
    activities: Mapping[str, Activity]
    portrait: Portrait | None
    held: Mapping[str, HeldSound] = dataclasses.field(default_factory=dict)


def assemble(
    tracks: Tracks,
    wanted: StemRun,
    *,
    activities: Activities,
    portrait: Portrait | None,
    recording: RecordingFacts,
    started: float | None,
) -> WrittenRecording:
    """Make the rows of a recording from finished tracks; `started` as in `writer.write_estimates`."""
    by_place, shared, held = tracks.by_place(), tracks.shared(), tracks.held()
    took_seconds = None if started is None else time.monotonic() - started
    common = blank_row(recording, run=wanted.facts, processing_seconds=took_seconds)
    own = _explained(wanted.plan, common=common, activities=activities)
    own |= {
        place: _with_decoder(_row(track, common=common, activities=activities), recording)
        for place, track in by_place.items()
    }
    own |= {place: _sharing(own[place], own[holder]) for place, holder in shared.items()}
    return WrittenRecording(
        recording=recording,
        run=wanted.facts,
        rows=RecordingRows(
            wanted.plan,
            common=common,
            probabilities=activities.highest,
            own={place: _absent_for_sure(row, wanted) for place, row in sorted(own.items())},
            sure_below=wanted.surely_absent_below,
        ),
        activities=activities,
        portrait=portrait,
        held=held,
    )


def _row(track: Track, *, common: IndexRow, activities: Activities) -> IndexRow:
    if track.request.kind == "residual":
        return track.row(absent_row(common, track.request), spans=())
    activity = activities[track.request.key]
    absent = absent_row(common, track.request, probability=activity.highest_probability)
    known = dataclasses.replace(
        absent, certainty=activity.certainty, stem_probability=activity.stem_probability
    )
    return track.row(known, spans=activity.spans, separated=activity.separated)


def _absent_for_sure(row: IndexRow, wanted: StemRun) -> IndexRow:
    """Say of a stem that has a track and was nowhere active what is said of those that have none."""
    if row.status != "absent":
        return row
    told = certainty_of_absence(row.probability, sure_below=wanted.surely_absent_below)
    return dataclasses.replace(row, certainty=told)


def _explained(plan: StemPlan, *, common: IndexRow, activities: Activities) -> dict[int, IndexRow]:
    """Make the rows of what is found and not separated: something more specific is, or nothing steers to it."""
    rows = {}
    for key, spans in activities.explained.items():
        place, activity = plan.places[key], activities[key]
        absent = absent_row(common, plan[place], probability=activity.highest_probability)
        rows[place] = dataclasses.replace(
            absent,
            status="explained" if plan[place].is_separable else "detected",
            certainty=activity.certainty,
            active_spans=spans,
        )
    return rows


def _sharing(row: IndexRow, holder: IndexRow) -> IndexRow:
    """Point the row of a target to the stem of another that holds its sound."""
    spans = tuple(_in_file(span, holder.active_spans) for span in row.active_spans)
    has_file = holder.stem_uri is not None or any(span.stem_uri is not None for span in spans)
    return dataclasses.replace(
        row,
        status=holder.status if has_file or holder.status != "written" else "silent",
        active_spans=spans,
        level_db=holder.level_db,
        peak_db=holder.peak_db,
        stem_uri=holder.stem_uri,
        stem_sha256=holder.stem_sha256,
        stem_bytes=holder.stem_bytes,
        clipped_samples=holder.clipped_samples if has_file else None,
        format=holder.format if has_file else None,
    )


def _in_file(span: ActiveSpan, files: Sequence[ActiveSpan]) -> ActiveSpan:
    """Name the file of the longer span that a span lies in, where spans have files."""
    for file in files:
        if file.start_seconds <= span.start_seconds and span.end_seconds <= file.end_seconds:
            return dataclasses.replace(file, start_seconds=span.start_seconds, end_seconds=span.end_seconds)
    return span


def _with_decoder(row: IndexRow, recording: RecordingFacts) -> IndexRow:
    """Name with the format of a stem the decoder of its recording, unless it is the usual one."""
    if row.format is None or recording.decoder == _USUAL_DECODER:
        return row
    return dataclasses.replace(row, format=f"{row.format}, from {recording.format} by {recording.decoder}")
