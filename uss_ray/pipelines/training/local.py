"""Train in this process, without Ray."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from uss_ray.models.device import find_device
from uss_ray.pipelines.training.checkpoints import check_room
from uss_ray.pipelines.training.request import Training
from uss_ray.pipelines.training.worker import fit, prepare
from uss_ray.store.lease import hold_lease
from uss_ray.training.world import World


def train_here(
    request: Training,
    *,
    is_stopping: Callable[[], bool] = lambda: False,
    on_step: Callable[[int, Mapping[str, float]], None] = lambda *_: None,
    say: Callable[[str], None] = lambda _: None,
) -> int:
    """Train, or go on where an earlier run of the same request ended.

    Parameters
    ----------
    request : SeparatorTraining or TaggerTraining
    is_stopping : callable, optional
        Asked after each step; where it is true, the run ends with a checkpoint.
    on_step : callable, optional
        Told of each line of the metrics.
    say : callable, optional
        Told in words that a validation begins, and what it found.

    Returns
    -------
    int
        Steps that are done.

    Raises
    ------
    UssRayError
        If recipe, anchors, weights and the run's folder do not fit each other: before any work. Later if a loss is not
        finite, or the run's folder cannot be written.
    """
    prepared = prepare(request, device=find_device(request.device))
    prepared.folder.check()
    check_room(request.run_store, prepared.task.module, prepared.settings)
    prepared.load_data()
    lost: list[Exception] = []
    with hold_lease(request.run_store, job="train", shard=None, on_lost=lost.append):
        prepared.folder.open(request)
        done = fit(
            prepared,
            world=World(),
            is_stopping=lambda: bool(lost) or is_stopping(),
            on_step=on_step,
            say=say,
        )
    if lost:
        raise lost[0]
    return done
