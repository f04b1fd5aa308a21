"""Results that are kept for a while."""

from __future__ import annotations

import io
import json
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.clock import set_clock
from tests.unit.service.answers import CAT, DOG, NAMES, SOUND, answer_of, work_of
from uss_ray.errors import OutputError
from uss_ray.service.kept import KeptResults
from uss_ray.service.problems import Refusal
from uss_ray.service.result import Result
from uss_ray.store.store import Store


def test_a_result_is_one_object_that_anybody_can_unpack(
    results: KeptResults, made: Result, tmp_path: Path
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
    assert made.archive is not None
    assert made.archive.size == place.stat().st_size


@pytest.mark.parametrize("result_id", ["", "x", "../one", "f" * 39, "f" * 41, "F" * 40, "f" * 40])
def test_what_is_no_result_is_not_there(results: KeptResults, result_id: str) -> None:
    with pytest.raises(Refusal, match="expected a result that is kept") as raised:
        results.find("one", result_id)
    assert raised.value.status == 404


def test_another_tenant_finds_nothing(results: KeptResults, made: Result) -> None:
    for ask in (results.find, results.remove):
        with pytest.raises(Refusal, match="expected a result that is kept"):
            ask("two", made.result_id)
    with pytest.raises(Refusal, match="expected a result that is kept"):
        results.find("../kept/one", made.result_id)
    assert results.find("one", made.result_id) == made


def test_it_is_gone_when_it_is_over_or_removed(
    results: KeptResults, made: Result, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = results.keep(work_of(SOUND), answer_of(SOUND), tenant="one", seconds=3600)
    results.remove("one", other.result_id)
    with pytest.raises(Refusal):
        results.find("one", other.result_id)
    assert results.expire() == 0
    now = time.time()
    set_clock(monkeypatch, "uss_ray.service.kept", time=lambda: now + 61)
    with pytest.raises(Refusal):
        results.find("one", made.result_id)
    assert results.expire() == 1
    assert list((tmp_path / "store").rglob("*.zip")) == []


def test_nothing_is_over_where_nothing_was_kept(results: KeptResults) -> None:
    assert results.expire() == 0


def test_a_result_that_another_process_removed_is_not_there(
    results: KeptResults, made: Result, tmp_path: Path
) -> None:
    (tmp_path / "store" / "kept" / "one" / f"{made.result_id}.zip").unlink()
    with pytest.raises(Refusal, match="expected a result that is kept"):
        made.window(NAMES, start=0, frames=5)
    with pytest.raises(Refusal, match="expected a result that is kept"):
        results.find("one", made.result_id)


def test_a_damaged_object_is_a_fault_of_the_store(results: KeptResults, made: Result, tmp_path: Path) -> None:
    place = tmp_path / "store" / "kept" / "one" / f"{made.result_id}.zip"
    nested = io.BytesIO()
    with zipfile.ZipFile(nested, "w") as archive:
        archive.writestr("index.json", "[" * 100_000)
    for content in (b"not a zip at all", nested.getvalue()):
        place.write_bytes(content)
        with pytest.raises(OutputError, match="expected a result as it was kept"):
            KeptResults(Store(str(tmp_path / "store"), error=OutputError)).find("one", made.result_id)
