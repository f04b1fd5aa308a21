"""Items and their waveforms travel together as one row."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from uss_ray.pipelines.runtime.packing import pack, packet_schema, unpack

SCHEMA = packet_schema(
    "items", pa.struct([pa.field("name", pa.string(), False), pa.field("note", pa.string())])
)
ITEMS = [{"name": "a", "note": None}, {"name": "b", "note": "empty"}, {"name": "c", "note": "stereo"}]
WAVEFORMS = [
    np.arange(5, dtype=np.float32),
    np.zeros((1, 0), np.float32),
    np.arange(6, dtype=np.float32).reshape(2, 3),
]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_what_is_packed_is_unpacked(count):
    table = pack(ITEMS[:count], WAVEFORMS[:count], schema=SCHEMA)
    assert table.num_rows == 1
    assert table.schema == SCHEMA
    (packet,) = unpack(table)
    assert [fields for fields, _ in packet] == ITEMS[:count]
    for (_, found), waveform in zip(packet, WAVEFORMS, strict=False):
        np.testing.assert_array_equal(found, waveform.ravel())


def test_packets_stay_apart_in_a_larger_table():
    pairs = list(zip(ITEMS, WAVEFORMS, strict=True))
    packets = [pack([item], [waveform], schema=SCHEMA) for item, waveform in pairs]
    table = pa.concat_tables([*packets, pack(ITEMS, WAVEFORMS, schema=SCHEMA)]).combine_chunks()
    found = list(unpack(table))
    assert [[fields["name"] for fields, _ in packet] for packet in found] == [
        ["a"],
        ["b"],
        ["c"],
        ["a", "b", "c"],
    ]
    for (_, alone), (_, together) in zip([packet[0] for packet in found[:3]], found[3], strict=True):
        np.testing.assert_array_equal(alone, together)
    (sliced,) = unpack(table.slice(2, 1))
    np.testing.assert_array_equal(sliced[0][1], WAVEFORMS[2].ravel())


def test_a_single_waveform_is_not_copied_and_none_may_be_written_to():
    waveform = np.ones(1000, np.float32)
    ((_, found),) = next(unpack(pack(ITEMS[:1], [waveform], schema=SCHEMA)))
    assert np.shares_memory(found, waveform)
    ((_, first), _) = next(unpack(pack(ITEMS[:2], [waveform, waveform], schema=SCHEMA)))
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 2.0


def test_sound_of_other_types_or_strides_is_brought_into_form():
    waveform = np.arange(12.0).reshape(3, 4)[:, ::2]
    ((_, found),) = next(unpack(pack(ITEMS[:1], [waveform], schema=SCHEMA)))
    np.testing.assert_array_equal(found, waveform.ravel())
