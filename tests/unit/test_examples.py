"""The programs of `examples` that take a command line can be asked what they do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = sorted(
    path
    for path in EXAMPLES.rglob("*.py")
    if {"argparse", "sys.argv"} & set(re.findall(r"[\w.]+", path.read_text()))
)


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_help_says_how_it_is_called_and_does_nothing_else(program: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, program, "--help"],
        cwd=tmp_path,
        env=os.environ | {"TORCH_HOME": str(tmp_path / "downloads")},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {program.name}")
    assert list(tmp_path.iterdir()) == []
