from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from tests.unit.datasets.conftest import (
    CLIP_IDS,
    PACKERS,
    SECONDS,
    Tones,
    as_files,
    as_hdf5,
    encoded,
    tar_bytes,
    tone,
)
from uss_ray.datasets.clip_audio import BrokenContainer, ClipAudio
from uss_ray.datasets.clip_sources import detect_container, open_clip_source
from uss_ray.datasets.containers.options import ParquetColumns
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


def test_a_pack_is_read_in_parts_that_add_up(tmp_path: Path) -> None:
    ids = [f"{n:04d}" for n in range(600)]
    as_hdf5({clip_id: np.full(40, n / 1000) for n, clip_id in enumerate(ids)}, str(tmp_path))
    readers = open_clip_source(str(tmp_path)).readers
    assert len(readers) == 3
    clips = [clip for reader in readers for clip in reader()]
    assert [clip.name for clip in clips] == [f"Y{clip_id}" for clip_id in ids]
    assert [round(clip.samples[0] / 32.767) for clip in clips] == list(range(600))


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


def test_columns_can_be_named_and_missing_ones_are(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"ytid": ["c"], "sound": [encoded(tone(300))]}), path)
    with pytest.raises(DataError, match=r"audio.*ytid, sound"):
        list(open_clip_source(str(path)).readers[0]())
    with pytest.raises(DataError, match="ids"):
        list(open_clip_source(str(path), columns=ParquetColumns(audio="sound")).readers[0]())
    with pytest.raises(DataError, match="bytes"):
        list(open_clip_source(str(path), columns=ParquetColumns(clip_id="ytid", audio="ytid")).readers[0]())
    (clip,) = open_clip_source(str(path), columns=ParquetColumns(clip_id="ytid", audio="sound")).readers[0]()
    assert clip.name == "c"
    assert clip.data == encoded(tone(300))


@pytest.mark.parametrize("kept", [0.3, 0.7])
@pytest.mark.parametrize("container", ["tar", "parquet", "hdf5"])
def test_a_container_that_is_cut_off_gives_what_is_whole_and_says_so(
    container: str, tones: Tones, kept: float, tmp_path: Path
) -> None:
    PACKERS[container](tones, str(tmp_path / "whole"))
    whole = open_clip_source(str(tmp_path / "whole")).readers[-1].place.local_path()
    cut = tmp_path / whole.name
    cut.write_bytes(whole.read_bytes()[: round(whole.stat().st_size * kept)])
    (reader,) = open_clip_source(str(cut)).readers
    items = list(reader())
    assert isinstance(items[-1], BrokenContainer)
    assert items[-1].location.startswith(str(cut))
    assert all(isinstance(item, ClipAudio) for item in items[:-1])
    assert len(items) <= len(tones)
    assert any(isinstance(place, BrokenContainer) for place in reader.places())


def test_a_tar_without_its_end_mark_or_with_a_damaged_header_is_not_taken_for_whole(
    tmp_path: Path, tones: Tones
) -> None:
    data = tar_bytes(tones)
    end = data.rstrip(b"\0")
    cut = tmp_path / "a.tar"
    cut.write_bytes(data[: -(-len(end) // 512) * 512])
    items = list(open_clip_source(str(cut)).readers[0]())
    assert len(items) == len(tones) + 1
    assert "end mark" in items[-1].reason
    damaged = bytearray(data)
    at = data.index(b"./shard/c.flac")
    damaged[at : at + 300] = b"x" * 300
    cut.write_bytes(damaged)
    items = list(open_clip_source(str(cut)).readers[0]())
    assert [type(item) for item in items] == [ClipAudio, ClipAudio, BrokenContainer]


@pytest.mark.parametrize("container", ["tar", "parquet", "hdf5"])
def test_a_store_that_fails_is_no_broken_container(
    container: str, tmp_path: Path, tones: Tones, monkeypatch: pytest.MonkeyPatch
) -> None:
    from uss_ray.store.store import Store

    PACKERS[container](tones, str(tmp_path))
    reader = open_clip_source(str(tmp_path)).readers[0]
    whole = reader.place.open()
    fault = ConnectionResetError("gone away")
    file = FailingFile(whole, fault)
    monkeypatch.setattr(Store, "open", lambda _: file)
    assert all(isinstance(item, ClipAudio) for item in reader())
    for allowed in range(file.reads - 1):
        file.reads, file.allowed = 0, allowed
        with pytest.raises(DataError, match="gone away") as raised:
            list(reader())
        assert raised.value.__cause__ is fault


def test_a_program_that_met_a_failing_pack_ends_well(tmp_path: Path, tones: Tones) -> None:
    """HDF5 frees at the end of the process what was not freed before, and would call into a Python that is gone."""
    pytest.importorskip("h5py")
    as_hdf5(tones, str(tmp_path))
    script = """if True:
        import sys
        from tests.unit.datasets.test_clip_sources import FailingFile
        from uss_ray.datasets.clip_sources import open_clip_source
        from uss_ray.errors import DataError
        from uss_ray.store.store import Store

        reader = open_clip_source(sys.argv[1]).readers[0]
        file = FailingFile(reader.place.open(), ConnectionResetError("gone away"))
        file.allowed = 1
        Store.open = lambda _: file
        try:
            list(reader())
        except DataError as error:
            print(error)
    """
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, cwd=ROOT
    )
    assert "gone away" in ended.stdout
    assert ended.returncode == 0, ended.stderr


class FailingFile:
    """A file that reads `allowed` times and never again."""

    def __init__(self, whole: BinaryIO, fault: Exception) -> None:
        self.reads = 0
        self.allowed = 1_000_000
        self._whole = whole
        self._fault = fault

    def __getattr__(self, name: str) -> object:
        return getattr(self._whole, name)

    def __enter__(self) -> FailingFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._whole.seek(0)

    def read(self, count: int = -1) -> bytes:
        self.reads += 1
        if self.reads > self.allowed:
            raise self._fault
        return self._whole.read(count)


def test_audio_columns_without_ids_are_named_by_their_paths(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    audio = [{"bytes": encoded(tone(300)), "path": "x/Yc.flac"}, {"bytes": None, "path": "d.flac"}]
    pq.write_table(pa.table({"audio": audio}), path)
    clips = list(open_clip_source(str(path)).readers[0]())
    assert [clip.name for clip in clips] == ["Yc", "d"]
    assert clips[1].data == b""


def test_hdf5_without_its_data_sets_is_named(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as pack:
        pack["audio_name"] = np.array([b"c"])
    with pytest.raises(DataError, match=r"waveform.*found audio_name"):
        open_clip_source(str(tmp_path))
