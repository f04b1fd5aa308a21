"""What each worker of a training run does, with Ray or without: open the data, make the task, fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from uss_ray.anchors.packed_reader import PackedAnchors
from uss_ray.errors import ConfigError, DataError
from uss_ray.models.specifications import ClassListId
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.pipelines.training.checkpoints import choose_checkpoint, read_checkpoint
from uss_ray.pipelines.training.request import SeparatorTraining
from uss_ray.pipelines.training.run_folder import RunFolder
from uss_ray.training.export import check_tagger, export_separator
from uss_ray.training.fit import Fit
from uss_ray.training.plan import lanes_of_worker
from uss_ray.training.separator import SeparatorTask
from uss_ray.training.world import World
from uss_ray.weights.folder import Weights
from uss_ray.weights.locate import load_weights


@dataclass(frozen=True, eq=False)
class Prepared:
    """A run that can begin.

    Parameters
    ----------
    task : SeparatorTask
    folder : RunFolder
        Opened.
    weights : Weights
        Those that mined.
    vocabulary : Vocabulary
    """

    task: SeparatorTask
    folder: RunFolder
    weights: Weights
    vocabulary: Vocabulary


def prepare(request: SeparatorTraining, *, device: torch.device) -> Prepared:
    """Open data and networks, and check that they fit each other and what is in the run's folder.

    Raises
    ------
    UssRayError
        If they do not: before any work.
    """
    vocabulary = Vocabulary.load(ontology_path=request.ontology, classes_path=request.class_list)
    anchors = PackedAnchors(request.anchor_store, cache_bytes=request.cache_bytes)
    classes = ClassListId.of(vocabulary.classes.ids)
    if anchors.manifest.class_list_sha256 != classes.sha256:
        raise DataError(
            str(anchors.root),
            expected=f"anchors of the class list with sha256 {classes.sha256[:12]}…",
            found=f"of one with {anchors.manifest.class_list_sha256[:12]}…",
        )
    task = SeparatorTask(request.recipe, anchors, vocabulary=vocabulary, device=device)
    weights = load_weights(request.weights, storage=request.storage)
    check_tagger(weights, task)
    folder = RunFolder(
        request.run_store,
        identity=request.identity(
            anchors_sha256=anchors.manifest.data_sha256,
            weights_sha256=weights.sha256,
            class_list_sha256=classes.sha256,
        ),
        seed=request.recipe.plan.seed,
    )
    return Prepared(task=task, folder=folder, weights=weights, vocabulary=vocabulary)


def fit(
    prepared: Prepared,
    *,
    world: World,
    is_stopping: Callable[[], bool] = lambda: False,
    on_step: Callable[[int, Mapping[str, float]], None] = lambda *_: None,
) -> int:
    """Train this worker's lanes to the end; give the steps that are done."""
    recipe = prepared.task.recipe
    run = Fit(
        prepared.task,
        settings=recipe.fit,
        lanes=lanes_of_worker(recipe.plan.lanes, worker=world.rank, workers=world.size),
        lane_count=recipe.plan.lanes,
        keeper=prepared.folder,
        device=prepared.task.device,
        world=world,
    )
    return run.run(is_stopping=is_stopping, on_step=on_step)


def export(
    request: SeparatorTraining, output: Path, *, step: int | None = None, prepared: Prepared | None = None
) -> Path:
    """Write the weights folder of a run's checkpoint.

    Raises
    ------
    UssRayError
        If there is no such checkpoint, or data or weights are not there any more.
    """
    prepared = prepared or prepare(request, device=torch.device("cpu"))
    _, state = read_checkpoint(choose_checkpoint(request.run_store, step))
    return export_separator(
        state,
        output,
        task=prepared.task,
        weights=prepared.weights,
        class_ids=prepared.vocabulary.classes.ids,
    )


def choose_device(device: str) -> torch.device:
    """Find the device that is asked for.

    Raises
    ------
    ConfigError
        If there is no GPU and one is asked for.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device cuda", expected="a GPU on this machine", found="none")
    return torch.device(device)
