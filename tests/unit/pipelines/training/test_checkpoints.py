from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from uss_ray.errors import DataError, OutputError
from uss_ray.pipelines.training.checkpoints import (
    DamagedCheckpointError,
    check_room,
    choose_checkpoint,
    find_checkpoints,
    read_checkpoint,
    remove_old_checkpoints,
    save_checkpoint,
)
from uss_ray.store.store import Store
from uss_ray.training.fit import TrainingState
from uss_ray.training.recipe import FitSettings


def state_of(step: int) -> TrainingState:
    parameter = torch.nn.Parameter(torch.full((3,), float(step)))
    optimiser = torch.optim.AdamW([parameter], amsgrad=True)
    parameter.grad = torch.ones(3)
    optimiser.step()
    return TrainingState(
        step,
        {"weight": parameter.detach(), "count": torch.tensor(step)},
        {"weight": torch.zeros(3)},
        optimiser.state_dict(),
    )


def test_a_checkpoint_is_read_as_it_was_written(output: Store) -> None:
    run = output.raising(OutputError)
    place = save_checkpoint(state_of(7), run=run, identity={"name": "abc"})
    facts, state = read_checkpoint(place)
    assert (facts.step, facts.identity, state.step) == (7, {"name": "abc"}, 7)
    assert torch.equal(state.model["weight"], state_of(7).model["weight"])
    assert torch.equal(state.ema["weight"], torch.zeros(3))
    moments = state.optimiser["state"][0]
    assert torch.equal(moments["max_exp_avg_sq"], state_of(7).optimiser["state"][0]["max_exp_avg_sq"])


def test_only_finished_checkpoints_count_and_old_ones_go(output: Store) -> None:
    run = output.raising(OutputError)
    for step in (10, 5, 20):
        save_checkpoint(state_of(step), run=run, identity={"name": "abc"})
    (run / "checkpoints" / "step-000000030" / "model.safetensors").put(b"cut off")
    assert [place.name for place in find_checkpoints(run)] == [f"step-0000000{n}" for n in ("05", "10", "20")]
    (run / "checkpoints/step-000000005/notes.txt").put(b"mine")
    remove_old_checkpoints(run, keep=2)
    assert (run / "checkpoints/step-000000005/notes.txt").read() == b"mine"
    assert [place.name for place in find_checkpoints(run)] == ["step-000000010", "step-000000020"]
    assert choose_checkpoint(run, None).name == "step-000000020"
    assert choose_checkpoint(run, 10).name == "step-000000010"
    with pytest.raises(DataError, match="expected a checkpoint of step 5, found steps 10, 20"):
        choose_checkpoint(run, 5)


def test_a_run_without_checkpoints_says_so(output: Store) -> None:
    assert find_checkpoints(output) == []
    with pytest.raises(DataError, match="expected a checkpoint, found none"):
        choose_checkpoint(output, None)


@pytest.mark.parametrize("name", ["model.safetensors", "optimiser.pt", "checkpoint.json"])
def test_an_altered_file_is_told(output: Store, name: str) -> None:
    place = save_checkpoint(state_of(7), run=output.raising(OutputError), identity={"name": "abc"})
    (place / name).put((place / name).read()[:-9] + b"123456789")
    told = name if name != "checkpoint.json" else "expected a checkpoint"
    with pytest.raises(DamagedCheckpointError, match=told):
        read_checkpoint(place)
    if name != "checkpoint.json":
        (place / name).remove()
        with pytest.raises(DamagedCheckpointError, match=name):
            read_checkpoint(place)


def test_what_cannot_be_written_is_kept_here(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Store, content: object) -> None:
        raise OutputError(str(self), expected="room", found="none")

    monkeypatch.setattr(Store, "put", refuse)
    with pytest.raises(OutputError, match="goes on from its local copy") as caught:
        save_checkpoint(state_of(7), run=Store(tmp_path, error=OutputError), identity={"name": "abc"})
    folder = str(caught.value).rpartition(" ")[2]
    monkeypatch.undo()
    assert read_checkpoint(Store(folder))[1].step == 7
    # where there is no room here either, that is told too
    monkeypatch.setattr(Store, "put", refuse)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(OutputError, match="no local copy of it either: No such file or directory"):
        save_checkpoint(state_of(7), run=Store(tmp_path, error=OutputError), identity={"name": "abc"})


def test_checkpoints_that_do_not_fit_are_told_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = torch.nn.Linear(1000, 999)  # 4 MB, and three times that for its optimiser
    fit = FitSettings(steps=1, keep_checkpoints=1)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=31_000_000))
    with pytest.raises(OutputError, match="expected 32 MB for checkpoints, found 31 MB free"):
        check_room(Store(tmp_path / "not" / "there"), module, fit)
    save_checkpoint(state_of(7), run=Store(tmp_path), identity={"name": "abc"})
    check_room(Store(tmp_path), module, fit)  # one of the two is there
    check_room(Store("memory://bucket/run"), module, fit.replace(keep_checkpoints=9))
