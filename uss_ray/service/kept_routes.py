"""`/v1/results/...`: what is kept of a separation, whole, stem by stem, as windows of sound and as pictures."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated
from urllib.parse import quote

import anyio
import anyio.to_thread
from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from uss_ray.service.jobs import is_job_id
from uss_ray.service.kept import KeptResult, blocks_between
from uss_ray.service.listening import player_of, spectrogram_of, waveform_of
from uss_ray.service.problems import Refusal
from uss_ray.service.service import service_of
from uss_ray.store.store import Store

router = APIRouter(prefix="/v1/results", tags=["results"])

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_TYPES = {
    "flac": "audio/flac",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "mp3": "audio/mpeg",
}
_NEVER_CHANGES = {"cache-control": "private, max-age=3600, immutable"}
_DRAWN_AT_ONCE = 2
_MOST_STEMS = 64


class _Asked:
    """A result, and who asks for it."""

    def __init__(self, request: Request, result_id: str) -> None:
        self.results = service_of(request).kept
        self.tenant: str = request.state.tenant.name
        self.kept: KeptResult = self.results.find(self.tenant, result_id)

    def block_reader(self, offset: int) -> Callable[[int, int], Iterator[bytes]]:
        """Make what reads bytes of the object from an offset on."""
        return lambda start, stop: self.results.read(
            self.tenant, self.kept, start=offset + start, stop=offset + stop
        )


@dataclass(frozen=True)
class _Content:
    """What is answered: reads the bytes from one place to another."""

    read: Callable[[int, int], Iterator[bytes]]
    size: int
    tag: str
    media_type: str


@router.get("/{result_id}.zip")
def whole(request: Request, result_id: str) -> Response:
    """Give all of a result as one zip, or say where the store itself has it."""
    asked = _Asked(request, result_id)
    presigned = asked.results.presigned(asked.tenant, asked.kept)
    if presigned is not None:
        return RedirectResponse(presigned, status_code=307)
    content = _Content(
        asked.block_reader(0), size=asked.kept.size, tag=f"{result_id}-0", media_type="application/zip"
    )
    return _bytes_of(request, content, name=f"{result_id}.zip")


@router.get("/{result_id}")
def described(request: Request, result_id: str) -> Response:
    """Tell what is kept: a row for each class that was asked for, its files, and until when."""
    kept = _Asked(request, result_id).kept
    shown = {name: value for name, value in kept.index.items() if name != "probabilities"}
    stems = {name: {"bytes": part.size} for name, part in kept.parts.items()}
    return JSONResponse(
        {**shown, "id": kept.result_id, "expires": kept.expires, "links": kept.links, "stems": stems}
    )


@router.delete("/{result_id}", status_code=204)
def removed(request: Request, result_id: str) -> Response:
    """Forget a result."""
    asked = _Asked(request, result_id)
    asked.results.remove(asked.tenant, result_id)
    return Response(status_code=204)


@router.get("/{result_id}/stems/{name:path}")
def stem(request: Request, result_id: str, name: str) -> Response:
    """Give a stem, of a kept result or of a job whose results the service keeps, or what `Range` asks for of it."""
    media_type = _TYPES.get(name.rpartition(".")[2])
    if is_job_id(result_id):
        return _bytes_of(request, _stem_of_job(request, result_id, name, media_type), name=name)
    asked = _Asked(request, result_id)
    part = asked.kept.part(name)
    content = _Content(
        asked.block_reader(part.offset),
        size=part.size,
        tag=f"{result_id}-{part.offset}",
        media_type=media_type or "application/octet-stream",
    )
    return _bytes_of(request, content, name=name)


@router.get("/{result_id}/window")
def window(
    request: Request,
    result_id: str,
    stems: Annotated[str, Query(max_length=20_000)],
    start: Annotated[int, Query(ge=0)] = 0,
    frames: Annotated[int, Query(ge=1)] = 1 << 16,
) -> Response:
    """Give a stretch of several stems as samples of 16 bits, frame by frame, in it stem by stem, channel by channel."""
    asked = _Asked(request, result_id)
    names = stems.split(",")
    if len(names) > _MOST_STEMS:
        raise Refusal("window", expected=f"at most {_MOST_STEMS} stems", found=str(len(names)), status=422)
    samples = asked.results.window(asked.tenant, asked.kept, names=names, start=start, frames=frames)
    headers = {
        "uss-frames": str(samples.shape[0]),
        "uss-stems": str(samples.shape[1]),
        "uss-channels": str(samples.shape[2]),
        "uss-sample-rate": str(asked.kept.index["sample_rate"]),
    }
    content = samples.astype("<i2", copy=False).tobytes()
    return Response(content, media_type="application/octet-stream", headers={**headers, **_NEVER_CHANGES})


@router.get("/{result_id}/spectrogram.png")
async def spectrogram(request: Request, result_id: str) -> Response:
    """Draw the recording."""

    def drawn() -> bytes:
        asked = _Asked(request, result_id)
        name = asked.kept.index["recording"]
        return spectrogram_of(asked.kept, asked.results.blocks(asked.tenant, asked.kept, name))

    content = await anyio.to_thread.run_sync(drawn, limiter=_drawing(request))
    return Response(content, media_type="image/png", headers=_NEVER_CHANGES)


@router.get("/{result_id}/waveform.svg")
async def waveform(
    request: Request, result_id: str, stem: Annotated[str, Query(max_length=1000)]
) -> Response:
    """Draw a stem."""

    def drawn() -> str:
        asked = _Asked(request, result_id)
        return waveform_of(asked.kept, stem, asked.results.blocks(asked.tenant, asked.kept, stem))

    content = await anyio.to_thread.run_sync(drawn, limiter=_drawing(request))
    return Response(content, media_type="image/svg+xml", headers=_NEVER_CHANGES)


@router.get("/{result_id}/player", include_in_schema=False)
def player(request: Request, result_id: str) -> Response:
    """Give the player of a result, for the page."""
    return Response(player_of(_Asked(request, result_id).kept), media_type="text/html; charset=utf-8")


def _drawing(request: Request) -> anyio.CapacityLimiter:
    """Let few pictures be drawn at once: each decodes a whole stem."""
    state = request.app.state
    if not hasattr(state, "drawing"):
        state.drawing = anyio.CapacityLimiter(_DRAWN_AT_ONCE)
    limiter: anyio.CapacityLimiter = state.drawing
    return limiter


def _stem_of_job(request: Request, job_id: str, name: str, media_type: str | None) -> _Content:
    table = service_of(request).jobs
    row = table.find(request.state.tenant.name, job_id)
    place = table.result_of(row, name) if media_type else None
    if place is None or media_type is None or place.is_gone():
        raise Refusal(f"stem {name[:100]}", expected="a stem of this job", found="none", status=404)
    return _Content(
        partial(_blocks_of, place),
        size=place.size(),
        tag=f"{job_id}-{row.request.created_at}",
        media_type=media_type,
    )


def _blocks_of(place: Store, start: int, stop: int) -> Iterator[bytes]:
    with place.open() as file:
        yield from blocks_between(file, start, stop)


def _bytes_of(request: Request, content: _Content, *, name: str) -> Response:
    """Answer with the bytes, or with the range of them that was asked for (RFC 9110, section 14)."""
    tag, size = f'"{content.tag}"', content.size
    headers = {"accept-ranges": "bytes", "etag": tag, **_NEVER_CHANGES}
    headers["content-disposition"] = f"attachment; filename*=UTF-8''{quote(name.rpartition('/')[2])}"
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    wanted = None if request.headers.get("if-range", tag) != tag else request.headers.get("range")
    start, stop, status = 0, size, 200
    if wanted is not None and (match := _RANGE.fullmatch(wanted)) and (match[1] or match[2]):
        start, stop = _stretch(match[1], match[2], size=size)
        if start >= stop:
            return Response(status_code=416, headers={**headers, "content-range": f"bytes */{size}"})
        status = 206
        headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["content-length"] = str(stop - start)
    return StreamingResponse(
        content.read(start, stop), status_code=status, headers=headers, media_type=content.media_type
    )


def _stretch(first: str, last: str, *, size: int) -> tuple[int, int]:
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1 if last else size)
