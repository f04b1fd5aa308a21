from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from uss_ray.datasets.clips import ClipStore
from uss_ray.datasets.segments import ClipRecord, read_segments
from uss_ray.errors import DataError

INDEX = {"/m/1": 0, "/m/2": 1}
HEADER = "# Segments csv\n# num\n# YTID, start_seconds, end_seconds, positive_labels\n"


def write(folder: Path, body: str) -> Path:
    path = folder / "segments.csv"
    path.write_text(HEADER + body)
    return path


def test_lines_become_records_with_sorted_labels(tmp_path: Path) -> None:
    path = write(tmp_path, '-x-0, 30.000, 40.000, "/m/2,/m/1"\ny, 0.0, 10.0, "/m/2"\n')
    assert read_segments(path, class_index=INDEX) == [
        ClipRecord("-x-0", 30.0, 40.0, (0, 1)),
        ClipRecord("y", 0.0, 10.0, (1,)),
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('x, 0, 10, "/m/9"\n', "line 4.*/m/9"),
        ("x, 0, 10\n", "four fields"),
        ('x, zero, 10, "/m/1"\n', "seconds"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, body: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_segments(write(tmp_path, body), class_index=INDEX)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="segment CSV"):
        read_segments(tmp_path / "none.csv", class_index=INDEX)


def test_clips_are_mixed_down_resampled_and_padded(tmp_path: Path) -> None:
    time = np.arange(24000) / 48000
    tone = 0.5 * np.sin(2 * np.pi * 440 * time)
    soundfile.write(tmp_path / "Ya.wav", np.stack((tone, tone), axis=1), 48000)
    store = ClipStore.load([ClipRecord("a", 0, 1, (1,))], tmp_path, classes=2, clip_seconds=1.0)
    audio = store.waveform(0)
    assert audio.shape == (32000,)
    assert np.abs(audio[2000:14000]).max() == pytest.approx(0.5, abs=0.01)
    assert np.abs(audio[16100:]).max() < 1e-3
    assert store.labels.tolist() == [[0.0, 1.0]]


def test_a_clip_without_audio_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone"):
        ClipStore.load([ClipRecord("gone", 0, 1, (0,))], tmp_path, classes=1)
