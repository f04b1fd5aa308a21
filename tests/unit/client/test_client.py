"""The client against answers that a service gives, and those that it should not."""

from __future__ import annotations

import asyncio
import io
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clock import set_clock
from tests.unit.client.conftest import ROWS, zipped
from uss_ray.client import Client, ServiceError
from uss_ray.errors import ConfigError, OutputError, RecordingError

STEMS = zipped({"query/dog.flac": "woof"})


class Service:
    """Answers in turn, and what was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Any] = []

    def __call__(self, request: Any) -> Any:
        request.read()
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waits: list[float] = []
    set_clock(monkeypatch, "uss_ray.client.client", sleep=waits.append)
    return waits


@pytest.fixture
def client_of() -> Callable[..., Client]:
    def make(service: Service, **options: Any) -> Client:
        return Client("http://service/base/", "secret", transport=httpx.MockTransport(service), **options)

    return make


def busy(status: int = 503, **headers: str) -> Any:
    return httpx.Response(
        status, headers=headers, json={"item": "queue", "expected": "room", "found": "none"}
    )


def test_stems_come_as_files_with_a_row_for_what_is_not_there(
    client_of: Callable[..., Client], tmp_path: Path
) -> None:
    service = Service(httpx.Response(200, content=STEMS))
    (tmp_path / "a.wav").write_bytes(b"sound")
    client = client_of(service)
    with client.separate(
        tmp_path / "a.wav", classes=["dog", "cat"], residual=True, stem_format="flac"
    ) as made:
        assert list(made) == ["Dog"]
        assert made["Dog"] == made["/m/0bt9lr"] == b"woof"
        with pytest.raises(KeyError):
            made["Cat"]
        assert [row["status"] for row in made.rows] == ["written", "absent"]
        assert made.stems == ("query/dog.flac",)
        assert (made.save(tmp_path / "out") / "query/dog.flac").read_bytes() == b"woof"
    (asked,) = service.asked
    assert asked.url.path == "/base/v1/separate"
    assert asked.url.params.get_list("class") == ["dog", "cat"]
    assert (asked.url.params["residual"], asked.url.params["format"]) == ("true", "flac")
    assert asked.headers["authorization"] == "Bearer secret"
    assert (asked.headers["content-length"], asked.content) == ("5", b"sound")


def test_examples_travel_beside_the_recording(client_of: Callable[..., Client]) -> None:
    service = Service(httpx.Response(200, content=STEMS))
    client_of(service).separate(b"sound", examples=[b"one", io.BytesIO(b"two")]).close()
    body = service.asked[0].content
    assert service.asked[0].headers["content-type"].startswith("multipart/form-data")
    assert body.count(b'; name="audio"') == 1
    assert body.count(b'; name="example"') == 2
    assert b"two" in body


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again_when_it_says(
    client_of: Callable[..., Client], slept: list[float], status: int
) -> None:
    file = io.BytesIO(b"sound")
    service = Service(busy(status, **{"retry-after": "7"}), httpx.Response(200, content=STEMS))
    client_of(service).separate(file).close()
    assert slept == [7.0]
    assert [asked.content for asked in service.asked] == [b"sound", b"sound"]


def test_a_service_that_restarts_is_asked_again(client_of: Callable[..., Client], slept: list[float]) -> None:
    service = Service(
        httpx.ConnectError("refused"),
        httpx.RemoteProtocolError("gone"),
        httpx.Response(200, json={"version": "1"}),
    )
    assert client_of(service).info() == {"version": "1"}
    assert len(slept) == 2


def test_patience_ends(client_of: Callable[..., Client], slept: list[float]) -> None:
    service = Service(busy(**{"retry-after": "7"}))
    with pytest.raises(ServiceError, match="queue: expected room, found none"):
        client_of(service, patience_seconds=5.0).info()
    with pytest.raises(ServiceError, match="http://service/base/: expected a service that answers") as raised:
        client_of(Service(httpx.ConnectError("refused")), patience_seconds=0.0).info()
    assert raised.value.status == 0
    assert slept == []


def test_a_date_to_come_back_at_is_understood(client_of: Callable[..., Client], slept: list[float]) -> None:
    past = "Wed, 21 Oct 2015 07:28:00 GMT"
    service = Service(
        busy(**{"retry-after": past}), busy(**{"retry-after": "soon"}), httpx.Response(200, json={})
    )
    client_of(service).info()
    assert slept[0] == 0.1  # not at once, for a service that says so again and again
    assert 0.5 <= slept[1] <= 1.0  # of its own


def test_a_refusal_is_not_asked_again_and_says_what_the_service_said(
    client_of: Callable[..., Client],
) -> None:
    problem = {
        "item": "recording", "expected": "at most 600 s", "found": "700 s", "limit": "decoded_seconds",
        "request_id": "r1",
    }  # fmt: skip
    service = Service(httpx.Response(413, json=problem))
    with pytest.raises(ServiceError, match="recording: expected at most 600 s, found 700 s") as raised:
        client_of(service).tag(b"sound")
    error = raised.value
    assert (error.status, error.limit, error.request_id) == (413, "decoded_seconds", "r1")


@pytest.mark.parametrize("body", [b"<html>Bad gateway", b"[]", b""])
def test_an_edge_may_answer_as_it_likes(client_of: Callable[..., Client], body: bytes) -> None:
    with pytest.raises(ServiceError, match="request: expected an answer, found status 502"):
        client_of(Service(httpx.Response(502, content=body)), patience_seconds=0.0).info()


def test_tags_and_classes_are_typed(client_of: Callable[..., Client]) -> None:
    node = {
        "node_id": "/m/0bt9lr", "label": "Dog", "level": 3, "class_index": 74, "parent_ids": ["/m/068hy"],
        "is_separable": True, "is_known": True,
    }  # fmt: skip
    service = Service(
        httpx.Response(
            200, json={"seconds": 4.0, "segment_seconds": 2, "nodes": [{"label": "Dog"}], "run": {}}
        ),
        httpx.Response(200, json={"classes": [node]}),
    )
    client = client_of(service)
    tags = client.tag(b"sound", top=3, levels=[1, 2])
    assert (tags.seconds, [one["label"] for one in tags.nodes]) == (4.0, ["Dog"])
    assert dict(service.asked[0].url.params) | {"level": "-"} == {"level": "-", "top": "3"}
    assert service.asked[0].url.params.get_list("level") == ["1", "2"]
    (dog,) = client.classes(find="dog")
    assert (dog.label, dog.parent_ids, dog.is_known) == ("Dog", ("/m/068hy",), True)


def test_what_is_kept_is_fetched_and_removed(client_of: Callable[..., Client]) -> None:
    kept = {"id": "ab", "expires": 5, "rows": ROWS, "links": {}}
    service = Service(
        httpx.Response(201, json=kept),
        httpx.Response(200, json=kept),
        httpx.Response(307, headers={"location": "http://elsewhere/z?sig=1"}),
        httpx.Response(200, content=STEMS),
        httpx.Response(200, content=b"woof"),
        httpx.Response(204),
    )
    client = client_of(service)
    made = client.separate_and_keep(b"sound", seconds=60, classes=["dog"])
    assert service.asked[0].url.params["keep"] == "60"
    assert client.result(made.result_id) == made
    assert client.fetch("ab")["Dog"] == b"woof"
    assert "authorization" not in service.asked[3].headers  # another host
    assert client.stem("ab", "query/dog.flac") == b"woof"
    client.remove("ab")
    assert [(one.method, one.url.path) for one in service.asked[4:]] == [
        ("GET", "/base/v1/results/ab/stems/query/dog.flac"),
        ("DELETE", "/base/v1/results/ab"),
    ]


class Torn(httpx.AsyncByteStream):
    """Breaks off after some bytes."""

    def __init__(self, content: bytes, fault: Exception) -> None:
        self._content, self._fault = content, fault

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content
        raise self._fault


@pytest.mark.parametrize(
    "torn",
    [
        httpx.Response(200, stream=Torn(STEMS[:50], httpx.RemoteProtocolError("incomplete"))),
        httpx.Response(200, stream=Torn(STEMS[:50], httpx.ReadTimeout("slow"))),
        httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Torn(b"no gzip", OSError())),
        httpx.Response(502, content=b"<html>"),
        httpx.Response(503),
        httpx.Response(503, headers=[(b"retry-after", "²".encode("latin-1"))]),
        httpx.Response(429, headers={"retry-after": "Fri, 31 Dec 0000 00:00:00 GMT"}),
    ],
)
def test_what_is_torn_or_passes_is_asked_for_again(
    client_of: Callable[..., Client], slept: list[float], torn: Any
) -> None:
    service = Service(torn, httpx.Response(200, content=STEMS))
    with client_of(service).separate(b"sound") as made:
        assert made["Dog"] == b"woof"
    assert len(slept) == 1
    assert slept[0] >= 0.1


def test_what_stays_torn_ends_with_patience(client_of: Callable[..., Client], slept: list[float]) -> None:
    def torn(request: Any) -> Any:
        request.read()
        return httpx.Response(200, stream=Torn(STEMS[:50], httpx.RemoteProtocolError("incomplete")))

    with pytest.raises(ServiceError, match="found incomplete"):
        client_of(torn, patience_seconds=0.1).separate(b"sound")  # type: ignore[arg-type]
    assert len(slept) == 0


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, content=STEMS[:-30]),  # by a server that closes where it ends
        httpx.Response(200, content=STEMS[20:]),
        httpx.Response(200, content=b"<html>Sign in"),
        httpx.Response(301, headers={"location": "https://service/"}),
    ],
)
def test_half_an_answer_is_no_result(client_of: Callable[..., Client], answer: Any) -> None:
    with pytest.raises(ServiceError):
        client_of(Service(answer)).separate(b"sound")


@pytest.mark.parametrize("content", [b"<html>Sign in", b"[]", b"{}", b"null", b"[" * 100_000])
def test_an_answer_of_somebody_else_is_an_error_of_the_service(
    client_of: Callable[..., Client], content: bytes
) -> None:
    client = client_of(Service(*[httpx.Response(200, content=content) for _ in range(6)]))
    for ask in (
        lambda: client.tag(b"sound"),
        lambda: client.classes(),
        lambda: client.result("a"),
        lambda: client.upload(b"sound", name="a"),
        lambda: client.jobs.status("a"),
        lambda: list(client.jobs.list()),
    ):
        with pytest.raises(ServiceError, match="answer: expected one that this client understands") as raised:
            ask()
        assert raised.value.status == 200


@pytest.mark.parametrize("url", ["service:8000", "ftp://service", "", "http://", "http://a:b/"])
def test_what_is_no_address_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(ConfigError, match="url: expected"):
        Client(url)


@pytest.mark.parametrize("token", ["", " ", "  "])
def test_an_empty_token_is_refused(token: str) -> None:
    with pytest.raises(ConfigError, match="token: expected a token, or None, found an empty one"):
        Client("http://service", token)


@pytest.mark.parametrize(
    "url", ["http://service/base?x=1", "http://service#there", "http://service/?", "http://s/#"]
)
def test_a_root_has_no_query_and_no_fragment(url: str) -> None:
    with pytest.raises(ConfigError, match="url: expected none with a query or fragment"):
        Client(url)


@pytest.mark.parametrize("root", ["a%2Fb", "a%3Fb", "a%23b/", "a%2541//"])
def test_a_root_is_asked_for_as_it_is_encoded(root: str) -> None:
    service = Service(httpx.Response(200, json={"version": "1"}))
    Client(f"http://service/{root}", transport=httpx.MockTransport(service)).info()
    (asked,) = service.asked
    assert str(asked.url) == f"http://service/{root.rstrip('/')}/v1/info"


def test_a_user_of_the_address_takes_the_place_of_no_token() -> None:
    with pytest.raises(ConfigError, match="url: expected no user beside a token") as raised:
        Client("http://jo:word@service/base", "secret")
    assert "word" not in str(raised.value)
    service = Service(httpx.Response(200, json={"version": "1"}))
    client = Client("http://jo:word@service/base", transport=httpx.MockTransport(service))
    assert client.info() == {"version": "1"}
    (asked,) = service.asked
    assert asked.headers["authorization"].startswith("Basic ")
    assert asked.url.path == "/base/v1/info"


@pytest.mark.parametrize("answer", [[], None, 3, "text"])
def test_facts_are_an_object(client_of: Callable[..., Client], answer: Any) -> None:
    with pytest.raises(ServiceError, match="answer: expected one that this client understands"):
        client_of(Service(httpx.Response(200, json=answer))).info()


def test_what_cannot_be_read_here_is_said_before_anything_is_sent(
    client_of: Callable[..., Client], tmp_path: Path
) -> None:
    (tmp_path / "a.wav").write_bytes(b"sound")
    client = client_of(Service())
    with pytest.raises(RecordingError, match=r"none\.wav: expected a readable file, found No such file"):
        client.tag(tmp_path / "none.wav")
    with pytest.raises(RecordingError, match="a readable file"):
        client.separate(b"sound", examples=[tmp_path])
    with (
        (tmp_path / "a.wav").open() as text,
        pytest.raises(RecordingError, match=r"audio: expected a path, bytes .* found one open for text"),
    ):
        client.tag(text)  # type: ignore[arg-type]
    with pytest.raises(RecordingError, match="found a int"):
        client.tag(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [str, Path, bytes, bytearray, io.BytesIO])
def test_one_example_stands_for_a_list_of_one(
    client_of: Callable[..., Client], tmp_path: Path, kind: Any
) -> None:
    (tmp_path / "bark.wav").write_bytes(b"bark")
    service = Service(httpx.Response(200, content=STEMS))
    example = kind(tmp_path / "bark.wav") if kind in (str, Path) else kind(b"bark")
    client_of(service).separate(bytearray(b"sound"), examples=example).close()
    (asked,) = service.asked
    assert asked.content.count(b' name="example"') == 1
    assert b"bark" in asked.content
    assert b"sound" in asked.content


def test_an_answer_that_sends_a_recording_elsewhere_says_where(client_of: Callable[..., Client]) -> None:
    moved = httpx.Response(308, headers={"location": "https://jo:word@elsewhere/base/v1/tag"})
    with pytest.raises(ServiceError, match=r"found status 308 to https://.*elsewhere/base/v1/tag") as raised:
        client_of(Service(moved)).tag(b"sound")
    assert raised.value.status == 308
    assert "word" not in str(raised.value)


def test_what_is_no_token_is_refused_before_anything_is_sent() -> None:
    for token in ("schlüssel", "a\nb"):
        with pytest.raises(ConfigError, match="token: expected") as raised:
            Client("http://service", token)
        assert token not in str(raised.value)


def test_a_request_that_cannot_be_sent_is_not_tried_again(
    client_of: Callable[..., Client], slept: list[float]
) -> None:
    with pytest.raises(ServiceError, match="too little"):
        client_of(Service(httpx.LocalProtocolError("too little"))).tag(b"sound")
    assert slept == []


def test_what_is_removed_by_a_try_whose_answer_got_lost_is_removed(
    client_of: Callable[..., Client], slept: list[float]
) -> None:
    client_of(Service(httpx.ReadError("lost"), httpx.Response(404))).remove("a")
    with pytest.raises(ServiceError) as raised:
        client_of(Service(httpx.Response(404))).remove("a")
    assert raised.value.status == 404


def test_waiting_ends_with_its_time_where_the_service_is_away(
    client_of: Callable[..., Client], slept: list[float]
) -> None:
    with pytest.raises(ServiceError) as raised:
        client_of(Service(httpx.ConnectError("refused"))).jobs.wait("a", seconds=0.1)
    assert (raised.value.status, slept) == (0, [])
    said = {"id": "a", "found": 1, "finished": 1, "failed": 0, "reason": None, "output": {"uri": "/o"}}
    came_back = [httpx.Response(200, json={**said, "status": status}) for status in ("running", "succeeded")]
    came_back[1:1] = [httpx.ConnectError("refused"), busy(502)]  # type: ignore[list-item]
    assert client_of(Service(*came_back)).jobs.wait("a").status == "succeeded"


def test_a_disk_without_room_is_said_to_have_none(
    client_of: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(28, os.strerror(28))

    file = Full()
    monkeypatch.setattr("uss_ray.client.client.tempfile.SpooledTemporaryFile", lambda _: file)
    with pytest.raises(OutputError, match="room for an answer, found No space left"):
        client_of(Service(httpx.Response(200, content=STEMS))).separate(b"sound")
    assert file.closed


def test_what_goes_to_the_store_itself_is_sent_again(
    client_of: Callable[..., Client], slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"uri": "s3://b/a", "method": "PUT", "url": "https://store/a?sig=1", "headers": {}}
    service = Service(
        httpx.Response(200, json={"limits": {"body_bytes": 1}}),
        *[httpx.Response(200, json=told) for _ in range(3)],
    )
    answers = iter([httpx.ReadError("lost"), httpx.Response(503), httpx.Response(200)])
    came: list[bytes] = []

    def store(request: Any) -> Any:
        assert (request.method, str(request.url)) == ("PUT", told["url"])
        assert "authorization" not in request.headers
        came.append(request.content)
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    made = httpx.AsyncClient
    of_the_store = {"transport": httpx.MockTransport(store)}
    monkeypatch.setattr(httpx, "AsyncClient", lambda **options: made(**{**of_the_store, **options}))
    assert client_of(service).upload(b"sound", name="a") == "s3://b/a"
    assert came == [b"sound"] * 3


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


@pytest.mark.parametrize("ask", ["info", "fetch", "stem", "separate", "wait"])
@pytest.mark.parametrize(
    ("first", "drip"),
    [
        (HEAD, b"x: y\r\n"),
        (HEAD + b"content-length: 1000000000\r\n\r\n", b" "),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"", b""),
    ],
)
def test_a_server_that_drips_holds_nobody(ask: str, first: bytes, drip: bytes) -> None:
    """Without a limit of their own for all of it, calls went on for as long as a byte came now and then."""
    with dripping(first, drip) as url, Client(url, answer_seconds=0.3, patience_seconds=0.0) as client:
        calls: dict[str, Callable[[], Any]] = {
            "info": client.info,
            "fetch": lambda: client.fetch("a"),
            "stem": lambda: client.stem("a", "b"),
            "separate": lambda: client.separate(b"sound"),
            "wait": lambda: client.jobs.wait("a", seconds=0.1),
        }
        with pytest.raises(ServiceError, match=r"all of an answer within [0-9.]+ s|Timeout") as raised:
            calls[ask]()
        assert raised.value.status == 0


@contextmanager
def dripping(first: bytes, drip: bytes) -> Iterator[str]:
    """Answer with some bytes, and then with others for as long as somebody listens."""
    ended = threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(first)
            while not ended.wait(0.02):
                connection.sendall(drip)

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.02)

        def serve() -> None:
            while not ended.is_set():
                with suppress(TimeoutError):
                    connection, _ = server.accept()
                    threads.append(threading.Thread(target=answer, args=(connection,)))
                    threads[-1].start()

        threads = [threading.Thread(target=serve)]
        threads[0].start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            ended.set()
            for thread in threads:
                thread.join()


def test_who_waits_while_a_client_is_closed_is_told(client_of: Callable[..., Client]) -> None:
    begun = threading.Event()

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            begun.set()
            await asyncio.Event().wait()
            yield b""

    client = client_of(Service(httpx.Response(200, stream=Endless()), httpx.Response(200, json={})))
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(client.info)
        assert begun.wait(300)
        client.close()
        with pytest.raises((RuntimeError, ServiceError)):
            waiting.result()
    assert client.info() == {}
    client.close()


def test_it_loads_neither_torch_nor_ray() -> None:
    code = "import sys, uss_ray.client; print({'torch', 'ray', 'numpy', 'pyarrow'} & sys.modules.keys())"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == "set()"
