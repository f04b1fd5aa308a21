from __future__ import annotations

import pytest

from uss_ray.anchors.anchor import Reject
from uss_ray.errors import DataError


def test_an_anchor_has_the_same_name_wherever_it_is_mined(make_anchor) -> None:
    anchor = make_anchor(3, 74, samples=64_000, start=1600)
    assert anchor.anchor_id == make_anchor(3, 74, samples=64_000, start=1600, score=0.1).anchor_id
    assert anchor.anchor_id == "clip003:74:1600"
    assert anchor.seconds == 2.0


def test_an_unknown_reason_is_refused() -> None:
    with pytest.raises(DataError, match="expected one of"):
        Reject(clip_id="a", reason="boring")  # type: ignore[arg-type]
