"""How one run is told of; runs that end and runs that fail are tried with the whole ablation, next door."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.synthetic_set import SyntheticSet, make_held_out, make_synthetic_set, training_of
from uss_ray.config import to_yaml
from uss_ray.errors import OutputError, TrainingError
from uss_ray.pipelines.training import ablation_arm
from uss_ray.pipelines.training.ablation_arm import finished_run, run_arm
from uss_ray.pipelines.training.ablation_request import Arm
from uss_ray.pipelines.training.request import SETTINGS_NAME
from uss_ray.pipelines.training.run_folder import VALIDATIONS_NAME
from uss_ray.pipelines.training.separator import DoneBefore, prepare_separator
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
    assert finished_run(arm, DoneBefore()) is None
    assert run_arm(arm, is_stopping=lambda: True).state == "stopped"


def test_a_finished_run_of_another_recipe_is_not_taken_for_this_one(
    arm: Arm, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(arm, monkeypatch)
    run = arm.training.run_store
    other = arm.training.recipe.replace(loss=LossSettings(kind="snr"))
    for recipe, is_the_same in ((other, False), (arm.training.recipe, True)):
        (run / SETTINGS_NAME).put(to_yaml(arm.training.replace(recipe=recipe)).encode())
        assert (finished_run(arm, DoneBefore()) is not None) == is_the_same


def finish(arm: Arm, monkeypatch: pytest.MonkeyPatch, **measured: object) -> None:
    """Leave what a finished run of an arm leaves, as far as it is asked for."""
    steps = arm.training.recipe.fit.steps
    monkeypatch.setattr(ablation_arm, "_step", lambda _: steps)
    prepare_separator(arm.training, device=torch.device("cpu")).folder.open(arm.training)
    line = {"step": steps, "sdri_db": 2.0, **measured}
    (arm.training.run_store / VALIDATIONS_NAME).put(json.dumps(line).encode())


def test_a_finished_run_on_other_anchors_weights_or_classes_is_not_taken_for_this_one(
    arm: Arm, synthetic_set: SyntheticSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(arm, monkeypatch)
    assert finished_run(arm, DoneBefore()) is not None
    other = make_synthetic_set(tmp_path, count=6)
    nodes = json.loads(synthetic_set.ontology.read_text())
    nodes[0]["child_ids"] = [nodes[1]["id"]]
    (tmp_path / "deeper.json").write_text(json.dumps(nodes))
    for changed in (
        {"anchors": str(other.pack)},
        {"anchors": str(tmp_path / "none")},
        {"weights": str(tmp_path / "none")},
        {"ontology": str(tmp_path / "deeper.json")},
        {"query_weights": str(other.weights)},
    ):
        asked = Arm(name="base", seed=0, training=arm.training.replace(**changed))
        assert finished_run(asked, DoneBefore()) is None, changed
    # The same in another place is the same.
    moved = shutil.copytree(synthetic_set.pack, tmp_path / "moved")
    asked = Arm(name="base", seed=0, training=arm.training.replace(anchors=str(moved)))
    assert finished_run(asked, DoneBefore()) is not None


def test_a_finished_run_that_was_scored_on_another_list_is_not_taken_for_this_one(
    arm: Arm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validation = make_held_out(tmp_path / "held")
    assert validation.pairs is not None
    arm = Arm(name="base", seed=0, training=arm.training.replace(validation=validation))
    list_sha256 = hashlib.sha256(Path(validation.pairs).read_bytes()).hexdigest()
    finish(arm, monkeypatch, query="class-mean", list_sha256=list_sha256)
    found = finished_run(arm, DoneBefore())
    assert found is not None
    assert found.measured_on == {
        "query": "class-mean",
        "list_sha256": list_sha256,
        "segment_seconds": 0.5,
        "sample_rate": 8000,
    }
    asked = Arm("base", 0, arm.training.replace(validation=validation.replace(query="oracle")))
    assert finished_run(asked, DoneBefore()) is None
    lines = Path(validation.pairs).read_text().splitlines(keepends=True)
    Path(validation.pairs).write_text("".join(lines[:-1]))
    assert finished_run(arm, DoneBefore()) is None
