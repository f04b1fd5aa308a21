"""Separation metrics in float64 numpy. Every figure is in dB."""

from __future__ import annotations

import numpy as np

_FLOOR = 1e-10
_FLOAT32_EPSILON = float(np.finfo(np.float32).eps)


def sdr(estimate: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Signal-to-distortion ratio, not scale-invariant.

    Parameters
    ----------
    estimate, reference : ndarray of shape (..., samples)

    Returns
    -------
    ndarray of shape (...)
        10·log10(mean reference² / mean (estimate − reference)²) in dB; neither mean below 1e-10.

    Raises
    ------
    ValueError
        If the shapes differ.

    Notes
    -----
    The released program's definition (AudioSet and Slakh evaluations of Kong et al. 2023).

    Examples
    --------
    >>> float(sdr(np.array([1.0, 0.9]), np.array([1.0, 1.0])).round(2))
    23.01
    """
    if estimate.shape != reference.shape:
        raise ValueError(f"estimate: expected shape {reference.shape}, found {estimate.shape}")
    reference = reference.astype(np.float64)
    distortion = np.square(estimate.astype(np.float64) - reference).mean(axis=-1)
    energy = np.square(reference).mean(axis=-1)
    return np.asarray(10 * np.log10(np.maximum(energy, _FLOOR) / np.maximum(distortion, _FLOOR)))


def sdr_improvement(estimate: np.ndarray, reference: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """SDR of the estimate minus SDR of the mixture itself, shapes as in `sdr`."""
    return np.asarray(sdr(estimate, reference) - sdr(mixture, reference))


def is_silent(waveform: np.ndarray) -> bool:
    """Tell whether a reference is digital silence: then no ratio to it is defined."""
    return not np.square(waveform, dtype=np.float64).sum() > _FLOOR


def si_sdr(estimate: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Scale-invariant SDR (Le Roux et al. 2019): that of the estimate against its projection onto the reference.

    Parameters
    ----------
    estimate, reference : ndarray of shape (..., samples)
        Their means are let be.

    Returns
    -------
    ndarray of shape (...)
        In dB.
    """
    estimate, reference = estimate.astype(np.float64), reference.astype(np.float64)
    energy = np.maximum(np.square(reference).sum(axis=-1, keepdims=True), _FLOOR)
    target = (estimate * reference).sum(axis=-1, keepdims=True) / energy * reference
    distortion = np.square(estimate - target).sum(axis=-1)
    wanted = np.square(target).sum(axis=-1)
    return np.asarray(10 * np.log10(np.maximum(wanted, _FLOOR) / np.maximum(distortion, _FLOOR)))


def snr(estimate: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """SNR as the DCASE challenges compute it: both sums with float32's epsilon.

    Parameters
    ----------
    estimate, reference : ndarray of shape (..., samples)

    Returns
    -------
    ndarray of shape (...)
        In dB.
    """
    reference = reference.astype(np.float64)
    noise = np.square(estimate.astype(np.float64) - reference).sum(axis=-1) + _FLOAT32_EPSILON
    return np.asarray(10 * np.log10((np.square(reference).sum(axis=-1) + _FLOAT32_EPSILON) / noise))
