"""All results of a service by their ids."""

from __future__ import annotations

import io
import time
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.clock import set_clock
from tests.unit.service.answers import NAMES, SOUND, answer_of, work_of
from tests.unit.service.kept_job import NAMES as RECORDINGS
from tests.unit.service.kept_job import keep_job, result_of
from uss_ray.errors import OutputError
from uss_ray.service.problems import Refusal
from uss_ray.service.results import Results
from uss_ray.store.store import Store


def test_what_was_looked_at_is_remembered_until_it_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = Results(Store(str(tmp_path), error=OutputError))
    made = results.kept.keep(work_of(SOUND), answer_of(SOUND), tenant="one", seconds=60)
    assert results.find("one", made.result_id) == made
    (found,) = tmp_path.rglob("*.zip")
    found.unlink()
    assert results.find("one", made.result_id, is_remembered=True) == made
    with pytest.raises(Refusal, match="kept"):
        results.find("two", made.result_id, is_remembered=True)
    with pytest.raises(Refusal, match="kept"):
        results.find("one", made.result_id)
    now = time.time()
    for module in ("kept", "results"):
        set_clock(monkeypatch, f"uss_ray.service.{module}", time=lambda: now + 61)
    with pytest.raises(Refusal, match="kept"):
        results.find("one", made.result_id, is_remembered=True)


def test_one_of_a_job_goes_with_its_job(tmp_path: Path) -> None:
    results = Results(Store(str(tmp_path), error=OutputError))
    result_id = result_of(keep_job(tmp_path, "one"))
    assert results.find("one", result_id).index["name"] == RECORDINGS[0]
    with pytest.raises(Refusal, match="results=true") as raised:
        results.remove("one", result_id)
    assert raised.value.status == 409
    with pytest.raises(Refusal, match="expected a result that is kept"):
        results.remove("two", result_id)


def test_a_result_is_the_same_in_every_store(storage_root: str) -> None:
    results = Results(Store(storage_root, error=OutputError), presign=True)
    made = results.kept.keep(work_of(SOUND), answer_of(SOUND), tenant="one", seconds=60)
    window = made.window(NAMES, start=7_777, frames=100)
    assert not (window[:, 0] + window[:, 1]).any()
    assert window.any()
    assert made.archive is not None
    address = results.presigned(made.archive)
    if storage_root.startswith("s3"):
        assert address is not None
        whole = httpx.get(address).content  # with no credentials of ours
        assert b"".join(made.archive.read(0, made.archive.size)) == whole
        assert zipfile.is_zipfile(io.BytesIO(whole))
    else:
        assert address is None
    results.remove("one", made.result_id)
    with pytest.raises(Refusal, match="expected a result that is kept"):
        results.find("one", made.result_id)
    assert results.kept.expire() == 0
