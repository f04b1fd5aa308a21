"""The archive command in a process of its own, begun and looked at from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.faults.disturbances import LOOK_SECONDS, Gate

PATIENCE_SECONDS = 480.0  # for what must happen; a machine may be busy, and a test is given 600


@dataclass
class ArchiveCommand:
    """`uss-ray archive` in a process of its own, with the local Ray that it starts, held at a gate.

    Parameters
    ----------
    arguments : sequence of str
        Of `module`, after the folder of the gate.
    folder : Path
        For what it says, and its gate.
    is_held : bool, default=True
        Whether its workers wait at the gate.
    environment : mapping, default={}
        What is different in its environment.
    module : str
        What runs it.
    """

    arguments: Sequence[str]
    folder: Path
    is_held: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    module: str = "tests.faults.gated_archive"

    def __post_init__(self) -> None:
        self.gate = Gate(self.folder / "gate")
        self.gate.folder.mkdir(parents=True)
        if not self.is_held:
            self.gate.open()
        self.log = self.folder / "log.txt"
        with self.log.open("wb") as log:
            self.process = psutil.Popen(
                [sys.executable, "-m", self.module, str(self.gate.folder), *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
            )
        self.orphans: list[psutil.Process] = []

    def wait_until(self, happened: Callable[[], bool]) -> None:
        """Wait for something; the command must not end before."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not happened():
            if self.process.poll() is not None:
                raise AssertionError(f"it ended with {self.process.returncode}:\n{self.log.read_text()}")
            if time.monotonic() > give_up:
                raise AssertionError(f"nothing happened:\n{self.log.read_text()}")
            time.sleep(LOOK_SECONDS)

    def wait_for_unit(self, number: int) -> str:
        """Wait until a unit of work has begun; give its name."""
        self.wait_until(lambda: len(self.gate.begun()) > number)
        return self.gate.begun()[number]

    def wait(self) -> int:
        """Wait for its end; give its exit code."""
        code: int = self.process.wait(PATIENCE_SECONDS)
        return code

    def kill(self) -> None:
        """Kill it alone with SIGKILL; what it had started are its orphans then."""
        self.orphans = self.process.children(recursive=True)
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """See to it that it has ended."""
        if self.process.poll() is None:
            self.kill()
