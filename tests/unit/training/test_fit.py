from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.multiprocessing
from torch import Tensor, nn

from tests.kept_run import Kept
from uss_ray.errors import ConfigError, TrainingError
from uss_ray.training import fit as fit_module
from uss_ray.training.fit import Fit, Task, TrainingState
from uss_ray.training.plan import counter_generator, lanes_of_worker
from uss_ray.training.recipe import FitSettings, OptimiserSettings
from uss_ray.training.world import World

LANES = 4


class Regression(Task[tuple[Tensor, Tensor]]):
    """Learns a map through a batch norm and dropout."""

    items, item_seconds = 32, 2.0

    def __init__(self, *, bad_step: int | None = None) -> None:
        torch.manual_seed(1)
        self.module = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1)
        )
        self._bad_step = bad_step

    def load(self, step: int, lane: int) -> tuple[Tensor, Tensor]:
        values = counter_generator(0, "data", step, lane).standard_normal((8, 4)).astype("float32")
        if step == self._bad_step and lane == 2:
            values[3, 1] = float("nan")
        given = torch.from_numpy(values)
        return given, given.sum(dim=1, keepdim=True)

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return (self.module(batch[0]) - batch[1]).square().mean()

    def names(self, batch: tuple[Tensor, Tensor]) -> Sequence[str]:
        return [f"row {row}" for row in range(len(batch[0]))]


SETTINGS = FitSettings(
    steps=40,
    optimiser=OptimiserSettings(learning_rate=1e-2, warmup_steps=4),
    ema_decay=0.9,
    checkpoint_steps=10,
    log_steps=5,
)


def fit_of(keeper: Kept, *, settings: FitSettings = SETTINGS, task: Regression | None = None) -> Fit[Any]:
    return Fit(task or Regression(), settings=settings, lanes=range(LANES), lane_count=LANES, keeper=keeper)


def states_are_equal(one: TrainingState, other: TrainingState) -> bool:
    moments = [
        torch.equal(one.optimiser["state"][key][name], other.optimiser["state"][key][name])
        for key in one.optimiser["state"]
        for name in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    ]
    return (
        one.step == other.step
        and all(torch.equal(one.model[name], other.model[name]) for name in one.model)
        and all(torch.equal(one.ema[name], other.ema[name]) for name in one.ema)
        and all(moments)
    )


@pytest.mark.slow
def test_a_run_that_goes_on_has_the_bits_of_one_that_was_not_interrupted() -> None:
    whole, broken = Kept(), Kept()
    fit_of(whole).run()
    fit_of(broken).run(until=23)  # its last checkpoint before the end of this one is kept at 23
    broken.states = broken.states[:1]  # killed: what was after step 20 is lost
    assert broken.states[-1].step == 20
    fit_of(broken).run()
    assert states_are_equal(whole.states[-1], broken.states[-1])
    values = [
        [{k: line[k] for k in ("step", "loss", "gradient_norm")} for line in kept.lines]
        for kept in (whole, broken)
    ]
    assert values[0] == values[1]


def test_lines_of_a_process_that_died_before_its_first_checkpoint_are_dropped() -> None:
    keeper = Kept()
    fit_of(keeper).run(until=20)
    keeper.states = []
    again = fit_of(keeper)
    assert keeper.lines == []
    again.run(until=20)
    assert [line["step"] for line in keeper.lines] == [5, 10, 15, 20]


@pytest.mark.slow
def test_it_learns_and_tells_what_it_took() -> None:
    keeper = Kept()
    fit_of(keeper, settings=SETTINGS.replace(steps=300)).run()
    assert keeper.lines[-1]["loss"] < 0.5 * keeper.lines[0]["loss"]
    assert [line["step"] for line in keeper.lines] == list(range(5, 301, 5))
    assert set(keeper.lines[0]) == {
        "step",
        "loss",
        "learning_rate",
        "gradient_norm",
        "items_per_second",
        "audio_hours_per_second",
        "cpu_seconds_per_step",
        "data_wait_share",
    }


class Clock:
    """Time that passes where a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    process_time = monotonic


def test_a_pace_is_that_of_steps_whatever_a_checkpoint_and_its_validation_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(fit_module, "time", clock)

    class Timed(Regression):
        def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
            clock.now += 0.25
            return super().loss(batch)

    def score(_: TrainingState) -> None:
        clock.now += 1000.0

    keeper = Kept()
    settings = SETTINGS.replace(steps=12, checkpoint_steps=4, log_steps=3)
    fit_of(keeper, settings=settings, task=Timed()).run(on_checkpoint=score)
    assert [line["items_per_second"] for line in keeper.lines] == [32.0] * 4
    assert [line["cpu_seconds_per_step"] for line in keeper.lines] == [1.0] * 4


def test_a_run_whose_state_was_not_scored_to_the_end_ends_there() -> None:
    keeper = Kept()
    seen: list[int] = []

    def score(state: TrainingState) -> bool:
        seen.append(state.step)
        return state.step < 20

    assert fit_of(keeper).run(on_checkpoint=score) == 20
    assert seen == [10, 20]


def test_a_loss_that_is_not_finite_ends_the_run_and_names_step_and_items() -> None:
    keeper = Kept()
    with pytest.raises(
        TrainingError, match=r"training step 12: expected a finite loss and gradient, found loss nan.*row 0"
    ):
        fit_of(keeper, task=Regression(bad_step=12)).run()
    assert len(keeper.bad[0]) == 32
    assert keeper.states[-1].step == 10
    assert all(torch.isfinite(value).all() for value in keeper.states[-1].model.values())


def test_a_run_that_is_asked_to_stop_leaves_a_checkpoint() -> None:
    keeper = Kept()
    asked = iter([False] * 6 + [True] * 10)
    assert fit_of(keeper).run(is_stopping=lambda: next(asked)) == 7
    assert keeper.states[-1].step == 7


def test_the_average_follows_the_parameters() -> None:
    keeper = Kept()
    run = fit_of(keeper)
    first = [parameter.clone() for parameter in run.task.module.parameters()]
    run.run()
    for before, mean, now in zip(first, run.result.parameters(), run.task.module.parameters(), strict=True):
        assert not torch.equal(mean, now)
        assert (mean - now).norm() < (before - now).norm()
    without = fit_of(Kept(), settings=SETTINGS.replace(ema_decay=0.0))
    assert without.result is without.task.module


def test_accumulated_steps_are_one_step_of_twice_the_items() -> None:
    settings = FitSettings(
        steps=4, checkpoint_steps=4, optimiser=OptimiserSettings(schedule="constant", accumulate=2)
    )
    keeper = Kept()
    fit_of(keeper, settings=settings).run()
    assert {int(state["step"]) for state in keeper.states[-1].optimiser["state"].values()} == {2}
    with pytest.raises(ConfigError, match="checkpoint_steps: expected a multiple of the 2 steps"):
        FitSettings(steps=4, checkpoint_steps=3, optimiser=OptimiserSettings(accumulate=2))


def test_steps_that_only_accumulate_have_no_part_in_the_mean_of_gradient_norms() -> None:
    settings = FitSettings(
        steps=12,
        checkpoint_steps=4,
        log_steps=6,
        optimiser=OptimiserSettings(learning_rate=1e-30, schedule="constant", accumulate=2),
    )
    every, whole, broken = Kept(), Kept(), Kept()
    fit_of(every, settings=settings.replace(log_steps=1)).run()
    assert [line["step"] for line in every.lines if "gradient_norm" in line] == [2, 4, 6, 8, 10, 12]
    norms = [line["gradient_norm"] for line in every.lines[1::2]]
    fit_of(whole, settings=settings).run()
    told = [line["gradient_norm"] for line in whole.lines]
    assert told == pytest.approx([sum(norms[:3]) / 3, sum(norms[3:]) / 3])
    assert min(norms) > 0
    fit_of(broken, settings=settings).run(until=6)
    broken.states = broken.states[:1]  # killed after step 4
    assert [norm is None for _, norm in broken.states[-1].untold] == [True, False] * 2
    fit_of(broken, settings=settings).run()
    assert [line["gradient_norm"] for line in broken.lines if line["step"] in (6, 12)] == told


def _worker(rank: int, size: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size
    )
    keeper = Kept()
    Fit(
        Regression(),
        settings=SETTINGS.replace(steps=10),
        lanes=lanes_of_worker(LANES, worker=rank, workers=size),
        lane_count=LANES,
        keeper=keeper,
        world=World(rank, size),
    ).run()
    if rank == 0:
        torch.save(dict(keeper.states[-1].model), f"{folder}/model.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_several_workers_give_the_parameters_of_one(tmp_path: Any) -> None:
    """Three, of which one has more lanes than the others."""
    alone = Kept()
    fit_of(alone, settings=SETTINGS.replace(steps=10)).run()
    torch.multiprocessing.spawn(_worker, (3, str(tmp_path)), nprocs=3)
    together = torch.load(tmp_path / "model.pt", weights_only=True)
    for name, value in alone.states[-1].model.items():
        if not name.endswith("num_batches_tracked"):
            assert torch.allclose(value, together[name], atol=1e-5), name
