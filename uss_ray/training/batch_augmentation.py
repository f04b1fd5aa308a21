"""The same changes of sources as `augmentation`, for a whole batch at once where it lies: for data that a GPU holds.

Owns the arithmetic in torch; the ranges are those of `augmentation`, the draws come from torch's generator.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from uss_ray.training.augmentation import DECAY_TO, LOWEST_HZ, ROOM_SECONDS, TILT_PIVOT_HZ
from uss_ray.training.recipe import AugmentationSettings

_TAPS = 16


def augment_batch(waveforms: Tensor, *, sample_rate: int, settings: AugmentationSettings) -> Tensor:
    """Change sources, each by draws of its own.

    Parameters
    ----------
    waveforms : Tensor of shape (batch, samples), dtype=float32
    sample_rate : int
        In Hz.
    settings : AugmentationSettings

    Returns
    -------
    Tensor of shape (batch, samples)
        See `augmentation.augment`; speed is changed by 16 windowed taps in place of libsoxr.
    """
    if settings.is_off:
        return waveforms
    batch = len(waveforms)
    speed, tilt, sign, in_room, ratio = torch.rand(5, batch, device=waveforms.device)
    changed = waveforms
    if settings.speed:
        changed = change_speeds(changed, factors=1.0 + settings.speed * (2.0 * speed - 1.0))
    if settings.tilt_db_per_octave:
        slopes = settings.tilt_db_per_octave * (2.0 * tilt - 1.0)
        changed = tilt_spectra(changed, sample_rate=sample_rate, db_per_octave=slopes)
    if settings.room:
        low, high = settings.room_ratio_db
        gains = 10.0 ** ((low + (high - low) * ratio) / 20.0) * (in_room < settings.room)
        changed = add_rooms(changed, sample_rate=sample_rate, gains=gains)
    if settings.polarity:
        changed = changed * torch.where(sign < 0.5, -1.0, 1.0)[:, None]
    return changed


def change_speeds(waveforms: Tensor, *, factors: Tensor) -> Tensor:
    """Play each faster (above 1) or slower; the length stays, what a faster one lacks is silence at its end."""
    samples = waveforms.shape[-1]
    place = torch.arange(samples, device=waveforms.device, dtype=torch.float64) * factors.double()[:, None]
    first = place.floor()
    offset = (place - first).float()
    nearest = first.long()
    played = torch.zeros_like(waveforms)
    for tap in range(1 - _TAPS // 2, _TAPS // 2 + 1):
        at = nearest + tap
        distance = tap - offset
        window = torch.cos(math.pi * distance / _TAPS).square()
        values = waveforms.gather(1, at.clamp(0, samples - 1))
        inside = (at >= 0) & (at < samples)
        played += values * torch.sinc(distance) * window * inside
    return played


def tilt_spectra(waveforms: Tensor, *, sample_rate: int, db_per_octave: Tensor) -> Tensor:
    """Raise or lower high against low frequencies, each by its own slope; 1 kHz stays as it is."""
    samples = waveforms.shape[-1]
    frequencies = torch.fft.rfftfreq(samples, 1.0 / sample_rate, device=waveforms.device)
    octaves = torch.log2(frequencies.clamp(min=LOWEST_HZ) / TILT_PIVOT_HZ)
    gains = 10.0 ** (db_per_octave[:, None] * octaves / 20.0)
    return torch.fft.irfft(torch.fft.rfft(waveforms) * gains, n=samples)


def add_rooms(waveforms: Tensor, *, sample_rate: int, gains: Tensor) -> Tensor:
    """Add to each exponentially decaying reverberation of so many times its own level."""
    batch, samples = waveforms.shape
    low, high = ROOM_SECONDS
    longest = int(sample_rate * high)
    lengths = sample_rate * (low + (high - low) * torch.rand(batch, 1, device=waveforms.device))
    time = torch.arange(longest, device=waveforms.device)
    responses = torch.randn(batch, longest, device=waveforms.device) * torch.exp(-DECAY_TO * time / lengths)
    responses = responses * (time < lengths)
    size = samples + longest
    spectra = torch.fft.rfft(waveforms, size) * torch.fft.rfft(responses, size)
    reverberant = torch.fft.irfft(spectra, n=size)[:, :samples]
    direct, late = (each.square().mean(dim=1).sqrt() for each in (waveforms, reverberant))
    scale = torch.where(late > 0, gains * direct / late.clamp(min=1e-12), 0.0)
    return waveforms + scale[:, None] * reverberant
