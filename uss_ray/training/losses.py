"""What the separator is trained to make small."""

from __future__ import annotations

import torch
from torch import Tensor

from uss_ray.training.recipe import LossSettings

_SILENT_SHARE = 1e-8
_LEAST_ENERGY = 1e-12
_STFT_WINDOWS = (512, 1024, 2048)


def separation_loss(estimate: Tensor, target: Tensor, mixture: Tensor, *, settings: LossSettings) -> Tensor:
    """Give the mean loss of a batch.

    Parameters
    ----------
    estimate, target, mixture : Tensor of shape (batch, samples)
    settings : LossSettings

    Returns
    -------
    Tensor of shape ()
    """
    if settings.kind == "l1":
        return (estimate - target).abs().mean()
    if settings.kind == "l1-relative":
        return l1_relative(estimate, target, mixture)
    if settings.kind == "l1-stft":
        return l1_relative(estimate, target, mixture) + stft_difference(estimate, target, mixture)
    return negative_snr(
        estimate, target, mixture, cap_db=settings.snr_cap_db, silent_weight=settings.silent_weight
    )


def l1_relative(estimate: Tensor, target: Tensor, mixture: Tensor) -> Tensor:
    """Mean absolute difference, each item scaled by the level of its mixture, so that quiet items count as loud ones.

    All of shape (batch, ..., samples).
    """
    level = mixture.abs().flatten(1).mean(dim=1).clamp(min=1e-6)
    return ((estimate - target).abs().flatten(1).mean(dim=1) / level).mean()


def stft_difference(estimate: Tensor, target: Tensor, mixture: Tensor) -> Tensor:
    """Mean absolute difference of magnitudes over the mixture's mean magnitude, averaged over three resolutions."""
    total = estimate.new_zeros(())
    for window in _STFT_WINDOWS:
        if window // 2 < estimate.shape[-1]:
            found, wanted, whole = (_magnitudes(wave, window) for wave in (estimate, target, mixture))
            level = whole.flatten(1).mean(dim=1).clamp(min=1e-6)
            total = total + ((found - wanted).abs().flatten(1).mean(dim=1) / level).mean()
    return total / len(_STFT_WINDOWS)


def negative_snr(
    estimate: Tensor, target: Tensor, mixture: Tensor, *, cap_db: float, silent_weight: float
) -> Tensor:
    """Negative signal-to-noise ratio in dB, with an error floor `cap_db` under the signal.

    Where the target is silence there is no ratio: the error is taken against the mixture, with the same floor, and
    weighted.

    Notes
    -----
    Thresholded as in Wisdom et al. 2021 ("What's all the fuss about free universal sound separation data?").
    """
    error = (estimate - target).square().mean(dim=-1)
    signal, whole = target.square().mean(dim=-1), mixture.square().mean(dim=-1)
    is_silent = signal <= _SILENT_SHARE * whole
    reference = torch.where(is_silent, whole, signal) + _LEAST_ENERGY
    floor = 10.0 ** (-cap_db / 10.0)
    loss = 10.0 * torch.log10(error / reference + floor)
    return (loss * torch.where(is_silent, silent_weight, 1.0)).mean()


def _magnitudes(waveform: Tensor, window: int) -> Tensor:
    hann = torch.hann_window(window, device=waveform.device)
    spectrogram = torch.stft(
        waveform.reshape(-1, waveform.shape[-1]), window, window // 4, window=hann, return_complex=True
    )
    return spectrogram.abs().unflatten(0, waveform.shape[:-1])
