"""The manifest of a mining run: what made the anchors, how many there are, and which files hold them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from uss_ray.anchors.shards import ShardFacts
from uss_ray.errors import DataError
from uss_ray.store.store import Location, Store

MANIFEST_NAME = "manifest.json"
MANIFEST_VERSION: Final = 1


class MiningManifest(BaseModel):
    """What a run gave."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifest_version: Literal[1] = MANIFEST_VERSION
    anchors: int = Field(ge=0, description="Their number.")
    weights_name: str = Field(description="The detector's.")
    weights_sha256: str
    class_list_sha256: str = Field(description="Of the class ids, one a line: what a class index means.")
    settings: dict[str, Any] = Field(description="`MiningSettings` as JSON values.")
    sample_rate: int = Field(ge=1, description="Of the anchors, in Hz.")
    clips: int = Field(ge=0, description="Clips that were looked at, the rejected ones included.")
    counts: dict[int, int] = Field(description="Anchors of each class index.")
    rejects: dict[str, int] = Field(description="Rejects of each reason.")
    shards: tuple[ShardFacts, ...] = Field(description="Sorted by name.")

    @classmethod
    def of(
        cls,
        shards: Iterable[ShardFacts],
        *,
        rejects: Mapping[str, int],
        weights_name: str,
        weights_sha256: str,
        class_list_sha256: str,
        settings: Mapping[str, Any],
        sample_rate: int,
        clips: int,
    ) -> Self:
        """Put the facts of shards together.

        Raises
        ------
        DataError
            If two shards have one name.
        """
        listed = sorted(shards, key=lambda shard: shard.name)
        counts: Counter[int] = Counter()
        for shard in listed:
            counts.update(shard.counts)
        names = Counter(shard.name for shard in listed)
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise DataError("shards of a mining run", expected="each name once", found=twice[0])
        return cls(
            anchors=counts.total(),
            weights_name=weights_name,
            weights_sha256=weights_sha256,
            class_list_sha256=class_list_sha256,
            settings=dict(settings),
            sample_rate=sample_rate,
            clips=clips,
            counts=dict(sorted(counts.items())),
            rejects=dict(sorted(rejects.items())),
            shards=tuple(listed),
        )

    def to_json(self) -> str:
        """Write it as JSON."""
        return json.dumps(self.model_dump(mode="json"), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, *, item: str = MANIFEST_NAME) -> Self:
        """Read what `to_json` wrote.

        Raises
        ------
        DataError
            If it is no manifest, of another version, or counts other than its shards hold.
        """
        try:
            manifest = cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise DataError(
                item, expected="a mining manifest", found=f"{place}: {first['msg']}".removeprefix(": ")
            ) from error
        counts: Counter[int] = Counter()
        for shard in manifest.shards:
            counts.update(shard.counts)
        if manifest.counts != counts or manifest.anchors != counts.total():
            raise DataError(
                item, expected=f"{counts.total()} anchors as its shards hold", found=str(manifest.anchors)
            )
        return manifest


def write_manifest(manifest: MiningManifest, root: Location | Store) -> None:
    """Write the manifest of an output root, whole or not at all."""
    (Store.of(root) / MANIFEST_NAME).put(manifest.to_json().encode())


def read_manifest(root: Location | Store) -> MiningManifest:
    """Read the manifest of an output root.

    Raises
    ------
    DataError
        If there is none, or it is no manifest.
    """
    place = Store.of(root, DataError) / MANIFEST_NAME
    return MiningManifest.from_json(place.read(), item=str(place))
