from __future__ import annotations

import os

import fsspec
import numpy as np
import pytest
import soundfile as sf
import torch

from tests.mp4 import encoded_mp4
from tests.servers.in_process import s3_in_process
from uss_ray import separate
from uss_ray.api.request import Query, SeparationRequest
from uss_ray.api.separator import RecordingSeparator, load_engine
from uss_ray.errors import OutputError, RecordingError
from uss_ray.models.conv_tasnet import ConvTasNet
from uss_ray.models.network_settings import ConvTasNetConfig
from uss_ray.results.index.table import read_index
from uss_ray.separation.settings import SeparationSettings
from uss_ray.sources.recordings import single_recording
from uss_ray.store.store import Store, StoreOptions
from uss_ray.weights.folder import read_folder, save_weights, specify


def test_three_lines_of_python_separate_a_recording(make_recording, tiny_weights, tmp_path):
    result = separate(
        str(make_recording("a.wav")), output=str(tmp_path / "out"), levels=[1], weights=str(tiny_weights)
    )
    assert result.seconds == pytest.approx(3.0)
    written = {row.label for row in result.rows if row.status == "written"}
    assert written == {"Animal", "Human sounds", "Music", "Residual"}
    assert result.report is not None
    assert read_index(tmp_path / "out").num_rows == len(result.rows)


def test_progress_ends_at_the_recordings_length(make_recording, tiny_weights, tmp_path):
    seen = []
    separate(
        str(make_recording("a.wav", seconds=5.0)),
        output=str(tmp_path / "out"),
        classes=["Dog"],
        weights=str(tiny_weights),
        report=False,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (5.0, 5.0)
    assert sorted(seen) == seen


@pytest.mark.slow
def test_recording_and_results_may_lie_in_an_object_store(make_recording, tiny_weights, tmp_path):
    store = fsspec.filesystem("memory")
    try:
        Store("memory://bucket/in/a b.wav").put(make_recording("a b.wav"))
        for _ in range(2):
            result = separate(
                "memory://bucket/in/a b.wav",
                output="memory://bucket/out",
                levels=[1],
                weights=str(tiny_weights),
                overwrite=True,
            )
        local = separate(
            str(make_recording("a b.wav")),
            output=str(tmp_path / "out"),
            levels=[1],
            weights=str(tiny_weights),
        )
        assert [row.stem_sha256 for row in result.rows] == [row.stem_sha256 for row in local.rows]
        for row in result.rows:
            if row.stem_uri is not None:
                assert (Store("memory://bucket/out") / row.stem_uri).size() == row.stem_bytes
        assert result.report == "memory://bucket/out/a b.wav/report.html"
        assert Store(result.report).exists()
        assert read_index("memory://bucket/out").num_rows == len(result.rows)
    finally:
        store.rm("/bucket", recursive=True)


@pytest.mark.slow
def test_a_store_of_its_own_is_used_for_everything_and_nothing_is_set_in_the_environment(
    make_recording, tiny_weights, tmp_path, monkeypatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("USS_RAY_CACHE", str(tmp_path / "cache"))
    with s3_in_process("shelf") as endpoint:
        storage = StoreOptions(endpoint=endpoint, region="us-east-1", patience_seconds=60)
        shelf = Store("s3://shelf", storage)
        (shelf / "in" / "a b.wav").put(make_recording("a b.wav"))
        (shelf / "wanted" / "tone.wav").put(make_recording("tone.wav", seconds=2.0))
        for file in tiny_weights.iterdir():
            (shelf / "weights" / file.name).put(file)
        before = dict(os.environ)
        result = separate(
            "s3://shelf/in/a b.wav",
            output="s3://shelf/out",
            example_folder="s3://shelf/wanted",
            weights="s3://shelf/weights",
            storage=storage,
        )
        assert dict(os.environ) == before
        assert result.report == "s3://shelf/out/a b.wav/report.html"
        assert read_index(shelf / "out").num_rows == len(result.rows)
        assert {row.kind for row in result.rows} == {"example", "residual"}
        with pytest.raises(OutputError, match="results of an earlier run"):
            separate(
                "s3://shelf/in/a b.wav",
                output="s3://shelf/out",
                weights="s3://shelf/weights",
                storage=storage,
            )


@pytest.fixture(scope="module")
def time_domain_weights(tiny_weights, tmp_path_factory):
    """A folder of weights whose separator is a Conv-TasNet with random values."""
    tiny = read_folder(tiny_weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        separator = ConvTasNet(
            ConvTasNetConfig(filters=8, channels=4, hidden_channels=6, stack_blocks=3, stacks=1)
        )
    networks = {"tagger": tiny.tagger, "separator": separator.eval()}
    return save_weights(
        tmp_path_factory.mktemp("weights") / "time",
        networks,
        name="time",
        specifications=specify(networks, segment_seconds=2.0),
        class_means=tiny.class_means,
    )


@pytest.mark.parametrize(
    "options",
    [{}, {"settings": SeparationSettings(mixture_consistency=True)}, {"exclude": ["Dog"]}],
    ids=["plain", "consistent", "exclude"],
)
def test_a_separator_in_the_time_domain_separates_a_recording(
    make_recording, time_domain_weights, tmp_path, options
):
    recording = make_recording("a.wav", seconds=7.3, sample_rate=44_100, channels=2, subtype="FLOAT")
    result = separate(
        recording,
        output=tmp_path / "out",
        levels=[1],
        weights=time_domain_weights,
        stem_format="wav",
        report=False,
        **options,
    )
    mixture, rate = sf.read(recording, always_2d=True)
    stems = {}
    for row in result.rows:
        if row.stem_uri is not None:
            stems[row.label], stem_rate = sf.read(tmp_path / "out" / row.stem_uri, always_2d=True)
            assert (stem_rate, stems[row.label].shape) == (rate, mixture.shape)
    assert {"Human sounds", "Music", "Residual"} <= stems.keys()
    np.testing.assert_allclose(sum(stems.values()), mixture, atol=2e-6)


def test_stems_of_an_m4a_are_flac_as_long_as_what_was_decoded(tiny_weights, tmp_path):
    pytest.importorskip("av")
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, 132_307)).astype(np.float32)
    recording = tmp_path / "a.m4a"
    recording.write_bytes(encoded_mp4(noise, rate=44_100))
    result = separate(str(recording), output=str(tmp_path / "out"), levels=[1], weights=str(tiny_weights))
    stems = [sf.info(tmp_path / "out" / row.stem_uri) for row in result.rows if row.stem_uri]
    assert stems
    assert {(stem.format, stem.subtype) for stem in stems} == {("FLAC", "PCM_16")}
    assert {(stem.frames, stem.samplerate, stem.channels) for stem in stems} == {(132_307, 44_100, 2)}


def test_the_same_input_gives_the_same_bytes(make_recording, tiny_weights, tmp_path):
    recording = str(make_recording("a.wav", channels=2))
    first, second = (
        separate(recording, output=str(tmp_path / name), levels=[1], weights=str(tiny_weights), report=False)
        for name in ("one", "two")
    )
    assert [row.stem_sha256 for row in first.rows] == [row.stem_sha256 for row in second.rows]
    assert first.rows[0].run_id == second.rows[0].run_id


@pytest.mark.slow
def test_a_fault_late_in_the_recording_leaves_nothing(tiny_weights, tmp_path):
    samples = np.random.default_rng(0).standard_normal(32_000 * 20).astype(np.float32) * 0.1
    samples[-10] = np.nan
    sf.write(tmp_path / "late.wav", samples, 32_000, subtype="FLOAT")
    with pytest.raises(RecordingError, match="NaN"):
        separate(
            str(tmp_path / "late.wav"), output=str(tmp_path / "out"), levels=[1], weights=str(tiny_weights)
        )
    assert list((tmp_path / "out").iterdir()) == []


def test_results_of_an_earlier_run_are_refused_before_anything_is_loaded(make_recording, tmp_path):
    (tmp_path / "out/a.wav/level-1").mkdir(parents=True)
    (tmp_path / "out/a.wav/level-1/dog.flac").touch()
    with pytest.raises(OutputError, match="results of an earlier run"):
        separate(str(make_recording("a.wav")), output=str(tmp_path / "out"), weights="no such weights")


@pytest.mark.slow
def test_one_engine_serves_requests_of_other_queries_and_settings(make_recording, tiny_weights, tmp_path):
    recording = single_recording(str(make_recording("a.wav", seconds=5.0)))
    requests = [
        SeparationRequest(output=tmp_path / "a", weights=tiny_weights, query=Query(levels=(1,))),
        SeparationRequest(
            output=tmp_path / "b",
            weights=tiny_weights,
            query=Query(classes=("Dog",)),
            settings=SeparationSettings.published(),
        ),
    ]
    loaded = load_engine(requests[0])
    for request in requests:
        shared = RecordingSeparator(request, loaded=loaded).separate(recording)
        own = separate(recording.recording_uri, request, output=tmp_path / "own", overwrite=True)
        assert [row.stem_sha256 for row in shared.rows] == [row.stem_sha256 for row in own.rows]
        assert any(row.stem_sha256 for row in shared.rows)
        assert shared.rows[0].run_id == own.rows[0].run_id


def test_a_recording_of_many_channels_gets_wav_stems_and_one_that_opus_cannot_hold_costs_no_work(
    make_recording, tiny_weights, tmp_path
):
    many = str(make_recording("many.wav", seconds=2.0, channels=9))
    asked = {"classes": ["Dog"], "weights": str(tiny_weights), "report": False}
    result = separate(many, output=str(tmp_path / "many"), **asked)
    assert {row.format for row in result.rows if row.format} <= {"WAV/PCM_16", "WAV/FLOAT"}
    odd = str(make_recording("odd.wav", seconds=2.0, sample_rate=44100))
    seen = []
    with pytest.raises(RecordingError, match=r"odd\.wav: expected 8000"):
        separate(
            odd,
            output=str(tmp_path / "odd"),
            stem_format="opus",
            progress=lambda *done: seen.append(done),
            **asked,
        )
    assert seen == []


@pytest.mark.parametrize("scale", [3.0, 20_000.0])
def test_a_loud_recording_is_the_sum_of_what_is_written(tiny_weights, tmp_path, scale):
    rate = 32000
    loud = (scale * 0.3 * np.random.default_rng(1).standard_normal(2 * rate)).astype(np.float32)
    path = tmp_path / "loud.wav"
    sf.write(path, loud, rate, subtype="FLOAT")
    result = separate(
        str(path), output=str(tmp_path / "out"), levels=[1], weights=str(tiny_weights), report=False
    )
    stems = [
        sf.read(tmp_path / "out" / row.stem_uri, dtype="float64")[0] for row in result.rows if row.stem_uri
    ]
    assert np.abs(sum(stems) - loud).max() < 1e-5 * scale + len(stems) * 2.0**-23


def test_a_header_that_lies_is_in_every_row_or_refused(make_recording, tiny_weights, tmp_path):
    path = make_recording("a.wav", seconds=2.0)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = (1000).to_bytes(4, "little")
    path.write_bytes(content)
    asked = {"classes": ["Dog"], "weights": str(tiny_weights), "report": False}
    result = separate(str(path), output=str(tmp_path / "out"), **asked)
    assert result.seconds == pytest.approx(2.0)
    reasons = set(read_index(tmp_path / "out")["reason"].to_pylist())
    assert len(reasons) == 1
    assert "the header states 1000 bytes" in reasons.pop()
    with pytest.raises(RecordingError, match="read strictly"):
        separate(str(path), output=str(tmp_path / "strict"), strict=True, **asked)
