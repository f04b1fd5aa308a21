"""Each benchmark of the archive job runs, at its tiniest size, and says what it is there to say."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import archive_engines  # noqa: E402
from archive_engines import NullEngine  # noqa: E402
from archive_sounds import field_recordings, noises  # noqa: E402
from archive_watch import Observed, Processes, watch  # noqa: E402
from stops import walked  # noqa: E402

from uss_ray.api.request import SeparationRequest  # noqa: E402
from uss_ray.api.staging import check_output  # noqa: E402
from uss_ray.separation.mixture import ArraySource, PartSource  # noqa: E402
from uss_ray.separation.windows import Span  # noqa: E402


def on_ray(test):
    """Mark a test whose benchmark starts Ray, some of them several times."""
    return pytest.mark.ray(pytest.mark.slow(pytest.mark.timeout(400)(test)))


def run(name: str, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / name), *options],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture
def run_here(local_ray, monkeypatch, capsys):
    """Run a benchmark whose jobs, else processes with a Ray of their own, run here on the Ray of the tests."""
    from ray import cloudpickle

    def look(observed: Observed, is_over: threading.Event) -> None:
        processes = Processes()
        while not is_over.wait(0.25):  # a look goes through all processes
            observed.times.append(time.monotonic())
            observed.cpu.append(processes.look(os.getpid(), memory=observed.memory))

    def run_here(name: str, *options: str) -> str:
        benchmark = importlib.import_module(name)

        def call(arguments):
            monkeypatch.setattr(sys, "argv", [name, *arguments])
            benchmark.main()

        def watch_this_process(arguments, **_settings):
            said, is_over = io.StringIO(), threading.Event()
            observed = Observed({}, time.monotonic())
            watching = threading.Thread(target=look, args=(observed, is_over))
            watching.start()
            try:
                with contextlib.redirect_stdout(said):
                    call(arguments[1:])
            finally:
                is_over.set()
                watching.join()
            observed.result = json.loads(said.getvalue().splitlines()[-1])
            return observed

        monkeypatch.setattr(benchmark, "watch", watch_this_process)
        travelling = (archive_engines, benchmark)  # workers do not find them by name
        for module in travelling:
            cloudpickle.register_pickle_by_value(module)
        threads = torch.get_num_threads()
        try:
            call(options)
        finally:
            torch.set_num_threads(threads)
            for module in travelling:
                cloudpickle.unregister_pickle_by_value(module)
        return capsys.readouterr().out

    return run_here


def table(text: str) -> list[dict[str, str]]:
    """Read the last Markdown table of an output."""
    rows = [
        [cell.strip(" *") for cell in line.strip("|").split(" | ")]
        for line in text.splitlines()
        if line.startswith("| ")
    ]
    return [dict(zip(rows[0], row, strict=False)) for row in rows[1:]]


def blocks(engine: NullEngine, source: ArraySource, *, first: int = 0, last: int | None = None):
    return list(engine.session(source, Span(first, last)))


def test_the_null_engine_gives_all_of_a_recording_and_shares_it_out_evenly():
    waveform = np.random.default_rng(0).standard_normal((2, 21_500)).astype(np.float32)
    engine = NullEngine(["a", "b", "c"], segment_seconds=2, sounding=2)
    made = blocks(engine, ArraySource(waveform, sample_rate=1000))
    assert [(block.start_frame, len(block.active)) for block in made] == [(0, 4), (8000, 4), (16_000, 3)]
    np.testing.assert_array_equal(np.concatenate([block.mixture for block in made], axis=1), waveform)
    for block in made:
        assert block.active.all(axis=0).tolist() == [True, True, False]
        assert set(block.estimates) == {"a", "b"}
        np.testing.assert_allclose(sum(block.estimates.values()), block.mixture)


def test_the_null_engine_gives_the_segments_of_a_span_at_their_place():
    waveform = np.arange(20_000, dtype=np.float32)[None]
    part = PartSource(waveform[:, 3000:17_000], sample_rate=1000, start_frame=3000, ends_recording=False)
    engine = NullEngine(["a"], segment_seconds=2, sounding=0)
    made = blocks(engine, part, first=2, last=7)
    sound = np.concatenate([block.mixture for block in made], axis=1)
    np.testing.assert_array_equal(sound, waveform[:, 4000:14_000])
    assert made[0].start_frame == 4000


def test_the_stops_of_a_request_are_the_files_that_it_passes_through(tmp_path):
    request = SeparationRequest(output=tmp_path)

    def work():
        for _ in range(2):  # a pair of caller and callee counts once
            check_output(request.output_store)

    assert [file for file, _ in walked(work, request)] == [
        "api/request.py",
        "store/store.py",
        "api/staging.py",
        "store/store.py",
    ]


def test_recordings_to_measure_with_are_as_long_and_as_many_as_asked_for(tmp_path):
    assert field_recordings(tmp_path / "field", count=4, seconds=0.5) == 2.0
    noises(tmp_path / "noise", count=20, seconds=0.25, sample_rate=8000)
    facts = [soundfile.info(path) for path in sorted((tmp_path / "field").iterdir())]
    assert [(info.samplerate, info.channels, info.duration) for info in facts] == [
        (48_000, 2, 0.5),
        (32_000, 1, 0.5),
        (32_000, 1, 0.5),
        (48_000, 2, 0.5),
    ]
    assert [soundfile.info(path).frames for path in (tmp_path / "noise").iterdir()] == [2000] * 20


@pytest.mark.slow
def test_what_a_job_and_its_children_take_is_seen_from_outside(tmp_path):
    """Bounds leave out neither a look that comes late nor an interpreter that starts slowly."""
    script = tmp_path / "job.py"
    script.write_text(
        "import json, os, subprocess, sys, time\n"
        "work = 'import time; held = bytearray(90_000_000); end = time.process_time() + 2\\n'\n"
        "work += 'while time.process_time() < end: pass\\n'\n"
        "work += 'print(flush=True); input()'\n"
        "began = time.monotonic()\n"
        "time.sleep(2)  # it is looked at before there is a child\n"
        "child = subprocess.Popen([sys.executable, '-c', work], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "time.sleep(2)  # it is looked at once more\n"
        "child.communicate(b'\\n')\n"
        "print(json.dumps({'began': began, 'cores': len(os.sched_getaffinity(0))}))\n"
    )
    seen = watch([str(script)], cores=1, every_seconds=0.02)
    assert seen.result["cores"] == 1
    in_children = sum(seconds for kind, seconds in seen.cpu_seconds().items() if kind != "driver")
    assert 1.9 <= in_children <= 4
    assert sum(seen.cpu_seconds(until=seen.result["began"]).values()) < 1
    assert max(memory.anonymous for memory in seen.memory.values()) > 90_000_000


@pytest.mark.slow
def test_reading_the_index_of_a_resumed_run_is_timed():
    row = table(run("planning.py", "--resume", "40", "--rows-each", "3"))[0]
    assert (row["recordings done"], row["index parts"]) == ("40", "3")
    assert float(row["seconds"]) > 0


@pytest.mark.slow
def test_stems_and_speed_of_a_device_are_told():
    told = run(
        *("gpu.py", "stems", "engine", "steps", "--device", "cpu", "--recordings", "1", "--seconds", "3"),
        *("--rows", "1", "--items", "1", "--narrow"),
    )
    assert "nothing sounds" not in told
    assert told.count("| 1 of 1 | 1 of 1 |") == 6  # on a CPU every precision is float32
    assert "recordings/s" in told
    assert [float(row["over the released (≥ 3)"]) > 0 for row in table(told[told.index("| step |") :])] == [
        True
    ] * 3


@on_ray
def test_planning_counts_every_row(run_here):
    row = table(run_here("planning", "--rows", "200"))[0]
    assert row["rows"] == "200"
    assert float(row["driver's peak MiB"]) > 50


@on_ray
def test_cpu_time_of_a_null_run_is_told_by_kind_of_process(run_here):
    # Processes are looked at four times a second: of a second's sound nobody would be seen decoding.
    sound = ("--recordings", "4", "--seconds", "120", "--rate", "48000")
    out = run_here("archive_null", *sound, "--levels", "1", "--write", "index-only")
    assert "index-only: 4 recordings" in out
    found = {row["process"]: row for row in table(out)}
    for kind in ("separate", "decode"):
        assert float(found[kind]["CPU s in all"]) > 0
    assert {"driver", "decode", "raylet", "gcs_server"} <= set(found)


@on_ray
def test_memory_is_told_of_each_worker(run_here):
    out = run_here("archive_memory", "--cases", "long", "--scale", "0.015", "--levels", "1")
    found = {row["worker"]: row for row in table(out)}
    assert {"driver", "separate"} <= set(found)
    # Whether the limit holds is the benchmark's to say; a tiny run on a busy machine does not decide it.
    assert {row["within the limit"] for row in found.values()} <= {"yes", "NO"}


@on_ray
def test_the_job_is_compared_with_the_bare_engine(run_here, tiny_weights):
    small = ["--short", "2", "--long", "0", "--cores", "1", "--repeats", "1", "--levels", "1"]
    (row,) = table(run_here("archive_overhead", *small, "--weights", str(tiny_weights)))
    assert row["same stems"] == "yes"
    assert 0.1 < float(row["work, Ray : bare"]) < 100


@on_ray
def test_two_actors_are_compared_with_one(run_here, tiny_weights):
    small = ["--recordings", "4", "--seconds", "2", "--repeats", "1", "--levels", "1"]
    out = run_here("archive_scaling", *small, "--weights", str(tiny_weights))
    assert [row["actors and cores"] for row in table(out)] == ["1", "2"]
    assert "ratio" in out


@pytest.mark.slow
def test_a_shared_trunk_is_counted_once():
    networks = importlib.import_module("networks")
    small = {"channels": 8, "hidden_channels": 8, "trunk_blocks": 2}
    parameters, first, further = networks.costs(networks.BandSplitConfig(**small))
    assert parameters > 0
    assert 0 < further < first / 2
    whole, each, again = networks.costs(
        networks.ResUNetConfig(channels=(2, 2), bottleneck_channels=2, stem_channels=2)
    )
    assert whole > 0
    assert each == again > 0


@pytest.mark.slow
def test_reading_for_training_is_compared_with_stepping():
    rows = table(run("training.py", "reader", "--anchors", "32", "--turns", "2"))
    assert [row.pop("by") for row in rows] == ["clock", "CPU"]
    for row in rows:
        read, trained, ratio = map(float, row.values())
        # As near as figures of one digit behind the point can say, however slow the machine is.
        assert (read - 0.051) <= (ratio + 0.051) * (trained + 0.051)
        assert (ratio - 0.051) * (trained - 0.051) <= (read + 0.051)
