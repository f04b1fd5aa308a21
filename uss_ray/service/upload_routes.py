"""`/v1/uploads/...`: what has no place of its own is brought along, to be named as an input."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from uss_ray.service.body import check_not_empty, save_body
from uss_ray.service.problems import Refusal
from uss_ray.service.service import NO_STORE, service_of
from uss_ray.service.uploads import PRESIGNED_SECONDS

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.put("/{name:path}", status_code=201, openapi_extra=_BODY)
async def put(request: Request, name: str) -> JSONResponse:
    """Take a recording or a manifest; the same name again replaces it. Its `uri` is an input like any other."""
    service, tenant = service_of(request), request.state.tenant
    uploads = service.uploads
    place = uploads.place(tenant.name, name)
    if request.headers.get("content-type", "").startswith("multipart/"):
        raise Refusal("content type", expected="the bytes of one file", found="multipart", status=415)
    if "content-range" in request.headers:  # RFC 9110, section 14.5: a part of a file is no file
        raise Refusal("content range", expected="the whole file", found="a part of it", status=400)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal("content encoding", expected="the bytes as they are", found="encoded ones", status=415)
    said = request.headers.get("content-length", "0")
    said_size = int(said) if said.isdecimal() else 0
    await asyncio.to_thread(uploads.check_room, place, tenant=tenant.name, size=said_size)
    with TemporaryDirectory(prefix="uss-ray-upload-") as folder:
        path = Path(folder, "upload")
        await save_body(request, path)
        check_not_empty(path)
        size = path.stat().st_size
        if size > said_size:
            await asyncio.to_thread(uploads.check_room, place, tenant=tenant.name, size=size)
        await asyncio.to_thread(uploads.put, place, path)
    expires = int(time.time()) + service.settings.limits.upload_seconds
    return JSONResponse(
        {"uri": str(place), "bytes": size, "expires": expires}, status_code=201, headers=NO_STORE
    )


@router.post("/{name:path}")
async def presigned(
    request: Request,
    name: str,
    size: Annotated[
        int, Query(alias="bytes", ge=1, description="Of the file; the store takes just as many.")
    ],
) -> JSONResponse:
    """Give an address at which the store itself takes an upload, for a quarter of an hour; it needs no token."""
    service, tenant = service_of(request), request.state.tenant
    uploads, most = service.uploads, service.settings.limits.presigned_bytes
    place = uploads.place(tenant.name, name)
    if size > most:
        raise Refusal(
            "upload", expected=f"at most {most} bytes", found=str(size), status=413, limit="presigned_bytes"
        )
    await asyncio.to_thread(uploads.check_room, place, tenant=tenant.name, size=size)
    url = await asyncio.to_thread(uploads.presigned, place, size=size)
    content = {
        "uri": str(place),
        "method": "PUT",
        "url": url,
        "headers": {"content-length": str(size)},
        "url_expires": int(time.time()) + PRESIGNED_SECONDS,
    }
    return JSONResponse(content, headers=NO_STORE)


@router.delete("/{name:path}", status_code=204)
async def removed(request: Request, name: str) -> Response:
    """Remove an upload before its time."""
    uploads = service_of(request).uploads
    place = uploads.place(request.state.tenant.name, name)
    await asyncio.to_thread(uploads.remove, place)
    return Response(status_code=204)
