"""The page of a service: static files, the same for everybody, that ask the service like any other client."""

from __future__ import annotations

import functools
import gzip
import hashlib
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from uss_ray.service.problems import Refusal

router = APIRouter(include_in_schema=False)

_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript",
}
_HOMES: Final = {
    "page.css": "uss_ray.service",
    "page.js": "uss_ray.service",
    "recorder.js": "uss_ray.service",
    "windows.js": "uss_ray.service",
    "player.css": "uss_ray.results.report",
    "player.js": "uss_ray.results.report",
}
HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
    "vary": "accept-encoding",
}
"""What a browser is told of every file of the page."""


@router.get("/")
def page(request: Request) -> Response:
    """Give the page."""
    return _file(request, "index.html", home="uss_ray.service")


@router.get("/assets/{name}")
def asset(request: Request, name: str) -> Response:
    """Give a file of the page."""
    home = _HOMES.get(name)
    if home is None:
        raise Refusal(name[:100], expected="a file of the page", found="none", status=404)
    return _file(request, name, home=home)


def _file(request: Request, name: str, *, home: str) -> Response:
    plain, packed, tag = _content(name, home)
    headers = {**HEADERS, "etag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    is_packed = "gzip" in request.headers.get("accept-encoding", "")
    if is_packed:
        headers["content-encoding"] = "gzip"
    return Response(
        packed if is_packed else plain, media_type=_TYPES[name.rpartition(".")[2]], headers=headers
    )


@functools.cache
def _content(name: str, home: str) -> tuple[bytes, bytes, str]:
    folder = files(home)
    place = folder / "page" / name if home == "uss_ray.service" else folder / name
    plain = place.read_bytes()
    return plain, gzip.compress(plain, 9, mtime=0), f'"{hashlib.sha256(plain).hexdigest()[:32]}"'
