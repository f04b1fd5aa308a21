from __future__ import annotations

import pytest
import torch

from uss_ray.errors import ConfigError
from uss_ray.models.band_split import BandSplit
from uss_ray.models.network_settings import BandSplitConfig
from uss_ray.models.protocols import has_shared_trunk, is_masking

SMALL = {
    "condition_size": 3,
    "band_widths": (2, 4),
    "bands_of_width": (8, 4),
    "channels": 8,
    "hidden_channels": 8,
    "heads": 2,
    "trunk_blocks": 1,
    "window_samples": 64,
    "hop_samples": 16,
    "sample_rate": 8000,
}


def network(**settings: object) -> BandSplit:
    torch.manual_seed(0)
    return BandSplit(BandSplitConfig(**{**SMALL, **settings})).eval()


def test_what_was_heard_once_serves_every_target() -> None:
    net = network()
    assert is_masking(net)
    assert has_shared_trunk(net)
    mixture, conditions = torch.randn(1, 500), torch.eye(3)
    spectrogram = net.stft(mixture.unsqueeze(1))
    with torch.no_grad():
        heard = net.listen(spectrogram)
        together = net.masks(spectrogram.expand(3, -1, -1, -1), conditions)
        one_by_one = torch.cat([net.masks_of(heard, condition[None]) for condition in conditions])
        estimates = net(mixture.expand(3, -1), conditions)
    torch.testing.assert_close(one_by_one, together)
    assert heard.shape == (1, 32, 12, 8)
    assert estimates.shape == (3, 500)
    assert together.abs().max() <= 1 + 1e-5
    assert not together[..., -1].any()
    assert not torch.allclose(together[0], together[1])


def test_the_mask_does_not_depend_on_the_level_of_the_mixture() -> None:
    net = network()
    spectrogram = net.stft(torch.randn(1, 1, 500))
    with torch.no_grad():
        loud, quiet = (net.masks(level * spectrogram, torch.eye(3)[:1]) for level in (1.0, 0.01))
        silence = net.masks(0 * spectrogram, torch.eye(3)[:1])
    torch.testing.assert_close(loud, quiet, atol=1e-4, rtol=1e-4)
    assert silence.isfinite().all()


def test_every_parameter_is_trained() -> None:
    net = network(film={"kind": "scale-shift", "framewise": True}).train()
    for parameter in net.film.parameters():
        torch.nn.init.normal_(parameter)
    net(torch.randn(2, 500), torch.rand(2, 3), torch.rand(2, 7)).square().sum().backward()
    assert [name for name, each in net.named_parameters() if each.grad is None or not each.grad.any()] == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bands_of_width": (8, 3)}, "bands_of_width: expected 2 numbers of bands that hold 32 bins"),
        ({"heads": 3}, "heads: expected a divisor of 8, found 3"),
        ({"kernel_size": 4}, "kernel_size: expected an odd number"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BandSplitConfig(**{**SMALL, **settings})
