from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.unit.cli.test_main import WITHOUT_RAY
from tests.unit.pipelines.evaluation.test_job import make_request
from uss_ray.evaluation.result import read_result
from uss_ray.pipelines.evaluation.local import OWNED, reopen_broken
from uss_ray.store.store import Store


def test_a_list_is_scored_where_there_is_no_ray(tmp_path: Path, tiny_weights: Path) -> None:
    request = make_request(tmp_path, tiny_weights)
    (tmp_path / "silent.py").write_text(
        "def nothing(mixture, sample_rate, labels): return [mixture * 0 for _ in labels]\n"
    )
    subprocess.run(
        [sys.executable, "-c", WITHOUT_RAY, "evaluate", "run",
         "esc50", "--data", request.data, "--weights", request.weights, "--system", "silent:nothing",
         "--limit", "2", "-o", request.output],
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(tmp_path), *filter(None, sys.path)))},
        check=True, timeout=300,
    )  # fmt: skip
    assert read_result(Store(request.output)).scored == 2


def test_only_chunks_are_taken_for_broken_ones(tmp_path: Path) -> None:
    output = Store(tmp_path)
    for name in (
        "items/000000.parquet",
        "times/000000.json",
        "items/notes.txt",
        "times/000001.txt",
        "heard/mine.flac",
    ):
        (output / name).put(b"x")
    reopen_broken(output)
    left = {"items/notes.txt", "times/000001.txt", "heard/mine.flac"}
    assert {file.relative_to(output) for file in output.list()} == left
    OWNED.remove(output)
    assert {file.relative_to(output) for file in output.list()} == left
