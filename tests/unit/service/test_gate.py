from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.service.conftest import TOKEN
from uss_ray.errors import QueryError
from uss_ray.service.gate import Gate
from uss_ray.service.settings import Limits
from uss_ray.service.tokens import Tokens

App = Callable[[Any, Any, Any], Awaitable[None]]
LIMITS = Limits(body_bytes=10, deadline_seconds=30.0, at_once=1)
BEARER = (b"authorization", b"Bearer " + TOKEN.encode())


class Client:
    """Sends a body in pieces, then goes if it is told to; keeps the answer."""

    def __init__(self, *pieces: bytes, headers: tuple[tuple[bytes, bytes], ...] = (BEARER,)) -> None:
        self.pieces = list(pieces or (b"",))
        self.gone = asyncio.Event()
        self.headers = list(headers)
        self.sent: list[Any] = []

    async def receive(self) -> dict[str, Any]:
        if self.pieces:
            return {"type": "http.request", "body": self.pieces.pop(0), "more_body": bool(self.pieces)}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    async def ask(self, gate: Gate, path: str = "/v1/x", *, method: str = "POST") -> None:
        scope = {"type": "http", "method": method, "path": path, "headers": self.headers}
        await gate(scope, self.receive, self.send)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"]) if self.sent else 0

    @property
    def problem(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.sent[1]["body"])
        return found


async def echo(scope: Any, receive: Any, send: Any) -> None:
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["state"]["tenant"].name.encode()})


def _gate(app: App, token_file: Path, limits: Limits = LIMITS) -> Gate:
    return Gate(app, tokens=Tokens(token_file), limits=limits)


def test_who_has_a_token_is_let_through_and_noted(token_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="uss_ray.audit")
    client = Client(b"12345", b"678", headers=(BEARER, (b"x-request-id", b"mine-1")))
    asyncio.run(client.ask(_gate(echo, token_file)))
    assert (client.status, client.sent[1]["body"]) == (200, b"one")
    assert (b"x-request-id", b"mine-1") in client.sent[0]["headers"]
    (line,) = [json.loads(record.message) for record in caplog.records]
    assert (line["tenant"], line["id"], line["status"], line["bytes"]) == ("one", "mine-1", 200, 8)
    assert line["sha256"] == hashlib.sha256(b"12345678").hexdigest()
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    "header",
    [(b"x", b"y"), (b"authorization", b"Bearer wrong"), (b"authorization", b"Basic " + TOKEN.encode())],
)
def test_nobody_else_is(token_file: Path, header: tuple[bytes, bytes]) -> None:
    client = Client(headers=(header,))
    asyncio.run(client.ask(_gate(echo, token_file)))
    assert client.status == 401


def test_a_body_is_counted_and_its_length_believed_when_it_is_too_long(token_file: Path) -> None:
    counted = Client(b"123456", b"123456")
    asyncio.run(counted.ask(_gate(echo, token_file)))
    assert (counted.status, counted.problem["limit"]) == (413, "body_bytes")
    stated = Client(b"1", headers=(BEARER, (b"content-length", b"11")))
    asyncio.run(stated.ask(_gate(echo, token_file)))
    assert (stated.status, len(stated.pieces)) == (413, 1)


def test_every_call_ends_by_its_deadline(token_file: Path) -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(3600)

    # What Ray Serve would obey (docs/serve.md: an edge strips it) changes nothing here.
    off = ((b"x-request-timeout-seconds", b"0"), (b"x-request-disconnect-disabled", b"?1"))
    client = Client(headers=(BEARER, *off))
    asyncio.run(client.ask(_gate(slow, token_file, Limits(deadline_seconds=0.05))))
    assert (client.status, client.problem["limit"]) == (504, "deadline_seconds")


def test_a_client_that_goes_ends_the_work(token_file: Path) -> None:
    async def go() -> None:
        began, ended = asyncio.Event(), asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            began.set()
            try:
                await asyncio.sleep(3600)
            finally:
                ended.set()

        client = Client()
        asking = asyncio.create_task(client.ask(_gate(slow, token_file)))
        await began.wait()
        client.gone.set()
        await asking
        assert ended.is_set()
        assert not client.sent

    asyncio.run(go())


def test_a_token_has_so_many_requests_at_once(token_file: Path) -> None:
    async def go() -> None:
        let_go = asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            await let_go.wait()
            await echo(scope, receive, send)

        gate = _gate(slow, token_file)
        first, second, third = Client(), Client(), Client()
        asking = asyncio.create_task(first.ask(gate))
        await asyncio.sleep(0)
        await second.ask(gate)
        assert (second.status, second.problem["limit"]) == (429, "at_once")
        assert (b"retry-after", b"1") in second.sent[0]["headers"]
        let_go.set()
        await asking
        await third.ask(gate)
        assert (first.status, third.status) == (200, 200)

    asyncio.run(go())


@pytest.mark.parametrize(
    ("error", "status"), [(QueryError("a", expected="b", found="c"), 422), (KeyError("/srv/secret"), 500)]
)
def test_what_is_raised_behind_it_becomes_a_problem(token_file: Path, error: Exception, status: int) -> None:
    async def wrong(scope: Any, receive: Any, send: Any) -> None:
        raise error

    client = Client()
    asyncio.run(client.ask(_gate(wrong, token_file)))
    assert client.status == status
    assert "/srv" not in str(client.problem)


def test_what_is_raised_after_the_answer_began_adds_nothing_to_it(token_file: Path) -> None:
    async def wrong(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise KeyError

    client = Client()
    asyncio.run(client.ask(_gate(wrong, token_file)))
    assert [message["type"] for message in client.sent] == ["http.response.start"]


def test_who_asks_for_a_head_has_no_body_made(token_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="uss_ray.audit")
    methods: list[str] = []

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        methods.append(scope["method"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        pytest.fail("went on")

    client = Client()
    asyncio.run(client.ask(_gate(endless, token_file), method="HEAD"))
    assert methods == ["GET"]
    assert [message.get("body", message["type"]) for message in client.sent] == ["http.response.start", b""]
    (line,) = [json.loads(record.message) for record in caplog.records]
    assert (line["call"], line["status"]) == ("HEAD -", 200)


@pytest.mark.parametrize(
    ("client", "host", "origin", "status"),
    [
        ("127.0.0.1", b"localhost:8000", b"", 200),
        ("127.0.0.1", b"localhost:8000", b"http://localhost:8000", 200),
        ("::1", b"[::1]:8000", b"", 200),
        ("127.0.0.1", b"evil.example:8000", b"", 403),
        ("127.0.0.1", b"localhost:8000", b"https://evil.example", 403),
        ("127.0.0.1", b"localhost:8000", b"http://localhost:3000", 403),
        ("127.0.0.1", b"localhost:8000", b"null", 403),
        ("10.0.0.1", b"localhost", b"", 403),
    ],
)
def test_without_tokens_this_machine_alone_is_let_in(
    client: str, host: bytes, origin: bytes, status: int
) -> None:
    asking = Client(headers=((b"host", host), (b"origin", origin)))
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/x",
        "headers": asking.headers,
        "client": (client, 1),
    }
    asyncio.run(Gate(echo, tokens=None, limits=LIMITS)(scope, asking.receive, asking.send))
    assert asking.status == status
