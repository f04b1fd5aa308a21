"""The calls that separate and tag one recording, and answer at once."""

from __future__ import annotations

import asyncio
import functools
import io
import re
import zipfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import Field
from pydantic_core import to_json

from uss_ray.api.publisher import check_before_work
from uss_ray.api.request import SoundRequest
from uss_ray.audio.spec import StemFormat
from uss_ray.config import Settings
from uss_ray.errors import OutputError
from uss_ray.results.layout import CALL_INDEX_NAME
from uss_ray.results.options import WriteMode
from uss_ray.service.asking import asked_for
from uss_ray.service.backend import Answer, Work
from uss_ray.service.body import PARTS_SCHEMA, PLACE_SCHEMA, RECORDING, receive
from uss_ray.service.listening import spectrogram_address
from uss_ray.service.outputs import check_free, put_results
from uss_ray.service.problems import Refusal
from uss_ray.service.result import Result
from uss_ray.service.service import NO_STORE, service_of
from uss_ray.store.store import Store

router = APIRouter()

TAGGED_LEVELS = (1, 2, 3)
_CHUNK_BYTES = 1 << 22
_SAID = ("application/zip", "application/*", "*/*")
_NOT_WANTED = re.compile(r"(^|;)q=0(\.0*)?(;|$)")  # RFC 9110, section 12.4.2


class TagParameters(Settings):
    """What the address of a call may say."""

    level: tuple[int, ...] = Field(default=(), description="Ontology levels: 1 2 3.")
    class_: tuple[str, ...] = Field(default=(), alias="class", description="Classes by index, id or label.")
    text: tuple[str, ...] = Field(default=(), description="A few words each, such as 'dog barking'.")
    threshold: float | None = Field(
        default=None, ge=0.0, le=1.0, description="Probability from which on a sound is there."
    )
    top: int | None = Field(default=None, ge=1, description="Only so many, the most probable.")
    spectrogram: bool = Field(
        default=False, description="Whether a picture of the recording is told too, as a data address."
    )


class SeparateParameters(Settings):
    """What the address of a call may say."""

    level: tuple[int, ...] = Field(default=(), description="Ontology levels, one stem a node: 1 2 3.")
    class_: tuple[str, ...] = Field(
        default=(), alias="class", description="Classes by index, id or label, one stem each."
    )
    text: tuple[str, ...] = Field(default=(), description="A few words each, such as 'dog barking'.")
    exclude: tuple[str, ...] = Field(default=(), description="Classes to leave out of every stem.")
    union: bool | None = Field(default=None, description="One stem of all classes together.")
    format: StemFormat | None = Field(default=None, description="Container of the stems.")
    write: WriteMode | None = Field(default=None, description="What is written.")
    residual: bool | None = Field(default=None, description="The mixture minus the stems too.")
    threshold: float | None = Field(
        default=None, ge=0.0, le=1.0, description="Probability from which on a sound is there."
    )
    keep: int | None = Field(
        default=None, ge=1, description="Seconds that the result is kept; it is not in the answer then."
    )


_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["input"],
                    "properties": {
                        "input": PLACE_SCHEMA,
                        "output": {
                            **PLACE_SCHEMA,
                            "description": "A place without results that nobody writes to; another is 409.",
                        },
                        **PARTS_SCHEMA,
                    },
                }
            },
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["audio"],
                    "properties": {
                        "audio": {"type": "string", "format": "binary"},
                        "example": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "options": {
                            "type": "string",
                            "description": "JSON: an object with query, settings and write.",
                        },
                    },
                }
            },
        },
    }
}


@router.post(
    "/v1/separate",
    openapi_extra=_BODY,
    response_class=Response,
    responses={
        200: {"content": {"application/zip": {}}, "description": "Stems and index.json, stored."},
        201: {"content": {"application/json": {}}, "description": "Rows and links of what is kept."},
    },
)
async def separate(request: Request, said: Annotated[SeparateParameters, Query()]) -> Response:
    """Separate a recording; nothing of it is kept, unless that is asked for."""
    if said.keep is None:
        _check_accepted(request)
        keeper = None
    else:
        keeper = _keeper(request, said.keep)
    query = {"classes": said.class_, "exclude": said.exclude, "union": said.union}
    asked = _given(
        query={"levels": said.level, "texts": said.text, **query},
        write={"stem_format": said.format, "write": said.write, "residual": said.residual},
        settings={"threshold": said.threshold},
    )
    work, answer, output = await _answered(request, asked, segments=keeper is not None)
    if output is not None:
        put = functools.partial(put_results, answer.files, _as_json(_index(answer)), output=output)
        await service_of(request).threads.run("write", put)
        return JSONResponse({"output": str(output), **_index(answer)}, status_code=201, headers=NO_STORE)
    if keeper is not None:
        return _made(await asyncio.to_thread(keeper, work, answer), answer)
    content = await asyncio.to_thread(zipped, answer)
    headers = {
        "content-length": str(len(content)),
        "content-disposition": 'attachment; filename="stems.zip"',
        **NO_STORE,
    }
    # Each message is an object of its own on its way through Serve, and is held there twice.
    if len(content) <= _CHUNK_BYTES:
        return Response(content, media_type="application/zip", headers=headers)
    return StreamingResponse(_chunks(content), media_type="application/zip", headers=headers)


@router.post("/v1/tag", openapi_extra=_BODY)
async def tag(request: Request, said: Annotated[TagParameters, Query()]) -> JSONResponse:
    """Tell what sounds when, without separating."""
    asked = _given(
        query={"levels": said.level, "classes": said.class_, "texts": said.text},
        write={"write": "index-only"},
        settings={"threshold": said.threshold},
    )
    work, answer, _ = await _answered(request, asked, segments=True, open_levels=TAGGED_LEVELS)
    found = [row for row in answer.rows if row["status"] in ("detected", "failed")]
    found.sort(key=lambda row: -(row["probability"] or 0.0))
    nodes = [
        {
            **{
                name: row[name]
                for name in ("node_id", "label", "level", "kind", "status", "reason", "probability")
            },
            "certainty": row["certainty"],
            "active_seconds": row["active_seconds"],
            "active_spans": [
                {name: span[name] for name in ("start_seconds", "end_seconds")}
                for span in row["active_spans"] or ()
            ],
            "segments": _known(answer.probabilities.get(row["node_id"] or "")),
        }
        for row in found[: said.top]
    ]
    told = {
        "seconds": work.seconds,
        "sha256": work.sha256,
        "segment_seconds": answer.segment_seconds,
        "run": dict(answer.run),
        "nodes": nodes,
    }
    if said.spectrogram:
        told["spectrogram"] = await asyncio.to_thread(spectrogram_address, work)
    return JSONResponse(told, headers=NO_STORE)


async def _answered(
    request: Request,
    parameters: Mapping[str, Mapping[str, Any]],
    *,
    segments: bool,
    open_levels: Sequence[int] = (),
) -> tuple[Work, Answer, Store | None]:
    service = service_of(request)
    # What is asked for wrongly is refused before anything is read.
    asked = functools.partial(
        asked_for,
        service.sounds,
        parameters=parameters,
        limits=service.settings.limits,
        open_levels=open_levels,
    )
    asked(options={})
    with TemporaryDirectory(prefix="uss-ray-") as folder:
        work, output = await _work(request, Path(folder), asked=asked, segments=segments)
    return work, await service.answer(work), output


async def _work(
    request: Request, folder: Path, *, asked: Callable[..., SoundRequest], segments: bool
) -> tuple[Work, Store | None]:
    service = service_of(request)
    received = await receive(request, folder=folder, limits=service.settings.limits)
    sounds = asked(options=received.options, examples=len(received.examples))
    if segments and received.output is not None:
        raise Refusal(
            "output",
            expected="none, for tags are told in the answer, and what is kept lies with the service",
            found="one",
            status=422,
        )
    output = None
    if received.output is not None:
        output = Store(received.output, service.storage, OutputError)
        await service.threads.run("write", functools.partial(check_free, output))
    spec, samples = await service.decoders.recording(received.audio, name=RECORDING)
    check_before_work(spec, name=RECORDING, write=sounds.write)
    examples = [await service.decoders.example(path, name=path.name) for path in received.examples]
    work = Work(
        sounds=sounds,
        name=RECORDING,
        spec=spec,
        samples=samples,
        sha256=received.sha256,
        examples=tuple(examples),
        segments=segments,
    )
    return work, output


def _index(answer: Answer) -> dict[str, Any]:
    return {"run": dict(answer.run), "rows": list(answer.rows)}


def _as_json(told: Mapping[str, Any]) -> bytes:
    """Write hundreds of rows in a third of the time that Python's own writer takes: a hundredth of a short clip's."""
    return to_json(told, inf_nan_mode="null")


def zipped(answer: Answer) -> bytes:
    """Put an answer into one ZIP file, stored: the index first, then stems by name."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_entry(CALL_INDEX_NAME), _as_json(_index(answer)))
        for name, content in answer.files.items():
            archive.writestr(_entry(name), content)
    return written.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name)  # of 1980: equal answers are equal files


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), _CHUNK_BYTES):
        yield content[start : start + _CHUNK_BYTES]


def _given(**parts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Leave out what was not said."""
    said = {
        part: {name: value for name, value in fields.items() if value not in (None, ())}
        for part, fields in parts.items()
    }
    return {part: fields for part, fields in said.items() if fields}


def _keeper(request: Request, seconds: int) -> Callable[[Work, Answer], Result]:
    """Tell how a result is kept; whether it can be is asked before any work."""
    service = service_of(request)
    most = service.settings.limits.kept_seconds
    if seconds > most:
        raise Refusal(
            "keep", expected=f"at most {most} s", found=f"{seconds} s", status=422, limit="kept_seconds"
        )
    return functools.partial(service.results.kept.keep, tenant=request.state.tenant.name, seconds=seconds)


def _made(kept: Result, answer: Answer) -> JSONResponse:
    content = {"id": kept.result_id, "expires": kept.expires, "rows": list(answer.rows), "links": kept.links}
    headers = {"location": kept.links["self"], **NO_STORE}
    return JSONResponse(content, status_code=201, headers=headers)


def _check_accepted(request: Request) -> None:
    accepted = request.headers.get("accept") or "*/*"
    kinds = [re.sub(r"\s", "", kind).lower().partition(";") for kind in accepted.split(",")]
    if not any(kind in _SAID and not _NOT_WANTED.search(rest) for kind, _, rest in kinds):
        raise Refusal("accept", expected="application/zip", found=accepted[:100], status=406)


def _known(probabilities: Any) -> list[float | None] | None:
    if probabilities is None:
        return None
    return [None if np.isnan(value) else round(float(value), 4) for value in probabilities]
