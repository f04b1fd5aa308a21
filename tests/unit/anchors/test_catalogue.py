from __future__ import annotations

import pyarrow as pa
import pytest

from uss_ray.anchors.catalogue import CATALOGUE_SCHEMA, AnchorCatalogue


@pytest.fixture
def catalogue() -> AnchorCatalogue:
    rows = [
        (0, 0, 0, 7, [0, 3], [0]),
        (0, 0, 0, 8, [0], []),
        (0, 0, 1, 7, [0], [0, 1, 2]),
        (4, 0, 2, 9, [4], [4]),
        (4, 1, 0, 9, [4], [4]),
    ]
    parts = [
        pa.Table.from_pylist(
            [dict(zip(CATALOGUE_SCHEMA.names, row, strict=True)) for row in some], CATALOGUE_SCHEMA
        )
        for some in (rows[:2], rows[2:])
    ]
    return AnchorCatalogue.of_table(pa.concat_tables(parts), name="pack")


def test_row_groups_of_a_class_follow_from_shard_and_group(catalogue):
    assert catalogue.groups_of(0).first.tolist() == [0, 2]
    assert catalogue.groups_of(0).rows.tolist() == [2, 1]
    assert catalogue.groups_of(4).first.tolist() == [3, 4]
    assert catalogue.groups_of(4).rows.tolist() == [1, 1]
    assert catalogue.counts == {0: 3, 4: 2}
    assert catalogue.classes == [0, 4]


def test_lists_are_those_of_the_row_across_parts(catalogue):
    assert [catalogue.labels.of(row).tolist() for row in range(5)] == [[0, 3], [0], [0], [4], [4]]
    assert [catalogue.heard.of(row).tolist() for row in range(5)] == [[0], [], [0, 1, 2], [4], [4]]


def test_a_class_without_anchors_has_no_row_groups(catalogue):
    with pytest.raises(KeyError):
        catalogue.groups_of(2)


def test_an_empty_catalogue_has_no_classes():
    empty = AnchorCatalogue.of_table(CATALOGUE_SCHEMA.empty_table(), name="pack")
    assert (len(empty), empty.classes) == (0, [])
