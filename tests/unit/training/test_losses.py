from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from uss_ray.training.losses import l1_relative, negative_snr, separation_loss, stft_difference
from uss_ray.training.recipe import LossSettings


@pytest.fixture
def batch() -> tuple[Tensor, Tensor, Tensor]:
    rng = np.random.default_rng(0)
    target, other, error = (
        torch.from_numpy(rng.standard_normal((3, 4000)).astype(np.float32)) for _ in range(3)
    )
    return target + 0.1 * error, target, target + other


def test_l1_is_the_mean_absolute_difference(batch):
    estimate, target, mixture = batch
    expected = np.abs(estimate.numpy() - target.numpy()).mean()
    assert float(separation_loss(*batch, settings=LossSettings(kind="l1"))) == pytest.approx(
        expected, rel=1e-6
    )
    levels = np.abs(mixture.numpy()).mean(axis=1)
    relative = (np.abs(estimate.numpy() - target.numpy()).mean(axis=1) / levels).mean()
    assert float(l1_relative(*batch)) == pytest.approx(relative, rel=1e-6)


def test_quiet_items_count_as_loud_ones(batch):
    quiet = [wave.clone() for wave in batch]
    for wave in quiet:
        wave[0] *= 1e-3
    for kind in ("l1-relative", "l1-stft", "snr"):
        settings = LossSettings(kind=kind)
        assert float(separation_loss(*quiet, settings=settings)) == pytest.approx(
            float(separation_loss(*batch, settings=settings)), rel=1e-4
        )


def test_negative_snr_is_the_mean_ratio_in_decibels_below_its_cap(batch):
    estimate, target, mixture = batch
    loss = negative_snr(estimate, target, mixture, cap_db=100.0, silent_weight=0.1)
    signal, error = target.double().numpy(), (estimate - target).double().numpy()
    ratios = 10 * np.log10((signal**2).sum(axis=1) / (error**2).sum(axis=1))
    assert float(loss) == pytest.approx(-ratios.mean(), abs=1e-3)


def test_the_cap_is_the_best_that_can_be_had(batch):
    _, target, mixture = batch
    assert float(negative_snr(target, target, mixture, cap_db=30.0, silent_weight=1.0)) == pytest.approx(
        -30.0
    )


def test_a_silent_target_is_weighed_against_its_mixture(batch):
    _, _, mixture = batch
    silence = torch.zeros_like(mixture)
    loud, quiet = (
        float(negative_snr(share * mixture, silence, mixture, cap_db=30.0, silent_weight=0.5))
        for share in (1.0, 0.1)
    )
    assert loud == pytest.approx(0.0, abs=0.01)
    assert quiet == pytest.approx(0.5 * 10 * np.log10(0.01 + 1e-3), abs=0.01)


def test_the_spectral_difference_is_nothing_for_the_target_and_one_for_the_mixture_of_it_alone(batch):
    _, target, mixture = batch
    assert float(stft_difference(target, target, mixture)) == 0.0
    assert float(stft_difference(torch.zeros_like(mixture), mixture, mixture)) == pytest.approx(1.0, rel=1e-3)


def test_the_spectral_difference_is_that_of_magnitudes_at_three_resolutions(batch):
    total = 0.0
    for window in (512, 1024, 2048):
        shape = np.hanning(window + 1)[:-1]
        magnitudes = []
        for wave in batch:
            padded = np.pad(wave.double().numpy(), ((0, 0), (window // 2, window // 2)), mode="reflect")
            starts = range(0, padded.shape[1] - window + 1, window // 4)
            frames = np.stack([padded[:, start : start + window] * shape for start in starts], axis=1)
            magnitudes.append(np.abs(np.fft.rfft(frames)))
        found, wanted, whole = magnitudes
        total += (np.abs(found - wanted).mean(axis=(1, 2)) / whole.mean(axis=(1, 2))).mean() / 3
    assert float(stft_difference(*batch)) == pytest.approx(total, rel=1e-4)
    both = float(separation_loss(*batch, settings=LossSettings(kind="l1-stft")))
    assert both == pytest.approx(float(l1_relative(*batch)) + total, rel=1e-4)


@pytest.mark.parametrize("kind", ["l1", "l1-relative", "l1-stft", "snr"])
def test_every_loss_has_finite_gradients_also_for_silence(batch, kind):
    estimate, target, mixture = (wave.clone() for wave in batch)
    target[1] = 0
    mixture[2] = target[2] = estimate[2] = 0
    estimate.requires_grad_()
    separation_loss(estimate, target, mixture, settings=LossSettings(kind=kind)).backward()
    assert torch.isfinite(estimate.grad).all()
