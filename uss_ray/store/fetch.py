"""Remote files made local once: downloaded, resumed, checked and committed under their final name.

Owns the cache folder and everything about moving bytes into it; what the bytes mean is left to others.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import logging
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from email.message import Message
from pathlib import Path
from typing import Any, BinaryIO, cast

from filelock import FileLock

from uss_ray.errors import OutputError, UssRayError
from uss_ray.store.faults import client_errors, is_transient, wording
from uss_ray.store.patience import CutShortError, patience_seconds, patiently
from uss_ray.store.store import Store
from uss_ray.wording import without_secrets

logger = logging.getLogger(__name__)

Progress = Callable[[int, int | None], None]
"""Called with (bytes so far, bytes in all or None) as a download goes on."""

_BLOCK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 30.0
_MOST_RESTARTS = 5
_CONTENT_RANGE = re.compile(r"bytes ([0-9]+)-[0-9]+/([0-9]+|\*)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class _TransientError(Exception):
    """A failure that may pass: the attempt is worth repeating."""

    @property
    def strerror(self) -> str:
        return str(self)


class _RestartError(Exception):
    """The partial file is of no use any more: begin again at byte 0."""


@dataclass(frozen=True)
class _Stream:
    """An open download: where it begins, how long the whole file is, and how to recognise the same file again."""

    body: BinaryIO
    start_byte: int
    total_bytes: int | None
    validator: str | None


@dataclass(frozen=True)
class _Wanted:
    """What is to be fetched and how to know that it is right."""

    place: Store
    sha256: str | None
    size: int | None
    record: Path | None = None
    """The file that says so of the sha256, where nobody else does."""

    def wrong(self, *, expected: str, found: str) -> UssRayError:
        return self.place.error(without_secrets(str(self.place)), expected=expected, found=found)


def cache_folder() -> Path:
    """Folder of everything fetched: `USS_RAY_CACHE`, read at each call, or `~/.cache/uss_ray`.

    Returns
    -------
    Path
        Need not exist yet.
    """
    configured = os.environ.get("USS_RAY_CACHE")
    return Path(configured).expanduser() if configured else Path.home() / ".cache" / "uss_ray"


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Sha256 of a file, read in blocks.

    Parameters
    ----------
    path : path-like
        A local file.

    Returns
    -------
    str
        64 lower-case hexadecimal digits.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(
    place: Store,
    *,
    sha256: str | None = None,
    size: int | None = None,
    progress: Progress | None = None,
    path: Path | None = None,
) -> Path:
    """Make a remote file local, downloading it once for all processes of this machine.

    An interrupted download is taken up where it stopped, unless the file has changed meanwhile. Without
    `sha256` the first download is trusted: its hash is written beside it (`<name>.sha256`) and every later
    use is held to it.

    Parameters
    ----------
    place : Store
        Remote.
    sha256 : str, optional
        64 hexadecimal digits the file must hash to.
    size : int, optional
        Bytes the file must have.
    progress : callable, optional
        Called with (bytes so far, bytes in all or None).
    path : Path, optional
        Where to keep it; by default in the cache folder, under a name made of the location.

    Returns
    -------
    Path
        The local file, complete and checked.

    Raises
    ------
    UssRayError
        Of the place's kind, if the file does not exist, is not the expected one, or nothing of it comes for as long as
        the patience with the store lasts.
    OutputError
        If the cache cannot be written.
    ConfigError
        If there is no such scheme.
    """
    wanted = _Wanted(place, sha256.lower() if sha256 else None, size)
    if wanted.sha256 is not None and not _SHA256.fullmatch(wanted.sha256):
        raise wanted.wrong(expected="a sha256 of 64 hexadecimal digits", found=repr(sha256))
    if path is None:
        endpoint = place.options.endpoint
        location = str(place) if endpoint is None else f"{endpoint} {place}"
        key = hashlib.sha256(location.encode()).hexdigest()[:16]
        path = cache_folder() / "files" / key / _file_name(str(place))
    return _fetch_to(path, wanted, progress)


def forget(path: Path) -> None:
    """Discard what `fetch` gave, and that it was trusted: whoever read it found that it is not what was asked for.

    Raises
    ------
    OutputError
        If the cache cannot be written.
    """
    with _writing(path), FileLock(_lock_path(path)):
        path.unlink(missing_ok=True)
        _record_path(path).unlink(missing_ok=True)


# -- the cached file ----------------------------------------------------------------------------------------


def _fetch_to(path: Path, wanted: _Wanted, progress: Progress | None) -> Path:
    """Give `path` the bytes of `wanted`, unless it has them already; one process at a time."""
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(_lock_path(path))
        lock.acquire()
    try:
        held_to = wanted.sha256 or _recorded_sha256(path)
        if path.is_file():
            if file_sha256(path) == held_to:
                return path
            logger.warning("%s: cached file is altered or out of date, fetching it again", path)
        if wanted.sha256 is None and held_to is not None:
            wanted = replace(wanted, sha256=held_to, record=_record_path(path))
        partial = path.with_name(path.name + ".part")
        found = _download_checked(wanted, partial, progress)
        with _writing(path):
            _record_path(path).write_text(f"{found}  {path.name}\n", encoding="utf-8")
            partial.replace(path)
            _validator_path(partial).unlink(missing_ok=True)
        if held_to is None:
            logger.info("%s: sha256 %s, trusted from now on", without_secrets(str(wanted.place)), found)
        return path
    finally:
        lock.release()


def _download_checked(wanted: _Wanted, partial: Path, progress: Progress | None) -> str:
    """Download to `partial` and return its sha256; a wrong file is removed.

    A file that was resumed from an earlier run and comes out wrong is fetched once more from its first byte:
    the fault may lie in the old half.
    """
    resumed = partial.exists()
    _download(wanted, partial, progress)
    found = file_sha256(partial)
    if resumed and wanted.sha256 not in (None, found):
        _discard(partial)
        _download(wanted, partial, progress)
        found = file_sha256(partial)
    size = partial.stat().st_size
    if wanted.size is not None and size != wanted.size:
        _discard(partial)
        raise wanted.wrong(expected=f"{wanted.size} bytes", found=f"{size} bytes")
    if wanted.sha256 not in (None, found):
        _discard(partial)
        source = f" (of the first download, kept in {wanted.record})" if wanted.record else ""
        raise wanted.wrong(expected=f"sha256 {wanted.sha256}{source}", found=f"sha256 {found}")
    return found


def _download(wanted: _Wanted, partial: Path, progress: Progress | None) -> None:
    """Fill `partial` to the end; give up when nothing came for as long as the patience lasts."""
    restarts, patience = 0, wanted.place.options.patience_seconds
    while True:
        before = _size(partial)

        def brought_nothing(error: BaseException, before: int = before) -> bool:
            return isinstance(error, _TransientError) and _size(partial) <= before

        try:
            patiently(
                lambda: _download_once(wanted, partial, progress),
                seconds=patience,
                worth_repeating=brought_nothing,
                place=str(wanted.place),
                heard=lambda: _size(partial),
            )
            return
        except _RestartError:
            _discard(partial)
            restarts += 1
            if restarts >= _MOST_RESTARTS:
                raise wanted.wrong(
                    expected="a file that stays the same", found="another at every try"
                ) from None
        except CutShortError as error:
            raise wanted.wrong(expected="a complete download", found=str(error)) from error
        except _TransientError as error:
            if _size(partial) <= before or not patience_seconds(patience):
                raise wanted.wrong(expected="a complete download", found=str(error)) from error
            logger.info("%s: %s, trying again", without_secrets(str(wanted.place)), error)


def _download_once(wanted: _Wanted, partial: Path, progress: Progress | None) -> None:
    """One attempt: append to `partial` if the server still has the same file, else begin it anew."""
    with _open_stream(wanted, _size(partial), _read_validator(partial)) as stream:
        if wanted.size is not None and stream.total_bytes not in (None, wanted.size):
            raise wanted.wrong(
                expected=f"{wanted.size} bytes", found=f"{stream.total_bytes} bytes at the server"
            )
        done = stream.start_byte
        with _writing(partial):
            out = partial.open("r+b" if done else "wb")
        with out:
            out.seek(done)
            out.truncate()
            _write_validator(partial, stream.validator)
            while block := _read_block(stream.body):
                with _writing(partial):
                    out.write(block)
                done += len(block)
                if progress is not None:
                    progress(done, stream.total_bytes)
        if stream.total_bytes is not None and done != stream.total_bytes:
            raise _TransientError(f"the connection ended after {done} of {stream.total_bytes} bytes")


def _read_block(body: BinaryIO) -> bytes:
    try:
        return body.read(_BLOCK_BYTES)
    except (http.client.HTTPException, OSError) as error:
        # Whatever it is, what came so far is kept, and the next attempt shows whether it stays.
        raise _TransientError(_reason(error)) from error


# -- where the bytes come from ------------------------------------------------------------------------------


@contextlib.contextmanager
def _open_stream(wanted: _Wanted, offset: int, validator: str | None) -> Iterator[_Stream]:
    is_web = str(wanted.place).startswith(("http://", "https://"))
    stream = (_open_http if is_web else _open_fsspec)(wanted, offset if validator else 0, validator)
    with contextlib.closing(stream.body):
        yield stream


def _open_http(wanted: _Wanted, offset: int, validator: str | None) -> _Stream:
    headers = {"Accept-Encoding": "identity", "User-Agent": "uss-ray"}
    request = urllib.request.Request(str(wanted.place), headers=headers)
    if offset and validator:
        request.add_header("Range", f"bytes={offset}-")
        request.add_header("If-Range", validator)
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            raise _RestartError from error
        found = f"HTTP {error.code} {error.reason}".strip()
        if is_transient(error):
            raise _TransientError(found) from error
        raise wanted.wrong(expected="a file that can be downloaded", found=found) from error
    except (http.client.HTTPException, OSError) as error:
        raise _of_connection(wanted, error) from error
    start, length = 0, _whole_number(response.headers.get("Content-Length"))
    total, served = length, _validator_of(response.headers)
    if response.status == 206:
        part = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        # Servers that know no If-Range go on with another file.
        if part is None or int(part[1]) != offset or not _may_be_same(validator, response.headers):
            response.close()
            raise _RestartError
        start, served = offset, served or validator
        total = _whole_number(part[2])  # a part may end before the file does
        if total is None and length is not None:
            total = start + length
    return _Stream(body=cast(BinaryIO, response), start_byte=start, total_bytes=total, validator=served)


def _validator_of(headers: Message) -> str | None:
    etag = headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")


def _may_be_same(validator: str | None, headers: Message) -> bool:
    """Tell whether a part says nothing else of its file than the first part did."""
    is_etag = validator is not None and validator.startswith('"')
    said = headers.get("ETag" if is_etag else "Last-Modified")
    return said is None or said.removeprefix("W/") == validator


def _whole_number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]+", text.strip()) else None


def _open_fsspec(wanted: _Wanted, offset: int, validator: str | None) -> _Stream:
    filesystem, path = wanted.place.file_system()
    try:
        info: dict[str, Any] = filesystem.info(path)
        current = str(info.get("ETag") or info.get("mtime") or info.get("LastModified") or "") or None
        total = int(info["size"]) if info.get("size") is not None else None
        start = offset if validator == current and offset <= (total or 0) else 0
        body = filesystem.open(path, "rb")
        body.seek(start)
    except client_errors() as error:
        if is_transient(error):
            raise _TransientError(wording(error)) from error
        raise wanted.wrong(expected="a file that can be downloaded", found=wording(error)) from error
    return _Stream(body=cast(BinaryIO, body), start_byte=start, total_bytes=total, validator=current)


def _of_connection(wanted: _Wanted, error: Exception) -> Exception:
    """Tell a connection that failed for now from an address that leads nowhere."""
    reason = getattr(error, "reason", None)
    if is_transient(reason if isinstance(reason, BaseException) else error):
        return _TransientError(_reason(error))
    return wanted.wrong(expected="a file that can be downloaded", found=_reason(error))


# -- small parts --------------------------------------------------------------------------------------------


def _file_name(uri: str) -> str:
    path = urllib.parse.unquote(urllib.parse.urlsplit(uri).path)
    name = re.sub(r"[^\w.=,+-]", "_", path.rstrip("/").rsplit("/", 1)[-1])
    return name.strip(".") or "file"


def _lock_path(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _record_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _recorded_sha256(path: Path) -> str | None:
    record = _record_path(path)
    if not record.is_file():
        return None
    found = record.read_text(encoding="utf-8")[:64]
    return found if _SHA256.fullmatch(found) else None


def _validator_path(partial: Path) -> Path:
    return partial.with_name(partial.name + ".etag")


def _read_validator(partial: Path) -> str | None:
    path = _validator_path(partial)
    return (path.read_text(encoding="utf-8") or None) if path.is_file() else None


def _write_validator(partial: Path, validator: str | None) -> None:
    with _writing(partial):
        _validator_path(partial).write_text(validator or "", encoding="utf-8")


def _discard(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    _validator_path(partial).unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(str(path), expected="a cache that can be written", found=_reason(error)) from error


def _reason(error: BaseException) -> str:
    cause = getattr(error, "reason", None)
    if isinstance(cause, BaseException):
        error = cause
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())
