"""A pack of anchors: what training reads. Sorted by class, in full row groups, with one catalogue of all of them.

shards/<number>.parquet   anchors, each row group of one class alone
parts/<number>.parquet    the catalogue of one shard and its facts, while the pack is made
catalogue.parquet         one row an anchor, without its sound
footers.parquet           the footers of all shards, so that a row group takes one request
class_means.parquet       mean bottlenecks of each class
pack.json                 what the pack is made of; written last
"""

from __future__ import annotations

import base64
import hashlib
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from uss_ray.anchors.anchor import recording_of
from uss_ray.anchors.catalogue import CATALOGUE_SCHEMA, RECORDING_FIELD
from uss_ray.anchors.pack_plan import PackedShardPlan
from uss_ray.anchors.schema import ANCHOR_SCHEMA, AUDIO_COLUMN
from uss_ray.anchors.stream import AnchorShards
from uss_ray.arrow import first_line, parquet_of, table_of
from uss_ray.errors import DataError, OutputError
from uss_ray.store.store import Store

PACK_NAME = "pack.json"
CATALOGUE_NAME = "catalogue.parquet"
FOOTERS_NAME = "footers.parquet"
MEANS_NAME = "class_means.parquet"
SHARD_FOLDER = "shards"
PART_FOLDER = "parts"
PACK_VERSION: Final = 1
CONDITIONS = ("soft", "latent")

_FACTS_KEY = b"uss_ray.packed_shard"
WEIGHT_FLOOR = 1e-6
_HELD_BYTES = 256 << 20  # a shard of the default size at once
_FOOTER_SCHEMA = pa.schema([pa.field("shard", pa.int32(), False), pa.field("footer", pa.binary(), False)])
_MEANS_SCHEMA = pa.schema(
    [
        pa.field("class_index", pa.int16(), False),
        pa.field("soft", pa.list_(pa.float32())),
        pa.field("latent", pa.list_(pa.float32())),
    ]
)


class PackedShardFacts(BaseModel):
    """A shard of a pack, as the file beside it tells."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = Field(ge=0)
    rows: int = Field(ge=1)
    bytes: int = Field(ge=1)
    sha256: str
    samples: tuple[int, ...] = Field(description="Lengths of its anchors, each once.")
    sample_rates: tuple[int, ...] = Field(description="In Hz, each once.")
    conditions: tuple[str, ...] = Field(description="Bottlenecks that all its anchors have.")


class PackManifest(BaseModel):
    """What a pack is made of; `pack.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pack_version: Literal[1] = PACK_VERSION
    anchors: int = Field(ge=1, description="Their number.")
    sample_rate: int = Field(ge=1, description="In Hz.")
    samples: int = Field(ge=1, description="Length of each.")
    conditions: tuple[str, ...] = Field(description="Bottlenecks that all anchors have.")
    counts: dict[int, int] = Field(description="Anchors of each class index.")
    weights_name: str = Field(description="The detector's that mined.")
    weights_sha256: str
    class_list_sha256: str = Field(description="Of the class ids, one a line: what a class index means.")
    mining: dict[str, Any] = Field(description="Settings of the mining.")
    clips: int = Field(ge=0, description="Clips that were looked at.")
    seed: int = Field(description="Of the order within a class.")
    shards: tuple[PackedShardFacts, ...]
    catalogue_sha256: str
    tells_recordings: bool = Field(
        default=False, description="Whether the catalogue tells excerpts of one recording: older ones do not."
    )

    @property
    def segment_seconds(self) -> float:
        """Length of each anchor."""
        return self.samples / self.sample_rate

    @property
    def data_sha256(self) -> str:
        """One checksum of all anchors, for the identity of a run."""
        listed = "\n".join([self.catalogue_sha256, *(shard.sha256 for shard in self.shards)])
        return hashlib.sha256(listed.encode()).hexdigest()


def shard_place(pack: Store, number: int) -> Store:
    """Say where a shard is."""
    return pack / SHARD_FOLDER / f"{number:05d}.parquet"


def part_place(pack: Store, number: int) -> Store:
    """Say where the catalogue of one shard is; written after the shard."""
    return pack / PART_FOLDER / f"{number:05d}.parquet"


def write_packed_shard(source: AnchorShards, plan: PackedShardPlan, *, pack: Store) -> PackedShardFacts:
    """Gather the anchors of one shard and write it, then its part of the catalogue.

    Parameters
    ----------
    source : AnchorShards
    plan : PackedShardPlan
    pack : Store
        Root of the pack.

    Returns
    -------
    PackedShardFacts

    Raises
    ------
    DataError
        If a shard of the source is damaged.
    OutputError
        If it cannot be written.
    """
    names = ANCHOR_SCHEMA.names
    compression = {name: "none" if name == AUDIO_COLUMN else "zstd" for name in names}
    catalogues, sums = [], _ConditionSums()
    samples: set[int] = set()
    rates: set[int] = set()
    with tempfile.TemporaryDirectory(prefix="uss_ray-pack-") as folder:
        local = Path(folder) / "shard.parquet"
        try:
            with pq.ParquetWriter(
                local,
                ANCHOR_SCHEMA,
                compression=compression,
                use_dictionary=["clip_id"],
                write_statistics=["class_index"],
            ) as writer:
                for number, group in enumerate(_groups(source, plan)):
                    writer.write_table(group, row_group_size=len(group))
                    catalogues.append(_catalogue(group, shard=plan.number, number=number))
                    samples.update(group["samples"].to_pylist())
                    rates.update(group["sample_rate"].to_pylist())
                    sums.add(group)
            sha256 = _sha256(local)
            footer = _footer(local)
        except OSError as error:
            raise OutputError(
                str(pack), expected="room for a shard in the temporary folder", found=str(error)
            ) from error
        shard_place(pack, plan.number).put(local)
        facts = PackedShardFacts(
            number=plan.number,
            rows=sum(len(part) for part in catalogues),
            bytes=local.stat().st_size,
            sha256=sha256,
            samples=tuple(sorted(samples)),
            sample_rates=tuple(sorted(rates)),
            conditions=sums.complete,
        )
    _write_part(part_place(pack, plan.number), _joined(catalogues), facts=facts, footer=footer, sums=sums)
    return facts


def finish_pack(pack: Store, *, shards: int, source: AnchorShards, seed: int) -> PackManifest:
    """Put the parts together and write what the pack is made of.

    Parameters
    ----------
    pack : Store
    shards : int
        How many there have to be.
    source : AnchorShards
        With a manifest.
    seed : int
        Of the plan.

    Returns
    -------
    PackManifest

    Raises
    ------
    DataError
        If anchors differ in length or rate, or a part is missing or damaged.
    """
    parts = [_read_part(part_place(pack, number)) for number in range(shards)]
    facts = [part.facts for part in parts]
    samples = sorted({length for fact in facts for length in fact.samples})
    rates = sorted({rate for fact in facts for rate in fact.sample_rates})
    if len(samples) != 1 or len(rates) != 1:
        raise DataError(
            str(source.root),
            expected="anchors of one length and rate",
            found=f"lengths {samples}, rates {rates}",
        )
    mined = source.manifest
    assert mined is not None
    catalogue = _joined([part.catalogue for part in parts])
    encoded = _parquet(catalogue)
    (pack / CATALOGUE_NAME).put(encoded)
    footers = pa.table(
        {"shard": [fact.number for fact in facts], "footer": [part.footer for part in parts]},
        schema=_FOOTER_SCHEMA,
    )
    (pack / FOOTERS_NAME).put(_parquet(footers))
    sums = _ConditionSums()
    for part in parts:
        sums.merge(part.sums)
    (pack / MEANS_NAME).put(_parquet(sums.means()))
    indexes, counts = np.unique(catalogue["class_index"].to_numpy(), return_counts=True)
    manifest = PackManifest(
        anchors=len(catalogue),
        sample_rate=rates[0],
        samples=samples[0],
        conditions=tuple(kind for kind in CONDITIONS if all(kind in fact.conditions for fact in facts)),
        counts={int(index): int(count) for index, count in zip(indexes, counts, strict=True)},
        weights_name=mined.weights_name,
        weights_sha256=mined.weights_sha256,
        class_list_sha256=mined.class_list_sha256,
        mining=mined.settings,
        clips=mined.clips,
        seed=seed,
        shards=tuple(facts),
        catalogue_sha256=hashlib.sha256(encoded).hexdigest(),
        tells_recordings=all(part.tells_recordings for part in parts),
    )
    (pack / PACK_NAME).put((manifest.model_dump_json(indent=2) + "\n").encode())
    return manifest


def read_pack_manifest(pack: Store) -> PackManifest:
    """Read `pack.json`.

    Raises
    ------
    DataError
        If there is none: the pack is not finished, or the place is none.
    """
    place = pack / PACK_NAME
    if not place.exists():
        raise DataError(
            str(pack), expected="a finished pack (`uss-ray anchors pack`)", found=f"no {PACK_NAME}"
        )
    try:
        return PackManifest.model_validate_json(place.read())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(str(place), expected="a pack", found=f"{where}: {first['msg']}") from error


def _groups(source: AnchorShards, plan: PackedShardPlan) -> Iterator[pa.Table]:
    """Read the row groups of a shard, a stretch of them at once: their anchors lie in source files in any order."""
    for groups in plan.stretches(_HELD_BYTES):
        tables = deque(source.take([take for takes in groups for take in takes]))
        for takes in groups:
            yield pa.concat_tables([tables.popleft() for _ in takes]).combine_chunks()


class _ConditionSums:
    """Sums of bottlenecks of each class, weighted by score, in float64 so that shards add up in their order."""

    def __init__(self) -> None:
        self.weights: dict[int, float] = {}
        self.sums: dict[str, dict[int, NDArray[np.float64]]] = {kind: {} for kind in CONDITIONS}
        self._lacking: set[str] = set()

    @property
    def complete(self) -> tuple[str, ...]:
        """Kinds that every anchor had."""
        return tuple(kind for kind in CONDITIONS if kind not in self._lacking)

    def add(self, group: pa.Table) -> None:
        """Add a row group, which is of one class."""
        index = group["class_index"][0].as_py()
        weights = group["score"].to_numpy().astype(np.float64) + WEIGHT_FLOOR
        self.weights[index] = self.weights.get(index, 0.0) + float(weights.sum())
        for kind in CONDITIONS:
            column = group[kind].combine_chunks()
            if column.null_count:
                self._lacking.add(kind)
                continue
            values = np.stack([np.asarray(row, np.float64) for row in column.to_pylist()])
            self._add(kind, index, (values * weights[:, None]).sum(axis=0))

    def merge(self, other: _ConditionSums) -> None:
        """Add the sums of the next shard."""
        self._lacking |= other._lacking
        for index, weight in other.weights.items():
            self.weights[index] = self.weights.get(index, 0.0) + weight
        for kind, sums in other.sums.items():
            for index, values in sums.items():
                self._add(kind, index, values)

    def means(self) -> pa.Table:
        """Give the mean of each class; null where anchors lack the bottleneck."""
        rows = [
            {
                "class_index": index,
                **{
                    kind: None
                    if kind in self._lacking
                    else (self.sums[kind][index] / weight).astype(np.float32)
                    for kind in CONDITIONS
                },
            }
            for index, weight in sorted(self.weights.items())
        ]
        return pa.Table.from_pylist(rows, schema=_MEANS_SCHEMA)

    def to_json_values(self) -> dict[str, Any]:
        """Give plain values; a float64 survives JSON."""
        return {
            "weights": self.weights,
            "lacking": sorted(self._lacking),
            "sums": {
                k: {index: values.tolist() for index, values in s.items()} for k, s in self.sums.items()
            },
        }

    @classmethod
    def from_json_values(cls, values: dict[str, Any]) -> _ConditionSums:
        """Read what `to_json_values` gave."""
        sums = cls()
        sums.weights = {int(index): float(weight) for index, weight in values["weights"].items()}
        sums._lacking = set(values["lacking"])
        sums.sums = {
            kind: {int(index): np.array(row, np.float64) for index, row in rows.items()}
            for kind, rows in values["sums"].items()
        }
        return sums

    def _add(self, kind: str, index: int, values: NDArray[np.float64]) -> None:
        known = self.sums[kind].get(index)
        self.sums[kind][index] = values if known is None else known + values


class _PartFacts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    shard: PackedShardFacts
    footer: str
    sums: dict[str, Any]
    tells_recordings: bool = False


class _Part:
    """What lies beside a shard until the pack is finished."""

    def __init__(self, catalogue: pa.Table, stored: _PartFacts) -> None:
        self.catalogue = catalogue.replace_schema_metadata(None)
        self.facts = stored.shard
        self.tells_recordings = stored.tells_recordings
        self.footer = base64.b64decode(stored.footer)
        self.sums = _ConditionSums.from_json_values(stored.sums)


def _write_part(
    place: Store, catalogue: pa.Table, *, facts: PackedShardFacts, footer: bytes, sums: _ConditionSums
) -> None:
    stored = _PartFacts(
        shard=facts,
        footer=base64.b64encode(footer).decode(),
        sums=sums.to_json_values(),
        tells_recordings=True,
    ).model_dump_json()
    place.put(_parquet(catalogue.replace_schema_metadata({_FACTS_KEY: stored.encode()})))


def _read_part(place: Store) -> _Part:
    expected = "the catalogue of a packed shard"
    table = table_of(place.raising(DataError).read(), str(place), expected=expected)
    try:
        with parquet_of(str(place), expected=expected):
            return _Part(table, _PartFacts.model_validate_json((table.schema.metadata or {})[_FACTS_KEY]))
    except ValidationError as error:
        raise DataError(str(place), expected=expected, found=first_line(error)) from error


def _catalogue(group: pa.Table, *, shard: int, number: int) -> pa.Table:
    count = len(group)
    names = group["clip_id"].to_pylist()
    table = pa.table(
        {
            "class_index": group["class_index"],
            "shard": pa.array([shard] * count, pa.int32()),
            "group": pa.array([number] * count, pa.int32()),
            "clip": pa.array(map(clip_key, names), pa.int64()),
            "label_indexes": group["label_indexes"],
            "heard_indexes": group["prob_indexes"],
        },
        schema=CATALOGUE_SCHEMA,
    )
    recordings = [recording_of(name) for name in names]
    if recordings != names:
        table = table.append_column(RECORDING_FIELD, pa.array(map(clip_key, recordings), pa.int64()))
    return table


def clip_key(clip_id: str) -> int:
    """Give what stands for a clip, or a recording, in the catalogue of a pack."""
    return int.from_bytes(hashlib.blake2b(clip_id.encode(), digest_size=8).digest(), "big", signed=True)


def _joined(catalogues: Sequence[pa.Table]) -> pa.Table:
    """Put catalogues behind each other; some may have a column more."""
    return pa.concat_tables(catalogues, promote_options="default")


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _footer(path: Path) -> bytes:
    sink = pa.BufferOutputStream()
    pq.read_metadata(path).write_metadata_file(sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def missing_shards(pack: Store, *, shards: int) -> Sequence[int]:
    """Tell which shards of a pack are still to be written."""
    folder = pack / PART_FOLDER
    there = {place.name for place in folder.list()} if folder.exists() else set()
    return [number for number in range(shards) if part_place(pack, number).name not in there]
