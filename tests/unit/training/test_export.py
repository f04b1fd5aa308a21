from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.kept_run import Kept
from tests.synthetic_set import SyntheticSet, small_recipe
from uss_ray.errors import WeightsError
from uss_ray.training.export import check_tagger, export_separator
from uss_ray.training.fit import Fit
from uss_ray.training.separator import SeparatorTask
from uss_ray.weights.folder import read_folder, save_weights, specify


def trained(synthetic_set: SyntheticSet, **values: object) -> tuple[SeparatorTask, Kept]:
    task = SeparatorTask(small_recipe(**values), synthetic_set.open(), vocabulary=synthetic_set.vocabulary)
    keeper = Kept()
    Fit(task, settings=task.recipe.fit, lanes=range(2), lane_count=2, keeper=keeper).run()
    return task, keeper


def export(synthetic_set: SyntheticSet, task: SeparatorTask, keeper: Kept, output: Path):
    return read_folder(
        export_separator(
            keeper.states[-1],
            output,
            task=task,
            weights=read_folder(synthetic_set.weights),
            class_ids=synthetic_set.vocabulary.classes.ids,
        )
    )


def test_exported_weights_load_and_say_what_they_are(synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    task, keeper = trained(synthetic_set)
    weights = export(synthetic_set, task, keeper, tmp_path / "weights")
    weights.check_classes(synthetic_set.vocabulary.classes.ids)
    assert weights.class_means is not None
    assert weights.class_means[1].numpy() == pytest.approx(task.class_means[1], abs=1e-6)
    assert weights.specifications.segment_seconds == 0.5
    assert weights.specifications.training_rms_dbfs == (-35.0, -15.0)
    assert weights.source is not None
    assert (weights.source["step"], weights.source["anchors"]) == (6, 160)
    assert weights.source["anchors_sha256"] == task.anchors.manifest.data_sha256
    card = (tmp_path / "weights" / "MODEL_CARD.md").read_text()
    assert "160 anchors of 0.5 s" in card
    assert "6 steps of 4 items" in card


def test_the_average_is_what_is_exported(synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    task, keeper = trained(synthetic_set, fit={"ema_decay": 0.9})
    weights = export(synthetic_set, task, keeper, tmp_path / "weights")
    mean, last = (
        states["separator.film.shift.weight"] for states in (keeper.states[-1].ema, keeper.states[-1].model)
    )
    stored = weights.separator.film.shift.weight  # type: ignore[union-attr]
    assert torch.allclose(stored, mean, atol=1e-3)
    assert not torch.equal(mean, last)


def test_class_means_go_through_the_adaptor(synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    adaptor = {"bottleneck_size": 4, "hidden_size": 6, "condition_size": 5}
    task, keeper = trained(synthetic_set, query={"adaptor": adaptor}, separator={"condition_size": 5})
    weights = export(synthetic_set, task, keeper, tmp_path / "weights")
    assert weights.class_means is not None
    assert weights.query_net is not None
    with torch.no_grad():
        adapted = weights.query_net.adapt(torch.from_numpy(task.class_means[2])[None])[0]
    assert np.allclose(weights.class_means[2].numpy(), adapted.numpy(), atol=1e-2)


def test_a_tagger_that_did_not_mine_is_refused(synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    task, _ = trained(synthetic_set)
    ear = read_folder(synthetic_set.weights)
    networks = {"tagger": ear.tagger}
    other = save_weights(
        tmp_path / "other", networks, name="other", specifications=specify(networks, segment_seconds=1.0)
    )
    with pytest.raises(WeightsError, match="weights other: expected ear, which mined"):
        check_tagger(read_folder(other), task)
