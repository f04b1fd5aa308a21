from __future__ import annotations

import pytest
import torch

from uss_ray.models.stft import Stft


@pytest.mark.parametrize("samples", [1, 700, 1025, 5000, 64000])
def test_the_inverse_gives_back_the_signal_at_its_exact_length(samples: int) -> None:
    stft = Stft(window_samples=2048, hop_samples=320)
    signal = torch.randn(2, 1, samples, generator=torch.Generator().manual_seed(0))
    back = stft.inverse(stft(signal), samples=samples)
    assert back.shape == signal.shape
    assert torch.allclose(back, signal, atol=1e-5)


def test_frames_says_how_many_frames_come_out() -> None:
    stft = Stft(window_samples=512, hop_samples=160)
    for samples in (1, 300, 512, 1600, 1601):
        assert stft(torch.zeros(1, samples)).shape[-2] == stft.frames(samples)
