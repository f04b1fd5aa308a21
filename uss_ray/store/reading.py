"""Reads of an open remote file, patient and complete."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from uss_ray.store.faults import client_errors, wording
from uss_ray.store.patience import patiently

Fetch = Callable[[int, int], bytes]


def make_reads_patient(file: Any, *, seconds: float | None = None, place: str = "") -> Any:
    """Let an fsspec file repeat the ranged requests it reads through while their faults may pass.

    Parameters
    ----------
    file : fsspec AbstractBufferedFile
        Open for reading. A file without a cache, which is read as a stream and cannot repeat, is left as it is.
    seconds : float, optional
        Patience of the store's options; None leaves it to the environment.
    place : str, default=""
        What the file is, for who reads that it is waited for.

    Returns
    -------
    file
        The same. What its reads raise in the end is an OSError, whatever the client raised, with that as its cause;
        an answer that is shorter than what was asked for counts as a dropped connection.
    """
    cache = getattr(file, "cache", None)
    if cache is not None:
        cache.fetcher = _patient(cache.fetcher, file_bytes=cache.size, seconds=seconds, place=place)
    return file


def _patient(fetch: Fetch, *, file_bytes: int, seconds: float | None, place: str) -> Fetch:
    def fetch_whole(start: int, end: int) -> bytes:
        data = fetch(start, end)
        wanted = min(end, file_bytes) - start
        if len(data) < wanted:
            raise ConnectionError(f"{len(data)} of {wanted} bytes arrived")
        return data

    def fetch_patiently(start: int, end: int) -> bytes:
        try:
            return patiently(lambda: fetch_whole(start, end), seconds=seconds, place=place)
        except client_errors() as fault:
            if isinstance(fault, (OSError, ValueError)):
                raise
            raise OSError(errno.EIO, wording(fault)) from fault

    return fetch_patiently
