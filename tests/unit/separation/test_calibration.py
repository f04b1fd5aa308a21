from __future__ import annotations

import numpy as np
import pytest

from uss_ray.models.specifications import ClassCalibration
from uss_ray.separation.calibration import Calibration
from uss_ray.separation.settings import SeparationSettings

RAW = np.array([[0.0, 0.2, 0.5, 1.0]], np.float32)


def test_without_a_calibration_probabilities_keep_their_bits_and_one_threshold_holds() -> None:
    plain = Calibration(SeparationSettings(), classes=4)
    assert plain.probs(RAW) is RAW
    assert plain.detected_from.tolist() == [np.float32(0.2)] * 4
    assert plain.events_from.tolist() == [np.float32(0.3)] * 4, "and one of events"
    assert plain.sure_from.tolist() == [0.5] * 4


def test_a_calibrated_class_is_a_line_through_its_logit_and_certain_stays_certain() -> None:
    of_weights = [ClassCalibration(class_index=index, slope=2.0, offset=-1.0) for index in (0, 1, 3)]
    found = Calibration(SeparationSettings(), classes=4, of_weights=of_weights).probs(RAW)[0]
    assert found[1] == pytest.approx(1 / (1 + np.exp(-(2.0 * np.log(0.2 / 0.8) - 1.0))), rel=1e-6)
    assert (found[0], found[2], found[3]) == (0.0, RAW[0, 2], 1.0)
    assert np.isfinite(found).all()


def test_thresholds_are_the_classes_own_unless_one_is_asked_for() -> None:
    of_weights = [ClassCalibration(class_index=2, threshold=0.7), ClassCalibration(class_index=1)]
    own = Calibration(SeparationSettings(), classes=4, of_weights=of_weights)
    assert own.detected_from.round(3).tolist() == pytest.approx([0.2, 0.2, 0.7, 0.2])
    assert own.sure_from.round(3).tolist() == pytest.approx([0.5, 0.5, 0.7, 0.5]), (
        "never below what is detected"
    )
    assert own.events_from.round(3).tolist() == pytest.approx([0.3, 0.3, 0.7, 0.3])
    asked = Calibration(SeparationSettings(threshold=0.3), classes=4, of_weights=of_weights)
    assert asked.detected_from.round(3).tolist() == pytest.approx([0.3] * 4)
    assert asked.events_from.tolist() == asked.detected_from.tolist()


def test_a_calibration_can_be_left_alone() -> None:
    of_weights = [ClassCalibration(class_index=1, slope=2.0, threshold=0.7)]
    unused = Calibration(SeparationSettings(calibrated=False), classes=4, of_weights=of_weights)
    assert unused.probs(RAW) is RAW
    assert unused.detected_from[1] == np.float32(0.2)
    published = Calibration(SeparationSettings.published(), classes=4, of_weights=of_weights)
    assert published.probs(RAW) is RAW


def test_a_query_may_need_the_first_classes_alone() -> None:
    calibration = Calibration(
        SeparationSettings(),
        classes=8,
        of_weights=[ClassCalibration(class_index=index, offset=-1.0) for index in (1, 6)],
    )
    raw = np.full((2, 4), 0.5, np.float32)
    assert calibration.probs(raw)[0].tolist() == pytest.approx([0.5, 1 / (1 + np.e), 0.5, 0.5])
    assert np.array_equal(calibration.probs(raw[:, :1]), raw[:, :1])
