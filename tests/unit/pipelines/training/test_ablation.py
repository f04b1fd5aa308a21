from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.synthetic_set import SyntheticSet, make_held_out, training_of
from uss_ray.config import to_yaml
from uss_ray.errors import OutputError
from uss_ray.pipelines.training import ablation
from uss_ray.pipelines.training.ablation import ablate
from uss_ray.pipelines.training.ablation_request import AblationOptions, AblationRequest
from uss_ray.pipelines.training.ablation_table import RunOutcome

OVERLAYS = {
    "snr": "request: {recipe: {loss: {kind: snr}}}",
    "wild": "request: {recipe: {fit: {optimiser: {learning_rate: 1.0e+30, clip_norm: null, schedule: constant}}}}",
}


def ablation_of(synthetic_set: SyntheticSet, root: Path, *, seeds: int = 2) -> AblationRequest:
    """Ask for the base and two overlays of it, one of which cannot work."""
    training = training_of(synthetic_set, root / "unused").replace(validation=make_held_out(root / "held"))
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


def test_arms_are_run_marked_and_taken_up_again(synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    request, options = ablation_of(synthetic_set, tmp_path), AblationOptions()
    told: list[RunOutcome] = []

    def die(outcome: RunOutcome) -> None:
        told.append(outcome)
        if outcome.arm == "wild":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ablate(request, options, on_run=die)
    assert [(run.arm, run.seed, run.state) for run in told] == [
        ("base", 0, "finished"),
        ("snr", 0, "finished"),
        ("wild", 0, "failed"),
    ]
    done = tmp_path / "out" / "snr" / "seed-0" / "metrics.jsonl"
    before = done.stat().st_mtime_ns
    again: list[RunOutcome] = []
    summaries = ablate(request, options, on_run=again.append)
    assert [(run.arm, run.seed, run.state) for run in again] == [
        ("wild", 0, "failed"),
        ("base", 1, "finished"),
        ("snr", 1, "finished"),
        ("wild", 1, "failed"),
    ]
    assert done.stat().st_mtime_ns == before
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
    assert ablate(request.replace(seeds=1), options, on_run=again.append)[0].finished == 1


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
    monkeypatch.setattr(ablation, "train_here", train)
    with pytest.raises(OutputError):
        ablate(request, AblationOptions())
