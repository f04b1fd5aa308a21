"""Calls of a service. A service that is busy, restarts or loses a separator is asked again: the same samples come."""

from __future__ import annotations

import email.utils
import io
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypedDict, TypeVar, Unpack, cast
from urllib.parse import quote

from uss_ray.client.errors import ServiceError
from uss_ray.client.jobs import Jobs
from uss_ray.client.results import KeptResult, Separation, SoundClass, Tags

try:
    import httpx
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("uss_ray.client needs httpx: pip install 'uss-ray[client]'") from error

Audio = str | os.PathLike[str] | bytes | BinaryIO
"""A recording: its place on this machine, its bytes, or a file that is open and can be sought in."""

_BUSY = (429, 503)
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 30.0
_IN_MEMORY_BYTES = 32 << 20
_CONNECT_SECONDS = 10.0

Answer = TypeVar("Answer")


class Asked(TypedDict, total=False):
    """What is asked for; without anything the events of a recording."""

    levels: Sequence[int]
    classes: Sequence[str]
    texts: Sequence[str]
    exclude: Sequence[str]
    union: bool
    examples: Sequence[Audio]
    stem_format: Literal["flac", "wav", "ogg", "opus", "mp3"]
    write: Literal["stems", "active-spans", "index-only"]
    residual: bool
    threshold: float


_PARAMETERS = {"levels": "level", "classes": "class", "texts": "text", "stem_format": "format"}


class Client:
    """A service and who asks it.

    Parameters
    ----------
    url : str
        Root of the service.
    token : str or None, default=None
        What it lets one in by.
    patience_seconds : float, default=300
        How long a busy or unreachable service is asked again.
    answer_seconds : float, default=150
        How long one answer may take; the service's own deadline is shorter.
    transport : httpx.BaseTransport, optional
        How requests travel.

    Notes
    -----
    Threads may share one.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        patience_seconds: float = 300.0,
        answer_seconds: float = 150.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._patience_seconds = patience_seconds
        self._http = httpx.Client(
            base_url=url.rstrip("/") + "/",
            headers={} if token is None else {"authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(answer_seconds, connect=_CONNECT_SECONDS),
            transport=transport,
        )

    def separate(self, audio: Audio, **asked: Unpack[Asked]) -> Separation:
        """Separate a recording.

        Parameters
        ----------
        audio : path, bytes or binary file
        **asked
            As the fields of `Asked`: what is wanted, and how it is written.

        Raises
        ------
        ServiceError
            If the service refuses it, or does not answer in time.
        """
        return self._post("v1/separate", audio, asked, read=_separation)

    def separate_and_keep(self, audio: Audio, *, seconds: int, **asked: Unpack[Asked]) -> KeptResult:
        """Separate a recording, and let the service keep what comes of it.

        Parameters
        ----------
        audio, **asked
            As of `separate`.
        seconds : int
            How long it is kept.

        Raises
        ------
        ServiceError
            As of `separate`.
        """
        return self._post("v1/separate", audio, asked, keep=seconds, read=_kept)

    def tag(self, audio: Audio, *, top: int | None = None, **asked: Unpack[Asked]) -> Tags:
        """Tell what sounds when in a recording, without separating it.

        Parameters
        ----------
        audio : path, bytes or binary file
        top : int, optional
            Only the most probable.
        **asked
            Of `Asked`: `levels`, `classes`, `texts`, `threshold`.

        Raises
        ------
        ServiceError
            As of `separate`.
        """
        return self._post("v1/tag", audio, asked, top=top, read=_tags)

    def classes(self, *, find: str | None = None, level: int | None = None) -> list[SoundClass]:
        """List the nodes of the ontology, or those of a level or whose label holds a text."""
        asked = {name: value for name, value in (("find", find), ("level", level)) if value is not None}
        found = self._json("GET", "v1/classes", params=asked)["classes"]
        return [SoundClass.of(node) for node in found]

    def info(self) -> dict[str, Any]:
        """Tell version, weights and limits."""
        return self._json("GET", "v1/info")

    def upload(self, audio: Audio, *, name: str | None = None) -> str:
        """Bring a recording or a manifest along, for `jobs`; what is too large for the service goes to its store.

        Parameters
        ----------
        audio : path, bytes or binary file
        name : str, optional
            What it is called, with folders or without; by default as the file. The same name again replaces it.

        Returns
        -------
        str
            Its URI, an input of a job for as long as the service keeps it.

        Raises
        ------
        ServiceError
            If the service refuses it.
        ValueError
            If it has no name.
        """
        called = name or (Path(audio).name if isinstance(audio, str | os.PathLike) else None)
        if not called:
            raise ValueError("upload: expected a name, found none")
        path = f"v1/uploads/{quote(called)}"
        with ExitStack() as files:
            file = _opened(audio, files)
            size = file.seek(0, os.SEEK_END)
            if size <= self.info()["limits"]["body_bytes"]:
                put = self._call("PUT", path, read=_json_of, files=[file])
                return str(put["uri"])
            told = self._json("POST", path, params={"bytes": size})
            file.seek(0)
            try:  # not by the client of the service, for the store is not told the token
                sent = {"content": _blocks(file), "headers": told["headers"]}
                answer = httpx.request(told["method"], told["url"], timeout=self._http.timeout, **sent)
            except httpx.TransportError as error:
                raise _unreachable(error, url="the store of the service") from error
            if not answer.is_success:
                raise _refusal(answer)
            return str(told["uri"])

    @cached_property
    def jobs(self) -> Jobs:
        """Whole archives, separated while nobody waits."""
        return Jobs(self._json)

    def result(self, result_id: str) -> KeptResult:
        """Look up a result that is kept."""
        return _kept_of(self._json("GET", f"v1/results/{quote(result_id, safe='')}"))

    def fetch(self, result_id: str) -> Separation:
        """Fetch all of a result that is kept; `recording.flac` in it is the recording itself."""
        return self._call("GET", f"v1/results/{quote(result_id, safe='')}.zip", read=_separation)

    def stem(self, result_id: str, name: str) -> bytes:
        """Fetch a stem of a result that is kept, by a `stem_uri` of its rows."""
        path = f"v1/results/{quote(result_id, safe='')}/stems/{quote(name)}"
        return self._call("GET", path, read=lambda answer: answer.read())

    def remove(self, result_id: str) -> None:
        """Let the service forget a result."""
        self._call("DELETE", f"v1/results/{quote(result_id, safe='')}", read=lambda answer: answer.read())

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        return self._call(method, path, read=_json_of, **options)

    def _post(
        self,
        path: str,
        audio: Audio,
        asked: Asked,
        *,
        read: Callable[[httpx.Response], Answer],
        **more: int | None,
    ) -> Answer:
        params = {_PARAMETERS.get(name, name): value for name, value in asked.items() if name != "examples"}
        params |= {name: value for name, value in more.items() if value is not None}
        with ExitStack() as files:
            sound = _opened(audio, files)
            examples = [_opened(example, files) for example in asked.get("examples", ())]
            return self._call("POST", path, read=read, params=params, files=[sound, *examples])

    def _call(
        self,
        method: str,
        path: str,
        *,
        read: Callable[[httpx.Response], Answer],
        params: dict[str, Any] | None = None,
        files: Sequence[BinaryIO] = (),
        **sent: Any,
    ) -> Answer:
        """Ask until there is an answer, or patience ends; the last that was said is raised."""
        until = time.monotonic() + self._patience_seconds
        wait = _FIRST_WAIT_SECONDS
        while True:
            try:
                with self._sent(method, path, params=params, files=files, sent=sent) as answer:
                    if answer.status_code < 400:
                        return read(answer)
                    fault, told = _refusal(answer), _retry_after(answer)
            except httpx.TransportError as error:
                fault, told = _unreachable(error, url=str(self._http.base_url)), None
            passing = fault.status in (0, *_BUSY)
            seconds = told if told is not None else wait * random.uniform(0.5, 1.0)
            if not passing or time.monotonic() + seconds > until:
                raise fault
            time.sleep(seconds)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)

    @contextmanager
    def _sent(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, Any] | None,
        files: Sequence[BinaryIO],
        sent: dict[str, Any],
    ) -> Iterator[httpx.Response]:
        for file in files:
            file.seek(0)
        body = sent
        if len(files) == 1:
            size = files[0].seek(0, os.SEEK_END)
            files[0].seek(0)
            body = {"content": _blocks(files[0]), "headers": {"content-length": str(size)}}
        elif files:
            names = ["audio", *["example"] * (len(files) - 1)]
            body = {"files": [(name, (name, file)) for name, file in zip(names, files, strict=True)]}
        is_get = method == "GET"
        with self._http.stream(method, path, params=params, follow_redirects=is_get, **body) as answer:
            yield answer


def _opened(audio: Audio, files: ExitStack) -> BinaryIO:
    if isinstance(audio, bytes):
        return io.BytesIO(audio)
    if isinstance(audio, str | os.PathLike):
        return files.enter_context(Path(audio).open("rb"))
    return audio


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(1 << 18):
        yield block


def _separation(answer: httpx.Response) -> Separation:
    """Read the stems; large ones wait on the disk."""
    file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115
    try:
        for block in answer.iter_bytes(1 << 18):
            file.write(block)
    except BaseException:
        file.close()
        raise
    return Separation(cast(BinaryIO, file))


def _tags(answer: httpx.Response) -> Tags:
    found = _json_of(answer)
    return Tags(
        seconds=found["seconds"], segment_seconds=found["segment_seconds"], nodes=tuple(found["nodes"])
    )


def _kept(answer: httpx.Response) -> KeptResult:
    return _kept_of(_json_of(answer))


def _kept_of(found: dict[str, Any]) -> KeptResult:
    return KeptResult(result_id=found["id"], expires=found["expires"], rows=tuple(found["rows"]))


def _json_of(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.read())
    return found


def _refusal(answer: httpx.Response) -> ServiceError:
    try:
        problem = json.loads(answer.read())
    except ValueError:
        problem = {}
    return ServiceError.of(answer.status_code, problem if isinstance(problem, dict) else {})


def _retry_after(answer: httpx.Response) -> float | None:
    """Read how long to wait: seconds, or a date (RFC 9110, section 10.2.3)."""
    said = answer.headers.get("retry-after")
    if said is None:
        return None
    if said.isdigit():
        return float(said)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(said).timestamp() - time.time())
    except ValueError:
        return None


def _unreachable(error: httpx.TransportError, *, url: str) -> ServiceError:
    found = str(error) or type(error).__name__
    return ServiceError(url, expected="a service that answers", found=found)
