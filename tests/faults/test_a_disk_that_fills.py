"""The disk that takes the results is full in the middle of a run; they are brought to a larger one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.conftest import ARGUMENTS
from tests.faults.results import assert_complete, failed, stems_of

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray"), pytest.mark.timeout(600)]

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


def test_a_full_disk_ends_a_run_that_goes_on_where_there_is_room(
    own_mounts, archive, tiny_weights, go_on, undisturbed, tmp_path
):
    small = [*own_mounts, sys.executable, "-m", "tests.faults.on_a_small_disk", str(tmp_path), "2m"]
    program = Path(sys.executable).with_name("uss-ray")
    command = [program, "archive", str(archive), str(tmp_path / "disk/out")]
    subprocess.run([*small, *command, *ARGUMENTS, "--weights", str(tiny_weights)], check=True)

    code, told = (tmp_path / "told.txt").read_text().split("\n", 1)
    assert code in ("6", "8")
    assert "No space left on device" in told
    assert str(tmp_path / "disk/out") in told
    assert ".uss-ray-" not in told
    out = tmp_path / "out"
    assert stems_of(out).items() < undisturbed.items()
    assert not (out / "index").exists() or failed(out) == {}

    result, _ = go_on(out)
    assert result.exit_code == 0
    assert_complete(out, stems=undisturbed)
