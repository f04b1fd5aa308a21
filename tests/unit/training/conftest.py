"""Anchors of two classes that are told apart by ear: tones and noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from uss_ray.anchors.pool import AnchorPool
from uss_ray.models.resunet import ResUNet, ResUNetConfig

RATE, SAMPLES = 4000, 1000


@pytest.fixture
def tones_and_noise() -> AnchorPool:
    """Even rows hold tones (class 0), odd rows noise (class 1); a bottleneck names the class."""
    rng = np.random.default_rng(0)
    audio = np.zeros((12, SAMPLES))
    for row in range(0, 12, 2):
        for hertz in rng.uniform(200, 1800, 3):
            audio[row] += np.sin(2 * np.pi * hertz / RATE * np.arange(SAMPLES))
    audio[1::2] = rng.standard_normal((6, SAMPLES))
    classes = np.arange(12) % 2
    return AnchorPool(
        class_indexes=classes,
        scores=np.ones(12, np.float32),
        conditions=np.eye(2, dtype=np.float32)[classes],
        label_indexes=[(int(c),) for c in classes],
        places=np.arange(12),
        audio=(audio / np.abs(audio).max() * 20000).astype(np.int16),
        sample_rate=RATE,
    )


@pytest.fixture
def separator() -> ResUNet:
    torch.manual_seed(0)
    return ResUNet(
        ResUNetConfig(
            condition_size=2,
            channels=(4, 8),
            bottleneck_channels=8,
            stem_channels=4,
            window_samples=128,
            hop_samples=64,
            sample_rate=RATE,
        )
    )
