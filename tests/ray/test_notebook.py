"""A job leaves nothing changed in the process that has started it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def test_a_notebook_goes_on_as_if_no_job_had_been(make_recording, tiny_weights, tmp_path):
    """Its own Ray Data job still fails on a failing block; context, loggers, environment and handlers are the same."""
    folder = make_recording("a.wav").parent
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("RAY_") or name == "RAY_worker_niceness"
    }
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.ray.notebook"),
            *(str(folder), str(tmp_path / "out"), str(tiny_weights)),
        ],
        env=environment | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / ".ray").exists()
