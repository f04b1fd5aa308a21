"""What an archive job would do and give, found out without doing it.

Counts and bytes are exact, from the listing. Lengths come from the listing, or from the headers of some recordings.
The size of the results is length times what was measured on the example archive, or in a trial on excerpts.
"""

from __future__ import annotations

import heapq
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from uss_ray.api.request import SeparationRequest
from uss_ray.errors import RecordingError
from uss_ray.pipelines.archive.ledger import Ledger
from uss_ray.pipelines.archive.missing import WhatToDo, content_tags, sort_out, without_duplicates
from uss_ray.pipelines.archive.plan_trial import EXCERPT_SECONDS, Trial, run_trials
from uss_ray.pipelines.runtime.listed_keys import ListedKeys
from uss_ray.pipelines.runtime.run_state import Earlier
from uss_ray.records import Recording
from uss_ray.results.passed_over import PassedOver
from uss_ray.sources.listing import Listing
from uss_ray.sources.reading import open_stored_recording
from uss_ray.store.faults import is_infrastructure
from uss_ray.store.options import StoreOptions
from uss_ray.store.store import Store

_HEADERS = 200
_TRIALS = 4
_OPENED_AT_A_TIME = 16
_HOUR_SECONDS = 3600.0
# Bytes of stems and residuals that a level gives for a second of a channel: what `uss-ray archive examples/archive OUT
# --format F` wrote with the starter weights at levels 1 to 3, of six recordings, 148 s of channels (opus: of one).
_LEVEL_BYTES_PER_SECOND = {"flac": 66_000, "wav": 575_000, "ogg": 16_500, "opus": 20_400, "mp3": 40_100}
_EVENTS_AS_LEVELS = 1.5  # of harbour.ogg


@dataclass(frozen=True, kw_only=True)
class ArchivePlan:
    """What there is, what is left to do, and what that would give.

    Parameters
    ----------
    kind : str
        What the archive is; see `listing.Listing`.
    recordings, done, failed, to_do : int
        In the listing; of these, done before; failed before and not to be tried again; and left.
    changed : int
        Of those that were done or have failed, the ones with another content now: `--changed` says what becomes of
        them.
    duplicates : int
        Rows with the id of another: they are left out.
    count_as_failed : int
        What the run will count as failed without trying: rows with the id of another recording, changed recordings
        under `--changed fail`, and what cannot be listed.
    bytes_to_do : int
        Of those left whose size the listing tells.
    without_size : int
        Those left whose size it does not tell.
    hours : float or None
        Of sound left; None if no length could be found out.
    headers : int
        That were read for lengths which the listing does not tell.
    unreadable : int
        Of these, no recordings.
    is_extrapolated : bool
        Whether there are more recordings of unknown length than headers that were read.
    output_bytes : float or None
        Of stems and residuals, roughly; None if it cannot be told.
    engine_hours : float or None
        Of one worker like this machine, measured in the trial; None without one.
    trials : tuple of Trial
        What output and time were measured on.
    passed_over : str, default=""
        A line on files that are no recordings.
    """

    kind: str
    recordings: int
    done: int
    failed: int
    to_do: int
    changed: int
    duplicates: int
    count_as_failed: int
    bytes_to_do: int
    without_size: int
    hours: float | None
    headers: int
    unreadable: int
    is_extrapolated: bool
    output_bytes: float | None
    engine_hours: float | None
    trials: tuple[Trial, ...]
    passed_over: str = ""

    def lines(self) -> list[str]:
        """Say it in a few lines for a terminal."""
        size = _bytes(self.bytes_to_do)
        if self.without_size:
            size += f", and {self.without_size:,} of unknown size"
        failed = f"{self.failed:,} failed, " if self.failed else ""
        return [
            f"recordings    {self.recordings:,} in the {self.kind}, {self.done:,} done, {failed}{self.to_do:,} to do",
            *([f"changed       {self.changed:,} of them since they were separated"] if self.changed else []),
            *([f"left out      {self.duplicates:,} rows with the id of another"] if self.duplicates else []),
            *([f"will fail     {self.count_as_failed:,} without a try"] if self.count_as_failed else []),
            *([f"passed over   {self.passed_over}"] if self.passed_over else []),
            f"size          {size}",
            f"sound         {self._sound()}",
            f"output        {self._output()}",
            f"engine time   {self._engine()}",
        ]

    def to_json(self) -> str:
        """Give it all as a JSON object."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False)

    def _sound(self) -> str:
        if self.hours is None:
            return "unknown: no header tells a length" if self.to_do else "none"
        if not self.headers:
            return f"{_time(self.hours)}, as the listing says"
        unreadable = f", {self.unreadable} of them unreadable" if self.unreadable else ""
        if self.is_extrapolated:
            return f"about {_time(self.hours)}, from {self.headers} headers{unreadable}"
        return f"{_time(self.hours)}, from all {self.headers} headers{unreadable}"

    def _output(self) -> str:
        if self.output_bytes is None:
            return "unknown: --trial separates excerpts to find out" if self.to_do else "none"
        return f"about {_bytes(self.output_bytes)}, {self._measure('as the example archive gives')}"

    def _engine(self) -> str:
        if self.engine_hours is None:
            return "unknown: --trial separates excerpts to find out" if self.to_do else "none"
        return f"about {_time(self.engine_hours)} of one worker like this machine, {self._measure('')}"

    def _measure(self, otherwise: str) -> str:
        if not self.trials:
            return otherwise
        return f"as {len(self.trials)} excerpts of at most {EXCERPT_SECONDS} s give"


def plan_archive(
    listing: Listing,
    *,
    request: SeparationRequest,
    ledger: Ledger | None = None,
    retry_failed: bool = False,
    trial: bool = False,
    headers: int = _HEADERS,
) -> ArchivePlan:
    """Find out what a job would do.

    Parameters
    ----------
    listing : Listing
        Read once, to its end; only sums are kept.
    request : SeparationRequest
        What would be done with each recording.
    ledger : Ledger, optional
        What is done; None for nothing.
    retry_failed : bool, default=False
        Plan only what has failed.
    trial : bool, default=False
        Separate excerpts of a few recordings, into a folder that is removed, to measure size and time.
    headers : int, default=200
        Most headers to read, of recordings whose length the listing does not tell.

    Raises
    ------
    UssRayError
        If the archive cannot be listed, or a trial finds weights, query or settings wrong.
    """
    nothing = np.zeros(0, np.int64)
    known = Ledger(nothing, nothing) if ledger is None else ledger
    what = WhatToDo(changed=request.changed, storage=request.storage, may_repeat=True)
    counted = _Count(known=known, what=what, retry_failed=retry_failed, most=headers)
    passed_over = PassedOver()
    for table in listing.telling(passed_over.add, unlisted=passed_over.add_unlisted).tables():
        counted.take(table)
    read = _read_headers(counted.sample, storage=request.storage)
    hours = _hours(counted, read)
    trials: list[Trial] = []
    if counted.to_do and trial:
        drawn = (_recording(row) for row in counted.sample or counted.first)
        trials = run_trials(drawn, request=request, wanted=_TRIALS)
    changed = counted.earlier.changed.count
    return ArchivePlan(
        kind=listing.kind,
        recordings=counted.recordings,
        done=counted.earlier.skipped,
        failed=len(counted.earlier.failed_keys),
        changed=changed,
        duplicates=counted.earlier.duplicates.count,
        count_as_failed=counted.earlier.strangers
        + passed_over.lost_count
        + changed * (request.changed == "fail"),
        to_do=counted.to_do,
        bytes_to_do=counted.bytes_to_do,
        without_size=counted.without_size,
        passed_over="; ".join(passed_over.lines()),
        hours=hours,
        headers=len(read),
        unreadable=sum(header.is_unreadable for header in read),
        is_extrapolated=counted.untold > len(read),
        output_bytes=_by_trial(trials, hours=hours, recordings=counted.to_do)
        if trials
        else _by_levels(request, hours=hours, headers=read),
        engine_hours=_engine_hours(trials, hours=hours),
        trials=tuple(trials),
    )


@dataclass(kw_only=True)
class _Count:
    """Goes through a listing once; of recordings whose length it does not tell, those with the lowest keys stay.

    Keys are hashes of names, so these are a fair sample, and the same each time.
    """

    known: Ledger
    what: WhatToDo
    retry_failed: bool
    most: int
    earlier: Earlier = field(default_factory=Earlier)
    listed: ListedKeys = field(default_factory=ListedKeys)
    sample: list[dict[str, Any]] = field(default_factory=list)
    recordings: int = 0
    to_do: int = 0
    bytes_to_do: int = 0
    without_size: int = 0
    seconds_told: float = 0.0
    untold: int = 0
    untold_bytes: int | None = 0
    first: list[dict[str, Any]] = field(default_factory=list)

    def take(self, table: pa.Table) -> None:
        self.recordings += table.num_rows
        once = without_duplicates(table, self.earlier, list_keys=partial(self.listed.add, 0))
        left = sort_out(
            once,
            known=self.known,
            content_tags=content_tags(once, known=self.known, what=self.what),
            retry_failed=self.retry_failed,
            changed=self.what.changed,
            earlier=self.earlier,
        )
        self.to_do += left.num_rows
        self.bytes_to_do += pc.sum(left.column("bytes")).as_py() or 0
        self.without_size += left.column("bytes").null_count
        self.seconds_told += pc.sum(left.column("duration_seconds")).as_py() or 0.0
        self.first += left.slice(0, max(0, _TRIALS - len(self.first))).to_pylist()
        untold = left.filter(pc.is_null(left.column("duration_seconds")))
        self.untold += untold.num_rows
        if untold.column("bytes").null_count:
            self.untold_bytes = None
        elif self.untold_bytes is not None:
            self.untold_bytes += pc.sum(untold.column("bytes")).as_py() or 0
        lowest = np.argsort(untold.column("recording_key").to_numpy())[: self.most]
        candidates = [*self.sample, *untold.take(lowest).to_pylist()]
        self.sample = heapq.nsmallest(self.most, candidates, key=lambda row: row["recording_key"])


@dataclass(frozen=True)
class _Header:
    seconds: float | None
    byte_count: int | None
    channels: int = 1
    is_unreadable: bool = False


def _time(hours: float) -> str:
    if hours >= 1.0:
        return f"{hours:,.1f} h"
    return f"{60 * hours:.1f} min" if hours >= 1 / 60 else f"{_HOUR_SECONDS * hours:.1f} s"


def _read_headers(rows: list[dict[str, Any]], *, storage: StoreOptions) -> list[_Header]:
    with ThreadPoolExecutor(_OPENED_AT_A_TIME) as pool:
        return list(pool.map(partial(_read_header, storage=storage), rows))


def _read_header(row: dict[str, Any], *, storage: StoreOptions) -> _Header:
    try:
        with open_stored_recording(Store(row["recording_uri"], storage)) as reader:
            return _Header(reader.spec.duration_seconds, row["bytes"], reader.spec.channels)
    except RecordingError as error:
        if is_infrastructure(error):
            raise
        # It will be a failed row, and takes no time.
        return _Header(0.0, row["bytes"], is_unreadable=True)


def _hours(counted: _Count, headers: list[_Header]) -> float | None:
    """Add what the listing tells to what the headers say of the rest: by bytes where all sizes are known."""
    told = [(header.seconds, header.byte_count) for header in headers if header.seconds is not None]
    if not counted.to_do or (counted.untold and not told):
        return None
    seconds = sum(length for length, _ in told)
    size = sum(byte_count or 0 for _, byte_count in told)
    if counted.untold > len(told):
        by_size = counted.untold_bytes is not None and size > 0
        seconds *= (counted.untold_bytes or 0) / size if by_size else counted.untold / len(told)
    return (counted.seconds_told + seconds) / _HOUR_SECONDS


def _by_trial(trials: list[Trial], *, hours: float | None, recordings: int) -> float | None:
    """Scale stems by seconds, reports and index rows by recordings."""
    if hours is None:
        return None
    stems = sum(trial.stem_bytes for trial in trials) / sum(trial.seconds for trial in trials)
    others = sum(trial.other_bytes for trial in trials) / len(trials)
    return hours * _HOUR_SECONDS * stems + others * recordings


def _by_levels(request: SeparationRequest, *, hours: float | None, headers: list[_Header]) -> float | None:
    """Reckon whole stems by length, channels and levels or events; what else is written depends on the sound."""
    groups = _EVENTS_AS_LEVELS * request.sought.events + len(request.sought.levels)
    if hours is None or request.write.write != "stems" or not groups:
        return None
    channels = sum(header.channels for header in headers) / len(headers) if headers else 1.0
    per_second = _LEVEL_BYTES_PER_SECOND[request.write.stem_format] * groups * channels
    return hours * _HOUR_SECONDS * per_second


def _engine_hours(trials: list[Trial], *, hours: float | None) -> float | None:
    if hours is None or not trials:
        return None
    return hours * sum(trial.took_seconds for trial in trials) / sum(trial.seconds for trial in trials)


def _recording(row: dict[str, Any]) -> Recording:
    return Recording(recording_uri=row["recording_uri"], recording_id=row["recording_id"])


def _bytes(count: float) -> str:
    size, unit = count, "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:,.0f} B" if unit == "B" else f"{size:,.1f} {unit}"
