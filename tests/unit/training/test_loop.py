from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from uss_ray.errors import ConfigError
from uss_ray.training.loop import LoopConfig, run_loop


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 1))


def loss_of(network: nn.Module) -> Callable[[torch.Generator], Tensor]:
    return lambda generator: network(torch.randn(8, 4, generator=generator)).square().mean()


def test_an_interrupted_run_ends_where_an_undisturbed_one_does(tmp_path: Path) -> None:
    config = LoopConfig(steps=6, learning_rate=1e-3, warmup_steps=2, checkpoint_steps=3)
    whole, parts, resumed = model(), model(), model()
    run_loop(whole, loss_of(whole), config=config, checkpoint=tmp_path / "whole.pt")

    class StopError(Exception):
        pass

    seen: list[Tensor] = []

    def stopped(generator: torch.Generator) -> Tensor:
        if len(seen) == 4:
            raise StopError
        seen.append(loss_of(parts)(generator))
        return seen[-1]

    with pytest.raises(StopError):
        run_loop(parts, stopped, config=config, checkpoint=tmp_path / "parts.pt")
    run_loop(resumed, loss_of(resumed), config=config, checkpoint=tmp_path / "parts.pt")
    for one, other in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    network = model()
    step = loss_of(network)
    run_loop(network, step, config=LoopConfig(steps=1, learning_rate=1e-3), checkpoint=tmp_path / "m.pt")
    with pytest.raises(ConfigError, match="2 steps"):
        run_loop(network, step, config=LoopConfig(steps=2, learning_rate=1e-3), checkpoint=tmp_path / "m.pt")


def test_progress_is_logged_and_the_model_ends_in_eval_mode(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = model()
    config = LoopConfig(steps=5, learning_rate=1e-3, log_steps=2)
    with caplog.at_level("INFO", logger="uss_ray.training.loop"):
        run_loop(network, loss_of(network), config=config, checkpoint=tmp_path / "m.pt")
    assert [message.split(" loss")[0] for message in caplog.messages] == ["step 2/5", "step 4/5"]
    assert not network.training
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"learning_rate": 0.0}, {"clip_norm": -1.0}])
def test_a_length_or_rate_out_of_its_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        LoopConfig(**{"steps": 1, "learning_rate": 1e-3, **wrong})  # type: ignore[arg-type]
