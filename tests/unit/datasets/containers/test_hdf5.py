"""Clips in HDF5 packs: ranges, rates, and the two data sets that must be there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.datasets.conftest import Tones, as_hdf5
from uss_ray.datasets.clip_audio import ClipAudio
from uss_ray.datasets.clip_sources import open_clip_source
from uss_ray.datasets.containers.hdf5 import Hdf5Reader, count_clips
from uss_ray.errors import ConfigError, DataError
from uss_ray.store.store import Store

ROOT = Path(__file__).parents[4]

h5py = pytest.importorskip("h5py")


def test_a_pack_is_read_in_parts_that_add_up(tmp_path: Path) -> None:
    ids = [f"{n:04d}" for n in range(600)]
    as_hdf5({clip_id: np.full(40, n / 1000) for n, clip_id in enumerate(ids)}, str(tmp_path))
    readers = open_clip_source(str(tmp_path)).readers
    assert len(readers) == 3
    clips = [clip for reader in readers for clip in reader()]
    assert [clip.name for clip in clips] == [f"Y{clip_id}" for clip_id in ids]
    assert [round(clip.samples[0] / 32.767) for clip in clips] == list(range(600))


def test_hdf5_without_its_data_sets_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as pack:
        pack["audio_name"] = np.array([b"c"])
    with pytest.raises(DataError, match=r"waveform.*found audio_name"):
        open_clip_source(str(tmp_path))


@pytest.mark.slow
def test_a_program_that_met_a_failing_pack_ends_well(tmp_path: Path, tones: Tones) -> None:
    """HDF5 frees at the end of the process what was not freed before, and would call into a Python that is gone."""
    as_hdf5(tones, str(tmp_path))
    script = """if True:
        import sys
        from tests.unit.datasets.conftest import FailingFile
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


def pack(path: Path, *, samples: int, dtype: type = np.int16, rate: Any = None) -> Store:
    with h5py.File(path, "w") as file:
        file["audio_name"] = np.array([b"Ya.wav", b"Yb.wav", b"Yc.wav"])
        file["waveform"] = np.ones((3, samples), dtype)
        if rate is not None:
            file.attrs["sample_rate"] = rate
    return Store(path, None, DataError)


@pytest.mark.parametrize(
    ("samples", "attribute", "rate"),
    [(320_000, None, 32_000), (160_000, None, 16_000), (123, None, 32_000), (160_000, 8_000, 8_000)],
)
def test_the_rate_is_told_or_makes_rows_of_ten_seconds(
    samples: int, attribute: int | None, rate: int, tmp_path: Path
) -> None:
    place = pack(tmp_path / "a.h5", samples=samples, rate=attribute)
    clips = [clip for clip in Hdf5Reader(place, 1, 3)() if isinstance(clip, ClipAudio)]
    assert [(clip.name, clip.sample_rate, len(clip.samples)) for clip in clips] == [
        ("Yb", rate, samples),
        ("Yc", rate, samples),
    ]
    assert count_clips(place) == 3


@pytest.mark.parametrize("told", [[8000], np.array([8000], np.int64), 8000.0, np.uint16(8000), [[8000]]])
def test_a_rate_may_be_told_as_a_list_of_one_or_a_float(told: Any, tmp_path: Path) -> None:
    place = pack(tmp_path / "a.h5", samples=10, rate=told)
    assert count_clips(place) == 3
    clips = [clip for clip in Hdf5Reader(place)() if isinstance(clip, ClipAudio)]
    assert [clip.sample_rate for clip in clips] == [8000] * 3
    assert all(type(clip.sample_rate) is int for clip in clips)


@pytest.mark.parametrize(
    "told", [0, -1, 0.5, float("nan"), float("inf"), [], [8000, 16000], "8000", b"8 kHz", True]
)
def test_a_rate_that_is_none_is_refused_as_the_pack_is_opened(told: Any, tmp_path: Path) -> None:
    place = pack(tmp_path / "a.h5", samples=10, rate=told)
    with pytest.raises(DataError, match=r"a\.h5 attribute sample_rate.*expected a whole number of Hz, found"):
        open_clip_source(str(tmp_path))
    with pytest.raises(DataError, match="attribute sample_rate"):
        list(Hdf5Reader(place)())


def test_samples_of_another_type_are_refused(tmp_path: Path) -> None:
    place = pack(tmp_path / "a.h5", samples=10, dtype=np.float32)
    with pytest.raises(DataError, match=r"expected int16 of shape \(3, samples\), found float32"):
        count_clips(place)


def test_without_h5py_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = pack(tmp_path / "a.h5", samples=10)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ConfigError, match=r"pip install uss-ray\[hdf5\]"):
        count_clips(place)
