"""How one run is told of; runs that end and runs that fail are tried with the whole ablation, next door."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.synthetic_set import SyntheticSet, training_of
from uss_ray.config import to_yaml
from uss_ray.errors import OutputError, TrainingError
from uss_ray.pipelines.training import ablation_arm
from uss_ray.pipelines.training.ablation_arm import finished_run, run_arm
from uss_ray.pipelines.training.ablation_request import Arm
from uss_ray.pipelines.training.request import SETTINGS_NAME
from uss_ray.pipelines.training.run_folder import VALIDATIONS_NAME
from uss_ray.training.recipe import LossSettings


@pytest.fixture
def arm(synthetic_set: SyntheticSet, tmp_path: Path) -> Arm:
    return Arm(name="base", seed=0, training=training_of(synthetic_set, tmp_path / "run"))


@pytest.mark.parametrize(
    "error", [TrainingError("loss", expected="a number", found="nan"), ValueError("odd")]
)
def test_a_run_that_fails_is_told_of(arm: Arm, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*_: object, **__: object) -> int:
        raise error

    monkeypatch.setattr(ablation_arm, "train_here", train)
    found = run_arm(arm, is_stopping=lambda: False)
    assert (found.arm, found.seed, found.state, found.step, found.error) == (
        "base",
        0,
        "failed",
        0,
        str(error),
    )


def test_a_folder_that_cannot_be_written_ends_all(arm: Arm, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*_: object, **__: object) -> int:
        raise OutputError("run", expected="room", found="none")

    monkeypatch.setattr(ablation_arm, "train_here", train)
    with pytest.raises(OutputError):
        run_arm(arm, is_stopping=lambda: False)


def test_a_run_that_is_stopped_before_it_began_is_not_finished(
    arm: Arm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablation_arm, "train_here", lambda *_, **__: 0)
    assert finished_run(arm) is None
    assert run_arm(arm, is_stopping=lambda: True).state == "stopped"


def test_a_finished_run_of_another_recipe_is_not_taken_for_this_one(
    arm: Arm, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, steps = arm.training.run_store, arm.training.recipe.fit.steps
    monkeypatch.setattr(ablation_arm, "_step", lambda _: steps)
    (run / VALIDATIONS_NAME).put(json.dumps({"step": steps, "sdri_db": 2.0}).encode())
    other = arm.training.recipe.replace(loss=LossSettings(kind="snr"))
    for recipe, is_the_same in ((other, False), (arm.training.recipe, True)):
        (run / SETTINGS_NAME).put(to_yaml(arm.training.replace(recipe=recipe)).encode())
        assert (finished_run(arm) is not None) == is_the_same
