"""BSSEval v4 by museval, in the right order of its arguments and in that of the released script."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uss_ray.errors import ConfigError


def bss_sdr(
    estimate: NDArray[np.float32], reference: NDArray[np.float32], *, sample_rate: int
) -> float | None:
    """Median over seconds of the SDR of BSSEval v4.

    Parameters
    ----------
    estimate, reference : ndarray of shape (samples,)
        In each other's place they give what the released script calls SDR.
    sample_rate : int
        In Hz.

    Returns
    -------
    float or None
        In dB; None where it is not defined, as of silence.

    Raises
    ------
    ConfigError
        If museval is not installed.
    """
    try:
        ratios = _museval().evaluate(
            references=reference[None, :, None].astype(np.float64),
            estimates=estimate[None, :, None].astype(np.float64),
            win=sample_rate,
            hop=sample_rate,
        )[0]
    except ValueError:  # all of one is silent
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no second is defined
        median = float(np.nanmedian(ratios))
    return median if np.isfinite(median) else None


def _museval() -> Any:
    try:
        import museval
    except ModuleNotFoundError as error:
        expected = "museval (pip install 'uss-ray[evaluation]')"
        raise ConfigError("BSSEval", expected=expected, found="no such package") from error
    return museval
