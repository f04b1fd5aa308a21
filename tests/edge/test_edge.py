"""The shipped files of nginx and HAProxy, in Debian's own programs, before a service that tells what reached it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.servers.ceph import reserve_port
from tests.servers.certificates import certificate_in
from uss_ray.service.job_routes import EVENT_HEADERS

pytestmark = pytest.mark.slow

FILES = Path(__file__).parents[2] / "deploy/edge"
PATH = f"{os.environ['PATH']}:/usr/sbin"
LIMIT = 200_000_000


class Echo(BaseHTTPRequestHandler):
    """Answers with the headers that came; reads no body that it was not sent."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    heard = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/v1/jobs/x/events":
            self.tell_events()
            return
        content = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def tell_events(self) -> None:
        """Tell the last one when the first was heard, or 20 s later that it was not."""
        self.send_response(200)
        for name, value in {
            "content-type": "text/event-stream",
            **EVENT_HEADERS,
            "connection": "close",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"data: first\n\n")
        self.wfile.write(b"data: heard\n\n" if self.heard.wait(20.0) else b"data: in vain\n\n")
        self.close_connection = True

    def do_POST(self) -> None:
        left = int(self.headers["content-length"])
        while left and (block := self.rfile.read1(left)):
            left -= len(block)
        self.do_GET()

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # an edge lets go of what its client let go of
            super().handle()

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Edge:
    """A running edge."""

    kind: str
    port: int
    plain_port: int
    certificate: Path

    def client(self, **options: object) -> httpx.Client:
        trusted = ssl.create_default_context(cafile=str(self.certificate))
        return httpx.Client(
            base_url=f"https://127.0.0.1:{self.port}", verify=trusted, timeout=60.0, **options
        )

    def connect(self) -> ssl.SSLSocket:
        trusted = ssl.create_default_context(cafile=str(self.certificate))
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=60.0)
        return trusted.wrap_socket(raw, server_hostname="127.0.0.1")


def placed(text: str, changes: dict[str, str]) -> str:
    """Move a shipped file to free ports and another folder; what is changed must be there."""
    for shipped, here in changes.items():
        assert shipped in text, shipped
        text = text.replace(shipped, here)
    return text


@pytest.fixture(scope="module")
def behind() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module", params=["nginx", "haproxy"])
def edge(
    request: pytest.FixtureRequest, behind: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Edge]:
    """An edge whose patience with slow clients is two seconds, so that nobody waits for the shipped ten."""
    kind = request.param
    program = shutil.which(kind, path=PATH)
    if program is None:
        if os.environ.get("USS_RAY_REQUIRE_EDGE") == "1":
            pytest.fail(f"the tests of the edge need {kind}")
        pytest.skip(f"needs {kind} (apt-get install nginx-light haproxy)")
    folder = tmp_path_factory.mktemp(kind)
    held = [reserve_port(), reserve_port()]
    made = Edge(kind, *(port.getsockname()[1] for port in held), certificate_in(folder))
    common = {"127.0.0.1:8000": f"127.0.0.1:{behind}", "/etc/uss-ray/tls": str(folder)}
    if kind == "nginx":
        changes = {
            "listen 443 ssl": f"listen 127.0.0.1:{made.port} ssl", "listen 80;": f"listen 127.0.0.1:{made.plain_port};",
            "/run/nginx.pid": f"{folder}/pid", "client_header_timeout 10s": "client_header_timeout 2s",
            "client_body_timeout 15s": "client_body_timeout 2s", "keepalive_timeout 30s": "keepalive_timeout 2s",
            "worker_processes auto": "worker_processes 1", "rate=20r/s": "rate=1r/s", "burst=60": "burst=20",
        }  # fmt: skip
        names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"    {name}_temp_path {folder}/{name};\n" for name in names)
        changes["http {\n"] = f"http {{\n{paths}"
        user = "user root;\n" if os.geteuid() == 0 else ""
        file = folder / "nginx.conf"
        file.write_text(user + placed((FILES / "nginx.conf").read_text(), common | changes))
        command = [program, "-c", str(file), "-p", str(folder), "-g", "daemon off;"]
        check = [program, "-t", "-q", "-c", str(file), "-p", str(folder)]
    else:
        changes = {
            "bind :80\n": f"bind 127.0.0.1:{made.plain_port}\n", "bind :443": f"bind 127.0.0.1:{made.port}",
            "timeout http-request 10s": "timeout http-request 2s", "timeout client 15s": "timeout client 2s",
            "timeout http-keep-alive 30s": "timeout http-keep-alive 2s", "gt 200 }": "gt 40 }",
            "wait-for-body time 10s": "wait-for-body time 2s",
        }  # fmt: skip
        file = folder / "haproxy.cfg"
        file.write_text(placed((FILES / "haproxy.cfg").read_text(), common | changes))
        command = [program, "-db", "-f", str(file)]
        check = [program, "-c", "-q", "-f", str(file)]
    said = subprocess.run(check, capture_output=True, text=True)
    assert (said.returncode, said.stderr) == (0, "")
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_for(made)
        yield made
    finally:
        process.terminate()
        process.wait()
        for port in held:
            port.close()


def wait_for(edge: Edge) -> None:
    end = time.monotonic() + 300
    while True:
        try:
            edge.connect().close()
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.02)
        else:
            return


def test_what_ray_serve_would_obey_does_not_pass(edge: Edge) -> None:
    sent = {
        "x-request-timeout-seconds": "0",
        "X-Request-Disconnect-Disabled": "?1",
        "authorization": "Bearer one",
        "x-forwarded-for": "10.0.0.1",
        "x-forwarded-proto": "gopher",
    }
    with edge.client() as client:
        answer = client.get("/v1/info", headers=sent)
    came = answer.json()
    assert not {"x-request-timeout-seconds", "x-request-disconnect-disabled"} & came.keys()
    assert came["authorization"] == "Bearer one"
    assert came["x-forwarded-proto"] == "https"
    assert came["x-forwarded-for"].endswith("127.0.0.1")
    assert answer.headers["strict-transport-security"]


def test_events_come_as_they_are_told(edge: Edge) -> None:
    Echo.heard.clear()
    with edge.client() as client, client.stream("GET", "/v1/jobs/x/events") as answer:
        lines = answer.iter_lines()
        assert next(lines) == "data: first"
        Echo.heard.set()
        assert list(lines) == ["", "data: heard", ""]


def test_without_tls_there_is_the_way_to_it(edge: Edge) -> None:
    answer = httpx.get(f"http://127.0.0.1:{edge.plain_port}/v1/info?a=b", follow_redirects=False)
    assert answer.status_code == 308
    assert answer.headers["location"].startswith("https://127.0.0.1")
    assert answer.headers["location"].endswith("/v1/info?a=b")


def test_a_header_has_16_kilobytes(edge: Edge) -> None:
    with edge.client() as client:
        assert client.get("/", headers={"x-note": "a" * 3_000}).status_code == 200
        assert client.get("/", headers={f"x-note-{n}": "a" * 3_900 for n in range(5)}).status_code in (
            400,
            431,
        )


def test_a_body_that_is_too_large_is_refused_by_its_length(edge: Edge) -> None:
    with edge.connect() as one:
        one.sendall(f"POST /v1/separate HTTP/1.1\r\nHost: a\r\nContent-Length: {LIMIT + 1}\r\n\r\n".encode())
        answer = one.recv(65536).decode()
        while "body_bytes" not in answer and (more := one.recv(65536)):
            answer += more.decode()
    assert answer.startswith("HTTP/1.1 413")
    assert "application/problem+json" in answer
    with edge.client() as client:
        assert client.post("/v1/separate", content=b"a" * 300_000).status_code == 200


SLOW = {
    "nothing": b"",
    "half a header": b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow",
    "half a body": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc",
    "half a large body": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"a" * 200_000,
    "idle after an answer": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
}


def test_who_is_slow_is_let_go(edge: Edge) -> None:
    # HAProxy leaves a body that stops behind its first 16 KB to the deadline of the service, as its file says.
    kinds = SLOW.keys() - ({"half a large body"} if edge.kind == "haproxy" else set())
    with contextlib.ExitStack() as stack:
        connections = {kind: stack.enter_context(edge.connect()) for kind in sorted(kinds)}
        for kind, one in connections.items():
            one.sendall(SLOW[kind])
        for one in connections.values():  # the edge waits for two seconds; a time-out here is a failure
            with contextlib.suppress(ConnectionError):  # also a way to let go
                while one.recv(65536):
                    pass


def test_who_asks_too_often_is_put_off_and_nobody_else(edge: Edge) -> None:
    with edge.client(headers={"authorization": "Bearer often"}) as client:
        for _ in range(60):
            refused = client.get("/v1/info")
            if refused.status_code != 200:
                break
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "3"
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["item"] == "requests of this token"
    with edge.client(headers={"authorization": "Bearer seldom"}) as client:
        assert client.get("/v1/info").status_code == 200
