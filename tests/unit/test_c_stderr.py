from __future__ import annotations

import subprocess
import sys

import numpy as np
import soundfile as sf

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


READ = """
import sys
from uss_ray.audio.codec import open_recording
from uss_ray.c_stderr import keep_python_apart
from uss_ray.errors import RecordingError
if {apart}:
    keep_python_apart()
try:
    with open(sys.argv[1], "rb") as file, open_recording(file, name="a.mp3") as recording:
        print(sum(block.shape[1] for block in recording.blocks(1 << 16)))
except RecordingError as error:
    print(error)
"""


def test_what_libmpg123_notes_of_a_damaged_mp3_is_not_for_users(tmp_path):
    sound = 0.1 * np.random.default_rng(0).standard_normal(120_000)
    path = tmp_path / "a.mp3"
    sf.write(path, sound, 44_100, format="MP3")
    content = bytearray(path.read_bytes())
    content[9000:9700] = np.random.default_rng(1).bytes(700)
    path.write_bytes(content)
    told = {
        apart: subprocess.run(
            [sys.executable, "-c", READ.format(apart=apart), path], capture_output=True, text=True, check=True
        )
        for apart in (False, True)
    }
    assert told[True].stdout == told[False].stdout
    assert told[True].stderr == ""
