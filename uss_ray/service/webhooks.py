"""Telling an address of the client's that its job has ended: where that may be, how it is signed, how it is sent.

Signed as https://www.standardwebhooks.com says, so that receivers have libraries for it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import ipaddress
import logging
import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from uss_ray.config import canonical_json
from uss_ray.service.problems import Refusal
from uss_ray.service.settings import WebhookSettings
from uss_ray.version import VERSION

_MOST_LETTERS = 2000
_SECRET_PREFIX = "whsec_"
_SECRET_BYTES = (24, 64)
_ODD = re.compile(r"[\x00-\x20\x7f\\#]")
_SECRET_SAID: Final = "whsec_ and the base64 of 24 to 64 bytes by chance"
_PORTS = {"https": 443, "http": 80}
# Of AWS, Alibaba, Oracle and Azure: they answer machines with what only those should know.
_OF_CLOUDS = {"fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16"}

# It would write whole addresses, which may hold a secret.
logging.getLogger("httpx").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Webhook:
    """Where a client wants to hear of the end of a job.

    Attributes
    ----------
    url : str
    secret : str
        What it knows it by that a message is of this service.
    """

    url: str
    secret: str

    @property
    def origin(self) -> str:
        """Scheme, host and port, in the one way that they are written."""
        return origin_of(self.url)


def webhook_of(said: Any, *, settings: WebhookSettings) -> Webhook:
    """Take what a request says of a webhook.

    Parameters
    ----------
    said : object
    settings : WebhookSettings

    Raises
    ------
    Refusal
        If it is no address with a secret, or one that may not be told anything.
    """
    if not (
        isinstance(said, dict)
        and set(said) == {"url", "secret"}
        and all(isinstance(v, str) for v in said.values())
    ):
        raise Refusal(
            "webhook",
            expected='an object {"url": "...", "secret": "..."}',
            found=type(said).__name__,
            status=422,
        )
    hook = Webhook(said["url"], said["secret"])
    _key(hook.secret)
    check_origin(hook, settings=settings)
    return hook


def check_origin(hook: Webhook, *, settings: WebhookSettings) -> None:
    """Refuse a webhook whose origin is not among those of the settings.

    Raises
    ------
    Refusal
        Also if its address is none.
    """
    allowed = {origin_of(origin) for origin in settings.origins}
    if hook.origin not in allowed:
        raise Refusal(
            "webhook",
            expected=", ".join(sorted(allowed)) or "none, for this service has no origins for webhooks",
            found=hook.origin[:200],
            status=403,
        )


def origin_of(url: str) -> str:
    """Give scheme, host and port of an address of the web.

    Raises
    ------
    Refusal
        If it is none, or one with a user or a fragment.

    Examples
    --------
    >>> origin_of("https://Hooks.Example.org/jobs?x=1")
    'https://hooks.example.org:443'
    """
    try:
        found = httpx.URL(url) if len(url) <= _MOST_LETTERS and not _ODD.search(url) else None
    except (httpx.InvalidURL, ValueError):
        found = None
    if found is None or found.scheme not in _PORTS or not found.host or found.userinfo:
        raise Refusal(
            "webhook", expected="https://host/path, without user and fragment", found="another", status=422
        )
    host = found.raw_host.decode("ascii")
    return f"{found.scheme}://{f'[{host}]' if ':' in host else host}:{found.port or _PORTS[found.scheme]}"


def message_of(job: Mapping[str, Any]) -> bytes:
    """Write what is sent of a job that has ended; the same however often it is sent.

    Parameters
    ----------
    job : mapping
        As `GET /v1/jobs/{id}` shows it; what becomes of the message itself is left out.
    """
    ended_at = datetime.fromtimestamp(job["ended_at"], UTC).isoformat(timespec="milliseconds")
    data = {name: value for name, value in job.items() if name != "webhook"}
    said = {"type": f"job.{job['status']}", "timestamp": ended_at, "data": data}
    return canonical_json(said).encode()


def signed(body: bytes, *, message_id: str, secret: str, now: float) -> dict[str, str]:
    """Give the headers of a message.

    Parameters
    ----------
    body : bytes
    message_id : str
        The same each time that a message is sent.
    secret : str
    now : float
        Seconds since 1970.
    """
    stamp = str(int(now))
    content = f"{message_id}.{stamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(_key(secret), content, hashlib.sha256)).decode()
    return {
        "content-type": "application/json",
        "user-agent": f"uss-ray/{VERSION}",
        "webhook-id": message_id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{signature}",
    }


def send(hook: Webhook, body: bytes, *, message_id: str, settings: WebhookSettings) -> int:
    """Send a message; give the status that it was answered with. Redirects are not followed.

    Raises
    ------
    Refusal
        If it may not go there.
    OSError, httpx.HTTPError
        If nobody answers in time.
    """
    check_origin(hook, settings=settings)
    headers = signed(body, message_id=message_id, secret=hook.secret, now=time.time())
    return asyncio.run(_send(httpx.URL(hook.url), body, headers=headers, settings=settings))


async def _send(url: httpx.URL, body: bytes, *, headers: dict[str, str], settings: WebhookSettings) -> int:
    # All of it, for a slow answer begins again and again.
    async with asyncio.timeout(settings.answer_seconds):
        addresses = await _addresses_of(url, is_private_allowed=settings.private)
        async with httpx.AsyncClient(
            verify=ssl.create_default_context(), trust_env=False, timeout=settings.answer_seconds
        ) as http:
            for left, address in reversed(list(enumerate(reversed(addresses)))):
                # To the address that was looked at: a name may mean another one when it is asked for again.
                request = http.build_request(
                    "POST",
                    url.copy_with(host=address),
                    content=body,
                    headers={**headers, "host": url.netloc.decode("ascii")},
                    extensions={"sni_hostname": url.raw_host.decode("ascii")},
                )
                try:
                    answer = await http.send(request, stream=True)
                except httpx.ConnectError:
                    if not left:
                        raise
                else:
                    await answer.aclose()
                    return answer.status_code
    raise AssertionError


async def _addresses_of(url: httpx.URL, *, is_private_allowed: bool) -> list[str]:
    """Look up a host; refuse it if one of its addresses may not be told anything."""
    port = url.port or _PORTS[url.scheme]
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(url.raw_host.decode("ascii"), port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        if not is_allowed(address, is_private_allowed=is_private_allowed):
            raise Refusal("webhook", expected="an address of the Internet", found=address, status=403)
    return addresses


def is_allowed(address: str, *, is_private_allowed: bool) -> bool:
    """Tell whether a message may go to an IP address.

    Parameters
    ----------
    address : str
    is_private_allowed : bool
        Whether it may be one of this machine or of a private network; link-local ones never are, for the services of
        clouds that give keys away have such, and some others.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        found = found.ipv4_mapped or found.sixtofour or found
    if str(found) in _OF_CLOUDS:
        return False
    if found.is_loopback:
        return is_private_allowed
    if found.is_link_local or found.is_multicast or found.is_unspecified or found.is_reserved:
        return False
    return found.is_global or is_private_allowed


def _key(secret: str) -> bytes:
    least, most = _SECRET_BYTES
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not (secret.startswith(_SECRET_PREFIX) and least <= len(key) <= most):
        raise Refusal("webhook secret", expected=_SECRET_SAID, found="another", status=422)
    return key
