"""Jobs from outside, on drivers that are threads and write an index of their own."""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.unit.service.answers import KnownAnswers, flac
from tests.unit.service.conftest import OTHER_TOKEN, TOKEN, Running, running, wait_until
from tests.unit.service.kept_job import NAMES, fail_recordings, keep_job, result_of
from tests.unit.service.receiver import SECRET, Receiver, receiving
from uss_ray.client import Client, ServiceError
from uss_ray.errors import OutputError, RecordingError
from uss_ray.service import job_routes
from uss_ray.service.job_driver import JobEnd, Tell, drive
from uss_ray.service.jobs import Counts, JobOrder, JobRequest, JobRow, JobTable
from uss_ray.service.keeper import Keeper, KeepingHere, Life
from uss_ray.service.settings import JobSettings, Limits, ServiceSettings, WebhookSettings
from uss_ray.store.store import Store


class Threads:
    """An executor whose drivers are threads; `hold` keeps them at work, `crash` ends them without a word."""

    def __init__(self) -> None:
        self.orders: list[JobOrder] = []
        self.hold = threading.Event()
        self.hold.set()
        self.crashes = 0
        self._threads: dict[str, threading.Thread] = {}

    def start(self, order: JobOrder) -> None:
        self.orders.append(order)
        thread = threading.Thread(target=self._run, args=(order,))
        thread.start()
        self._threads[order.name] = thread  # one that has not begun is not alive either

    def _run(self, order: JobOrder) -> None:
        if self.crashes:
            self.crashes -= 1
            return
        stopped = threading.Event()

        def work(request: JobRequest, source: str, tell: Tell) -> JobEnd:
            if "broken" in source:
                raise RecordingError("input", expected="recordings", found="none")
            tell(Counts(found=3, finished=1, audio_seconds=5.0), 1.0)
            while not self.hold.wait(0.01) and not stopped.is_set():
                pass
            is_stopped = stopped.is_set()
            counts = Counts(found=3, finished=2 if is_stopped else 3, audio_seconds=15.0)
            return JobEnd(counts=counts, is_whole=not is_stopped)

        drive(order, work, stop=stopped.set, beat_seconds=0.02)

    def life(self, name: str) -> Life:
        thread = self._threads.get(name)
        if thread is None:
            return "unknown"
        return "alive" if thread.is_alive() else "ended"

    def missing(self) -> str | None:
        return None

    def close(self) -> None:
        self.hold.set()
        for thread in self._threads.values():
            thread.join()


@dataclasses.dataclass
class Jobs:
    service: Running
    executor: Threads
    http: httpx.Client
    archive: str

    def submit(self, name: str = "", *, key: str | None = None, **said: Any) -> httpx.Response:
        headers = {} if key is None else {"idempotency-key": key}
        body = {"input": {"uri": self.archive + name}, "query": {"levels": [1]}, **said}
        return self.http.post("/v1/jobs", json=body, headers=headers)

    def state(self, job: dict[str, Any]) -> str:
        return str(self.http.get(job["links"]["self"]).json()["status"])

    def wait(self, job: dict[str, Any], state: str) -> dict[str, Any]:
        over = ("succeeded", "failed", "cancelled")
        wait_until(lambda: self.state(job) in (state, *over))
        assert self.state(job) == state
        found: dict[str, Any] = self.http.get(job["links"]["self"]).json()
        return found


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


@pytest.fixture
def settings(token_file: Path, receiver: Receiver, tmp_path: Path) -> ServiceSettings:
    return ServiceSettings(
        tokens=str(token_file),
        store=str(tmp_path / "store"),
        jobs=JobSettings(look_seconds=0.02, silent_seconds=300.0, at_once=2),
        webhooks=WebhookSettings(origins=(receiver.url,), private=True, answer_seconds=300.0),
        limits=Limits(at_once=64),
    )


@pytest.fixture
def jobs(settings: ServiceSettings, shared_folder: Path) -> Iterator[Jobs]:
    (shared_folder / "archive").mkdir(exist_ok=True)
    (shared_folder / "archive" / "a.wav").write_bytes(b"RIFF")
    executor = Threads()
    with (
        running(settings, KnownAnswers(), keeping=KeepingHere(Keeper.of(settings, executor))) as service,
        service.client() as http,
    ):
        yield Jobs(service, executor, http, str(shared_folder / "archive"))


def test_a_job_runs_to_its_end(jobs: Jobs) -> None:
    taken = jobs.submit()
    assert taken.status_code == 202, taken.text
    job = taken.json()
    assert taken.headers["location"] == job["links"]["self"]
    ended = jobs.wait(job, "succeeded")
    assert (ended["found"], ended["finished"], ended["failed"], ended["audio_seconds"]) == (3, 3, 0, 15.0)
    assert [found["id"] for found in jobs.http.get("/v1/jobs?status=succeeded").json()["jobs"]] == [job["id"]]
    assert jobs.http.get("/v1/jobs?status=failed").json() == {"jobs": [], "next": None}
    gone = jobs.http.get(job["links"]["recordings"])  # its driver has left none
    assert (gone.status_code, gone.json()["found"]) == (404, "none any more")
    info = jobs.http.get("/v1/info").json()
    assert info["jobs"]["at_once"] == 2
    assert info["limits"]["jobs"] == 100


def test_what_cannot_be_done_says_why(jobs: Jobs) -> None:
    Path(jobs.archive, "broken.wav").write_bytes(b"RIFF")
    ended = jobs.wait(jobs.submit("/broken.wav").json(), "failed")
    assert ended["reason"] == "input: expected recordings, found none"
    none = {"recordings": [], "next": None, "is_whole": True}
    assert jobs.http.get(ended["links"]["recordings"]).json() == none


def test_the_same_key_is_the_same_job(jobs: Jobs) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: jobs.submit(key="k"), range(16)))
    assert {answer.status_code for answer in answers} == {202}
    ids = {answer.json()["id"] for answer in answers}
    assert len(ids) == 1
    other = jobs.submit(key="k", query={"levels": [2]})
    assert (other.status_code, other.json()["item"]) == (422, "idempotency-key")
    jobs.wait(jobs.submit(key="k").json(), "succeeded")
    assert len(jobs.executor.orders) == 1
    assert len({jobs.submit().json()["id"] for _ in range(2)}) == 2


def test_two_fronts_over_one_store_are_one_service(jobs: Jobs, settings: ServiceSettings) -> None:
    keeping = KeepingHere(Keeper.of(settings, jobs.executor))
    with running(settings, KnownAnswers(), keeping=keeping) as second, second.client() as http:
        other = dataclasses.replace(jobs, http=http)
        jobs.executor.hold.clear()
        job = jobs.submit(key="k").json()
        assert other.submit(key="k").json()["id"] == job["id"]
        assert other.submit(key="k", query={"levels": [2]}).status_code == 422
        other.wait(job, "running")
        jobs.executor.hold.set()
        other.wait(job, "succeeded")
        assert len(jobs.executor.orders) == 1
        kept = jobs.http.post("/v1/separate?keep=60", content=flac(np.zeros((1, 800), np.float32))).json()[
            "links"
        ]
        assert http.get(kept["self"]).json() == jobs.http.get(kept["self"]).json()
        assert http.get(kept["zip"]).content == jobs.http.get(kept["zip"]).content
        assert http.delete(kept["self"]).status_code == 204
        assert {jobs.http.get(kept[name]).status_code for name in ("self", "zip", "spectrogram")} == {404}


def test_what_is_in_flight_is_committed_and_then_it_is_cancelled(jobs: Jobs) -> None:
    jobs.executor.hold.clear()
    job = jobs.submit().json()
    wait_until(lambda: jobs.http.get(job["links"]["self"]).json()["finished"] == 1)
    running_job = jobs.http.get(job["links"]["self"])
    assert running_job.json()["seconds_left"] == 2.0
    assert running_job.headers["retry-after"]
    assert jobs.http.delete(job["links"]["self"]).status_code == 202
    ended = jobs.wait(job, "cancelled")
    assert ended["finished"] == 2
    again = jobs.http.delete(job["links"]["self"])
    assert (again.status_code, again.json()["status"]) == (200, "cancelled")


def test_one_that_ends_while_it_is_cancelled_has_ended(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs.executor.hold.clear()
    job = jobs.submit().json()
    jobs.wait(job, "running")
    table = jobs.service.app.state.service.jobs
    cancel = table.cancel

    def ended_before(row: JobRow) -> bool:
        (table.results("one", job["id"]) / "a.flac").put(b"x")
        assert table.end(row, "succeeded", counts=Counts(finished=3))
        return bool(cancel(row))

    monkeypatch.setattr(table, "cancel", ended_before)
    answer = jobs.http.delete(job["links"]["self"] + "?results=true")
    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
    assert not (table.results("one", job["id"]) / "a.flac").exists()


def test_one_that_waits_is_cancelled_without_a_driver(jobs: Jobs) -> None:
    jobs.executor.hold.clear()
    at_work = [jobs.submit().json() for _ in range(2)]
    for job in at_work:
        jobs.wait(job, "running")
    waiting = jobs.submit().json()
    assert jobs.http.delete(waiting["links"]["self"]).status_code == 202
    assert jobs.wait(waiting, "cancelled")["drivers"] == 0


def test_a_driver_that_dies_is_followed_by_another(jobs: Jobs) -> None:
    jobs.executor.crashes = 1
    assert jobs.wait(jobs.submit().json(), "succeeded")["drivers"] == 2


def test_drivers_that_die_without_progress_are_given_up(jobs: Jobs) -> None:
    jobs.executor.crashes = 100
    ended = jobs.wait(jobs.submit().json(), "failed")
    assert (ended["drivers"], ended["reason"]) == (5, "its driver ended again and again, without progress")


def test_its_end_is_told_to_who_wants_to_hear_it(jobs: Jobs, receiver: Receiver) -> None:
    hook = {"url": f"{receiver.url}/ended", "secret": SECRET}
    with Client(jobs.service.url, TOKEN) as client:
        job_id = client.jobs.submit(jobs.archive, query={"levels": [1]}, key="hook", webhook=hook).job_id
    path = f"/v1/jobs/{job_id}"
    wait_until(lambda: jobs.http.get(path).json()["webhook"]["is_heard"] is True)
    (got,) = receiver.got
    said = json.loads(got[2])
    assert said["type"] == "job.succeeded"
    told = jobs.http.get(path)
    assert {**said["data"], "webhook": told.json()["webhook"]} == told.json()
    assert SECRET not in told.text + jobs.http.get("/v1/jobs").text + got[2].decode()
    other = jobs.submit(key="hook", webhook={**hook, "url": f"{receiver.url}/other"})
    assert (other.status_code, other.json()["item"]) == (422, "idempotency-key")


def test_events_tell_how_it_goes_on(jobs: Jobs) -> None:
    jobs.executor.hold.clear()
    job = jobs.submit().json()
    seen, ids = [], []
    with jobs.http.stream("GET", job["links"]["events"]) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"  # tests/edge: what nginx makes of it
        for line in answer.iter_lines():
            if line.startswith("data: "):
                seen.append(json.loads(line.removeprefix("data: "))["status"])
                jobs.executor.hold.set()
            elif line.startswith("id: "):
                ids.append(line.removeprefix("id: "))
    assert seen[-1] == "succeeded"
    assert len(set(ids)) == len(seen)
    again = jobs.http.get(job["links"]["events"], headers={"last-event-id": ids[0]})
    assert again.text.count("event: job") == 1  # how it ended
    assert jobs.http.get(job["links"]["events"], headers={"last-event-id": ids[-1]}).status_code == 204


def test_a_tenant_sees_nothing_of_another(jobs: Jobs) -> None:
    job = jobs.submit().json()
    with jobs.service.client(token=OTHER_TOKEN) as other:
        for path in job["links"].values():
            assert other.get(path).status_code == 404
        assert other.delete(job["links"]["self"]).status_code == 404
        assert other.get("/v1/jobs").json() == {"jobs": [], "next": None}
    jobs.wait(job, "succeeded")
    assert jobs.http.get("/v1/jobs/..%2f..%2fone").status_code == 404


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"input": {"uri": "/etc"}}, 403),
        ({"input": {"uri": "http://169.254.169.254/latest"}}, 403),
        ({"output": {"uri": "/tmp/elsewhere"}}, 403),
        ({"query": {"classes": ["Speeech"]}}, 422),
        ({"query": {"example_folder": "/etc"}}, 422),
        ({"weights": "/etc/passwd"}, 422),
        ({"input": "x"}, 422),
        ({"webhook": "https://hooks.example.org"}, 422),
        ({"webhook": {"url": "https://hooks.example.org", "secret": SECRET}}, 403),
        ({"query": {"texts": ["dog " * 300]}}, 422),
    ],
)
def test_what_a_client_may_not_is_refused_before_there_is_a_job(
    jobs: Jobs, said: dict[str, Any], status: int
) -> None:
    answer = jobs.submit(**said)
    assert answer.status_code == status, answer.text
    assert jobs.http.get("/v1/jobs").json()["jobs"] == []


@pytest.mark.parametrize(
    "value", ["NaN", "-Infinity", "1e999", '"\\ud800"', "[" * 5000, '0.1, "threshold": 0.2']
)
def test_what_json_has_no_way_to_say_is_no_request(jobs: Jobs, value: str) -> None:
    for call in ("/v1/jobs", "/v1/separate"):
        content = f'{{"input": {{"uri": "{jobs.archive}"}}, "settings": {{"threshold": {value}}}}}'
        answer = jobs.http.post(call, content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 400, answer.text


def test_what_the_service_keeps_is_no_input_for_whoever_may_name_a_folder_around_it(
    jobs: Jobs, settings: ServiceSettings, shared_folder: Path
) -> None:
    keeping = KeepingHere(Keeper.of(settings, jobs.executor))
    inside = settings.replace(store=str(shared_folder / "kept-here"))
    with running(inside, KnownAnswers(), keeping=keeping) as service, service.client() as http:
        own = http.put("/v1/uploads/a.wav", content=b"RIFF").json()["uri"]
        other = own.replace("/one/", "/two/")
        asked = [
            http.post("/v1/jobs", json={"input": {"uri": uri}}) for uri in (own, other, str(shared_folder))
        ]
        assert [answer.status_code for answer in asked] == [202, 403, 403]
        written = {"input": {"uri": own}, "output": {"uri": f"{shared_folder}/kept-here/jobs/two"}}
        assert http.post("/v1/separate", json=written).status_code == 403


def test_an_output_within_the_input_is_refused(jobs: Jobs) -> None:
    answer = jobs.submit(output={"uri": f"{jobs.archive}/out"})
    assert (answer.status_code, answer.json()["item"]) == (422, "output")


def test_an_output_with_results_of_others_is_refused_before_there_is_a_job(
    jobs: Jobs, shared_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a job goes on with what is there tells its driver's program (tests/unit/jobs)."""
    says = (
        "import json, sys; sys.stdin.read(); print(json.dumps({'fault': "
        "{'item': 'o', 'expected': 'e', 'found': sys.argv[1], 'status': 409}}))"
    )
    monkeypatch.setattr(job_routes, "DRIVER", (sys.executable, "-c", says))
    output = shared_folder / "with-results"
    asked = {"output": {"uri": str(output)}}
    first = jobs.submit(key="first", **asked)
    assert first.status_code == 202  # nothing is there: nobody is asked
    jobs.wait(first.json(), "succeeded")
    output.mkdir()
    (output / "index.json").write_text("{}", encoding="utf-8")
    refused = jobs.submit(key="second", **asked)
    assert (refused.status_code, refused.json()["found"]) == (409, "check")
    assert jobs.submit(key="first", **asked).json()["id"] == first.json()["id"]  # it may have made them
    assert [job["id"] for job in jobs.http.get("/v1/jobs").json()["jobs"]] == [first.json()["id"]]


def test_the_client_submits_waits_lists_and_cancels(jobs: Jobs) -> None:
    with Client(jobs.service.url, TOKEN) as client:
        job = client.jobs.submit(jobs.archive, query={"levels": [1]}, key="mine")
        assert client.jobs.submit(jobs.archive, query={"levels": [1]}, key="mine").job_id == job.job_id
        wait_until(lambda: client.jobs.status(job.job_id).has_ended)
        ended = client.jobs.wait(job.job_id, seconds=60)
        assert (ended.status, ended.finished, ended.reason) == ("succeeded", 3, None)
        assert list(client.jobs.list(status="succeeded")) == [ended]
        with pytest.raises(ServiceError, match=r"recordings of job .*: expected results that are there"):
            list(client.jobs.recordings(job.job_id, classes=["Dog"]))
        assert client.jobs.cancel(job.job_id, results=True) == ended
        with pytest.raises(ServiceError, match="prefix"):
            client.jobs.submit("/etc")


def test_whoever_needs_no_token_submits_what_was_brought_along_or_lies_below_a_prefix(
    shared_folder: Path, tmp_path: Path
) -> None:
    settings = ServiceSettings(
        no_auth=True,
        prefixes=(str(shared_folder),),
        store=str(tmp_path / "store"),
        jobs=JobSettings(look_seconds=0.02),
    )
    (shared_folder / "b.wav").write_bytes(b"RIFF")
    keeping = KeepingHere(Keeper.of(settings, Threads()))
    with running(settings, KnownAnswers(), keeping=keeping) as service, Client(service.url) as client:
        brought = client.upload(b"RIFF", name="a.wav")
        jobs = [client.jobs.submit(source) for source in (brought, str(shared_folder / "b.wav"))]
        for job in jobs:
            wait_until(lambda job_id=job.job_id: client.jobs.status(job_id).has_ended)  # type: ignore[misc]
        assert [client.jobs.status(job.job_id).status for job in jobs] == ["succeeded", "succeeded"]
        with pytest.raises(ServiceError, match="prefix"):
            client.jobs.submit(str(tmp_path / "elsewhere"))


def test_recordings_of_results_that_the_service_keeps_lead_to_them(jobs: Jobs, tmp_path: Path) -> None:
    job = keep_job(tmp_path / "store", "one")
    found = jobs.http.get(f"/v1/jobs/{job}/recordings?class=Dog").json()["recordings"]
    assert sorted(row["recording_id"] for row in found) == sorted(NAMES)
    row = next(row for row in found if row["recording_id"] == NAMES[0])
    assert row["result"] == f"/v1/results/{result_of(job)}"
    result = jobs.http.get(row["result"]).json()
    assert result["name"] == NAMES[0]
    stem = jobs.http.get(row["stem"])
    assert stem.content.startswith(b"fLaC")
    assert jobs.http.get(row["stem"], headers={"range": "bytes=2-4"}).content == stem.content[2:5]
    assert jobs.http.get(row["stem"], headers={"if-none-match": stem.headers["etag"]}).status_code == 304
    with Client(jobs.service.url, TOKEN) as client, client.fetch(result_of(job)) as fetched:
        assert client.result(result_of(job)).expires is None
        assert fetched["Dog"] == stem.content
    calls = [row["stem"], *result["links"].values(), f"{row['result']}/player"]
    calls[calls.index(result["links"]["window"])] += "?stems=level-3/residual.flac"
    assert {jobs.http.get(call).status_code for call in calls} == {200}
    with jobs.service.client(token=OTHER_TOKEN) as other:
        assert {other.get(call).status_code for call in calls} == {404}
    secret = tmp_path / "store" / "secret.flac"
    secret.write_bytes(b"secret")
    for name in ("none.flac", "..%2f..%2f..%2fsecret.flac", "a%00.flac"):
        assert jobs.http.get(f"{row['result']}/stems/{name}").status_code == 404, name
    assert jobs.http.delete(row["result"]).status_code == 409
    assert jobs.http.delete(f"/v1/jobs/{job}?results=true").status_code == 200
    calls.append(f"/v1/jobs/{job}/recordings")  # it did say that in all of them nothing was heard
    assert {jobs.http.get(call).status_code for call in calls} == {404}


def test_recordings_that_failed_are_told_with_their_reasons(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = keep_job(tmp_path / "store", "one")
    path = jobs.http.get(f"/v1/jobs/{job}").json()["links"]["failures"]
    assert jobs.http.get(path).json() == {"failures": [], "next": None, "is_whole": True}
    reasons = {f"{number}.wav": f"{number}.wav: expected audio, found none" for number in range(5)}
    reasons["s3.wav"] = "s3://KEY:SECRET@bucket/s3.wav: expected a file, found none"
    fail_recordings(tmp_path / "store", "one", job, reasons)
    told = jobs.http.get(path)
    reasons["s3.wav"] = "***@bucket/s3.wav: expected a file, found none"
    wanted = [
        {"recording_id": name, "recording_uri": f"/data/archive/{name}", "reason": reason}
        for name, reason in reasons.items()
    ]
    assert told.json() == {"failures": wanted, "next": None, "is_whole": True}
    heard = jobs.http.get(f"/v1/jobs/{job}/recordings").json()["recordings"]
    assert {row["recording_id"] for row in heard} == set(NAMES)  # as before
    monkeypatch.setattr(job_routes, "_PAGE", 2)
    page = jobs.http.get(path).json()
    assert len(page["failures"]) == 2
    of_another = jobs.http.get(f"/v1/jobs/{job}/recordings", params={"cursor": page["next"]})
    assert (of_another.status_code, of_another.json()["item"]) == (422, "cursor")
    with Client(jobs.service.url, TOKEN) as client:
        found = client.jobs.failures(job)
        assert list(found) == wanted
        assert found.is_whole
        with jobs.service.client(token=OTHER_TOKEN) as other:
            assert other.get(path).status_code == 404
        client.jobs.cancel(job, results=True)
    assert jobs.http.get(path).status_code == 404


def test_recordings_come_page_by_page(jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = keep_job(tmp_path / "store", "one")
    whole = jobs.http.get(f"/v1/jobs/{job}/recordings").json()
    assert whole["next"] is None
    monkeypatch.setattr(job_routes, "_PAGE", 3)
    with Client(jobs.service.url, TOKEN) as client:
        assert list(client.jobs.recordings(job)) == whole["recordings"]
    assert jobs.http.get(f"/v1/jobs/{job}/recordings?cursor=100").status_code == 422
    first = jobs.http.get(f"/v1/jobs/{job}/recordings").json()
    asked = {"class": "Dog", "cursor": first["next"]}
    of_another = jobs.http.get(f"/v1/jobs/{job}/recordings", params=asked)
    assert (of_another.status_code, of_another.json()["item"]) == (422, "cursor")


def test_pages_that_were_begun_while_the_job_ran_say_so_to_their_end(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_routes, "_PAGE", 3)
    path = f"/v1/jobs/{keep_job(tmp_path / 'store', 'one')}/recordings"
    table = jobs.service.app.state.service.jobs
    find = table.find
    with monkeypatch.context() as patch:
        patch.setattr(table, "find", lambda *asked: dataclasses.replace(find(*asked), ended=None))
        page = jobs.http.get(path).json()
    while page["next"] is not None:
        assert not page["is_whole"]
        page = jobs.http.get(path, params={"cursor": page["next"]}).json()
    assert not page["is_whole"]
    assert jobs.http.get(path).json()["is_whole"]


def test_jobs_are_listed_page_by_page_and_what_lies_before_is_not_read(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = sorted(keep_job(tmp_path / "store", "one", output="/elsewhere") for _ in range(5))
    table = jobs.service.app.state.service.jobs
    read, was_read = table.read, []

    def reading(tenant: str, job_id: str, names: set[str]) -> JobRow | None:
        was_read.append(job_id)
        found: JobRow | None = read(tenant, job_id, names)
        return found

    monkeypatch.setattr(table, "read", reading)
    monkeypatch.setattr(job_routes, "_PAGE", 2)
    with Client(jobs.service.url, TOKEN) as client:
        assert [job.job_id for job in client.jobs.list()] == ids
        was_read.clear()
        assert list(client.jobs.list(status="running")) == []
        assert was_read == []  # what they have tells that none is
        monkeypatch.setattr(job_routes, "_LOOKED", 1)
        assert [job.job_id for job in client.jobs.list(status="succeeded")] == ids
    was_read.clear()
    page = jobs.http.get(f"/v1/jobs?cursor={ids[3]}").json()
    assert ([job["id"] for job in page["jobs"]], page["next"], was_read) == (ids[4:], None, ids[4:])
    assert jobs.http.get("/v1/jobs?cursor=zzz").status_code == 422


def test_recordings_of_results_that_lie_elsewhere_have_none_here(jobs: Jobs, tmp_path: Path) -> None:
    job = keep_job(tmp_path / "store", "one")
    table = JobTable(Store(str(tmp_path / "store"), error=OutputError))
    moved = tmp_path / "elsewhere"
    table.results("one", job).local_path().rename(moved)
    other = keep_job(tmp_path / "store", "one", output=str(moved))
    (row, _) = jobs.http.get(f"/v1/jobs/{other}/recordings?class=Dog").json()["recordings"]
    assert row["result"] is None
    assert row["stem"].startswith(str(moved))


def test_an_index_that_is_damaged_is_no_empty_one(jobs: Jobs, tmp_path: Path) -> None:
    job = keep_job(tmp_path / "store", "one")
    for part in (tmp_path / "store" / "job-results").rglob("*.parquet"):
        part.write_bytes(b"not Parquet")
    for call in (f"/v1/jobs/{job}/recordings", f"/v1/results/{result_of(job)}"):
        answer = jobs.http.get(call)
        assert answer.status_code == 503
        assert str(tmp_path) not in answer.text
