"""What an archive job would do and cost, found out without doing it.

Owns the plan and its wording. Counts and bytes are exact, from the listing; lengths come from the listing, or from
the headers of a sample; size and time of the results from separating a few excerpts on this machine.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import ArrayLike, NDArray

from uss_ray.api.request import SeparationRequest
from uss_ray.errors import RecordingError
from uss_ray.pipelines.archive.ledger import is_in
from uss_ray.pipelines.archive.plan_sampling import Estimate, Reservoir, estimate_rate, estimate_total
from uss_ray.pipelines.archive.plan_trial import EXCERPT_SECONDS, Trial, run_trials
from uss_ray.records import Recording
from uss_ray.sources.listing import Listing
from uss_ray.sources.reading import open_stored_recording
from uss_ray.store.faults import is_infrastructure
from uss_ray.store.store import Store, StoreOptions

_SAMPLED_HEADERS = 200
_TRIALS = 4
_OPENED_AT_A_TIME = 16
_HOUR_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class ArchivePlan:
    """What there is, what is left to do, and what that would give and take.

    Parameters
    ----------
    kind : str
        What the archive is; see `listing.Listing`.
    recordings, done, to_do : int
        In the listing; of these, done before; and left.
    bytes_to_do : int
        Of those left whose size the listing tells.
    without_size : int
        Those left whose size it does not tell.
    hours : Estimate or None
        Of sound left; None if no length could be found out.
    hours_told : float
        The part of it that the listing tells exactly.
    sampled, unreadable, of_open_length : int
        Headers that were read for the rest; of these, no recordings, and without a length.
    output_bytes : Estimate or None
        Of stems, reports and index; None if nothing could be tried.
    engine_hours : Estimate or None
        Of one worker like this machine, from reading to writing.
    trials : tuple of Trial
        What output and time were measured on.
    write, stem_format : str
        What would be written.
    worker : str
        What the trials ran on.
    """

    kind: str
    recordings: int
    done: int
    to_do: int
    bytes_to_do: int
    without_size: int
    hours: Estimate | None
    hours_told: float
    sampled: int
    unreadable: int
    of_open_length: int
    output_bytes: Estimate | None
    engine_hours: Estimate | None
    trials: tuple[Trial, ...]
    write: str
    stem_format: str
    worker: str

    def lines(self) -> list[str]:
        """Say it in a few lines for a terminal."""
        size = _bytes(self.bytes_to_do)
        if self.without_size:
            size += f", and {self.without_size:,} of unknown size"
        return [
            f"recordings    {self.recordings:,} in the {self.kind}, {self.done:,} done, {self.to_do:,} to do",
            f"size          {size}",
            f"sound         {self._sound()}",
            f"output        {self._output()}",
            f"engine time   {self._engine()}",
        ]

    def to_json(self) -> str:
        """Give it all as a JSON object; an error that is not known is null."""
        record = asdict(self)
        for name in ("hours", "output_bytes", "engine_hours"):
            if record[name] is not None and math.isinf(record[name]["error"]):
                record[name]["error"] = None
        return json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)

    def _sound(self) -> str:
        if self.hours is None:
            return "unknown: no header tells a length" if self.to_do else "none"
        if not self.sampled:
            return f"{self.hours.value:,.1f} h, as the listing says"
        if self.hours.error == 0.0 and not self.of_open_length:
            source = f"from all {self.sampled} headers"
        else:
            source = f"estimated from {self.sampled} headers"
        if self.unreadable:
            source += f", {self.unreadable} of them unreadable"
        return f"{self.hours.value:,.1f} h{_plus_minus(self.hours, 1.0, 'h')}, {source}"

    def _output(self) -> str:
        if self.output_bytes is None:
            return "unknown: nothing could be tried" if self.to_do else "none"
        what = "index only" if self.write == "index-only" else f"{self.write} as {self.stem_format}"
        stems = sum(trial.stems for trial in self.trials) / len(self.trials)
        return (
            f"{_bytes(self.output_bytes.value)}{_byte_error(self.output_bytes)} of {what}, if the archive sounds"
            f" like {len(self.trials)} excerpts of at most {EXCERPT_SECONDS} s ({stems:.1f} stems each)"
        )

    def _engine(self) -> str:
        if self.engine_hours is None:
            return "unknown: nothing could be tried" if self.to_do else "none"
        return (
            f"{self.engine_hours.value:,.2f} h{_plus_minus(self.engine_hours, 1.0, 'h')} of one worker"
            f" ({self.worker}), timed on the same excerpts; other machines differ"
        )


def plan_archive(
    listing: Listing,
    *,
    request: SeparationRequest,
    done: ArrayLike = (),
    sample: int = _SAMPLED_HEADERS,
    trials: int = _TRIALS,
    seed: int = 0,
) -> ArchivePlan:
    """Find out what a job would do and cost.

    Parameters
    ----------
    listing : Listing
        Read once, to its end; nothing of it is kept but a sample.
    request : SeparationRequest
        What would be done with each recording.
    done : array_like of int64, default=()
        Keys of the recordings that need no more work.
    sample : int, default=200
        Most headers to read, among the recordings whose length the listing does not tell.
    trials : int, default=4
        Most excerpts to separate; 0 leaves output and time unknown.
    seed : int, default=0
        Of the sample.

    Returns
    -------
    ArchivePlan

    Raises
    ------
    UssRayError
        If the archive cannot be listed, or weights, query or settings are wrong.

    Notes
    -----
    Error of the length: a random sample's 95 % confidence interval. Output and time scale the trials by it: stems by
    seconds, reports and index rows by recordings; their error takes the trials for a random sample too, and
    says nothing of sounds that are rare.
    """
    counted = _Count(done=np.unique(np.asarray(done, dtype=np.int64)), sample=sample, seed=seed)
    for table in listing.tables():
        counted.take(table)
    headers = _read_headers(counted.untold.rows(), storage=request.storage)
    hours = _hours(counted, headers)
    drawn = counted.any.rows()
    measured = run_trials(map(_recording, drawn), request=request, wanted=trials) if trials and drawn else []
    return ArchivePlan(
        kind=listing.kind,
        recordings=counted.recordings,
        done=counted.recordings - counted.to_do,
        to_do=counted.to_do,
        bytes_to_do=counted.bytes_to_do,
        without_size=counted.without_size,
        hours=hours,
        hours_told=counted.seconds_told / _HOUR_SECONDS,
        sampled=len(headers),
        unreadable=sum(header.unreadable for header in headers),
        of_open_length=sum(header.seconds is None for header in headers),
        output_bytes=_output_bytes(measured, hours=hours, recordings=counted.to_do),
        engine_hours=_engine_hours(measured, hours=hours),
        trials=tuple(measured),
        write=request.write.write,
        stem_format=request.write.stem_format,
        worker=_worker(request),
    )


class _Count:
    """Goes through a listing once and keeps sums and samples."""

    def __init__(self, *, done: NDArray[np.int64], sample: int, seed: int) -> None:
        self._done = done
        self.recordings = self.to_do = self.bytes_to_do = self.without_size = 0
        self.seconds_told = 0.0
        self.untold_bytes: int | None = 0
        self.untold = Reservoir(sample, seed=seed)
        self.any = Reservoir(sample, seed=seed + 1)

    def take(self, table: pa.Table) -> None:
        self.recordings += table.num_rows
        left = table.take(np.flatnonzero(~is_in(table.column("recording_key").to_numpy(), self._done)))
        self.to_do += left.num_rows
        self.bytes_to_do += pc.sum(left.column("bytes")).as_py() or 0
        self.without_size += left.column("bytes").null_count
        self.seconds_told += pc.sum(left.column("duration_seconds")).as_py() or 0.0
        untold = left.filter(pc.is_null(left.column("duration_seconds")))
        if untold.column("bytes").null_count:
            self.untold_bytes = None
        elif self.untold_bytes is not None:
            self.untold_bytes += pc.sum(untold.column("bytes")).as_py() or 0
        self.untold.offer(untold)
        self.any.offer(left)


@dataclass(frozen=True)
class _Header:
    """What the header of a sampled recording says."""

    seconds: float | None
    byte_count: int | None
    unreadable: bool


def _read_headers(rows: list[dict[str, object]], *, storage: StoreOptions) -> list[_Header]:
    with ThreadPoolExecutor(_OPENED_AT_A_TIME) as pool:
        return list(pool.map(partial(_read_header, storage=storage), rows))


def _read_header(row: dict[str, Any], *, storage: StoreOptions) -> _Header:
    try:
        with open_stored_recording(Store(row["recording_uri"], storage)) as reader:
            return _Header(reader.spec.duration_seconds, row["bytes"], unreadable=False)
    except RecordingError as error:
        if is_infrastructure(error):
            raise
        # It will be a failed row, and takes no time.
        return _Header(0.0, row["bytes"], unreadable=True)


def _hours(counted: _Count, headers: list[_Header]) -> Estimate | None:
    """Add what the listing tells to what the sample says of the rest."""
    told = [header for header in headers if header.seconds is not None]
    if not counted.untold.seen:
        return Estimate(value=counted.seconds_told / _HOUR_SECONDS) if counted.to_do else None
    if not told:
        return None
    rest = estimate_total(
        [cast(float, header.seconds) for header in told],
        sizes=[header.byte_count for header in told],
        count=counted.untold.seen,
        total_size=counted.untold_bytes,
    )
    return Estimate(
        value=(counted.seconds_told + rest.value) / _HOUR_SECONDS, error=rest.error / _HOUR_SECONDS
    )


def _output_bytes(trials: list[Trial], *, hours: Estimate | None, recordings: int) -> Estimate | None:
    if hours is None or not trials:
        return None
    stems = _scaled(trials, [trial.stem_bytes for trial in trials], hours=hours)
    others = sum(trial.other_bytes for trial in trials) / len(trials) * recordings
    return Estimate(value=stems.value + others, error=stems.error)


def _engine_hours(trials: list[Trial], *, hours: Estimate | None) -> Estimate | None:
    if hours is None or not trials:
        return None
    taken = _scaled(trials, [trial.took_seconds for trial in trials], hours=hours)
    return Estimate(value=taken.value / _HOUR_SECONDS, error=taken.error / _HOUR_SECONDS)


def _scaled(trials: list[Trial], amounts: Sequence[float], *, hours: Estimate) -> Estimate:
    """Scale what trials gave to all seconds; errors of rate and length add up as independent ones do."""
    rate = estimate_rate(amounts, sizes=[trial.seconds for trial in trials])
    seconds = hours.value * _HOUR_SECONDS
    error = math.hypot(rate.error * seconds, rate.value * hours.error * _HOUR_SECONDS)
    return Estimate(value=rate.value * seconds, error=error)


def _worker(request: SeparationRequest) -> str:
    if request.device == "cuda" or (request.device == "auto" and torch.cuda.is_available()):
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads != 1 else ''}"


def _recording(row: dict[str, Any]) -> Recording:
    return Recording(recording_uri=row["recording_uri"], recording_id=row["recording_id"])


def _plus_minus(estimate: Estimate, unit_size: float, unit: str) -> str:
    if estimate.error == 0.0:
        return ""
    if math.isinf(estimate.error):
        return " (error unknown)"
    return f" ± {estimate.error / unit_size:,.1f} {unit}"


def _bytes(count: float) -> str:
    size, unit = count, "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:,.0f} B" if unit == "B" else f"{size:,.1f} {unit}"


def _byte_error(estimate: Estimate) -> str:
    if estimate.error == 0.0:
        return ""
    return " (error unknown)" if math.isinf(estimate.error) else f" ± {_bytes(estimate.error)}"
