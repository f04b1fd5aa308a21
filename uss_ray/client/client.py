"""Calls of a service. A service that is busy, restarts or loses a separator is asked again: the same samples come."""

from __future__ import annotations

import email.utils
import io
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

from uss_ray.client.errors import ServiceError, understood
from uss_ray.client.jobs import Jobs
from uss_ray.client.results import KeptResult, Separation, SoundClass, Tags, written_to
from uss_ray.errors import ConfigError
from uss_ray.parsing import read_json
from uss_ray.wording import without_secrets

try:
    import httpx
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("uss_ray.client needs httpx: pip install 'uss-ray[client]'") from error

Audio = str | os.PathLike[str] | bytes | BinaryIO
"""A recording: its place on this machine, its bytes, or a file that is open and can be sought in."""

_PASSING = (429, 502, 503)  # the second is what an edge says of a service that restarts
_LEAST_WAIT_SECONDS = 0.1
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 30.0
_IN_MEMORY_BYTES = 32 << 20
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

    Raises
    ------
    ConfigError
        If the URL is none, or the token cannot be one.

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
        self._answer_seconds = answer_seconds
        if token is not None and not (token.isascii() and token.isprintable()):
            raise ConfigError("token", expected="ASCII letters in one line", found="others")
        self._http = httpx.Client(
            base_url=_checked_url(url.rstrip("/") + "/"),
            headers={} if token is None else {"authorization": f"Bearer {token}"},
            timeout=_time_limits(answer_seconds),
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
        return self._call("GET", "v1/classes", read=_classes, params=asked)

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
            most = self._call("GET", "v1/info", read=lambda told: int(_json_of(told)["limits"]["body_bytes"]))
            if size <= most:
                return self._call("PUT", path, read=lambda put: str(_json_of(put)["uri"]), files=[file])

            def send() -> str:
                uri, method, address, headers = self._call(
                    "POST", path, read=_address, params={"bytes": size}
                )
                file.seek(0)
                # Not by the client of the service, for the store is not told the token.
                sent: dict[str, Any] = {"content": _blocks(file), "headers": headers}
                _check(httpx.request(method, address, timeout=self._http.timeout, **sent))
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
        return self._call("GET", f"v1/results/{quote(result_id, safe='')}.zip", read=_separation)

    def stem(self, result_id: str, name: str) -> bytes:
        """Fetch a stem of a result that is kept, by a `stem_uri` of its rows."""
        path = f"v1/results/{quote(result_id, safe='')}/stems/{quote(name)}"
        return self._call("GET", path, read=lambda answer: answer.read())

    def remove(self, result_id: str) -> None:
        """Let the service forget a result."""
        times = 0

        def remove() -> None:
            nonlocal times
            times += 1
            with self._sent("DELETE", f"v1/results/{quote(result_id, safe='')}") as answer:
                if answer.status_code != httpx.codes.NOT_FOUND or times == 1:
                    _check(answer)  # or else it is gone, and the answer that said so was lost

        self._patiently(remove)

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
        patience_seconds: float | None = None,
        **sent: Any,
    ) -> Answer:
        """Ask until there is an answer, or patience ends."""
        if patience_seconds is not None:
            sent["timeout"] = _time_limits(max(1.0, min(patience_seconds, self._answer_seconds)))

        def ask() -> Answer:
            with self._sent(method, path, **sent) as answer:
                _check(answer)
                with understood(status=answer.status_code):
                    return read(answer)

        return self._patiently(ask, patience_seconds=patience_seconds)

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
                fault = _unreachable(error, url=asked or str(self._http.base_url))
                may_pass = not isinstance(error, _FINAL)
            seconds = wait * random.uniform(0.5, 1.0)
            if fault.retry_after is not None:
                seconds = max(fault.retry_after, _LEAST_WAIT_SECONDS)
            if not may_pass or time.monotonic() + seconds > until:
                raise fault
            time.sleep(seconds)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)

    @contextmanager
    def _sent(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, Any] | None = None,
        files: Sequence[BinaryIO] = (),
        **sent: Any,
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


def _checked_url(url: str) -> httpx.URL:
    try:
        found = httpx.URL(url)
    except httpx.InvalidURL:
        found = httpx.URL()
    if found.scheme not in ("http", "https") or not found.host:
        raise ConfigError("url", expected="http://host:port or https://host", found=without_secrets(url))
    return found


def _time_limits(seconds: float) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS))


def _check(answer: httpx.Response) -> None:
    """Raise what an answer says that is none."""
    if not answer.is_success:
        raise _refusal(answer)


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
            with written_to(tempfile.gettempdir(), expected="a folder with room for an answer"):
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


def _classes(answer: httpx.Response) -> list[SoundClass]:
    return [SoundClass.of(node) for node in _json_of(answer)["classes"]]


def _address(answer: httpx.Response) -> tuple[str, str, str, dict[str, str]]:
    told = _json_of(answer)
    return told["uri"], told["method"], told["url"], told["headers"]


def _kept(answer: httpx.Response) -> KeptResult:
    found = _json_of(answer)
    return KeptResult(result_id=found["id"], expires=found["expires"], rows=tuple(found["rows"]))


def _json_of(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = read_json(answer.read())
    return found


def _refusal(answer: httpx.Response) -> ServiceError:
    try:
        problem = read_json(answer.read())
    except ValueError:
        problem = {}
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
