"""Several recordings, and folders of them, one after the other in one process: what `archive` does, without Ray.

Owns which recordings those are, and that a bad one does not keep the others from being separated.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow.parquet as pq

from uss_ray.api.inputs import Input, StoredInput, input_of, refuse_same_names
from uss_ray.api.publisher import holds_own, index_name, refuse_existing
from uss_ray.api.request import SeparationRequest
from uss_ray.api.separator import Progress, RecordingSeparator
from uss_ray.api.sounds import SeparatedRecording
from uss_ray.api.staging import check_apart, check_output, sweep_staging
from uss_ray.arrow import parquet_of
from uss_ray.errors import OutputError, RecordingError
from uss_ray.records import Recording
from uss_ray.results.index.table import NoIndexError, index_parts
from uss_ray.results.layout import OUTPUT_FOLDERS, index_path, recording_folder
from uss_ray.sources.listing import TellUnlisted, list_recordings
from uss_ray.store.store import Store

_FAILED_PART = "failed-{}"
_READERS = 16


@dataclass(frozen=True, kw_only=True)
class NotSeparated:
    """A recording without new results.

    Parameters
    ----------
    recording : Recording
    reason : str or None
        What is wrong with it; None: it has results of the same request already.
    """

    recording: Recording
    reason: str | None = None


def recordings_at(
    locations: Sequence[str | BinaryIO],
    *,
    request: SeparationRequest,
    unlisted: TellUnlisted | None = None,
) -> list[Input]:
    """Name the recordings at some places, and find out before any work whether their results have a place.

    Parameters
    ----------
    locations : sequence of str or binary file
        Recordings, by file name; and local folders, walked as an archive is, by path below them.
    request : SeparationRequest
    unlisted : callable, optional
        Told what is left out of the folders; None warns in the log.

    Returns
    -------
    list of Input
        In this order. A single recording whose results are in the way is refused; of several, that one is left out.

    Raises
    ------
    RecordingError
        If a location has no name, or a folder holds no recording.
    ConfigError
        If two recordings would have the same id.
    OutputError
        If the output root cannot be written, is a folder of recordings or lies below one.
    """
    check_output(request.output_store)
    inputs = [
        given for location in locations for given in _inputs_at(location, request=request, unlisted=unlisted)
    ]
    refuse_same_names(inputs)
    if len(inputs) == 1 and not request.overwrite:
        refuse_existing(request.output_store, recording=inputs[0].recording)
    return inputs


def done_before(separator: RecordingSeparator, inputs: Sequence[Input]) -> frozenset[str]:
    """Find out before any work which recordings have results already.

    Stems of which no index tells are none: a full disk, or the end of the process, kept their rows from being written.

    Returns
    -------
    frozenset of str
        Ids of those with results of this very request, by these weights; of none that are to be overwritten.

    Raises
    ------
    OutputError
        If there are results of another one.
    """
    output = separator.request.output_store
    if separator.request.overwrite:
        return frozenset()
    runs: dict[str, set[str]] = {}
    untold: list[str] = []
    for given in inputs:
        name = given.recording.recording_id
        own = output / index_path(index_name(given.recording))
        if own.exists():
            runs[name] = _runs_of(own).get(name, set())
        elif holds_own(output / recording_folder(name)):
            untold.append(name)
    if untold:  # unless an archive's index tells of them, in parts of other names
        with suppress(NoIndexError), ThreadPoolExecutor(_READERS) as pool:
            told = list(pool.map(_runs_of, [part.place for part in index_parts(output)]))
            runs |= {name: set().union(*(part.get(name, ()) for part in told)) for name in untold}
    for name, found in runs.items():
        if found - {separator.run.run_id}:
            raise OutputError(
                str(output / recording_folder(name)),
                expected="results of the same query, settings and weights, or overwrite=True",
                found="results of others",
            )
    return frozenset(name for name, found in runs.items() if found)


def _runs_of(part: Store) -> dict[str, set[str]]:
    """Tell by which runs the recordings in a part of an index were separated."""
    with part.open() as file, parquet_of(str(part)):
        table = pq.read_table(file, columns=["recording_id", "run_id", "status"])
        table.validate(full=True)
    runs: dict[str, set[str]] = {}
    for row in table.group_by(table.column_names).aggregate([]).to_pylist():
        if row["status"] != "failed":
            runs.setdefault(row["recording_id"], set()).add(row["run_id"])
    return runs


def separate_each(
    separator: RecordingSeparator,
    inputs: Sequence[Input],
    *,
    progress: Progress | None = None,
    done: Collection[str] | None = None,
) -> Iterator[SeparatedRecording | NotSeparated]:
    """Separate recordings one after the other.

    Parameters
    ----------
    separator : RecordingSeparator
    inputs : sequence of Input
    progress : callable, optional
        Called as it goes on, from the start for each of them.
    done : collection of str, optional
        Of `done_before`. None: found out now.

    Yields
    ------
    SeparatedRecording or NotSeparated
        For each as it is done. What is wrong with one of them is a row of the index, as in an archive.

    Raises
    ------
    UssRayError
        If it is not a recording that is at fault: then nothing goes on.
    """
    output = separator.request.output_store
    sweep_staging(output)
    done = done_before(separator, inputs) if done is None else done
    for given in inputs:
        recording = given.recording
        if recording.recording_id in done:
            yield NotSeparated(recording=recording)
            continue
        failed = output / index_path(_FAILED_PART.format(index_name(recording)))
        try:
            separated = separator.separate(given, progress=progress, is_checked=True)
        except RecordingError as error:
            row = separator.publisher.failed(recording, reason=error.reason)
            separator.publisher.commit_failed([row], name=_FAILED_PART.format(index_name(recording)))
            yield NotSeparated(recording=recording, reason=error.reason)
            continue
        if failed.exists():
            failed.remove()
        yield separated


def _inputs_at(
    location: str | BinaryIO, *, request: SeparationRequest, unlisted: TellUnlisted | None
) -> list[Input]:
    if not isinstance(location, str):
        return [input_of(location, strict=request.strict)]
    place = Store(location, request.storage)
    if place.is_remote or not place.local_path().is_dir():
        return [input_of(location, storage=request.storage, strict=request.strict)]
    check_apart(place, request.output_store, folders=OUTPUT_FOLDERS)
    found = list_recordings(place, unlisted=unlisted, with_manifests=False)
    return [StoredInput(recording, request.storage, request.strict) for recording in found]
