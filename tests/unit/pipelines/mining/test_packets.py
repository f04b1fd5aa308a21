from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import soundfile as sf

from uss_ray.datasets.clip_audio import BrokenContainer, ClipAudio
from uss_ray.datasets.labelled_clips import LabelledClip
from uss_ray.datasets.segments import ClipRecord
from uss_ray.errors import RecordingError
from uss_ray.pipelines.mining import packets
from uss_ray.pipelines.mining.packets import (
    PACKET_SCHEMA,
    PacketClip,
    decode_item,
    packet_table,
    packets_of,
)

RATE = 32_000


def clip_with(data, *, seconds=2.0):
    return LabelledClip(ClipRecord("a", 0.0, seconds, (1, 2)), ClipAudio("a", "x#a", data=data), "excerpt", 7)


def encoded(samples):
    file = io.BytesIO()
    sf.write(file, samples, RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()


def test_waveforms_travel_bit_for_bit():
    rng = np.random.default_rng(0)
    clips = [
        (
            PacketClip(row=row, clip_id=f"c{row}", class_indexes=(row,), status=status, reason=reason),
            rng.random(samples, np.float32),
        )
        for row, samples, status, reason in (
            (3, 50, "sound", None),
            (4, 0, "broken", "why"),
            (5, 7, "sound", None),
        )
    ]
    table = packet_table(clips)
    assert table.schema.equals(PACKET_SCHEMA)
    (packet,) = packets_of(pa.concat_tables([table]))
    assert [clip for clip, _ in packet] == [clip for clip, _ in clips]
    for (_, sent), (_, received) in zip(clips, packet, strict=True):
        np.testing.assert_array_equal(sent, received)


def test_a_clip_that_ends_early_is_not_padded():
    samples = np.linspace(-0.5, 0.5, RATE, dtype=np.float32)
    clip, waveform = decode_item(clip_with(encoded(samples)), sample_rate=RATE)
    assert (clip.status, clip.row, clip.class_indexes) == ("sound", 7, (1, 2))
    np.testing.assert_array_equal(waveform, samples)


def test_what_is_wrong_is_told_by_the_status(monkeypatch):
    assert decode_item(clip_with(b"a letter"), sample_rate=RATE)[0].status == "broken"
    container, _ = decode_item(BrokenContainer("x.tar", "cut off"), sample_rate=RATE)
    assert (container.status, container.reason) == ("container", "x.tar: cut off")

    def away(*_args, **_keywords):
        raise RecordingError("a", expected="an answer", found="none") from ConnectionResetError()

    clip = clip_with(None)
    gone = LabelledClip(clip.record, ClipAudio("a", "/no/such/folder/a.wav"), clip.holds, clip.row)
    assert decode_item(gone, sample_rate=RATE)[0].status == "unfinished"  # it was listed
    monkeypatch.setattr(packets, "decode_clip", away)
    assert decode_item(clip_with(b""), sample_rate=RATE)[0].status == "unfinished"
