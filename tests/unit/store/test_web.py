"""Requests to a web server repeat while their faults pass, and only then."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator

import pytest

from uss_ray.errors import RecordingError
from uss_ray.store import patience
from uss_ray.store.faults import is_infrastructure, is_transient
from uss_ray.store.store import Store, StoreOptions

CONTENT = bytes(range(256)) * 40


class Server(http.server.ThreadingHTTPServer):
    """Answers with the statuses it is told, then with `CONTENT`."""

    statuses: list[int]
    asked: list[str]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        self.server.asked.append(self.command)
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        content = CONTENT
        if status == 200 and (wanted := self.headers.get("Range")):
            first, last = wanted.removeprefix("bytes=").split("-")
            content, status = CONTENT[int(first) : int(last or len(CONTENT)) + 1], 206
        if status >= 400:
            content = b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if status in (200, 206):
            self.send_header("Accept-Ranges", "bytes")
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(content) - 1}/{len(CONTENT)}")
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(patience, "_FIRST_WAIT_SECONDS", 0.001)
    with Server(("127.0.0.1", 0), _Handler) as server:
        server.statuses, server.asked = [], []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def place(server: Server, *, patience_seconds: float = 60) -> Store:
    options = StoreOptions(patience_seconds=patience_seconds)
    return Store(f"http://127.0.0.1:{server.server_port}/a b.bin", options)


def test_a_busy_server_is_waited_for(server: Server) -> None:
    server.statuses = [503, 500, 429]
    assert place(server).read() == CONTENT
    assert server.asked == ["GET"] * 4


def test_an_open_file_survives_refusals_between_its_reads(server: Server) -> None:
    with place(server).open() as file:
        assert file.read(10) == CONTENT[:10]
        server.statuses = [503, 503]
        file.seek(len(CONTENT) - 20)
        assert file.read(20) == CONTENT[-20:]


def test_what_is_not_there_is_asked_for_once(server: Server) -> None:
    server.statuses = [404, 404]
    assert not place(server).exists()
    assert len(server.asked) == 2  # fsspec asks with HEAD, then with GET
    server.statuses = [404]
    with pytest.raises(RecordingError, match="no such file"):
        place(server).read()
    assert len(server.asked) == 3


def test_without_patience_the_first_refusal_is_the_last(server: Server) -> None:
    server.statuses = [503] * 9
    with pytest.raises(RecordingError, match="503") as caught:
        place(server, patience_seconds=0).read()
    assert server.asked == ["GET"]
    assert is_transient(caught.value)


@pytest.mark.parametrize(
    ("status", "found"), [(401, "password"), (403, "refuses access"), (404, "no such file"), (410, "gone")]
)
def test_refusals_are_told_apart_and_are_the_contents(server: Server, status: int, found: str) -> None:
    for ask in (Store.open, Store.read, Store.size):
        server.statuses = [status, status]
        with pytest.raises(RecordingError, match=found) as caught:
            ask(place(server, patience_seconds=0))
        assert not is_infrastructure(caught.value)
    server.statuses = [status, status]
    if status == 404:
        assert not place(server).exists()
    else:
        with pytest.raises(RecordingError, match=found):
            place(server).exists()


def test_a_server_that_is_not_there_is_no_missing_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object, **__: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    now = StoreOptions(patience_seconds=0)
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        refused = Store(f"http://127.0.0.1:{reserved.getsockname()[1]}/a.wav", now)
        told = _fault_of(refused)
    assert "refuses connections" in str(told)
    assert is_infrastructure(told)
    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    told = _fault_of(Store("http://nobody.invalid/a.wav", now))
    assert "nobody knows" in str(told)
    assert is_infrastructure(told)


def _fault_of(there: Store) -> RecordingError:
    with pytest.raises(RecordingError) as caught:
        there.open()
    return caught.value
