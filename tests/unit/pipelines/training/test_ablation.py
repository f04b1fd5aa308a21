from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.synthetic_set import SyntheticSet, make_held_out, training_of
from uss_ray.config import to_yaml
from uss_ray.errors import OutputError
from uss_ray.pipelines.training import ablation_arm
from uss_ray.pipelines.training.ablation import ablate
from uss_ray.pipelines.training.ablation_request import AblationOptions, AblationRequest
from uss_ray.pipelines.training.ablation_table import RunOutcome
from uss_ray.pipelines.training.checkpoints import find_checkpoints
from uss_ray.store.store import Store

OVERLAYS = {
    "snr": "request: {recipe: {loss: {kind: snr}}}",
    "wild": "request: {recipe: {fit: {optimiser: {learning_rate: 1.0e+30, clip_norm: null, schedule: constant}}}}",
}


CHILD = """
import os, signal, sys
from uss_ray.pipelines.training import ablation, ablation_arm
from uss_ray.pipelines.training.ablation_request import AblationOptions, AblationRequest
train = ablation_arm.train_here

def die(step, _):
    if step >= 9:
        os.kill(os.getpid(), signal.SIGKILL)

def train_or_die(training, **options):
    third = training.output.endswith("snr/seed-1")
    return train(training, on_step=die if third else lambda *_: None, **options)

ablation_arm.train_here = train_or_die
ablation.ablate(AblationRequest.model_validate_json(sys.stdin.read()), AblationOptions())
"""


def ablation_of(
    synthetic_set: SyntheticSet, root: Path, *, seeds: int = 2, **recipe: object
) -> AblationRequest:
    """Ask for the base and two overlays of it, one of which cannot work."""
    training = training_of(synthetic_set, root / "unused", **recipe)
    training = training.replace(validation=make_held_out(root / "held"))
    text = to_yaml(training).replace("\n", "\n  ")
    (root / "base.yaml").write_text(f"request:\n  {text}")
    (root / "overlays").mkdir()
    for name, text in OVERLAYS.items():
        (root / "overlays" / f"{name}.yaml").write_text(text)
    return AblationRequest(
        base=str(root / "base.yaml"),
        overlays=(str(root / "overlays"),),
        output=str(root / "out"),
        seeds=seeds,
    )


@pytest.mark.slow
def test_a_killed_ablation_goes_on_and_tells_of_what_failed(
    synthetic_set: SyntheticSet, tmp_path: Path
) -> None:
    fit = {"steps": 12, "checkpoint_steps": 6, "log_steps": 2}
    request = ablation_of(synthetic_set, tmp_path, fit=fit)
    killed = subprocess.run(
        [sys.executable, "-c", CHILD], input=request.model_dump_json(), text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    runs = {
        (arm, seed): tmp_path / "out" / arm / f"seed-{seed}"
        for arm in ("base", "snr", "wild")
        for seed in (0, 1)
    }
    assert find_checkpoints(Store(runs["snr", 1]))[-1].name == "step-000000006"
    before = {key: (run / "metrics.jsonl").stat().st_mtime_ns for key, run in runs.items() if done(run) == 12}
    assert len(before) == 3
    told: list[RunOutcome] = []
    summaries = ablate(request, AblationOptions(), on_run=told.append)
    assert {(run.arm, run.seed): run.state for run in told} == {
        key: "failed" if key[0] == "wild" else "finished" for key in runs if key not in before
    }
    assert {key: (runs[key] / "metrics.jsonl").stat().st_mtime_ns for key in before} == before
    assert {done(run) for (arm, _), run in runs.items() if arm != "wild"} == {12}
    steps = [json.loads(line)["step"] for line in (runs["snr", 1] / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(2, 13, 2))
    assert [(one.arm, one.finished, one.failed) for one in summaries] == [
        ("base", 2, 0),
        ("snr", 2, 0),
        ("wild", 0, 2),
    ]
    base, snr, wild = summaries
    assert base.half_width_db is not None
    assert snr.difference_half_width_db is not None
    assert (base.difference_db, wild.sdri_db) == (None, None)
    table = (tmp_path / "out" / "ablation.md").read_text()
    assert f"| snr | 2 | {snr.sdri_db:.2f} ± {snr.half_width_db:.2f} |" in table
    assert "- wild, seed 1, step 0: training step 1: expected a finite loss" in table
    result = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert len(result["runs"]) == 6
    assert result["arms"][1]["sdri_db"] == snr.sdri_db
    assert ablate(request.replace(seeds=1), AblationOptions())[0].finished == 1


def done(run: Path) -> int:
    """Steps of a run's last checkpoint."""
    found = find_checkpoints(Store(run))
    return int(found[-1].name.removeprefix("step-")) if found else 0


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_from_its_checkpoint(
    synthetic_set: SyntheticSet, tmp_path: Path
) -> None:
    request = ablation_of(synthetic_set, tmp_path, seeds=1).replace(
        overlays=(str(tmp_path / "overlays" / "snr.yaml"),)
    )
    asked = iter([False] * 3 + [True] * 9)
    told: list[RunOutcome] = []
    ablate(request, AblationOptions(), is_stopping=lambda: next(asked), on_run=told.append)
    assert [(run.arm, run.state) for run in told] == [("base", "stopped")]
    assert 0 < told[0].step < 6
    told.clear()
    ablate(request, AblationOptions(), on_run=told.append)
    assert [(run.arm, run.state, run.step) for run in told] == [
        ("base", "finished", 6),
        ("snr", "finished", 6),
    ]
    steps = [
        json.loads(line)["step"]
        for line in (tmp_path / "out" / "base" / "seed-0" / "metrics.jsonl").read_text().splitlines()
    ]
    assert steps == [2, 4, 6]


def test_an_output_that_cannot_be_written_ends_all(
    synthetic_set: SyntheticSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*_: object, **__: object) -> int:
        raise OutputError("out", expected="a place to write to", found="none")

    request = ablation_of(synthetic_set, tmp_path, seeds=1)
    monkeypatch.setattr(ablation_arm, "train_here", train)
    with pytest.raises(OutputError):
        ablate(request, AblationOptions())
