from __future__ import annotations

import pytest

from uss_ray.errors import ConfigError
from uss_ray.models.network_settings import (
    BandedResUNetConfig,
    BandSplitConfig,
    ConvTasNetConfig,
    ResUNetConfig,
)


def test_a_window_must_divide_by_the_stages_of_a_resunet():
    with pytest.raises(ConfigError, match="half of it divisible by 64 for 6 stages, found 2000"):
        ResUNetConfig(window_samples=2000)
    assert ResUNetConfig().time_pooling == 32


def test_filters_of_a_conv_tasnet_have_an_even_length():
    with pytest.raises(ConfigError, match="kernel_samples: expected an even number, found 33"):
        ConvTasNetConfig(kernel_samples=33)


@pytest.mark.parametrize(
    ("config", "name"), [(BandedResUNetConfig, "banded ResUNet"), (BandSplitConfig, "band-split")]
)
@pytest.mark.parametrize("counts", [(128, 64, 64, 63), (128, 64, 64, 64, 1), (512, 256)])
def test_bands_hold_every_bin_below_the_topmost(config, name, counts):
    with pytest.raises(
        ConfigError, match=f"{name} bands_of_width: expected 4 numbers of bands that hold 1024"
    ):
        config(band_widths=(1, 2, 4, 8), bands_of_width=counts)


def test_bands_must_divide_by_the_stages_of_a_resunet():
    with pytest.raises(ConfigError, match="expected a sum divisible by 64 for 6 stages, found 288"):
        BandedResUNetConfig(band_widths=(1, 2, 8), bands_of_width=(128, 64, 96))
