from __future__ import annotations

import pytest
import torch

from uss_ray.models.htsat_settings import HtsatConfig
from uss_ray.models.log_mel import LogMel
from uss_ray.models.panns_settings import PannsConfig


def test_taggers_share_one_front_end() -> None:
    torch.manual_seed(0)
    sound = torch.randn(2, 20_000)
    assert torch.equal(LogMel(PannsConfig())(sound), LogMel(HtsatConfig())(sound))


def test_a_tone_stands_ten_decibels_above_the_same_tone_of_a_tenth_of_the_power() -> None:
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(32_000) / 32_000)
    front_end = LogMel(PannsConfig())
    loud, soft = (front_end(level * tone)[50].max() for level in (1.0, 10**-0.5))
    assert float(loud - soft) == pytest.approx(10.0, abs=1e-3)


def test_silence_is_the_floor() -> None:
    assert torch.equal(LogMel(PannsConfig())(torch.zeros(8000)), torch.full((26, 64), -100.0))


def test_autocast_does_not_blur_it() -> None:
    torch.manual_seed(0)
    sound = 1e-3 * torch.randn(1, 20_000)
    front_end = LogMel(PannsConfig())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = front_end(sound)
    assert cast.dtype == torch.float32
    assert torch.equal(cast, front_end(sound))
