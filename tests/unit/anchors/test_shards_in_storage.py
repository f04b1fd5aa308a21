"""Mining's output in real storage: a folder and an object store, by the same test."""

from __future__ import annotations

from collections import Counter
from itertools import islice

from uss_ray.anchors.anchor import Reject
from uss_ray.anchors.manifest import MiningManifest, write_manifest
from uss_ray.anchors.shards import write_anchor_shard, write_reject_shard
from uss_ray.anchors.stream import AnchorShards
from uss_ray.results.report.mining import write_mining_report
from uss_ray.store.store import Store


def test_a_run_is_written_streamed_and_reported(storage_root: str, make_anchor) -> None:
    root = Store(storage_root)
    shards = [
        write_anchor_shard(
            [make_anchor(10 * part + n, n % 3, samples=64_000) for n in range(9)],
            root / f"anchors/{part:05d}.parquet",
        )
        for part in range(2)
    ]
    rejects = write_reject_shard(
        [Reject(clip_id="clip099", reason="missing")], root / "rejects/00000.parquet"
    )
    facts = {"weights_name": "w", "weights_sha256": "a", "class_list_sha256": "b", "settings": {}}
    write_manifest(MiningManifest.of(shards, rejects=rejects, sample_rate=32_000, clips=19, **facts), root)

    reader = AnchorShards(root)
    assert reader.counts == {0: 6, 1: 6, 2: 6}
    drawn = list(islice(reader.balanced_stream(seed=1), 18))
    assert Counter(anchor.class_index for anchor in drawn) == reader.counts
    assert len({anchor.anchor_id for anchor in drawn}) == 18
    page = write_mining_report(storage_root, labels=["Dog", "Rain", "Piano", *["Other"] * 524], examples=3)
    assert b"Dog" in Store(page).read()
    assert sorted(place.relative_to(root) for place in root.list()) == [
        "anchors/00000.parquet",
        "anchors/00001.parquet",
        "manifest.json",
        "rejects/00000.parquet",
        "report.html",
    ]
