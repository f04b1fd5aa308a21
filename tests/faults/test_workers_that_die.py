"""A worker's process ends in the middle of its work: the job goes on by itself."""

from __future__ import annotations

import os
import signal
import threading
import wave
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.faults.conftest import LONG, OPTIONS, SHORT
from tests.faults.disturbances import LOOK_SECONDS, DisturbedSeparator, KillWorker
from tests.faults.results import assert_complete, assert_tidy, failed, stems_of
from uss_ray.pipelines.archive.job import separate_archive
from uss_ray.pipelines.archive.long_recordings import LongRecordings
from uss_ray.pipelines.archive.outcome import Outcome
from uss_ray.pipelines.runtime import stages
from uss_ray.pipelines.runtime.run_state import start_run_state

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("nothing_held_afterwards"), pytest.mark.timeout(600)]

CHUNKS = 1 << 22


def test_workers_that_are_killed_in_the_middle_of_a_recording_cost_nothing(
    archive, make_request, undisturbed, tmp_path
):
    """The actor at a short recording, the one at a span of a long one, and the task that decodes a third."""
    copy = _copy_of(archive, tmp_path / "in")
    kills = [KillWorker(name, tmp_path / name) for name in ("2.wav", f"{LONG}#1")]
    for kill in kills:
        kill.folder.mkdir()
    with _killer_of_readers(copy / "4.wav", times=1) as killed:
        result = separate_archive(
            str(copy),
            request=make_request(tmp_path / "out"),
            options=OPTIONS,
            make_separator=partial(DisturbedSeparator, deed=partial(_each, kills)),
        )
    assert all((kill.folder / "killed").exists() for kill in kills)
    assert len(killed) == 1
    assert result.exit_code == 0
    assert result.summary.recordings.separated == SHORT + 1
    assert_complete(tmp_path / "out", stems=undisturbed)


def _each(kills: list[KillWorker], name: str) -> None:
    for kill in kills:
        kill(name)


def test_recordings_that_kill_their_worker_each_time_fail_alone(
    archive, make_request, undisturbed, tmp_path, monkeypatch
):
    """One kills the actor that separates it, another the task that decodes it."""
    monkeypatch.setattr(stages, "_TASK_RETRIES", 1)  # each worker more takes seconds to start
    copy = _copy_of(archive, tmp_path / "in")
    with _killer_of_readers(copy / "3.wav", times=None) as killed:
        result = separate_archive(
            str(copy),
            request=make_request(tmp_path / "out"),
            options=OPTIONS,
            make_separator=partial(DisturbedSeparator, deed=KillWorker("5.wav")),
        )
    assert len(killed) > 1
    assert result.exit_code == 8
    counts = result.summary.recordings
    assert (counts.separated, counts.failed, counts.unfinished) == (SHORT - 1, 2, 0)
    reasons = failed(tmp_path / "out")
    assert set(reasons) == {"3.wav", "5.wav"}
    assert all("worker died" in reason for reason in reasons.values())
    others = {name: stem for name, stem in undisturbed.items() if name.split("/")[0] not in reasons}
    assert stems_of(tmp_path / "out") == others
    assert_tidy(tmp_path / "out")


class _DyingPublisher:
    """Every worker that joins the spans of a long recording is killed."""

    def join(self, recording, *, parts):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_long_recording_whose_joining_is_killed_each_time_is_left_to_the_next_run():
    long = LongRecordings(_DyingPublisher(), state=start_run_state())
    span = Outcome(recording_id=LONG, recording_uri=LONG, status="part", part=0, parts=1)
    assert list(long.take(span)) == []
    (told,) = long.joined(seconds=60)
    assert (told.recording_id, told.status) == (LONG, "unfinished")
    assert "WorkerCrashedError" in told.reason


def _copy_of(archive: Path, folder: Path) -> Path:
    folder.mkdir()
    for file in archive.iterdir():
        os.link(file, folder / file.name)
    return folder


@contextmanager
def _killer_of_readers(path: Path, *, times: int | None) -> Iterator[list[int]]:
    """Kill whoever reads a recording, in the middle of reading; the recording is back after so many times.

    Until then its sound stands behind millions of empty chunks: who opens it is found at it, before the first sample.
    """
    sound = path.rename(path.parent.parent / path.name)  # out of the archive
    _write_behind_empty_chunks(path)
    killed: list[int] = []
    is_over = threading.Event()

    def kill() -> None:
        while not is_over.wait(5 * LOOK_SECONDS):  # a look goes through the files of all processes
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):  # others come and go
                    if process.name().startswith("ray::") and _holds(process, long):
                        if times is not None and len(killed) + 1 >= times and sound.exists():
                            sound.replace(path)
                        process.send_signal(signal.SIGKILL)
                        process.wait()
                        killed.append(process.pid)

    with path.open("rb") as held:  # or another file might have its number once it is gone
        long = os.fstat(held.fileno())
        killer = threading.Thread(target=kill)
        killer.start()
        try:
            yield killed
        finally:
            is_over.set()
            killer.join()


def _write_behind_empty_chunks(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16_000))
    plain = path.read_bytes()
    at = plain.index(b"data")
    whole = bytearray(plain[:at] + b"JUNK\0\0\0\0" * CHUNKS + plain[at:])
    whole[4:8] = (len(whole) - 8).to_bytes(4, "little")
    path.write_bytes(whole)


def _holds(process: psutil.Process, file: os.stat_result) -> bool:
    try:
        links = list(Path(f"/proc/{process.pid}/fd").iterdir())
        return any(_is_same(link, file) for link in links)
    except OSError:
        return False


def _is_same(link: Path, file: os.stat_result) -> bool:
    try:
        return os.path.samestat(link.stat(), file)
    except OSError:
        return False
