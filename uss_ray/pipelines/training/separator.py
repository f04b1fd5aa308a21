"""Prepare the training of a separator: pack, vocabulary and weights that fit each other; find one that is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar, cast

import torch

from uss_ray.anchors.packed import PackManifest, read_pack_manifest
from uss_ray.anchors.packed_reader import PackedAnchors
from uss_ray.config import Location
from uss_ray.errors import DataError, WeightsError
from uss_ray.models.specifications import ClassListId
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.pipelines.training.prepared import Prepared
from uss_ray.pipelines.training.request import YOUNGER_FACTS, SeparatorTraining, defaults_of
from uss_ray.pipelines.training.run_folder import RunFolder
from uss_ray.pipelines.training.scores import measured_on
from uss_ray.pipelines.training.validation import SeparatorValidation, measured
from uss_ray.store.options import StoreOptions
from uss_ray.store.store import Store
from uss_ray.training.export import check_tagger, export_separator
from uss_ray.training.separator import SeparatorBatch, SeparatorTask
from uss_ray.weights.folder import known_classes_in
from uss_ray.weights.locate import load_weights, locate_weights

V = TypeVar("V")


def prepare_separator(request: SeparatorTraining, *, device: torch.device) -> Prepared[SeparatorBatch]:
    """Open the pack and the weights that mined it, and make the networks.

    Raises
    ------
    UssRayError
        If recipe, anchors and weights do not fit each other.
    """
    vocabulary = Vocabulary.load(ontology_path=request.ontology, classes_path=request.class_list)
    anchors = PackedAnchors(request.anchor_store, cache_bytes=request.cache_bytes)
    check_class_list(anchors, ClassListId.of(vocabulary.classes.ids))
    weights = load_weights(request.weights, storage=request.storage)
    tagger = check_tagger(weights, anchors)
    foreign = None
    if request.query_weights is not None:
        foreign = load_weights(request.query_weights, storage=request.storage)
        if foreign.tagger is None:
            raise WeightsError(f"weights {foreign.name}", expected="a tagger to hear queries", found="none")
    task = SeparatorTask(
        request.recipe,
        anchors,
        vocabulary=vocabulary,
        tagger=tagger,
        foreign=None if foreign is None else foreign.tagger,
        device=device,
    )
    folder = _folder(
        request,
        anchors=anchors.manifest,
        vocabulary=vocabulary,
        weights_sha256=weights.sha256,
        query_weights_sha256=None if foreign is None else foreign.sha256,
    )
    write = partial(export_separator, weights=weights, class_ids=vocabulary.classes.ids)
    validation = None
    if request.validation is not None:
        validation = SeparatorValidation(
            request.validation,
            anchors=anchors,
            vocabulary=vocabulary,
            folder=folder,
            export=lambda state, output: write(state, output, task=task.apart()),
            steps=request.recipe.fit.steps,
            checkpoint_steps=request.recipe.fit.checkpoint_steps,
            device=device,
        )
    return Prepared(
        task=task,
        settings=request.recipe.fit,
        lanes=request.recipe.plan.lanes,
        folder=folder,
        export=partial(write, task=task),
        load_data=(lambda: None) if validation is None else validation.load,
        validation=validation,
    )


class DoneBefore:
    """Tells whether runs that are there are those of requests, without their networks; what many name is read once."""

    def __init__(self) -> None:
        self._read: dict[tuple[object, ...], Any] = {}

    def differences(self, request: SeparatorTraining, validation: Mapping[str, Any]) -> list[str]:
        """Name what a run that is there was trained or scored on, where a request has something else.

        Parameters
        ----------
        request : SeparatorTraining
        validation : mapping
            Line of its validations.

        Raises
        ------
        UssRayError
            If anchors, weights or the list of the request cannot be read.
        """
        vocabulary = self._once(
            Vocabulary.load, ontology_path=request.ontology, classes_path=request.class_list
        )
        manifest = self._once(_manifest_at, request.anchors, request.storage)
        folder = _folder(
            request,
            anchors=manifest,
            vocabulary=vocabulary,
            weights_sha256=self._sha256_of(request.weights, request.storage),
            query_weights_sha256=None
            if request.query_weights is None
            else self._sha256_of(request.query_weights, request.storage),
        )
        found = [name for name, *_ in folder.differences()]
        asked = request.validation
        if asked is not None:
            now = self._once(measured, asked, vocabulary=vocabulary, segment_seconds=manifest.segment_seconds)
            then = measured_on(validation)
            found += [
                f"validation.{name}"
                for name in sorted(now.keys() | then.keys())
                if now.get(name) != then.get(name)
            ]
        return found

    def measured_on(self, request: SeparatorTraining, validation: Mapping[str, Any]) -> dict[str, Any]:
        """Give what a score was measured on, and the length and rate of what was separated, which the anchors have.

        Parameters
        ----------
        request : SeparatorTraining
        validation : mapping
            Line of its validations.

        Raises
        ------
        DataError
            If the anchors of the request cannot be read.
        """
        manifest = self._once(_manifest_at, request.anchors, request.storage)
        return measured_on(validation) | {
            "segment_seconds": manifest.segment_seconds,
            "sample_rate": manifest.sample_rate,
        }

    def _sha256_of(self, weights: Location, storage: StoreOptions) -> str:
        return self._once(known_classes_in, self._once(locate_weights, weights, storage=storage))[0]

    def _once(self, read: Callable[..., V], *of: object, **named: object) -> V:
        key = (read, *of, *named.values())
        if key not in self._read:
            self._read[key] = read(*of, **named)
        return cast("V", self._read[key])


def _manifest_at(anchors: Location, storage: StoreOptions) -> PackManifest:
    return read_pack_manifest(Store(anchors, storage, DataError))


def _folder(
    request: SeparatorTraining,
    *,
    anchors: PackManifest,
    vocabulary: Vocabulary,
    weights_sha256: str,
    query_weights_sha256: str | None,
) -> RunFolder:
    return RunFolder(
        request.run_store,
        identity=request.identity(
            anchors_sha256=anchors.data_sha256,
            weights_sha256=weights_sha256,
            class_list_sha256=ClassListId.of(vocabulary.classes.ids).sha256,
            ontology_sha256=vocabulary.ontology.sha256,
            query_weights_sha256=query_weights_sha256,
        ),
        seed=request.recipe.plan.seed,
        tensorboard=request.tensorboard,
        defaults=defaults_of(request.recipe) | YOUNGER_FACTS,
    )


def check_class_list(anchors: PackedAnchors, classes: ClassListId) -> None:
    """Refuse anchors whose class indexes mean other classes.

    Raises
    ------
    DataError
    """
    if anchors.manifest.class_list_sha256 != classes.sha256:
        raise DataError(
            str(anchors.root),
            expected=f"anchors of the class list with sha256 {classes.sha256[:12]}…",
            found=f"of one with {anchors.manifest.class_list_sha256[:12]}…",
        )
