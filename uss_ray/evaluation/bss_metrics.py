"""BSSEval v4 by museval, in the right order of its arguments and in that of the released script."""

from __future__ import annotations

import warnings
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
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
        ratios = _metrics().bss_eval(
            reference[None, :, None].astype(np.float64),
            estimate[None, :, None].astype(np.float64),
            window=sample_rate,
            hop=sample_rate,
            compute_permutation=False,
        )[0]
    except ValueError:  # all of one is silent
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no second is defined
        median = float(np.nanmedian(ratios))
    return median if np.isfinite(median) else None


@cache
def _metrics() -> Any:
    """Load museval's metrics alone: the package wants ffmpeg on the machine, for files that nobody reads here."""
    package = find_spec("museval")
    if package is None or package.submodule_search_locations is None:
        expected = "museval (pip install 'uss-ray[evaluation]')"
        raise ConfigError("BSSEval", expected=expected, found="no such package")
    (folder,) = package.submodule_search_locations
    spec = spec_from_file_location("museval.metrics", Path(folder) / "metrics.py")
    if spec is None or spec.loader is None:
        raise ConfigError("museval", expected="metrics.py", found=f"none in {folder}")
    metrics = module_from_spec(spec)
    spec.loader.exec_module(metrics)
    return metrics
