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
    Tokens.of(serving.service.tokens)  # or Ray starts for nothing
    options = serving.options
    with ray_session(options.address, verbose=options.verbose), running(serving) as url:
        tell(url)
        threading.Event().wait()


@contextmanager
def running(serving: Serving, *, make_backend: MakeBackend = InProcessBackend) -> Iterator[str]:
    """Serve on the Ray of this process while the block lasts; give the address."""
    service = serving.service
    application = build(serving, make_backend=make_backend)
    serve.start(http_options={"host": service.host, "port": service.port})
    try:
        serve.run(application, name=NAME, route_prefix="/")
        yield f"http://{service.host}:{service.port}"
    finally:
        serve.shutdown()
