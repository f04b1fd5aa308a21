from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from uss_ray.errors import UssRayError
from uss_ray.service.body import Received, receive
from uss_ray.service.problems import status_of
from uss_ray.service.settings import Limits

MULTIPART = "multipart/form-data; boundary=x"


def _received(folder: Path, content: bytes, kind: str | None = None) -> Received:
    async def send_body() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    headers = [] if kind is None else [(b"content-type", kind.encode())]
    request = Request({"type": "http", "method": "POST", "headers": headers}, send_body)
    return asyncio.run(receive(request, folder=folder, limits=Limits(examples=1)))


def _part(name: str, content: str, *, filename: str | None = None) -> str:
    named = f'; filename="{filename}"' if filename else ""
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n{content}\r\n'


def _form(*parts: str) -> bytes:
    return ("".join(parts) + "--x--\r\n").encode()


@pytest.mark.parametrize("kind", [None, "audio/flac", "video/mp4", "application/x-www-form-urlencoded"])
def test_a_body_is_the_recording(tmp_path: Path, kind: str | None) -> None:
    received = _received(tmp_path, b"sound", kind)
    assert received.audio.read_bytes() == b"sound"
    assert received.sha256 == hashlib.sha256(b"sound").hexdigest()


def test_parts_are_recording_examples_and_options(tmp_path: Path) -> None:
    audio, example = _part("audio", "sound", filename="../../a"), _part("example", "like", filename="b")
    received = _received(tmp_path, _form(audio, example, _part("options", '{"query": {}}')), MULTIPART)
    assert received.audio.read_bytes() == b"sound"
    assert [path.read_bytes() for path in received.examples] == [b"like"]
    assert received.options == {"query": {}}
    assert {path.parent for path in (received.audio, *received.examples)} == {tmp_path}


AUDIO = _part("audio", "s", filename="a")


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", None, 400),
        (b"x", "text/html", 415),
        (_form(_part("audio", "text")), MULTIPART, 422),
        (_form(_part("example", "e", filename="e")), MULTIPART, 422),
        (_form(AUDIO, AUDIO), MULTIPART, 422),
        (_form(AUDIO, _part("options", "{")), MULTIPART, 400),
        (_form(AUDIO, _part("options", "[1]")), MULTIPART, 422),
        (_form(AUDIO, _part("options", "{}"), _part("options", "{}")), MULTIPART, 422),
        (_form(AUDIO, _part("options", '{"query": {}, "query": {"levels": [1]}}')), MULTIPART, 400),
        (_form(AUDIO, _part("other", "1")), MULTIPART, 422),
    ],
)
def test_what_is_no_request_is_refused(tmp_path: Path, content: bytes, kind: str | None, status: int) -> None:
    with pytest.raises(UssRayError) as refused:
        _received(tmp_path, content, kind)
    assert status_of(refused.value) == status


def test_more_files_than_allowed_are_refused(tmp_path: Path) -> None:
    many = [_part("example", "e", filename="e")] * 5
    with pytest.raises(Exception, match="Too many files"):
        _received(tmp_path, _form(AUDIO, *many), MULTIPART)
