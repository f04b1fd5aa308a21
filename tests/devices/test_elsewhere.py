"""What separates, scores and tags on a CPU does so on another device too: the same tests, with nothing on the CPU."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils import backend_registration

ROOT = Path(__file__).parents[2]
TESTS = (
    "tests/unit/evaluation/test_run.py",
    "tests/unit/evaluation/test_systems.py",
    "tests/unit/evaluation/test_tagging.py",
    "tests/unit/api/test_separator.py",
)


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch lets no device be made in Python",
)
def test_nothing_of_the_cpu_meets_what_is_on_a_device() -> None:
    """In a process of its own: a device that torch knows of is known to the end."""
    line = (
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.devices.elsewhere",
        "-p",
        "no:xdist",
        "--quiet",
        *TESTS,
    )
    ran = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    devices = re.search(r"(\d+) devices elsewhere", ran.stdout)
    assert devices is not None, ran.stdout
    assert int(devices[1]) > 20
