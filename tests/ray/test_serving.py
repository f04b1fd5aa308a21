"""The service on a real Ray Serve: what its calls answer, and what becomes of them when something dies."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import io
import json
import os
import re
import signal
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import soundfile as sf

from tests.unit.service import conftest
from tests.unit.service.conftest import AUTH, TOKEN
from uss_ray.api.pretrained import separate
from uss_ray.client import Client, ServiceError
from uss_ray.service.backend import Answer, EngineFacts, Work
from uss_ray.service.in_process import InProcessBackend
from uss_ray.service.settings import Limits

pytestmark = [pytest.mark.ray, pytest.mark.slow]

KILLS, KILLS_ONCE, STAYS = 0.901, 0.902, 0.903
"""Thresholds that ask for more than a threshold."""
# To look through all processes, or to ask the service, takes CPU time from what is waited for.
wait_until = functools.partial(conftest.wait_until, look_seconds=0.25)


class Fragile(InProcessBackend):
    """Dies, or does not end, when it is asked to; tells how many recordings are open."""

    def __init__(self, *given: Any, folder: Path, **named: Any) -> None:
        super().__init__(*given, **named)
        self._folder = folder

    async def facts(self) -> EngineFacts:
        facts = await super().facts()
        return EngineFacts(**{**vars(facts), "device": f"{self._backlog.seconds:g}"})

    async def answer(self, work: Work) -> Answer:
        threshold = work.sounds.settings.threshold
        if threshold == KILLS or (threshold == KILLS_ONCE and not (self._folder / "died").exists()):
            with (self._folder / "deaths").open("a") as deaths:
                deaths.write("x")
            (self._folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if threshold == STAYS:
            with self._backlog.taken(1e6):
                await asyncio.Event().wait()
        return await super().answer(work)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serving")


@pytest.fixture(scope="module")
def serving(tiny_weights: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from uss_ray.pipelines.serving.options import ServeOptions, Serving
    from uss_ray.service.settings import JobSettings, ServiceSettings

    prefix = str(tmp_path_factory.getbasetemp())
    token = {"sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "tenant": "one", "prefixes": [prefix]}
    tokens = folder / "tokens.yaml"
    tokens.write_text(json.dumps({"tokens": [token]}))

    return Serving(
        service=ServiceSettings(
            tokens=str(tokens),
            port=0,
            weights=str(tiny_weights),
            device="cpu",
            decoders=1,
            store=str(folder / "store"),
            jobs=JobSettings(actors=1, look_seconds=1.0),
            limits=Limits(deadline_seconds=300.0),
        ),
        options=ServeOptions(cpus=0.0, threads=1, fronts=1),
    )


@pytest.fixture(scope="module")
def url(local_ray: None, serving: Any, folder: Path) -> Iterator[str]:
    from uss_ray.pipelines.serving.running import running

    with running(serving, make_backend=functools.partial(Fragile, folder=folder)) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers=AUTH, timeout=300.0) as client:
        yield client


def _rows(content: bytes) -> list[dict[str, Any]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        rows: list[dict[str, Any]] = json.loads(archive.read("index.json"))["rows"]
    return rows


def test_the_samples_are_those_of_the_command_line_alone_and_among_others(
    client: httpx.Client, make_recording: Any, tiny_weights: Path, tmp_path: Path
) -> None:
    recordings = [make_recording(f"{n}.wav", seconds=n) for n in (3, 5, 4)]
    wanted = {"level": [1, 2], "format": "wav"}

    def ask(recording: Path) -> bytes:
        answer = client.post("/v1/separate", params=wanted, content=recording.read_bytes())
        assert answer.status_code == 200, answer.text
        return answer.content

    alone = _rows(ask(recordings[0]))
    with ThreadPoolExecutor() as pool:
        beside = [_rows(content) for content in pool.map(ask, recordings)]
    separated = separate(
        recordings[0],
        output=tmp_path / "out",
        weights=tiny_weights,
        device="cpu",
        levels=(1, 2),
        stem_format="wav",
        report=False,
    )
    written = {row["node_id"]: row["stem_sha256"] for row in alone if row["stem_sha256"]}
    assert written
    assert written == {row.node_id: row.stem_sha256 for row in separated.rows if row.stem_sha256}
    assert written == {row["node_id"]: row["stem_sha256"] for row in beside[0] if row["stem_sha256"]}
    assert [{row["frames"] for row in rows} for rows in beside] == [{n * 32_000} for n in (3, 5, 4)]
    kept = client.post(
        "/v1/separate", params={**wanted, "keep": 600}, content=recordings[0].read_bytes()
    ).json()
    again = client.get(kept["links"]["zip"])
    assert written == {
        row["node_id"]: row["stem_sha256"] for row in _rows(again.content) if row["stem_sha256"]
    }
    told = client.get(kept["links"]["self"]).json()
    window = client.get(
        kept["links"]["self"] + "/window",
        params={"stems": ",".join(told["stems"]), "start": 50, "frames": 70},
    )
    assert (window.headers["uss-frames"], window.headers["uss-stems"]) == ("70", str(len(told["stems"])))
    assert client.delete(kept["links"]["self"]).status_code == 204
    assert client.get(kept["links"]["zip"]).status_code == 404
    assert client.get("/").headers["content-type"].startswith("text/html")
    ready = {"status": "ready", "missing": {}}
    wait_until(
        lambda: client.get("/readyz").json() == ready
    )  # on a busy machine a part may be slow to say so
    assert client.get("/v1/info").json()["weights"]["name"] == "tiny"
    tags = client.post("/v1/tag?top=1", content=recordings[0].read_bytes()).json()
    assert tags["nodes"]


@pytest.fixture
def other_keeper(url: str, serving: Any) -> Iterator[None]:
    """Looks at the same table all the while."""
    from uss_ray.pipelines.serving.keeper import RayJobExecutor
    from uss_ray.service.keeper import Keeper

    keeper = Keeper.of(serving.service, RayJobExecutor())
    keeper.begin()
    yield
    keeper.close()


@pytest.mark.usefixtures("other_keeper")
def test_a_job_goes_on_through_kills_and_a_rolling_update_that_loses_no_request(
    url: str, client: httpx.Client, serving: Any, make_recording: Any, folder: Path
) -> None:
    """Keeper and front are killed, then all is replaced, then its driver is killed; other calls are answered."""
    from ray import serve

    from uss_ray.pipelines.serving.application import NAME, build
    from uss_ray.store.lease import LEASE_FOLDER

    names = {f"{number}.wav" for number in range(4)}
    for name in names:
        source = make_recording(name).parent
    content = (source / "0.wav").read_bytes()
    jobs = Client(url, TOKEN).jobs
    job = jobs.submit(str(source), query={"levels": [1]})
    lease = folder / "store" / "job-results" / "one" / job.job_id / LEASE_FOLDER

    def told() -> dict[str, Any]:
        found: dict[str, Any] = client.get(f"/v1/jobs/{job.job_id}").json()
        return found

    def has_other(processes: Callable[[], list[psutil.Process]], than: set[int]) -> bool:
        found = {process.pid for process in processes()}
        return bool(found) and than.isdisjoint(found)

    wait_until(lambda: bool(_drivers()))
    dead = {process.pid for process in (*_fronts(), *_keepers())}
    assert len(dead) == 2
    for pid in dead:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: any(lease.glob("*.json")))
    (driver,) = _drivers()
    driver.suspend()  # so that it is in the middle of it, whatever comes
    try:

        def are_there_again() -> bool:
            with suppress(httpx.TransportError):
                return has_other(_keepers, dead) and client.get("/readyz").status_code == 200
            return False

        wait_until(are_there_again)
        seen = told()
        assert (seen["status"], seen["drivers"], seen["finished"] < len(names)) == ("running", 1, True)

        ended = threading.Event()

        def ask(_: int) -> list[int]:
            statuses = []
            while not ended.wait(0.25):  # without a pause the update has no CPU
                statuses.append(client.post("/v1/separate", content=content).status_code)
            return statuses

        replaced = {process.pid for process in (*_fronts(), *_keepers())}
        limits = serving.service.limits.replace(classes=63)
        changed = serving.replace(service=serving.service.replace(limits=limits))
        with ThreadPoolExecutor(2) as pool:
            asked = pool.map(ask, range(2))
            try:
                application = build(changed, make_backend=functools.partial(Fragile, folder=folder))
                serve.run(application, name=NAME, route_prefix="/")
                wait_until(lambda: client.get("/v1/info").json()["limits"]["classes"] == 63)
                wait_until(lambda: has_other(_keepers, replaced) and has_other(_fronts, replaced))
            finally:
                ended.set()
            statuses = [status for some in asked for status in some]
        assert set(statuses) == {200}
        assert lease.exists()
        assert (told()["status"], told()["drivers"]) == ("running", 1)
    finally:
        driver.kill()
    wait_until(lambda: told()["ended_at"] is not None)
    over = told()
    assert (over["status"], over["finished"], over["failed"]) == ("succeeded", len(names), 0), over
    assert over["drivers"] == 2  # no keeper has begun one too many
    rows = list(jobs.recordings(job.job_id))
    assert {row["recording_id"] for row in rows} == names
    stems = [row["stem"] for row in rows if row["stem"]]
    assert client.get(stems[0]).content[:4] == b"fLaC"
    again = jobs.cancel(job.job_id, results=True)
    assert again.status == "succeeded"
    with pytest.raises(ServiceError, match="none any more"):
        list(jobs.recordings(job.job_id))
    assert client.get(stems[0]).status_code == 404


def test_a_separator_that_dies_costs_time_and_a_fatal_recording_is_refused(
    client: httpx.Client, make_recording: Any, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = make_recording().read_bytes()
    repeated = client.post("/v1/separate", params={"threshold": KILLS_ONCE}, content=content)
    assert repeated.status_code == 200, repeated.text
    assert (folder / "deaths").read_text() == "x"
    fatal = make_recording("fatal.wav", seconds=2).read_bytes()
    deaths = []
    for _ in range(2):
        refused = client.post("/v1/separate", params={"threshold": KILLS}, content=fatal)
        assert refused.status_code == 422, refused.text
        assert "ended 2 of them" in refused.json()["found"]
        deaths.append((folder / "deaths").read_text())
    # Serve itself sends again what a replica took down before it could say that it had it, so there may be one more.
    assert deaths[0] == deaths[1] >= "xxx"
    assert client.post("/v1/separate", content=content).status_code == 200


def test_a_full_queue_puts_off_and_a_client_that_goes_makes_room(
    url: str, client: httpx.Client, make_recording: Any
) -> None:
    from ray import serve

    separators = serve.get_deployment_handle("Separator", "uss-ray")

    def waiting() -> float:
        return float(separators.facts.remote().result().device)

    content = make_recording().read_bytes()
    with socket.create_connection(
        (url.rpartition("/")[2].partition(":")[0], int(url.rpartition(":")[2]))
    ) as raw:
        head = (
            f"POST /v1/separate?threshold={STAYS} HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {TOKEN}\r\n"
            f"Content-Length: {len(content)}\r\nx-request-disconnect-disabled: ?1\r\n"
            "x-request-timeout-seconds: 0\r\n\r\n"
        )
        raw.sendall(head.encode() + content)
        wait_until(lambda: waiting() > 0)
        full = client.post("/v1/separate", content=content)
        assert full.status_code == 503, full.text
        assert int(full.headers["retry-after"]) > 0
        assert full.json()["limit"] == "queue_seconds"
    wait_until(lambda: waiting() == 0)
    assert client.post("/v1/separate", content=content).status_code == 200


def test_what_is_wrong_is_told_as_under_any_server(client: httpx.Client, tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    sf.write(path, [[0.0]] * (8000 * 601), 8000)
    long = client.post("/v1/separate", content=path.read_bytes())
    assert (long.status_code, long.json()["limit"]) == (413, "decoded_seconds")
    unknown = client.post("/v1/separate?class=Spech", content=path.read_bytes()[:1000])
    assert unknown.headers["content-type"] == "application/problem+json"
    assert client.get("/v1/none").status_code == 404


def test_a_front_that_dies_takes_its_own_requests_along_and_nothing_else(
    client: httpx.Client, make_recording: Any
) -> None:
    content = make_recording(seconds=10).read_bytes()

    def ask(_: int) -> int:
        try:
            return client.post("/v1/separate", content=content).status_code
        except httpx.TransportError:
            return 0

    before = {front.pid for front in _fronts()}
    assert before
    with ThreadPoolExecutor(2) as pool:
        in_flight = pool.map(ask, range(2))
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        assert set(in_flight) <= {0, 200, 500, 503}  # HTTP lets nobody else repeat a request

    def is_there_again() -> bool:
        return ask(0) == 200

    wait_until(is_there_again)
    assert before.isdisjoint(front.pid for front in _fronts())


def test_what_the_dashboard_draws_is_on_the_metrics_port(client: httpx.Client) -> None:
    import ray

    assert client.post("/v1/separate", content=b"no sound").status_code == 422
    port = ray.nodes()[0]["MetricsExportPort"]
    board = json.loads((Path(__file__).parents[2] / "deploy/grafana-service.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    drawn = {name for query in queries for name in re.findall(r"ray_uss_ray_\w+", query)}
    assert len(drawn) == 3

    def exported() -> dict[str, set[str]]:
        lines = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60.0).text.splitlines()
        found: dict[str, set[str]] = {}
        for line in lines:
            found.setdefault(line.partition("{")[0], set()).update(re.findall(r'(\w+)="', line))
        return found

    wait_until(lambda: drawn <= exported().keys())
    labels = exported()
    for query in queries:
        (name,) = re.findall(r"ray_uss_ray_\w+", query)
        (by,) = re.findall(r"by \(([^)]*)\)", query)
        assert set(by.split(", ")) <= labels[name], query


def _fronts() -> list[psutil.Process]:
    return _processes("ray::ServeReplica:uss-ray:Front")


def _keepers() -> list[psutil.Process]:
    return _processes("ray::ServeReplica:uss-ray:Keeper")


def _drivers() -> list[psutil.Process]:
    return _processes("-m uss_ray.jobs.run_job", beginning=1)  # without the shell that Ray begins it with


def _processes(words: str, *, beginning: int = 0) -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if " ".join(process.cmdline()[beginning:]).startswith(words):
                found.append(process)
    return found
