from __future__ import annotations

import pytest
import torch

from uss_ray.models.network_settings import (
    BandSplitConfig,
    ConvTasNetConfig,
    OpenUnmixConfig,
    ResUNetConfig,
    UNetConfig,
)
from uss_ray.models.protocols import hears_activity, is_masking
from uss_ray.models.registry import build_network

_SPECTRAL = {"condition_size": 3, "window_samples": 64, "hop_samples": 16, "sample_rate": 8000}
_UNET = {"channels": (2, 2), "bottleneck_channels": 2, "stem_channels": 2}
_BAND_SPLIT = {"band_widths": (8,), "bands_of_width": (4,), "channels": 8, "hidden_channels": 8}
_TASNET = {"filters": 4, "channels": 4, "hidden_channels": 4, "stacks": 1, "sample_rate": 8000}
SETTINGS = (
    ResUNetConfig(**_SPECTRAL, **_UNET),
    UNetConfig(**_SPECTRAL, **_UNET, passes=2),
    OpenUnmixConfig(**_SPECTRAL, hidden_channels=4, layers=1),
    BandSplitConfig(**_SPECTRAL, **_BAND_SPLIT),
    ConvTasNetConfig(condition_size=3, **_TASNET),
)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.architecture)
def test_every_network_says_what_it_takes_and_is_what_its_masks_say(settings) -> None:
    torch.manual_seed(0)
    net = build_network("separator", settings.model_dump()).eval()
    assert (net.sample_rate, net.condition_size) == (8000, 3)
    assert not hears_activity(net)
    follows = settings.replace(film={"kind": "scale-shift", "framewise": True})
    assert hears_activity(build_network("separator", follows.model_dump()))
    mixture, condition = torch.randn(2, 333), torch.rand(2, 3)
    with torch.no_grad():
        estimate = net(mixture, condition)
        assert estimate.shape == mixture.shape
        if is_masking(net):
            assert net.time_grid_samples == 16 * (2 if "unet" in settings.architecture else 1)
            spectrogram = net.stft(mixture.unsqueeze(1))
            masked = net.masks(spectrogram, condition) * spectrogram
            assert torch.equal(net.stft.inverse(masked, samples=333).squeeze(1), estimate)
