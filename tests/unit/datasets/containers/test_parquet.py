"""Clips in Parquet: which columns are taken, row groups that are skipped, rows without audio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.datasets.conftest import Tones, as_parquet, encoded, tone
from uss_ray.datasets.clip_sources import open_clip_source
from uss_ray.datasets.containers.options import ParquetColumns
from uss_ray.datasets.containers.parquet import ParquetReader, count_row_groups
from uss_ray.errors import DataError
from uss_ray.store.store import Store


def test_columns_can_be_named_and_missing_ones_are(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"ytid": ["c"], "sound": [encoded(tone(300))]}), path)
    with pytest.raises(DataError, match=r"audio.*ytid, sound"):
        open_clip_source(str(path))
    with pytest.raises(DataError, match="ids"):
        open_clip_source(str(path), columns=ParquetColumns(audio="sound"))
    with pytest.raises(DataError, match="bytes"):
        open_clip_source(str(path), columns=ParquetColumns(clip_id="ytid", audio="ytid"))
    (clip,) = open_clip_source(str(path), columns=ParquetColumns(clip_id="ytid", audio="sound")).readers[0]()
    assert clip.name == "c"
    assert clip.data == encoded(tone(300))


def test_audio_columns_without_ids_are_named_by_their_paths(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    audio = [{"bytes": encoded(tone(300)), "path": "x/Yc.flac"}, {"bytes": None, "path": "d.flac"}]
    pq.write_table(pa.table({"audio": audio}), path)
    clips = list(open_clip_source(str(path)).readers[0]())
    assert [clip.name for clip in clips] == ["Yc", "d"]
    assert clips[1].data == b""


def test_row_groups_without_a_wanted_clip_are_not_read(
    tones: Tones, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_parquet(tones, str(tmp_path))  # two clips a group
    place = Store(tmp_path / "train-00000.parquet", None, DataError)
    assert count_row_groups(place) == 2
    groups = []
    iter_batches = pq.ParquetFile.iter_batches

    def counting(self: pq.ParquetFile, *arguments: Any, row_groups: list[int], **options: Any) -> Any:
        groups.extend(row_groups)
        return iter_batches(self, *arguments, row_groups=row_groups, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counting)
    reader = ParquetReader(place)
    assert [clip.name for clip in reader(wanted=lambda name: name == "Yd")] == ["Yd"]
    assert groups == [1]
    assert [clip.name for clip in ParquetReader(place, row_groups=(0,))()] == ["Y-a_1", "YYb"]


def test_a_broken_footer_has_one_reader_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"no Parquet")
    place = Store(tmp_path / "a.parquet", None, DataError)
    assert count_row_groups(place) == 1
    (broken,) = ParquetReader(place)()
    assert broken.location == str(place)


def test_a_file_without_audio_among_others_is_named_before_any_is_read(tones: Tones, tmp_path: Path) -> None:
    as_parquet(tones, str(tmp_path))
    pq.write_table(pa.table({"ytid": ["c"], "label": ["x"]}), tmp_path / "words.parquet")
    with pytest.raises(DataError, match=r"words\.parquet.*audio.*ytid, label"):
        open_clip_source(str(tmp_path))
