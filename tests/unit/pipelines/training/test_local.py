from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.synthetic_set import SyntheticSet, training_of
from uss_ray.errors import ConfigError, DataError, OutputError, TrainingError, WeightsError
from uss_ray.pipelines.training.checkpoints import find_checkpoints, read_checkpoint
from uss_ray.pipelines.training.local import train_here
from uss_ray.pipelines.training.progress import look_at
from uss_ray.pipelines.training.request import read_request
from uss_ray.store.store import Store

CHILD = """
import os, signal, sys
from uss_ray.pipelines.training.local import train_here
from uss_ray.pipelines.training.request import SeparatorTraining
request = SeparatorTraining.model_validate_json(sys.stdin.read())
train_here(request, on_step=lambda step, _: os.kill(os.getpid(), signal.SIGKILL) if step >= 5 else None)
"""


def last_state(run: Path):
    return read_checkpoint(find_checkpoints(Store(run))[-1])[1]


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bits(synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    values = {  # all that can have a state: an average, norms, dropout, a query net that is trained
        "fit": {"log_steps": 1, "ema_decay": 0.9},
        "query": {"trunk": "finetuned", "shortcut": True},
        "separator": {"condition_size": 8},
        "mixtures": {"conditions": {"own": 0.5, "masked": 0.0, "class_mean": 0.5}},
    }
    assert train_here(training_of(synthetic_set, tmp_path / "whole", **values)) == 6
    broken = training_of(synthetic_set, tmp_path / "broken", **values)
    killed = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=broken.model_dump_json(),
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert last_state(tmp_path / "broken").step == 3
    assert train_here(broken) == 6
    one, other = last_state(tmp_path / "whole"), last_state(tmp_path / "broken")
    assert all(torch.equal(one.model[name], other.model[name]) for name in one.model)
    assert all(torch.equal(one.ema[name], other.ema[name]) for name in one.ema)
    lines = [
        [(line["step"], line["loss"], line["gradient_norm"]) for line in look_at(Store(run)).curve]
        for run in (tmp_path / "whole", tmp_path / "broken")
    ]
    assert lines[0] == lines[1]
    assert len(lines[0]) == 6


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
