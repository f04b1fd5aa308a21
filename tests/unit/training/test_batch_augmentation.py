from __future__ import annotations

import numpy as np
import pytest
import torch

from uss_ray.training import augmentation
from uss_ray.training.batch_augmentation import add_rooms, augment_batch, change_speeds, tilt_spectra
from uss_ray.training.recipe import AugmentationSettings

RATE, SAMPLES = 8000, 8000


def tones(*hertz: float) -> torch.Tensor:
    return torch.sin(2 * torch.pi * torch.tensor(hertz)[:, None] * torch.arange(SAMPLES) / RATE)


def test_each_is_played_at_its_own_speed_as_by_the_resampler_of_one():
    factors = torch.tensor([0.93, 1.0, 1.07])
    played = change_speeds(tones(1000, 1000, 1000), factors=factors)
    for row, factor in zip(played.numpy(), factors.tolist(), strict=True):
        alone = augmentation.change_speed(tones(1000)[0].numpy(), factor=factor)
        middle = slice(200, 7000)
        assert np.abs(row[middle] - alone[middle]).max() < 0.01


def test_each_is_tilted_by_its_own_slope_as_one_alone():
    slopes = torch.tensor([-3.0, 0.0, 2.0])
    noise = torch.randn(3, SAMPLES, generator=torch.Generator().manual_seed(0))
    tilted = tilt_spectra(noise, sample_rate=RATE, db_per_octave=slopes)
    for row, one, slope in zip(tilted, noise, slopes.tolist(), strict=True):
        alone = augmentation.tilt_spectrum(one.numpy(), sample_rate=RATE, db_per_octave=slope)
        assert row.numpy() == pytest.approx(alone, abs=1e-4)


def test_each_room_has_its_own_level():
    torch.manual_seed(0)
    dry = torch.randn(3, SAMPLES)
    dry[2] = 0
    late = add_rooms(dry, sample_rate=RATE, gains=torch.tensor([0.0, 0.5, 0.5])) - dry
    levels = late.square().mean(dim=1).sqrt() / dry.square().mean(dim=1).sqrt().clamp(min=1e-9)
    assert levels.tolist() == pytest.approx([0.0, 0.5, 0.0], abs=1e-5)


def test_all_draws_come_from_the_generator_of_torch():
    everything = AugmentationSettings(speed=0.07, tilt_db_per_octave=3.0, polarity=True, room=1.0)
    made = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        made.append(augment_batch(tones(500, 700), sample_rate=RATE, settings=everything))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
    assert made[0].shape == (2, SAMPLES)
    off = augment_batch(tones(500), sample_rate=RATE, settings=AugmentationSettings())
    assert torch.equal(off, tones(500))
