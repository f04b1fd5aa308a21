from __future__ import annotations

import pytest

from uss_ray.errors import ConfigError
from uss_ray.models.specifications import ClassListId, Condition, Specifications
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
