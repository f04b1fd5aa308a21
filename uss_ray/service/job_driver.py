"""What a driver of a job does around the work: tells how far it is, hears that it shall end, says how it ended."""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq

from uss_ray.errors import OccupiedError, OutputError, UssRayError
from uss_ray.service.jobs import (
    CANCEL,
    MANIFEST,
    REQUEST,
    STATUS,
    Counts,
    JobOrder,
    JobProgress,
    JobRequest,
    JobTable,
    attempts_among,
)
from uss_ray.service.places import allowed_place, check_links
from uss_ray.sources.listing import open_listing
from uss_ray.sources.recordings import RECORDING_SCHEMA
from uss_ray.store.faults import is_infrastructure
from uss_ray.store.options import StoreOptions
from uss_ray.store.store import Store
from uss_ray.wording import without_secrets

logger = logging.getLogger(__name__)

BEAT_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class JobEnd:
    """What became of the recordings.

    Attributes
    ----------
    counts : Counts
        Of all of them; the sound is that of those which this driver separated.
    is_whole : bool
        Whether nothing is left to do.
    reason : str or None
        Why no recording could be separated, where that is so.
    """

    counts: Counts
    is_whole: bool
    reason: str | None = None


Tell = Callable[[Counts, float], None]
"""Told what a driver has done, and in how many seconds."""

Wish = Literal["go on", "end", "leave"]

Work = Callable[[JobRequest, str, Tell], JobEnd]
"""Separates the input at a place, and tells how far it is."""


def end_this_process() -> None:
    """Ask this process to end as by `kill`: what is in hand is finished and committed."""
    os.kill(os.getpid(), signal.SIGTERM)


def drive(
    order: JobOrder,
    work: Work,
    *,
    stop: Callable[[], None] = end_this_process,
    beat_seconds: float = BEAT_SECONDS,
) -> None:
    """Drive a job to its end, or until it shall end; one that has a later driver, or is over, is left alone.

    Parameters
    ----------
    order : JobOrder
    work : callable
    stop : callable, optional
        Asks the work to end.
    beat_seconds : float
        Between two signs of life.
    """
    table = JobTable(Store(order.store, order.storage, OutputError))
    row = table.find(order.tenant, order.job_id)
    if row.ended is not None or row.is_cancelled or len(row.attempts) != order.attempt:
        return
    before = replace(row.progress or JobProgress(attempt=order.attempt), attempt=order.attempt, trouble=None)
    heart = _Heart(before, write=lambda progress: table.note(row, progress))
    heart.ask = lambda: _wish(table.objects(row), attempt=order.attempt)
    heart.stop = stop
    heart.begin(beat_seconds)
    trouble: str | None = None
    is_hopeless = False
    end: JobEnd | None = None
    try:
        end = work(row.request, checked_input(row.request, folder=table.folder_of(row)), heart.tell)
    except UssRayError as error:
        trouble = without_secrets(error.reason)
        may_pass = isinstance(error, OutputError) or is_infrastructure(error)
        is_hopeless = isinstance(error, OccupiedError) or not may_pass
        if not is_hopeless:
            logger.warning("job %s: another driver may do better: %s", order.job_id, trouble)
    finally:
        heart.end()
    is_whole = end is not None and end.is_whole
    counts = Counts.of(vars(heart.progress))
    if end is not None:
        seconds = before.audio_seconds + end.counts.audio_seconds
        counts = replace(end.counts, audio_seconds=seconds)
    names = table.objects(row)
    is_last = attempts_among(names) == order.attempt
    if REQUEST not in names or STATUS in names or not (is_last or is_whole):
        return  # it is gone, or over, or another one drives it
    if is_hopeless:
        table.end(row, "failed", reason=trouble, counts=counts)
    elif CANCEL in names:
        table.end(row, "cancelled", counts=counts)
    elif is_whole and counts.finished:
        table.end(row, "succeeded", counts=counts)
    elif end is not None and is_whole:
        table.end(row, "failed", reason=end.reason or "no recording could be separated", counts=counts)
    else:
        table.note(row, replace(heart.progress, trouble=trouble))


def _wish(names: set[str], *, attempt: int) -> Wish:
    """Tell what the table wants of a driver: one that was taken for dead leaves the job to the next."""
    if REQUEST not in names or STATUS in names or attempts_among(names) != attempt:
        return "leave"
    return "end" if CANCEL in names else "go on"


def checked_input(request: JobRequest, *, folder: Store) -> str:
    """Give what is read, checked: of a manifest its rows, which are copied so that nobody changes them afterwards.

    Parameters
    ----------
    request : JobRequest
    folder : Store
        Where the copy lies.

    Raises
    ------
    Refusal
        If a row names a place that the token may not, or a link leads there.
    """
    storage = StoreOptions(**request.sounds.get("storage", {}))
    copy = folder / MANIFEST
    if copy.exists():
        return str(copy)
    listing = open_listing(Store(request.input, storage))
    if listing.kind not in ("manifest", "inventory"):
        if not Store(request.input).is_remote:
            check_links(
                request.input, prefixes=request.prefixes, item="recording of the input", closed=request.closed
            )
        return request.input
    with tempfile.TemporaryDirectory(prefix="uss-ray-job-") as scratch:
        path = Path(scratch, MANIFEST)
        with pq.ParquetWriter(path, RECORDING_SCHEMA) as written:
            for table in listing.tables():
                for uri in table.column("recording_uri").to_pylist():
                    allowed_place(
                        uri,
                        prefixes=request.prefixes, item="recording of the manifest", closed=request.closed,
                    )  # fmt: skip
                written.write_table(table.cast(RECORDING_SCHEMA))
        copy.put(path)
    return str(copy)


class _Heart:
    """Beats while the work goes on."""

    def __init__(self, before: JobProgress, *, write: Callable[[JobProgress], None]) -> None:
        self._before = before
        self._write = write
        self.progress = before
        self.ask: Callable[[], Wish] = lambda: "go on"
        self.stop: Callable[[], None] = lambda: None
        self._ended = threading.Event()
        self._lock = threading.Lock()  # around what is told and counted, not around writing it
        self._thread: threading.Thread | None = None

    def begin(self, seconds: float) -> None:
        self._beat()
        self._thread = threading.Thread(target=self._run, args=(seconds,), name="heart", daemon=True)
        self._thread.start()

    def tell(self, done: Counts, seconds: float) -> None:
        """Add what this driver has done to what was done before."""
        before = self._before
        with self._lock:
            self.progress = replace(
                self.progress,
                found=before.finished + before.failed + done.found,
                finished=before.finished + done.finished,
                failed=before.failed + done.failed,
                audio_seconds=before.audio_seconds + done.audio_seconds,
                seconds=before.seconds + seconds,
            )

    def end(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, seconds: float) -> None:
        wish: Wish = "go on"
        while not self._ended.wait(seconds):
            if wish != "leave":  # how far it is, the next driver says
                self._beat()
            try:
                before, wish = wish, self.ask()
            except UssRayError as error:
                logger.info("the table of jobs does not answer: %s", error.reason)
                continue
            if before == "go on" != wish:
                self.stop()

    def _beat(self) -> None:
        with self._lock:
            progress = self.progress = replace(self.progress, beat=self.progress.beat + 1)
        try:
            self._write(progress)
        except UssRayError as error:  # the work itself tells what is wrong with the store
            logger.info("how far the job is could not be written: %s", error.reason)
