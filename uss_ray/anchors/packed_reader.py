"""Read anchors of a pack by their place in the catalogue: a request a row group, a bounded number of them in memory."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from uss_ray.anchors.anchor import excerpt_name, recording_of
from uss_ray.anchors.audio import decode_flac
from uss_ray.anchors.catalogue import AnchorCatalogue
from uss_ray.anchors.footers import FooterCache
from uss_ray.anchors.packed import (
    CATALOGUE_NAME,
    FOOTERS_NAME,
    MEANS_NAME,
    PackManifest,
    clip_key,
    read_pack_manifest,
    shard_place,
)
from uss_ray.anchors.schema import AUDIO_COLUMN
from uss_ray.arrow import parquet_of, table_of
from uss_ray.audio.pcm import to_float
from uss_ray.errors import DataError
from uss_ray.store.store import Location, Store

_COLUMNS = ("clip_id", "class_index", "score", "samples", "soft", "latent", AUDIO_COLUMN)
_FOOTER_GROUPS_KEPT = 512  # the others are in memory too, encoded
_GUESSED_SECONDS = 600
_READERS = 8
_FOOTER_CODEC = "zstd"  # columns of one row group are described like those of the next: a twelfth remains


@dataclass(frozen=True, eq=False)
class PackedAnchor:
    """What training takes of an anchor.

    Parameters
    ----------
    class_index : int
    score : float
    waveform : ndarray of shape (samples,), dtype=float32
        In [-1, 1].
    soft, latent : ndarray of shape (size,), dtype=float32, or None
    """

    class_index: int
    score: float
    waveform: NDArray[np.float32]
    soft: NDArray[np.float32] | None
    latent: NDArray[np.float32] | None


class PackedAnchors:
    """The anchors of a finished pack.

    Parameters
    ----------
    root : Store, str or path
    cache_bytes : int, default=1 GiB
        Most that encoded row groups take in memory.

    Raises
    ------
    DataError
        If the pack is not finished, or damaged.
    """

    def __init__(self, root: Location | Store, *, cache_bytes: int = 1 << 30) -> None:
        self.root = Store.of(root, DataError)
        self.manifest: PackManifest = read_pack_manifest(self.root)
        self._cache_bytes = cache_bytes
        self._groups: OrderedDict[tuple[int, int], pa.Table] = OrderedDict()
        self._held = 0
        self._footers: FooterCache[int] = FooterCache(_FOOTER_GROUPS_KEPT)
        # One thread, for memory that eight have freed stays with each of them.
        self._footer_pool = ThreadPoolExecutor(1, thread_name_prefix="footers")
        self._lock = threading.Lock()
        self._fetching: dict[tuple[int, int], Future[pa.Table]] = {}
        self._pool = ThreadPoolExecutor(_READERS, thread_name_prefix="anchors")

    @cached_property
    def catalogue(self) -> AnchorCatalogue:
        """What the anchors are, without their sound."""
        return AnchorCatalogue.of_table(_read_table(self.root / CATALOGUE_NAME), name=str(self.root))

    def class_means(self, kind: str) -> dict[int, NDArray[np.float32]]:
        """Give the mean bottleneck of each class.

        Raises
        ------
        DataError
            If the anchors were mined without bottlenecks of that kind.
        """
        if kind not in self.manifest.conditions:
            raise DataError(
                str(self.root),
                expected=f"anchors that were mined with --conditions {kind}",
                found=f"conditions {', '.join(self.manifest.conditions) or 'none'}",
            )
        table = _read_table(self.root / MEANS_NAME)
        return {
            row["class_index"]: np.array(row[kind], np.float32)
            for row in table.select(["class_index", kind]).to_pylist()
        }

    def packed_of(self, clips: Iterable[tuple[str, float | None]]) -> list[str]:
        """Tell of which recordings among some clips there are anchors.

        Parameters
        ----------
        clips : iterable of (str, float or None)
            Ids, and where in their recordings they begin if that is known.

        Returns
        -------
        list of str
            Ids, sorted.

        Notes
        -----
        The catalogue of a pack that does not tell recordings has hashes of names, with the start where a recording had
        several excerpts: of these are found those that begin where the clip does, or at a whole second of the first
        ten minutes.
        """
        known = set(self.catalogue.recordings.tolist())
        starts = () if self.manifest.tells_recordings else range(_GUESSED_SECONDS)

        def is_packed(clip_id: str, start: float | None) -> bool:
            recording = recording_of(clip_id)
            names = chain(
                (clip_id, recording),
                (excerpt_name(recording, start),) if start is not None else (),
                (excerpt_name(recording, second) for second in starts),
            )
            return any(clip_key(name) in known for name in names)

        return sorted({clip_id for clip_id, start in dict.fromkeys(clips) if is_packed(clip_id, start)})

    def prefetch(self, rows: Sequence[int]) -> None:
        """Begin to fetch the row groups of some anchors."""
        for key in self._keys(rows):
            self._request(key)

    def read(self, rows: Sequence[int]) -> list[PackedAnchor]:
        """Read and decode some anchors, by their rows in the catalogue, in that order.

        Raises
        ------
        DataError
            If a shard is damaged or gone.
        """
        self.prefetch(rows)
        return [self._anchor(int(row)) for row in rows]

    def close(self) -> None:
        """End the threads."""
        self._footer_pool.shutdown(wait=False, cancel_futures=True)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _anchor(self, row: int) -> PackedAnchor:
        catalogue = self.catalogue
        key = (int(catalogue.shards[row]), int(catalogue.groups[row]))
        table = self._group(key)
        groups = catalogue.groups_of(int(catalogue.class_indexes[row]))
        first = int(groups.first[np.searchsorted(groups.first, row, side="right") - 1])
        record = table.slice(row - first, 1).to_pylist()[0]
        item = f"{shard_place(self.root, key[0])} anchor of {record['clip_id']}"
        waveform = decode_flac(record[AUDIO_COLUMN], item=item)
        if len(waveform) != record["samples"]:
            raise DataError(item, expected=f"{record['samples']} samples", found=str(len(waveform)))
        return PackedAnchor(
            class_index=record["class_index"],
            score=record["score"],
            waveform=to_float(waveform),
            soft=None if record["soft"] is None else np.array(record["soft"], np.float32),
            latent=None if record["latent"] is None else np.array(record["latent"], np.float32),
        )

    def _keys(self, rows: Sequence[int]) -> list[tuple[int, int]]:
        catalogue = self.catalogue
        return list(dict.fromkeys((int(catalogue.shards[row]), int(catalogue.groups[row])) for row in rows))

    def _group(self, key: tuple[int, int]) -> pa.Table:
        with self._lock:
            known = self._groups.get(key)
            if known is not None:
                self._groups.move_to_end(key)
                return known
        return self._request(key).result()

    def _request(self, key: tuple[int, int]) -> Future[pa.Table]:
        with self._lock:
            known = self._groups.get(key)
            if known is not None:
                self._groups.move_to_end(key)
                done: Future[pa.Table] = Future()
                done.set_result(known)
                return done
            if key not in self._fetching:
                self._fetching[key] = self._pool.submit(self._fetch, key)
            return self._fetching[key]

    def _fetch(self, key: tuple[int, int]) -> pa.Table:
        shard, number = key
        try:
            footer = self._footer_pool.submit(self._footer, shard).result()
            table = _read_group(shard_place(self.root, shard), footer, number)
        except BaseException:
            with self._lock:
                self._fetching.pop(key, None)
            raise
        with self._lock:  # at once, or another thread would fetch it again, and what is held be counted twice
            self._groups[key] = table
            self._held += table.nbytes
            while self._held > self._cache_bytes and len(self._groups) > 1:
                _, dropped = self._groups.popitem(last=False)
                self._held -= dropped.nbytes
            self._fetching.pop(key, None)
        return table

    def _footer(self, shard: int) -> pq.FileMetaData:
        known = self._footers.get(shard)
        if known is None:
            size, packed = self._encoded_footers[shard]
            encoded = pa.decompress(packed, decompressed_size=size, codec=_FOOTER_CODEC)
            with parquet_of(f"{self.root / FOOTERS_NAME}, shard {shard}"):
                known = pq.read_metadata(pa.BufferReader(encoded))
            self._footers.add(shard, known)
        return known

    @cached_property
    def _encoded_footers(self) -> dict[int, tuple[int, bytes]]:
        """The footers of all shards, compressed, with their sizes before."""
        table = _read_table(self.root / FOOTERS_NAME)
        return {
            shard.as_py(): (len(buffer), pa.compress(buffer, codec=_FOOTER_CODEC, asbytes=True))
            for shard, footer in zip(table["shard"], table["footer"], strict=True)
            for buffer in [footer.as_buffer()]
        }


def _read_table(place: Store) -> pa.Table:
    return table_of(place.read(), str(place))


def _read_group(shard: Store, footer: pq.FileMetaData, number: int) -> pa.Table:
    """Fetch the bytes of a row group at once, and decode it with the footer that is known."""
    columns = [footer.row_group(number).column(place) for place in range(footer.num_columns)]
    starts = [
        column.data_page_offset
        if not column.has_dictionary_page
        else min(column.dictionary_page_offset, column.data_page_offset)
        for column in columns
    ]
    start = min(starts)
    stop = max(begin + column.total_compressed_size for begin, column in zip(starts, columns, strict=True))
    data = shard.read_part(start, stop)
    with parquet_of(str(shard), expected="a whole shard"):
        parquet = pq.ParquetFile(pa.PythonFile(_Stretch(data, start), mode="r"), metadata=footer)
        return parquet.read_row_group(number, columns=list(_COLUMNS), use_threads=False)


class _Stretch(io.RawIOBase):
    """A stretch of a file that answers at the positions it has there."""

    def __init__(self, data: bytes, start: int) -> None:
        self._data, self._start, self._position = data, start, start

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        end = self._start + len(self._data)
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: end}[whence]
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        first = self._position - self._start
        if first < 0:
            raise OSError(f"position {self._position} is outside of what was read")
        data = self._data[first : None if size < 0 else first + size]
        self._position += len(data)
        return data
