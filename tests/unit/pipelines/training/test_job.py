from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ray.exceptions import RayActorError

from tests.synthetic_set import SyntheticSet, training_of
from tests.training_workers import work_and_die_once
from uss_ray.errors import ConfigError, OutputError, TrainingError
from uss_ray.pipelines.runtime import progress
from uss_ray.pipelines.runtime.run_state import RunState
from uss_ray.pipelines.training import job
from uss_ray.pipelines.training.checkpoints import find_checkpoints, read_checkpoint
from uss_ray.pipelines.training.job import train_on_ray
from uss_ray.pipelines.training.local import train_here
from uss_ray.pipelines.training.options import TrainOptions
from uss_ray.pipelines.training.run_folder import read_lines
from uss_ray.store.store import Store

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_workers_that_do_not_share_the_lanes_are_refused_before_ray_starts(
    synthetic_set: SyntheticSet, tmp_path: Path
) -> None:
    for workers, expected in (("3", "a number that divides the 2 lanes"), ("1:4", "at most the 2 lanes")):
        with pytest.raises(ConfigError, match=f"{expected}, found {workers}"):
            train_on_ray(training_of(synthetic_set, tmp_path), TrainOptions(workers=workers))


def test_a_run_whose_output_another_one_takes_over_is_told_to_stop(
    synthetic_set: SyntheticSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    fault = OutputError("run", expected="a lease that stays with this run", found="another run")

    @contextmanager
    def lost_at_once(*_: object, on_lost: Callable[[Exception], None], **__: object) -> Iterator[None]:
        on_lost(fault)
        yield

    state = SimpleNamespace(stop=SimpleNamespace(remote=lambda: told.append("stop")))
    monkeypatch.setattr(job, "ray_session", lambda *_, **__: nullcontext())
    monkeypatch.setattr(job, "hold_lease", lost_at_once)
    monkeypatch.setattr(job, "start_run_state", lambda: state)
    monkeypatch.setattr(
        job, "end_run_state", lambda ended: told.append("end" if ended is state else "another")
    )
    monkeypatch.setattr(job, "_use_gpu", lambda _: False)
    monkeypatch.setattr(job, "_warnings_told", lambda _: nullcontext())
    monkeypatch.setattr(job, "_run", lambda *_, **__: told.append("train"))
    with pytest.raises(OutputError, match="another run"):
        train_on_ray(training_of(synthetic_set, tmp_path / "run"), TrainOptions(workers="1"))
    assert told == ["stop", "train", "end"]


def test_a_worker_hears_of_a_stop_beside_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([False, True])
    monkeypatch.setattr(job, "_ASK_SECONDS", 0)
    monkeypatch.setattr(job, "is_stopping", lambda _: next(answers))
    stopping = threading.Event()
    job._ask(None, stopping, threading.Event())
    assert stopping.is_set()

    def gone(_: object) -> bool:
        raise RayActorError

    monkeypatch.setattr(job, "is_stopping", gone)
    unheard = threading.Event()
    job._ask(None, unheard, threading.Event())
    assert not unheard.is_set()


def test_what_workers_wait_for_is_told_by_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    told, heard = [], threading.Event()

    def tell(_: str, line: str) -> None:
        told.append(line)
        heard.set()

    state = RunState()
    handle = SimpleNamespace(look=SimpleNamespace(remote=state.look))
    monkeypatch.setattr(job.ray, "get", lambda answer: answer)
    monkeypatch.setattr(job, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(progress.logger, "warning", tell)
    with job._warnings_told(handle):
        state.note("uss_ray.store", "waiting for the store since 12:00", "process 1")
        assert heard.wait(300.0)
    assert told == ["waiting for the store since 12:00"]


def test_steps_that_are_done_again_are_told_as_they_are_done(output: Store) -> None:
    lines, told = output / "metrics.jsonl", []

    def put(*steps: tuple[int, float]) -> None:
        lines.put("".join(json.dumps({"step": step, "at": at}) + "\n" for step, at in steps).encode())

    put((2, 1.0), (4, 2.0), (6, 3.0))  # of a process that died after a checkpoint at step 2
    with job._lines_told(output, lambda step, line: told.append((step, line["at"])), lambda _: None):
        put((2, 1.0), (4, 4.0))
    assert told == [(4, 4.0)]


def test_workers_are_told_places_that_mean_the_same_in_the_folder_that_they_work_in(
    synthetic_set: SyntheticSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, Any]] = []

    class Trainer:
        def __init__(self, _: object, *, train_loop_config: dict[str, Any], **__: object) -> None:
            given.append(train_loop_config)

        def fit(self) -> None:
            pass

    monkeypatch.setattr(job, "TorchTrainer", Trainer)
    monkeypatch.setattr(job, "_waiting_told", lambda *_: nullcontext())
    monkeypatch.chdir(synthetic_set.pack.parent)
    request = training_of(synthetic_set, Path("run")).replace(anchors="pack", weights="ear")
    job._run(request, TrainOptions(workers="1"), use_gpu=False, state=None)
    told = given[0]["request"]
    assert [Path(place) for place in (told.output, told.anchors, told.weights)] == [
        synthetic_set.pack.parent / "run",
        synthetic_set.pack,
        synthetic_set.weights,
    ]


def test_a_wait_for_workers_is_told_until_one_has_begun(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    state, looks = RunState(), threading.Semaphore(0)
    now = 0.0

    def seen() -> object:
        looks.release()
        return state.look()

    handle = SimpleNamespace(look=SimpleNamespace(remote=seen))
    monkeypatch.setattr(job.ray, "get", lambda answer: answer)
    monkeypatch.setattr(job.ray, "available_resources", lambda: {"CPU": 1.0})
    monkeypatch.setattr(job.ray, "cluster_resources", lambda: {"CPU": 2.0})

    def looked_at(seconds: float) -> int:
        nonlocal now
        now = seconds
        for _ in range(3):  # one may have begun before, one is whole
            assert looks.acquire(timeout=300.0)
        return caplog.text.count("for Ray to start workers (2 × 1 CPUs); 1 of 2 CPUs are free")

    with job._waiting_told(handle, "2 × 1 CPUs", clock=lambda: now, seconds=0.001):
        assert [looked_at(seconds) for seconds in (9.0, 11.0, 39.0, 41.0)] == [0, 1, 1, 2]
        state.join("a worker")
        assert looked_at(400.0) == 2


def test_two_workers_one_of_which_is_killed_train_what_one_process_does(
    synthetic_set: SyntheticSet,
    tmp_path: Path,
    nothing_held_afterwards: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A bias before a norm has no gradient but rounding, which AdamW would blow up to whole steps.
    steady = {"fit": {"steps": 12, "optimiser": {"epsilon": 1e-3}}}
    train_here(training_of(synthetic_set, tmp_path / "alone", **steady))
    monkeypatch.setattr(job, "_work", partial(work_and_die_once, 8, tmp_path / "died"))
    told: list[int] = []
    monkeypatch.chdir(tmp_path)
    done, signal_number = train_on_ray(
        training_of(synthetic_set, Path("together"), **steady),
        TrainOptions(workers="2", cpus_per_worker=0.5),
        on_step=lambda step, _: told.append(step),
    )
    assert (tmp_path / "died").exists()
    assert (done, signal_number) == (12, None)
    one, other = (
        read_checkpoint(find_checkpoints(Store(tmp_path / name))[-1])[1] for name in ("alone", "together")
    )
    for name, value in one.model.items():
        if not name.endswith("num_batches_tracked"):
            assert torch.allclose(value, other.model[name], atol=1e-5), name
    steps = [line["step"] for line in read_lines(Store(tmp_path / "together" / "metrics.jsonl"))]
    assert steps == list(range(2, 13, 2))
    assert (
        sorted(set(told)) == steps
    )  # a line that a kill came after is told, and told again once it is done again


def test_what_stops_a_worker_is_told_as_it_is_without_ray(
    synthetic_set: SyntheticSet,
    tmp_path: Path,
    nothing_held_afterwards: None,
) -> None:
    wild = {"fit": {"optimiser": {"learning_rate": 1e30, "clip_norm": None, "schedule": "constant"}}}
    with pytest.raises(TrainingError, match="training step 1: expected a finite loss"):
        train_on_ray(
            training_of(synthetic_set, tmp_path / "run", **wild),
            TrainOptions(workers="1", cpus_per_worker=0.5, max_failures=0),
        )
