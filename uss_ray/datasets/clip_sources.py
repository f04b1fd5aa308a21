"""Where the audio of a data set is: which container, and the readers that can share the work.

Owns telling containers apart and splitting them; reading them is for `containers`. See docs/adr/0020-clip-sources.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from uss_ray.datasets.clip_audio import ClipReader, clip_name, is_clip_file
from uss_ray.datasets.containers.files import FilesReader
from uss_ray.datasets.containers.hdf5 import HDF5_SUFFIXES, Hdf5Reader, count_clips
from uss_ray.datasets.containers.options import CONTAINERS, Container, ParquetColumns
from uss_ray.datasets.containers.parquet import (
    PARQUET_SUFFIXES,
    ParquetReader,
    count_row_groups,
)
from uss_ray.datasets.containers.tar import TAR_SUFFIXES, TarReader
from uss_ray.errors import ConfigError, DataError
from uss_ray.store.store import Location, Store

_SUFFIXES: dict[Container, tuple[str, ...]] = {
    "tar": TAR_SUFFIXES,
    "parquet": PARQUET_SUFFIXES,
    "hdf5": HDF5_SUFFIXES,
}
# Enough to meet each kind that a folder holds, few enough to be listed in a moment.
_NAMES_LOOKED_AT = 2000
_READERS_AIMED_AT = 256
_FEWEST_CLIPS_A_READER = 256


@dataclass(frozen=True)
class ClipSource:
    """The audio of a data set, or of a part of it.

    Parameters
    ----------
    place : Store
        Folder, prefix or single container; raises `DataError`.
    container : {"files", "tar", "parquet", "hdf5"}
    readers : tuple of ClipReader
        Each reads its own part, each in memory of a few clips; all are picklable. `files` has one, which lists;
        opening what it lists is where the work is shared.
    """

    place: Store
    container: Container
    readers: tuple[ClipReader, ...]


def open_clip_source(
    location: Location | Store,
    *,
    container: Container | None = None,
    columns: ParquetColumns | None = None,
    follow_links: bool = True,
) -> ClipSource:
    """Find out how the clips at a location are to be read.

    Parameters
    ----------
    location : Store, str or path
        Folder, prefix or single container.
    container : {"files", "tar", "parquet", "hdf5"}, optional
        None: `detect_container`.
    columns : ParquetColumns, optional
        Where a Parquet file holds ids and audio, if not in columns of the usual names.
    follow_links : bool, default=True
        Follow links that lead out of a folder of files.

    Returns
    -------
    ClipSource
        With at least one reader.

    Raises
    ------
    DataError
        If there is nothing at the location, no container of that kind, or one that has not the columns or data sets
        that its format asks for.
    ConfigError
        If `container` is unknown or has to be named, or h5py is missing.
    """
    place = Store.of(location, DataError)
    kind = detect_container(place) if container is None else container
    if kind not in CONTAINERS:
        raise ConfigError("container", expected=" or ".join(CONTAINERS), found=repr(kind))
    if kind == "files":
        return ClipSource(place, kind, (FilesReader(place, follow_links),))
    shards = [file for file in place.list() if _kind_of(file.name) == kind]
    if not shards:
        raise DataError(str(place), expected=f"files {' '.join(_SUFFIXES[kind])}", found="none")
    parts = max(1, _READERS_AIMED_AT // len(shards))
    if kind == "tar":
        readers: list[ClipReader] = [TarReader(shard) for shard in shards]
    elif kind == "parquet":
        readers = [
            ParquetReader(shard, columns or ParquetColumns(), tuple(range(first, stop)))
            for shard in shards
            for first, stop in _ranges(count_row_groups(shard, columns=columns), parts)
        ]
    else:
        readers = [
            Hdf5Reader(shard, first, stop)
            for shard in shards
            for first, stop in _pack_ranges(count_clips(shard), parts)
        ]
    return ClipSource(place, kind, tuple(readers))


def detect_container(location: Location | Store) -> Container:
    """Tell by file names what clips are kept in.

    Parameters
    ----------
    location : Store, str or path
        A single container, or a folder or prefix, of which the first names are looked at.

    Returns
    -------
    {"files", "tar", "parquet", "hdf5"}

    Raises
    ------
    DataError
        If there is nothing at the location, or nothing that can hold clips.
    ConfigError
        If several kinds are there, so that one has to be named.
    """
    place = Store.of(location, DataError)
    own = _kind_of(place.name)
    if own not in (None, "files"):
        return own
    kinds = {kind for file in islice(place.list(), _NAMES_LOOKED_AT) if (kind := _kind_of(file.name))}
    if not kinds:
        raise DataError(
            str(place),
            expected="clips as audio files, in .tar, .parquet or .h5",
            found="none of these",
        )
    if len(kinds) > 1:
        raise ConfigError(
            str(place),
            expected="one kind of container, or which one to read, as `container`",
            found=", ".join(sorted(kinds)),
        )
    return kinds.pop()


def _kind_of(file_name: str) -> Container | None:
    name = file_name.casefold()
    for kind, suffixes in _SUFFIXES.items():
        if name.endswith(suffixes):
            return kind
    return "files" if is_clip_file(name) and clip_name(name) is not None else None


def _pack_ranges(clips: int, parts: int) -> Iterator[tuple[int, int | None]]:
    # A pack that cannot be counted still gets its reader, which says what is wrong with it.
    if clips == 0:
        yield 0, None
    else:
        yield from _ranges(clips, min(parts, -(-clips // _FEWEST_CLIPS_A_READER)))


def _ranges(count: int, parts: int) -> Iterator[tuple[int, int]]:
    parts = max(1, min(count, parts))
    for part in range(parts):
        yield count * part // parts, count * (part + 1) // parts
