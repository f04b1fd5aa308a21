"""The time-domain separator: length, condition, gradients, the published function, and that it can be trained."""

from __future__ import annotations

import pytest
import torch
from torchaudio.models import ConvTasNet as Published

from uss_ray.errors import ConfigError
from uss_ray.models.conv_tasnet import ConvTasNet
from uss_ray.models.network_settings import ConvTasNetConfig
from uss_ray.models.protocols import is_masking

TINY = ConvTasNetConfig(
    condition_size=2, kernel_samples=16, filters=24, channels=8, hidden_channels=12, stack_blocks=3, stacks=2
)


def tiny() -> ConvTasNet:
    torch.manual_seed(0)
    return ConvTasNet(TINY)


@pytest.mark.parametrize("samples", [1, 16, 999, 4321])
def test_the_estimate_is_as_long_as_the_mixture(samples: int) -> None:
    with torch.inference_mode():
        assert tiny()(torch.randn(3, samples), torch.rand(3, 2)).shape == (3, samples)


def test_without_a_condition_it_is_the_published_network() -> None:
    ours = tiny()
    torch.manual_seed(0)
    theirs = Published(1, 16, 24, 3, 8, 12, 3, 2)
    assert {name: value.tolist() for name, value in theirs.state_dict().items()} == {
        name: value.tolist() for name, value in ours.network.state_dict().items()
    }
    theirs.load_state_dict(ours.network.state_dict())
    mixture = torch.randn(2, 1000)
    with torch.inference_mode():
        expected = theirs(mixture[:, None])[:, 0]
        torch.testing.assert_close(ours(mixture, torch.zeros(2, 2)), expected)


def test_the_condition_changes_the_estimate() -> None:
    model, mixture = tiny(), torch.randn(1, 3000)
    with torch.inference_mode():
        one, other = model(mixture, torch.tensor([[1.0, 0.0]])), model(mixture, torch.tensor([[0.0, 1.0]]))
    assert (one - other).abs().max() > 1e-4


def test_every_parameter_is_trained() -> None:
    model = tiny().train()
    model(torch.randn(2, 3000), torch.rand(2, 2)).square().sum().backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


@pytest.mark.slow
def test_a_low_and_a_high_tone_are_learnt_apart() -> None:
    torch.manual_seed(0)
    model = ConvTasNet(TINY.replace(stack_blocks=2, stacks=1)).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    time = torch.arange(400) / TINY.sample_rate
    draw = torch.Generator().manual_seed(1)

    def batch() -> tuple[torch.Tensor, torch.Tensor]:
        turns = torch.rand(2, 2, 1, generator=draw)
        tones = [
            torch.sin(2 * torch.pi * (hertz * time + turn))
            for hertz, turn in zip((500, 4000), turns, strict=True)
        ]
        targets = torch.cat(tones)
        return torch.cat([tones[0] + tones[1]] * 2), targets

    condition = torch.eye(2).repeat_interleave(2, dim=0)
    for _ in range(40):
        mixture, target = batch()
        optimiser.zero_grad()
        (model(mixture, condition) - target).abs().mean().backward()
        optimiser.step()
    mixture, target = batch()
    with torch.inference_mode():
        error = (model.eval()(mixture, condition) - target).square().mean(dim=1)
    # Half of the mixture would have an error of 0.25.
    assert (error < 0.1).all(), error


def test_it_gives_waveforms_and_no_masks() -> None:
    model = tiny()
    assert not is_masking(model)
    assert (model.sample_rate, model.condition_size) == (32_000, 2)


def test_a_kernel_of_an_odd_length_is_refused() -> None:
    with pytest.raises(ConfigError, match="an even number, found 15"):
        ConvTasNetConfig(kernel_samples=15)
