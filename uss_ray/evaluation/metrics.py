"""Separation metrics in float64 numpy. Every figure is in dB."""

from __future__ import annotations

import numpy as np

_FLOOR = 1e-10


def sdr(estimate: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Signal-to-distortion ratio, not scale-invariant.

    Parameters
    ----------
    estimate, reference : ndarray of shape (..., samples)

    Returns
    -------
    ndarray of shape (...)
        10·log10(Σ reference² / Σ (estimate − reference)²) in dB.

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
    distortion = np.square(estimate.astype(np.float64) - reference).sum(axis=-1)
    energy = np.square(reference).sum(axis=-1)
    return np.asarray(10 * np.log10(np.maximum(energy, _FLOOR) / np.maximum(distortion, _FLOOR)))


def sdr_improvement(estimate: np.ndarray, reference: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """SDR of the estimate minus SDR of the mixture itself, shapes as in `sdr`."""
    return np.asarray(sdr(estimate, reference) - sdr(mixture, reference))
