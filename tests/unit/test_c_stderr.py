from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import os, sys
from uss_ray.c_stderr import c_libraries_silenced, keep_python_apart
if {apart}:
    keep_python_apart()
    keep_python_apart()
with c_libraries_silenced():
    with c_libraries_silenced():
        os.write(2, b"noise of a library;")
    os.write(2, b"more noise;")
    sys.stderr.write("ours;")
    sys.stderr.flush()
os.write(2, b"a crash;")
"""


def stderr_of(*, apart: bool) -> str:
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(apart=apart)], capture_output=True, text=True)
    assert done.returncode == 0
    return done.stderr


def test_only_what_c_libraries_print_meanwhile_is_lost():
    assert stderr_of(apart=True) == "ours;a crash;"


def test_where_python_writes_there_too_nothing_is():
    assert stderr_of(apart=False) == "noise of a library;more noise;ours;a crash;"
