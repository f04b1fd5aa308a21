"""PNG, strips and ticks."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from uss_ray.results.index.activity import Activity
from uss_ray.results.report.pictures import (
    STRIP_WIDTH,
    activity_code,
    activity_path,
    frequency_ticks,
    spans_path,
    spectrogram_png,
    time_text,
    time_ticks,
)
from uss_ray.results.report.spectrogram import Spectrogram


def chunks(png: bytes) -> dict[bytes, bytes]:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, found = 8, {}
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        assert struct.unpack(">I", png[at + 8 + size : at + 12 + size]) == (zlib.crc32(kind + data),)
        found[kind] = data
        at += 12 + size
    return found


def test_a_spectrogram_becomes_a_png_with_low_frequencies_at_the_bottom() -> None:
    power_db = np.array([[0.0, -100.0, -37.5], [-100.0, -100.0, 0.0]], np.float32)
    parts = chunks(spectrogram_png(Spectrogram(power_db, top_hz=100.0), top_db=0.0))
    assert struct.unpack(">IIBB", parts[b"IHDR"][:10]) == (3, 2, 8, 3)
    lines = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(2, 4)
    assert lines.tolist() == [[0, 0, 0, 255], [0, 255, 0, 128]]


def test_probabilities_are_written_as_a_letter_a_step() -> None:
    probabilities = np.array([0.0, 0.5, 1.0, np.nan], np.float32)
    assert activity_code(Activity(probabilities, column_seconds=2.0, spans=())) == ("Ag/A", 2.0)
    letters, step = activity_code(Activity(np.tile(probabilities, 500), column_seconds=2.0, spans=()))
    assert (len(letters), step) == (400, 10.0)
    assert activity_code(Activity(probabilities[3:], column_seconds=2.0, spans=())) == ("", 0.0)


def test_the_colours_get_lighter_all_the_way() -> None:
    parts = chunks(spectrogram_png(Spectrogram(np.zeros((1, 1), np.float32), top_hz=1.0), top_db=0.0))
    palette = np.frombuffer(parts[b"PLTE"], np.uint8).reshape(256, 3)
    luminance = palette @ [0.2126, 0.7152, 0.0722]
    assert np.all(np.diff(luminance) > -0.5)
    assert luminance[-1] - luminance[0] > 200


def test_an_area_is_as_high_as_the_probability_and_absent_where_nothing_was_tagged() -> None:
    probs = np.array([0.0, 0.5, 0.5, 1.0, np.nan], np.float32)
    path = activity_path(Activity(probs, 2.0, ()), total_seconds=10.0)
    assert path == "M200 12V6H600V12zM600 12V0H800V12z"


def test_an_area_has_few_steps_keeps_the_maximum_and_ends_with_the_recording() -> None:
    probs = np.tile(np.array([0.25, 0.75, 0.5], np.float32), 334)[:1000]
    probs[-1] = 1.0
    path = activity_path(Activity(probs, 2.0, ()), total_seconds=1999.0)
    assert path.count("z") <= 400
    assert path.endswith(f"V0H{STRIP_WIDTH}V12z")


def test_spans_are_placed_by_their_seconds() -> None:
    assert spans_path([(2.5, 5.0)], total_seconds=10.0) == "M250 16v-3H500v3z"


def test_a_span_of_a_moment_is_seen_and_thousands_are_a_few_strokes() -> None:
    assert (
        spans_path([(5.0, 5.001), (10.0, 10.0)], total_seconds=10.0) == "M500 16v-3H501v3zM999 16v-3H1000v3z"
    )
    assert spans_path([(n / 10, n / 10 + 0.05) for n in range(20_000)], total_seconds=2000.0).count("z") == 1


@pytest.mark.parametrize("seconds", [1 / 48000, 0.02, 1.0, 7.0, 95.0, 3600.0, 8 * 3600.0, 100 * 3600.0])
def test_any_length_gets_a_few_round_ticks(seconds: float) -> None:
    ticks = time_ticks(seconds)
    assert 1 <= len(ticks) <= 9
    assert len({tick.label for tick in ticks}) == len(ticks)
    assert all(0 <= tick.percent <= 100 for tick in ticks)


def test_times_are_written_as_people_read_them() -> None:
    assert time_text(59.96, step=0.1) == "1:00.0"
    assert time_text(7325) == "2:02:05"
    assert [tick.label for tick in frequency_ticks(8000.0)] == ["250 Hz", "500 Hz", "1 kHz", "2 kHz", "4 kHz"]
