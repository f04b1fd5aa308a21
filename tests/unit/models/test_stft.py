from __future__ import annotations

import pytest
import torch

from uss_ray.models.stft import Stft


@pytest.mark.parametrize("hop_samples", [320, 1000])
@pytest.mark.parametrize("samples", [1, 700, 1025, 5000, 5999, 64000])
def test_the_inverse_gives_back_the_signal_at_its_exact_length(samples: int, hop_samples: int) -> None:
    stft = Stft(window_samples=2048, hop_samples=hop_samples)
    signal = torch.randn(2, 1, samples, generator=torch.Generator().manual_seed(0))
    back = stft.inverse(stft(signal), samples=samples)
    assert back.shape == signal.shape
    assert torch.allclose(back, signal, atol=1e-5)


@pytest.mark.parametrize("behind", [1, 2, 700, 850, 999, 1000])
@pytest.mark.parametrize("hop_samples", [320, 500, 512, 700, 1000])
def test_what_a_mask_changes_is_no_louder_at_the_end_than_elsewhere(hop_samples: int, behind: int) -> None:
    generator = torch.Generator().manual_seed(1)
    stft = Stft(window_samples=2048, hop_samples=hop_samples)
    signal = torch.randn(8, 20 * hop_samples + behind, generator=generator)
    spectrogram = stft(signal)
    mask = torch.rand(spectrogram.shape, generator=generator).round()
    kept, removed = (
        stft.inverse(spectrogram * each, samples=signal.shape[-1]) for each in (mask, 1.0 - mask)
    )
    assert torch.allclose(kept + removed, signal, atol=1e-4)
    assert kept[:, -hop_samples:].abs().max() < 1.5 * kept[:, :-hop_samples].abs().max()


def test_features_end_where_they_did() -> None:
    stft = Stft(window_samples=1024, hop_samples=640, is_inverted=False)
    assert stft(torch.zeros(1, 6401)).shape[-2] == stft.frames(6401) == 11
    assert Stft(window_samples=1024, hop_samples=640).frames(6401) == 12


@pytest.mark.parametrize("hop_samples", [100, 160])
def test_frames_says_how_many_frames_come_out(hop_samples: int) -> None:
    stft = Stft(window_samples=512, hop_samples=hop_samples)
    for samples in (1, 300, 512, 1600, 1601):
        assert stft(torch.zeros(1, samples)).shape[-2] == stft.frames(samples)
