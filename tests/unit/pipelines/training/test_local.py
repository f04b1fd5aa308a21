from __future__ import annotations

from pathlib import Path

import pytest

from tests.synthetic_set import SyntheticSet, training_of
from uss_ray.errors import ConfigError, DataError, OutputError, TrainingError, WeightsError
from uss_ray.pipelines.training.local import train_here
from uss_ray.pipelines.training.progress import look_at
from uss_ray.pipelines.training.request import read_request
from uss_ray.store.store import Store


def test_another_recipe_or_pack_on_the_same_run_is_refused(
    synthetic_set: SyntheticSet, tmp_path: Path
) -> None:
    train_here(training_of(synthetic_set, tmp_path / "run"))
    with pytest.raises(ConfigError, match=r"expected recipe\.loss\.kind l1-relative"):
        train_here(training_of(synthetic_set, tmp_path / "run", loss={"kind": "l1"}))
    assert train_here(training_of(synthetic_set, tmp_path / "run", fit={"log_steps": 1})) == 6


def test_a_loss_that_is_not_finite_is_told_and_shown(synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    wild = {"fit": {"optimiser": {"learning_rate": 1e30, "clip_norm": None, "schedule": "constant"}}}
    with pytest.raises(TrainingError, match="training step 1: expected a finite loss"):
        train_here(training_of(synthetic_set, tmp_path / "run", **wild))
    assert look_at(Store(tmp_path / "run")).state.startswith(
        "Stopped at a loss that is not finite (bad_batch-"
    )


def test_what_does_not_fit_is_refused_before_any_work(synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    request = training_of(synthetic_set, tmp_path / "run")
    with pytest.raises(WeightsError, match="expected ear, which mined"):
        train_here(request.replace(weights="starter"))
    with pytest.raises(DataError, match="expected anchors of the class list"):
        train_here(request.replace(ontology=None, class_list=None))
    with pytest.raises(DataError, match="expected a finished pack"):
        train_here(request.replace(anchors=str(synthetic_set.anchors)))
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").rglob("*.json"))
    with pytest.raises(DataError, match="expected a training run"):
        read_request(Store(tmp_path / "none", error=OutputError))
