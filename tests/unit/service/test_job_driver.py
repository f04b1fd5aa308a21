"""What is read for a job: rows of a manifest are checked and copied."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from uss_ray.errors import OccupiedError, OutputError, UssRayError
from uss_ray.service.job_driver import JobEnd, Tell, _Heart, checked_input, drive
from uss_ray.service.jobs import Counts, JobOrder, JobProgress, JobRequest, JobRow, JobTable, shown
from uss_ray.service.problems import Refusal
from uss_ray.sources.listing import list_recordings
from uss_ray.store.store import Store


def _request(folder: Path, *, job_id: str = "0" * 32) -> JobRequest:
    return JobRequest(
        job_id=job_id,
        tenant="one",
        created_at=1.0,
        digest="d",
        input=str(folder / "list.csv"),
        output="/out",
        sounds={},
        prefixes=(str(folder),),
    )


def _resumed(tmp_path: Path, done: JobProgress) -> tuple[JobTable, JobRow]:
    """A job whose first driver has done something, and whose second is begun."""
    table = JobTable(Store(tmp_path / "store", None, OutputError))
    row = table.add(_request(tmp_path))
    table.begin(row, finished=0)
    table.note(row, done)
    table.begin(table.find("one", row.request.job_id), finished=done.finished)
    (tmp_path / "list.csv").write_text(f"uri\n{tmp_path}/a.wav\n")
    return table, row


def test_rows_of_a_manifest_are_copied_once(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"uri,id\n{tmp_path}/a.wav,first\n{tmp_path}/b.wav,second\n")
    table = Store(tmp_path / "table", None, OutputError)
    copy = checked_input(_request(tmp_path), folder=table)
    assert [(found.recording_id, found.recording_uri) for found in list_recordings(copy)] == [
        ("first", f"{tmp_path}/a.wav"),
        ("second", f"{tmp_path}/b.wav"),
    ]
    (tmp_path / "list.csv").write_text("uri\n/etc/passwd\n")
    assert checked_input(_request(tmp_path), folder=table) == copy


@pytest.mark.parametrize(
    "uri", ["/etc/passwd", "http://169.254.169.254/a.wav", "../a.wav", "s3://other/a.wav"]
)
def test_a_row_may_name_no_other_place(tmp_path: Path, uri: str) -> None:
    (tmp_path / "list.csv").write_text(f"uri\n{tmp_path}/a.wav\n{uri}\n")
    with pytest.raises(Refusal):
        checked_input(_request(tmp_path), folder=Store(tmp_path / "table", None, OutputError))
    assert not (tmp_path / "table" / "input.parquet").exists()


def test_a_link_in_a_folder_may_lead_to_no_other_place(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "a.wav").touch()
    request, table = (
        replace(_request(folder), input=str(folder)),
        Store(tmp_path / "table", None, OutputError),
    )
    assert checked_input(request, folder=table) == str(folder)
    (folder / "b.wav").symlink_to(tmp_path / "of another")
    with pytest.raises(Refusal, match="recording of the input"):
        checked_input(request, folder=table)


def test_a_driver_that_has_a_later_one_does_nothing(tmp_path: Path) -> None:
    table = JobTable(Store(tmp_path / "store", None, OutputError))
    row = table.add(_request(tmp_path))
    table.begin(row, finished=0)
    (tmp_path / "list.csv").write_text(f"uri\n{tmp_path}/a.wav\n")
    worked: list[str] = []

    def work(request: JobRequest, source: str, tell: object) -> JobEnd:
        worked.append(source)
        return JobEnd(counts=Counts(found=1, failed=1), is_whole=True)

    order = JobOrder(store=str(tmp_path / "store"), tenant="one", job_id=row.request.job_id, attempt=2)
    drive(order, work)
    assert worked == []
    drive(order.replace(attempt=1), work)
    ended = table.find("one", row.request.job_id).ended
    assert ended is not None
    assert (len(worked), ended["status"], ended["reason"]) == (1, "failed", "no recording could be separated")


def test_a_job_that_separates_nothing_fails_for_the_reason_of_the_work(tmp_path: Path) -> None:
    table, row = _resumed(tmp_path, JobProgress(attempt=1))

    def work(request: JobRequest, source: str, tell: object) -> JobEnd:
        return JobEnd(counts=Counts(found=1, failed=1), is_whole=True, reason="a.wav: why")

    drive(JobOrder(store=str(tmp_path / "store"), tenant="one", job_id=row.request.job_id, attempt=2), work)
    ended = shown(table.find("one", row.request.job_id))
    assert (ended["status"], ended["failed"], ended["reason"]) == ("failed", 1, "a.wav: why")


@pytest.mark.parametrize(("kind", "state"), [(OccupiedError, "failed"), (OutputError, "running")])
def test_only_what_another_driver_may_do_better_is_tried_again(
    tmp_path: Path, kind: type[UssRayError], state: str
) -> None:
    """Five drivers were begun, one after the other, to find the same results of another run at the output."""
    table = JobTable(Store(tmp_path / "store", None, OutputError))
    row = table.add(_request(tmp_path))
    table.begin(row, finished=0)
    (tmp_path / "list.csv").write_text(f"uri\n{tmp_path}/a.wav\n")

    def work(request: JobRequest, source: str, tell: object) -> JobEnd:
        raise kind("out", expected="no results yet", found="some")

    drive(JobOrder(store=str(tmp_path / "store"), tenant="one", job_id=row.request.job_id, attempt=1), work)
    found = table.find("one", row.request.job_id)
    assert found.state == state
    told = found.ended["reason"] if found.ended else found.progress and found.progress.trouble
    assert told == "out: expected no results yet, found some"


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_what_drivers_before_have_done_counts_however_it_ends(tmp_path: Path, is_cancelled: bool) -> None:
    table, row = _resumed(tmp_path, JobProgress(attempt=1, found=3, finished=1, audio_seconds=10.0))

    def work(request: JobRequest, source: str, tell: object) -> JobEnd:
        if is_cancelled:
            table.cancel(row)
        return JobEnd(counts=Counts(found=3, finished=3, audio_seconds=20.0), is_whole=True)

    drive(JobOrder(store=str(tmp_path / "store"), tenant="one", job_id=row.request.job_id, attempt=2), work)
    ended = table.find("one", row.request.job_id)
    assert ended.counts == Counts(found=3, finished=3, audio_seconds=30.0)
    assert ended.state == ("cancelled" if is_cancelled else "succeeded")


@pytest.mark.parametrize("is_whole", [True, False])
@pytest.mark.parametrize("act", ["another begins", "is ended", "is forgotten"])
def test_a_driver_that_was_taken_for_dead_leaves_the_job_to_others(
    tmp_path: Path, act: str, is_whole: bool
) -> None:
    table = JobTable(Store(tmp_path / "store", None, OutputError))
    row = table.add(_request(tmp_path))
    table.begin(row, finished=0)
    (tmp_path / "list.csv").write_text(f"uri\n{tmp_path}/a.wav\n")
    next_one = JobProgress(attempt=2, found=3, finished=2, beat=7)
    stopped = threading.Event()

    def work(request: JobRequest, source: str, tell: object) -> JobEnd:
        if act == "another begins":
            table.begin(table.find("one", row.request.job_id), finished=0)
        else:
            table.end(row, "failed", counts=Counts(), reason="why")
        assert stopped.wait(300.0)
        if act == "is forgotten":
            table.forget(table.find("one", row.request.job_id))
        else:
            table.note(row, next_one)
        return JobEnd(counts=Counts(found=3, finished=3 if is_whole else 1), is_whole=is_whole)

    order = JobOrder(store=str(tmp_path / "store"), tenant="one", job_id=row.request.job_id, attempt=1)
    drive(order, work, stop=stopped.set, beat_seconds=0.01)
    if act == "is forgotten":
        assert table.folders() == {}
        return
    found = table.find("one", row.request.job_id)
    assert found.progress == next_one
    wanted = "failed" if act == "is ended" else "succeeded" if is_whole else "running"
    assert found.state == wanted


def test_the_time_that_is_left_is_told_by_all_that_was_done(tmp_path: Path) -> None:
    table, row = _resumed(tmp_path, JobProgress(attempt=1, found=100, finished=90, seconds=900.0))

    def work(request: JobRequest, source: str, tell: Tell) -> JobEnd:
        tell(Counts(found=10, finished=1), 10.0)
        return JobEnd(counts=Counts(found=100, finished=91), is_whole=False)

    drive(JobOrder(store=str(tmp_path / "store"), tenant="one", job_id=row.request.job_id, attempt=2), work)
    assert shown(table.find("one", row.request.job_id))["seconds_left"] == 90.0


def test_a_beat_keeps_what_is_told_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """It put back what was there when it began."""
    heart = _Heart(JobProgress(attempt=1), write=lambda _: None)
    telling = threading.Thread(target=heart.tell, args=(Counts(found=2, finished=2), 5.0))

    def replaced(progress: JobProgress, **changes: object) -> JobProgress:
        if "beat" in changes:
            telling.start()
            telling.join(0.2)  # it tells now, unless it is kept waiting as it should be
        return replace(progress, **changes)  # type: ignore[arg-type]

    monkeypatch.setattr("uss_ray.service.job_driver.replace", replaced)
    heart._beat()
    telling.join()
    assert (heart.progress.beat, heart.progress.finished) == (1, 2)
