"""Train a tagger in this process, from clips that are held in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from uss_ray.errors import OutputError
from uss_ray.models.specifications import ClassListId
from uss_ray.pipelines.runtime.lease import hold_lease
from uss_ray.pipelines.training.checkpoints import choose_checkpoint, read_checkpoint
from uss_ray.pipelines.training.run_folder import RunFolder
from uss_ray.pipelines.training.worker import choose_device
from uss_ray.store.store import Store
from uss_ray.training.export import export_tagger
from uss_ray.training.fit import Fit
from uss_ray.training.tagger import TaggerRecipe, TaggerTask, WeakClips


def train_tagger_here(
    recipe: TaggerRecipe,
    clips: WeakClips,
    *,
    run: str,
    output: Path,
    segment_seconds: float,
    class_ids: Sequence[str],
    known_classes: Sequence[int],
    device: str = "auto",
) -> Path:
    """Train a tagger, or go on where an earlier run ended, and write its weights folder.

    Parameters
    ----------
    recipe : TaggerRecipe
    clips : WeakClips
    run : str
        Folder or URI of the run.
    output : Path
        Weights folder to write.
    segment_seconds, class_ids, known_classes
        See `export_tagger`.
    device : {"auto", "cpu", "cuda"}, default="auto"

    Raises
    ------
    UssRayError
        As `train_here`.
    """
    place = Store(run, error=OutputError)
    task = TaggerTask(recipe, clips, device=choose_device(device))
    identity = {
        "recipe": recipe.model_dump(mode="json"),
        "labels_sha256": hashlib.sha256(np.ascontiguousarray(clips.labels).tobytes()).hexdigest(),
        "class_list_sha256": ClassListId.of(class_ids).sha256,
    }
    folder = RunFolder(place, identity=identity, seed=recipe.plan.seed)
    with hold_lease(place, job="train", shard=None, on_lost=lambda _: None):
        folder.open(recipe)
        Fit(
            task,
            settings=recipe.fit,
            lanes=range(recipe.plan.lanes),
            lane_count=recipe.plan.lanes,
            keeper=folder,
            device=task.device,
        ).run()
    _, state = read_checkpoint(choose_checkpoint(place, None))
    return export_tagger(
        state,
        output,
        task=task,
        segment_seconds=segment_seconds,
        class_ids=class_ids,
        known_classes=known_classes,
    )
