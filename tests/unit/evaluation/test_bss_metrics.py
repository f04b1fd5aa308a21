from __future__ import annotations

import numpy as np
import pytest

from uss_ray.errors import ConfigError
from uss_ray.evaluation import bss_metrics
from uss_ray.evaluation.bss_metrics import bss_sdr

RATE = 8_000


@pytest.mark.slow
def test_it_is_the_median_of_the_ratios_of_seconds() -> None:
    rng = np.random.default_rng(0)
    reference = rng.standard_normal(3 * RATE).astype(np.float32)
    noise = rng.standard_normal(3 * RATE).astype(np.float32) * np.repeat([0.1, 0.2, 0.4], RATE)
    estimate = (reference + noise).astype(np.float32)
    by_hand = [
        10 * np.log10(np.square(part).sum() / np.square(wrong).sum())
        for part, wrong in zip(np.split(reference, 3), np.split(noise, 3), strict=True)
    ]
    assert bss_sdr(estimate, reference, sample_rate=RATE) == pytest.approx(np.median(by_hand), abs=1e-3)
    swapped = [
        10 * np.log10(np.square(part).sum() / np.square(wrong).sum())
        for part, wrong in zip(np.split(estimate, 3), np.split(noise, 3), strict=True)
    ]
    assert bss_sdr(reference, estimate, sample_rate=RATE) == pytest.approx(np.median(swapped), abs=1e-3)


def test_of_silence_it_is_not_defined() -> None:
    silence, sound = np.zeros(RATE, np.float32), np.ones(RATE, np.float32)
    assert bss_sdr(sound, silence, sample_rate=RATE) is None


def test_it_needs_no_program_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")  # museval itself does not even come up without ffmpeg
    bss_metrics._metrics.cache_clear()
    sound = np.ones(RATE, np.float32)
    assert bss_sdr(sound, np.zeros(RATE, np.float32), sample_rate=RATE) is None


def test_without_museval_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bss_metrics, "find_spec", lambda _: None)
    bss_metrics._metrics.cache_clear()
    sound = np.ones(RATE, np.float32)
    with pytest.raises(ConfigError, match=r"museval \(pip install"):
        bss_sdr(sound, sound, sample_rate=RATE)
