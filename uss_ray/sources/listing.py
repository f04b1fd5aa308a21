"""What an archive holds, whatever it is: a folder, a prefix, one file, a manifest or an S3 Inventory report.

Owns telling these apart and the frame they share: readers that stream, shards and a limit. What is written in a
manifest or a report is `manifests` and `inventory`; the rows are `recordings`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import pyarrow as pa

from uss_ray.errors import ConfigError, RecordingError
from uss_ray.records import Recording, recording_id
from uss_ray.sources.contents import is_recording
from uss_ray.sources.inventory import looks_like_inventory, open_inventory, read_data_file
from uss_ray.sources.manifests import MANIFEST_SUFFIXES, is_manifest, open_manifest
from uss_ray.sources.names import has_other_suffix
from uss_ray.sources.recordings import (
    ListedRecording,
    PassedOverNames,
    TellPassedOver,
    recording_tables,
    single_recording,
)
from uss_ray.store.store import Location, Store
from uss_ray.store.walk import NO_TEXT, Unlisted, holds_what_is_lost, log_odd
from uss_ray.wording import printable

TableReader = Callable[[], Iterator[pa.Table]]
"""A picklable callable that gives tables of `RECORDING_SCHEMA`, at most 1000 rows each; each call begins anew."""

TellUnlisted = Callable[[Sequence[Unlisted]], None]
"""A picklable callable that is told what is left out of a listing."""

Kind = Literal["file", "folder", "prefix", "manifest", "inventory"]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The recordings of an archive, to be read as often as wanted, and nowhere held all at once.

    Parameters
    ----------
    readers : tuple of TableReader
        May be run side by side; together they give each recording once.
    kind : {"file", "folder", "prefix", "manifest", "inventory"}
        What the archive is.
    known_count : int or None
        Recordings in all, where that was found on opening.
    """

    readers: tuple[TableReader, ...]
    kind: Kind
    known_count: int | None

    def telling(self, tell: TellPassedOver, *, unlisted: TellUnlisted | None = None) -> Listing:
        """Give the same listing, whose readers tell what they pass over as they go; every row of a manifest counts.

        Parameters
        ----------
        tell : callable
            Told names of files that are no recordings.
        unlisted : callable, optional
            Told what is left out of the listing; None warns in the log.
        """
        return replace(self, readers=tuple(_telling(reader, tell, unlisted) for reader in self.readers))

    def tables(self) -> Iterator[pa.Table]:
        """Read everything here, one reader after the other."""
        for reader in self.readers:
            yield from reader()


def open_listing(
    archive: Location | Store,
    *,
    shard: tuple[int, int] | None = None,
    limit: int | None = None,
    follow_links: bool = False,
    with_manifests: bool = True,
) -> Listing:
    """Find out what an archive is and prepare the reading of its recordings.

    Parameters
    ----------
    archive : Store, str or path
        A folder, a prefix of an object store, one recording, a manifest (Parquet file or folder of them, CSV, JSONL;
        see `manifests`) or the `manifest.json` of an S3 Inventory report (see `inventory`). In folders and prefixes
        the content counts where the name does not tell (see `contents`); a manifest means every row.
    shard : (int, int) or None, default=None
        (i, n): the i-th of n parts, from 1. A recording's key decides, so that a part stays the same as
        others are added.
    limit : int or None, default=None
        At most so many recordings, the first ones of the shard; read one after the other.
    follow_links : bool, default=False
        Follow links that lead out of a folder.
    with_manifests : bool, default=True
        Take a folder of manifests for what they list; else only recordings that lie in it are meant.

    Returns
    -------
    Listing
        Manifests and reports are checked as far as their format allows it: column names and types, sizes and
        null counts of Parquet; every line of CSV and JSONL, up to the limit.

    Raises
    ------
    RecordingError
        If there is nothing of that name, or no recording in it.
    DataError
        If a manifest or report is not what its format says.
    ConfigError
        If `shard` or `limit` are out of range.
    """
    _check_choice(shard=shard, limit=limit)
    listing = _open(
        Store.of(archive),
        limit=None if shard else limit,
        follow_links=follow_links,
        with_manifests=with_manifests,
    )
    readers: tuple[TableReader, ...] = listing.readers
    count = listing.known_count
    if shard is not None:
        readers = tuple(_Shard(reader, part=shard[0], parts=shard[1]) for reader in readers)
        count = None
    if limit is not None:
        readers = (_First(readers, limit=limit),)
        count = None if count is None else min(count, limit)
    return Listing(readers=readers, kind=listing.kind, known_count=count)


def list_recordings(
    archive: Location | Store, *, unlisted: TellUnlisted | None = None, with_manifests: bool = True
) -> Iterator[Recording]:
    """List the recordings of an archive, as they are found.

    Parameters
    ----------
    archive : Store, str or path
        See `open_listing`.
    with_manifests : bool, default=True
        See `open_listing`.
    unlisted : callable, optional
        See `Listing.telling`.

    Yields
    ------
    Recording
        In the order of the listing: that of the names, in a folder or prefix.

    Raises
    ------
    RecordingError, DataError
        See `open_listing`.
    """
    listing = open_listing(archive, with_manifests=with_manifests)
    for table in listing.telling(_nobody, unlisted=unlisted).tables():
        for row in table.select(["recording_uri", "recording_id"]).to_pylist():
            yield Recording(**row)


@dataclass(frozen=True)
class _ReadPrefix:
    """Every recording below a folder or prefix, named by its path below it."""

    base: Store
    follow_links: bool = False
    tell: TellPassedOver | None = None
    tell_unlisted: TellUnlisted | None = None

    def __call__(self) -> Iterator[pa.Table]:
        return recording_tables(self._found())

    def _note(self, name: str, why: str) -> None:
        if self.tell_unlisted is None:
            log_odd(name, why)
        else:
            is_other = why == NO_TEXT and has_other_suffix(name)
            is_lost = not is_other and holds_what_is_lost(name, why)
            self.tell_unlisted([Unlisted(printable(f"{name}: {why}"), is_lost)])

    def _found(self) -> Iterator[ListedRecording]:
        passed_over = PassedOverNames(self.tell)
        for found in self.base.files(follow_links=self.follow_links, tell=self._note):
            if is_recording(found):
                yield ListedRecording(
                    recording_uri=str(found.place),
                    recording_id=recording_id(found.place.relative_to(self.base)),
                    byte_count=found.size_bytes,
                    content_tag=found.content_tag,
                )
            else:
                passed_over.add(found.place.relative_to(self.base))
        passed_over.flush()


@dataclass(frozen=True)
class _ReadOne:
    """One recording, whatever its name."""

    recording: ListedRecording

    def __call__(self) -> Iterator[pa.Table]:
        return recording_tables([self.recording])


@dataclass(frozen=True)
class _Shard:
    """Of what a reader gives, the rows of one part."""

    reader: TableReader
    part: int
    parts: int

    def __call__(self) -> Iterator[pa.Table]:
        for table in self.reader():
            keys = table.column("recording_key").to_numpy()
            chosen = np.flatnonzero(keys % self.parts == self.part - 1)
            if len(chosen):
                yield table.take(chosen)


@dataclass(frozen=True)
class _First:
    """The first rows of several readers, which are no longer read once there are enough."""

    readers: tuple[TableReader, ...]
    limit: int

    def __call__(self) -> Iterator[pa.Table]:
        missing = self.limit
        for reader in self.readers:
            for table in reader():
                yield table.slice(0, missing)
                missing -= table.num_rows
                if missing <= 0:
                    return


def _telling(reader: TableReader, tell: TellPassedOver, unlisted: TellUnlisted | None) -> TableReader:
    if isinstance(reader, _ReadPrefix):
        return replace(reader, tell=tell, tell_unlisted=unlisted)
    if isinstance(reader, _Shard):
        return replace(reader, reader=_telling(reader.reader, tell, unlisted))
    if isinstance(reader, _First):
        return replace(reader, readers=tuple(_telling(one, tell, unlisted) for one in reader.readers))
    if isinstance(reader, partial) and reader.func is read_data_file:
        return partial(reader, tell=tell)
    return reader


def _open(archive: Store, *, limit: int | None, follow_links: bool, with_manifests: bool) -> Listing:
    if looks_like_inventory(archive.name):
        return Listing(readers=open_inventory(archive), kind="inventory", known_count=None)
    manifests = [archive] if is_manifest(archive.name) else []
    left_out: list[str] = []

    def note(name: str, why: str) -> None:
        """Keep the first, in case that there is nothing else; who reads the listing tells of all."""
        if not left_out:
            left_out.append(f"{name}: {why}")

    for found in () if manifests else archive.files(follow_links=follow_links, tell=note):
        location = str(found.place)
        if location.rstrip("/") == str(archive).rstrip("/"):
            recording = single_recording(location)
            one = ListedRecording(recording.recording_uri, recording.recording_id, found.size_bytes)
            return Listing(readers=(_ReadOne(one),), kind="file", known_count=1)
        if is_recording(found):
            kind: Kind = "prefix" if archive.is_remote else "folder"
            return Listing(readers=(_ReadPrefix(archive, follow_links),), kind=kind, known_count=None)
        if is_manifest(location) and location.endswith(".parquet"):
            manifests.append(found.place)
    if manifests and with_manifests:
        readers, count = open_manifest(manifests, limit=limit)
        if count == 0:
            raise RecordingError(str(archive), expected="recordings in the manifest", found="no row")
        return Listing(readers=readers, kind="manifest", known_count=count)
    expected = "recordings (WAV, FLAC, OGG, MP3 …)"
    if with_manifests:
        expected += f" or a manifest ({', '.join(MANIFEST_SUFFIXES)})"
    elif manifests:
        raise RecordingError(str(archive), expected=expected, found=f"a manifest ({manifests[0].name})")
    found_instead = f"none but what is left out: {left_out[0]}" if left_out else "none"
    raise RecordingError(str(archive), expected=expected, found=found_instead)


def _nobody(names: Sequence[str]) -> None:
    """Keep the names of what is no recording to oneself."""


def _check_choice(*, shard: tuple[int, int] | None, limit: int | None) -> None:
    if shard is not None and not 1 <= shard[0] <= shard[1]:
        raise ConfigError(
            "shard", expected="i/n with i from 1 to n, such as 1/4", found=f"{shard[0]}/{shard[1]}"
        )
    if limit is not None and limit < 1:
        raise ConfigError("limit", expected="at least 1 recording", found=str(limit))
