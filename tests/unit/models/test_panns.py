from __future__ import annotations

import pytest
import torch

from uss_ray.models.panns import Panns
from uss_ray.models.panns_settings import PannsConfig


def tiny(**changes: object) -> Panns:
    torch.manual_seed(0)
    settings = {"classes": 6, "block_channels": (4, 8, 8), "embedding_size": 10} | changes
    return Panns(PannsConfig(**settings)).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("samples", [1, 500, 32000, 50001])
@pytest.mark.parametrize("head", ["clip", "frame"])
def test_any_length_is_tagged(samples: int, head: str) -> None:
    model = tiny(head=head)
    with torch.inference_mode():
        tagging = model(torch.randn(2, samples))
    assert tagging.clipwise_probs.shape == (2, 6)
    assert tagging.embedding.shape == (2, 10)
    assert ((tagging.clipwise_probs >= 0) & (tagging.clipwise_probs <= 1)).all()
    if head == "frame":
        assert tagging.framewise_probs is not None
        assert tagging.framewise_probs.shape == (2, model.log_mel.stft.frames(samples), 6)
    else:
        assert tagging.framewise_probs is None


@pytest.mark.parametrize("pooling", ["max", "linear_softmax"])
def test_clip_wise_lies_between_the_mean_and_the_largest_frame(pooling: str) -> None:
    model = tiny(head="frame", pooling=pooling)
    with torch.inference_mode():
        tagging = model(torch.randn(1, 64000) * torch.linspace(0, 1, 64000))
    assert tagging.framewise_probs is not None
    assert (tagging.clipwise_probs <= tagging.framewise_probs.amax(dim=1) + 1e-6).all()
    assert (tagging.clipwise_probs >= tagging.framewise_probs.amin(dim=1) - 1e-6).all()
    if pooling == "max":
        assert torch.allclose(tagging.clipwise_probs, tagging.framewise_probs.amax(dim=1))


def test_one_convolution_a_block_makes_a_cnn6() -> None:
    model = tiny(convs_per_block=1, kernel_size=5)
    kernels = [m.kernel_size for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    assert kernels == [(5, 5)] * 3


def test_the_log_mel_of_a_tone_peaks_at_its_band() -> None:
    model = tiny()
    time = torch.arange(32000) / 32000
    low, high = (
        model.log_mel(torch.sin(2 * torch.pi * f * time)[None])[0].mean(0).argmax() for f in (200.0, 6000.0)
    )
    assert low < 10 < 40 < high
