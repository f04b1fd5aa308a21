"""The archive that is disturbed in many ways, and what an undisturbed run makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile as sf

from tests.faults.commands import PATIENCE_SECONDS, ArchiveCommand
from tests.faults.disturbances import DisturbedSeparator, Gate
from tests.faults.results import separate_here
from tests.processes import wait_until_ended
from uss_ray.api.request import Query, SeparationRequest, request_with
from uss_ray.pipelines.archive.job import ArchiveResult, separate_archive
from uss_ray.pipelines.runtime.options import JobOptions

SHORT = 7
LONG = "long.wav"
SPAN_SECONDS = 20
SPANS = 3
OPTIONS = JobOptions(actors=1, threads=1)
ARGUMENTS = (
    *("--levels", "1", "--no-report"),
    *("--span-seconds", str(SPAN_SECONDS), "--actors", "1", "--threads", "1"),
)
UNITS = frozenset([f"{number}.wav" for number in range(SHORT)] + [f"{LONG}#{part}" for part in range(SPANS)])
"""What a run does: each short recording, and each span of the long one."""

MakeRequest = Callable[..., SeparationRequest]
StartCommand = Callable[..., ArchiveCommand]
GoOn = Callable[..., tuple[ArchiveResult, list[str]]]


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven short recordings and one of three spans, each with a sound of its own."""
    folder = tmp_path_factory.mktemp("archive")
    for number in range(SHORT):
        _write(folder / f"{number}.wav", seconds=2.5, pitch=300 + 40 * number, sample_rate=32_000)
    _write(folder / LONG, seconds=SPAN_SECONDS * (SPANS - 1) + 3, pitch=880, sample_rate=8000)
    return folder


@pytest.fixture(scope="session")
def make_request(tiny_weights: Path) -> MakeRequest:
    """Make a request to separate the archive into a place; the same for all runs."""

    def make(output: Path | str, **changes: Any) -> SeparationRequest:
        values = {
            "output": str(output),
            "query": Query(levels=(1,)),
            "weights": str(tiny_weights),
            "report": False,
            "span_seconds": SPAN_SECONDS,
        }
        return request_with(**(values | changes))

    return make


@pytest.fixture(scope="session")
def undisturbed(
    archive: Path, make_request: MakeRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Checksum of every stem that the archive has where nothing happens, by its name."""
    return separate_here(archive, request=make_request(tmp_path_factory.mktemp("undisturbed")))


@pytest.fixture(scope="session")
def orphans() -> Iterator[list[psutil.Process]]:
    """Processes whose parent was killed: they must end by themselves, which Ray takes a minute for."""
    left: list[psutil.Process] = []
    yield left
    wait_until_ended(left, seconds=PATIENCE_SECONDS)


@pytest.fixture
def start_command(
    archive: Path, tiny_weights: Path, orphans: list[psutil.Process], tmp_path: Path
) -> Iterator[StartCommand]:
    """Start the archive command; always the same, as often as one likes."""
    started: list[ArchiveCommand] = []

    def start(
        *more: str, source: Path | str = archive, output: Path | str = tmp_path / "out", **changes: Any
    ) -> ArchiveCommand:
        arguments = [str(source), str(output), *ARGUMENTS, "--weights", str(tiny_weights), *more]
        started.append(ArchiveCommand(arguments, tmp_path / f"run-{len(started)}", **changes))
        return started[-1]

    yield start
    for command in started:
        command.close()
        orphans += command.orphans


@pytest.fixture
def go_on(archive: Path, make_request: MakeRequest, local_ray: None, tmp_path: Path) -> GoOn:
    """Run the job again on what a disturbed run left, and tell which units it has begun.

    On the Ray of the tests: to start one takes longer than the job.
    """
    gates: list[Gate] = []

    def run(
        output: Path | str = tmp_path / "out", *, source: Path | str = archive, **changes: Any
    ) -> tuple[ArchiveResult, list[str]]:
        gate = Gate(tmp_path / f"gate-{len(gates)}")
        gate.folder.mkdir()
        gate.open()
        gates.append(gate)
        result = separate_archive(
            str(source),
            request=make_request(output, **changes),
            options=OPTIONS,
            make_separator=partial(DisturbedSeparator, deed=gate),
        )
        return result, gate.begun()

    return run


def _write(path: Path, *, seconds: float, pitch: float, sample_rate: int) -> None:
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    noise = 0.02 * np.random.default_rng(round(pitch)).standard_normal(len(time))
    sf.write(path, 0.2 * np.sin(2 * np.pi * pitch * time) + noise, sample_rate)
