"""A recording's results come to their place all at once, or not at all.

Everything is written to a hidden folder first: below a local output root, so that a rename commits it, or in the
temporary folder of this machine for an object store, from which finished files are uploaded.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from uss_ray.errors import OutputError
from uss_ray.storage import uri

_PREFIX = ".uss-ray-"


@contextmanager
def staging_folder(output: str, *, within: Path | None = None) -> Iterator[Path]:
    """Make a folder to write one recording's results to, and remove it in the end.

    Parameters
    ----------
    output : str
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
        if uri.is_remote(output):
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        else:
            root = local_root(output)
            root.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=within or root))
    except OSError as error:
        raise OutputError(
            output, expected="a folder that can be written", found=error.strerror or str(error)
        ) from error
    try:
        yield folder
    except OutputError as error:
        # The user knows the place a file was meant for, not where it was being made.
        item = error.item.replace(str(folder), output.rstrip("/"))
        raise OutputError(item, expected=error.expected, found=error.found) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def commit(
    staging: Path, *, output: str, name: str, keep: Collection[str] = (), last: str | None = None
) -> None:
    """Bring a folder or file of the staging folder to its place below the output root.

    What stood under the name before is gone afterwards. A local folder changes in one rename; of a folder in an
    object store each file is there whole or not at all.

    Parameters
    ----------
    staging : Path
        From `staging_folder`.
    output : str
        Output root.
    name : str
        Relative name, the same in both.
    keep : collection of str, default=()
        Relative names in that folder of an object store that have been committed one by one.
    last : str or None, default=None
        Name in the folder of the file that tells that the folder is complete: an object store gets it last.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    source = staging / name
    if uri.is_remote(output):
        _upload(
            source,
            destination=uri.join(output, name),
            keep={uri.join(output, kept) for kept in keep},
            last=last,
        )
        return
    final = local_root(output) / name
    replaced = staging / "replaced"
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.is_dir():
            final.rename(replaced)
        source.replace(final)
    except OSError as error:
        if replaced.exists() and not final.exists():
            replaced.rename(final)
        raise OutputError(
            str(final), expected="a place that can be written", found=error.strerror or str(error)
        ) from error
    shutil.rmtree(replaced, ignore_errors=True)


def local_root(output: str) -> Path:
    """Give a local output root as a path."""
    return Path(output.removeprefix("file://"))


def remove_folder(output: str, name: str) -> None:
    """Remove a folder below the output root with all that is in it; one that is not there is no fault.

    Raises
    ------
    OutputError
        If it cannot be removed.
    """
    if not uri.is_remote(output):
        folder = local_root(output) / name
        try:
            if folder.exists():
                shutil.rmtree(folder)
        except OSError as error:
            raise OutputError(
                str(folder), expected="a folder that can be removed", found=error.strerror or str(error)
            ) from error
        return
    prefix = uri.join(output, name)
    if uri.exists(prefix):
        for location in list(uri.list_recursive(prefix)):
            uri.remove(location)


def _upload(source: Path, *, destination: str, keep: Collection[str], last: str | None) -> None:
    if source.is_file():
        uri.put_file(source, destination)
        return
    earlier = set(uri.list_recursive(destination)) if uri.exists(destination) else set()
    files = [path for path in source.rglob("*") if path.is_file()]
    for file in sorted(files, key=lambda path: (path == source / (last or ""), path)):
        target = uri.join(destination, file.relative_to(source).as_posix())
        uri.put_file(file, target)
        earlier.discard(target)
    for stale in sorted(earlier - set(keep)):
        uri.remove(stale)
