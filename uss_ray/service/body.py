"""What a request brings: a recording as its body, or with examples and options in several parts."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from uss_ray.config import canonical_json
from uss_ray.errors import ConfigError, OutputError, RecordingError
from uss_ray.parsing import read_json
from uss_ray.service.asking import PARTS
from uss_ray.service.places import allowed_place, check_apart, check_opened
from uss_ray.service.problems import Refusal
from uss_ray.service.service import Service, service_of
from uss_ray.service.settings import Limits
from uss_ray.service.tokens import Tenant
from uss_ray.store.faults import is_infrastructure
from uss_ray.store.store import Store

PLACE_SCHEMA: Final = {"type": "object", "required": ["uri"], "properties": {"uri": {"type": "string"}}}
"""How the description of the service says what `uri_of` takes."""

PARTS_SCHEMA: Final = {name: {"type": "object"} for name in PARTS}
"""How it says what `asking.asked_for` takes."""

RECORDING = "recording"
_MULTIPART = "multipart/form-data"
_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"  # what curl says of --data-binary
_SOUND = ("audio/", "video/")
_BYTES = ("application/octet-stream", "application/ogg", _FORM, "")
_FIELDS = 64
_READ_BYTES = 1 << 20


@dataclass
class Received:
    """What came, as files.

    Attributes
    ----------
    audio : Path
    sha256 : str
        Of the recording.
    examples : list of Path
    options : dict
        What the part `options` says, or the JSON besides input and output.
    output : str, optional
        Where the results go, if not into the answer.
    """

    audio: Path
    sha256: str = ""
    examples: list[Path] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    output: str | None = None


async def receive(request: Request, *, folder: Path, limits: Limits) -> Received:
    """Read a request to files.

    Parameters
    ----------
    request : Request
    folder : Path
        Empty; of this request alone.
    limits : Limits

    Raises
    ------
    Refusal
        If it is of another type, has too much of something, or no recording.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    received = Received(folder / RECORDING)
    if kind == _MULTIPART:
        await _parts(request, received, limits=limits)
    elif kind == _JSON:
        await _named(request, received, limits=limits)
    elif kind.startswith(_SOUND) or kind in _BYTES:
        await save_body(request, received.audio)
    else:
        raise Refusal(
            "content type",
            expected="audio/*, application/octet-stream, multipart/form-data or application/json",
            found=kind[:100],
            status=415,
        )
    check_not_empty(received.audio)
    received.sha256 = await asyncio.to_thread(_sha256, received.audio)
    return received


async def save_body(request: Request, path: Path) -> None:
    """Write what a request brings to a file.

    Raises
    ------
    OutputError
        If there is no room for it.
    """
    try:
        with path.open("wb") as file:
            async for chunk in request.stream():
                await asyncio.to_thread(file.write, chunk) if len(chunk) > 1 << 20 else file.write(chunk)
    except OSError as error:
        raise OutputError(
            "request", expected="room for it", found=error.strerror or type(error).__name__
        ) from error


def check_not_empty(path: Path) -> None:
    """Refuse a request that has brought nothing."""
    if not path.stat().st_size:
        raise Refusal("request", expected="a recording", found="no bytes", status=400)


async def _parts(request: Request, received: Received, *, limits: Limits) -> None:
    async with request.form(
        max_files=1 + limits.examples, max_fields=_FIELDS, max_part_size=limits.json_bytes
    ) as form:
        _check_names(form)
        await _save(_file(_only(form, "audio"), "audio"), received.audio)
        for number, example in enumerate(form.getlist("example")):
            path = received.audio.with_name(f"example-{number}")
            await _save(_file(example, "example"), path)
            received.examples.append(path)
        options = _only(form, "options") if "options" in form else None
        if isinstance(options, UploadFile):
            options = (await options.read(limits.json_bytes)).decode(errors="replace")
        if options:
            received.options = _object(options)


async def json_object(request: Request, *, limits: Limits) -> dict[str, Any]:
    """Read a request that is an object of JSON.

    Raises
    ------
    UssRayError
        If it is none, or too long.
    """
    text = bytearray()
    async for chunk in request.stream():
        text += chunk
        if len(text) > limits.json_bytes:
            raise Refusal(
                "request", expected=f"at most {limits.json_bytes} bytes of JSON", found="more", status=413,
                limit="json_bytes",
            )  # fmt: skip
    return _object(text.decode(errors="replace"), item="request")


async def _named(request: Request, received: Received, *, limits: Limits) -> None:
    """Fetch the recording that a request names, as far as its token allows."""
    said = await json_object(request, limits=limits)
    service, tenant = service_of(request), request.state.tenant
    place, received.output = named_places(said, service=service, tenant=tenant)
    received.options = said
    source = Store(place, service.storage)
    ended = threading.Event()

    def check(file: BinaryIO) -> None:
        if not source.is_remote:
            check_opened(file, prefixes=service.inputs_of(tenant), item="input", closed=service.closed)

    fetch = partial(
        _fetch, source, received.audio, most=limits.body_bytes, check=check, has_ended=ended.is_set
    )
    try:
        await service.threads.run("fetch", fetch)
    finally:
        ended.set()


def named_places(said: dict[str, Any], *, service: Service, tenant: Tenant) -> tuple[str, str | None]:
    """Take `input` and `output` out of what a request says, as far as its token allows.

    Raises
    ------
    Refusal
        If one is none, or not the tenant's to name, or the output lies in the input.
    """
    source = allowed_place(
        uri_of(said.pop("input", None), item="input"),
        prefixes=service.inputs_of(tenant), item="input", closed=service.closed,
    )  # fmt: skip
    if "output" not in said:
        return source, None
    output = allowed_place(
        uri_of(said.pop("output"), item="output"),
        prefixes=tenant.prefixes, item="output", closed=service.closed,
    )  # fmt: skip
    check_apart(output, source=source)
    return source, output


def uri_of(said: Any, *, item: str) -> str:
    """Give the place of an object `{"uri": ...}`.

    Raises
    ------
    Refusal
        If it is something else.
    """
    uri = said.get("uri") if isinstance(said, dict) and set(said) == {"uri"} else None
    if not isinstance(uri, str):
        raise Refusal(item, expected='an object {"uri": "..."}', found=repr(said)[:100], status=422)
    return uri


def _fetch(
    place: Store,
    path: Path,
    *,
    most: int,
    check: Callable[[BinaryIO], None],
    has_ended: Callable[[], bool],
) -> None:
    """Copy a recording, as long as somebody waits for it: a thread cannot be cancelled."""
    try:
        with place.open() as source, path.open("wb") as file:
            check(source)
            while not has_ended() and (chunk := source.read(min(_READ_BYTES, most + 1))):
                file.write(chunk)
                if file.tell() > most:
                    raise Refusal(
                        "input",
                        expected=f"at most {most} bytes",
                        found="more",
                        status=413,
                        limit="body_bytes",
                    )
    except RecordingError as error:
        if is_infrastructure(error):
            raise Refusal("store", expected="a store that answers", found="none now", status=503) from error
        raise


def _check_names(form: FormData) -> None:
    for name in form:
        if name not in ("audio", "example", "options"):
            raise Refusal("part", expected="audio, example or options", found=repr(name[:100]), status=422)


def _only(form: FormData, name: str) -> UploadFile | str:
    found = form.getlist(name)
    if len(found) != 1:
        raise Refusal("request", expected=f"one part {name}", found=str(len(found)), status=422)
    return found[0]


def _file(part: UploadFile | str, name: str) -> UploadFile:
    if isinstance(part, str):
        raise Refusal(f"part {name}", expected="a file", found="a text", status=422)
    return part


async def _save(part: UploadFile, path: Path) -> None:
    def copy(source: BinaryIO) -> None:
        with path.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)

    await asyncio.to_thread(copy, part.file)


def _object(text: str, *, item: str = "part options") -> dict[str, Any]:
    try:
        found = read_json(text, names_once=True)
        canonical_json(found).encode()  # no NaN and no half of a letter, which JSON has no way to say
    except (ValueError, RecursionError) as error:
        raise Refusal(item, expected="JSON", found=" ".join(str(error).split())[:200], status=400) from error
    if not isinstance(found, dict):
        raise ConfigError(item, expected="an object", found=type(found).__name__)
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
