"""The driver's own: what the archive says, in the words of the table; the archive itself is tried elsewhere."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import MakeRecording
from tests.unit.service.kept_job import write_failures
from uss_ray.api.request import SeparationRequest, SoundRequest
from uss_ray.jobs import run_job
from uss_ray.pipelines.archive.job import archive_job
from uss_ray.pipelines.runtime.identity import RunIdentity, open_run
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.pipelines.runtime.progress import Progress
from uss_ray.results.run_summary import RecordingCounts
from uss_ray.service.job_driver import JobEnd
from uss_ray.service.jobs import Counts, JobRequest
from uss_ray.store.store import Store


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


def _results_of_a_job(request: JobRequest, *, source: Path) -> None:
    """Leave what a job leaves that has begun."""
    job = archive_job(
        source, request=SeparationRequest.of(SoundRequest(**request.sounds), output=request.output),
        options=JobOptions(),
    )  # fmt: skip
    identity = RunIdentity.of(job.source, run=job.facts(), threads=1)
    open_run(identity, output=job.output, owned=job.owned)


def test_what_a_job_would_refuse_is_refused_by_its_plan_and_before_there_is_a_job(
    make_recording: MakeRecording, tmp_path: Path, tiny_weights: Path
) -> None:
    source = make_recording(seconds=1.0)
    same = _request(source, tmp_path, tiny_weights)
    _results_of_a_job(same, source=source)
    other = replace(same, sounds={**same.sounds, "query": {"levels": [2]}})
    assert run_job.plan(same)["recordings"] == 1
    assert run_job.check(same) == {}
    for told in (run_job.plan(other), run_job.check(other)):
        assert (told["fault"]["item"], told["fault"]["status"]) == (other.output, 409)
        assert "query.levels" in told["fault"]["found"]
    of_call = replace(same, output=str(tmp_path / "call"))
    (tmp_path / "call").mkdir()
    (tmp_path / "call" / "index.json").write_text("{}", encoding="utf-8")
    for told in (run_job.plan(of_call), run_job.check(of_call)):
        assert (told["fault"]["found"], told["fault"]["status"]) == ("index.json without run.json", 409)
    gone = replace(same, input=str(tmp_path / "none"))
    assert run_job.check(gone) == {}  # its driver says so
    assert run_job.plan(gone)["fault"]["status"] == 422


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


@pytest.mark.parametrize(
    ("failures", "reason"),
    [
        ({"a.wav": "a.wav: expected audio, found none"}, "a.wav: expected audio, found none"),
        (
            {name: f"{name}: expected audio, found none" for name in ("a.wav", "b.wav")},
            "no recording could be separated; of the first: a.wav: expected audio, found none",
        ),
        ({}, None),
    ],
)
def test_a_job_that_separates_nothing_says_why(
    failures: dict[str, str], reason: str | None, tmp_path: Path, tiny_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def archive(*_: Any, **__: Any) -> Any:
        if failures:
            write_failures(Store(tmp_path / "out"), failures)
        counts = RecordingCounts(
            separated=0, failed=len(failures) or 1, unfinished=0, skipped=0, failed_before=0
        )
        return SimpleNamespace(
            output=str(tmp_path / "out"),
            summary=SimpleNamespace(recordings=counts),
            counters=SimpleNamespace(audio_seconds=0.0),
            signal_number=None,
        )

    monkeypatch.setattr(run_job, "separate_archive", archive)
    request = _request(tmp_path, tmp_path, tiny_weights)
    end = run_job.separate(request, str(tmp_path), lambda *_: None, options=JobOptions())
    assert (end.is_whole, end.reason) == (True, reason)
