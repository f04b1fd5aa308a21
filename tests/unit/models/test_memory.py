from __future__ import annotations

import copy

import torch

from uss_ray.models.memory import lay_out_channels_last
from uss_ray.models.network_settings import ResUNetConfig
from uss_ray.models.resunet import ResUNet


def test_the_layout_changes_memory_and_not_the_function() -> None:
    torch.manual_seed(0)
    plain = ResUNet(
        ResUNetConfig(condition_size=5, channels=(4, 8), stem_channels=4, window_samples=256, hop_samples=100)
    ).eval()
    last = lay_out_channels_last(copy.deepcopy(plain))
    assert last.stem.weight.shape == plain.stem.weight.shape
    convolution = last.encoder[0].blocks[0].conv1.weight
    assert convolution.is_contiguous(memory_format=torch.channels_last)
    mixture, condition = torch.randn(2, 5000), torch.rand(2, 5)
    with torch.inference_mode():
        torch.testing.assert_close(last(mixture, condition), plain(mixture, condition), rtol=1e-4, atol=1e-5)
