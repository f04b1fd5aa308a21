"""A proxy before an S3 server that can be told to fail: refusals, slow answers, dropped connections.

Requests go on to the server unchanged (the signature covers the host name the client used), and its answers come back,
unless a fault that was asked for applies to them.
"""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

_BLOCK_BYTES = 1 << 16
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}
_S3_WORDS = {403: "AccessDenied", 500: "InternalError", 503: "SlowDown"}


@dataclass(frozen=True)
class Seen:
    """A request, and what became of it: the status it was answered with, or None for a dropped connection."""

    method: str
    target: str
    status: int | None


@dataclass
class Fault:
    """What goes wrong, with which requests, and how often or how long.

    `target` is looked for in the path and query; `None` fits every request.
    """

    kind: Literal["refuse", "delay", "drop request", "drop answer"]
    status: int = 503
    delay_seconds: float = 0.0
    after_bytes: int = 0
    method: str | None = None
    target: str | None = None
    times: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        self._until = None if self.seconds is None else time.monotonic() + self.seconds

    def takes(self, method: str, target: str) -> bool:
        """Tell whether a request meets this fault, and count it."""
        fits = self.method in (None, method) and (self.target is None or self.target in target)
        in_time = self._until is None or time.monotonic() < self._until
        if not fits or not in_time or self.times == 0:
            return False
        if self.times is not None:
            self.times -= 1
        return True


class FaultyProxy:
    """Stands before `endpoint` on a port of its own; a context manager."""

    def __init__(self, endpoint: str) -> None:
        address = urlsplit(endpoint)
        self.upstream = (address.hostname or "", address.port or 80)
        self.seen: list[Seen] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._server = _Server(self)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def refuse(self, status: int = 503, **which: object) -> None:
        """Answer with an error instead of asking the server; `which` are fields of `Fault`."""
        self._add(Fault("refuse", status=status, **which))  # type: ignore[arg-type]

    def delay(self, delay_seconds: float, **which: object) -> None:
        """Let the answer wait."""
        self._add(Fault("delay", delay_seconds=delay_seconds, **which))  # type: ignore[arg-type]

    def drop_request(self, after_bytes: int = 0, **which: object) -> None:
        """Reset the connection once so much of the request's body has come; the server never hears of it."""
        self._add(Fault("drop request", after_bytes=after_bytes, **which))  # type: ignore[arg-type]

    def drop_answer(self, after_bytes: int | None = 0, **which: object) -> None:
        """Let the server do its work, and close the connection after so much of its answer's body.

        None drops the whole answer, its head included.
        """
        count = -1 if after_bytes is None else after_bytes
        self._add(Fault("drop answer", after_bytes=count, **which))  # type: ignore[arg-type]

    def heal(self) -> None:
        """Forget every fault."""
        with self._lock:
            self._faults.clear()

    def count(self, method: str, target: str = "") -> int:
        """Count the requests seen so far."""
        with self._lock:
            return sum(request.method == method and target in request.target for request in self.seen)

    def fault_of(self, method: str, target: str) -> Fault | None:
        """Find the first fault that applies to a request."""
        with self._lock:
            return next((fault for fault in self._faults if fault.takes(method, target)), None)

    def note(self, method: str, target: str, status: int | None) -> None:
        """Remember a request."""
        with self._lock:
            self.seen.append(Seen(method, target, status))

    def __enter__(self) -> FaultyProxy:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # An open connection of a client is no reason to wait at the end.
    block_on_close = False
    request_queue_size = 64

    def __init__(self, proxy: FaultyProxy) -> None:
        self.proxy = proxy
        super().__init__(("127.0.0.1", 0), _Handler)


class _DroppedError(Exception):
    pass


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (_DroppedError, ConnectionError):
            self.close_connection = True

    def _serve(self) -> None:
        proxy = self.server.proxy
        fault = proxy.fault_of(self.command, self.path)
        if fault is not None and fault.kind == "drop request":
            self.rfile.read(min(fault.after_bytes, self._body_bytes))
            self._drop(reset=True)
        body = self.rfile.read(self._body_bytes)
        if fault is not None and fault.kind == "refuse":
            self._refuse(fault.status)
            return
        if fault is not None:
            time.sleep(fault.delay_seconds)
        self._pass_on(body, fault)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815

    def _pass_on(self, body: bytes, fault: Fault | None) -> None:
        upstream = http.client.HTTPConnection(*self.server.proxy.upstream, timeout=60)
        try:
            # The host header is part of what the client has signed.
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect"):
                    upstream.putheader(name, value)
            upstream.endheaders(body or None)
            answer = upstream.getresponse()
            content = b"" if self.command == "HEAD" else answer.read()
        except OSError:
            self._drop(reset=True)
            return
        finally:
            upstream.close()
        dropped = fault is not None and fault.kind == "drop answer"
        if dropped and fault is not None and fault.after_bytes < 0:
            self._drop(reset=False)
        if not dropped:
            # Before the client has its answer: it may count at once what was asked.
            self.server.proxy.note(self.command, self.path, answer.status)
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        if length is not None and answer.status not in (204, 304):
            self.send_header("Content-Length", length)
        self.end_headers()
        if dropped and fault is not None:
            self.wfile.write(content[: fault.after_bytes])
            self._drop(reset=False)
        self.wfile.write(content)

    def _refuse(self, status: int) -> None:
        word = _S3_WORDS.get(status, str(status))
        content = b"" if self.command == "HEAD" else f"<Error><Code>{word}</Code></Error>".encode()
        self.server.proxy.note(self.command, self.path, status)
        self.send_response_only(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _drop(self, *, reset: bool) -> None:
        self.server.proxy.note(self.command, self.path, None)
        self.wfile.flush()
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise _DroppedError

    @property
    def _body_bytes(self) -> int:
        return int(self.headers.get("Content-Length") or 0)

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""
