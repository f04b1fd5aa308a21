"""What befalls a worker in the middle of a recording: the real separator, with one deed done while it writes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from uss_ray.api.publisher import Publisher
from uss_ray.api.request import SeparationRequest
from uss_ray.api.separator import RecordingSeparator
from uss_ray.separation.session import EstimateBlock

LOOK_SECONDS = 0.05

Deed = Callable[[str], None]
"""Done once the first sound of a recording, or of a span of one (`name#3`), has been written."""


class DisturbedSeparator:
    """The separator of the product, whose publisher does a deed in the middle of each unit of work."""

    def __init__(self, request: SeparationRequest, *, scratch: Path | None = None, deed: Deed) -> None:
        self._separator = RecordingSeparator(request, scratch=scratch)
        self.publisher = _DisturbedPublisher(self._separator.publisher, deed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._separator, name)


class _DisturbedPublisher:
    def __init__(self, publisher: Publisher, deed: Deed) -> None:
        self._publisher = publisher
        self._deed = deed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._publisher, name)

    def publish(self, blocks: Iterable[EstimateBlock], *, recording: Any, **facts: Any) -> Any:
        told = self._in_the_middle(blocks, recording.recording_id)
        return self._publisher.publish(told, recording=recording, **facts)

    def publish_part(
        self, blocks: Iterable[EstimateBlock], *, recording: Any, part: int, **facts: Any
    ) -> None:
        told = self._in_the_middle(blocks, f"{recording.recording_id}#{part}")
        self._publisher.publish_part(told, recording=recording, part=part, **facts)

    def _in_the_middle(self, blocks: Iterable[EstimateBlock], name: str) -> Iterator[EstimateBlock]:
        for number, block in enumerate(blocks):
            yield block
            if number == 0:
                self._deed(name)


@dataclass(frozen=True)
class KillWorker:
    """Kills the process that separates a recording with SIGKILL; with `folder`, only the first time."""

    name: str
    folder: Path | None = None

    def __call__(self, name: str) -> None:
        if name != self.name:
            return
        if self.folder is not None:
            try:
                (self.folder / "killed").touch(exist_ok=False)
            except FileExistsError:
                return
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Gate:
    """Notes each unit of work that begins, and holds it until the gate is opened for it.

    `folder` holds a link a unit, named by its number from 0, that points to the unit's name and the node it is done
    on; the n-th unit goes on once there is a file `open-<n>` or `open-all`.
    """

    folder: Path

    def __call__(self, name: str) -> None:
        number = self._note(f"{name} {ray.get_runtime_context().get_node_id()}")
        while not self._is_open(number):
            time.sleep(LOOK_SECONDS)

    def begun(self) -> list[str]:
        """Name the units that have begun so far, in their order."""
        return [os.readlink(link).split(" ")[0] for link in self._links()]

    def nodes(self) -> list[str]:
        """Tell where each of them is done."""
        return [os.readlink(link).split(" ")[1] for link in self._links()]

    def open(self, number: int | None = None) -> None:
        """Let a unit go on, or all of them."""
        (self.folder / f"open-{'all' if number is None else number}").touch()

    def _links(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if path.is_symlink())

    def _note(self, text: str) -> int:
        number = len(self._links())
        while True:
            try:
                (self.folder / f"{number:06d}").symlink_to(text)
            except FileExistsError:
                number += 1
            else:
                return number

    def _is_open(self, number: int) -> bool:
        return (self.folder / "open-all").exists() or (self.folder / f"open-{number}").exists()
