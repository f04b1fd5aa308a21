from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from uss_ray.errors import DataError, UssRayError
from uss_ray.evaluation.benchmarks.known import draw_list, find_benchmark
from uss_ray.evaluation.items import EvaluationList
from uss_ray.evaluation.request import EvaluationRequest
from uss_ray.evaluation.result import EvaluationResult, read_result
from uss_ray.evaluation.rows import read_rows
from uss_ray.pipelines.evaluation.job import evaluate_archive
from uss_ray.pipelines.evaluation.local import evaluate_here, missing_chunks
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.store.store import Store


def nothing(mixture, sample_rate, labels):
    return np.stack([mixture * 0 for _ in labels])


def make_request(
    tmp_path: Path, tiny_weights: Path, output: str = "run", **values: object
) -> EvaluationRequest:
    data = tmp_path / "data"
    if not data.exists():
        (data / "audio").mkdir(parents=True)
        (data / "meta").mkdir()
        rows = ["filename,fold,category"]
        for place, label in enumerate(("dog", "rain")):
            soundfile.write(
                data / "audio" / f"{label}.wav", 0.1 * np.sin(np.arange(4000) * (0.1 + place)), 32_000
            )
            rows.append(f"{label}.wav,5,{label}")
        (data / "meta" / "esc50.csv").write_text("\n".join(rows) + "\n")
    told = {"systems": (f"{__name__}:nothing",), "weights": str(tiny_weights)}
    return EvaluationRequest(
        benchmark="esc50", data=str(data), output=str(tmp_path / output), **(told | values)
    )


def without_times(result: Path) -> dict[str, object]:
    told = json.loads(result.read_text())
    return {key: value for key, value in told.items() if key != "made"}


DYING = """
import os, signal

calls = 0


def nothing(mixture, sample_rate, labels):
    global calls
    calls += 1
    if calls == int(os.environ.get("DIES_AT", "0")):
        os.kill(os.getpid(), signal.SIGKILL)
    return [mixture * 0 for _ in labels]
"""


@pytest.mark.slow
def test_a_run_that_was_killed_twice_ends_in_the_same_bytes(tmp_path, tiny_weights, monkeypatch) -> None:
    (tmp_path / "dying.py").write_text(DYING)
    monkeypatch.syspath_prepend(tmp_path)
    request = make_request(tmp_path, tiny_weights, systems=("dying:nothing",))
    whole = evaluate_here(request)
    assert (whole.scored, whole.listed) == (20, 20)

    def killed_at(call: int) -> None:
        ran = subprocess.run(
            [sys.executable, "-c", "from uss_ray.cli.main import main; main()", "evaluate", "run", "esc50",
             "--data", request.data, "--weights", request.weights, "--system", "dying:nothing",
             "-o", str(tmp_path / "killed")],
            env=os.environ | {
                "PYTHONPATH": os.pathsep.join((str(tmp_path), *filter(None, sys.path))),
                "OMP_NUM_THREADS": str(torch.get_num_threads()),
                "DIES_AT": str(call),
            },
            capture_output=True, check=False, timeout=300,
        )  # fmt: skip
        assert ran.returncode == -signal.SIGKILL, ran.stderr.decode()

    done = tmp_path / "killed" / "items" / "000000.parquet"
    killed_at(10)
    assert not done.exists()
    killed_at(18)
    was_done = done.stat().st_mtime_ns
    evaluate_here(request.replace(output=str(tmp_path / "killed")))
    assert done.stat().st_mtime_ns == was_done  # what is done is not done again
    for name in ("000000.parquet", "000001.parquet"):
        one, other = (tmp_path / run / "items" / name for run in ("run", "killed"))
        assert one.read_bytes() == other.read_bytes()
    assert without_times(tmp_path / "run" / "result.json") == without_times(
        tmp_path / "killed" / "result.json"
    )
    output = Store(tmp_path / "run")
    assert missing_chunks(output, chunks=3) == [2]
    assert len(read_rows(tmp_path / "run" / "result.json")) == len(read_rows(output)) == 20 * 5


@pytest.mark.slow
def test_what_a_run_has_taken_is_the_sum_over_its_processes(tmp_path, tiny_weights) -> None:
    request = make_request(tmp_path, tiny_weights)
    first = evaluate_here(request).made
    times = tmp_path / "run" / "times"
    assert {place.name for place in times.iterdir()} == {"000000.json", "000001.json"}
    taken = json.loads((times / "000000.json").read_text())
    taken["wall_seconds"] += 1000.0  # of a process long ago
    taken["seconds"]["separating"] += 500.0
    taken["started_at"] = "2020-01-01T00:00:00+00:00"
    (times / "000000.json").write_text(json.dumps(taken))
    (tmp_path / "run" / "items" / "000001.parquet").unlink()
    later = evaluate_here(request).made
    assert later["wall_seconds"] > 1000.0
    assert 500.0 < later["seconds"]["separating"] < later["wall_seconds"]
    assert later["started_at"] == "2020-01-01T00:00:00+00:00" < first["started_at"]
    assert evaluate_here(request).made == later  # nothing was left to do
    of_another_version = json.dumps(taken | {"seconds": {"reading": 1.0}})
    for damage in (
        lambda: (times / "000000.json").write_text(of_another_version),
        lambda: (times / "000000.json").write_text("{"),
        (times / "000000.json").unlink,
    ):
        damage()  # as of chunks that workers of Ray have scored
        assert not evaluate_here(request).made.keys() & {"started_at", "wall_seconds", "seconds"}
    assert "wall_seconds" in evaluate_here(request.replace(overwrite=True, limit=2)).made
    assert [place.name for place in times.iterdir()] == ["000000.json"]


@pytest.mark.slow
def test_a_run_does_not_go_on_with_other_items(tmp_path, tiny_weights) -> None:
    """Chunks are stretches of the items that are there: a file that has come would move them."""
    request = make_request(tmp_path, tiny_weights, list=str(tmp_path / "list.parquet"), allow_missing=True)
    data = tmp_path / "data"
    more = data / "audio" / "more.wav"
    more.write_bytes((data / "audio" / "rain.wav").read_bytes())
    with (data / "meta" / "esc50.csv").open("a") as file:
        file.write("more.wav,5,rain\n")
    listed = draw_list(find_benchmark("esc50"), request.data_store)
    Store(tmp_path / "list.parquet").put(listed.to_parquet())

    away = more.rename(tmp_path / "more.wav")
    first = evaluate_here(request)
    assert 0 < first.missing < first.listed
    assert evaluate_here(request).scored == first.scored
    away.rename(more)
    with pytest.raises(UssRayError, match="items_sha256"):
        evaluate_here(request)
    assert evaluate_here(request.replace(output=str(tmp_path / "all"))).missing == 0


@pytest.mark.slow
def test_results_of_another_run_are_in_the_way(tmp_path, tiny_weights) -> None:
    evaluate_here(make_request(tmp_path, tiny_weights, limit=2))
    with pytest.raises(UssRayError, match="found results with limit 2"):
        evaluate_here(make_request(tmp_path, tiny_weights))
    assert evaluate_here(make_request(tmp_path, tiny_weights, overwrite=True)).scored == 20


@pytest.mark.ray
def test_two_workers_give_the_bytes_of_one_process(tmp_path, tiny_weights, nothing_held_afterwards) -> None:
    own: dict[str, object] = {"systems": ("engine",), "queries": ("oracle",)}
    with one_thread():
        here = evaluate_here(make_request(tmp_path, tiny_weights, "here", **own))
    request = make_request(tmp_path, tiny_weights, "there", **own)
    ran = evaluate_archive(request, options=JobOptions(actors=2, threads=1))
    assert (ran.exit_code, ran.counters.done) == (0, 2)
    assert without_times(tmp_path / "here" / "result.json") == without_times(
        tmp_path / "there" / "result.json"
    )
    for name in ("000000.parquet", "000001.parquet"):
        one, other = (tmp_path / run / "items" / name for run in ("here", "there"))
        assert one.read_bytes() == other.read_bytes()
    again = evaluate_archive(request, options=JobOptions(actors=2, threads=1))
    assert (again.counters.skipped, again.counters.done) == (2, 0)
    assert read_result(request.output_store).scored == here.scored


@contextmanager
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_what_was_broken_or_damaged_is_scored_again(tmp_path, tiny_weights, caplog) -> None:
    request = make_request(tmp_path, tiny_weights, list=str(tmp_path / "list.parquet"))
    listed = draw_list(find_benchmark("esc50"), request.data_store)
    (tmp_path / "list.parquet").write_bytes(listed.to_parquet())
    rain = tmp_path / "data" / "audio" / "rain.wav"
    whole = rain.read_bytes()
    rain.write_bytes(b"noise")
    result = evaluate_here(request)
    assert (result.scored, result.broken) == (0, 20)
    # One count for an item, however many systems there are.
    assert list(result.reasons.values()) == [20]
    rain.write_bytes(whole)
    again = evaluate_here(request)
    assert (again.scored, again.broken, again.reasons) == (20, 0, {})
    assert "scored again, for 16 items were broken" in caplog.text
    chunk = tmp_path / "run" / "items" / "000001.parquet"
    right = chunk.read_bytes()
    chunk.write_bytes(right[:200])
    untouched = (tmp_path / "run" / "items" / "000000.parquet").stat().st_mtime_ns
    assert without_made(evaluate_here(request)) == without_made(again)
    assert chunk.read_bytes() == right
    assert (tmp_path / "run" / "items" / "000000.parquet").stat().st_mtime_ns == untouched
    chunk.unlink()
    with pytest.raises(DataError, match=r"items: expected 2 files, of the 20 items .*, found 1"):
        read_rows(request.output_store, items=again.items)


def without_made(result: EvaluationResult) -> dict[str, object]:
    return result.model_dump(exclude={"made"})


def test_an_empty_list_is_named(tmp_path, tiny_weights) -> None:
    empty = tmp_path / "empty.parquet"
    empty.write_bytes(
        EvaluationList(benchmark="esc50", split="5", protocol="strict", seed=0, items=()).to_parquet()
    )
    with pytest.raises(DataError, match=r"empty\.parquet: expected a list of items, found an empty one"):
        evaluate_here(make_request(tmp_path, tiny_weights, list=str(empty)))
