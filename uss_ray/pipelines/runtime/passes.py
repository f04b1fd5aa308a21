"""How a run gets everything done although workers die and stores go away: in passes over what is still missing.

The first pass goes over everything. What nothing came back of is tried again with care, each item by itself; what then
still takes its worker with it gets the blame. Fruitless packets, one after the other, end the run.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import Any

import ray

from uss_ray.errors import ConfigError, OutputError
from uss_ray.pipelines.runtime.cluster import WorkerPool, refit_pool
from uss_ray.pipelines.runtime.run_state import start_run_state
from uss_ray.pipelines.runtime.stages import StalledError
from uss_ray.pipelines.runtime.stopping import StopRequest

logger = logging.getLogger(__name__)

_CAREFUL_PASSES = 2  # the second one only if the first stood still
_FRUITLESS = 4  # packets without anything done, one after the other, that stop a run


class Passes(ABC):
    """A run; who derives from it says what a pass does, and keeps the sums.

    Attributes
    ----------
    state : actor handle or None
        Of `run_state`, of the pass that runs.
    pool : WorkerPool
        The actors of the next pass.
    """

    pool: WorkerPool
    state: Any = None
    _fruitless: int = 0
    _has_stalled: bool = False

    @abstractmethod
    def read_ledger(self) -> tuple[Any, int]:
        """Give a reference to what is done, for the workers, and how many items that is."""

    @abstractmethod
    def run_pass(self, ledger: Any, *, careful: bool) -> None:
        """Do what the ledger lacks; `careful`: each item by itself."""

    @abstractmethod
    def missing(self) -> int:
        """Count what the listing of the last pass has found and nothing came back of, and what came back undone."""

    @abstractmethod
    def forget_unfinished(self) -> None:
        """Take back what was counted as undone: it is tried again."""

    @abstractmethod
    def blame(self, ledger: Any) -> None:
        """Fail what nothing ever comes back of: each was alone when its worker died."""

    def gave_up(self) -> bool:
        """Tell whether the run has stopped itself."""
        return False

    def stop(self) -> None:
        """Let what is in flight end, and begin nothing more."""
        if self.state is not None:
            ray.get(self.state.stop.remote())

    def drive(self, *, stop: StopRequest) -> int:
        """Run passes until nothing is missing.

        Returns
        -------
        int
            Items that were done before.

        Raises
        ------
        UssRayError
            What made the run pointless.
        """
        ledger, skipped = self.read_ledger()
        self._run(ledger, careful=False)
        for _ in range(_CAREFUL_PASSES):
            if stop or self.gave_up() or self._is_complete():
                return skipped
            # Some item takes its worker with it, a store was away for a while, or a machine is lost.
            self.forget_unfinished()
            self.pool = refit_pool(self.pool)
            ledger, _ = self.read_ledger()
            self._run(ledger, careful=True)
            if not self._has_stalled:
                break
        if stop or self.gave_up() or self._is_complete():
            return skipped
        if self._has_stalled or not self._is_listed():
            raise ConfigError(
                "Ray cluster",
                expected="workers that go on (what is done stays, and the same command goes on)",
                found="no progress, although fewer workers were tried",
            )
        self.blame(self.read_ledger()[0])
        return skipped

    def _is_complete(self) -> bool:
        return not self._has_stalled and self._is_listed() and self.missing() == 0

    def _is_listed(self) -> bool:
        return bool(ray.get(self.state.is_listed.remote()))

    def judge(self, *, fruitful: bool, output: str, reason: str) -> None:
        """Give up when nothing at all gets done any more, such as with a full disk.

        Parameters
        ----------
        fruitful : bool
            Whether anything of a packet got done.
        output : str
            Output root, for the error.
        reason : str
            Why nothing got done.
        """
        self._fruitless = 0 if fruitful else self._fruitless + 1
        if self._fruitless == _FRUITLESS:
            fault = OutputError(output, expected="results that can be written", found=reason)
            self.state.give_up.remote(fault)

    def _run(self, ledger: Any, *, careful: bool) -> None:
        self.state = start_run_state()
        self._has_stalled = False
        try:
            self.run_pass(ledger, careful=careful)
        except StalledError as error:
            logger.warning("a pass over what is missing ends: %s", error)
            self._has_stalled = True
        fault = ray.get(self.state.fault.remote())
        if fault is not None:
            raise fault
