"""`/v1/results/...`: what is kept of calls and jobs, whole, stem by stem, as windows of sound and as pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from uss_ray.service.listening import player_of, spectrogram_of, waveform_of
from uss_ray.service.problems import Refusal
from uss_ray.service.result import Part, Result
from uss_ray.service.results import Results
from uss_ray.service.service import NO_STORE, UNCHANGED, is_known, service_of

router = APIRouter(prefix="/v1/results", tags=["results"])

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)
_TYPES = {
    "flac": "audio/flac",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "mp3": "audio/mpeg",
    "zip": "application/zip",
    "": "application/octet-stream",
}
_NEVER_CHANGES = {"cache-control": "private, max-age=3600, immutable"}
_MOST_LETTERS = 5000  # of names: a server takes addresses of 64 KiB, and a letter may be twelve of them
_MOST_GAIN = 10.0

_Responses = dict[int | str, dict[str, Any]]

_Redirect = Annotated[
    bool,
    Query(description="Whether the answer may be an address of the store, where the service gives those."),
]


def _giving(*kinds: str) -> _Responses:
    """Say of which types an answer is."""
    return {200: {"content": {kind: {} for kind in kinds}, "description": "What was asked for."}}


def _giving_file(*kinds: str) -> _Responses:
    """Say the same of a file, as `_file` answers."""
    given = _giving(*kinds)
    return given | {
        206: {**given[200], "description": "The range of it that was asked for."},
        304: UNCHANGED,
        307: {"description": "The store itself gives it, at `Location`."},
        416: {"description": "It has nothing of the range that was asked for."},
    }


@router.get("/{result_id}.zip", response_class=Response, responses=_giving_file(_TYPES["zip"]))
def whole(
    request: Request,
    result_id: str,
    stems: Annotated[
        str | None,
        Query(
            max_length=_MOST_LETTERS,
            description="Only these, with commas between them; one that is named twice is there once.",
        ),
    ] = None,
    redirect: _Redirect = True,
) -> Response:
    """Give all of a result as one zip, or say where the store itself has it; or some of its stems."""
    result = _asked(request, result_id)
    name = f"{result_id}.zip"
    if stems is None and result.archive is not None:
        return _file(request, result.archive, name=name, redirect=redirect)
    content = result.zipped(list(result.parts) if stems is None else stems.split(","))
    headers = {"content-disposition": _disposition(name), **NO_STORE}
    return StreamingResponse(_begun(content), media_type=_TYPES["zip"], headers=headers)


@router.get("/{result_id}")
def described(request: Request, result_id: str) -> Response:
    """Tell what is kept: a row for each class that was asked for, its files, and until when."""
    result = _asked(request, result_id)
    shown = {name: value for name, value in result.index.items() if name != "probabilities"}
    stems = {name: {"bytes": part.size} for name, part in result.parts.items()}
    return JSONResponse(
        {**shown, "id": result_id, "expires": result.expires, "links": result.links, "stems": stems},
        headers=NO_STORE,
    )


@router.delete("/{result_id}", status_code=204)
def removed(request: Request, result_id: str) -> Response:
    """Forget a result; those of a job go with it."""
    _results(request).remove(request.state.tenant.name, result_id)
    return Response(status_code=204)


@router.get(
    "/{result_id}/stems/{name:path}",
    response_class=Response,
    responses=_giving_file(*(kind for suffix, kind in _TYPES.items() if suffix != "zip")),
)
def stem(request: Request, result_id: str, name: str, redirect: _Redirect = True) -> Response:
    """Give a stem, what `Range` asks for of it, or say where the store itself has it."""
    result = _asked(request, result_id, is_remembered=True)
    return _file(request, result.part(name), name=name, redirect=redirect and result.archive is None)


@router.get("/{result_id}/window", response_class=Response, responses=_giving(_TYPES[""]))
def window(
    request: Request,
    result_id: str,
    stems: Annotated[str, Query(max_length=_MOST_LETTERS)],
    start: Annotated[int, Query(ge=0)] = 0,
    frames: Annotated[int, Query(ge=1)] = 1 << 16,
) -> Response:
    """Give a stretch of several stems as samples of 16 bits, frame by frame, in it stem by stem, channel by channel."""
    result = _asked(request, result_id, is_remembered=True)
    samples = result.window(stems.split(","), start=start, frames=frames)
    headers = {
        "uss-frames": str(samples.shape[0]),
        "uss-stems": str(samples.shape[1]),
        "uss-channels": str(samples.shape[2]),
        "uss-sample-rate": str(result.sample_rate),
    }
    content = samples.astype("<i2", copy=False).tobytes()
    return Response(content, media_type=_TYPES[""], headers={**headers, **_NEVER_CHANGES})


@router.get("/{result_id}/mix.wav", response_class=Response, responses=_giving(_TYPES["wav"]))
def mix(
    request: Request,
    result_id: str,
    stems: Annotated[str, Query(max_length=_MOST_LETTERS)],
    gains: Annotated[
        str, Query(max_length=1000, pattern="^[0-9.,]*$", description="One for each stem; without, 1.")
    ] = "",
) -> Response:
    """Give several stems added up, as a WAV file of 16 bits; one that is named twice is added twice."""
    names = stems.split(",")
    try:
        factors = [float(gain) for gain in gains.split(",")] if gains else [1.0] * len(names)
        is_wrong = len(factors) != len(names) or not all(0 <= gain <= _MOST_GAIN for gain in factors)
    except ValueError:
        is_wrong = True
    if is_wrong:
        expected = f"a number in [0, {_MOST_GAIN}] for each stem"
        raise Refusal("gains", expected=expected, found=gains[:100], status=422)
    wanted = dict.fromkeys(names, 0.0)
    for name, factor in zip(names, factors, strict=True):
        wanted[name] += factor
    size, blocks = _asked(request, result_id).mixed(wanted)
    headers = {"content-length": str(size), "content-disposition": _disposition("mix.wav"), **NO_STORE}
    return StreamingResponse(_begun(blocks), media_type=_TYPES["wav"], headers=headers)


@router.get("/{result_id}/spectrogram.png", response_class=Response, responses=_giving("image/png"))
async def spectrogram(request: Request, result_id: str) -> Response:
    """Draw the recording."""

    def drawn() -> bytes:
        return spectrogram_of(_asked(request, result_id, is_remembered=True))

    content = await service_of(request).threads.run("draw", drawn)
    return Response(content, media_type="image/png", headers=_NEVER_CHANGES)


@router.get("/{result_id}/waveform.svg", response_class=Response, responses=_giving("image/svg+xml"))
async def waveform(
    request: Request, result_id: str, stem: Annotated[str, Query(max_length=1000)]
) -> Response:
    """Draw a stem."""

    def drawn() -> str:
        return waveform_of(_asked(request, result_id, is_remembered=True), stem)

    content = await service_of(request).threads.run("draw", drawn)
    return Response(content, media_type="image/svg+xml", headers=_NEVER_CHANGES)


@router.get("/{result_id}/player", include_in_schema=False)
def player(request: Request, result_id: str) -> Response:
    """Give the player of a result, for the page."""
    content = player_of(_asked(request, result_id))
    return Response(content, media_type="text/html; charset=utf-8", headers=NO_STORE)


def _results(request: Request) -> Results:
    return service_of(request).results


def _asked(request: Request, result_id: str, *, is_remembered: bool = False) -> Result:
    return _results(request).find(request.state.tenant.name, result_id, is_remembered=is_remembered)


def _file(request: Request, part: Part, *, name: str, redirect: bool) -> Response:
    """Answer with a file, or with the range of it that was asked for (RFC 9110, section 14)."""
    is_head = getattr(
        request.state, "is_head", False
    )  # who follows a redirect asks with HEAD; GET alone is signed
    presigned = _results(request).presigned(part) if redirect and not is_head else None
    if presigned is not None:
        return RedirectResponse(presigned, status_code=307)
    tag, size = f'"{part.tag}"', part.size
    headers = {"accept-ranges": "bytes", "etag": tag, **_NEVER_CHANGES}
    headers["content-disposition"] = _disposition(name)
    if is_known(request, tag):
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
    media_type = _TYPES.get(name.rpartition(".")[2], _TYPES[""])
    blocks = _begun(part.read(start, stop))
    return StreamingResponse(blocks, status_code=status, headers=headers, media_type=media_type)


def _begun(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Read the first block before there is an answer: what is gone is 404, and no answer that breaks off."""
    return chain([next(blocks, b"")], blocks)


def _disposition(name: str) -> str:
    return f"attachment; filename*=UTF-8''{quote(name.rpartition('/')[2])}"


def _stretch(first: str, last: str, *, size: int) -> tuple[int, int]:
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1 if last else size)
