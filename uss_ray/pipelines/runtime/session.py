"""Connecting to Ray; what that changes in the caller's process is put back afterwards."""

from __future__ import annotations

import importlib
import logging
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import ray

from uss_ray.c_stderr import c_libraries_silenced
from uss_ray.errors import ConfigError
from uss_ray.pipelines.runtime.local_start import starting_locally
from uss_ray.threads import PATIENT_THREADS

logger = logging.getLogger(__name__)

_SPARE_CPUS = 1  # of a local Ray: who lists and decodes runs beside the actors, and mostly waits
_LOCAL_STORE_BYTES = 1 << 30
_ASK_SECONDS = 4.0
_QUIET_SECONDS = 8.0
_SMALL = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}
# Its core logs to its session folder only: that Ray Data keeps an actor's arguments in the store is no error of ours.
_QUIET = {"RAY_BACKEND_LOG_LEVEL": "fatal"}
_ALSO_SET_BY_RAY = ("PYTHONBREAKPOINT",)


@contextmanager
def ray_session(
    address: str | None = None, *, verbose: bool = False, takes_jobs: bool = False
) -> Iterator[None]:
    """Run with Ray: the one that is there, the cluster at an address, or a local one that ends with the block.

    Parameters
    ----------
    address : str or None, default=None
        As `ray.init` takes it; None takes `RAY_ADDRESS`, or starts a local Ray.
    verbose : bool, default=False
        Let Ray's own logs through, the workers' too.
    takes_jobs : bool, default=False
        Start a local Ray with its Jobs API (the dashboard).

    Raises
    ------
    ConfigError
        If there is no cluster at the address.
    """
    if ray.is_initialized():
        yield
        return
    with _process_as_before(), _ended_by_signal(), nullcontext() if verbose else _deaf_to_ray():
        address = address or os.environ.get("RAY_ADDRESS")
        _start(address, verbose=verbose, takes_jobs=takes_jobs)
        ended = threading.Event()
        watch = ControlWatch(_control_answers)
        threading.Thread(target=watch.run, args=(ended,), name="control", daemon=True).start()
        try:
            yield
        finally:
            ended.set()
            ray.shutdown()


class ControlWatch:
    """Says when Ray's control service does not answer: after a minute Ray ends the driver, with words of its own.

    Parameters
    ----------
    answers : callable
        Asks it.
    clock : callable, optional
        Gives seconds.
    """

    def __init__(self, answers: Callable[[], bool], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._answers = answers
        self._clock = clock
        self._heard = clock()
        self._has_spoken = False

    def run(self, ended: threading.Event) -> None:
        """Look now and then, until the session ends."""
        while not ended.wait(_ASK_SECONDS):
            self.look()

    def look(self) -> None:
        """Ask once."""
        if self._answers():
            self._heard, self._has_spoken = self._clock(), False
            return
        seconds = self._clock() - self._heard
        if seconds >= _QUIET_SECONDS and not self._has_spoken:
            self._has_spoken = True
            since = time.strftime("%H:%M:%S UTC", time.gmtime(time.time() - seconds))
            logger.warning(
                "Ray's control service (GCS) does not answer since %s; if it stays away for a minute, Ray ends this"
                " run. What is done stays, and the same command goes on",
                since,
            )


def _control_answers() -> bool:
    worker: Any = ray._private.worker.global_worker
    try:
        worker.gcs_client.internal_kv_exists(b"uss_ray", None, timeout=_ASK_SECONDS)
    except Exception:  # noqa: BLE001 - whatever it is: there was no answer
        return not ray.is_initialized()
    return True


def _start(address: str | None, *, verbose: bool, takes_jobs: bool) -> None:
    settings = _SMALL if verbose else _SMALL | _QUIET
    if not address:
        settings = settings | PATIENT_THREADS | {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    _forget_token()
    level = logging.INFO if verbose else logging.ERROR
    handler = signal.getsignal(signal.SIGTERM)
    if not address:
        logging.getLogger("ray").setLevel(level)
    where: dict[str, Any] = (
        {"address": address, "runtime_env": {"env_vars": PATIENT_THREADS}}
        if address
        else _local_ray(takes_jobs=takes_jobs)
    )
    try:
        # Ray's core says on stderr that it was told to be quiet.
        with (
            nullcontext() if verbose else c_libraries_silenced(),
            nullcontext() if address else starting_locally(),
        ):
            ray.init(log_to_driver=verbose, logging_level=level, **where)
    except Exception as error:  # Ray raises plain ones too
        item, expected = (
            (f"Ray address {address}", "a running cluster")
            if address
            else ("Ray", "a machine on which it starts")
        )
        raise ConfigError(item, expected=expected, found=" ".join(str(error).split())) from error
    if callable(handler) and _is_main_thread():
        # Ray has put its own in place of the program's; it would end with another exit code.
        signal.signal(signal.SIGTERM, handler)


def _local_ray(*, takes_jobs: bool) -> dict[str, Any]:
    return {
        "address": "local",  # or Ray would join whatever cluster runs on this machine
        "num_cpus": len(os.sched_getaffinity(0)) + _SPARE_CPUS,
        "include_dashboard": takes_jobs,
        "configure_logging": False,
        "object_store_memory": _LOCAL_STORE_BYTES,
    }


@contextmanager
def _process_as_before() -> Iterator[None]:
    """Put back the environment, log level and signal handler that Ray and we set."""
    ours = {*_SMALL, *PATIENT_THREADS, *_ALSO_SET_BY_RAY}
    before = {name: value for name, value in os.environ.items() if name.startswith("RAY_") or name in ours}
    log = logging.getLogger("ray")
    level, handlers, propagates = log.level, list(log.handlers), log.propagate
    handler = signal.getsignal(signal.SIGTERM) if _is_main_thread() else None
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith("RAY_") or name in ours]:
            if name not in before:
                del os.environ[name]
        os.environ.update(before)
        _forget_token()
        log.setLevel(level)
        log.handlers[:], log.propagate = handlers, propagates
        if handler is not None:
            signal.signal(signal.SIGTERM, handler)


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """Give a SIGTERM while Ray starts the exit code of one: Ray's handler ends with its bare number."""
    try:
        yield
    except SystemExit as end:
        if end.code == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM) from end
        raise


@contextmanager
def _deaf_to_ray() -> Iterator[None]:
    """Keep off stdout what Ray itself prints there of tasks that failed, as it came: tables and JSON are there."""
    worker: Any = ray._private.worker
    before = getattr(worker, "_worker_logs_enabled", True)
    worker._worker_logs_enabled = False
    try:
        yield
    finally:
        worker._worker_logs_enabled = before


def _forget_token() -> None:
    """Have Ray read its token and mode from the environment again; it keeps those that it saw first."""
    with suppress(ImportError, AttributeError):
        raylet: Any = importlib.import_module("ray._raylet")
        raylet.AuthenticationTokenLoader.instance().reset_cache()
        raylet.Config.initialize("")


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
