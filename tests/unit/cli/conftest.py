"""Running the command line in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from uss_ray.cli.main import run


@dataclass(frozen=True)
class Ran:
    exit_code: int
    out: str
    err: str


RunCommand = Callable[..., Ran]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> RunCommand:
    def run_it(*arguments: object) -> Ran:
        exit_code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ran(exit_code, captured.out, captured.err)

    return run_it


@pytest.fixture
def separate(command: RunCommand, tiny_weights: Path, tmp_path: Path) -> RunCommand:
    """`uss-ray separate` with the tiny weights, into `out` of the test's folder."""

    def run_it(recording: object, *arguments: object) -> Ran:
        return command("separate", recording, "-o", tmp_path / "out", "--weights", tiny_weights, *arguments)

    return run_it
