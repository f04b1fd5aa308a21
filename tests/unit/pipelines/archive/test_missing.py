"""What workers need that list, decode and join: not the networks' libraries, which take seconds and memory to load."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["missing", "decode", "long_recordings"])
def test_workers_that_list_decode_and_join_do_without_torch(module):
    code = f"import sys, uss_ray.pipelines.archive.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
