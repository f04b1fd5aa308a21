"""Pack mined anchors for training in this process, without Ray; begun or resumed, to the same bytes as with Ray."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Final

from uss_ray.anchors.manifest import MANIFEST_NAME
from uss_ray.anchors.pack_plan import PackPlan, plan_pack
from uss_ray.anchors.packed import (
    PACK_NAME,
    PART_FOLDER,
    SHARD_FOLDER,
    PackManifest,
    finish_pack,
    missing_shards,
    read_pack_manifest,
    write_packed_shard,
)
from uss_ray.anchors.stream import AnchorShards
from uss_ray.api.owned import Owned, remove_folder
from uss_ray.api.staging import check_apart, check_output
from uss_ray.config import canonical_json
from uss_ray.errors import DataError
from uss_ray.pipelines.runtime.identity import RunIdentity, end_overwriting, open_run
from uss_ray.pipelines.training.pack_request import PackRequest
from uss_ray.results.index.table import RunFacts
from uss_ray.store.lease import hold_lease

_SHARD = re.compile(r"\d{5,}\.parquet")
OWNED: Final = Owned({PART_FOLDER: _SHARD, SHARD_FOLDER: _SHARD}, files=(PACK_NAME,))
"""What a pack is made of."""


def pack_here(
    request: PackRequest, *, on_progress: Callable[[float, float | None], None] | None = None
) -> PackManifest:
    """Pack in this process, without Ray; errors as of `packing_on_ray.pack_anchors`."""
    check_places(request)
    source, output = AnchorShards(request.anchor_store), request.output_store
    lost: list[Exception] = []
    with hold_lease(output, job="pack", shard=None, on_lost=lost.append):
        open_run(
            RunIdentity.of(request.anchors, run=run_facts(request, source), threads=1),
            output=output,
            owned=OWNED,
            overwrite=request.overwrite,
        )
        plan = plan_of(request, source)
        missing = [] if (output / PACK_NAME).exists() else missing_shards(output, shards=len(plan))
        for done, number in enumerate(missing, start=len(plan) - len(missing)):
            if lost:
                raise lost[0]
            write_packed_shard(source, plan.shard(number), pack=output)
            if on_progress is not None:
                on_progress(done + 1, len(plan))
        manifest = finish(request, source, shards=len(plan))
        end_overwriting(output)
        return manifest


def check_places(request: PackRequest) -> None:
    """Refuse places that cannot be packed from or to."""
    check_output(request.output_store)
    check_apart(request.anchor_store, request.output_store, folders=OWNED.folders)
    if not (request.anchor_store / MANIFEST_NAME).exists():
        raise DataError(request.anchors, expected="a finished mining run", found=f"no {MANIFEST_NAME}")


def run_facts(request: PackRequest, source: AnchorShards) -> RunFacts:
    """Tell what the bytes of a pack depend on."""
    manifest = source.manifest
    assert manifest is not None
    shards = "\n".join(f"{shard.name} {shard.sha256}" for shard in manifest.shards)
    settings = {
        "anchors_sha256": hashlib.sha256(shards.encode()).hexdigest(),
        **request.model_dump(mode="json", include={"shard_mebibytes", "seed"}),
    }
    text = canonical_json(settings)
    return RunFacts(
        run_id=hashlib.sha256(text.encode()).hexdigest()[:16],
        weights_name=manifest.weights_name,
        weights_sha256=manifest.weights_sha256,
        settings=text,
    )


def plan_of(request: PackRequest, source: AnchorShards) -> PackPlan:
    """Plan which anchors go into which shard."""
    return plan_pack(source.row_groups(), seed=request.seed, shard_bytes=request.shard_mebibytes << 20)


def finish(request: PackRequest, source: AnchorShards, *, shards: int) -> PackManifest:
    """Make one catalogue of the parts, unless that is done."""
    output = request.output_store
    if (output / PACK_NAME).exists():
        return read_pack_manifest(output.raising(DataError))
    manifest = finish_pack(output, shards=shards, source=source, seed=request.seed)
    remove_folder(output, PART_FOLDER, is_own=OWNED.folders[PART_FOLDER].fullmatch)
    return manifest
