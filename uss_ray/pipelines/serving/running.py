"""Start the service on Ray Serve, and keep it until the process is told to end."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from ray import serve

from uss_ray.errors import ConfigError
from uss_ray.pipelines.runtime.session import ray_session
from uss_ray.pipelines.serving.application import NAME, build
from uss_ray.pipelines.serving.options import Serving
from uss_ray.pipelines.serving.separator import MakeBackend
from uss_ray.service.in_process import InProcessBackend
from uss_ray.service.tokens import Tokens

LIGHT_SERVE: Final = {
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "2000",
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "1.0",
    "RAY_max_direct_call_object_size": "4194304",
    "RAY_event_stats": "0",
    "MALLOC_ARENA_MAX": "2",
}
"""Environment of the processes of Serve and of its Ray.

One event loop each, for nothing of ours blocks it; they look up less often, and do not time themselves; a recording of
some seconds and its answer travel with the calls, and not through the object store. Without a limit each of Ray's
threads gets an arena of glibc's in time, and keeps of it what a large message left.
"""

_HA_PROXY = "RAY_SERVE_ENABLE_HA_PROXY"
_FIRST_FRONT_PORT, _FRONT_PORTS, _BLOCKS = 30_000, 64, 480


def serve_lightly(port: int = 0) -> None:
    """Have the Serve of a Ray that is started next do less beside the work, where nobody has chosen otherwise.

    As the environment of Ray, not of its actors: those with one of their own cannot have the workers that wait.

    Parameters
    ----------
    port : int, default=0
        That of the service, which no other of this machine has.
    """
    for name, value in (LIGHT_SERVE | _with_haproxy(port)).items():
        os.environ.setdefault(name, value)


def _with_haproxy(port: int) -> dict[str, str]:
    """Give what a service on a machine that others use needs with HAProxy, and pods do not.

    Each front waits, before it ends, for balancers elsewhere to notice: here there is none. And it has a port, of which
    HAProxy is told before the front has it: with those of another service it would hand on calls to that one.
    """
    if os.environ.get(_HA_PROXY) != "1":
        return {}
    first = _FIRST_FRONT_PORT + _FRONT_PORTS * (port % _BLOCKS)
    return {
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(first + _FRONT_PORTS - 1),
    }


def serve_until_told(serving: Serving, *, tell: Callable[[str], None]) -> None:
    """Serve until a signal ends the process.

    Parameters
    ----------
    serving : Serving
    tell : callable
        Told where the service is once it answers.

    Raises
    ------
    UssRayError
        If it cannot start.
    """
    service, options = serving.service, serving.options
    # Or Ray starts for nothing.
    Tokens.of(service.tokens)
    if not (options.address or os.environ.get("RAY_ADDRESS")):
        serve_lightly(free_port(service.host, service.port))
    takes_jobs = service.store is not None
    with (
        ray_session(options.address, verbose=options.verbose, takes_jobs=takes_jobs),
        running(serving) as url,
    ):
        tell(url)
        threading.Event().wait()


@contextmanager
def running(serving: Serving, *, make_backend: MakeBackend = InProcessBackend) -> Iterator[str]:
    """Serve on the Ray of this process while the block lasts; give the address."""
    service = serving.service
    application = build(serving, make_backend=make_backend)
    port = free_port(service.host, service.port)
    serve.start(
        http_options={"host": service.host, "port": port},
        logging_config={"enable_access_log": False},
    )
    try:
        serve.run(application, name=NAME, route_prefix="/")
        yield f"http://{service.host}:{port}"
    finally:
        serve.shutdown()


def free_port(host: str, port: int) -> int:
    """Give a port that nobody listens at; of 0 any.

    Raises
    ------
    ConfigError
        If somebody does, or the address is none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
            found: int = trial.getsockname()[1]
    except OSError as error:
        raise ConfigError(
            f"{host}:{port}", expected="an address to listen at", found=error.strerror or str(error)
        ) from error
    return found
