"""What every request passes: token, size, deadline, whether its client still waits; and what of it is logged.

HEAD is answered as GET is, without a body: the call ends where the body would begin (RFC 9110, section 9.3.2).
Owns the errors that leave the service, too: whatever is raised behind the gate becomes one problem.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from uss_ray.errors import UssRayError
from uss_ray.service.problems import MEDIA_TYPE, Refusal, as_problem, internal
from uss_ray.service.settings import Limits, is_loopback
from uss_ray.service.tokens import LOCAL, Tenant, Tokens

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Observe = Callable[[Mapping[str, Any]], None]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = logging.getLogger(__name__)
audit = logging.getLogger("uss_ray.audit")

OPEN_PATHS: Final = {"/", "/healthz", "/readyz"}
"""What is answered without a token."""

OPEN_PREFIXES: Final = ("/assets/",)
"""Beginnings of paths that are answered without a token."""

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CLIENT_GONE = 499


def is_open(path: str) -> bool:
    """Tell whether a path is answered without a token."""
    return path in OPEN_PATHS or path.startswith(OPEN_PREFIXES)


class Gate:
    """Middleware around all routes.

    Parameters
    ----------
    app : ASGI application
    tokens : Tokens or None
        None: everybody is `local`.
    limits : Limits
    local : Tenant, optional
        Who asks where no token is asked for.
    observe : callable, optional
        Called with the line of each call.
    """

    def __init__(
        self,
        app: App,
        *,
        tokens: Tokens | None,
        limits: Limits,
        local: Tenant = LOCAL,
        observe: Observe | None = None,
    ) -> None:
        self._app = app
        self._local = local
        self._observe = observe
        self._tokens = tokens
        self._limits = limits
        self._at_once: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or say why not."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(_Call(scope, receive, send, self._limits))
        else:
            await send({"type": "websocket.close"})

    async def _answer(self, call: _Call) -> None:
        try:
            async with asyncio.timeout(self._limits.deadline_seconds) as clock:
                call.clock = clock
                with self._let_in(call):
                    await call.run(self._app)
        except TimeoutError:
            await call.refuse(
                Refusal(
                    "request",
                    expected=f"an answer within {self._limits.deadline_seconds:g} s; a job takes its time "
                    "(POST /v1/jobs)",
                    found="more work than that",
                    status=504,
                    limit="deadline_seconds",
                )
            )
        except (ClientDisconnect, _Gone):
            call.status = _CLIENT_GONE
        except UssRayError as error:
            await call.refuse(error)
        except Exception:
            logger.exception("request %s failed", call.request_id)
            await call.refuse(internal())
        finally:
            line = call.line()
            audit.info(json.dumps(line))
            if self._observe is not None:
                self._observe(line)

    @contextmanager
    def _let_in(self, call: _Call) -> Iterator[None]:
        call.scope.setdefault("state", {})["request_id"] = call.request_id
        path = call.scope["path"]
        if is_open(path):
            yield
            return
        tenant = call.tenant = self._tenant(call)
        call.scope["state"]["tenant"] = tenant
        call.check_length()
        if self._at_once[tenant.name] >= self._limits.at_once:
            raise Refusal(
                "requests of this token",
                expected=f"at most {self._limits.at_once} at once",
                found="one more",
                status=429,
                limit="at_once",
                retry_after=1.0,
            )
        self._at_once[tenant.name] += 1
        try:
            yield
        finally:
            self._at_once[tenant.name] -= 1
            if not self._at_once[tenant.name]:
                del self._at_once[tenant.name]

    def _tenant(self, call: _Call) -> Tenant:
        if self._tokens is None:
            call.check_local()
            return self._local
        kind, _, token = call.header(b"authorization").partition(" ")
        tenant = self._tokens.tenant(token.strip()) if kind.lower() == "bearer" else None
        if tenant is None:
            raise Refusal(
                "authorization",
                expected="Bearer and a token of this service",
                found="another" if token else "none",
                status=401,
            )
        return tenant


class _Gone(Exception):  # noqa: N818 - no fault
    """The client has gone."""


class _Answered(Exception):  # noqa: N818 - no fault
    """All that was asked for has been sent."""


class _Call:
    """One request on its way."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: Limits) -> None:
        self._method = scope["method"]
        self.scope = _as_get(scope) if self._is_head else scope
        self._receive = receive
        self._send = send
        self._limits = limits
        self._headers = dict(scope["headers"])
        given = self.header(b"x-request-id")
        self.request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        self.clock: asyncio.Timeout | None = None
        self.tenant: Tenant | None = None
        self.status = 0
        self._began = time.monotonic()
        self._bytes = 0
        self._digest = hashlib.sha256()
        self._complete = asyncio.Event()
        self._gone = asyncio.Event()

    @property
    def _is_head(self) -> bool:
        return bool(self._method == "HEAD")

    def header(self, name: bytes) -> str:
        value: bytes = self._headers.get(name, b"")
        return value.decode("latin-1")

    def check_local(self) -> None:
        """Refuse who comes from elsewhere, and pages of elsewhere that a browser here has open."""
        named = self.header(b"host")
        host = named.rpartition(":")[0] or named
        client = (self.scope.get("client") or ("",))[0]
        origin = self.header(b"origin")  # of a page; it may send what it cannot read the answer of
        is_own = not origin or origin.partition("://")[2] == named
        if not (is_loopback(client) and is_loopback(host) and is_own):
            raise Refusal(
                "request",
                expected="one of this machine, for there are no tokens",
                found="another",
                status=403,
            )

    def check_length(self) -> None:
        """Refuse what says itself that it is too long, before it is read."""
        length = self.header(b"content-length")
        if length.isdecimal() and int(length) > self._limits.body_bytes:
            raise self._too_long(length)

    async def run(self, app: App) -> None:
        """Let the application answer; it is cancelled when the client goes."""
        task = asyncio.current_task()
        watch = asyncio.create_task(self._watch(task))
        try:
            await app(self.scope, self._read, self._answer)
        except _Answered:
            pass
        except asyncio.CancelledError:
            if task is None or not self._gone.is_set():
                raise
            task.uncancel()
            raise _Gone from None
        finally:
            watch.cancel()

    async def _watch(self, task: asyncio.Task[Any] | None) -> None:
        await self._complete.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone.set()
        if task is not None:
            task.cancel()

    async def _read(self) -> Message:
        if self._complete.is_set():
            await self._gone.wait()
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.request":
            body = message.get("body", b"")
            self._bytes += len(body)
            if self._bytes > self._limits.body_bytes:
                raise self._too_long(f"{self._bytes} and more")
            self._digest.update(body)
            if not message.get("more_body"):
                self._complete.set()
        return message

    async def _answer(self, message: Message) -> None:
        await self._write(message)
        if self._is_head and message["type"] == "http.response.start":
            await self._send({"type": "http.response.body", "body": b""})
            raise _Answered  # what would be read, or waited for, to be sent is left alone

    async def _write(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message.setdefault("headers", [])
            message["headers"] = [
                *message["headers"],
                (b"x-request-id", self.request_id.encode()),
                (b"x-content-type-options", b"nosniff"),
            ]
            if self.clock is not None:
                self.clock.reschedule(None)
        await self._send(message)

    async def refuse(self, error: UssRayError) -> None:
        if self.status:  # the answer has begun: all that is left is to break it off
            logger.warning("request %s broken off: %s", self.request_id, error.reason)
            return
        status, headers, body = as_problem(error, request_id=self.request_id)
        if status >= 500:
            logger.warning("request %s: %s", self.request_id, error.reason)
        content = json.dumps(body).encode()
        told = {
            "content-type": MEDIA_TYPE,
            "content-length": str(len(content)),
            "cache-control": "no-store",
            **headers,
        }
        listed = [(name.encode(), value.encode()) for name, value in told.items()]
        self.clock = None
        await self._write({"type": "http.response.start", "status": status, "headers": listed})
        await self._send({"type": "http.response.body", "body": b"" if self._is_head else content})

    def line(self) -> dict[str, Any]:
        """Tell in one line what was asked by whom; no names, no secrets."""
        route = getattr(self.scope.get("route"), "path", "-")
        return {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "tenant": self.tenant.name if self.tenant else None,
            "id": self.request_id,
            "call": f"{self._method} {route}",
            "status": self.status,
            "seconds": round(time.monotonic() - self._began, 3),
            "bytes": self._bytes,
            "sha256": self._digest.hexdigest() if self._bytes else None,
        }

    def _too_long(self, found: str) -> Refusal:
        return Refusal(
            "request",
            expected=f"at most {self._limits.body_bytes} bytes; a job takes recordings of any size "
            "(POST /v1/jobs)",
            found=found,
            status=413,
            limit="body_bytes",
        )


def _as_get(scope: Scope) -> Scope:
    """Give the request in the place of a HEAD; a range is of GET alone (RFC 9110, section 14.2)."""
    headers = [(name, value) for name, value in scope["headers"] if name != b"range"]
    state = {**scope.get("state", {}), "is_head": True}
    return {**scope, "method": "GET", "headers": headers, "state": state}


def write_audit() -> None:
    """Write the line of each call to stderr, where nobody else takes it."""
    if not audit.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        audit.addHandler(handler)
    audit.setLevel(logging.INFO)
    audit.propagate = False


def as_refusal(error: HTTPException) -> Refusal:
    """Put what the framework refuses into our words."""
    allow = (error.headers or {}).get("Allow")
    if allow is not None and "GET" in allow.split(", "):
        allow += ", HEAD"  # see `Gate`
    return Refusal(
        "request",
        expected="a call of this service",
        found=str(error.detail),
        status=error.status_code,
        allow=allow,
    )
