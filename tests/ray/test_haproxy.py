"""`uss-ray serve` as its own process, with HAProxy as Serve's proxy, as pods have it: from its start to a signal."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from tests.conftest import MakeRecording
from tests.processes import wait_until_ended
from tests.servers.ceph import reserve_port
from tests.unit.service.conftest import wait_until
from uss_ray.api.pretrained import separate

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

PORTS = ("RAY_SERVE_HAPROXY_STATS_PORT", "RAY_SERVE_HAPROXY_METRICS_PORT")
BODY_BYTES = 2_000_000


@dataclass
class Served:
    """The process, and where it is."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def processes(self, name: str) -> list[psutil.Process]:
        return [
            one for one in psutil.Process(self.process.pid).children(recursive=True) if name in _called(one)
        ]


def _called(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline()) or process.name()
    return ""


@pytest.fixture(scope="module")
def served(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    held = [reserve_port() for _ in PORTS]
    environment = {
        **os.environ,
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        **{name: str(port.getsockname()[1]) for name, port in zip(PORTS, held, strict=True)},
    }
    environment.pop("RAY_ADDRESS", None)
    log = folder / "log"
    program = Path(sys.executable).with_name("uss-ray")
    line = f"serve --no-auth --port 0 --device cpu --cpus 0 --threads 1 --fronts 1 --body-bytes {BODY_BYTES}"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [program, *line.split(), "--weights", tiny_weights], env=environment, stdout=file, stderr=file
        )
    try:
        wait_until(lambda: "Serving at" in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield Served(process, re.findall(r"Serving at (\S+);", log.read_text())[0], log)
    finally:
        process.kill()
        process.wait()
        for port in held:
            port.close()


def test_samples_errors_and_a_front_that_dies(
    served: Served, make_recording: MakeRecording, tiny_weights: Path, tmp_path: Path
) -> None:
    assert served.processes("haproxy -"), "HAProxy is Serve's proxy"
    recording = make_recording("a.wav", seconds=3)
    with httpx.Client(base_url=served.url, timeout=300.0) as client:

        def stems() -> dict[str, str]:
            answer = client.post(
                "/v1/separate", params={"level": [1, 2], "format": "wav"}, content=recording.read_bytes()
            )
            assert answer.status_code == 200, answer.text
            with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
                rows = json.loads(archive.read("index.json"))["rows"]
            return {row["node_id"]: row["stem_sha256"] for row in rows if row["stem_sha256"]}

        here = separate(
            recording, output=tmp_path, weights=tiny_weights, device="cpu", levels=(1, 2), stem_format="wav",
            report=False,
        )  # fmt: skip
        expected = {row.node_id: row.stem_sha256 for row in here.rows if row.stem_sha256}
        assert stems() == expected != {}

        unknown = client.post("/v1/separate", params={"class": "Dgo"}, content=recording.read_bytes())
        assert (unknown.status_code, unknown.headers["content-type"]) == (422, "application/problem+json")
        large = client.post("/v1/separate", content=bytes(4 * BODY_BYTES))
        assert (large.status_code, large.json()["limit"]) == (413, "body_bytes")

        (front,) = served.processes("ServeReplica:uss-ray:Front")
        front.kill()
        front.wait()

        def again() -> bool:
            try:
                return client.get("/v1/info").status_code == 200
            except httpx.TransportError:
                return False

        wait_until(again, look_seconds=0.25)
        assert stems() == expected


def test_a_signal_ends_it_and_leaves_nothing(served: Served) -> None:
    every = psutil.Process(served.process.pid).children(recursive=True)
    served.process.send_signal(signal.SIGTERM)
    wait_until(lambda: served.process.poll() is not None)
    assert served.process.returncode == 128 + signal.SIGTERM, served.log.read_text()
    wait_until_ended(every, seconds=300)
