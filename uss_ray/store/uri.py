"""Local paths and URIs (``s3://``, ``https://``, ``memory://``) behind the same few functions.

Owns the atomic commit (nothing half-written ever stands under a final name). Faults of a store that may pass are waited
out (`patience`); what is raised then has the client's own exception as its cause, for `faults.is_infrastructure`.
A location without ``scheme://`` is a local path, whatever characters its name holds.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from fsspec.utils import get_protocol

from uss_ray.errors import OutputError, RecordingError, UssRayError
from uss_ray.store.faults import client_errors, without_secrets, wording
from uss_ray.store.patience import patiently
from uss_ray.store.systems import S3_SCHEMES, WEB_SCHEMES, file_system

Location = str | os.PathLike[str]

_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://")
# libsndfile reads a few KiB at a time; one request a piece would take minutes, the default cache twice the memory.
_READ_AHEAD_BYTES = 8 << 20
# Below twice this a file goes up in one request; above, parts of it do, one after another: then none is still on its
# way when a failed upload is aborted, and a worker holds one part.
_PART_BYTES = 8 << 20
_MOST_PARTS = 10_000


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file or object of a listing.

    Attributes
    ----------
    location : str
        In full.
    size_bytes : int or None
        None where the store does not tell.
    """

    location: str
    size_bytes: int | None


def is_remote(location: Location) -> bool:
    """Tell a URI from a local path.

    Parameters
    ----------
    location : str or path
        Where something is. ``file://`` counts as local.

    Returns
    -------
    bool
        True for ``scheme://`` locations other than ``file://``.

    Examples
    --------
    >>> is_remote("s3://bucket/a b.flac"), is_remote("archive/a: b.flac")
    (True, False)
    """
    text = os.fspath(location)
    return bool(_REMOTE.match(text)) and not text.startswith("file://")


def join(base: Location, *names: str) -> str:
    """Append names to a location with single slashes.

    Parameters
    ----------
    base : str or path
        A folder, bucket or prefix.
    *names : str
        Relative parts, taken literally.

    Returns
    -------
    str
        The joined location.

    Examples
    --------
    >>> join("s3://bucket/results/", "a b", "index.parquet")
    's3://bucket/results/a b/index.parquet'
    """
    if is_remote(base):
        return "/".join([os.fspath(base).rstrip("/"), *(name.strip("/") for name in names)])
    return str(_local(base).joinpath(*names))


def relative(location: Location, *, base: Location) -> str:
    """Express a location relative to a folder that holds it.

    Parameters
    ----------
    location : str or path
        Something below `base`.
    base : str or path
        Folder, bucket or prefix.

    Returns
    -------
    str
        The rest of the name, with forward slashes.

    Raises
    ------
    ValueError
        If `location` is not below `base`.

    Examples
    --------
    >>> relative("s3://bucket/archive/2024/a.wav", base="s3://bucket/archive")
    '2024/a.wav'
    """
    if not is_remote(base):
        return _local(location).relative_to(_local(base)).as_posix()
    prefix = os.fspath(base).rstrip("/") + "/"
    text = os.fspath(location)
    if not text.startswith(prefix):
        raise ValueError(f"{text!r} is not below {prefix!r}")
    return text[len(prefix) :]


def exists(location: Location, *, error: type[UssRayError] = RecordingError) -> bool:
    """Tell whether a file, object or non-empty prefix is there.

    Parameters
    ----------
    location : str or path
        Where to look.
    error : type of UssRayError, default=RecordingError
        The kind to raise.

    Returns
    -------
    bool
        False also where the store says that there is no such bucket.

    Raises
    ------
    UssRayError
        Of the kind `error`, if the store cannot be asked.
    """
    if not is_remote(location):
        return _local(location).exists()
    with _faults_as(error, location, expected="a store that answers"):
        system, path = file_system(location)
        try:
            system.info(path)
        except FileNotFoundError:
            return False
        return True


def size(location: Location, *, error: type[UssRayError] = RecordingError) -> int:
    """Measure a file or object.

    Parameters
    ----------
    location : str or path
        Where it is.
    error : type of UssRayError, default=RecordingError
        The kind to raise.

    Returns
    -------
    int
        Bytes.

    Raises
    ------
    UssRayError
        Of the kind `error`, if it is missing, of unknown size or cannot be reached.
    """
    with _faults_as(error, location, expected="a file that is there"):
        if not is_remote(location):
            return _local(location).stat().st_size
        system, path = file_system(location)
        byte_count = system.info(path).get("size")
    if byte_count is None:
        raise error(_text(location), expected="a file of known size", found="a server that does not tell it")
    return int(byte_count)


def open_binary(location: Location, *, error: type[UssRayError] = RecordingError) -> BinaryIO:
    """Open for reading, seekable, in memory that does not grow with the file.

    Parameters
    ----------
    location : str or path
        What to open. Objects are read ahead in blocks; a web server that cannot serve ranges is first copied
        to a temporary file.
    error : type of UssRayError, default=RecordingError
        The kind to raise.

    Returns
    -------
    binary file
        A context manager.

    Raises
    ------
    UssRayError
        Of the kind `error`, if it is missing or cannot be read.
    """
    with _faults_as(error, location, expected="a readable file"):
        if not is_remote(location):
            return open(_local(location), "rb")
        system, path = file_system(location)
        file = system.open(path, "rb", block_size=_READ_AHEAD_BYTES, cache_type="readahead")
        if get_protocol(path) not in WEB_SCHEMES or _serves_ranges(file):
            return cast(BinaryIO, file)
        file.close()
        return patiently(lambda: _spooled(system.open(path, "rb", block_size=0)))


def read_bytes(location: Location, *, error: type[UssRayError] = RecordingError) -> bytes:
    """Read a small file whole.

    Parameters
    ----------
    location : str or path
        What to read.
    error : type of UssRayError, default=RecordingError
        The kind to raise.

    Returns
    -------
    bytes
        All of it.

    Raises
    ------
    UssRayError
        Of the kind `error`, if it is missing or cannot be read.
    """
    with _faults_as(error, location, expected="a readable file"):
        if not is_remote(location):
            return _local(location).read_bytes()
        system, path = file_system(location)
        return cast(bytes, system.cat_file(path))


def write_bytes(data: bytes, location: Location) -> None:
    """Write a small file whole; it is there completely or not at all.

    Parameters
    ----------
    data : bytes
        All of it.
    location : str or path
        Final name; local folders above it are made.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with _faults_as(OutputError, location, expected="a place that can be written"):
        if not is_remote(location):
            _commit(_local(location), write=lambda temporary: _write_synced(temporary, data))
            return
        system, path = file_system(location)
        system.pipe_file(path, data)


def put_file(local_path: Location, location: Location) -> None:
    """Copy a finished local file to its place; it is there completely or not at all.

    Parameters
    ----------
    local_path : str or path
        The file to copy; it stays.
    location : str or path
        Final name; local folders above it are made, an older file is replaced.

    Raises
    ------
    OutputError
        If it cannot be written, or `local_path` cannot be read.

    Notes
    -----
    Object stores show an object only when its (multipart) upload is complete; one that fails is aborted, so that no
    parts of it stay behind. Of a process that is killed they do: let the bucket's lifecycle rules remove them.
    """
    source = _local(local_path)
    with _faults_as(OutputError, location, expected=f"a place that takes {source.name}"):
        if not is_remote(location):
            _commit(_local(location), write=lambda temporary: _copy_synced(source, temporary))
            return
        system, path = file_system(location)
        if get_protocol(os.fspath(location)) in S3_SCHEMES:
            part_bytes = max(_PART_BYTES, -(-source.stat().st_size // _MOST_PARTS))
            system.put_file(str(source), path, chunksize=part_bytes, max_concurrency=1)
        else:
            system.put_file(str(source), path)


def remove(location: Location) -> None:
    """Remove a file or object; one that is not there is no fault.

    Parameters
    ----------
    location : str or path
        What to remove; not a folder.

    Raises
    ------
    OutputError
        If it cannot be removed.
    """
    with _faults_as(OutputError, location, expected="a file that can be removed"):
        if not is_remote(location):
            _local(location).unlink(missing_ok=True)
            return
        system, path = file_system(location)
        with suppress(FileNotFoundError):
            system.rm_file(path)


def list_recursive(prefix: Location, *, error: type[UssRayError] = RecordingError) -> Iterator[str]:
    """List the location of every file below a folder or prefix; see `list_files`."""
    for found in list_files(prefix, error=error):
        yield found.location


def list_files(prefix: Location, *, error: type[UssRayError] = RecordingError) -> Iterator[FoundFile]:
    """List every file below a folder or prefix with its size, as it goes.

    Parameters
    ----------
    prefix : str or path
        A local folder, or ``s3://bucket/prefix``; a single file lists itself.
    error : type of UssRayError, default=RecordingError
        The kind to raise.

    Yields
    ------
    FoundFile
        In the order of their names' code points. Hidden names (a dot in front, such as temporary siblings) and the
        folder markers of object stores are left out; a folder linked into itself is not followed.

    Raises
    ------
    UssRayError
        Of the kind `error`, if there is nothing of that name, or the store cannot list.
    """
    with _faults_as(error, prefix, expected="a folder, prefix or file"):
        if not is_remote(prefix):
            yield from _list_local(_local(prefix))
        else:
            yield from _list_remote(os.fspath(prefix))


def _list_local(top: Path) -> Iterator[FoundFile]:
    if top.is_dir():
        yield from _walk_local(top, inside=frozenset())
    elif top.exists():
        yield FoundFile(str(top), top.stat().st_size)
    else:
        raise FileNotFoundError(top)


def _walk_local(folder: Path, *, inside: frozenset[str]) -> Iterator[FoundFile]:
    real = os.path.realpath(folder)
    if real in inside:
        return
    with os.scandir(folder) as scan:
        # A folder sorts as if its slash belonged to its name: then the whole walk is in order.
        entries = sorted((entry.name + "/" * entry.is_dir(), entry.path) for entry in scan)
    for name, path in entries:
        if name.startswith("."):
            continue
        if name.endswith("/"):
            yield from _walk_local(Path(path), inside=inside | {real})
        else:
            yield FoundFile(path, _local_size(path))


def _local_size(path: str) -> int | None:
    try:
        return os.stat(path).st_size
    except OSError:  # a link that leads nowhere is found out where it is opened
        return None


def _list_remote(prefix: str) -> Iterator[FoundFile]:
    system, path = file_system(prefix)
    scheme = get_protocol(prefix)
    if scheme in WEB_SCHEMES:
        raise RecordingError(
            prefix, expected="a folder, bucket or file that can be listed", found="a web address"
        )
    folder = path.rstrip("/") + "/"
    found_any = False
    for key, size_bytes in _s3_keys(system, folder) if scheme in ("s3", "s3a") else _found(system, folder):
        found_any = True
        below = PurePosixPath(key[len(folder) :])
        if not key.endswith("/") and not any(part.startswith(".") for part in below.parts):
            yield FoundFile(f"{scheme}://{key.lstrip('/')}", size_bytes)
    if found_any:
        return
    if not system.exists(path):
        raise FileNotFoundError(prefix)
    if system.isfile(path):
        yield FoundFile(prefix, system.info(path).get("size"))


def _found(system: Any, folder: str) -> Iterator[tuple[str, int | None]]:
    for key, info in sorted(system.find(folder, detail=True).items()):
        yield key, info.get("size")


def _s3_keys(system: Any, folder: str) -> Iterator[tuple[str, int | None]]:
    """Page through a prefix: s3fs's own listing would hold every key of it in memory."""
    bucket, _, prefix = folder.partition("/")
    request = {"Bucket": bucket, "Prefix": prefix}
    while True:
        page = system.call_s3("list_objects_v2", **request)
        for item in page.get("Contents", ()):
            yield f"{bucket}/{item['Key']}", item["Size"]
        if not page.get("IsTruncated"):
            return
        request["ContinuationToken"] = page["NextContinuationToken"]


def _commit(final: Path, *, write: Callable[[Path], None]) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{secrets.token_hex(8)}.part")
    try:
        write(temporary)
        os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)


def _write_synced(path: Path, data: bytes) -> None:
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _copy_synced(source: Path, path: Path) -> None:
    with open(source, "rb") as reading, open(path, "xb") as file:
        shutil.copyfileobj(reading, file, _READ_AHEAD_BYTES)
        file.flush()
        os.fsync(file.fileno())


def _serves_ranges(file: Any) -> bool:
    """Find out by asking for the last byte: web servers that ignore ranges do not announce it."""
    if not file.seekable():
        return False
    try:
        file.seek(-1, os.SEEK_END)
        file.read(1)
        file.seek(0)
    except ValueError:
        return False
    return True


def _spooled(stream: BinaryIO) -> BinaryIO:
    # The caller closes it; it has no name, so nothing is left behind.
    copy = tempfile.TemporaryFile()  # noqa: SIM115
    with stream:
        shutil.copyfileobj(stream, copy, _READ_AHEAD_BYTES)
    copy.seek(0)
    return cast(BinaryIO, copy)


@contextmanager
def _faults_as(kind: type[UssRayError], location: Location, *, expected: str) -> Iterator[None]:
    try:
        yield
    except UssRayError:
        raise
    except Exception as fault:
        if not isinstance(fault, client_errors()):
            raise
        raise kind(_text(location), expected=expected, found=wording(fault)) from fault


def _local(location: Location) -> Path:
    return Path(os.fspath(location).removeprefix("file://"))


def _text(location: Location) -> str:
    return without_secrets(os.fspath(location))
