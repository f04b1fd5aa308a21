"""Results of jobs, a recording at a time."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.unit.service.kept_job import CAT, DOG, NAMES, RATE, keep_job, part_of, result_of, sounds_of
from tests.unit.service.test_listening import data_of
from uss_ray.errors import OutputError
from uss_ray.service.job_results import JobResults, result_id_of
from uss_ray.service.jobs import JobTable
from uss_ray.service.listening import player_of, spectrogram_of
from uss_ray.service.problems import Refusal
from uss_ray.service.result import Result
from uss_ray.store.store import Store

STEMS = [f"level-3/{name}.flac" for name in ("dog__m_0bt9lr", "cat__m_01yrx", "residual")]


@pytest.fixture
def results(tmp_path: Path) -> JobResults:
    return JobResults(JobTable(Store(str(tmp_path), error=OutputError)))


@pytest.fixture
def job(tmp_path: Path) -> str:
    return keep_job(tmp_path, "one")


@pytest.fixture
def result(results: JobResults, job: str) -> Result:
    return results.find("one", result_of(job))


def test_a_recording_is_a_result_like_any_other(result: Result) -> None:
    assert (result.index["name"], result.seconds, result.sample_rate, result.channels) == (
        NAMES[0],
        3,
        RATE,
        2,
    )
    assert sorted(result.parts) == sorted(STEMS)
    assert set(result.recording) == set(STEMS)
    assert {row["label"]: row["status"] for row in result.index["rows"]}["Dog"] == "written"
    with zipfile.ZipFile(io.BytesIO(b"".join(result.zipped(list(result.parts))))) as archive:
        assert archive.testzip() is None
        assert json.loads(archive.read("index.json"))["name"] == NAMES[0]
        assert len(archive.read(STEMS[0])) == result.parts[STEMS[0]].size


def test_its_stems_add_up_to_the_recording(result: Result) -> None:
    sounds = sounds_of()
    window = result.window(STEMS, start=7_777, frames=1000)
    for place, key in enumerate((DOG, CAT)):
        expected = np.rint(sounds[key][:, 7_777:8_777].T * 32768)
        assert np.abs(window[:, place] - expected).max() <= 2
    whole = np.concatenate([block for _, block in result.seen(result.recording)], axis=1)
    assert np.abs(whole - sounds["mixture"]).max() < 2 / 32768
    assert spectrogram_of(result).startswith(b"\x89PNG")


def test_it_has_a_player(result: Result) -> None:
    data = data_of(player_of(result))
    assert [lane["name"] for lane in data["lanes"]] == ["Recording", "Dog", "Cat", "Rest of level 3"]
    assert data["adds"] == ["level 3"]
    assert data["lanes"][0]["files"] == []
    assert data["lanes"][1]["files"][0]["url"] == f"v1/results/{result.result_id}/stems/{STEMS[0]}"


def test_what_is_no_result_is_not_there(results: JobResults, job: str) -> None:
    part = part_of(NAMES[0])
    for tenant, result_id in (
        ("two", result_of(job)),
        ("one", result_id_of("f" * 32, part, NAMES[0])),
        ("one", result_id_of(job, "f" * 16, NAMES[0])),
        ("one", result_id_of(job, part, NAMES[1])),
        ("one", job),
        ("one", f"{job}-../{part}"),
    ):
        with pytest.raises(Refusal, match="expected a result that is kept") as raised:
            results.find(tenant, result_id)
        assert raised.value.status == 404


def test_a_stem_that_has_gone_is_not_there(result: Result, tmp_path: Path) -> None:
    for stem in tmp_path.rglob("dog__m_0bt9lr.flac"):
        stem.unlink()
    with pytest.raises(Refusal, match="expected a result that is kept"):
        result.window(STEMS, start=0, frames=5)
