"""Train on Ray Train: workers share the lanes of each step, and go on after a loss from the run's own checkpoint.

Ray starts, watches and restarts the workers; what they go on with is in the run's folder, the same as without Ray. They
do not report to Ray: it takes a report every two seconds, and who has one more waits (docs/adr/0076).
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, cast

import pyarrow.fs
import ray
import ray.train
import torch
from ray.exceptions import RayError
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from uss_ray.config import absolute
from uss_ray.errors import ConfigError, OutputError, UssRayError
from uss_ray.pipelines.runtime.pool import refuse_numbered
from uss_ray.pipelines.runtime.progress import Warnings
from uss_ray.pipelines.runtime.run_state import (
    begin_telling,
    end_run_state,
    is_stopping,
    start_run_state,
    this_process,
)
from uss_ray.pipelines.runtime.session import ray_session
from uss_ray.pipelines.runtime.stages import own_error
from uss_ray.pipelines.runtime.stopping import stop_on_signals
from uss_ray.pipelines.training.checkpoints import check_room, find_checkpoints, step_of
from uss_ray.pipelines.training.options import TrainOptions
from uss_ray.pipelines.training.request import Training
from uss_ray.pipelines.training.run_folder import METRICS_NAME, VALIDATIONS_NAME, read_lines
from uss_ray.pipelines.training.scores import told
from uss_ray.pipelines.training.worker import fit, prepare
from uss_ray.store.lease import hold_lease
from uss_ray.store.store import Store
from uss_ray.training.world import World

_log = logging.getLogger(__name__)

_RAY_FOLDER = "ray"
_LOOK_SECONDS, _LOOK_AWAY_SECONDS = 1.0, 30.0
_ASK_SECONDS = 0.5
_SILENT_SECONDS, _AGAIN_SECONDS = 10.0, 30.0
_LOOK_PATIENCE_SECONDS = 5.0  # for a store that is away; the end of a run waits for no more than that

OnStep = Callable[[int, Mapping[str, Any]], None]


def train_on_ray(
    request: Training,
    options: TrainOptions,
    *,
    on_step: OnStep = lambda *_: None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[int, int | None]:
    """Train with many workers, or go on where an earlier run of the same request ended.

    Parameters
    ----------
    request : SeparatorTraining or TaggerTraining
    options : TrainOptions
    on_step : callable, optional
        Told of each line of the metrics, in a thread, soon after it stands in the run's folder.
    say : callable, optional
        Told in words of each validation, likewise.

    Returns
    -------
    done : int
        Steps that are done.
    signal_number : int or None
        What stopped the run.

    Raises
    ------
    UssRayError
        As `train_here`; also if the workers do not share the lanes out evenly, or die more often than they may.
    """
    fewest, most = options.worker_range
    lanes = request.recipe.plan.lanes
    if most > lanes or (fewest == most and lanes % most):
        raise ConfigError(
            "training workers",
            expected=f"a number that divides the {lanes} lanes"
            if fewest == most
            else f"at most the {lanes} lanes",
            found=options.workers,
        )
    with ray_session(options.address, verbose=options.verbose):
        use_gpu = _use_gpu(request.device)
        prepared = prepare(
            request, device=torch.device("cpu")
        )  # what is wrong shows before any worker starts
        check_room(request.run_store, prepared.task.module, prepared.settings)
        lost: list[Exception] = []
        state = start_run_state()

        def lose(fault: Exception) -> None:
            lost.append(fault)
            state.stop.remote()  # another run writes there now

        try:
            with hold_lease(request.run_store, job="train", shard=None, on_lost=lose):
                prepared.folder.open(request)
                with (
                    stop_on_signals(lambda: ray.get(state.stop.remote())) as stop,
                    _lines_told(request.run_store, on_step, say),
                    _warnings_told(state),
                ):
                    _run(request, options, use_gpu=use_gpu, state=state)
        finally:
            end_run_state(state)
        if lost:
            raise lost[0]
    found = find_checkpoints(request.run_store)
    return step_of(found[-1]) if found else 0, stop.signal_number


@contextmanager
def _warnings_told(state: Any) -> Iterator[None]:
    """Log what workers warn of while the block runs: that they wait for a store."""
    warnings = Warnings()

    def look() -> None:
        with suppress(RayError):  # the state is gone: so is the run
            warnings.say(ray.get(state.look.remote()))

    with _looking(look, seconds=_LOOK_SECONDS, name="warnings"):
        yield


@contextmanager
def _waiting_told(
    state: Any, needed: str, *, clock: Callable[[], float] = time.monotonic, seconds: float = _LOOK_SECONDS
) -> Iterator[None]:
    """Log now and then while the block runs and no worker has begun: Ray Train starts them without a word."""
    began, say_at, has_begun = clock(), _SILENT_SECONDS, False
    since = time.strftime("%H:%M:%S UTC", time.gmtime())

    def look() -> None:
        nonlocal say_at, has_begun
        with suppress(RayError):  # the state is gone: so is the run
            has_begun = ray.get(state.look.remote()).workers > 0 or has_begun
            if has_begun or clock() - began < say_at:
                return
            say_at += _AGAIN_SECONDS
            free, there = (
                found.get("CPU", 0) for found in (ray.available_resources(), ray.cluster_resources())
            )
            _log.warning(
                "waiting since %s for Ray to start workers (%s); %g of %g CPUs are free",
                since,
                needed,
                free,
                there,
            )

    with _looking(look, seconds=seconds, name="waiting"):
        yield


@contextmanager
def _lines_told(run: Store, on_step: OnStep, say: Callable[[str], None]) -> Iterator[None]:
    """Tell of the lines that come to metrics and validations of a run while the block runs."""
    options = run.options.replace(patience_seconds=_LOOK_PATIENCE_SECONDS)
    patient = Store(run.root, options, OutputError)
    place, scores = patient / METRICS_NAME, patient / VALIDATIONS_NAME
    known = {_which(line) for line in read_lines(place)}
    said = read_lines(scores)

    def look() -> None:
        nonlocal known, said
        with suppress(UssRayError):  # a store that is away; the next look sees more
            lines = read_lines(place)
            for line in lines:
                if _which(line) not in known:
                    on_step(line["step"], line)
            known = {_which(line) for line in lines}
            found = read_lines(scores)
            for line in found:
                if line not in said:
                    say(f"step {line['step']}: {told(line)}")
            said = found

    with _looking(look, seconds=_LOOK_AWAY_SECONDS if run.is_remote else _LOOK_SECONDS, name="lines"):
        yield


def _which(line: Mapping[str, Any]) -> tuple[int, float | None]:
    """Tell a line of the metrics from another; workers that start again do steps again."""
    return line["step"], line.get("at")


@contextmanager
def _looking(look: Callable[[], None], *, seconds: float, name: str) -> Iterator[None]:
    """Look now and then while the block runs, in a thread, and once more when it has ended."""
    ended = threading.Event()

    def run() -> None:
        is_over = False
        while not is_over:
            is_over = ended.wait(seconds)
            look()

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _run(request: Training, options: TrainOptions, *, use_gpu: bool, state: Any) -> None:
    fewest, most = options.worker_range
    place = request.run_store / _RAY_FOLDER / secrets.token_hex(4)
    system, path = place.file_system() if place.is_remote else (None, str(place.local_path().resolve()))
    trainer = TorchTrainer(
        _work,
        # Ray Train lets workers work in folders of its own.
        train_loop_config={"request": absolute(request), "state": state},
        scaling_config=ScalingConfig(
            num_workers=cast(
                int, most if fewest == most else (fewest, most)
            ),  # Ray 2.60 types the former alone
            use_gpu=use_gpu,
            resources_per_worker={"CPU": options.cpus_per_worker} | ({"GPU": 1} if use_gpu else {}),
        ),
        torch_config=TorchConfig(backend="nccl" if use_gpu else "gloo"),
        run_config=RunConfig(
            name="train",
            storage_path=path,
            storage_filesystem=None
            if system is None
            else pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(system)),
            failure_config=FailureConfig(max_failures=options.max_failures),
        ),
    )
    with _waiting_told(state, f"{options.workers} × {options.cpus_per_worker:g} CPUs"):
        try:
            trainer.fit()
        except Exception as error:
            raise _cause(error) from error


def _work(config: Mapping[str, Any]) -> None:
    """Train one worker's lanes."""
    begin_telling(config["state"])
    context = ray.train.get_context()
    world = World(rank=context.get_world_rank(), size=context.get_world_size())
    device = ray.train.torch.get_device()
    if device.type == "cpu":
        torch.set_num_threads(1)
    prepared = prepare(config["request"], device=device)
    prepared.folder.reopen()
    prepared.load_data()
    config["state"].join.remote(this_process())
    stopping, ended = threading.Event(), threading.Event()
    if world.is_first:  # one asks for all: what it hears is part of the exchange
        arguments = (config["state"], stopping, ended)
        threading.Thread(target=_ask, args=arguments, name="stop", daemon=True).start()
    try:
        fit(prepared, world=world, is_stopping=stopping.is_set)
    finally:
        ended.set()


def _ask(state: Any, stopping: threading.Event, ended: threading.Event) -> None:
    """Ask whether to stop until it is so, beside the steps: an answer comes late where all cores are busy."""
    with suppress(RayError):  # the state is gone: so is the run
        while not stopping.is_set() and not ended.wait(_ASK_SECONDS):
            if is_stopping(state):
                stopping.set()


def _use_gpu(device: str) -> bool:
    there = ray.cluster_resources().get("GPU", 0) > 0
    refuse_numbered(device)
    if device == "cuda" and not there:
        raise ConfigError("device cuda", expected="a GPU in the cluster", found="none")
    return device != "cpu" and there


def _cause(error: Exception) -> UssRayError:
    """Find our own error among those of the workers."""
    failures: Mapping[int, Exception] = getattr(error, "worker_failures", None) or {}
    for failure in failures.values():
        known = own_error(failure)
        if type(known) is not ConfigError:
            return known
    return own_error(next(iter(failures.values()), error))
