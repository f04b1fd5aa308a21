"""Calls of a service. A service that is busy, restarts or loses a separator is asked again: the same samples come."""

from __future__ import annotations

import asyncio
import email.utils
import io
import os
import random
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypedDict, TypeVar, Unpack, cast
from urllib.parse import quote

from uss_ray.client.errors import ServiceError, understood
from uss_ray.client.jobs import Jobs
from uss_ray.client.results import KeptResult, Separation, SoundClass, Tags, written_to
from uss_ray.client.waiting import Clock, Waiting, by_its_time
from uss_ray.errors import ConfigError, RecordingError
from uss_ray.parsing import read_json
from uss_ray.wording import without_secrets

try:
    import httpx
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("uss_ray.client needs httpx: pip install 'uss-ray[client]'") from error

Audio = str | os.PathLike[str] | bytes | BinaryIO
"""A recording: its place on this machine, its bytes, or a binary file that is open and can be sought in."""

_ONE = (str, os.PathLike, bytes, bytearray, memoryview)

_PASSING = (429, 502, 503)  # the second is what an edge says of a service that restarts
_LEAST_WAIT_SECONDS = 0.1
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 30.0
_IN_MEMORY_BYTES = 32 << 20
_BLOCK_BYTES = 1 << 18
_CONNECT_SECONDS = 10.0

# What no other try changes: how the request itself is written, or where it is sent.
_FINAL = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.TooManyRedirects)

Answer = TypeVar("Answer")


class Asked(TypedDict, total=False):
    """What is asked for; without anything the events of a recording."""

    levels: Sequence[int]
    classes: Sequence[str]
    texts: Sequence[str]
    exclude: Sequence[str]
    union: bool
    examples: Audio | Sequence[Audio]
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
        Root of the service, without a query or fragment. Where it names a user, the service is asked as that one (HTTP
        Basic), and there can be no token.
    token : str or None, default=None
        What it lets one in by.
    patience_seconds : float, default=300
        How long a busy or unreachable service is asked again; the last time it is asked ends by its own limits.
    answer_seconds : float, default=150
        How long one answer may take, all of it, from the first byte that is sent: what the service allows itself
        (`limits.deadline_seconds` of `info`, 120 unless it says otherwise), and half a minute. Files (of `separate`,
        `fetch` and `stem`, and what `upload` sends to the store) may be longer on their way, as long as each MiB comes
        within this time.
    file_seconds : float, default=10800
        How long all of a file may take; 5 GB have to come at half a megabyte a second.
    transport : httpx.AsyncBaseTransport, optional
        How requests travel.

    Raises
    ------
    ConfigError
        If the URL is none, or the token cannot be one.

    Notes
    -----
    Threads may share one. However slowly a server sends, a call ends: at the latest after `patience_seconds` and
    `answer_seconds`, of a file `file_seconds`, together.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        patience_seconds: float = 300.0,
        answer_seconds: float = 150.0,
        file_seconds: float = 10_800.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._patience_seconds = patience_seconds
        self._answer_seconds = answer_seconds
        self._file_seconds = file_seconds
        if token is not None and not (token.isascii() and token.isprintable()):
            raise ConfigError("token", expected="ASCII letters in one line", found="others")
        if token is not None and not token.strip():
            raise ConfigError("token", expected="a token, or None", found="an empty one")
        self._url = _checked_url(url)
        if token is not None and self._url.userinfo:  # httpx would send the user, and no token
            raise ConfigError("url", expected="no user beside a token", found=without_secrets(url))

        def make() -> httpx.AsyncClient:
            return httpx.AsyncClient(
                base_url=self._url,
                headers={} if token is None else {"authorization": f"Bearer {token}"},
                timeout=_time_limits(answer_seconds),
                transport=transport,
            )

        self._waiting = Waiting(make)

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
        RecordingError
            If the recording or an example cannot be read here.
        """
        return self._post("v1/separate", audio, asked, read=Separation, is_file=True)

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
        return self._call("GET", "v1/classes", read=_classes, params=asked)

    def info(self) -> dict[str, Any]:
        """Tell version, weights and limits."""
        return self._call("GET", "v1/info", read=_object_of)

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
            most = self._call("GET", "v1/info", read=lambda told: int(_json_of(told)["limits"]["body_bytes"]))
            if size <= most:
                return self._call("PUT", path, read=lambda put: str(_json_of(put)["uri"]), files=[file])

            def send() -> str:
                uri, method, address, headers = self._call(
                    "POST", path, read=_address, params={"bytes": size}
                )
                self._waiting.ask(lambda _: self._given_to_store(method, address, file, headers=headers))
                return uri

            return self._patiently(send, asked="the store of the service")

    @cached_property
    def jobs(self) -> Jobs:
        """Whole archives, separated while nobody waits."""
        return Jobs(self._json)

    def result(self, result_id: str) -> KeptResult:
        """Look up a result that is kept."""
        return self._call("GET", f"v1/results/{quote(result_id, safe='')}", read=_kept)

    def fetch(self, result_id: str) -> Separation:
        """Fetch all of a result that is kept; `recording.flac` in it is the recording itself."""
        return self._call("GET", f"v1/results/{quote(result_id, safe='')}.zip", read=Separation, is_file=True)

    def stem(self, result_id: str, name: str) -> bytes:
        """Fetch a stem of a result that is kept, by a `stem_uri` of its rows."""
        path = f"v1/results/{quote(result_id, safe='')}/stems/{quote(name)}"
        return self._call("GET", path, read=_bytes_of, is_file=True)

    def remove(self, result_id: str) -> None:
        """Let the service forget a result."""
        times = 0

        def remove() -> None:
            nonlocal times
            times += 1
            try:
                self._ask("DELETE", f"v1/results/{quote(result_id, safe='')}", read=_bytes_of)
            except ServiceError as error:
                if error.status != httpx.codes.NOT_FOUND or times == 1:
                    raise  # or else it is gone, and the answer that said so was lost

        self._patiently(remove)

    def close(self) -> None:
        """Close the connections."""
        self._waiting.close()

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
        read: Callable[[BinaryIO], Answer],
        is_file: bool = False,
        **more: int | None,
    ) -> Answer:
        params = {_PARAMETERS.get(name, name): value for name, value in asked.items() if name != "examples"}
        params |= {name: value for name, value in more.items() if value is not None}
        with ExitStack() as files:
            sound = _opened(audio, files)
            given: Any = asked.get("examples", ())
            several = [given] if isinstance(given, _ONE) or hasattr(given, "read") else given
            examples = [_opened(example, files) for example in several]
            return self._call(
                "POST", path, read=read, is_file=is_file, params=params, files=[sound, *examples]
            )

    def _call(
        self,
        method: str,
        path: str,
        *,
        read: Callable[[BinaryIO], Answer],
        patience_seconds: float | None = None,
        **sent: Any,
    ) -> Answer:
        """Ask until there is an answer, or patience ends."""
        if patience_seconds is not None:
            sent["seconds"] = max(1.0, min(patience_seconds, self._answer_seconds))
        return self._patiently(
            lambda: self._ask(method, path, read=read, **sent), patience_seconds=patience_seconds
        )

    def _ask(self, method: str, path: str, *, read: Callable[[BinaryIO], Answer], **sent: Any) -> Answer:
        """Ask once; what comes is read when all of it is there."""
        status, body = self._waiting.ask(lambda http: self._answered(http, method, path, **sent))
        with understood(status=status):
            return read(body)

    def _patiently(
        self, ask: Callable[[], Answer], *, asked: str | None = None, patience_seconds: float | None = None
    ) -> Answer:
        """Ask again while what prevents an answer may pass, until patience ends; the last that was said is raised."""
        patience = self._patience_seconds if patience_seconds is None else patience_seconds
        until = time.monotonic() + patience
        wait = _FIRST_WAIT_SECONDS
        while True:
            try:
                return ask()
            except ServiceError as error:
                fault, may_pass = error, error.status in (0, *_PASSING)
            except httpx.RequestError as error:
                fault = _unreachable(error, url=asked or str(self._url))
                may_pass = not isinstance(error, _FINAL)
            seconds = wait * random.uniform(0.5, 1.0)
            if fault.retry_after is not None:
                seconds = max(fault.retry_after, _LEAST_WAIT_SECONDS)
            if not may_pass or time.monotonic() + seconds > until:
                raise fault
            time.sleep(seconds)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)

    async def _answered(
        self,
        http: httpx.AsyncClient,
        method: str,
        path: str,
        *,
        seconds: float | None = None,
        is_file: bool = False,
        files: Sequence[BinaryIO] = (),
        **sent: Any,
    ) -> tuple[int, BinaryIO]:
        for file in files:
            file.seek(0)
        if len(files) == 1:
            size = files[0].seek(0, os.SEEK_END)
            files[0].seek(0)
            sent |= {"content": _blocks(files[0]), "headers": {"content-length": str(size)}}
        elif files:
            names = ["audio", *["example"] * (len(files) - 1)]
            sent["files"] = [(name, (name, file)) for name, file in zip(names, files, strict=True)]
        sent["follow_redirects"] = method == "GET"
        async with self._clock(seconds) as clock, http.stream(method, path, **sent) as answer:
            body = await _taken(answer, clock=clock if is_file and answer.is_success else None)
        _check(answer, body)
        return answer.status_code, body

    async def _given_to_store(
        self, method: str, address: str, file: BinaryIO, *, headers: Mapping[str, str]
    ) -> None:
        """Send an upload by no client of the service, for the store is not told the token."""
        file.seek(0)
        async with (
            self._clock() as clock,
            httpx.AsyncClient(timeout=_time_limits(self._answer_seconds)) as store,
            store.stream(method, address, content=_blocks(file, clock=clock), headers=headers) as answer,
        ):
            body = await _taken(answer)
        _check(answer, body)

    def _clock(self, seconds: float | None = None) -> AbstractAsyncContextManager[Clock]:
        return by_its_time(
            without_secrets(str(self._url)),
            seconds=self._answer_seconds if seconds is None else seconds,
            most_seconds=self._file_seconds,
        )


def _checked_url(url: str) -> httpx.URL:
    """Take the root of a service; paths are laid below it, which a query or fragment would end up within."""
    try:
        found = httpx.URL(url.rstrip("/") + "/")
    except httpx.InvalidURL:
        found = httpx.URL()
    if found.scheme not in ("http", "https") or not found.host:
        raise ConfigError("url", expected="http://host:port or https://host", found=without_secrets(url))
    if "?" in url or "#" in url:
        raise ConfigError("url", expected="none with a query or fragment", found=without_secrets(url))
    return found


def _time_limits(seconds: float) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS))


def _check(answer: httpx.Response, body: BinaryIO) -> None:
    """Raise what an answer says that is none."""
    if not answer.is_success:
        raise _refusal(answer, body)


def _opened(audio: Any, files: ExitStack) -> BinaryIO:
    if isinstance(audio, bytes | bytearray | memoryview):
        return io.BytesIO(audio)
    if isinstance(audio, str | os.PathLike):
        try:
            return files.enter_context(Path(audio).open("rb"))
        except OSError as error:
            found = error.strerror or str(error)
            raise RecordingError(str(audio), expected="a readable file", found=found) from error
    if isinstance(audio, io.TextIOBase) or not hasattr(audio, "read") or not hasattr(audio, "seek"):
        found = "one open for text" if isinstance(audio, io.TextIOBase) else f"a {type(audio).__name__}"
        raise RecordingError("audio", expected="a path, bytes or a file open for binary reading", found=found)
    return cast(BinaryIO, audio)


async def _blocks(file: BinaryIO, *, clock: Clock | None = None) -> AsyncIterator[bytes]:
    while block := await asyncio.to_thread(file.read, _BLOCK_BYTES):
        yield block
        if clock is not None:
            clock.moved(len(block))


async def _taken(answer: httpx.Response, *, clock: Clock | None = None) -> BinaryIO:
    """Take what comes; what is large waits on the disk."""
    file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115
    try:
        async for block in answer.aiter_bytes(_BLOCK_BYTES):
            with written_to(tempfile.gettempdir(), expected="a folder with room for an answer"):
                file.write(block)
            if clock is not None:
                clock.moved(len(block))
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return cast(BinaryIO, file)


def _tags(body: BinaryIO) -> Tags:
    found = _json_of(body)
    return Tags(
        seconds=found["seconds"], segment_seconds=found["segment_seconds"], nodes=tuple(found["nodes"])
    )


def _classes(body: BinaryIO) -> list[SoundClass]:
    return [SoundClass.of(node) for node in _json_of(body)["classes"]]


def _address(body: BinaryIO) -> tuple[str, str, str, dict[str, str]]:
    told = _json_of(body)
    return told["uri"], told["method"], told["url"], told["headers"]


def _kept(body: BinaryIO) -> KeptResult:
    found = _json_of(body)
    return KeptResult(result_id=found["id"], expires=found["expires"], rows=tuple(found["rows"]))


def _bytes_of(body: BinaryIO) -> bytes:
    with body:
        return body.read()


def _json_of(body: BinaryIO) -> dict[str, Any]:
    found: dict[str, Any] = read_json(_bytes_of(body))
    return found


def _object_of(body: BinaryIO) -> dict[str, Any]:
    found = _json_of(body)
    if not isinstance(found, dict):
        raise TypeError(f"a JSON {type(found).__name__}")  # read as an answer that is not understood
    return found


def _refusal(answer: httpx.Response, body: BinaryIO) -> ServiceError:
    try:
        problem = read_json(_bytes_of(body))
    except ValueError:
        problem = {}
    elsewhere = answer.headers.get("location")
    if answer.has_redirect_location and elsewhere:
        return ServiceError(
            without_secrets(str(answer.url)),
            expected="an answer where the client asks; its url may have to be another",
            found=f"status {answer.status_code} to {without_secrets(elsewhere)}",
            status=answer.status_code,
        )
    return ServiceError.of(
        answer.status_code, problem if isinstance(problem, dict) else {}, retry_after=_retry_after(answer)
    )


def _retry_after(answer: httpx.Response) -> float | None:
    """Read how long to wait: seconds, or a date (RFC 9110, section 10.2.3)."""
    said = answer.headers.get("retry-after")
    if said is None:
        return None
    if said.isdecimal() and said.isascii():
        return float(said)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(said).timestamp() - time.time())
    except (OverflowError, ValueError):
        return None


def _unreachable(error: httpx.RequestError, *, url: str) -> ServiceError:
    found = str(error) or type(error).__name__
    return ServiceError(without_secrets(url), expected="a service that answers", found=found)
