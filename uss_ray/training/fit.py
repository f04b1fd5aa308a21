"""The loop that every network is trained with: lanes, gradients, optimiser, average, checkpoints, metrics.

Owns the order of a step and how it is taken up again; what a lane computes is a task's.
"""

from __future__ import annotations

import copy
import hashlib
import logging
import math
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from uss_ray.errors import TrainingError
from uss_ray.training.optimiser import make_optimiser
from uss_ray.training.recipe import FitSettings
from uss_ray.training.world import World

_log = logging.getLogger(__name__)

B = TypeVar("B")


class Task(ABC, Generic[B]):
    """What is trained on what.

    Attributes
    ----------
    module : Module
        All that is trained, and what stays as it is beside it.
    items : int
        In a step, over all lanes.
    item_seconds : float
        Length of one, or their mean.
    device : device
        Where it is computed.
    """

    module: nn.Module
    items: int
    item_seconds: float
    device: torch.device

    @abstractmethod
    def load(self, step: int, lane: int) -> B:
        """Make a lane's part of a step, a pure function of both; called in threads, some steps ahead."""

    @abstractmethod
    def loss(self, batch: B) -> Tensor:
        """Compute the mean loss of a lane's part."""

    @abstractmethod
    def names(self, batch: B) -> Sequence[str]:
        """Name the items of a batch, for whoever looks for a fault."""

    def tensors(self, batch: B) -> Mapping[str, Tensor]:
        """Give what a batch holds, for the same; those that are fields of it, if it has fields."""
        names = [field.name for field in fields(batch)] if is_dataclass(batch) else []
        return {name: value for name in names if isinstance(value := getattr(batch, name), Tensor)}

    def set_training(self) -> None:
        """Bring the networks into the mode that they are trained in."""
        self.module.train()


@dataclass(frozen=True, eq=False)
class TrainingState:
    """Everything that a run goes on with; random numbers and data are functions of seed and step.

    Parameters
    ----------
    step : int
        Steps that are done.
    model, ema : mapping of str to Tensor
        Parameters and buffers; `ema` is empty where no average is kept.
    optimiser : mapping
        Of `Optimizer.state_dict`.
    untold : sequence of (float, float or None), default=()
        Loss and gradient norm of the steps since the last line of the metrics, which the next one is a mean of too;
        no norm of a step that only accumulates.
    """

    step: int
    model: Mapping[str, Tensor]
    ema: Mapping[str, Tensor]
    optimiser: Mapping[str, Any]
    untold: Sequence[tuple[float, float | None]] = ()


class Keeper(Protocol):
    """Where a run leaves its state and what it tells."""

    seed: int

    def load(self) -> TrainingState | None:
        """Give what the run goes on with; None at its beginning."""
        ...

    def save(self, state: TrainingState, *, keep: int) -> None:
        """Keep a state; of the older ones so many stay in all."""
        ...

    def add_metrics(self, line: Mapping[str, Any]) -> None:
        """Tell of some steps."""
        ...

    def forget_after(self, step: int) -> None:
        """Drop what was told of later steps: they are done again."""
        ...

    def keep_bad_batch(
        self, step: int, *, names: Sequence[str], tensors: Mapping[str, Tensor], rank: int
    ) -> str:
        """Keep the items of a worker's part of a step and their names; say where."""
        ...


class Fit(Generic[B]):
    """A run of a task, from its beginning or from where it ended.

    Parameters
    ----------
    task : Task
        Of this worker.
    settings : FitSettings
    lanes : sequence of int
        Those of this worker.
    lane_count : int
        Of all workers.
    keeper : Keeper
        Dropout follows from its seed and the step.
    device : device, default="cpu"
    world : World, optional
    """

    def __init__(
        self,
        task: Task[B],
        *,
        settings: FitSettings,
        lanes: Sequence[int],
        lane_count: int,
        keeper: Keeper,
        device: torch.device | str = "cpu",
        world: World | None = None,
    ) -> None:
        self.task = task
        self.settings = settings
        self.keeper = keeper
        self.world = world or World()
        self.device = torch.device(device)
        self._lanes, self._lane_count = list(lanes), lane_count
        self._trained = [p for p in task.module.parameters() if p.requires_grad]
        self._optimiser = make_optimiser(self._trained, settings.optimiser)
        # Of a step of one lane, running statistics are those of the lane.
        self._statistics = _NormStatistics(task.module if lane_count > 1 else nn.Identity())
        self._ema = copy.deepcopy(task.module) if settings.ema_decay else None
        self.step = 0
        self._meter = _Meter()
        self._resume()

    @property
    def result(self) -> nn.Module:
        """The module that is exported: the moving average where one is kept."""
        return self.task.module if self._ema is None else self._ema

    def run(
        self,
        *,
        until: int | None = None,
        is_stopping: Callable[[], bool] = lambda: False,
        on_checkpoint: Callable[[TrainingState], object] = lambda _: None,
        on_step: Callable[[int, Mapping[str, float]], None] = lambda *_: None,
    ) -> int:
        """Train.

        Parameters
        ----------
        until : int, optional
            Step to end at, default the last.
        is_stopping : callable, optional
            Asked after each step; where it is true, a checkpoint is written and the run ends.
        on_checkpoint, on_step : callable, optional
            Given each state that is kept, on every worker, and told of each line of the metrics. The run ends after a
            state for which the former gives False.

        Returns
        -------
        int
            Steps that are done.

        Raises
        ------
        TrainingError
            If a loss or a gradient is not finite. The batch is kept in the run's folder.
        OutputError
            If a checkpoint cannot be written; a local copy is named.
        """
        last = min(until or self.settings.steps, self.settings.steps)
        self._meter = _Meter(self._meter.told_next)  # time begins now
        with _Feed(
            self.task, lanes=self._lanes, first=self.step, last=last, ahead=self.settings.prefetch
        ) as feed:
            while self.step < last:
                waited = time.monotonic()
                batches = feed.next()
                waited = time.monotonic() - waited
                loss, norm, rate, stopping = self._step(batches, wants_stop=is_stopping())
                self.step += 1
                self._meter.add(loss=loss, norm=norm, waited=waited)
                if self.step % self.settings.log_steps == 0 or self.step == last:
                    line = self._meter.line(
                        self.step, rate=rate, items=self.task.items, item_seconds=self.task.item_seconds
                    )
                    if self.world.is_first:
                        self.keeper.add_metrics(line)
                    on_step(self.step, line)
                    self._meter = _Meter()
                if self.step % self.settings.checkpoint_steps == 0 or self.step == last or stopping:
                    with self._meter.aside():
                        self._save()
                        stopping = on_checkpoint(self.state()) is False or stopping
                if stopping:
                    break
        return self.step

    def state(self) -> TrainingState:
        """Give what the run would go on with now; its tensors are those that are trained."""
        return TrainingState(
            step=self.step,
            model=self.task.module.state_dict(),
            ema=self._ema.state_dict() if self._ema is not None else {},
            optimiser=self._optimiser.state_dict(),
            untold=tuple(self._meter.told_next),
        )

    def _step(
        self, batches: Sequence[tuple[int, B]], *, wants_stop: bool
    ) -> tuple[float, float | None, float, bool]:
        """Do a step; give loss, gradient norm, rate, and whether some worker wants to stop and now is the time.

        A step that only accumulates has no norm.
        """
        settings = self.settings
        rate = settings.optimiser.learning_rate * settings.optimiser.scale(self.step, steps=settings.steps)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self.task.set_training()
        accumulate = settings.optimiser.accumulate
        if self.step % accumulate == 0:
            self._optimiser.zero_grad(set_to_none=True)
        total = torch.tensor([0.0, float(wants_stop)], device=self.device)
        self._statistics.begin()
        for lane, batch in batches:
            self._statistics.begin_lane()
            torch.manual_seed(counter_seed(self.keeper.seed, self.step, lane))
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=settings.bfloat16):
                loss = self.task.loss(batch)
            (loss / (self._lane_count * accumulate)).backward()
            total[0] += loss.detach().float()
            self._statistics.end_lane()
        is_whole = (self.step + 1) % accumulate == 0
        # One exchange: each is a wait for the slowest worker.
        self.world.sum([total, *self._statistics.sums, *(self._gradients() if is_whole else [])])
        mean = float(total[0]) / self._lane_count
        norm = None
        if math.isfinite(mean) and is_whole:
            limit = settings.optimiser.clip_norm
            norm = float(nn.utils.clip_grad_norm_(self._trained, limit if limit is not None else math.inf))
        if not (math.isfinite(mean) and math.isfinite(norm or 0.0)):
            self._refuse(batches, found=f"loss {mean}, gradient norm {norm}")
        self._statistics.end(lanes=self._lane_count)
        if is_whole:
            self._optimiser.step()
            self._average()
        return mean, norm, rate, is_whole and float(total[1]) > 0

    def _gradients(self) -> list[Tensor]:
        """Give one gradient for each parameter, so that workers without a lane have as many as the others."""
        gradients = []
        for parameter in self._trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
        return gradients

    @torch.no_grad()
    def _average(self) -> None:
        if self._ema is None:
            return
        # A young run's average would be of its initial values.
        decay = min(self.settings.ema_decay, (1 + self.step) / (10 + self.step))
        # All at once: a call a tensor would be what a GPU waits for.
        torch._foreach_lerp_(list(self._ema.parameters()), list(self.task.module.parameters()), 1.0 - decay)
        buffers = list(self._ema.buffers())
        if buffers:
            torch._foreach_copy_(buffers, list(self.task.module.buffers()))

    def _refuse(self, batches: Sequence[tuple[int, B]], *, found: str) -> None:
        names = [name for _, batch in batches for name in self.task.names(batch)]
        tensors = {
            f"lane-{lane}.{name}": tensor
            for lane, batch in batches
            for name, tensor in self.task.tensors(batch).items()
        }
        place = self.keeper.keep_bad_batch(self.step, names=names, tensors=tensors, rank=self.world.rank)
        raise TrainingError(
            f"training step {self.step}",
            expected="a finite loss and gradient",
            found=f"{found}; its items are in {place}, the first is {next(iter(names), 'elsewhere')}",
        )

    def _save(self) -> None:
        if self.world.is_first:
            self.keeper.save(self.state(), keep=self.settings.keep_checkpoints)
        self.world.wait()

    def _resume(self) -> None:
        state = self.keeper.load()
        if state is not None:
            self.task.module.load_state_dict(dict(state.model))
            if self._ema is not None:
                self._ema.load_state_dict(dict(state.ema))
            self._optimiser.load_state_dict(dict(state.optimiser))
            self.step = state.step
            self._meter = _Meter(state.untold)
            _log.info("going on at step %d", self.step)
        if self.world.is_first:  # a process that died before its first checkpoint has told of steps too
            self.keeper.forget_after(self.step)


class _NormStatistics:
    """Running statistics of batch norms: those of a step are the mean over its lanes, however lanes are shared out."""

    def __init__(self, module: nn.Module) -> None:
        self._norms = [
            part
            for part in module.modules()
            if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.track_running_stats
        ]
        self._before: list[Tensor] = []
        self.sums: list[Tensor] = []

    def begin(self) -> None:
        """Remember what was before the step."""
        self._before = [tensor.clone() for tensor in self._tensors()]
        self.sums = [torch.zeros_like(tensor) for tensor in self._before]

    @torch.no_grad()
    def begin_lane(self) -> None:
        """Let each lane begin with what was before the step."""
        for tensor, before in zip(self._tensors(), self._before, strict=True):
            tensor.copy_(before)

    @torch.no_grad()
    def end_lane(self) -> None:
        """Add what a lane has made of it."""
        for total, tensor in zip(self.sums, self._tensors(), strict=True):
            total += tensor

    @torch.no_grad()
    def end(self, *, lanes: int) -> None:
        """Take the mean, once the sums are those of all workers."""
        for tensor, total in zip(self._tensors(), self.sums, strict=True):
            tensor.copy_(total / lanes)

    def _tensors(self) -> list[Tensor]:
        return [
            tensor
            for norm in self._norms
            for tensor in (norm.running_mean, norm.running_var)
            if tensor is not None
        ]


class _Feed(Generic[B]):
    """Makes the batches of the next steps in threads, and hands them out in order."""

    def __init__(self, task: Task[B], *, lanes: Sequence[int], first: int, last: int, ahead: int) -> None:
        self._task, self._lanes = task, lanes
        self._steps = iter(range(first, last))
        self._pool = ThreadPoolExecutor(max(2, ahead), thread_name_prefix="batches")
        self._waiting: deque[list[tuple[int, Future[B]]]] = deque()
        self._ahead = ahead

    def __enter__(self) -> _Feed[B]:
        for _ in range(self._ahead):
            self._submit()
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def next(self) -> list[tuple[int, B]]:
        """Give the batches of the next step, one a lane."""
        made = [(lane, future.result()) for lane, future in self._waiting.popleft()]
        self._submit()
        return made

    def _submit(self) -> None:
        step = next(self._steps, None)
        if step is not None:
            self._waiting.append(
                [(lane, self._pool.submit(self._task.load, step, lane)) for lane in self._lanes]
            )


class _Meter:
    """What is told of some steps, the first of which an earlier process may have done."""

    def __init__(self, earlier: Sequence[tuple[float, float | None]] = ()) -> None:
        self._began, self._cpu_began = time.monotonic(), time.process_time()
        self.told_next = list(earlier)
        self._timed = 0
        self._waited = 0.0

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Leave out what the block takes: a pace is that of steps."""
        began, cpu_began = time.monotonic(), time.process_time()
        try:
            yield
        finally:
            self._began += time.monotonic() - began
            self._cpu_began += time.process_time() - cpu_began

    def add(self, *, loss: float, norm: float | None, waited: float) -> None:
        self.told_next.append((loss, norm))
        self._timed += 1
        self._waited += waited

    def line(self, step: int, *, rate: float, items: int, item_seconds: float) -> dict[str, float]:
        seconds = time.monotonic() - self._began
        losses = [loss for loss, _ in self.told_next]
        norms = [norm for _, norm in self.told_next if norm is not None]
        return {
            "step": step,
            "loss": sum(losses) / len(losses),
            "learning_rate": rate,
            **({"gradient_norm": sum(norms) / len(norms)} if norms else {}),
            "items_per_second": items * self._timed / seconds,
            "audio_hours_per_second": items * self._timed * item_seconds / 3600 / seconds,
            "cpu_seconds_per_step": (time.process_time() - self._cpu_began) / self._timed,
            "data_wait_share": self._waited / seconds,
        }


def counter_seed(seed: int, step: int, lane: int) -> int:
    """Give the seed of torch's generator for a lane's part of a step."""
    digest = hashlib.blake2b(f"{seed}\0{step}\0{lane}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
