"""What the tagger's probabilities are worth: calibrated, and from which on a class is there, or surely there.

Owns the arithmetic; the numbers come with the weights and the settings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from uss_ray.models.specifications import ClassCalibration
from uss_ray.separation.settings import DEFAULT_THRESHOLD, EVENT_THRESHOLD, SeparationSettings

Floats = NDArray[np.float32]


class Calibration:
    """Calibrated probabilities and thresholds of all classes, under some settings.

    Parameters
    ----------
    settings : SeparationSettings
    classes : int
        How many the tagger has.
    of_weights : sequence of ClassCalibration, default=()
        Of classes below that number.

    Attributes
    ----------
    detected_from, events_from : ndarray of shape (classes,), dtype=float32
        Least calibrated probability of a class that is there: of any target, and of an event.
    sure_from : ndarray of shape (classes,), dtype=float32
        The same of one that is surely there; never lower than either.
    """

    def __init__(
        self,
        settings: SeparationSettings,
        *,
        classes: int,
        of_weights: Sequence[ClassCalibration] = (),
    ) -> None:
        used = [one for one in of_weights if settings.calibrated and one.class_index < classes]
        self._indexes = np.array([one.class_index for one in used], np.intp)
        self._slopes = np.array([one.slope for one in used])
        self._offsets = np.array([one.offset for one in used])
        asked = settings.threshold
        self.detected_from: Floats = np.full(
            classes, DEFAULT_THRESHOLD if asked is None else asked, np.float32
        )
        self.events_from: Floats = np.full(classes, EVENT_THRESHOLD if asked is None else asked, np.float32)
        for one in used:
            if asked is None and one.threshold is not None:
                self.detected_from[one.class_index] = self.events_from[one.class_index] = one.threshold
        least = np.float32(settings.sure_probability)
        self.sure_from: Floats = np.maximum(np.maximum(self.detected_from, self.events_from), least)

    def probs(self, raw: Floats) -> Floats:
        """Calibrate probabilities of shape (..., classes); those of classes without a calibration keep their bits.

        Parameters
        ----------
        raw : ndarray of shape (..., classes), dtype=float32
            Of the first classes alone, if a query needs no others.
        """
        there = self._indexes < raw.shape[-1]
        indexes = self._indexes[there]
        if not indexes.size:
            return raw
        some = raw[..., indexes].astype(np.float64)
        with np.errstate(divide="ignore", over="ignore"):
            logits = np.log(some) - np.log1p(-some)
            calibrated = 1.0 / (1.0 + np.exp(-(self._slopes[there] * logits + self._offsets[there])))
        probs = raw.copy()
        probs[..., indexes] = calibrated.astype(np.float32)
        return probs
