"""A store that does not answer: an output is told by exit code 6, an input by its own, each before any work."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from tests.servers.fixtures import forget_clients
from tests.servers.in_process import s3_by_default
from tests.unit.cli.conftest import RunCommand
from uss_ray.store.store import Store

pytest.importorskip("s3fs")

DEAD = "s3://recordings-of-nobody"
SEGMENTS = 'Yx, 0.000, 10.000, "/m/0bt9lr"\n'


@pytest.fixture(autouse=True)
def _nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("USS_RAY_STORAGE_PATIENCE_SECONDS", "0")
    forget_clients()


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong is found before Ray starts."""
    ray = pytest.importorskip("ray")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr(ray, "init", refuse)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "a.wav"
    path.parent.mkdir()
    sf.write(path, np.zeros(32_000, np.float32), 32_000)
    return path


@pytest.fixture
def segments(tmp_path: Path) -> Path:
    path = tmp_path / "segments.csv"
    path.write_text(SEGMENTS)
    return path


@pytest.fixture
def writing(tiny_weights: Path, recording: Path, segments: Path) -> dict[str, tuple[object, ...]]:
    """Commands that write to a place of the dead store."""
    place = f"{DEAD}/out"
    return {
        "separate": ("separate", recording, "-o", place, "--weights", tiny_weights),
        "separate again": ("separate", recording, "-o", place, "--weights", tiny_weights, "--overwrite"),
        "archive": ("archive", recording.parent, place, "--weights", tiny_weights),
        "archive --dry-run": ("archive", recording.parent, place, "--weights", tiny_weights, "--dry-run"),
        "mine": ("mine", segments, recording.parent, place),
    }


def test_a_dead_output_is_told_as_one(command: RunCommand, writing: dict[str, tuple[object, ...]]) -> None:
    place = f"{DEAD}/out"
    for name, arguments in {**writing, "find": ("find", place, "--class", "Speech")}.items():
        ran = command(*arguments)
        assert ran.exit_code == 6, (name, ran.err)
        assert place in ran.err, (name, ran.err)
        assert ran.err.count("\n") == 1, (name, ran.err)


def test_a_bucket_that_is_not_there_is_told_by_its_name_before_any_work(
    command: RunCommand, writing: dict[str, tuple[object, ...]]
) -> None:
    with s3_by_default("another"):
        for name, arguments in writing.items():
            ran = command(*arguments)
            assert ran.exit_code == 6, (name, ran.err)
            assert ran.err == f"error: {DEAD}: expected a bucket that is there, found no such bucket\n", name


def test_an_output_that_does_not_answer_is_not_looked_for_above_it(
    command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    files = Store.files

    def noted(self: Store, **options: object) -> object:
        asked.append(str(self))
        return files(self, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "files", noted)
    ran = command("find", f"{DEAD}/deep/out", "--class", "Speech")
    assert ran.exit_code == 6, ran.err
    assert asked == [f"{DEAD}/deep/out/index"]


def test_a_dead_input_has_the_code_of_its_kind(
    command: RunCommand, tiny_weights: Path, recording: Path, segments: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    commands: dict[str, tuple[int, str, tuple[object, ...]]] = {
        "separate": (3, f"{DEAD}/a.wav", ("separate", f"{DEAD}/a.wav", "-o", out, "--weights", tiny_weights)),
        "archive": (3, f"{DEAD}/in", ("archive", f"{DEAD}/in", out, "--weights", tiny_weights)),
        "manifest": (7, f"{DEAD}/m.csv", ("archive", f"{DEAD}/m.csv", out, "--weights", tiny_weights)),
        "inventory": (7, f"{DEAD}/m.json", ("archive", f"{DEAD}/m.json", out, "--weights", tiny_weights)),
        "labels": (7, f"{DEAD}/s.csv", ("mine", f"{DEAD}/s.csv", recording.parent, out)),
        "clips": (7, f"{DEAD}/clips", ("mine", segments, f"{DEAD}/clips", out)),
        "weights": (5, f"{DEAD}/weights", ("separate", recording, "-o", out, "--weights", f"{DEAD}/weights")),
    }
    for name, (code, place, arguments) in commands.items():
        ran = command(*arguments)
        assert ran.exit_code == code, (name, ran.err)
        assert place in ran.err, (name, ran.err)


def test_a_store_named_on_the_command_line_leaves_no_trace_in_the_environment(
    command: RunCommand, tiny_weights: Path, recording: Path, tmp_path: Path
) -> None:
    before = dict(os.environ)
    ran = command(
        *("separate", recording, "-o", f"{DEAD}/out", "--weights", tiny_weights),
        *("--storage-endpoint", "http://127.0.0.1:10", "--storage-region", "eu-north-1"),
    )
    assert ran.exit_code == 6, ran.err
    ran = command("separate", recording, "-o", tmp_path / "out", "--weights", tiny_weights, "--levels", "1",
                  "--storage-endpoint", "http://127.0.0.1:10")  # fmt: skip
    assert ran.exit_code == 0, ran.err
    assert dict(os.environ) == before
