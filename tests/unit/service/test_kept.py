"""Results that are kept for a while."""

from __future__ import annotations

import io
import json
import time
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from tests.unit.service.answers import CAT, DOG, answer_of, flac, row_of, stems_of, work_of
from uss_ray.errors import OutputError
from uss_ray.service import kept
from uss_ray.service.backend import Answer
from uss_ray.service.kept import KeptResult, KeptResults
from uss_ray.service.problems import Refusal
from uss_ray.store.store import Store

SOUND = (np.random.default_rng(1).integers(-9000, 9000, (2, 20_000)) / 32768).astype(np.float32)
NAMES = ["query/dog.flac", "query/cat.flac", "query/residual.flac"]


@pytest.fixture
def results(tmp_path: Path) -> KeptResults:
    return KeptResults(Store(str(tmp_path / "store"), error=OutputError))


@pytest.fixture
def made(results: KeptResults) -> KeptResult:
    return results.keep(work_of(SOUND), answer_of(SOUND), tenant="one", seconds=60)


def test_a_result_is_one_object_that_anybody_can_unpack(
    results: KeptResults, made: KeptResult, tmp_path: Path
) -> None:
    (place,) = (path for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert place.relative_to(tmp_path / "store").as_posix() == f"kept/one/{made.result_id}.zip"
    with zipfile.ZipFile(place) as archive:
        index = json.loads(archive.read("index.json"))
        assert sorted(archive.namelist()) == sorted(["index.json", "recording.flac", *NAMES])
        recording, rate = soundfile.read(io.BytesIO(archive.read("recording.flac")), dtype="float32")
    assert rate == index["sample_rate"] == 8000
    assert np.array_equal(recording.T, SOUND)
    assert [row["node_id"] for row in index["rows"]] == [DOG, CAT, "/m/0jbk", "residual"]
    assert index["probabilities"] == {DOG: [0.75, 0.0]}
    assert made.seconds == 2.5
    assert made.size == place.stat().st_size


def test_stems_are_read_in_place(results: KeptResults, made: KeptResult) -> None:
    for name, content in answer_of(SOUND).files.items():
        part = made.part(name)
        read = results.read("one", made, start=part.offset, stop=part.offset + part.size)
        assert b"".join(read) == content


@pytest.mark.parametrize(
    ("start", "frames"), [(0, 8000), (7_777, 4000), (19_990, 100), (20_000, 5), (10**9, 5)]
)
def test_a_window_holds_all_stems_side_by_side(
    results: KeptResults, made: KeptResult, start: int, frames: int
) -> None:
    window = results.window("one", made, names=NAMES, start=start, frames=frames)
    stems = stems_of(SOUND)
    expected = np.stack([stems[name][:, start : start + frames].T for name in NAMES], axis=1)
    assert window.shape == expected.shape
    assert np.abs(window - np.rint(expected * 32767)).max(initial=0) <= 1
    assert not (window[:, 0] + window[:, 1]).any()  # what cancels, cancels to the bit


def test_a_stem_of_a_span_has_silence_around_it(results: KeptResults) -> None:
    bark = SOUND[:, :1000]
    span = {
        "start_seconds": 0.5, "end_seconds": 0.6, "stem_uri": "query/dog/0.flac", "stem_sha256": "0", "stem_bytes": 1,
        "stem_start_frame": 4000,
    }  # fmt: skip
    answer = Answer(rows=[row_of(DOG, active_spans=[span])], files={"query/dog/0.flac": flac(bark)}, run={})
    made = results.keep(work_of(SOUND), answer, tenant="one", seconds=60)
    window = results.window("one", made, names=["query/dog/0.flac"], start=3500, frames=2000)[:, 0]
    assert not window[:500].any()
    assert np.abs(window[500:1500] - np.rint(bark.T * 32767)).max() <= 1
    assert not window[1500:].any()
    assert not results.window("one", made, names=["query/dog/0.flac"], start=0, frames=4000).any()


def test_what_is_too_much_or_not_there_is_refused(
    results: KeptResults, made: KeptResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refusal, match=r"query/cow\.flac: expected a stem of this result") as raised:
        results.window("one", made, names=["query/cow.flac"], start=0, frames=5)
    assert raised.value.status == 404
    monkeypatch.setattr(kept, "WINDOW_SAMPLES", 100)
    with pytest.raises(Refusal, match="at most 100 samples") as raised:
        results.window("one", made, names=NAMES, start=0, frames=17)
    assert raised.value.status == 413


@pytest.mark.parametrize("result_id", ["", "x", "../one", "f" * 39, "f" * 41, "F" * 40, "f" * 40])
def test_what_is_no_result_is_not_there(results: KeptResults, result_id: str) -> None:
    with pytest.raises(Refusal, match="expected a result that is kept") as raised:
        results.find("one", result_id)
    assert raised.value.status == 404


def test_what_another_front_has_removed_is_not_there(
    results: KeptResults, made: KeptResult, tmp_path: Path
) -> None:
    KeptResults(Store(str(tmp_path / "store"), error=OutputError)).remove("one", made.result_id)
    with pytest.raises(Refusal, match="expected a result that is kept") as raised:
        results.find("one", made.result_id)
    assert raised.value.status == 404


def test_another_tenant_finds_nothing(results: KeptResults, made: KeptResult) -> None:
    for ask in (results.find, results.remove):
        with pytest.raises(Refusal, match="expected a result that is kept"):
            ask("two", made.result_id)
    with pytest.raises(Refusal, match="expected a result that is kept"):
        results.find("../kept/one", made.result_id)
    assert results.find("one", made.result_id) == made


def test_it_is_gone_when_it_is_over_or_removed(
    results: KeptResults, made: KeptResult, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = results.keep(work_of(SOUND), answer_of(SOUND), tenant="one", seconds=3600)
    results.remove("one", other.result_id)
    with pytest.raises(Refusal):
        results.find("one", other.result_id)
    assert results.expire() == 0
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 61)
    with pytest.raises(Refusal):
        results.find("one", made.result_id)
    assert results.expire() == 1
    assert list((tmp_path / "store").rglob("*.zip")) == []


def test_nothing_is_over_where_nothing_was_kept(results: KeptResults) -> None:
    assert results.expire() == 0


def test_a_result_that_another_process_removed_is_not_there(
    results: KeptResults, made: KeptResult, tmp_path: Path
) -> None:
    (tmp_path / "store" / "kept" / "one" / f"{made.result_id}.zip").unlink()
    with pytest.raises(Refusal, match="expected a result that is kept"):
        results.window("one", results.find("one", made.result_id), names=NAMES, start=0, frames=5)


def test_a_damaged_object_is_a_fault_of_the_store(
    results: KeptResults, made: KeptResult, tmp_path: Path
) -> None:
    (tmp_path / "store" / "kept" / "one" / f"{made.result_id}.zip").write_bytes(b"not a zip at all")
    with pytest.raises(OutputError, match="expected a result as it was kept"):
        KeptResults(Store(str(tmp_path / "store"), error=OutputError)).find("one", made.result_id)


def test_a_result_is_the_same_in_every_store(storage_root: str) -> None:
    results = KeptResults(Store(storage_root, error=OutputError), presign=True)
    made = results.keep(work_of(SOUND), answer_of(SOUND), tenant="one", seconds=60)
    window = results.window("one", made, names=NAMES, start=7_777, frames=100)
    assert not (window[:, 0] + window[:, 1]).any()
    assert window.any()
    address = results.presigned("one", made)
    if storage_root.startswith("s3"):
        assert address is not None
        whole = httpx.get(address).content  # with no credentials of ours
        assert b"".join(results.read("one", made, start=0, stop=made.size)) == whole
        assert zipfile.is_zipfile(io.BytesIO(whole))
    else:
        assert address is None
    results.remove("one", made.result_id)
    with pytest.raises(Refusal, match="expected a result that is kept"):
        results.find("one", made.result_id)
    assert results.expire() == 0
