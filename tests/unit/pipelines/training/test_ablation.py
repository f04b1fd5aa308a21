from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.synthetic_set import SyntheticSet, make_held_out, training_of
from uss_ray.config import to_yaml
from uss_ray.errors import OutputError
from uss_ray.pipelines.training import ablation
from uss_ray.pipelines.training.ablation import ablate
from uss_ray.pipelines.training.ablation_request import AblationOptions, AblationRequest
from uss_ray.pipelines.training.ablation_table import RunOutcome
from uss_ray.pipelines.training.checkpoints import find_checkpoints, read_checkpoint
from uss_ray.pipelines.training.local import train_here
from uss_ray.pipelines.training.progress import look_at
from uss_ray.store.store import Store
from uss_ray.training.fit import TrainingState

OVERLAYS = {
    "snr": "request: {recipe: {loss: {kind: snr}}}",
    "wild": "request: {recipe: {fit: {optimiser: {learning_rate: 1.0e+30, clip_norm: null, schedule: constant}}}}",
}


CHILD = """
import os, signal, sys
from functools import partial
from uss_ray.pipelines.training import ablation
from uss_ray.pipelines.training.ablation_request import AblationOptions, AblationRequest
die = lambda step, _: os.kill(os.getpid(), signal.SIGKILL) if step >= 5 else None
ablation.train_here = partial(ablation.train_here, on_step=die)
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


def last_state(run: Path) -> TrainingState:
    return read_checkpoint(find_checkpoints(Store(run))[-1])[1]


@pytest.mark.slow
def test_a_killed_ablation_goes_on_and_its_runs_end_in_the_same_bits(
    synthetic_set: SyntheticSet, tmp_path: Path
) -> None:
    values = {  # all that can have a state: an average, norms, dropout, a query net that is trained
        "fit": {"log_steps": 1, "ema_decay": 0.9},
        "query": {"trunk": "finetuned", "shortcut": True},
        "separator": {"condition_size": 8},
        "mixtures": {"conditions": {"own": 0.5, "masked": 0.0, "class_mean": 0.5}},
    }
    whole, broken = tmp_path / "whole", tmp_path / "out" / "base" / "seed-0"
    assert train_here(training_of(synthetic_set, whole, **values)) == 6
    request = ablation_of(synthetic_set, tmp_path, seeds=1, **values).replace(
        overlays=(str(tmp_path / "overlays" / "snr.yaml"),)
    )
    killed = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=request.model_dump_json(),
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert last_state(broken).step == 3
    summaries = ablate(request, AblationOptions())
    assert [(one.arm, one.finished) for one in summaries] == [("base", 1), ("snr", 1)]
    one, other = last_state(whole), last_state(broken)
    assert all(torch.equal(one.model[name], other.model[name]) for name in one.model)
    assert all(torch.equal(one.ema[name], other.ema[name]) for name in one.ema)
    for moments, others in zip(
        one.optimiser["state"].values(), other.optimiser["state"].values(), strict=True
    ):
        assert all(torch.equal(moments[name], others[name]) for name in moments)
    lines = [
        [(line["step"], line["loss"], line["gradient_norm"]) for line in look_at(Store(run)).curve]
        for run in (whole, broken)
    ]
    assert lines[0] == lines[1]
    assert len(lines[0]) == 6


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
    monkeypatch.setattr(ablation, "train_here", train)
    with pytest.raises(OutputError):
        ablate(request, AblationOptions())
