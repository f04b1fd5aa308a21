from __future__ import annotations

import pytest

from uss_ray.errors import ConfigError
from uss_ray.models.specifications import ClassCalibration, ClassListId, Condition, Specifications
from uss_ray.silence import MiningSilence

PLAIN = {"sample_rate": 32_000, "segment_seconds": 2.0, "condition": Condition(size=527)}


def test_what_is_not_said_was_not_done() -> None:
    plain = Specifications(**PLAIN)
    assert plain.training_rms_dbfs is None
    assert plain.silence.anchor_rejected_below_rms_dbfs is None
    assert plain.condition.kind == "soft"


def test_they_survive_json() -> None:
    full = Specifications(
        **PLAIN,
        class_list=ClassListId.of(["a", "b"]),
        training_rms_dbfs=(-35.0, -15.0),
        silence=MiningSilence(),
        calibration=(ClassCalibration(class_index=1, slope=0.5, offset=-0.25, threshold=0.3),),
    )
    assert Specifications(**full.model_dump(mode="json")) == full
    assert Specifications(**Specifications(**PLAIN).model_dump(mode="json")) == Specifications(**PLAIN)


@pytest.mark.parametrize("levels", [(-15.0, -35.0), (-10.0, 3.0)])
def test_levels_run_upwards_to_full_scale_at_most(levels: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="training_rms_dbfs: expected lowest and highest"):
        Specifications(**PLAIN, training_rms_dbfs=levels)


def test_a_class_list_is_its_ids_in_their_order() -> None:
    assert ClassListId.of(["a", "b"]) == ClassListId.of(("a", "b"))
    assert ClassListId.of(["a", "b"]) != ClassListId.of(["b", "a"])


@pytest.mark.parametrize(
    "calibration",
    [
        [{"class_index": 2}],
        [{"class_index": 0}, {"class_index": 0, "slope": 2.0}],
        [{"class_index": 0, "slope": 0.0}],
        [{"class_index": 0, "threshold": 1.5}],
        [{"class_index": 0, "offset": float("nan")}],
        [{"class_index": 0, "temperature": 2.0}],
        [{"slope": 2.0}],
    ],
)
def test_a_calibration_that_cannot_be_used_is_refused(calibration: list[dict[str, float]]) -> None:
    listed = {**PLAIN, "class_list": ClassListId.of(["a", "b"]).model_dump()}
    with pytest.raises(ConfigError, match="calibration"):
        Specifications(**listed, calibration=calibration)
