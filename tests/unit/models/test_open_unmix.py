from __future__ import annotations

import pytest
import torch

from uss_ray.errors import ConfigError
from uss_ray.models.network_settings import OpenUnmixConfig
from uss_ray.models.open_unmix import OpenUnmix
from uss_ray.models.protocols import is_masking


def network(**settings: object) -> OpenUnmix:
    torch.manual_seed(0)
    small = {"condition_size": 3, "hidden_channels": 4, "layers": 2, "window_samples": 64, "hop_samples": 16}
    return OpenUnmix(OpenUnmixConfig(**{**small, **settings}))


def test_masks_are_real_and_never_amplify_and_estimates_are_as_long_as_the_mixture() -> None:
    net = network().eval()
    assert is_masking(net)
    mixture, condition = torch.randn(2, 333), torch.eye(3)[:2]
    with torch.no_grad():
        masks = net.masks(net.stft(mixture.unsqueeze(1)), condition)
        assert net(mixture, condition).shape == (2, 333)
        other = net.masks(net.stft(mixture.unsqueeze(1)), condition.flip(0))
    assert not masks.imag.any()
    assert masks.real.min() >= 0
    assert masks.real.max() <= 1
    assert not masks[..., -1].any()
    assert not torch.allclose(masks, other)


def test_every_parameter_is_trained() -> None:
    net = network(film={"framewise": True}).train()
    for parameter in net.film.parameters():
        torch.nn.init.normal_(parameter)
    net(torch.randn(4, 333), torch.rand(4, 3), torch.rand(4, 7)).square().sum().backward()
    assert [name for name, each in net.named_parameters() if each.grad is None or not each.grad.any()] == []


def test_both_directions_have_as_many_channels() -> None:
    with pytest.raises(ConfigError, match="hidden_channels: expected an even number, found 5"):
        network(hidden_channels=5)
