"""What the start of a local Ray needs and no setting of Ray's gives."""

from __future__ import annotations

import importlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

logger = logging.getLogger(__name__)

PATIENCE_SECONDS: Final = 180.0
_QUIET_SECONDS = 15.0
_LOOK_SECONDS = 0.2
_CONTROL_WAIT = "RAY_gcs_server_port_wait_time_s"


@contextmanager
def starting_locally() -> Iterator[None]:
    """Have a Ray that is started in the block come up beside others, and on a machine that is busy.

    All agents want the same port, and the second on a machine starts no job: here they take any, as `ray start`
    asks, and `ray.init` does not. Ray gives its node 30 s to be known, whatever the machine has to do: here it has
    `PATIENCE_SECONDS`, as long as its raylet lives.
    """
    parameter: Any = importlib.import_module("ray._private.parameter")
    services: Any = importlib.import_module("ray._private.services")
    before = parameter.RayParams, services.get_node, services.start_raylet
    raylets = list[Any]()

    def start_raylet(*given: Any, **named: Any) -> Any:
        started = before[2](*given, **named)
        raylets.append(started.process)
        return started

    given_wait = os.environ.get(_CONTROL_WAIT)
    os.environ.setdefault(_CONTROL_WAIT, f"{PATIENCE_SECONDS:.0f}")
    parameter.RayParams = partial(before[0], dashboard_agent_listen_port=0)
    services.get_node = PatientLookup(before[1], lambda: all(one.poll() is None for one in raylets))
    services.start_raylet = start_raylet
    try:
        yield
    finally:
        parameter.RayParams, services.get_node, services.start_raylet = before
        if given_wait is None:
            del os.environ[_CONTROL_WAIT]


class PatientLookup:
    """Asks for a node until it is known.

    Parameters
    ----------
    look : callable
        Gives what is known of a node; raises RuntimeError where nothing is.
    lives : callable
        Whether what makes it known still runs.
    clock, sleep : callable, optional
        Give seconds, and let them pass.
    """

    def __init__(
        self,
        look: Callable[..., Any],
        lives: Callable[[], bool],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._look = look
        self._lives = lives
        self._clock = clock
        self._sleep = sleep
        self._began = clock()
        self._has_spoken = False

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Give what is known of the node; RuntimeError where its patience is over, or nothing will make it known."""
        while True:
            try:
                return self._look(*given, **named)
            except RuntimeError:
                seconds = self._clock() - self._began
                if seconds >= PATIENCE_SECONDS or not self._lives():
                    raise
                if seconds >= _QUIET_SECONDS and not self._has_spoken:
                    self._has_spoken = True
                    logger.warning(
                        "waiting for Ray to start: its node is not there after %.0f s; it has %.0f",
                        seconds,
                        PATIENCE_SECONDS,
                    )
                self._sleep(_LOOK_SECONDS)
