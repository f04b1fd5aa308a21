"""Mel filters: those of torchaudio, and what makes them so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchaudio

from uss_ray.models.mel import hertz_of, mel_filters, mel_of


@pytest.mark.parametrize(
    ("bins", "sample_rate", "filters", "min_hertz", "max_hertz"),
    [(513, 32_000, 64, 50.0, 14_000.0), (1025, 44_100, 128, 0.0, 22_050.0), (257, 16_000, 40, 20.0, 7_600.0)],
)
def test_the_filters_are_those_of_torchaudio(
    bins: int, sample_rate: int, filters: int, min_hertz: float, max_hertz: float
) -> None:
    ours = mel_filters(
        bins=bins, sample_rate=sample_rate, filters=filters, min_hertz=min_hertz, max_hertz=max_hertz
    )
    theirs = torchaudio.functional.melscale_fbanks(
        bins, min_hertz, max_hertz, filters, sample_rate, norm="slaney", mel_scale="slaney"
    )
    assert ours.dtype == torch.float32
    # theirs are made in float32, with edges that are off by up to 1e-4 of a filter
    assert float((ours - theirs).abs().max() / theirs.max()) < 2e-5


def test_the_filters_of_the_starter_are_these() -> None:
    from uss_ray.weights.folder import read_folder
    from uss_ray.weights.known import starter_folder

    tagger = read_folder(starter_folder()).networks["tagger"]
    stored = tagger.log_mel.filters  # type: ignore[union-attr]
    made = mel_filters(bins=513, sample_rate=32_000, filters=64, min_hertz=50.0, max_hertz=14_000.0)
    assert float((stored - made).abs().max() / made.max()) < 2e-5


def test_mel_and_hertz_are_inverse() -> None:
    hertz = np.array([0.0, 50.0, 999.0, 1000.0, 1001.0, 14_000.0])
    np.testing.assert_allclose(hertz_of(np.array([mel_of(one) for one in hertz])), hertz, atol=1e-9)
