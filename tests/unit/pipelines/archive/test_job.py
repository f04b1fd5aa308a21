"""What the job decides without Ray; that it works is shown in `tests/ray` and `tests/faults`."""

from __future__ import annotations

import datetime
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import ray

from tests.unit.pipelines.tables import Tables, take_tables
from uss_ray.api.request import Query, request_with
from uss_ray.errors import ConfigError, QueryError, RecordingError, UssRayError, WeightsError
from uss_ray.pipelines.archive import job as job_module
from uss_ray.pipelines.archive.chunking import FewRecordings
from uss_ray.pipelines.archive.job import ArchiveJob, page_trouble, separate_archive
from uss_ray.pipelines.archive.long_recordings import LongRecordings
from uss_ray.pipelines.archive.outcome import Outcome, PacketReport
from uss_ray.pipelines.runtime.counters import Counters
from uss_ray.pipelines.runtime.job import LedgerFacts, RunReport
from uss_ray.pipelines.runtime.run_state import Earlier, Named
from uss_ray.pipelines.runtime.stages import CutShortError
from uss_ray.records import recording_key
from uss_ray.results.index.table import RecordingFacts, RunFacts, failed_row, write_index
from uss_ray.results.passed_over import PassedOver
from uss_ray.store.store import Store
from uss_ray.store.walk import Unlisted

FACTS = RunFacts(run_id="r", weights_name="w", weights_sha256="0")


@pytest.fixture
def job(tmp_path: Path) -> ArchiveJob:
    made = ArchiveJob(
        archive="in",
        request=request_with(output=str(tmp_path / "out"), query=Query(levels=(1,)), weights="starter"),
        listing=SimpleNamespace(),  # type: ignore[arg-type]
        few=None,
        separator=SimpleNamespace(publisher=None, run=FACTS),  # type: ignore[arg-type]
        make_separator=SimpleNamespace,  # type: ignore[arg-type]
    )
    made._long = LongRecordings(None, state=None)  # type: ignore[arg-type]
    return made


def outcome(name: str, status) -> Outcome:
    return Outcome(
        recording_id=name, recording_uri=name, status=status, seconds=60.0, written=2, stem_bytes=10
    )


def read(job: ArchiveJob, *outcomes: Outcome, **facts: object) -> Counters:
    report = PacketReport(outcomes=outcomes, worker="w", **facts)  # type: ignore[arg-type]
    counters = Counters()
    for increment in job.read({**asdict(report), "outcomes": [asdict(each) for each in outcomes]}):
        counters.add(increment)
    return counters


def test_reports_become_sums_and_the_first_recordings_are_kept(job: ArchiveJob) -> None:
    counters = read(job, outcome("a", "separated"), outcome("b", "failed"), outcome("c", "unfinished"))
    assert (counters.done, counters.failed, counters.unfinished) == (1, 1, 1)
    assert [each.recording_id for each in job.examples] == ["a"]
    assert [each.recording_id for each in job.failed_examples] == ["b"]
    counters = read(job, *(outcome(str(number), "separated") for number in range(100)))
    assert counters.done == 100
    assert len(job.examples) == 60


def test_a_span_counts_once_its_recording_is_joined(job: ArchiveJob) -> None:
    span = Outcome(recording_id="long", recording_uri="long", status="part", part=0)
    assert read(job, span).finished == 0
    assert not job.has_trailing


class Noting:
    """A publisher that notes which recordings it is told have failed."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def failed(self, recording, *, reason):
        return recording.recording_id

    def commit_failed(self, rows, *, name):
        self.told += rows


@pytest.mark.parametrize(
    ("listed", "told"), [(["a", "b"], ["a", "b"]), (["a"], ["a"]), (["a", "b", "new"], [])]
)
def test_what_came_after_the_last_pass_is_not_called_poison(
    job: ArchiveJob, monkeypatch: pytest.MonkeyPatch, listed: list[str], told: list[str]
) -> None:
    """Nobody can tell then which of them have killed a worker, and which were never tried."""
    take_tables(monkeypatch)
    tables = [pa.table({"recording_uri": [name], "recording_id": [name], "data": [b""]}) for name in listed]
    monkeypatch.setattr(job, "_undone", lambda _run: Tables(tables))
    publisher = job.separator.publisher = Noting()  # type: ignore[misc, assignment]
    counters = Counters()
    for increment in job.quarantine(SimpleNamespace(missing=2)):  # type: ignore[arg-type]
        counters.add(increment)
    assert publisher.told == told
    assert (counters.failed, counters.unfinished) == (len(told), 0 if told else 2)
    assert counters.exit_code() != 0


def test_its_results_are_those_of_its_output(job: ArchiveJob, tmp_path: Path) -> None:
    assert (job.source, str(job.output), job.facts()) == ("in", str(tmp_path / "out"), FACTS)
    ledger, known = job.ledger_reader()()
    assert (known, len(ledger.known)) == (LedgerFacts(), 0)
    job.few = FewRecordings((10, 10_000_000))
    assert job.ledger_reader()()[1].most_actors == 10
    (job.output / "index" / "0123456789abcdef.parquet").put(b"x")
    job.owned.remove(job.output)
    assert list(job.output.list()) == []


def test_its_workspace_is_there_while_it_works(job: ArchiveJob) -> None:
    with job.workspace():
        scratch = job._scratch
        assert scratch.is_dir()
    assert not scratch.exists()


def on_this_process(action, *arguments, tells, retries=0):
    return action(*arguments)


@pytest.mark.parametrize("is_stopped", [True, False])
def test_a_run_that_was_stopped_writes_no_page_and_the_next_one_does(
    job: ArchiveJob, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_stopped: bool
) -> None:
    """The page of many recordings takes longer than whoever has stopped a run waits."""
    ran = []
    monkeypatch.setattr(job_module, "run_on_worker", lambda action, *_, **__: ran.append(action) or {})
    monkeypatch.setattr(job_module, "is_ending", lambda _state: is_stopped)
    list(job.finalise(is_complete=not is_stopped))
    assert (page_trouble in ran) is not is_stopped
    assert ("the run was stopped" in caplog.text) is is_stopped


@pytest.mark.parametrize("error", [CutShortError, ConfigError])
def test_a_page_whose_worker_dies_ends_no_run(
    job: ArchiveJob,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: type[UssRayError],
) -> None:
    def run(action, *_arguments, tells, retries=2):
        if action is page_trouble:
            assert retries == 0  # Ray tries for ever what takes too much memory
            raise error("page", expected="a worker that stays", found="none")
        return {"cut": 1}

    monkeypatch.setattr(job_module, "run_on_worker", run)
    monkeypatch.setattr(job_module, "is_ending", lambda _state: False)
    assert list(job.finalise(is_complete=True))[-1].failures == {"cut": 1}
    assert "a worker that stays" in caplog.text


def test_what_a_listing_told_counts_although_settling_is_cut_short(
    job: ArchiveJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_arguments, **_named):
        raise CutShortError("the end", expected="soon", found="late")

    monkeypatch.setattr(job_module, "run_on_worker", run)
    job.earlier = Earlier(skipped=4, failed=[np.array([7])])
    increments = job.finalise(is_complete=False)
    told = next(increments)
    with pytest.raises(CutShortError):
        list(increments)
    assert (told.skipped, told.failed_before) == (4, 1)


def test_the_end_takes_the_spans_of_what_any_pass_has_given_up(
    job: ArchiveJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    for name in ("cut_blocks", "map_tables", "map_with_actors"):
        monkeypatch.setattr(job_module, name, lambda *_, **__: None)
    monkeypatch.setattr(job, "_undone", lambda _run: None)
    monkeypatch.setattr(job_module, "run_on_worker", on_this_process)
    monkeypatch.setattr(job_module, "is_ending", lambda _state: True)
    monkeypatch.setattr(job_module, "forget_done_parts", lambda _output, failed: told.append(failed))
    job.listing.kind = "folder"
    job.separator.span_context_seconds = 0.0  # type: ignore[misc]
    run: Any = SimpleNamespace(
        is_isolated=True, state=None, pool=SimpleNamespace(gpus_per_actor=0, threads=1)
    )
    for name in ("a", "b"):
        job.pipeline(run)
        read(job, replace(outcome(name, "failed"), part=1))
    list(job.finalise(is_complete=True))
    assert told == [{recording_key("a"), recording_key("b")}]


def test_the_end_brings_failures_into_order_and_fetches_what_was_passed_over(
    job: ArchiveJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = PassedOver()
    passed.add(["a.txt"])
    passed.add_unlisted(
        [Unlisted("tapes: no permission", True), Unlisted("up: a link that leads out", False)]
    )
    monkeypatch.setattr(job_module, "run_on_worker", on_this_process)
    monkeypatch.setattr(job_module, "is_ending", lambda _state: False)
    monkeypatch.setattr(job_module.ray, "get", lambda reference: reference)
    found = Earlier(skipped=4, failed=[np.array([7])], changed=Named(1, ["a"]), strangers=2)
    job._listed_by = SimpleNamespace(
        passed_over=SimpleNamespace(remote=lambda: passed), earlier=SimpleNamespace(remote=lambda: found)
    )
    counters = Counters()
    for increment in job.finalise(is_complete=True):
        counters.add(increment)
    assert (counters.skipped, counters.failed_before, counters.failed) == (4, 1, 3)
    assert sum("cannot be listed" in reason for reason in counters.failures.most_common()) == 1
    job.request = job.request.replace(changed="fail")
    assert sum(increment.failed for increment in job.finalise(is_complete=True)) == 4
    assert (job.output / "failed.jsonl").read() == b""
    assert job.passed_over is passed


def test_a_summary_is_made_of_the_sums(job: ArchiveJob) -> None:
    counters = read(job, outcome("a", "separated"), outcome("b", "failed"), separate_seconds=3.0)
    counters.skipped = 7
    moment = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    summary = job.summary(
        RunReport(
            facts=FACTS,
            counters=counters,
            stage_workers={"decode": 2, "separate": 1, "write": 1},
            started_at=moment,
            ended_at=moment,
            wall_seconds=1.0,
        )
    )
    recordings = summary.recordings
    assert (recordings.separated, recordings.failed, recordings.skipped) == (1, 1, 7)
    assert (summary.run_id, summary.input, summary.stem_bytes) == ("r", "in", counters.amounts["stem_bytes"])
    assert summary.audio_hours == counters.audio_seconds / 3600
    assert [stage.name for stage in summary.stages] == ["decode", "separate", "write"]


def test_a_page_that_cannot_be_written_is_told_and_ends_no_run(tmp_path):
    assert page_trouble(Store(tmp_path)) is None  # nothing was done: nothing to show
    (tmp_path / "index").mkdir()
    assert "an index" in page_trouble(Store(tmp_path))
    (tmp_path / "index" / "0.parquet").write_bytes(b"no such thing")
    assert "Parquet" in page_trouble(Store(tmp_path))
    assert not (tmp_path / "index.html").exists()


def test_a_page_of_the_same_index_is_not_written_again(tmp_path, monkeypatch):
    def index(name: str, *recordings: str) -> None:
        facts = [RecordingFacts(recording_id=name, recording_uri=name) for name in recordings]
        rows = [failed_row(recording, run=FACTS, reason="cut") for recording in facts]
        write_index(rows, path=tmp_path / "index" / f"{name}.parquet")

    wrote = []
    write = job_module.write_archive_page
    monkeypatch.setattr(
        job_module, "write_archive_page", lambda output: wrote.append(output) or write(output)
    )

    def writes() -> bool:
        before = len(wrote)
        assert page_trouble(Store(tmp_path)) is None
        return len(wrote) > before

    index("1", "a.wav")
    assert [writes(), writes()] == [True, False]
    index("2", "b.wav")  # one more
    assert [writes(), writes()] == [True, False]
    index("2", "c.wav")  # another in its place
    assert [writes(), writes()] == [True, False]
    (tmp_path / "index" / "1.parquet").unlink()
    assert [writes(), writes()] == [True, False]
    (tmp_path / "index-pages" / "recordings.js").unlink()
    assert [writes(), writes()] == [True, False]
    page = (tmp_path / "index.html").read_bytes()
    (tmp_path / "index.html").write_bytes(page[:-20])  # cut off
    assert [writes(), writes()] == [True, False]
    monkeypatch.setattr("uss_ray.results.report.archive.VERSION", "later")
    assert [writes(), writes()] == [True, False]


def test_a_page_that_takes_too_much_memory_ends_no_run(tmp_path, monkeypatch):
    def write(_root):
        raise MemoryError

    monkeypatch.setattr(job_module, "write_archive_page", write)
    (tmp_path / "index").mkdir()
    assert page_trouble(Store(tmp_path)) == "MemoryError"


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where Ray is started: what cannot be done is refused before."""
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray is started"))


@pytest.mark.usefixtures("no_ray")
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"weights": "no-such-weights"}, WeightsError),
        ({"query": Query(classes=("Dgo",))}, QueryError),
        ({"query": Query(levels=(9,))}, QueryError),
    ],
)
def test_a_wrong_request_stops_the_job_before_it_starts(
    make_recording, request_for, tmp_path, changes, error
):
    with pytest.raises(error):
        separate_archive(str(make_recording("a.wav").parent), request=request_for(**changes))
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_ray")
def test_weights_that_do_not_load_stop_the_job_with_their_own_error(
    make_recording, request_for, tiny_weights, tmp_path
):
    broken = tmp_path / "broken"
    shutil.copytree(tiny_weights, broken)
    (broken / "tagger.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"tagger\.safetensors"):
        separate_archive(str(make_recording("a.wav").parent), request=request_for(weights=str(broken)))


@pytest.mark.usefixtures("no_ray")
def test_an_archive_without_recordings_is_refused(tmp_path, request_for):
    (tmp_path / "in").mkdir()
    with pytest.raises(RecordingError, match="expected recordings"):
        separate_archive(str(tmp_path / "in"), request=request_for())
