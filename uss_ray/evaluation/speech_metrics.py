"""Metrics of speech enhancement: segmental SNR, log-likelihood ratio, spectral slopes, and Loizou's composites.

Owns them after their definitions (Loizou, Speech Enhancement, 2nd edition; Hu and Loizou 2008), with the frames of the
program that the paper's figures come from. PESQ and STOI are libraries' (extras `pesq` and `evaluation`).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from uss_ray.errors import ConfigError
from uss_ray.evaluation.metrics import is_silent

SPEECH_RATE: Final = 16_000
"""Rate in Hz at which speech is scored."""

_EPSILON = float(np.finfo(np.float64).eps)
_FRAME_SECONDS, _OVERLAP = 0.03, 0.75
_KEPT_SHARE = 0.95
_ORDER = 16
_SEGMENT_DB = (-10.0, 35.0)
_MOS = (1.0, 5.0)
_NO_LIKELIHOOD = 1000.0

# Critical bands of Klatt's weighted spectral slope measure, in Hz.
_CENTRES = np.array([
    50.0, 120.0, 190.0, 260.0, 330.0, 400.0, 470.0, 540.0, 617.372, 703.378, 798.717, 904.128, 1020.38, 1148.30,
    1288.72, 1442.54, 1610.70, 1794.16, 1993.93, 2211.08, 2446.71, 2701.97, 2978.04, 3276.17, 3597.63,
])  # fmt: skip
_WIDTHS = np.array([
    70.0, 70.0, 70.0, 70.0, 70.0, 70.0, 70.0, 77.3724, 86.0056, 95.3398, 105.411, 116.256, 127.914, 140.423, 153.823,
    168.154, 183.457, 199.776, 217.153, 235.631, 255.255, 276.072, 298.126, 321.465, 346.136,
])  # fmt: skip
_K_MAX, _K_LOCAL = 20.0, 1.0

Floats = NDArray[np.float64]


def segmental_snr(
    estimate: NDArray[np.floating], reference: NDArray[np.floating], *, sample_rate: int
) -> float:
    """Mean over frames of 30 ms of the SNR, each in [-10, 35] dB; the last frame is left out.

    Parameters
    ----------
    estimate, reference : ndarray of shape (samples,)
    sample_rate : int
        In Hz.

    Returns
    -------
    float
        In dB.
    """
    reference = reference.astype(np.float64)
    clean = _frames(reference, sample_rate)
    noise = _frames(reference - estimate.astype(np.float64), sample_rate)
    ratio = np.square(clean).sum(axis=1) / (np.square(noise).sum(axis=1) + _EPSILON)
    return float(np.clip(10 * np.log10(ratio + _EPSILON), *_SEGMENT_DB)[:-1].mean())


def log_likelihood_ratio(
    estimate: NDArray[np.floating],
    reference: NDArray[np.floating],
    *,
    sample_rate: int,
    limit: float | None = 2.0,
) -> float:
    """Distance of the linear predictors of frames; mean of the best 95 %.

    Parameters
    ----------
    estimate, reference : ndarray of shape (samples,)
    sample_rate : int
        In Hz.
    limit : float or None, default=2.0
        Largest distance of a frame; None as the composites take it.
    """
    clean, found = (
        _frames(sound.astype(np.float64) + _EPSILON, sample_rate)[:-1] for sound in (reference, estimate)
    )
    correlation = _autocorrelation(clean)
    of_clean, of_found = _predictor(correlation), _predictor(_autocorrelation(found))
    lags = np.abs(np.arange(_ORDER + 1)[:, None] - np.arange(_ORDER + 1))
    matrix = correlation[:, lags]
    above = np.einsum("fi,fij,fj->f", of_found, matrix, of_found)
    below = np.einsum("fi,fij,fj->f", of_clean, matrix, of_clean)
    ratio = above / below
    distances = np.log(np.where(ratio <= 0, _NO_LIKELIHOOD, ratio))
    return _mean_of_best(distances if limit is None else np.minimum(distances, limit))


def spectral_slopes(
    estimate: NDArray[np.floating], reference: NDArray[np.floating], *, sample_rate: int
) -> float:
    """Klatt's weighted distance of the spectral slopes in 25 critical bands; mean of the best 95 % of frames.

    Parameters
    ----------
    estimate, reference : ndarray of shape (samples,)
    sample_rate : int
        In Hz.
    """
    clean, found = (
        _band_levels(sound.astype(np.float64) + _EPSILON, sample_rate) for sound in (reference, estimate)
    )
    slopes_clean, slopes_found = np.diff(clean, axis=1), np.diff(found, axis=1)
    weights = (_weights(clean, slopes_clean) + _weights(found, slopes_found)) / 2
    distances = (weights * np.square(slopes_clean - slopes_found)).sum(axis=1) / weights.sum(axis=1)
    return _mean_of_best(distances)


def composites(
    estimate: NDArray[np.floating], reference: NDArray[np.floating], *, sample_rate: int, pesq: float
) -> tuple[float, float, float]:
    """Predicted opinions of signal, background and the whole (Hu and Loizou 2008, wide band).

    Parameters
    ----------
    estimate, reference : ndarray of shape (samples,)
    sample_rate : int
        In Hz.
    pesq : float
        Wide band.

    Returns
    -------
    csig, cbak, covl : float
        In [1, 5].
    """
    slopes = spectral_slopes(estimate, reference, sample_rate=sample_rate)
    likelihood = log_likelihood_ratio(estimate, reference, sample_rate=sample_rate, limit=None)
    segments = segmental_snr(estimate, reference, sample_rate=sample_rate)
    csig = 3.093 - 1.029 * likelihood + 0.603 * pesq - 0.009 * slopes
    cbak = 1.634 + 0.478 * pesq - 0.007 * slopes + 0.063 * segments
    covl = 1.594 + 0.805 * pesq - 0.512 * likelihood - 0.007 * slopes
    least, most = _MOS
    return min(most, max(least, csig)), min(most, max(least, cbak)), min(most, max(least, covl))


def pesq_wide_band(estimate: NDArray[np.floating], reference: NDArray[np.floating]) -> float | None:
    """PESQ at 16 kHz, wide band; None where it hears no speech.

    Raises
    ------
    ConfigError
        If the library is not installed.
    """
    library = _library("pesq")
    if is_silent(estimate) or is_silent(reference):
        return None
    try:
        return float(library.pesq(SPEECH_RATE, reference, estimate, "wb"))
    except library.PesqError:
        return None


def stoi(estimate: NDArray[np.floating], reference: NDArray[np.floating]) -> float:
    """Short-time objective intelligibility at 16 kHz, in [0, 1].

    Raises
    ------
    ConfigError
        If the library is not installed.
    """
    return float(_library("pystoi").stoi(reference, estimate, SPEECH_RATE))


def _library(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        expected = f"{name} (pip install 'uss-ray[{'pesq' if name == 'pesq' else 'evaluation'}]')"
        raise ConfigError("speech metrics", expected=expected, found="no such package") from error


def _frames(waveform: NDArray[np.floating], sample_rate: int) -> Floats:
    length = round(_FRAME_SECONDS * sample_rate)
    step = int((1 - _OVERLAP) * _FRAME_SECONDS * sample_rate)
    window = 0.5 * (1 - np.cos(2 * np.pi * np.arange(1, length + 1) / (length + 1)))
    return np.lib.stride_tricks.sliding_window_view(waveform, length)[::step] * window


def _autocorrelation(frames: Floats) -> Floats:
    length = frames.shape[1]
    lags = [(frames[:, : length - lag] * frames[:, lag:]).sum(axis=1) for lag in range(_ORDER + 1)]
    return np.stack(lags, axis=1)


def _predictor(correlation: Floats) -> Floats:
    """Levinson and Durbin's recursion, for all frames at once."""
    count = len(correlation)
    coefficients = np.zeros((count, _ORDER))
    error = correlation[:, 0].copy()
    for order in range(_ORDER):
        past = coefficients[:, :order].copy()
        told = (past * correlation[:, order:0:-1]).sum(axis=1)
        reflection = (correlation[:, order + 1] - told) / error
        coefficients[:, order] = reflection
        coefficients[:, :order] = past - reflection[:, None] * past[:, ::-1]
        error *= 1 - np.square(reflection)
    return np.concatenate([np.ones((count, 1)), -coefficients], axis=1)


def _band_levels(waveform: Floats, sample_rate: int) -> Floats:
    frames = _frames(waveform, sample_rate)[:-1]
    size = 2 ** int(np.ceil(np.log2(2 * frames.shape[1])))
    bins = size // 2
    spectra = np.square(np.abs(np.fft.rfft(frames, size)))[:, :bins]
    centres, widths = _CENTRES / (sample_rate / 2) * bins, _WIDTHS / (sample_rate / 2) * bins
    exponent = -11 * np.square((np.arange(bins) - np.floor(centres)[:, None]) / widths[:, None])
    filters = np.exp(exponent + np.log(_WIDTHS[0]) - np.log(_WIDTHS)[:, None])
    filters *= filters > np.exp(-30 / (2 * 2.303))
    return 10 * np.log10(np.maximum(spectra @ filters.T, 1e-10))


def _weights(levels: Floats, slopes: Floats) -> Floats:
    own = levels[:, :-1]
    highest = levels.max(axis=1, keepdims=True)
    return _K_MAX / (_K_MAX + highest - own) * _K_LOCAL / (_K_LOCAL + _nearest_peaks(levels, slopes) - own)


def _nearest_peaks(levels: Floats, slopes: Floats) -> Floats:
    """Give the level of the peak that each band climbs to, to its right where the slope goes up."""
    frames, bands = slopes.shape
    peaks = np.zeros_like(slopes)
    rows = np.arange(frames)
    for band in range(bands):
        is_up = slopes[:, band] > 0
        at = np.full(frames, band)
        for _ in range(bands):
            safe = np.clip(at, 0, bands - 1)
            climbs = np.where(
                is_up, (at < bands) & (slopes[rows, safe] > 0), (at >= 0) & (slopes[rows, safe] <= 0)
            )
            at = np.where(climbs, np.where(is_up, at + 1, at - 1), at)
        peaks[:, band] = levels[rows, np.where(is_up, at - 1, at + 1)]
    return peaks


def _mean_of_best(distances: Floats) -> float:
    return float(np.sort(distances)[: round(len(distances) * _KEPT_SHARE)].mean())
