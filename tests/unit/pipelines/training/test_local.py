from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from shutil import rmtree

import pytest
import torch
from safetensors.torch import load_file

from tests.synthetic_set import SyntheticSet, make_synthetic_set, training_of
from uss_ray.errors import ConfigError, DataError, OutputError, TrainingError, WeightsError
from uss_ray.pipelines.training.checkpoints import find_checkpoints, read_checkpoint
from uss_ray.pipelines.training.local import train_here
from uss_ray.pipelines.training.progress import look_at
from uss_ray.pipelines.training.request import read_request
from uss_ray.pipelines.training.run_folder import read_lines
from uss_ray.store.store import Store
from uss_ray.training.fit import TrainingState
from uss_ray.training.separator import SeparatorBatch, SeparatorTask

CHILD = """
import os, signal, sys
from uss_ray.pipelines.training.local import train_here
from uss_ray.pipelines.training.request import SeparatorTraining

def die(step, _):
    if step >= 27:
        os.kill(os.getpid(), signal.SIGKILL)

for line in sys.stdin:
    if not os.fork():
        train_here(SeparatorTraining.model_validate_json(line), on_step=die)
        os._exit(0)
    print(os.WTERMSIG(os.wait()[1]))
"""
QUERY_NETS = {
    "frozen": {},
    "trained": {
        "query": {"trunk": "finetuned", "shortcut": True},
        "separator": {"condition_size": 8},
        "mixtures": {"conditions": {"own": 0.5, "masked": 0.0, "class_mean": 0.5}},
    },
}


@pytest.mark.slow
def test_another_recipe_or_pack_on_the_same_run_is_refused(
    synthetic_set: SyntheticSet, tmp_path: Path
) -> None:
    train_here(training_of(synthetic_set, tmp_path / "run"))
    with pytest.raises(ConfigError, match=r"expected recipe\.loss\.kind l1-relative"):
        train_here(training_of(synthetic_set, tmp_path / "run", loss={"kind": "l1"}))
    (tmp_path / "other").mkdir()
    other = make_synthetic_set(tmp_path / "other", count=4)
    with pytest.raises(
        ConfigError, match=f"expected anchors_sha256 {synthetic_set.open().manifest.data_sha256}"
    ):
        train_here(training_of(other, tmp_path / "run"))
    assert train_here(training_of(synthetic_set, tmp_path / "run", fit={"log_steps": 1})) == 6


def test_a_loss_that_is_not_finite_leaves_the_batch_and_the_last_good_state(
    synthetic_set: SyntheticSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = SeparatorTask.load

    def load_or_spoil(task: SeparatorTask, step: int, lane: int) -> SeparatorBatch:
        batch = load(task, step, lane)
        if (step, lane) == (4, 1):
            batch.mixtures[1, 7] = torch.nan
        return batch

    monkeypatch.setattr(SeparatorTask, "load", load_or_spoil)
    request = training_of(synthetic_set, tmp_path / "run")
    with pytest.raises(
        TrainingError, match=r"training step 4: expected a finite loss.*step 4 lane 0"
    ) as caught:
        train_here(request)
    assert caught.value.exit_code == 1
    assert look_at(Store(tmp_path / "run")).state == (
        "Stopped at a loss that is not finite (bad_batch-000000004-0.json); last checkpoint step-000000003."
    )
    kept = load_file(tmp_path / "run" / "bad_batch-000000004-0.safetensors")
    assert kept["lane-1.mixtures"].isnan().sum() == 1
    assert torch.equal(kept["lane-0.targets"], kept["lane-0.targets"].nan_to_num(9.0))
    assert all(value.isfinite().all() for value in last_state(tmp_path / "run").model.values())
    monkeypatch.setattr(SeparatorTask, "load", load)  # what spoilt it is gone: the run goes on
    assert train_here(request) == 6
    assert look_at(Store(tmp_path / "run")).state == "Finished; last checkpoint step-000000006."


def test_a_run_that_died_before_its_first_checkpoint_tells_each_step_and_score_once(
    synthetic_set: SyntheticSet, tmp_path: Path
) -> None:
    request = training_of(synthetic_set, tmp_path / "run").replace(tensorboard=True)
    train_here(request)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text()
    score = {"step": 9, "sdri_db": 9.0, "query": "class-mean", "list_sha256": "a"}
    (tmp_path / "run" / "validations.jsonl").write_text(json.dumps(score) + "\n")
    rmtree(tmp_path / "run" / "checkpoints")
    seen = look_at(Store(tmp_path / "run"))
    assert (seen.step, seen.told) == (0, 6)
    train_here(request)
    again = read_lines(Store(request.output) / "metrics.jsonl")
    assert [line["step"] for line in again] == [json.loads(line)["step"] for line in lines.splitlines()]
    assert read_lines(Store(request.output) / "validations.jsonl") == []


def last_state(run: Path) -> TrainingState:
    return read_checkpoint(find_checkpoints(Store(run))[-1])[1]


@pytest.mark.slow
def test_forty_steps_are_twenty_a_kill_and_twenty_bit_for_bit(
    synthetic_set: SyntheticSet, tmp_path: Path
) -> None:
    # All that can have a state: an average, norms, dropout, a query net that is trained, and a line of three steps of
    # which the kill comes after two.
    fit = {"steps": 40, "checkpoint_steps": 20, "log_steps": 3, "ema_decay": 0.9}
    runs = {
        name: [
            training_of(synthetic_set, tmp_path / place / name, fit=fit, **values)
            for place in ("whole", "broken")
        ]
        for name, values in QUERY_NETS.items()
    }
    killed = subprocess.run(
        [sys.executable, "-c", CHILD],
        input="\n".join(broken.model_dump_json() for _, broken in runs.values()),
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
        capture_output=True,
        check=True,
    )
    assert killed.stdout.split() == [str(int(signal.SIGKILL))] * len(runs)
    for pair in runs.values():
        assert last_state(Path(pair[1].output)).step == 20
        assert [train_here(request) for request in pair] == [40, 40]
        one, other = (last_state(Path(request.output)) for request in pair)
        assert all(torch.equal(one.model[name], other.model[name]) for name in one.model)
        assert all(torch.equal(one.ema[name], other.ema[name]) for name in one.ema)
        moments = [
            (known[name], others[name])
            for known, others in zip(
                one.optimiser["state"].values(), other.optimiser["state"].values(), strict=True
            )
            for name in known
        ]
        assert len(moments) > 4 * 20
        assert all(torch.equal(*both) for both in moments)
        lines = [
            [(line["step"], line["loss"], line["learning_rate"], line["gradient_norm"]) for line in told]
            for request in pair
            for told in [read_lines(Store(request.output) / "metrics.jsonl")]
        ]
        assert lines[0] == lines[1]
        assert [line[0] for line in lines[0]] == [*range(3, 40, 3), 40]


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
