from __future__ import annotations

import pytest

from uss_ray.errors import ConfigError
from uss_ray.models.network_settings import ConvTasNetConfig, ResUNetConfig


def test_a_window_must_divide_by_the_stages_of_a_resunet():
    with pytest.raises(ConfigError, match="half of it divisible by 64 for 6 stages, found 2000"):
        ResUNetConfig(window_samples=2000)
    assert ResUNetConfig().time_pooling == 32


def test_filters_of_a_conv_tasnet_have_an_even_length():
    with pytest.raises(ConfigError, match="kernel_samples: expected an even number, found 33"):
        ConvTasNetConfig(kernel_samples=33)
