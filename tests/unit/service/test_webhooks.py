"""Webhooks against a server of this machine: what it gets, and where none goes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers.certificates import certificate_in
from tests.unit.service.receiver import KEY, SECRET, Receiver, receiving
from uss_ray.errors import ConfigError
from uss_ray.service import webhooks
from uss_ray.service.problems import Refusal
from uss_ray.service.settings import WebhookSettings
from uss_ray.service.webhooks import Webhook, is_allowed, message_of, origin_of, send, signed, webhook_of

JOB = {"id": "a" * 32, "status": "succeeded", "ended_at": 1.5, "finished": 3, "webhook": {"sent": 0}}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


def _settings(receiver: Receiver, **changes: Any) -> WebhookSettings:
    return WebhookSettings(**{"origins": (receiver.url,), "private": True, "answer_seconds": 60.0} | changes)


def test_what_is_sent_is_signed_and_redirects_are_not_followed(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    receiver.statuses = [200, 302]
    hook, body = Webhook(f"{receiver.url}/jobs?a=1", SECRET), message_of(JOB)
    statuses = [send(hook, body, message_id="a" * 32, settings=_settings(receiver)) for _ in range(2)]
    assert statuses == [200, 302]
    assert [path for path, _, _ in receiver.got] == ["/jobs?a=1", "/jobs?a=1"]
    _, headers, got = receiver.got[0]
    assert json.loads(got) == {
        "type": "job.succeeded",
        "timestamp": "1970-01-01T00:00:01.500+00:00",
        "data": {"id": "a" * 32, "status": "succeeded", "ended_at": 1.5, "finished": 3},
    }
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + got
    wanted = base64.b64encode(hmac.new(KEY, content, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"
    assert headers["webhook-id"] == "a" * 32
    assert headers["host"] == receiver.url.removeprefix("http://")
    assert headers["content-type"] == "application/json"
    assert "a=1" not in caplog.text


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """Against the example of its specification."""
    headers = signed(
        b'{"test": 2432232314}',
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        now=1614265330.0,
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_an_address_of_this_machine_is_not_told_unless_that_is_allowed(receiver: Receiver) -> None:
    with pytest.raises(Refusal, match="an address of the Internet"):
        send(
            Webhook(receiver.url, SECRET),
            b"{}",
            message_id="a",
            settings=_settings(receiver, private=False),
        )
    with pytest.raises(Refusal, match="no origins"):
        send(Webhook(receiver.url, SECRET), b"{}", message_id="a", settings=WebhookSettings())
    assert not receiver.got


def test_the_address_that_was_looked_at_is_the_one_that_is_told(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, asked = receiver.server_port, []

    async def looked_up(url: httpx.URL, *, is_private_allowed: bool) -> list[str]:
        asked.append(url.host)
        return ["127.0.0.1"]

    monkeypatch.setattr(webhooks, "_addresses_of", looked_up)
    settings = _settings(receiver, origins=(f"http://hooks.example:{port}",))
    hook = Webhook(f"http://hooks.example:{port}/", SECRET)
    assert send(hook, b"{}", message_id="a", settings=settings) == 204
    assert asked == ["hooks.example"]
    assert receiver.got[0][1]["host"] == f"hooks.example:{port}"


def test_another_address_of_a_host_is_tried_and_then_it_is_given_up(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def looked_up(url: httpx.URL, *, is_private_allowed: bool) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]  # who listens at the second does not at the first

    monkeypatch.setattr(webhooks, "_addresses_of", looked_up)

    def told(port: int) -> int:
        settings = _settings(receiver, origins=(f"http://hooks.example:{port}",))
        return send(
            Webhook(f"http://hooks.example:{port}/", SECRET), b"{}", message_id="a", settings=settings
        )

    assert told(receiver.server_port) == 204
    with socket.socket() as held:
        held.bind(("", 0))  # so that nobody else listens at it
        with pytest.raises(httpx.ConnectError):
            told(held.getsockname()[1])


def test_a_certificate_is_one_of_the_name_and_of_somebody_who_is_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def looked_up(url: httpx.URL, *, is_private_allowed: bool) -> list[str]:
        return ["127.0.0.1"]

    monkeypatch.setattr(webhooks, "_addresses_of", looked_up)
    certificate = certificate_in(tmp_path, host="hooks.example")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, tmp_path / "key.pem")
    with receiving(tls) as receiver:
        named, other = (f"https://{name}.example:{receiver.server_port}" for name in ("hooks", "other"))
        settings = _settings(receiver, origins=(named, other))

        def told(origin: str) -> int:
            return send(Webhook(f"{origin}/a", SECRET), b"{}", message_id="a", settings=settings)

        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            told(named)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert told(named) == 204
        with pytest.raises(httpx.ConnectError, match="Hostname mismatch"):
            told(other)
        assert len(receiver.got) == 1


def test_an_answer_that_does_not_end_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = WebhookSettings(origins=(url,), private=True, answer_seconds=0.2)
        with pytest.raises((TimeoutError, httpx.TimeoutException)):
            send(Webhook(url, SECRET), b"{}", message_id="a", settings=settings)


@pytest.mark.parametrize(
    ("address", "is_global", "is_private"),
    [
        ("93.184.216.34", True, True),
        ("2606:2800:220:1::1", True, True),
        ("127.0.0.1", False, True),
        ("::1", False, True),
        ("10.1.2.3", False, True),
        ("192.168.0.1", False, True),
        ("100.64.0.1", False, True),
        ("fd00::1", False, True),
        ("::ffff:10.0.0.1", False, True),
        ("2002:0a00:0001::", False, True),
        ("169.254.169.254", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("fe80::1%eth0", False, False),
        ("0.0.0.0", False, False),
        ("::", False, False),
        ("224.0.0.1", False, False),
        ("64:ff9b::a9fe:a9fe", False, False),
        ("fd00:ec2::254", False, False),
        ("::ffff:100.100.100.200", False, False),
        ("168.63.129.16", False, False),
    ],
)
def test_which_addresses_may_be_told(address: str, is_global: bool, is_private: bool) -> None:
    assert is_allowed(address, is_private_allowed=False) is is_global
    assert is_allowed(address, is_private_allowed=True) is is_private


@pytest.mark.parametrize(
    ("said", "item"),
    [
        ("https://hooks.example.org/", "webhook"),
        ({"url": "https://hooks.example.org/"}, "webhook"),
        ({"url": "https://hooks.example.org/", "secret": SECRET, "more": "x"}, "webhook"),
        ({"url": "https://hooks.example.org/", "secret": "short"}, "webhook secret"),
        ({"url": "https://hooks.example.org/", "secret": "whsec_c2hvcnQ="}, "webhook secret"),
        ({"url": "https://hooks.example.org/", "secret": f"{SECRET}é"}, "webhook secret"),
        ({"url": "http://hooks.example.org/", "secret": SECRET}, "webhook"),
        ({"url": "https://hooks.example.org:8443/", "secret": SECRET}, "webhook"),
        ({"url": "https://hooks.example.org.evil.example/", "secret": SECRET}, "webhook"),
        ({"url": "https://hooks.example.org@evil.example/", "secret": SECRET}, "webhook"),
        ({"url": "https://evil.example\\@hooks.example.org/", "secret": SECRET}, "webhook"),
        ({"url": "https://hooks.example.org/\r\nx: y", "secret": SECRET}, "webhook"),
        ({"url": "ftp://hooks.example.org/", "secret": SECRET}, "webhook"),
        ({"url": "hooks.example.org", "secret": SECRET}, "webhook"),
        ({"url": "https://hooks.example.org/" + "x" * 2000, "secret": SECRET}, "webhook"),
    ],
)
def test_another_webhook_is_refused(said: Any, item: str) -> None:
    settings = WebhookSettings(origins=("https://hooks.example.org",))
    assert webhook_of({"url": "https://Hooks.Example.org:443/a?b", "secret": SECRET}, settings=settings)
    with pytest.raises(Refusal) as refused:
        webhook_of(said, settings=settings)
    assert refused.value.item == item
    assert refused.value.status in (403, 422)
    assert SECRET not in str(refused.value)


def test_origins_are_written_in_one_way() -> None:
    assert origin_of("http://[::1]/a") == "http://[::1]:80"
    assert WebhookSettings(origins=("https://a.example", "http://[::1]:8080")).wait_seconds(3) == 240.0
    for origin in ("hooks.example.org", "https://a.example/path", "https://u@a.example", "ftp://a"):
        with pytest.raises(ConfigError, match="origins"):
            WebhookSettings(origins=(origin,))
