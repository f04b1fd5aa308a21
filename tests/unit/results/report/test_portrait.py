"""What a page shows of a recording: bounded, whatever its length and however it comes in blocks."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from uss_ray.results.blocks import Geometry
from uss_ray.results.index.table import RecordingFacts
from uss_ray.results.options import WriteMode, WriteOptions
from uss_ray.results.report.portrait import Portrait, PortraitPainter

RATE = 8000


def painted(
    mixture: np.ndarray, sound: Path, *, block: int, frames: int | None, max_seconds: float = math.inf
) -> Portrait:
    geometry = Geometry(RATE, len(mixture))
    with PortraitPainter(geometry, frames=frames, sound=sound, max_seconds=max_seconds) as painter:
        for start in range(0, mixture.shape[1], block):
            painter.add(mixture[:, start : start + block])
        return painter.result({})


def test_blocks_make_no_difference(tmp_path: Path) -> None:
    mixture = np.random.default_rng(1).standard_normal((2, 3 * RATE)).astype(np.float32) * 0.1
    one, other = (
        painted(mixture, tmp_path / f"{size}.mp3", block=size, frames=mixture.shape[1])
        for size in (999, 3 * RATE)
    )
    np.testing.assert_allclose(
        one.mixture_spectrogram.power_db, other.mixture_spectrogram.power_db, atol=1e-3
    )
    assert (tmp_path / "999.mp3").read_bytes() == (tmp_path / f"{3 * RATE}.mp3").read_bytes() != b""
    assert one.heard_seconds == other.heard_seconds == 3.0


def test_all_of_it_can_be_heard_unless_no_more_than_the_beginning_is_wanted(tmp_path: Path) -> None:
    quiet = np.zeros((1, 4 * RATE), np.float32)
    assert painted(quiet, tmp_path / "all.mp3", block=RATE, frames=None).heard_seconds == 4.0
    short = painted(quiet, tmp_path / "short.mp3", block=RATE, frames=None, max_seconds=1.0)
    assert short.heard_seconds == 1.0
    assert soundfile.info(tmp_path / "short.mp3").duration < 1.2


def test_a_painter_that_is_given_up_leaves_no_sound(tmp_path: Path) -> None:
    with PortraitPainter(Geometry(RATE, 1), frames=None, sound=tmp_path / "a.mp3") as painter:
        painter.add(np.zeros((1, RATE), np.float32))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("write", "seconds"), [("stems", 100.0), ("active-spans", 100.0), ("index-only", 90.0)]
)
def test_a_report_plays_all_of_a_recording_unless_no_sound_is_to_be_kept(
    tmp_path: Path, recording_facts: RecordingFacts, write: WriteMode, seconds: float
) -> None:
    painter = PortraitPainter.of(
        recording_facts, WriteOptions(write=write), geometry=Geometry.of(recording_facts), root=tmp_path
    )
    assert painter is not None
    with painter:
        painter.add(np.zeros((2, 100 * (recording_facts.sample_rate or 0)), np.float32))
        assert painter.result({}).heard_seconds == seconds
    assert [path.name for path in tmp_path.rglob("*.*") if path.is_file()] == ["report.mp3"]


def test_without_a_report_nothing_is_painted(tmp_path: Path, recording_facts: RecordingFacts) -> None:
    geometry = Geometry.of(recording_facts)
    assert (
        PortraitPainter.of(recording_facts, WriteOptions(report=False), geometry=geometry, root=tmp_path)
        is None
    )
