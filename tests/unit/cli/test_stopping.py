"""The process of the command line: what a signal leaves behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_stopped_leaves_nothing_behind(make_recording, tiny_weights, tmp_path, number):
    out = tmp_path / "out"
    recording = make_recording("long.wav", seconds=300.0)
    script = Path(sys.executable).with_name("uss-ray")
    with subprocess.Popen(
        [script, "separate", recording, "-o", out, "--levels", "1", "--weights", tiny_weights, "--no-report"],
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        while running.poll() is None and not list(out.rglob("*.part")):
            time.sleep(0.02)
        running.send_signal(number)
        _, said = running.communicate(timeout=300)
    assert running.returncode == 128 + number
    assert "Traceback" not in said
    assert said.endswith("Stopped; nothing half-written is left.\n") == (number == signal.SIGINT)
    assert list(out.iterdir()) == []


def test_a_signal_inside_a_callback_of_libsndfile_waits_for_the_next_step():
    program = (
        "import io, os, signal, soundfile, numpy\n"
        "from uss_ray.cli.stopping import check_stopped, end_on_signals\n"
        "class Sink(io.BytesIO):\n"
        "    def write(self, data):\n"
        "        os.kill(os.getpid(), signal.SIGHUP)\n"
        "        return super().write(data)\n"
        "end_on_signals()\n"
        "soundfile.write(Sink(), numpy.zeros(9), 8000, format='WAV')\n"
        "check_stopped()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (128 + signal.SIGHUP, "")
