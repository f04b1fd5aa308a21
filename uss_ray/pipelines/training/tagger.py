"""Prepare the training of a tagger: clips that are held in memory, and a pack of anchors where one is named."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from uss_ray.anchors.packed_reader import PackedAnchors
from uss_ray.datasets.clips import LoadedClips, label_matrix
from uss_ray.datasets.segments import ClipRecord, read_segments
from uss_ray.errors import DataError
from uss_ray.models.specifications import ClassListId
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.pipelines.training.prepared import Prepared
from uss_ray.pipelines.training.request import YOUNGER_FACTS, TaggerTraining, defaults_of
from uss_ray.pipelines.training.run_folder import RunFolder
from uss_ray.pipelines.training.separator import check_class_list
from uss_ray.pipelines.training.tagger_validation import TaggerValidation, check_clips_held_out
from uss_ray.store.options import StoreOptions
from uss_ray.store.store import Store
from uss_ray.training.export import export_tagger
from uss_ray.training.tagger import AnchorLabels, TaggerBatch, TaggerTask


def prepare_tagger(request: TaggerTraining, *, device: torch.device) -> Prepared[TaggerBatch]:
    """Read the labels, open the anchors, and make the network.

    Raises
    ------
    UssRayError
        If recipe, clips and anchors do not fit each other.
    """
    recipe = request.recipe
    vocabulary = Vocabulary.load(ontology_path=request.ontology, classes_path=request.class_list)
    classes = ClassListId.of(vocabulary.classes.ids)
    anchors = None
    if request.anchor_store is not None:
        anchors = PackedAnchors(request.anchor_store, cache_bytes=request.cache_bytes)
        check_class_list(anchors, classes)
    records = _records(request.segments, vocabulary, storage=request.storage)
    clips = _Clips(request, request.audio, records, classes=len(vocabulary.classes))
    task = TaggerTask(
        recipe, clips, anchors=None if anchors is None else AnchorLabels(anchors, vocabulary), device=device
    )
    known = np.array(clips.labels.any(axis=0))
    if anchors is not None:
        known[anchors.catalogue.classes] = True
    folder = RunFolder(
        request.run_store,
        identity=request.identity(
            labels_sha256=hashlib.sha256(np.ascontiguousarray(clips.labels).tobytes()).hexdigest(),
            clips_sha256=_sha256_of(records),
            class_list_sha256=classes.sha256,
            anchors_sha256=None if anchors is None else anchors.manifest.data_sha256,
            ontology_sha256=None if anchors is None else vocabulary.ontology.sha256,
        ),
        seed=recipe.plan.seed,
        tensorboard=request.tensorboard,
        defaults=defaults_of(request.recipe) | YOUNGER_FACTS,
    )
    write = partial(
        export_tagger,
        segment_seconds=request.segment_seconds,
        class_ids=vocabulary.classes.ids,
        known_classes=np.flatnonzero(known).tolist(),
    )
    heard = [clips]
    validation = None
    if request.validation is not None:
        asked = request.validation
        held_out = _records(asked.segments, vocabulary, storage=request.storage)
        check_clips_held_out(held_out, records, anchors, settings=asked)
        heard.append(_Clips(request, asked.audio, held_out, classes=len(vocabulary.classes)))
        validation = TaggerValidation(
            asked,
            heard[-1],
            class_ids=vocabulary.classes.ids,
            folder=folder,
            export=lambda state, output: write(state, output, task=task.apart()),
            fit=recipe.fit,
            device=device,
        )
    return Prepared(
        task=task,
        settings=recipe.fit,
        lanes=recipe.plan.lanes,
        folder=folder,
        export=partial(write, task=task),
        load_data=lambda: _load(heard),
        validation=validation,
    )


def _load(heard: Iterable[_Clips]) -> None:
    for clips in heard:
        clips.load()


class _Clips:
    """Clips whose labels are known at once, and whose sound is decoded when a run begins."""

    def __init__(
        self, request: TaggerTraining, audio: str, records: Sequence[ClipRecord], *, classes: int
    ) -> None:
        self._request, self._audio, self._records = request, audio, records
        self._loaded: LoadedClips | None = None
        self.samples = round(request.clip_seconds * request.recipe.tagger.sample_rate)
        self.labels = label_matrix(records, classes=classes)

    def load(self) -> None:
        """Decode them all."""
        request = self._request
        self._loaded = LoadedClips.load(
            self._records,
            Store(self._audio, request.storage, DataError),
            classes=self.labels.shape[1],
            sample_rate=request.recipe.tagger.sample_rate,
            clip_seconds=request.clip_seconds,
        )

    def waveform(self, clips: NDArray[np.int64], /) -> NDArray[np.float32]:
        """Give some, of shape (clips, samples), in [-1, 1]."""
        assert self._loaded is not None  # whoever trains has loaded the data
        return self._loaded.waveform(clips)


def _records(segments: Sequence[str], vocabulary: Vocabulary, *, storage: StoreOptions) -> list[ClipRecord]:
    class_index = {class_id: index for index, class_id in enumerate(vocabulary.classes.ids)}
    records = _merged(
        record
        for place in segments
        for record in read_segments(Store(place, storage, DataError), class_index=class_index)
    )
    if not records:
        raise DataError(segments[0], expected="labelled clips", found="none")
    return records


def _sha256_of(records: Iterable[ClipRecord]) -> str:
    """Name clips by their ids and times, in their order: what is drawn is a place in it."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(f"{record.clip_id}\0{record.start_seconds!r}\0{record.end_seconds!r}\n".encode())
    return digest.hexdigest()


def _merged(records: Iterable[ClipRecord]) -> list[ClipRecord]:
    """Take each clip once, with the labels of all the files that it is in."""
    labels: dict[tuple[str, float, float], set[int]] = {}
    for record in records:
        key = record.clip_id, record.start_seconds, record.end_seconds
        labels.setdefault(key, set()).update(record.class_indexes)
    return [ClipRecord(*key, tuple(sorted(indexes))) for key, indexes in labels.items()]
