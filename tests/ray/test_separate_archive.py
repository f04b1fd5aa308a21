"""The archive job on a local Ray: good recordings among bad ones, begun, resumed, repeated."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from tests.conftest import write_recording
from tests.faults.results import separate_here
from tests.odd_files import encoded_media, write_odd_archive
from uss_ray import separate
from uss_ray.api.request import Query, request_with
from uss_ray.cli.main import run
from uss_ray.errors import OutputError
from uss_ray.pipelines.archive.job import ArchiveResult, separate_archive
from uss_ray.pipelines.archive.verify import verify_output
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.pipelines.runtime.progress import Progress
from uss_ray.results.index.table import read_index
from uss_ray.store.store import Store

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("nothing_held_afterwards")]

ONE_ACTOR = JobOptions(actors=1)  # each takes three seconds to start; the whole run and spans have two


@dataclass(frozen=True)
class WholeRun:
    """A run over an archive that nobody changes; who writes takes a copy of its output."""

    archive: Path
    output: Path
    result: ArchiveResult
    told: list[Progress]


def write_archive(folder):
    """Write three good recordings, two bad ones, and a file that is none."""
    write_recording(folder / "mono.wav")
    write_recording(folder / "tapes 1998/räume.flac", sample_rate=44_100, channels=2)
    write_recording(folder / "tapes 1998/kurz.ogg", seconds=0.5)
    (folder / "letter.wav").write_text("this is a letter")
    cut = write_recording(folder / "tapes 1998/cut.wav")
    cut.write_bytes(cut.read_bytes()[:50_000])
    (folder / "LICENSES.md").write_text("free")
    return folder


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory, tiny_weights, local_ray):
    folder = tmp_path_factory.mktemp("whole")
    archive, told = write_archive(folder / "in"), []
    request = request_with(output=str(folder / "out"), query=Query(levels=(1,)), weights=str(tiny_weights))
    result = separate_archive(str(archive), request=request, on_progress=told.append)
    return WholeRun(archive, folder / "out", result, told)


@pytest.fixture
def archive(tmp_path):
    return write_archive(tmp_path / "in")


@pytest.fixture
def request_for(tiny_weights, tmp_path):
    def make(**changes):
        values = {
            "output": str(tmp_path / "out"),
            "query": Query(levels=(1,)),
            "weights": str(tiny_weights),
            "report": False,
        }
        return request_with(**(values | changes))

    return make


def stems_of(output):
    """Checksum of each stem below an output root, by its name."""
    return {
        file.relative_to(output).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in output.rglob("*.flac")
        if file.is_file()
    }


def test_bad_recordings_become_rows_and_the_others_are_separated(whole_run, tiny_weights, tmp_path):
    archive, out, result, told = whole_run.archive, whole_run.output, whole_run.result, whole_run.told
    counts = result.summary.recordings
    assert (counts.separated, counts.failed, counts.unfinished, counts.skipped) == (3, 2, 0, 0)
    assert result.exit_code == 8
    assert [progress.finished for progress in told] == [1, 2, 3, 4, 5]
    assert (told[-1].failed, told[-1].found) == (2, 5)

    rows = read_index(out).to_pylist()
    assert Counter(row["recording_id"] for row in rows)["letter.wav"] == 1
    failed = {row["recording_id"]: row["reason"] for row in rows if row["status"] == "failed"}
    assert set(failed) == {"letter.wav", "tapes 1998/cut.wav"}
    assert "cannot be decoded" in failed["letter.wav"]
    assert "cut off" in failed["tapes 1998/cut.wav"]
    lines = [json.loads(line) for line in (out / "failed.jsonl").read_text().splitlines()]
    assert {line["recording_id"]: line["reason"] for line in lines} == failed
    summary = json.loads((out / "summary.json").read_text())
    assert summary["recordings"]["failed"] == 2
    assert sum(summary["failures"].values()) == 2
    written = [row for row in rows if row["status"] == "written"]
    assert len(written) == 3 * 4
    for row in written:
        stem = out / row["stem_uri"]
        assert hashlib.sha256(stem.read_bytes()).hexdigest() == row["stem_sha256"]
        assert sf.info(stem).frames == row["frames"]
    assert not (out / "letter.wav").exists()
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []
    assert (out / "mono.wav" / "report.html").exists()
    assert (out / "index.html").exists()

    alone = separate(
        str(archive / "mono.wav"), output=str(tmp_path / "one"), levels=[1], weights=str(tiny_weights)
    )
    for row in alone.rows:
        if row.stem_uri is not None:  # a worker has other threads, so the last bit of a sample may differ
            np.testing.assert_allclose(
                sf.read(out / row.stem_uri)[0], sf.read(tmp_path / "one" / row.stem_uri)[0], atol=2**-14
            )

    files = str(out / "index" / "*.parquet")
    by_duckdb = duckdb.sql(f"select count(*) from '{files}' where status = 'written'").fetchall()
    by_pandas = pd.read_parquet(out / "index")
    assert by_duckdb == [(12,)]
    assert (by_pandas["status"] == "written").sum() == 12


def test_odd_files_of_an_archive_are_taken_and_what_is_passed_over_is_told(
    make_recording, request_for, tmp_path
):
    pytest.importorskip("av")
    noise = (0.1 * np.random.default_rng(1).standard_normal((1, 40_000))).astype(np.float32)
    folder = tmp_path / "in"
    lying = bytearray(make_recording("lying.wav").read_bytes())
    at = lying.index(b"data") + 4
    lying[at : at + 4] = bytes(4)
    (folder / "lying.wav").write_bytes(lying)
    (folder / "a film").write_bytes(
        encoded_media(noise, rate=48000, container="matroska", coding="libopus", video=True)
    )
    sf.write(folder / "loud.wav", 20_000 * noise.T, 32000, subtype="FLOAT")
    sf.write(folder / "many.wav", np.repeat(noise, 9, axis=0).T, 32000)
    for name in ("notes.txt", "README"):
        (folder / name).write_text("none")
    good, bad = write_odd_archive(folder / "each suffix")

    result = separate_archive(str(folder), request=request_for(), options=ONE_ACTOR)
    counts = result.summary.recordings
    assert (counts.separated, counts.failed, counts.unfinished) == (4 + len(good), len(bad), 0)
    out = tmp_path / "out"
    status = {row["recording_id"]: row for row in read_index(out).to_pylist() if row["status"] != "absent"}
    for name in good:
        assert status.pop(f"each suffix/{name}")["status"] == "written"
    for name in bad:
        assert "expected audio (WAV, FLAC" in status.pop(f"each suffix/{name}")["reason"]
    assert len(status) == 4
    summary = json.loads((out / "summary.json").read_text())
    assert summary["passed_over"] == {
        "count": 2,
        "kinds": {"": 1, ".txt": 1},
        "names": ["README", "notes.txt"],
        "unlisted_count": 0,
        "unlisted": [],
        "lost_count": 0,
    }
    rows = read_index(out).to_pylist()
    of = {
        name: [row for row in rows if row["recording_id"] == name]
        for name in ("lying.wav", "a film", "many.wav")
    }
    assert all("the header states 0 bytes" in row["reason"] for row in of["lying.wav"])
    assert {row["frames"] for row in of["a film"]} == {40_000}
    formats = {row["format"] for row in of["a film"]} - {None}
    assert all(name.endswith(", from MATROSKA/OPUS by FFmpeg") for name in formats)
    assert {row["format"].split("/")[0] for row in of["many.wav"] if row["format"]} == {"WAV"}
    loud = [row for row in rows if row["recording_id"] == "loud.wav" and row["stem_uri"]]
    summed = sum(sf.read(out / row["stem_uri"], dtype="float64")[0] for row in loud)
    assert np.abs(summed - 20_000 * noise[0]).max() < 0.05


def test_a_run_that_is_started_again_does_only_what_is_missing_or_mended(
    archive, request_for, make_recording, whole_run, tmp_path
):
    first = separate_archive(str(archive), request=request_for(), options=ONE_ACTOR.replace(limit=2))
    assert first.summary.recordings.total == 2
    out = tmp_path / "out"
    begun = {name: (out / name).stat().st_mtime_ns for name in stems_of(out)}

    second = separate_archive(str(archive), request=request_for(), options=ONE_ACTOR)
    counts = second.summary.recordings
    assert (counts.separated, counts.failed, counts.skipped, counts.failed_before) == (2, 1, 1, 1)
    assert second.exit_code == 8
    assert {name: (out / name).stat().st_mtime_ns for name in begun} == begun
    assert sum(second.summary.failures.values()) == 2
    assert replace(second, max_failed_fraction=0.4).exit_code == 0
    assert replace(second, max_failed_fraction=0.3).exit_code == 8
    assert stems_of(out) == stems_of(whole_run.output)

    make_recording("letter.wav")  # mended, it leaves the failures
    retrying = ONE_ACTOR.replace(retry_failed=True, max_failed_fraction=0.3)
    again = separate_archive(str(archive), request=request_for(), options=retrying)
    counts = again.summary.recordings
    assert (counts.separated, counts.failed, counts.skipped, counts.total) == (1, 1, 3, 5)
    assert again.exit_code == 0
    rows = read_index(tmp_path / "out").to_pylist()
    assert {row["status"] for row in rows if row["recording_id"] == "letter.wav"} == {"written", "absent"}
    failed = [row["recording_id"] for row in rows if row["status"] == "failed"]
    assert failed == ["tapes 1998/cut.wav"]
    assert len((tmp_path / "out" / "failed.jsonl").read_text().splitlines()) == 1


def test_results_of_another_run_are_refused_or_replaced(
    whole_run, request_for, tiny_weights, capsys, tmp_path
):
    """Beside them the command line writes a version of its own; each is also told what to write."""
    archive, out = whole_run.archive, tmp_path / "out"
    shutil.copytree(whole_run.output, out)
    with pytest.raises(OutputError, match=r"another folder.*levels"):
        separate_archive(str(archive), request=request_for(query=Query(levels=(2,))))
    assert read_index(out).equals(read_index(whole_run.output))

    elsewhere = ["archive", archive, out, "--version", "v2", "--levels", "2", "--write", "active-spans"]
    assert (
        run([str(word) for word in [*elsewhere, "--weights", tiny_weights, "--no-report", "--actors", "1"]])
        == 8
    )
    shown = capsys.readouterr().out
    assert "Separated 3 of 5 recordings" in shown
    assert "letter.wav" in shown
    assert str(out / "v2" / "index") in shown
    rows = [row for row in read_index(out / "v2").to_pylist() if row["recording_id"] == "mono.wav"]
    spans = [span for row in rows for span in row["active_spans"] if row["status"] == "written"]
    assert spans
    assert all((out / "v2" / span["stem_uri"]).exists() for span in spans)

    shutil.rmtree(out / "v2")
    request = request_for(query=Query(levels=(2,)), overwrite=True, write="index-only")
    result = separate_archive(str(archive), request=request, options=ONE_ACTOR)
    assert result.summary.recordings.total == 5
    rows = read_index(out).to_pylist()
    assert {row["level"] for row in rows} == {2, None}
    assert {row["status"] for row in rows if row["recording_id"] == "mono.wav"} == {"detected", "absent"}
    assert not stems_of(out)


def test_a_long_recording_is_the_same_in_spans_as_in_one_piece(make_recording, request_for, tmp_path):
    make_recording("long.wav", seconds=45.3, sample_rate=8_000, channels=2)
    make_recording("short.wav", seconds=3.0)
    folder = str(tmp_path / "in")
    spans, whole = tmp_path / "spans", tmp_path / "whole"
    separate_archive(folder, request=request_for(output=str(spans), span_seconds=20, report=True))
    assert stems_of(spans)
    assert stems_of(spans) == separate_here(Path(folder), request=request_for(output=str(whole)))
    assert not (spans / ".parts").exists() or not any((spans / ".parts").iterdir())
    volatile = ("run_id", "created_at", "processing_seconds", "settings")

    def rows_of(output):
        rows = read_index(output).to_pylist()
        for row in rows:
            for name in volatile:
                del row[name]
        return sorted(rows, key=lambda row: (row["recording_id"], row["node_id"], row["level"] or 0))

    assert rows_of(spans) == rows_of(whole)
    assert (spans / "long.wav" / "report.html").exists()


def test_shards_share_out_an_archive_however_it_is_named(
    make_recording, request_for, tiny_weights, tmp_path, monkeypatch
):
    """Places are meant from where the job is started; workers work in the folder in which their Ray was started."""
    for number in range(8):
        make_recording(f"{number}.wav", seconds=0.5)
    monkeypatch.chdir(tmp_path)
    request = request_for(output="out", weights=os.path.relpath(tiny_weights))
    shards = [
        separate_archive(place, request=request, options=ONE_ACTOR.replace(shard=(part, 2)))
        for part, place in enumerate(("in", "./in/"), start=1)
    ]
    assert sum(shard.summary.recordings.separated for shard in shards) == 8
    assert {shard.output for shard in shards} == {str(tmp_path / "out")}
    rows = read_index(tmp_path / "out")
    assert {(row["recording_id"], row["recording_uri"]) for row in rows.to_pylist()} == {
        (f"{number}.wav", str(tmp_path / f"in/{number}.wav")) for number in range(8)
    }
    assert (tmp_path / "out" / "summary-2-of-2.json").exists()


def test_the_job_says_when_nothing_could_be_separated(make_recording, tmp_path, tiny_weights):
    lying = make_recording("lying.wav")
    content = bytearray(lying.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = bytes(4)
    lying.write_bytes(content)
    arguments = [
        lying,
        tmp_path / "out",
        "--weights",
        tiny_weights,
        "--levels",
        "1",
        "--strict",
        "--actors",
        "1",
    ]
    assert run(["archive", *map(str, arguments)]) == 9
    (row,) = read_index(tmp_path / "out").to_pylist()
    assert row["status"] == "failed"
    assert "read strictly" in row["reason"]


def test_ids_that_nest_or_repeat_and_recordings_that_change(make_recording, request_for, tmp_path):
    ids = ["s1/mic1", "s1", "run.json", ".parts/x", "s1/level-1", "twice", "twice"]
    places = [make_recording(f"{number}.wav", seconds=0.5) for number in range(len(ids))]
    manifest = tmp_path / "list.csv"
    with open(manifest, "w", newline="") as file:
        csv.writer(file).writerows([("uri", "id"), *zip(places, ids, strict=True)])
    out = Store(tmp_path / "out")

    first = separate_archive(str(manifest), request=request_for(), options=ONE_ACTOR)
    assert (first.summary.recordings.separated, first.summary.recordings.failed) == (6, 1)
    assert first.exit_code == 8
    assert first.summary.duplicates == {"count": 1, "examples": [f"twice from {places[-1]}"]}
    assert verify_output(out).findings == []

    make_recording("0.wav", seconds=0.7)
    again = separate_archive(str(manifest), request=request_for(), options=ONE_ACTOR)
    counts = again.summary.recordings
    assert (counts.separated, counts.skipped, counts.failed) == (1, 5, 1)
    assert again.summary.changed == {"count": 1, "examples": ["s1/mic1"]}
    found = verify_output(out)
    assert (found.findings, found.recordings) == ([], 6)
    lengths = {row["recording_id"]: row["frames"] / row["sample_rate"] for row in read_index(out).to_pylist()}
    assert lengths["s1/mic1"] == pytest.approx(0.7)
    assert lengths["s1"] == pytest.approx(0.5)
