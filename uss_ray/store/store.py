"""A place where bytes live: a local folder, ``s3://``, ``https://`` or ``memory://``, behind the same few methods.

Owns the atomic commit (nothing half-written ever stands under a final name). Faults of a store that may pass are waited
out (`patience`); what is raised then has the client's own exception as its cause, for `faults.is_infrastructure`.
A location without ``scheme://`` is a local path, whatever characters its name holds.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

from uss_ray.errors import OutputError, RecordingError, UssRayError
from uss_ray.store.faults import client_errors, web_refusal, wording
from uss_ray.store.options import StoreOptions
from uss_ray.store.patience import patiently
from uss_ray.store.systems import S3_SCHEMES, WEB_SCHEMES, file_system, scheme_of
from uss_ray.store.walk import TellOdd, log_odd, refuse_irregular, walk
from uss_ray.wording import has_user, without_secrets

__all__ = ["HALF_WRITTEN", "FoundFile", "Location", "Store", "StoreOptions", "sweep_half_written"]

Location = str | os.PathLike[str]

# libsndfile reads a few KiB at a time; one request a piece would take minutes, the default cache twice the memory.
_READ_AHEAD_BYTES = 8 << 20
# Below twice this a file goes up in one request; above, parts of it do, one after another: then none is still on its
# way when a failed upload is aborted, and a worker holds one part.
_PART_BYTES = 8 << 20
_MOST_PARTS = 10_000
_TRIES = 20
_FROM_ENVIRONMENT = StoreOptions()

HALF_WRITTEN = re.compile(r"\.([0-9a-f]{16}|[0-9a-f]{32})\.part")  # 32 in outputs of before
"""What files are called in all of the program while they are written beside their place."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file or object of a listing.

    Attributes
    ----------
    place : Store
    size_bytes : int or None
        None where the store does not tell.
    content_tag : str or None
        See `Store.content_tag`.
    changed_at : float or None
        Seconds since 1970, by the store's clock; None where it does not tell.
    """

    place: Store
    size_bytes: int | None
    content_tag: str | None = None
    changed_at: float | None = None


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Store:
    """A folder, file, bucket, prefix or object, how it is reached, and the kind of error that it raises.

    A value: compares, hashes and travels to workers; nothing is opened until something is asked of it. ``str(store)``
    is its location.

    Parameters
    ----------
    root : str or path
        A local path or URI. ``file://`` counts as local; it may be percent-encoded, as `pathlib` writes it.
    options : StoreOptions, optional
        By default the environment decides.
    error : type of UssRayError, default=RecordingError
        What reading, listing and asking raise. Writing and removing raise `OutputError`, whatever is given here.

    Examples
    --------
    >>> output = Store("s3://bucket/results/", StoreOptions(region="eu-north-1"), OutputError)
    >>> index = output / "index" / "a b.parquet"
    >>> str(index), index.is_remote, index.relative_to(output)
    ('s3://bucket/results/index/a b.parquet', True, 'index/a b.parquet')
    """

    root: str
    options: StoreOptions
    error: type[UssRayError]

    def __init__(
        self,
        root: Location,
        options: StoreOptions | None = None,
        error: type[UssRayError] = RecordingError,
    ) -> None:
        object.__setattr__(self, "root", _path_of(os.fspath(root)))
        object.__setattr__(self, "options", options or _FROM_ENVIRONMENT)
        object.__setattr__(self, "error", error)

    @classmethod
    def of(cls, place: Location | Store, error: type[UssRayError] = RecordingError) -> Store:
        """Take a location or a store for a store that raises `error`; for public functions that accept either."""
        return place.raising(error) if isinstance(place, Store) else cls(place, None, error)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.root, self.options.model_dump(exclude_none=True), self.error)

    def __str__(self) -> str:
        return self.root

    def __repr__(self) -> str:
        return f"Store({self._item!r})"

    def __truediv__(self, name: str) -> Store:
        """Append a name, or several with slashes between, taken literally."""
        if self.is_remote:
            above = self.root if self.root.endswith("://") else f"{self.root.rstrip('/')}/"
            return self._at(above + name.strip("/"))
        return self._at(str(Path(self.root) / name))

    def raising(self, error: type[UssRayError]) -> Store:
        """Give the same place that raises another kind of error."""
        return Store(self.root, self.options, error)

    @property
    def scheme(self) -> str:
        """Scheme of the URI; ``file`` of a local path."""
        return scheme_of(self.root)

    def absolute(self) -> Store:
        """Give the same place by a name that means it wherever a process works."""
        return self if self.is_remote else self._at(os.path.abspath(self.root))

    @property
    def is_remote(self) -> bool:
        """Whether the location is a URI other than ``file://``."""
        return self.scheme != "file"

    @property
    def name(self) -> str:
        """Last part of the location; what a web address asks for behind it (``?``, ``#``) is no name."""
        if self.scheme in WEB_SCHEMES:
            return PurePosixPath(urlsplit(self.root).path).name
        return (PurePosixPath if self.is_remote else Path)(self.root).name

    @property
    def parent(self) -> Store:
        """The folder or prefix above."""
        return self._at(self.root.rpartition("/")[0] if self.is_remote else str(Path(self.root).parent))

    def local_path(self) -> Path:
        """Give the path of a local place.

        Raises
        ------
        ValueError
            If it is remote.
        """
        if self.is_remote:
            raise ValueError(f"{self._item!r} is not local")
        return Path(self.root)

    def relative_to(self, base: Store) -> str:
        """Express the location relative to a place above it, with forward slashes.

        Raises
        ------
        ValueError
            If it is not below `base`.
        """
        if not base.is_remote:
            return Path(self.root).relative_to(base.root).as_posix()
        prefix = base.root.rstrip("/") + "/"
        if not self.root.startswith(prefix):
            raise ValueError(f"{self.root!r} is not below {prefix!r}")
        return self.root[len(prefix) :]

    def file_system(self) -> tuple[Any, str]:
        """Give the fsspec file system and the path in it, for libraries that take one; its faults are raw."""
        if self.scheme in S3_SCHEMES and has_user(self.root):
            expected = "s3://bucket/..., and the credentials in the environment or a profile"
            raise self.error(self._item, expected=expected, found="credentials in the address")
        return file_system(self.root, self.options)

    def exists(self) -> bool:
        """Tell whether a file, object or non-empty prefix is there.

        Returns
        -------
        bool
            False also where the store says that there is no such bucket.

        Raises
        ------
        UssRayError
            Of the store's kind, if it cannot be asked.
        """
        with self._faults(expected="a place that can be looked at"):
            if not self.is_remote:
                return Path(self.root).exists()
        with self._faults(expected="a store that answers"):
            system, path = self.file_system()
            try:
                system.info(path)
            except FileNotFoundError as fault:
                if web_refusal(fault) is not None:
                    raise
                return False
            return True

    def check_reachable(self) -> None:
        """Find out whether a remote store answers, and has the bucket of this place; the place need not be there.

        Raises
        ------
        UssRayError
            Of the store's kind, if it cannot be asked, or there is no such bucket.
        """
        if self.scheme not in S3_SCHEMES:
            self.exists()
            return
        with self._faults(expected="a store that answers"):
            system, path = self.file_system()
            bucket, _, prefix = f"{path.rstrip('/')}/".partition("/")
            try:
                # As whoever looks for results asks: rights may end at the prefix. Of an object that is not there, a
                # store says the same whether or not it has the bucket.
                system.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1)
            except FileNotFoundError as fault:
                place = f"{self.scheme}://{bucket}"
                raise self.error(place, expected="a bucket that is there", found="no such bucket") from fault

    def is_gone(self) -> bool:
        """Tell whether nothing is at the place, not even a link that leads nowhere; false where that cannot be told."""
        if not self.is_remote:
            return not os.path.lexists(self.root)
        with suppress(UssRayError):
            return not self.exists()
        return False

    def size(self) -> int:
        """Measure a file or object in bytes.

        Raises
        ------
        UssRayError
            Of the store's kind, if it is missing, of unknown size or cannot be reached.
        """
        with self._faults(expected="a file that is there"):
            if not self.is_remote:
                return Path(self.root).stat().st_size
            system, path = self.file_system()
            byte_count = system.info(path).get("size")
        if byte_count is None:
            raise self.error(
                self._item, expected="a file of known size", found="a server that does not tell it"
            )
        return int(byte_count)

    def content_tag(self) -> str | None:
        """Tell what a file has now, in a word that changes with its content: size and ETag, or time of change.

        Returns
        -------
        str or None
            None where the store does not tell, or cannot be asked: who then opens the file hears why.
        """
        if not self.is_remote:
            return _local_facts(self.root)[1]
        with suppress(UssRayError), self._faults(expected="a store that answers"):
            system, path = self.file_system()
            return _tag(system.info(path))
        return None

    def has_changed(self, content_tag: str | None) -> bool:
        """Tell whether a file has another content than that of a tag, as far as its store tells."""
        now = self.content_tag()
        return None not in (now, content_tag) and now != content_tag

    def open(self, *, ahead_bytes: int | None = None) -> BinaryIO:
        """Open for reading, seekable, in memory that does not grow with the file.

        Parameters
        ----------
        ahead_bytes : int, optional
            How much of an object is fetched at once; by default much, for who reads it from start to end.

        Returns
        -------
        binary file
            Objects are read ahead in blocks; what a web server that cannot serve ranges holds is first copied to a
            temporary file.

        Raises
        ------
        UssRayError
            Of the store's kind, if it is missing or cannot be read.
        """
        with self._faults(expected="a readable file"):
            if not self.is_remote:
                refuse_irregular(self.root)
                return open(self.root, "rb")
            system, path = self.file_system()
            block_bytes = ahead_bytes or _READ_AHEAD_BYTES
            file = system.open(path, "rb", block_size=block_bytes, cache_type="readahead")
            if self.scheme not in WEB_SCHEMES or _serves_ranges(file):
                return cast(BinaryIO, file)
            file.close()
            came = [0]
            return patiently(
                lambda: _spooled(system.open(path, "rb", block_size=0), came),
                seconds=self.options.patience_seconds,
                is_short=False,
                place=self._item,
                heard=lambda: came[0],
            )

    def read(self, *, most_bytes: int | None = None) -> bytes:
        """Read a small file whole.

        Parameters
        ----------
        most_bytes : int, optional
            For files of strangers: an answer may have no end.

        Raises
        ------
        UssRayError
            Of the store's kind, if it is missing, cannot be read, or has more bytes.
        """
        with self._faults(expected="a readable file"):
            if not self.is_remote:
                refuse_irregular(self.root)
                with open(self.root, "rb") as file:
                    content = file.read(-1 if most_bytes is None else most_bytes + 1)
            else:
                system, path = self.file_system()
                if most_bytes is None:
                    return cast(bytes, system.cat_file(path))
                # As a stream: some web servers give all there is, whatever part of it is asked for.
                block = {"block_size": 0} if scheme_of(path) in WEB_SCHEMES else {}
                content = patiently(
                    lambda: _beginning_of(system, path, count=most_bytes + 1, **block),
                    seconds=self.options.patience_seconds,
                    is_short=True,
                    place=self._item,
                )
        if most_bytes is not None and len(content) > most_bytes:
            raise self.error(self._item, expected=f"at most {most_bytes} bytes", found="more")
        return content

    def read_part(self, start: int, stop: int) -> bytes:
        """Read some bytes of a file, of an object by one request for them alone.

        Raises
        ------
        UssRayError
            Of the store's kind, if it is missing or cannot be read.
        """
        if self.is_remote and self.scheme not in WEB_SCHEMES:
            with self._faults(expected="a readable file"):
                system, path = self.file_system()
                return cast(bytes, system.cat_file(path, start=start, end=stop))
        with self.open() as file:
            file.seek(start)
            return file.read(stop - start)

    def put(self, content: bytes | Path) -> None:
        """Write a file; it is there completely or not at all, and an older one is replaced.

        Parameters
        ----------
        content : bytes or Path
            All of it, or the finished local file to copy, which stays. Local folders above the place are made.

        Raises
        ------
        OutputError
            If it cannot be written, or the file to copy cannot be read.

        Notes
        -----
        Object stores show an object only when its (multipart) upload is complete; one that fails is aborted, so that no
        parts of it stay behind. Of a process that is killed they do, until the same key is uploaded again.
        """
        what = (
            f"a place that takes {content.name}"
            if isinstance(content, Path)
            else "a place that can be written"
        )
        with self._output_faults(expected=what):
            if not self.is_remote:
                _commit(Path(self.root), content)
                return
            system, path = self.file_system()
            if isinstance(content, bytes):
                system.pipe_file(path, content)
            elif self.scheme in S3_SCHEMES:
                part_bytes = max(_PART_BYTES, -(-content.stat().st_size // _MOST_PARTS))
                system.put_file(str(content), path, chunksize=part_bytes, max_concurrency=1)
            else:
                system.put_file(str(content), path)

    def create(self, content: bytes) -> bool:
        """Write a small file if there is none; of several who try, one succeeds.

        Returns
        -------
        bool
            False if there is another already, which stays as it is.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        with self._output_faults(expected="a place that can be written"):
            if not self.is_remote:
                return _create(Path(self.root), content)
            system, path = self.file_system()
            try:
                system.pipe_file(path, content, mode="create")
            except FileExistsError:
                # Perhaps by this very request, whose answer got lost, and which was then sent again.
                return bool(system.cat_file(path) == content)
            return True

    def remove(self) -> None:
        """Remove a file or object, not a folder; one that is not there is no fault.

        Raises
        ------
        OutputError
            If it cannot be removed.
        """
        with self._output_faults(expected="a file that can be removed"):
            if not self.is_remote:
                Path(self.root).unlink(missing_ok=True)
                return
            system, path = self.file_system()
            with suppress(FileNotFoundError):
                system.rm_file(path)

    def list(self) -> Iterator[Store]:
        """List the place of every file below a folder or prefix; see `files`."""
        for found in self.files():
            yield found.place

    def files(
        self,
        *,
        follow_links: bool = True,
        with_hidden: bool = False,
        after: str = "",
        tell: TellOdd = log_odd,
    ) -> Iterator[FoundFile]:
        """List every file below a folder or prefix with its size, as it goes; a single file lists itself.

        Parameters
        ----------
        follow_links, with_hidden, after, tell
            As for `walk`; an object store has neither links nor what could not be listed. Hidden names (a dot in
            front) are such as temporary siblings.

        Yields
        ------
        FoundFile
            In the order of their names' code points. The folder markers of object stores are left out; a folder linked
            into itself is not followed.

        Raises
        ------
        UssRayError
            Of the store's kind, if there is nothing of that name, or the store cannot list.
        """
        with self._faults(expected="a folder, prefix or file"):
            yield from (
                self._files_there(with_hidden=with_hidden, after=after)
                if self.is_remote
                else self._local_files(
                    follow_links=follow_links, with_hidden=with_hidden, after=after, tell=tell
                )
            )

    def _local_files(
        self, *, follow_links: bool, with_hidden: bool, after: str, tell: TellOdd
    ) -> Iterator[FoundFile]:
        top = Path(self.root)
        if top.is_dir():
            for path, _ in walk(
                top, follow_links=follow_links, with_hidden=with_hidden, after=after, tell=tell
            ):
                yield FoundFile(self._at(path), *_local_facts(path))
        elif top.exists():
            yield FoundFile(self._at(str(top)), *_local_facts(str(top)))
        else:
            raise FileNotFoundError(top)

    def _files_there(self, *, with_hidden: bool, after: str) -> Iterator[FoundFile]:
        system, path = self.file_system()
        if self.scheme in WEB_SCHEMES:
            expected = "a folder, bucket or file that can be listed"
            raise self.error(self._item, expected=expected, found="a web address")
        folder = path.rstrip("/") + "/"
        found_any = False
        list_keys = _s3_keys if self.scheme in S3_SCHEMES else _found
        for key, info in list_keys(system, folder, after=after):
            found_any = True
            below = PurePosixPath(key[len(folder) :])
            is_hidden = any(part.startswith(".") for part in below.parts)
            if not key.endswith("/") and (with_hidden or not is_hidden):
                place = self._at(f"{self.scheme}://{key.lstrip('/')}")
                yield FoundFile(place, info.get("size"), _tag(info), _changed_at(info))
        if found_any or after:
            return
        if not system.exists(path):
            raise FileNotFoundError(self.root)
        if system.isfile(path):
            info = system.info(path)
            yield FoundFile(self, info.get("size"), _tag(info), _changed_at(info))

    @property
    def _item(self) -> str:
        return without_secrets(self.root)

    def _at(self, location: str) -> Store:
        return Store(location, self.options, self.error)

    def _faults(self, *, expected: str) -> AbstractContextManager[None]:
        return _faults_as(self.error, self._item, expected=expected)

    def _output_faults(self, *, expected: str) -> AbstractContextManager[None]:
        return _faults_as(OutputError, self._item, expected=expected)


def _path_of(root: str) -> str:
    if not root.startswith("file://"):
        return root
    path = root.removeprefix("file://")
    path = path.removeprefix("localhost") if path.startswith("localhost/") else path
    # A name may hold a percent sign itself, in addresses that were put together by hand.
    return path if "%" not in path or os.path.lexists(path) else unquote(path, errors="surrogateescape")


def _rebuild(root: str, options: dict[str, Any], error: type[UssRayError]) -> Store:
    return Store(root, StoreOptions(**options) if options else None, error)


def _local_facts(path: str) -> tuple[int | None, str | None, float | None]:
    """Give size, tag, and when it was changed."""
    try:
        found = os.stat(path)
    except OSError:  # a link that leads nowhere is found out where it is opened
        return None, None, None
    return found.st_size, f"{found.st_size} bytes, changed {found.st_mtime_ns}", found.st_mtime


def _tag(info: dict[str, Any]) -> str | None:
    """Put a tag together from what a store tells of a file: a checksum, or when it was changed."""
    known = {name.casefold(): value for name, value in info.items()}
    for name in ("etag", "last-modified", "lastmodified", "created"):
        value = known.get(name)
        if value:
            told = value.timestamp() if isinstance(value, datetime) else str(value).strip('"')
            return f"{known.get('size')} bytes, {name} {told}"
    return None


def _changed_at(info: dict[str, Any]) -> float | None:
    for name in ("LastModified", "mtime", "created"):
        value = info.get(name)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, float):
            return value
    return None


def _found(system: Any, folder: str, *, after: str) -> Iterator[tuple[str, dict[str, Any]]]:
    found = system.find(folder, detail=True).items()
    yield from sorted((key, info) for key, info in found if not after or key > folder + after)


def _s3_keys(system: Any, folder: str, *, after: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Page through a prefix: s3fs's own listing would hold every key of it in memory."""
    bucket, _, prefix = folder.partition("/")
    request = {"Bucket": bucket, "Prefix": prefix}
    if after:
        request["StartAfter"] = prefix + after
    while True:
        page = system.call_s3("list_objects_v2", **request)
        for item in page.get("Contents", ()):
            told = {"size": item["Size"], "etag": item.get("ETag"), "LastModified": item.get("LastModified")}
            yield f"{bucket}/{item['Key']}", told
        if not page.get("IsTruncated"):
            return
        request["ContinuationToken"] = page["NextContinuationToken"]


def sweep_half_written(folder: Path) -> None:
    """Remove what processes that were killed have left half-written among the files of a local folder.

    What live ones are writing stays, and so does what cannot be told, as on a file system without locks.
    """
    for path in folder.glob(".*.part"):
        if HALF_WRITTEN.fullmatch(path.name):
            with suppress(OSError), open(path, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def _commit(final: Path, content: bytes | Path) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with _opened_to_write(temporary) as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                with open(content, "rb") as reading:
                    shutil.copyfileobj(reading, file, _READ_AHEAD_BYTES)
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, final)  # still locked: `sweep_half_written` takes only what nobody writes
    finally:
        temporary.unlink(missing_ok=True)


def _create(final: Path, content: bytes) -> bool:
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with _opened_to_write(temporary) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            try:
                os.link(temporary, final)
            except FileExistsError:
                return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


@contextmanager
def _opened_to_write(path: Path) -> Iterator[BinaryIO]:
    tries = 0
    while True:
        try:
            file = open(path, "xb")  # noqa: SIM115
        except FileNotFoundError:
            tries += 1
            if tries > _TRIES:
                raise
            # Whoever found the folder empty has removed it.
            path.parent.mkdir(parents=True, exist_ok=True)
            continue
        with file:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_SH)
            if os.fstat(file.fileno()).st_nlink:
                yield file
                return
        # It was swept away before it was locked.


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


def _beginning_of(system: Any, path: str, *, count: int, **options: Any) -> bytes:
    pieces: list[bytes] = []
    left = count
    with system.open(path, "rb", **options) as file:
        while left and (piece := file.read(min(left, _READ_AHEAD_BYTES))):
            pieces.append(piece)
            left -= len(piece)
    return b"".join(pieces)


def _spooled(stream: BinaryIO, came: list[int]) -> BinaryIO:
    """Copy a stream to a file without a name, and count in `came` what comes; the caller closes it."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115
    with stream:
        while block := stream.read(_READ_AHEAD_BYTES):
            copy.write(block)
            came[0] += len(block)
    copy.seek(0)
    return cast(BinaryIO, copy)


@contextmanager
def _faults_as(kind: type[UssRayError], item: str, *, expected: str) -> Iterator[None]:
    try:
        yield
    except UssRayError:
        raise
    except Exception as fault:
        if not isinstance(fault, client_errors()):
            raise
        raise kind(item, expected=expected, found=wording(fault)) from fault
