"""The archive job on a local Ray: good recordings among bad ones."""

from __future__ import annotations

import hashlib
from collections import Counter

import duckdb
import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from jobs.separate_archive import main as job
from uss_ray import separate
from uss_ray.cli.main import run
from uss_ray.errors import ConfigError, OutputError, QueryError, RecordingError, WeightsError
from uss_ray.pipelines.request import Query, SeparationRequest
from uss_ray.pipelines.runtime import plan_pool
from uss_ray.pipelines.separate_archive import separate_archive
from uss_ray.results.index import read_index

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


@pytest.fixture
def archive(make_recording, tmp_path):
    """Three good recordings, two bad ones, and a file that is none."""
    make_recording("mono.wav")
    make_recording("tapes 1998/räume.flac", sample_rate=44_100, channels=2)
    make_recording("tapes 1998/kurz.ogg", seconds=0.5)
    folder = tmp_path / "in"
    (folder / "letter.wav").write_text("this is a letter")
    cut = make_recording("tapes 1998/cut.wav")
    cut.write_bytes(cut.read_bytes()[:50_000])
    (folder / "LICENSES.md").write_text("free")
    return folder


@pytest.fixture
def request_for(tiny_weights, tmp_path):
    def make(**changes):
        values = {"output": str(tmp_path / "out"), "query": Query(levels=(1,)), "weights": str(tiny_weights)}
        return SeparationRequest(**(values | changes))

    return make


def test_bad_recordings_become_rows_and_the_others_are_separated(
    archive, request_for, tiny_weights, tmp_path
):
    told = []
    result = separate_archive(
        str(archive), request=request_for(), on_outcome=lambda outcome, total: told.append((outcome, total))
    )
    out = tmp_path / "out"
    assert [(outcome.recording_id, outcome.status) for outcome in result.outcomes] == [
        ("letter.wav", "failed"),
        ("mono.wav", "separated"),
        ("tapes 1998/cut.wav", "failed"),
        ("tapes 1998/kurz.ogg", "separated"),
        ("tapes 1998/räume.flac", "separated"),
    ]
    assert result.exit_code == 8
    assert sorted(o.recording_id for o, _ in told) == [outcome.recording_id for outcome in result.outcomes]
    assert {total for _, total in told} == {5}

    rows = read_index(out).to_pylist()
    assert Counter(row["recording_id"] for row in rows)["letter.wav"] == 1
    failed = {row["recording_id"]: row["reason"] for row in rows if row["status"] == "failed"}
    assert "cannot be decoded" in failed["letter.wav"]
    assert "cut off" in failed["tapes 1998/cut.wav"]
    written = [row for row in rows if row["status"] == "written"]
    assert len(written) == 3 * 4
    for row in written:
        stem = out / row["stem_uri"]
        assert hashlib.sha256(stem.read_bytes()).hexdigest() == row["stem_sha256"]
        assert sf.info(stem).frames == row["frames"]
    assert not (out / "letter.wav").exists()
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []

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

    with pytest.raises(OutputError, match="the index of an earlier run"):
        separate_archive(str(archive), request=request_for())
    again = separate_archive(str(archive), request=request_for(overwrite=True))
    assert read_index(out).num_rows == len(rows)
    assert again.exit_code == 8


def test_the_command_line_tells_what_became_of_each(archive, request_for, capsys, tmp_path, tiny_weights):
    out = tmp_path / "out"
    arguments = ["archive", archive, out, "--levels", "1", "--weights", tiny_weights, "--no-report"]
    assert run([str(argument) for argument in arguments]) == 8
    shown = capsys.readouterr().out
    assert "Separated 3 of 5 recordings" in shown
    assert "letter.wav" in shown
    assert str(out / "index") in shown


def test_the_job_says_when_nothing_could_be_separated(tmp_path, tiny_weights):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "letter.wav").write_text("this is a letter")
    arguments = [str(tmp_path / "in"), str(tmp_path / "out"), "--weights", str(tiny_weights), "--levels", "1"]
    assert job(arguments) == 9
    assert read_index(tmp_path / "out").to_pylist()[0]["status"] == "failed"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"weights": "no-such-weights"}, WeightsError),
        ({"query": Query(classes=("Dgo",))}, QueryError),
        ({"query": Query(levels=(9,))}, QueryError),
    ],
)
def test_a_wrong_request_stops_the_job_before_it_starts(archive, request_for, tmp_path, changes, error):
    with pytest.raises(error):
        separate_archive(str(archive), request=request_for(**changes))
    assert not (tmp_path / "out").exists()


def test_weights_that_do_not_load_stop_the_job_with_their_own_error(
    archive, request_for, tiny_weights, tmp_path
):
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(tiny_weights, broken)
    (broken / "tagger.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"tagger\.safetensors"):
        separate_archive(str(archive), request=request_for(weights=str(broken)))


def test_an_archive_without_recordings_is_refused(tmp_path, request_for):
    (tmp_path / "in").mkdir()
    with pytest.raises(RecordingError, match="expected recordings"):
        separate_archive(str(tmp_path / "in"), request=request_for())


def test_the_pool_has_no_more_actors_than_recordings_or_cpus():
    pool = plan_pool(recordings=1)
    assert (pool.actors, pool.gpus_per_actor) == (1, 0)
    with pytest.raises(ConfigError, match="actors"):
        plan_pool(recordings=1000, actors=999)
