"""The driver of a job that came by HTTP: `python -m uss_ray.jobs.run_job`; which one, the environment says.

With `plan` it reads a `JobRequest` from standard input, and only says what there is to do, as JSON; with `check` only
whether the job would refuse its output.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from tempfile import TemporaryDirectory
from typing import Any

from uss_ray.api.request import SeparationRequest, SoundRequest
from uss_ray.errors import OccupiedError, OutputError, UssRayError
from uss_ray.parsing import read_json
from uss_ray.pipelines.archive.job import archive_job, separate_archive
from uss_ray.pipelines.archive.ledger import read_ledger
from uss_ray.pipelines.archive.plan import plan_archive
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.pipelines.runtime.progress import Progress
from uss_ray.results.index.find import FAILED, find
from uss_ray.service.job_driver import JobEnd, Tell, checked_input, drive
from uss_ray.service.jobs import Counts, JobOrder, JobRequest
from uss_ray.service.keeper import VARIABLE
from uss_ray.store.store import Store

logger = logging.getLogger(__name__)


def separate(request: JobRequest, source: str, tell: Tell, *, options: JobOptions) -> JobEnd:
    """Run the archive job of a request, or go on with it."""

    def told(progress: Progress) -> None:
        counts = Counts(
            found=progress.found,
            finished=progress.finished - progress.failed,
            failed=progress.failed,
            audio_seconds=progress.audio_seconds,
        )
        tell(counts, progress.seconds)

    result = separate_archive(
        source,
        request=_request_of(request),
        options=options,
        on_progress=told,
    )
    found = result.summary.recordings
    finished, failed = found.separated + found.skipped, found.failed + found.failed_before
    return JobEnd(
        counts=Counts(
            found=finished + failed + found.unfinished,
            finished=finished,
            failed=failed,
            audio_seconds=result.counters.audio_seconds,
        ),
        is_whole=result.signal_number is None and not found.unfinished,
        reason=_why_none(result.output, request, failed=failed) if failed and not finished else None,
    )


def _why_none(output: str, request: JobRequest, *, failed: int) -> str | None:
    """Say of a job that has separated nothing why: of one recording its reason, of several that of the first."""
    try:
        place = Store(output, _request_of(request).storage, OutputError)
        first = next(find(place, wanted=FAILED), None)
    except UssRayError as error:  # such as an index that holds nothing, for nothing could be listed
        logger.info("job %s: why it has failed cannot be read: %s", request.job_id, error.reason)
        first = None
    if first is None or first.reason is None:
        return None
    return first.reason if failed == 1 else f"no recording could be separated; of the first: {first.reason}"


def plan(request: JobRequest) -> dict[str, Any]:
    """Say what a job would do; what is wrong with it comes as its `fault`, with the status of an answer."""
    try:
        with TemporaryDirectory(prefix="uss-ray-plan-") as folder:
            source = checked_input(request, folder=Store(folder, None, OutputError))
            job = archive_job(source, request=_request_of(request), options=JobOptions())
            ledger = read_ledger(job.output) if job.goes_on else None
            found = plan_archive(job.listing, request=job.request, ledger=ledger)
            return dict(json.loads(found.to_json()))
    except UssRayError as error:
        return _fault(error)


def check(request: JobRequest) -> dict[str, Any]:
    """Say what of other runs a job would refuse at its output, as its `fault`; all else its driver finds."""
    try:
        _ = archive_job(request.input, request=_request_of(request), options=JobOptions()).goes_on
    except OccupiedError as error:
        return _fault(error)
    except UssRayError as error:
        logger.info("job %s: its driver will find: %s", request.job_id, error.reason)
    return {}


def _fault(error: UssRayError) -> dict[str, Any]:
    status = 409 if isinstance(error, OccupiedError) else 422
    return {"fault": {"item": error.item, "expected": error.expected, "found": error.found, "status": status}}


def main() -> None:
    """Do what the environment says."""
    told = {"plan": plan, "check": check}.get(" ".join(sys.argv[1:]))
    if told is not None:
        sys.stdout.write(json.dumps(told(JobRequest.of(read_json(sys.stdin.buffer.read())))))
        return
    order = JobOrder(**read_json(os.environ[VARIABLE]))
    options = JobOptions(actors=order.actors, address=order.address)
    drive(order, lambda request, source, tell: separate(request, source, tell, options=options))


def _request_of(request: JobRequest) -> SeparationRequest:
    return SeparationRequest.of(SoundRequest(**request.sounds), output=request.output)


if __name__ == "__main__":
    main()
