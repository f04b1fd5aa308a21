"""Several recordings, and folders of them, one after the other in one process: what `archive` does, without Ray.

Owns which recordings those are, and that a bad one does not keep the others from being separated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from uss_ray.api.inputs import Input, StoredInput, input_of
from uss_ray.api.publisher import index_name, refuse_existing
from uss_ray.api.request import SeparationRequest
from uss_ray.api.separator import Progress, RecordingSeparator
from uss_ray.api.sounds import SeparatedRecording
from uss_ray.api.staging import check_apart, check_output, sweep_staging
from uss_ray.errors import ConfigError, OutputError, RecordingError
from uss_ray.records import Recording
from uss_ray.results.layout import index_path
from uss_ray.sources.listing import list_recordings
from uss_ray.store.store import Store

_FAILED_PART = "failed-{}"


@dataclass(frozen=True, kw_only=True)
class NotSeparated:
    """A recording without new results.

    Parameters
    ----------
    recording : Recording
    reason : str or None
        What is wrong with it; None: it has results of an earlier run.
    """

    recording: Recording
    reason: str | None = None


def recordings_at(locations: Sequence[str | BinaryIO], *, request: SeparationRequest) -> list[Input]:
    """Name the recordings at some places, and find out before any work whether their results have a place.

    Parameters
    ----------
    locations : sequence of str or binary file
        Recordings, by file name; and local folders, walked as an archive is, by path below them.
    request : SeparationRequest

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
    found: dict[str, Input] = {}
    for location in locations:
        for given in _inputs_at(location, request=request):
            earlier = found.setdefault(given.recording.recording_id, given)
            if earlier is not given:
                raise ConfigError(
                    given.recording.recording_uri,
                    expected="recordings of different names, for results lie below the name",
                    found=f"the name of {earlier.recording.recording_uri}",
                )
    inputs = list(found.values())
    if len(inputs) == 1 and not request.overwrite:
        refuse_existing(request.output_store, recording=inputs[0].recording)
    return inputs


def separate_each(
    separator: RecordingSeparator,
    inputs: Sequence[Input],
    *,
    progress: Progress | None = None,
) -> Iterator[SeparatedRecording | NotSeparated]:
    """Separate recordings one after the other.

    Parameters
    ----------
    separator : RecordingSeparator
    inputs : sequence of Input
    progress : callable, optional
        Called as it goes on, from the start for each of them.

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
    for given in inputs:
        recording = given.recording
        try:
            if not separator.request.overwrite:
                refuse_existing(output, recording=recording)
        except OutputError:
            yield NotSeparated(recording=recording)
            continue
        failed = output / index_path(_FAILED_PART.format(index_name(recording)))
        try:
            done = separator.separate(given, progress=progress)
        except RecordingError as error:
            row = separator.publisher.failed(recording, reason=error.reason)
            separator.publisher.commit_failed([row], name=_FAILED_PART.format(index_name(recording)))
            yield NotSeparated(recording=recording, reason=error.reason)
            continue
        if failed.exists():
            failed.remove()
        yield done


def _inputs_at(location: str | BinaryIO, *, request: SeparationRequest) -> list[Input]:
    if not isinstance(location, str):
        return [input_of(location, strict=request.strict)]
    place = Store(location, request.storage)
    if place.is_remote or not place.local_path().is_dir():
        return [input_of(location, storage=request.storage, strict=request.strict)]
    check_apart(place, request.output_store)
    return [StoredInput(found, request.storage, request.strict) for found in list_recordings(place)]
