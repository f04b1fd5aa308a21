"""The manifest of a mining run: what made the anchors, how many there are, and which files hold them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from uss_ray.anchors.shards import ShardFacts
from uss_ray.errors import DataError
from uss_ray.store.store import Location, Store

MANIFEST_NAME = "manifest.json"
MANIFEST_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class MiningManifest:
    """What a run gave.

    Parameters
    ----------
    weights_name, weights_sha256 : str
        The detector's.
    class_list_sha256 : str
        Of the class ids, one a line: what a class index means.
    settings : mapping
        `MiningSettings` as JSON values.
    sample_rate : int
        Of the anchors, in Hz.
    clips : int
        Clips that were looked at, the rejected ones included.
    counts : dict of int to int
        Anchors of each class index.
    rejects : dict of str to int
        Rejects of each reason.
    shards : tuple of ShardFacts
        Sorted by name.
    """

    weights_name: str
    weights_sha256: str
    class_list_sha256: str
    settings: Mapping[str, Any]
    sample_rate: int
    clips: int
    counts: dict[int, int]
    rejects: dict[str, int]
    shards: tuple[ShardFacts, ...]

    @property
    def anchors(self) -> int:
        """Number of anchors."""
        return sum(self.counts.values())

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
    ) -> MiningManifest:
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
        values = {"manifest_version": MANIFEST_VERSION, "anchors": self.anchors, **asdict(self)}
        return json.dumps(values, indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, *, item: str = MANIFEST_NAME) -> MiningManifest:
        """Read what `to_json` wrote.

        Raises
        ------
        DataError
            If it is no manifest, of another version, or counts other than its shards hold.
        """
        try:
            values = json.loads(text)
            version = values.pop("manifest_version")
            if version != MANIFEST_VERSION:
                raise DataError(item, expected=f"manifest version {MANIFEST_VERSION}", found=f"{version}")
            anchors = values.pop("anchors")
            shards = [ShardFacts(**{**s, "counts": _by_index(s["counts"])}) for s in values.pop("shards")]
            counts = _by_index(values.pop("counts"))
            manifest = cls.of(shards, **values)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise DataError(item, expected="a mining manifest", found=repr(error)) from error
        if manifest.counts != counts or manifest.anchors != anchors:
            raise DataError(
                item, expected=f"{manifest.anchors} anchors as its shards hold", found=f"{anchors}"
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


def _by_index(counts: Mapping[str, int]) -> dict[int, int]:
    return {int(index): count for index, count in counts.items()}
