"""Start the service on Ray Serve, and keep it until the process is told to end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ray import serve

from uss_ray.pipelines.runtime.session import ray_session
from uss_ray.pipelines.serving.application import NAME, build
from uss_ray.pipelines.serving.options import Serving
from uss_ray.pipelines.serving.separator import MakeBackend
from uss_ray.service.in_process import InProcessBackend
from uss_ray.service.tokens import Tokens


def serve_until_told(
    serving: Serving, *, address: str | None = None, tell: Callable[[str], None] = print
) -> None:
    """Serve until a signal ends the process.

    Parameters
    ----------
    serving : Serving
    address : str, optional
        Of a Ray cluster, as `ray_session` takes it.
    tell : callable
        Told where the service is once it answers.

    Raises
    ------
    UssRayError
        If it cannot start.
    """
    with ray_session(address), running(serving) as url:
        tell(url)
        threading.Event().wait()


@contextmanager
def running(serving: Serving, *, make_backend: MakeBackend = InProcessBackend) -> Iterator[str]:
    """Serve on the Ray of this process while the block lasts; give the address."""
    service = serving.service
    Tokens.of(service.tokens)  # or each front finds out by itself that they are wrong
    application = build(serving, make_backend=make_backend)
    serve.start(http_options={"host": service.host, "port": service.port})
    try:
        serve.run(application, name=NAME, route_prefix="/")
        yield f"http://{service.host}:{service.port}"
    finally:
        serve.shutdown()
