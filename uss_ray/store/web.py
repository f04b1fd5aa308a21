"""Web servers through fsspec, patient: a request is tried again while its fault may pass.

Imported only once somebody reaches for ``https://``.
"""

from __future__ import annotations

from typing import Any

from fsspec.implementations.http import HTTPFile, HTTPFileSystem

from uss_ray.store.faults import web_refusal
from uss_ray.store.patience import patiently, patiently_awaited
from uss_ray.store.reading import make_reads_patient


class PatientHTTPFileSystem(HTTPFileSystem):  # type: ignore[misc]  # fsspec has no types
    """An fsspec file system for web addresses that waits out faults that pass (`patience_seconds`).

    Parameters
    ----------
    patience_seconds : float, optional
        None leaves it to the environment.
    **options : object
        Of `fsspec.implementations.http.HTTPFileSystem`.
    """

    def __init__(self, *, patience_seconds: float | None = None, **options: Any) -> None:
        self._seconds = patience_seconds
        super().__init__(**options)

    async def _info(self, url: str, **options: Any) -> dict[str, Any]:
        facts: dict[str, Any] = await patiently_awaited(
            lambda: super(PatientHTTPFileSystem, self)._info(url, **options),
            seconds=self._seconds,
            place=url,
        )
        return facts

    async def _exists(self, path: str, **options: Any) -> bool:
        try:
            await self._info(path, **options)
        except FileNotFoundError as fault:
            if web_refusal(fault) is not None:
                raise
            return False
        return True

    async def _cat_file(self, url: str, **options: Any) -> bytes:
        whole: bytes = await patiently_awaited(
            lambda: super(PatientHTTPFileSystem, self)._cat_file(url, **options),
            seconds=self._seconds,
            place=url,
        )
        return whole

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        opened = super()._open(path, mode, **options)
        file = make_reads_patient(opened, seconds=self._seconds, place=path)
        if isinstance(file, HTTPFile):
            fetch_all = file._fetch_all
            file._fetch_all = lambda: patiently(fetch_all, seconds=self._seconds, place=path)
        return file
