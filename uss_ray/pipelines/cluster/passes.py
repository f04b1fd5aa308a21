"""How a run gets everything done although workers die and stores go away: in passes over what is still missing.

The first pass goes over everything. What nothing came back of is tried again with care, each item by itself; what then
still takes its worker with it gets the blame. Fruitless packets, one after the other, end the run.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import ray

from uss_ray.errors import OutputError
from uss_ray.pipelines.cluster.run_state import start_run_state
from uss_ray.pipelines.cluster.stopping import StopRequest

_FRUITLESS = 4  # packets without anything done, one after the other, that stop a run


class Passes(ABC):
    """A run; who derives from it says what a pass does, and keeps the sums.

    Attributes
    ----------
    state : actor handle or None
        Of `run_state`, of the pass that runs.
    """

    state: Any = None
    _fruitless: int = 0

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
        if stop or self.gave_up() or self.missing() == 0:
            return skipped
        # Some item takes its worker with it, or a store was away for a while.
        self.forget_unfinished()
        ledger, _ = self.read_ledger()
        self._run(ledger, careful=True)
        if not stop and not self.gave_up() and self.missing() > 0:
            self.blame(self.read_ledger()[0])
        return skipped

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
        self.run_pass(ledger, careful=careful)
        fault = ray.get(self.state.fault.remote())
        if fault is not None:
            raise fault
