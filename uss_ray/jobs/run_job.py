"""The driver of a job that came by HTTP: `python -m uss_ray.jobs.run_job`; which one, the environment says.

With `plan` it reads a `JobRequest` from standard input, and only says what there is to do, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from tempfile import TemporaryDirectory
from typing import Any

from uss_ray.api.request import SeparationRequest, SoundRequest
from uss_ray.errors import OutputError, UssRayError
from uss_ray.parsing import read_json
from uss_ray.pipelines.archive.job import separate_archive
from uss_ray.pipelines.archive.ledger import read_ledger
from uss_ray.pipelines.archive.plan import plan_archive
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.pipelines.runtime.progress import Progress
from uss_ray.service.job_driver import JobEnd, Tell, checked_input, drive
from uss_ray.service.jobs import Counts, JobOrder, JobRequest
from uss_ray.service.keeper import VARIABLE
from uss_ray.sources.listing import open_listing
from uss_ray.store.store import Store


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
    )


def plan(request: JobRequest) -> dict[str, Any]:
    """Say what a job would do; what is wrong with it comes as its `fault`."""
    try:
        with TemporaryDirectory(prefix="uss-ray-plan-") as folder:
            asked = _request_of(request)
            source = Store(checked_input(request, folder=Store(folder, None, OutputError)), asked.storage)
            found = plan_archive(open_listing(source), request=asked, ledger=read_ledger(asked.output_store))
            return dict(json.loads(found.to_json()))
    except UssRayError as error:
        return {"fault": {"item": error.item, "expected": error.expected, "found": error.found}}


def main() -> None:
    """Do what the environment says."""
    if sys.argv[1:] == ["plan"]:
        sys.stdout.write(json.dumps(plan(JobRequest.of(read_json(sys.stdin.buffer.read())))))
        return
    order = JobOrder(**read_json(os.environ[VARIABLE]))
    options = JobOptions(actors=order.actors, address=order.address)
    drive(order, lambda request, source, tell: separate(request, source, tell, options=options))


def _request_of(request: JobRequest) -> SeparationRequest:
    return SeparationRequest.of(SoundRequest(**request.sounds), output=request.output)


if __name__ == "__main__":
    main()
