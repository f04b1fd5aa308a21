"""Connecting to Ray; what that changes in the caller's process is put back afterwards."""

from __future__ import annotations

import importlib
import logging
import os
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import ray

from uss_ray.errors import ConfigError
from uss_ray.threads import PATIENT_THREADS

_SPARE_CPUS = 1  # of a local Ray: who lists and decodes runs beside the actors, and mostly waits
_LOCAL_STORE_BYTES = 1 << 30
_SMALL = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}
_ALSO_SET_BY_RAY = ("PYTHONBREAKPOINT",)


@contextmanager
def ray_session(address: str | None = None, *, verbose: bool = False) -> Iterator[None]:
    """Run with Ray: the one that is there, the cluster at an address, or a local one that ends with the block.

    Parameters
    ----------
    address : str or None, default=None
        As `ray.init` takes it; None takes `RAY_ADDRESS`, or starts a local Ray.
    verbose : bool, default=False
        Let Ray's own logs through, the workers' too.

    Raises
    ------
    ConfigError
        If there is no cluster at the address.
    """
    if ray.is_initialized():
        yield
        return
    with _process_as_before():
        address = address or os.environ.get("RAY_ADDRESS")
        _start(address, verbose=verbose)
        try:
            yield
        finally:
            ray.shutdown()


def _start(address: str | None, *, verbose: bool) -> None:
    settings = _SMALL if address else _SMALL | PATIENT_THREADS | _local_settings(verbose=verbose)
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    _forget_token()
    level = logging.INFO if verbose else logging.ERROR
    handler = signal.getsignal(signal.SIGTERM)
    try:
        if address:
            ray.init(
                address=address,
                log_to_driver=verbose,
                logging_level=level,
                runtime_env={"env_vars": PATIENT_THREADS},
            )
        else:
            logging.getLogger("ray").setLevel(level)
            ray.init(
                address="local",  # or Ray would join whatever cluster runs on this machine
                num_cpus=len(os.sched_getaffinity(0)) + _SPARE_CPUS,
                include_dashboard=False,
                log_to_driver=verbose,
                logging_level=level,
                configure_logging=False,
                object_store_memory=_LOCAL_STORE_BYTES,
            )
    except (ConnectionError, ValueError) as error:
        raise ConfigError(f"Ray address {address}", expected="a running cluster", found=str(error)) from error
    if callable(handler) and _is_main_thread():
        # Ray has put its own in place of the program's; it would end with another exit code.
        signal.signal(signal.SIGTERM, handler)


def _local_settings(*, verbose: bool) -> dict[str, str]:
    """Protect a local Ray by a token of this process alone; Ray itself would leave one in the home directory.

    Its core logs to its session folder only: that Ray Data keeps an actor's arguments in the store is no error of ours.
    """
    quiet = {} if verbose else {"RAY_BACKEND_LOG_LEVEL": "fatal"}
    return {"RAY_AUTH_TOKEN": secrets.token_hex(32), **quiet}


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


def _forget_token() -> None:
    """Have Ray read its token and mode from the environment again; it keeps those that it saw first."""
    with suppress(ImportError, AttributeError):
        raylet: Any = importlib.import_module("ray._raylet")
        raylet.AuthenticationTokenLoader.instance().reset_cache()
        raylet.Config.initialize("")


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
