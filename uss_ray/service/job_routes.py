"""`/v1/jobs/...`: whole archives, separated while nobody waits; asked for once, however often it is asked."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, replace
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from uss_ray.api.request import SoundRequest
from uss_ray.errors import DataError, OutputError, UssRayError
from uss_ray.ontology.known import KnownNodes
from uss_ray.parsing import read_json
from uss_ray.results.index.find import FAILED, Finding, Page, Wanted, find_page, nodes_named
from uss_ray.results.index.table import NoIndexError
from uss_ray.results.layout import recording_folder
from uss_ray.service.asking import asked_for
from uss_ray.service.body import PARTS_SCHEMA, PLACE_SCHEMA, json_object, named_places
from uss_ray.service.job_results import result_id_of
from uss_ray.service.jobs import STATUS, JobRequest, JobRow, JobTable, State, digest_of, shown
from uss_ray.service.keeper import DRIVER
from uss_ray.service.outputs import has_results
from uss_ray.service.problems import Refusal
from uss_ray.service.service import NO_STORE, Service, service_of
from uss_ray.service.webhooks import webhook_of
from uss_ray.store.store import Store
from uss_ray.wording import without_secrets

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

EVENT_HEADERS: Final = {**NO_STORE, "x-accel-buffering": "no"}
"""Of answers that come bit by bit: nginx would hold them back until they are over."""

_PAGE = 100
_LOOKED = 1000  # jobs of a page, also of those that stand otherwise than is asked for
_LOOK_SECONDS = 1.0
_QUIET_SECONDS = 15.0
_RETRY_SECONDS = "5"
_KEY_LETTERS = 255
_GREW = "~"
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["input"],
                    "properties": {
                        "input": {
                            **PLACE_SCHEMA,
                            "description": "A recording, a folder or prefix, or a manifest.",
                        },
                        "output": {
                            **PLACE_SCHEMA,
                            "description": "Without one the service keeps the results.",
                        },
                        **PARTS_SCHEMA,
                        "webhook": {
                            "type": "object",
                            "required": ["url", "secret"],
                            "properties": {"url": {"type": "string"}, "secret": {"type": "string"}},
                            "description": "Is told once when the job has ended; signed with the secret.",
                        },
                    },
                }
            }
        },
    },
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "schema": {"type": "string", "maxLength": _KEY_LETTERS},
            "description": "The same key is the same job, however often it is sent.",
        }
    ],
}


@router.post(
    "",
    status_code=202,
    openapi_extra=_BODY,
    responses={200: {"content": {"application/json": {}}, "description": "What it would do (`dry_run`)."}},
)
async def submit(
    request: Request,
    dry_run: Annotated[
        bool, Query(description="Only say what there is to do, and what it would give.")
    ] = False,
) -> Response:
    """Take a job, or say what it would do."""
    service, tenant = service_of(request), request.state.tenant
    table = service.jobs
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= _KEY_LETTERS:
        raise Refusal(
            "idempotency-key", expected=f"1 to {_KEY_LETTERS} letters", found=str(len(key)), status=422
        )
    said = await json_object(request, limits=service.settings.limits)
    job_id = table.new_id(tenant.name, key)
    asked = await _asked(service, dict(said), tenant=tenant, job_id=job_id, digest=digest_of(said))
    if dry_run:
        return JSONResponse(await _told_by_driver("plan", asked), headers=NO_STORE)
    await _check_output(service, asked)
    row = await asyncio.to_thread(_added, table, asked, service.settings.limits.jobs)
    await service.wake_keeper()
    told = shown(row)
    headers = {"location": told["links"]["self"], "retry-after": _RETRY_SECONDS, **NO_STORE}
    return JSONResponse(told, status_code=202, headers=headers)


@router.get("")
def listed(
    request: Request,
    status: Annotated[State | None, Query(description="Only those that stand so.")] = None,
    cursor: Annotated[str, Query(pattern="^([0-9a-f]{32})?$", description="`next` of the page before.")] = "",
) -> JSONResponse:
    """List the jobs of the token, in the order of their ids.

    A page may be short or empty and not be the last: that is the one whose `next` is null.
    """
    table, tenant = service_of(request).jobs, request.state.tenant.name
    page: list[dict[str, Any]] = []
    last = cursor
    with closing(table.rows(tenant, after=cursor, state=status)) as rows:
        for looked, (job_id, row) in enumerate(rows):
            if len(page) == _PAGE or looked == _LOOKED:
                return JSONResponse({"jobs": page, "next": last}, headers=NO_STORE)
            last = job_id
            if row is not None:
                page.append(shown(row))
    return JSONResponse({"jobs": page, "next": None}, headers=NO_STORE)


@router.get("/{job_id}")
def told(request: Request, job_id: str) -> JSONResponse:
    """Tell how far a job is."""
    row = service_of(request).jobs.find(request.state.tenant.name, job_id)
    headers = NO_STORE if row.ended is not None else {"retry-after": _RETRY_SECONDS, **NO_STORE}
    return JSONResponse(shown(row), headers=headers)


@router.get(
    "/{job_id}/events",
    response_class=Response,
    responses={
        200: {"content": {"text/event-stream": {}}},
        204: {
            "description": "It has ended, and `Last-Event-ID` is that of its end: there is nothing to come."
        },
    },
)
async def events(request: Request, job_id: str) -> Response:
    """Tell how far a job is, again whenever that changes, until it has ended (server-sent events).

    Who comes back with the `Last-Event-ID` that it heard last, is told what is new since.
    """
    table, tenant = service_of(request).jobs, request.state.tenant.name
    first = await asyncio.to_thread(table.find, tenant, job_id)
    heard = request.headers.get("last-event-id", "")
    if first.ended is not None and heard == _event_of(first)[0]:
        return Response(
            status_code=204, headers=NO_STORE
        )  # which ends a client that would come again and again

    async def stream() -> AsyncIterator[str]:
        row, said, quiet = first, heard, time.monotonic()
        while True:
            event_id, now = _event_of(row)
            if event_id != said:
                said, quiet = event_id, time.monotonic()
                yield f"id: {event_id}\nevent: job\ndata: {now}\n\n"
            elif time.monotonic() - quiet >= _QUIET_SECONDS:
                quiet = time.monotonic()
                yield ": still there\n\n"
            if row.ended is not None:
                return
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                row = await asyncio.to_thread(table.find, tenant, job_id)
            except UssRayError:  # it was forgotten, or the store is away: who asks again hears which
                return

    return StreamingResponse(stream(), media_type="text/event-stream", headers=EVENT_HEADERS)


@router.delete(
    "/{job_id}",
    status_code=202,
    responses={
        200: {"content": {"application/json": {}}, "description": "It has ended, or was asked to before."}
    },
)
async def cancelled(
    request: Request,
    job_id: str,
    results: Annotated[bool, Query(description="Remove the results that the service keeps, too.")] = False,
) -> JSONResponse:
    """End a job: what is in flight is finished and stays. Of one that has ended, `results` removes what is kept."""
    service, tenant = service_of(request), request.state.tenant.name
    table = service.jobs

    def end() -> tuple[JobRow, bool]:
        row = table.find(tenant, job_id)
        is_new = row.ended is None and table.cancel(row)
        if row.ended is None:
            row = table.find(tenant, job_id)  # it may have ended by itself
        if row.ended is not None and results:
            table.forget_results(row)
        return row, is_new and row.ended is None

    row, is_new = await asyncio.to_thread(end)
    if is_new:
        await service.wake_keeper()
    return JSONResponse(shown(row), status_code=202 if is_new else 200, headers=NO_STORE)


@router.get("/{job_id}/recordings")
def recordings(
    request: Request,
    job_id: str,
    class_: Annotated[tuple[str, ...], Query(alias="class", description="Sounds, with all below them.")] = (),
    min_probability: Annotated[float | None, Query(ge=0, le=1)] = None,
    cursor: Annotated[str, Query(max_length=300, description="`next` of the page before.")] = "",
) -> JSONResponse:
    """List what was heard in which recording, as `uss-ray find` does; of a job that runs, what there is by now.

    A page may be short or empty and not be the last: that is the one whose `next` is null. Where the job went on while
    pages were read, rows may be missing from them: such pages are not `is_whole`. Where the results of a job have been
    removed there are no pages, and none that say that nothing was heard.
    """
    service = service_of(request)
    row = service.jobs.find(request.state.tenant.name, job_id)
    wanted = Wanted(
        node_ids=nodes_named(class_, vocabulary=service.vocabulary) if class_ else None,
        min_probability=min_probability,
    )
    mark = _mark({"class": sorted(class_), "min_probability": min_probability})
    page, told = _page(service, row, wanted, cursor=cursor, mark=mark)
    found = [_reachable(service, row, finding, part=part) for part, finding in page.rows]
    return JSONResponse({"recordings": found, **told}, headers=NO_STORE)


@router.get("/{job_id}/failures")
def failures(
    request: Request,
    job_id: str,
    cursor: Annotated[str, Query(max_length=300, description="`next` of the page before.")] = "",
) -> JSONResponse:
    """List which recordings could not be separated, and why; of a job that runs, those by now.

    Pages are as of `recordings`: go on with `next` until it is null. Of a job that runs, a recording may stand there
    that is tried again.
    """
    service = service_of(request)
    row = service.jobs.find(request.state.tenant.name, job_id)
    page, told = _page(service, row, FAILED, cursor=cursor, mark=_mark({"failures": True}))
    found = [
        {
            "recording_id": finding.recording_id,
            "recording_uri": without_secrets(finding.recording_uri),
            "reason": finding.reason,
        }
        for _, finding in page.rows
    ]
    return JSONResponse({"failures": found, **told}, headers=NO_STORE)


def _page(
    service: Service, row: JobRow, wanted: Wanted, *, cursor: str, mark: str
) -> tuple[Page, dict[str, Any]]:
    """Read a page of the index of a job, and say where the next one begins and whether rows may be missing."""
    place, was_whole = _place_of(cursor, mark=mark)
    is_whole = row.ended is not None and was_whole
    try:
        page = find_page(_output_of(service, row), wanted=wanted, cursor=place, most_rows=_PAGE)
    except NoIndexError as error:
        if row.ended is not None and (row.counts.finished or (wanted == FAILED and row.counts.failed)):
            raise Refusal(
                f"recordings of job {row.request.job_id}",
                expected="results that are there",
                found="none any more",
                status=404,
            ) from error
        page = Page(rows=(), next=None)  # not yet
    except DataError as error:  # it is damaged, for which nobody who asks can do anything
        raise OutputError(error.item, expected=error.expected, found=error.found) from error
    next_page = page.next and f"{page.next}:{mark}{'' if is_whole else _GREW}"
    return page, {"next": next_page, "is_whole": is_whole}


def _mark(asked: Mapping[str, Any]) -> str:
    """Mark a cursor with what is asked for: it counts rows of that and of nothing else."""
    return digest_of(asked)[:8]


def _place_of(cursor: str, *, mark: str) -> tuple[str, bool]:
    """Tell where a page begins, and whether the job had ended before the first one."""
    place, _, found = cursor.rpartition(":")
    if cursor and found.removesuffix(_GREW) != mark:
        raise Refusal(
            "cursor", expected="`next` of the page before, of the same call", found=cursor, status=422
        )
    return place, not found.endswith(_GREW)


def _event_of(row: JobRow) -> tuple[str, str]:
    """Give what is told of a job, and a name of it."""
    said = json.dumps(shown(row))
    return hashlib.sha256(said.encode()).hexdigest()[:16], said


def _reachable(service: Service, row: JobRow, finding: Finding, *, part: str) -> dict[str, Any]:
    """Say of what lies with the service where it gives it."""
    record = finding.to_record()
    if not service.jobs.keeps_results(row):
        return record | {"result": None}
    result = f"/v1/results/{result_id_of(row.request.job_id, part, finding.recording_id)}"
    folder = _output_of(service, row) / recording_folder(finding.recording_id)
    for owner in (record, *record["spans"]):
        if owner["stem"] is not None:
            name = Store(owner["stem"], folder.options).relative_to(folder)
            owner["stem"] = f"{result}/stems/{quote(name)}"
    return record | {"result": result}


def _output_of(service: Service, row: JobRow) -> Store:
    return Store(row.request.output, service.settings.storage)


async def _asked(
    service: Service, said: dict[str, Any], *, tenant: Any, job_id: str, digest: str
) -> JobRequest:
    """Check what a client says; what is wrong is refused before there is a job."""
    table = service.jobs
    source, output = named_places(said, service=service, tenant=tenant)
    hook = None
    if "webhook" in said:
        hook = asdict(webhook_of(said.pop("webhook"), settings=service.settings.webhooks))
    sounds = asked_for(service.sounds, parameters={}, options=said, limits=service.settings.limits)
    _check_sounds(sounds, known=await service.known())
    if os.path.exists(sounds.weights):
        sounds = sounds.replace(weights=os.path.abspath(sounds.weights))
    return JobRequest(
        job_id=job_id,
        tenant=tenant.name,
        created_at=time.time(),
        digest=digest,
        input=source,
        output=output or str(table.results(tenant.name, job_id)),
        sounds=sounds.model_dump(mode="json", exclude_unset=True),
        prefixes=service.inputs_of(tenant),
        closed=service.closed,
        webhook=hook,
    )


def _check_sounds(sounds: SoundRequest, *, known: KnownNodes) -> None:
    """Refuse names that stand for nothing: an archive has no row for them."""
    for name in (*sounds.query.classes, *sounds.query.exclude):
        known.vocabulary.resolve(name)
    for text in sounds.query.texts:
        known.resolve_text(text)


async def _check_output(service: Service, asked: JobRequest) -> None:
    """Refuse a place where results are that the job would not go on with; a job that is there may have made them."""
    output = Store(asked.output, service.storage, OutputError)

    def has_any() -> bool:
        with suppress(OutputError):  # of a place that cannot be asked, its driver says why
            return not _is_there(service.jobs, asked) and has_results(output)
        return False

    is_named = asked.output != str(service.jobs.results(asked.tenant, asked.job_id))
    if is_named and await service.threads.run("write", has_any):
        await _told_by_driver("check", asked)


def _is_there(table: JobTable, asked: JobRequest) -> bool:
    try:
        table.find(asked.tenant, asked.job_id)
    except Refusal:
        return False
    return True


def _added(table: JobTable, asked: JobRequest, most: int) -> JobRow:
    if not _is_there(table, asked):
        unfinished = sum(STATUS not in names for names in table.names(asked.tenant).values())
        if unfinished >= most:
            raise Refusal(
                "jobs of this token",
                expected=f"at most {most} that are not over",
                found="one more",
                status=429,
                limit="jobs",
                retry_after=60.0,
            )
    return table.add(asked)


async def _told_by_driver(what: Literal["plan", "check"], asked: JobRequest) -> dict[str, Any]:
    """Ask a process of its own, which ends with the call, what the driver of a job would do."""
    process = await asyncio.create_subprocess_exec(
        *DRIVER,
        what,
        stdin=asyncio.subprocess.PIPE,  # it may be longer than a variable of the environment
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        told, _ = await process.communicate(replace(asked, webhook=None).to_json().encode())
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise RuntimeError(f"the {what} of a job ended with {process.returncode}")
    found: dict[str, Any] = read_json(told)
    if "fault" in found:
        raise Refusal(**found["fault"])
    return found
