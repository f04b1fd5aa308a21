"""What a mining run is about: its labels, its identity and its manifest, the same with Ray and without."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from functools import partial

import numpy as np

from uss_ray.anchors.manifest import MiningManifest
from uss_ray.config import canonical_json
from uss_ray.datasets.segment_table import SegmentTable
from uss_ray.errors import DataError
from uss_ray.models.specifications import ClassListId
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.pipelines.mining.clips import shared_names
from uss_ray.pipelines.mining.request import MiningRequest
from uss_ray.results.index.table import RunFacts
from uss_ray.store.store import Store
from uss_ray.weights.folder import Weights

logger = logging.getLogger(__name__)


def check_labels(request: MiningRequest) -> None:
    """Find out before any work whether the segment CSVs are there; they are read on a worker.

    Raises
    ------
    DataError
        If one is missing or its store cannot be asked.
    """
    for place in _segment_files(request):
        if not place.exists():
            raise DataError(str(place), expected="a segment CSV", found="no such file, folder or bucket")


def _segment_files(request: MiningRequest) -> list[Store]:
    return [Store(place, request.storage, DataError) for place in request.segments]


def load_labels(request: MiningRequest, vocabulary: Vocabulary) -> tuple[SegmentTable, str]:
    """Read the segment CSVs; give the table and its sha256."""
    class_index = {class_id: index for index, class_id in enumerate(vocabulary.classes.ids)}
    table = SegmentTable.load(_segment_files(request), class_index=class_index)
    digest = hashlib.sha256()
    for array in (
        table.clip_ids,
        table.start_seconds,
        table.end_seconds,
        table.label_offsets,
        table.label_indexes,
    ):
        digest.update(np.ascontiguousarray(array).tobytes())
    shared = shared_names(table)
    if shared:
        logger.warning(
            "%s: excerpts of one recording that begin within a millisecond give their anchors one name, here and in %d "
            "more places; nobody can tell these anchors apart",
            shared[0],
            len(shared) - 1,
        )
    return table, digest.hexdigest()


def run_facts(
    request: MiningRequest, *, weights: Weights, vocabulary: Vocabulary, segments_sha256: str
) -> RunFacts:
    """Say what shapes the anchors of a run."""
    settings = request.described(
        segments_sha256=segments_sha256, class_list_sha256=ClassListId.of(vocabulary.classes.ids).sha256
    )
    return RunFacts(
        run_id=hashlib.sha256(f"{weights.sha256}\n{canonical_json(settings)}".encode()).hexdigest()[:16],
        weights_name=weights.name,
        weights_sha256=weights.sha256,
        settings=canonical_json(settings),
    )


def manifest_maker(
    request: MiningRequest, *, weights: Weights, vocabulary: Vocabulary
) -> Callable[..., MiningManifest]:
    """Give `MiningManifest.of` with all but shards, rejects and clips."""
    return partial(
        MiningManifest.of,
        weights_name=weights.name,
        weights_sha256=weights.sha256,
        class_list_sha256=ClassListId.of(vocabulary.classes.ids).sha256,
        settings=request.settings.model_dump(mode="json"),
        sample_rate=weights.specifications.sample_rate,
    )
