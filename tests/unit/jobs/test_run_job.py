"""The driver's own: what the archive says, in the words of the table; the archive itself is tried elsewhere."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import MakeRecording
from uss_ray.jobs import run_job
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.pipelines.runtime.progress import Progress
from uss_ray.results.run_summary import RecordingCounts
from uss_ray.service.job_driver import JobEnd
from uss_ray.service.jobs import Counts, JobRequest


def _request(source: Path, tmp_path: Path, weights: Path) -> JobRequest:
    return JobRequest(
        job_id="0" * 32,
        tenant="one",
        created_at=1.0,
        digest="d",
        input=str(source),
        output=str(tmp_path / "out"),
        sounds={"query": {"levels": [1]}, "weights": str(weights), "device": "cpu"},
    )


def test_a_plan_counts_what_there_is(
    make_recording: MakeRecording, tmp_path: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    source = make_recording(seconds=3.0)
    asked = _request(source, tmp_path, tiny_weights)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(asked.to_json().encode())))
    monkeypatch.setattr("sys.argv", ["run_job", "plan"])
    run_job.main()
    found = json.loads(capsys.readouterr().out)
    assert (found["recordings"], found["bytes_to_do"]) == (1, source.stat().st_size)
    assert found["hours"] == pytest.approx(3 / 3600)
    fault = run_job.plan(_request(tmp_path / "none", tmp_path, tiny_weights))["fault"]
    assert fault["item"].endswith("none")


def test_counts_of_the_archive_are_those_of_the_job(
    tmp_path: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Counts] = []

    def archive(source: str, *, on_progress: Any, **_: Any) -> Any:
        on_progress(Progress(finished=3, failed=1, found=5, audio_seconds=9.0, seconds=2.0))
        counts = RecordingCounts(separated=2, failed=1, unfinished=1, skipped=4, failed_before=1)
        return SimpleNamespace(
            summary=SimpleNamespace(recordings=counts),
            counters=SimpleNamespace(audio_seconds=9.0),
            signal_number=15,
        )

    monkeypatch.setattr(run_job, "separate_archive", archive)
    request = _request(tmp_path, tmp_path, tiny_weights)
    end = run_job.separate(
        request, str(tmp_path), lambda counts, _: told.append(counts), options=JobOptions(actors=1)
    )
    assert told == [Counts(found=5, finished=2, failed=1, audio_seconds=9.0)]
    assert end == JobEnd(counts=Counts(found=9, finished=6, failed=2, audio_seconds=9.0), is_whole=False)
