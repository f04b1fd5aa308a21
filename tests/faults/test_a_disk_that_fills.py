"""The disk that takes the results is full in the middle of a run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.conftest import ARGUMENTS
from tests.faults.results import assert_complete, failed, stems_of

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

UNSHARE = ["unshare", "--mount"] + ([] if os.geteuid() == 0 else ["--user", "--map-root-user"])


@pytest.fixture
def own_mounts():
    """Words before a command that may mount a disk of its own."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare on this machine")
    tried = subprocess.run(
        [*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True
    )
    if tried.returncode != 0:
        pytest.skip(f"this user may not mount a small disk: {tried.stderr.strip()}")
    return UNSHARE


def test_a_full_disk_ends_a_run_and_room_on_it_lets_it_go_on(
    own_mounts, archive, tiny_weights, undisturbed, tmp_path
):
    small = [*own_mounts, sys.executable, "-m", "tests.faults.on_a_small_disk", str(tmp_path)]
    program = Path(sys.executable).with_name("uss-ray")
    command = [program, "archive", str(archive), str(tmp_path / "disk/out")]
    subprocess.run([*small, *command, *ARGUMENTS, "--weights", str(tiny_weights)], check=True)

    code, told = (tmp_path / "first.txt").read_text().split("\n", 1)
    assert code in ("6", "8")
    assert "No space left on device" in told
    assert str(tmp_path / "disk/out") in told
    assert ".uss-ray-" not in told
    first = tmp_path / "first"
    stems = stems_of(first)
    assert stems.items() < undisturbed.items()
    assert not (first / "index").exists() or failed(first) == {}

    code, told = (tmp_path / "second.txt").read_text().split("\n", 1)
    assert code == "0", told
    assert_complete(tmp_path / "second", stems=undisturbed)
