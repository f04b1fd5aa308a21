"""The processes that decode: warm, confined, and replaced when a recording ends one of them."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pebble import ProcessExpired, ProcessPool

from uss_ray.audio.spec import AudioSpec
from uss_ray.errors import RecordingError
from uss_ray.service.decoder import Allowed, confine, decode, decode_example
from uss_ray.service.settings import Limits

logger = logging.getLogger(__name__)

_RECORDINGS_A_PROCESS = 200


class Decoders:
    """Some processes that decode one recording at a time.

    What crashes, hangs or takes too much memory harms its own request alone.

    Parameters
    ----------
    limits : Limits
    processes : int
    """

    def __init__(self, limits: Limits, *, processes: int) -> None:
        self._limits = limits
        self._processes = processes
        self._pool = self._new_pool()
        self._is_closed = False

    async def recording(self, source: Path, *, name: str) -> tuple[AudioSpec, NDArray[np.float32]]:
        """Decode what is to be separated.

        Returns
        -------
        AudioSpec
            Of the file, with what it says besides its sound.
        ndarray of shape (channels, frames), dtype=float32

        Raises
        ------
        RecordingError
            If it cannot be read, or its decoder does not survive it.
        Refusal
            If there is more of it than is allowed.
        """
        target = source.with_name(f"{source.name}.f32")
        try:
            spec = await self._run(
                decode, source, target, name=name, allowed=Allowed.of(self._limits, "decoded_seconds")
            )
            return spec, await asyncio.to_thread(_read, target, spec.channels)
        finally:
            target.unlink(missing_ok=True)

    async def example(self, source: Path, *, name: str) -> bytes:
        """Decode an example; give it as a WAV file of float32. Raises as `recording`."""
        target = source.with_name(f"{source.name}.wav")
        await self._run(
            decode_example, source, target, name=name, allowed=Allowed.of(self._limits, "example_seconds")
        )
        return await asyncio.to_thread(target.read_bytes)

    def close(self) -> None:
        """End the processes."""
        self._is_closed = True
        _end(self._pool)

    async def _run(
        self, function: Callable[..., AudioSpec], source: Path, target: Path, *, name: str, allowed: Allowed
    ) -> AudioSpec:
        seconds = self._limits.decoder_seconds

        async def once() -> AudioSpec:
            pool = await self._whole_pool()
            asked: dict[str, Any] = {"name": name, "allowed": allowed, "cpu_seconds": seconds}
            arguments = [os.fspath(source), os.fspath(target)]
            future = pool.schedule(function, args=arguments, kwargs=asked, timeout=seconds)
            return await asyncio.wrap_future(future)

        try:
            try:
                return await once()
            except BrokenProcessPool:
                return await once()  # the end of another process took it along
        except TimeoutError as error:
            raise _fatal(name, f"one that takes more than {seconds} s") from error
        except (ProcessExpired, BrokenProcessPool) as error:
            raise _fatal(name, "one that ended its decoder") from error
        except MemoryError as error:
            raise _fatal(name, "one that takes more memory than a decoder has") from error

    async def _whole_pool(self) -> ProcessPool:
        """Give the processes; new ones, where the pool has given up: it does when one ends that has nothing to do."""
        while not (self._is_closed or (pool := self._pool).active):
            logger.warning("the decoders have ended, and are begun anew")
            self._pool = self._new_pool()
            await asyncio.to_thread(_end, pool)
        return self._pool

    def _new_pool(self) -> ProcessPool:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([decode.__module__])
        return ProcessPool(
            max_workers=self._processes,
            max_tasks=_RECORDINGS_A_PROCESS,
            initializer=confine,
            initargs=[self._limits.decoder_memory_bytes],
            context=context,
        )


def _end(pool: ProcessPool) -> None:
    pool.stop()
    pool.join()


def _fatal(name: str, found: str) -> RecordingError:
    return RecordingError(name, expected="a recording that can be decoded", found=found)


def _read(path: Path, channels: int) -> NDArray[np.float32]:
    samples: NDArray[np.float32] = np.fromfile(path, np.float32).reshape(-1, channels)
    return np.ascontiguousarray(samples.T)
