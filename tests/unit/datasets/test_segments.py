from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from uss_ray.datasets.segments import ClipRecord, read_segments, stream_segments
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
        ("x, 0, 10\n", "line 4.*four fields"),
        ('x, 10, 0, "/m/1"\n', "start < end"),
        ('x, 0, 10, ""\n', "labels"),
        (', 0, 10, "/m/1"\n', "clip id"),
        ('x, zero, 10, "/m/1"\n', "seconds"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, body: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_segments(write(tmp_path, body), class_index=INDEX)


def test_a_quote_that_is_never_closed_is_told_of_in_one_short_line(tmp_path: Path) -> None:
    path = write(tmp_path, 'x, 0, 10, "/m/9\n' + "y, 0, 10, /m/9\n" * 100)
    with pytest.raises(DataError) as caught:
        read_segments(path, class_index=INDEX)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 200


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv"):
        read_segments(tmp_path / "none.csv", class_index=INDEX)


def test_labels_may_have_spaces_and_files_may_be_packed(tmp_path: Path) -> None:
    path = tmp_path / "segments.csv.gz"
    path.write_bytes(gzip.compress((HEADER + 'x, 0.5, 10, "/m/1, /m/2"\n\n# more\n').encode()))
    assert read_segments(path, class_index=INDEX) == [ClipRecord("x", 0.5, 10.0, (0, 1))]


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "segments.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"segments\.csv.*can be read"):
        read_segments(path, class_index=INDEX)


def test_lines_come_one_by_one(tmp_path: Path) -> None:
    path = write(tmp_path, 'x, 0, 10, "/m/1"\ny, 0, 10, "/m/9"\n')
    lines = stream_segments(path, class_index=INDEX)
    assert next(lines).clip_id == "x"
    with pytest.raises(DataError, match="line 5"):
        next(lines)
