from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from uss_ray.cli.calibrate import COMMAND
from uss_ray.models.specifications import ClassCalibration
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.weights.folder import read_folder, save_calibrated


@pytest.fixture
def corrections(tiny_weights: Path, tmp_path: Path) -> Path:
    """Somebody has heard 120 recordings: dogs below 0.8 are none, whatever the threshold says."""
    sha256 = read_folder(tiny_weights).sha256
    rng = np.random.default_rng(3)

    def said(number: int) -> dict[str, Any]:
        probability = float(rng.uniform(0.3, 1.0))
        return {
            "recording_id": f"{number}.wav",
            "node_id": "/m/0bt9lr",
            "label": "Dog",
            "verdict": "right" if probability > 0.8 else "wrong",
            "status": "written",
            "probability": probability,
            "weights_sha256": sha256,
            "noted_at": "2026-01-01T12:00:00.000Z",
        }

    path = tmp_path / "corrections.json"
    told = {"format": "uss-ray-corrections", "version": 1, "corrections": [said(n) for n in range(120)]}
    path.write_text(json.dumps(told))
    return path


def test_corrections_of_a_page_make_weights_that_bring_a_calibration(
    command, corrections, tiny_weights, tmp_path
):
    line = ["calibrate", "--corrections", corrections, "--weights", tiny_weights, "-o", tmp_path / "better"]
    ran = command(*line)
    assert ran.exit_code == 0, ran.err
    assert "120 of 120 corrections are of classes and of these weights" in ran.err
    assert "one for all *" in ran.out
    before, after = read_folder(tiny_weights), read_folder(tmp_path / "better")
    kept = {one.class_index: one for one in after.specifications.calibration}
    dog = kept[Vocabulary.load().classes.index("/m/0bt9lr")]
    assert kept.keys() == set(range(527))
    assert {one.threshold for one in kept.values()} == {dog.threshold}, "one for all is for all"
    calibrated = 1 / (1 + np.exp(-(dog.slope * np.log(0.8 / 0.2) + dog.offset)))
    assert dog.threshold == pytest.approx(calibrated, abs=0.2)
    assert after.sha256 != before.sha256
    for one, other in zip(
        after.networks["tagger"].parameters(), before.networks["tagger"].parameters(), strict=True
    ):
        np.testing.assert_array_equal(one.detach().numpy(), other.detach().numpy())
    again = command(*line[:-3], tmp_path / "better", "--json")
    assert again.exit_code == 7, "corrections are of the weights that said so"


def test_where_nothing_is_better_no_weights_are_written(command, corrections, tiny_weights, tmp_path):
    told = json.loads(corrections.read_text())
    rng = np.random.default_rng(4)
    for one in told["corrections"]:
        one["verdict"] = "right" if rng.uniform() < one["probability"] else "wrong"
    corrections.write_text(json.dumps(told))
    ran = command(
        "calibrate", "--corrections", corrections, "--weights", tiny_weights, "-o", tmp_path / "no", "--json"
    )
    assert ran.exit_code == 0, ran.err
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert [row["thresholds"] for row in rows if row["is_chosen"]] == ["given"]
    assert "Nothing is better than the weights as they are" in ran.err
    assert not (tmp_path / "no").exists()


def test_something_to_compare_with_is_needed(command):
    ran = command("calibrate", "-o", "x")
    assert (ran.exit_code, ran.out) == (2, "")
    assert "expected --data or --corrections, found neither" in ran.err


def test_weights_that_are_there_stay_before_anything_is_heard(command, tiny_weights):
    ran = command("calibrate", "--data", "nowhere", "-o", tiny_weights)
    assert ran.exit_code == 6
    assert "expected no weights yet" in ran.err


@pytest.mark.parametrize(
    ("is_other", "found"), [(True, "120, 120 of them of other weights"), (False, "none at all")]
)
def test_corrections_that_say_nothing_of_these_weights_are_told_as_such(
    command, corrections, tiny_weights, is_other, found
):
    told = json.loads(corrections.read_text())
    if is_other:
        told["corrections"] = [one | {"weights_sha256": "ab"} for one in told["corrections"]]
    else:
        told["corrections"] = []
    corrections.write_text(json.dumps(told))
    ran = command("calibrate", "--corrections", corrections, "--weights", tiny_weights)
    assert ran.exit_code == 7
    assert "expected some of classes and of these weights" in ran.err
    assert f"found {found}" in ran.err


def test_weights_that_bring_a_calibration_are_judged_by_it_and_lose_none_of_it(
    command, corrections, tiny_weights, tmp_path
):
    classes = Vocabulary.load().classes
    dog, rain, piano = (classes.index(node_id) for node_id in ("/m/0bt9lr", "/m/06mb1", "/m/05r5c"))
    brought = {
        dog: ClassCalibration(class_index=dog, slope=0.5, offset=-2.0, threshold=0.8),
        rain: ClassCalibration(class_index=rain, slope=0.8, offset=-0.5, threshold=0.15),
    }
    calibrated = tmp_path / "calibrated"
    save_calibrated(calibrated, read_folder(tiny_weights), calibration=tuple(brought.values()))
    told = json.loads(corrections.read_text())
    for one in told["corrections"]:
        one["weights_sha256"] = read_folder(calibrated).sha256
    line = ["calibrate", "--corrections", corrections, "--weights", calibrated]

    corrections.write_text(json.dumps(told))  # what is there begins where the weights say
    ran = command(*line, "--json")
    assert ran.exit_code == 0, ran.err
    now = json.loads(ran.out.splitlines()[0])
    assert (now["thresholds"], now["f1"]) == ("given", 1.0)

    for one in told["corrections"]:
        one["verdict"] = "right" if one["probability"] > 0.6 else "wrong"
    corrections.write_text(json.dumps(told))
    ran = command(*line, "-o", tmp_path / "new")
    assert ran.exit_code == 0, ran.err
    assert f"{calibrated}: 120 probabilities" in ran.err
    assert "one for all *" in ran.out
    kept = {one.class_index: one for one in read_folder(tmp_path / "new").specifications.calibration}
    assert kept[rain].slope == pytest.approx(0.8 * kept[piano].slope, rel=1e-5)
    assert kept[dog].threshold == kept[rain].threshold == kept[piano].threshold


def test_clips_may_lie_in_a_store() -> None:
    asked, _ = COMMAND.read(["--data", "s3://b/x", "s3://b/y"])
    assert asked.data == ("s3://b/x", "s3://b/y")
