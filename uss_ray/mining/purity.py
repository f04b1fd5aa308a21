"""How little of any unrelated class is in an anchor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from uss_ray.errors import ConfigError


@dataclass(frozen=True)
class Purity:
    """Purity of an anchor.

    Parameters
    ----------
    value : float
        In [0, 1]; 1 is pure.
    intruder_index : int or None
        The unrelated class that lowers it most; None where every class is a relative.
    """

    value: float
    intruder_index: int | None


def measure_purity(framewise_probs: np.ndarray, *, class_index: int, related: np.ndarray) -> Purity:
    """Measure how little of any unrelated class is under the window of an anchor.

    Parameters
    ----------
    framewise_probs : ndarray of shape (frames, classes)
        Detector probabilities in the anchor only, in [0, 1].
    class_index : int
        Class of the anchor.
    related : ndarray of shape (classes, classes), dtype=bool
        From `Vocabulary.relatives`.

    Returns
    -------
    Purity

    Raises
    ------
    ConfigError
        If the detector knows another number of classes than the class list.

    Notes
    -----
    purity = 1 − max over the classes k unrelated to c of (1/F) Σ_f p_k(f), f running over the F frames of the
    anchor's window. A class is related to c if it is c, an ancestor or a descendant of it. The same mean as the score,
    so a purity of 0.3 says that some unrelated class would score 0.7 in this very place.

    Examples
    --------
    >>> probs = np.array([[0.9, 0.5, 0.25], [0.9, 0.5, 0.75]])
    >>> related = np.array([[True, True, False], [True, True, False], [False, False, True]])
    >>> measure_purity(probs, class_index=0, related=related)
    Purity(value=0.5, intruder_index=2)
    """
    if framewise_probs.shape[1] != len(related):
        raise ConfigError(
            "detector",
            expected=f"probabilities of {len(related)} classes",
            found=str(framewise_probs.shape[1]),
        )
    means = framewise_probs.mean(axis=0, dtype=np.float64)
    others = np.where(related[class_index], -1.0, means)
    intruder = int(others.argmax())
    if others[intruder] < 0:
        return Purity(1.0, None)
    return Purity(float(np.clip(1.0 - others[intruder], 0.0, 1.0)), intruder)
