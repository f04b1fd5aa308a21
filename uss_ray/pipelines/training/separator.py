"""Prepare the training of a separator: pack, vocabulary and weights that fit each other."""

from __future__ import annotations

from functools import partial

import torch

from uss_ray.anchors.packed_reader import PackedAnchors
from uss_ray.errors import DataError, WeightsError
from uss_ray.models.specifications import ClassListId
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.pipelines.training.prepared import Prepared
from uss_ray.pipelines.training.request import SeparatorTraining, defaults_of
from uss_ray.pipelines.training.run_folder import RunFolder
from uss_ray.pipelines.training.validation import SeparatorValidation
from uss_ray.training.export import check_tagger, export_separator
from uss_ray.training.separator import SeparatorBatch, SeparatorTask
from uss_ray.weights.locate import load_weights


def prepare_separator(request: SeparatorTraining, *, device: torch.device) -> Prepared[SeparatorBatch]:
    """Open the pack and the weights that mined it, and make the networks.

    Raises
    ------
    UssRayError
        If recipe, anchors and weights do not fit each other.
    """
    vocabulary = Vocabulary.load(ontology_path=request.ontology, classes_path=request.class_list)
    anchors = PackedAnchors(request.anchor_store, cache_bytes=request.cache_bytes)
    classes = ClassListId.of(vocabulary.classes.ids)
    check_class_list(anchors, classes)
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
    folder = RunFolder(
        request.run_store,
        identity=request.identity(
            anchors_sha256=anchors.manifest.data_sha256,
            weights_sha256=weights.sha256,
            class_list_sha256=classes.sha256,
            query_weights_sha256=None if foreign is None else foreign.sha256,
        ),
        seed=request.recipe.plan.seed,
        tensorboard=request.tensorboard,
        defaults=defaults_of(request.recipe),
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
