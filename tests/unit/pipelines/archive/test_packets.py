from __future__ import annotations

import numpy as np

from uss_ray.pipelines.archive.packets import PACKET_SCHEMA, PacketBuilder, Unit, packet_table, packets_of


def unit(name, *, channels=1, part=None):
    return Unit(
        recording_id=name, recording_uri=name, status="sound", channels=channels, sample_rate=8000, part=part
    )


def sound(channels, frames, seed=0):
    return np.random.default_rng(seed).standard_normal((channels, frames)).astype(np.float32)


def gathered(builder, units):
    tables = [table for one, waveform in units for table in builder.add(one, waveform)]
    return [len(packet) for table in [*tables, *builder.flush()] for packet in packets_of(table)]


def test_units_survive_the_way_through_arrow_bit_for_bit():
    sent = [
        (unit("a"), sound(1, 100)),
        (unit("b", channels=2), sound(2, 7, seed=1)),
        (unit("c"), sound(1, 0)),
    ]
    table = packet_table(sent)
    assert table.schema.equals(PACKET_SCHEMA)
    (received,) = packets_of(table)
    assert [one for one, _ in received] == [one for one, _ in sent]
    for (_, was), (_, came) in zip(sent, received, strict=True):
        np.testing.assert_array_equal(came, was)


def test_packets_of_a_slice_are_those_of_its_rows():
    import pyarrow as pa

    table = pa.concat_tables([packet_table([(unit(str(n)), sound(1, 5, seed=n))]) for n in range(4)])
    ((one, waveform),) = next(packets_of(table.slice(2, 1)))
    assert one.recording_id == "2"
    np.testing.assert_array_equal(waveform, sound(1, 5, seed=2))


def test_packets_are_full_by_number_or_by_sound():
    few = PacketBuilder(most_units=3, most_samples=1000)
    assert gathered(few, [(unit(str(n)), sound(1, 10)) for n in range(7)]) == [3, 3, 1]
    much = PacketBuilder(most_units=16, most_samples=100)
    assert gathered(
        much, [(unit(str(n)), sound(1, size)) for n, size in enumerate((60, 60, 30, 500, 10))]
    ) == [
        1,
        2,
        1,
        1,
    ]


def test_a_span_of_a_long_recording_ends_its_packet():
    builder = PacketBuilder(most_units=16, most_samples=1000)
    assert gathered(
        builder, [(unit("a"), sound(1, 9)), (unit("b", part=0), sound(1, 9)), (unit("c"), None)]
    ) == [
        2,
        1,
    ]
