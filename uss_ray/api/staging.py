"""A recording's results come to their place all at once, or not at all.

Everything is written to a hidden folder first: below a local output root, so that a rename commits it, or in the
temporary folder of this machine for an object store, from which finished files are uploaded. Such a folder is locked
as long as the process lives that made it, so that whoever comes next can tell what a killed one has left.
"""

from __future__ import annotations

import fcntl
import os
import posixpath
import re
import shutil
import tempfile
import time
import unicodedata
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from uss_ray.api.owned import IsOwn, remove_empty_folders
from uss_ray.errors import OutputError
from uss_ray.store.store import Store

STAGING_NAME = re.compile(r"\.uss-ray-[a-z0-9_]{8}")
_STAGING_PREFIX = ".uss-ray-"
_LOCK_NAME = ".lock"
_BIRTH_SECONDS = 3600.0
_REMOVALS = 20
_BETWEEN_REMOVALS_SECONDS = 0.05


def check_output(output: Store) -> None:
    """Find out before any work whether an output root can be reached; nothing is left there.

    Raises
    ------
    OutputError
        If its store cannot be asked or has no such bucket, or what is nearest above a local root is no folder that can
        be written.
    """
    if output.is_remote:
        output.raising(OutputError).check_reachable()
        return
    try:
        above = output.local_path().absolute()
        nearest = next(path for path in (above, *above.parents) if path.exists())
    except OSError as error:
        found = error.strerror or str(error)
        raise OutputError(str(output), expected="a folder that can be written", found=found) from error
    if not nearest.is_dir():
        raise OutputError(str(output), expected="a folder that can be written", found=f"a file, {nearest}")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(str(output), expected="a folder that can be written", found="no permission")


def check_apart(source: Store, output: Store, *, folders: Collection[str]) -> None:
    """Refuse an output whose results would be taken for recordings: one in the very place whose files are the input.

    Parameters
    ----------
    source : Store
        Where the input is.
    output : Store
        Output root.
    folders : collection of str
        Names of folders below it that the job writes to.

    Raises
    ------
    OutputError
        If the output is the input, lies below it, or holds it where results would lie in it, or it among results.
    """
    above, below = _resolved(source), _resolved(output)
    if below == above or below.startswith(above.rstrip("/") + "/"):
        raise OutputError(
            str(output),
            expected="an output outside of the input, for what lies there would be separated in its turn",
            found="the input itself" if below == above else f"one below {source}",
        )
    if above.startswith(below.rstrip("/") + "/"):
        inner = above[len(below.rstrip("/")) + 1 :]
        if inner.partition("/")[0] in folders:
            raise OutputError(
                str(output),
                expected="an output in which the input lies apart from its own folders",
                found=f"one that holds the input as {inner}, and its own files in {inner.partition('/')[0]}",
            )
        if (source / inner).exists():
            raise OutputError(
                str(output),
                expected="an output in which no recording's results lie in the input",
                found=f"one that holds the input as {inner}, which has {inner} in it itself",
            )


def name_below(place: Store, output: Store) -> str | None:
    """Name a place relative to an output root, however both are written; None if it lies elsewhere, "." if it is it."""
    inner, root = _resolved(place), _resolved(output)
    if inner == root:
        return "."
    root = f"{root.rstrip('/')}/"
    return inner.removeprefix(root) if inner.startswith(root) else None


def _resolved(place: Store) -> str:
    if not place.is_remote:
        return os.path.realpath(place.root)
    scheme, _, path = str(place).partition("://")
    return f"{scheme.casefold().replace('s3a', 's3')}://{posixpath.normpath(path.strip('/'))}"


def _nothing(name: str) -> bool:  # noqa: ARG001
    return False


@contextmanager
def staging_folder(output: Store, *, within: Path | None = None) -> Iterator[Path]:
    """Make a folder to write one recording's results to, and remove it in the end.

    Parameters
    ----------
    output : Store
        Output root.
    within : Path or None, default=None
        Staging folder of the whole job, where there is one: who removes it removes what a worker that was killed left.
        An object store takes no notice of it, for its workers may be on other machines.

    Yields
    ------
    Path
        An empty local folder.

    Raises
    ------
    OutputError
        If it cannot be made; one that is raised inside names the place below the output root.
    """
    try:
        place = _place_of(output)
        if not output.is_remote:
            place.mkdir(parents=True, exist_ok=True)
            place = within or place
        folder, lock = _make_locked(place)
    except OSError as error:
        raise OutputError(
            str(output), expected="a folder that can be written", found=error.strerror or str(error)
        ) from error
    try:
        yield folder
    except OutputError as error:
        # The user knows the place a file was meant for, not where it was being made.
        item = error.item.replace(str(folder), str(output).rstrip("/"))
        raise OutputError(item, expected=error.expected, found=error.found) from error
    finally:
        _remove(folder)
        os.close(lock)


def sweep_staging(output: Store) -> None:
    """Remove the staging folders of processes that were killed.

    Parameters
    ----------
    output : Store
        Output root; that of an object store means the temporary folder of this machine.

    Notes
    -----
    What live processes hold stays; so does what cannot be told, as on a file system without locks, or not be removed.
    """
    for folder in left_staging(output):
        # A worker that has outlived its driver may be removing its own part of it: what is gone is no fault.
        shutil.rmtree(folder, ignore_errors=True)


def left_staging(output: Store) -> list[Path]:
    """Find the staging folders that no live process holds; those that cannot be told are left out."""
    found = _place_of(output).glob(f"{_STAGING_PREFIX}*/")
    return [folder for folder in found if STAGING_NAME.fullmatch(folder.name) and not _is_held(folder)]


def _is_held(folder: Path) -> bool:
    try:
        lock = os.open(folder / _LOCK_NAME, os.O_RDWR)
    except FileNotFoundError:  # just made, or its maker was killed that very moment
        with suppress(OSError):
            return time.time() - folder.stat().st_mtime < _BIRTH_SECONDS
        return True
    except OSError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def _remove(folder: Path) -> None:
    """Remove a folder that a worker may still be writing to; it gives up once the folder is gone."""
    for _ in range(_REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_BETWEEN_REMOVALS_SECONDS)


def _place_of(output: Store) -> Path:
    return Path(tempfile.gettempdir()) if output.is_remote else output.local_path()


def _make_locked(place: Path) -> tuple[Path, int]:
    """Make a folder, and hold a lock in it; the kernel lets go of it when the process ends, however it ends."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=place))
        lock = os.open(folder / _LOCK_NAME, os.O_RDWR | os.O_CREAT)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_SH)
        if folder.exists():
            return folder, lock
        os.close(lock)  # swept away before it was locked


def commit(
    staging: Path,
    *,
    output: Store,
    name: str,
    keep: Collection[str] = (),
    last: str | None = None,
    is_own: IsOwn = _nothing,
) -> None:
    """Bring a folder or file of the staging folder to its place below the output root.

    What stood under the name before is gone afterwards, as far as it is one's own. A new local folder comes in one
    rename; where there is one already, and in an object store, each file is there whole or not at all, and none of the
    old goes before the new is there: who commits the same again may be killed at any time.

    Parameters
    ----------
    staging : Path
        From `staging_folder`.
    output : Store
        Output root.
    name : str
        Relative name, the same in both.
    keep : collection of str, default=()
        Relative names in that folder of an object store that have been committed one by one.
    last : str or None, default=None
        Name in the folder of the file that tells that the folder is complete: it comes last.
    is_own : callable, optional
        Tells by its name in the folder whether a file that was there is one of an earlier commit; others stay, such
        as those of a folder within, and those of the user. By default all do.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    source = staging / name
    if output.is_remote:
        _upload(
            source, destination=output / name, keep={output / kept for kept in keep}, last=last, is_own=is_own
        )
        return
    final = output.local_path() / name
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.is_dir() and source.is_dir():
            _refuse_one_of_another_name(final, root=output.local_path())
            _replace_files(source, final, root=output.local_path(), last=last, is_own=is_own)
        else:
            source.replace(final)
    except OSError as error:
        raise OutputError(
            str(final), expected="a place that can be written", found=error.strerror or str(error)
        ) from error


def _refuse_one_of_another_name(final: Path, *, root: Path) -> None:
    """Refuse a folder that a disk takes for this one, though its name differs in case or in composed letters."""
    path = root
    for part in final.relative_to(root).parts:
        path, above = path / part, path
        others = {part.swapcase(), *(unicodedata.normalize(form, part) for form in ("NFC", "NFD"))} - {part}
        if any(_is_same(above / other, path) for other in others) and part not in os.listdir(above):
            raise OutputError(
                str(final),
                expected="a disk that tells apart names which differ in case or composition only",
                found="one that takes it for the folder of another recording",
            )


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _replace_files(source: Path, final: Path, *, root: Path, last: str | None, is_own: IsOwn) -> None:
    stale = {path for path in final.rglob("*") if not path.is_dir() and is_own(_name(path, final))}
    emptied = [_name(path, root) for path in stale]
    for file in _files(source, last=last):
        target = final / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)
        stale.discard(target)
    for path in stale:
        path.unlink(missing_ok=True)
    remove_empty_folders(Store(root), emptied)


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _upload(
    source: Path,
    *,
    destination: Store,
    keep: Collection[Store],
    last: str | None,
    is_own: IsOwn,
) -> None:
    if source.is_file():
        destination.put(source)
        return
    earlier = set(destination.list()) if destination.exists() else set()
    earlier = {file for file in earlier if file != destination and is_own(file.relative_to(destination))}
    for file in _files(source, last=last):
        target = destination / file.relative_to(source).as_posix()
        target.put(file)
        earlier.discard(target)
    for stale in sorted(earlier - set(keep), key=str):
        stale.remove()


def _files(folder: Path, *, last: str | None) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(files, key=lambda path: (path == folder / (last or ""), path))
