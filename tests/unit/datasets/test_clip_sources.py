from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.unit.datasets.conftest import (
    CLIP_IDS,
    PACKERS,
    SECONDS,
    Tones,
    as_files,
)
from uss_ray.datasets.clip_sources import detect_container, open_clip_source
from uss_ray.datasets.decode import decode_clip
from uss_ray.datasets.labelled_clips import LabelledClip, join_clips
from uss_ray.datasets.segment_table import SegmentTable
from uss_ray.datasets.segments import ClipRecord
from uss_ray.errors import ConfigError, DataError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def table() -> SegmentTable:
    return SegmentTable.from_records(
        ClipRecord(clip_id, 30.0, 30.0 + SECONDS, (place,)) for place, clip_id in enumerate(CLIP_IDS)
    )


def test_every_container_gives_the_same_labelled_waveforms(
    packed: tuple[str, str], table: SegmentTable, tones: Tones
) -> None:
    container, location = packed
    source = open_clip_source(location)
    assert source.container == container
    clips = [
        clip
        for reader in pickle.loads(pickle.dumps(source.readers))  # noqa: S301 - readers travel to workers
        for clip in join_clips(reader, table=table)
    ]
    assert sorted(clip.record.clip_id for clip in clips) == sorted(CLIP_IDS)
    for clip in clips:
        assert isinstance(clip, LabelledClip)
        decoded = decode_clip(clip)
        assert clip.record.class_indexes == (CLIP_IDS.index(clip.record.clip_id),)
        assert decoded.waveform.dtype == np.float32
        np.testing.assert_allclose(decoded.waveform, tones[clip.record.clip_id], atol=4e-5)
        assert not decoded.is_short


def test_places_name_every_clip_and_carry_no_audio(packed: tuple[str, str], table: SegmentTable) -> None:
    places = [place for reader in open_clip_source(packed[1]).readers for place in reader.places()]
    matches = [table.match(place.name) for place in places]
    assert sorted(table.clip_id(match.rows[0]) for match in matches) == sorted(CLIP_IDS)
    assert all(place.location.startswith(packed[1]) for place in places)


@pytest.mark.parametrize("container", list(PACKERS))
def test_only_wanted_clips_are_read(container: str, tones: Tones, tmp_path: Path) -> None:
    PACKERS[container](tones, str(tmp_path))
    readers = open_clip_source(str(tmp_path)).readers
    names = [clip.name for reader in readers for clip in reader(wanted=lambda name: name.endswith("c"))]
    assert [name.removeprefix("Y") for name in names] == ["c"]


@pytest.mark.parametrize("container", ["tar", "parquet", "hdf5"])
def test_one_container_alone_is_a_source(container: str, tones: Tones, tmp_path: Path) -> None:
    PACKERS[container](tones, str(tmp_path))
    readers = open_clip_source(str(tmp_path)).readers
    assert open_clip_source(readers[0].place).container == container


def test_a_folder_of_nothing_that_holds_clips_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match="audio files"):
        detect_container(str(tmp_path))
    with pytest.raises(DataError, match="no such"):
        open_clip_source(str(tmp_path / "nowhere"))


def test_two_kinds_in_one_folder_have_to_be_told_apart(tmp_path: Path, tones: Tones) -> None:
    as_files(tones, str(tmp_path))
    (tmp_path / "meta.parquet").touch()
    with pytest.raises(ConfigError, match="files, parquet"):
        open_clip_source(str(tmp_path))
    assert open_clip_source(str(tmp_path), container="files").container == "files"
    with pytest.raises(DataError, match=r"\.tar"):
        open_clip_source(str(tmp_path), container="tar")
    with pytest.raises(ConfigError, match="zip"):
        open_clip_source(str(tmp_path), container="zip")  # type: ignore[arg-type]
