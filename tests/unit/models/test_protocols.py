from __future__ import annotations

from uss_ray.models.conv_tasnet import ConvTasNet
from uss_ray.models.network_settings import ConvTasNetConfig, ResUNetConfig
from uss_ray.models.protocols import MaskingSeparator, Separator, is_masking
from uss_ray.models.resunet import ResUNet


def test_the_networks_say_what_they_are() -> None:
    resunet: MaskingSeparator = ResUNet(
        ResUNetConfig(channels=(2, 2), bottleneck_channels=2, stem_channels=2, condition_size=4)
    )
    tasnet: Separator = ConvTasNet(
        ConvTasNetConfig(filters=4, channels=4, hidden_channels=4, stacks=1, condition_size=4)
    )
    assert is_masking(resunet)
    assert not is_masking(tasnet)
    for separator in (resunet, tasnet):
        assert (separator.sample_rate, separator.condition_size) == (32_000, 4)
