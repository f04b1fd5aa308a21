from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from uss_ray.anchors.anchor import Anchor, Reject
from uss_ray.anchors.schema import ANCHOR_SCHEMA, anchor_table, read_anchors, reject_table
from uss_ray.errors import DataError


def same(one: Anchor, other: Anchor) -> bool:
    return all(
        np.array_equal(getattr(one, field.name), getattr(other, field.name))
        for field in dataclasses.fields(Anchor)
    )


def test_anchors_come_back_as_they_were(make_anchor) -> None:
    anchors = [
        make_anchor(1, 3),
        make_anchor(2, 4, soft=np.linspace(0, 1, 527, dtype=np.float32), latent=np.ones(7, np.float32)),
    ]
    table = anchor_table(anchors)
    assert table.schema.equals(ANCHOR_SCHEMA, check_metadata=True)
    again = read_anchors(table)
    assert all(same(one, other) for one, other in zip(anchors, again, strict=True))


def test_damaged_audio_names_the_anchor(make_anchor) -> None:
    table = anchor_table([make_anchor(1, 3)])
    column = table.schema.get_field_index("audio")
    broken = table.set_column(
        column, table.schema.field("audio"), pa.array([b"not audio"], pa.large_binary())
    )
    with pytest.raises(DataError, match="anchor clip001:3:0: expected FLAC audio"):
        read_anchors(broken)


def test_audio_of_another_length_is_refused(make_anchor) -> None:
    table = anchor_table([make_anchor(1, 3)])
    column = table.schema.get_field_index("samples")
    wrong = table.set_column(column, table.schema.field("samples"), pa.array([4001], pa.int32()))
    with pytest.raises(DataError, match="expected 4001 samples, found 4000"):
        read_anchors(wrong)


def test_rejects_are_rows_and_an_unknown_reason_is_refused() -> None:
    table = reject_table(
        [Reject(clip_id="a", reason="missing"), Reject(clip_id="b", reason="silent", class_index=4)]
    )
    assert table["reason"].to_pylist() == ["missing", "silent"]
    assert table["class_index"].to_pylist() == [None, 4]
