"""The worker of the archive, in this process."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

from uss_ray.api.request import Query, SeparationRequest
from uss_ray.api.separator import RecordingSeparator
from uss_ray.pipelines.archive import separate
from uss_ray.pipelines.archive.decode import SpanPlan, decode_recording
from uss_ray.pipelines.archive.outcome import PacketReport
from uss_ray.pipelines.archive.packets import Unit, packet_table
from uss_ray.results.index.table import read_index
from uss_ray.separation import session
from uss_ray.sources.recordings import single_recording
from uss_ray.store.options import StoreOptions


class Stop:
    """In place of the job's state: whether nothing more may begin."""

    def __init__(self, stopping):
        self.stopping = stopping

    def __bool__(self):
        return self.stopping


class NoMetrics:
    def count(self, report):
        pass


@pytest.fixture
def worker_of(tiny_weights, tmp_path, monkeypatch):
    monkeypatch.setattr(separate, "StopSign", Stop)
    monkeypatch.setattr(separate, "ArchiveMetrics", NoMetrics)
    monkeypatch.setattr(separate, "keep_freed_memory", lambda: True)
    monkeypatch.setattr(separate.gc, "freeze", lambda: None)

    def make(*, stopping=False):
        request = SeparationRequest(
            output=tmp_path / "out",
            weights=tiny_weights,
            query=Query(classes=("Dog", "Speech")),
            overwrite=True,
        )
        return separate.SeparatePackets(request, 1, tmp_path, stopping)

    return make


@pytest.fixture
def unit_of(make_recording):
    def make(name, *, seconds=3.0, **changes):
        path = make_recording(name, seconds=seconds)
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        recording = single_recording(str(path))
        facts = {
            "recording_id": recording.recording_id,
            "recording_uri": recording.recording_uri,
            "status": "sound",
            "sample_rate": rate,
            "channels": samples.shape[1],
            "frames": len(samples),
            "format": "WAV",
            "subtype": "PCM_16",
        }
        return Unit(**(facts | changes)), np.ascontiguousarray(samples.T)

    return make


def outcomes_of(worker, *units):
    [table] = worker(packet_table(units))
    [record] = table.to_pylist()
    return {outcome.recording_id: outcome for outcome in PacketReport.from_record(record).outcomes}


@pytest.mark.slow
def test_recordings_side_by_side_have_the_stems_they_have_alone(worker_of, unit_of, tiny_weights, tmp_path):
    units = [unit_of("a.wav", seconds=5.0), unit_of("b.wav", seconds=0.7), unit_of("c.wav", seconds=9.3)]
    outcomes = outcomes_of(worker_of(), *units)
    assert {name: outcome.status for name, outcome in outcomes.items()} == dict.fromkeys(
        ("a.wav", "b.wav", "c.wav"), "separated"
    )
    alone = RecordingSeparator(
        SeparationRequest(
            output=tmp_path / "alone", weights=tiny_weights, query=Query(classes=("Dog", "Speech"))
        )
    )
    for unit, _ in units:
        alone.separate(unit.recording)
    together, apart = (
        {(row["recording_id"], row["node_id"]): row["stem_sha256"] for row in read_index(folder).to_pylist()}
        for folder in (tmp_path / "out", tmp_path / "alone")
    )
    assert together == apart
    assert len(together) == 9


def test_what_a_file_says_besides_its_sound_travels_with_it(worker_of, make_recording, tmp_path):
    path = make_recording("a.flac", seconds=1.0)
    sound, rate = soundfile.read(path)
    with soundfile.SoundFile(path, "w", rate, 1 if sound.ndim == 1 else sound.shape[1]) as file:
        file.title = "Brook"
        file.write(sound)
    plan = SpanPlan(segment_seconds=2, context_seconds=3, span_seconds=10, span_samples=1 << 20)
    recording = single_recording(str(path))
    units = decode_recording(recording, plan=plan, storage=StoreOptions(), done_parts=lambda _item: ())
    outcomes_of(worker_of(), *units)
    stems = [row["stem_uri"] for row in read_index(tmp_path / "out").to_pylist() if row["stem_uri"]]
    assert stems
    for stem in stems:
        with soundfile.SoundFile(tmp_path / "out" / stem) as file:
            assert file.title == "Brook"


def test_what_was_known_before_is_passed_on_and_written_down(worker_of, unit_of, tmp_path):
    broken, silence = unit_of("broken.wav", status="failed", reason="no audio"), np.zeros((1, 0), np.float32)
    outcomes = outcomes_of(worker_of(), (broken[0], silence), unit_of("a.wav"))
    assert (outcomes["broken.wav"].status, outcomes["broken.wav"].reason) == ("failed", "no audio")
    assert outcomes["a.wav"].status == "separated"
    rows = read_index(tmp_path / "out").to_pylist()
    assert {row["recording_id"] for row in rows if row["status"] == "failed"} == {"broken.wav"}


@pytest.mark.parametrize("rate", [60, 255])
def test_a_long_recording_of_a_low_rate_is_separated_in_spans(worker_of, make_recording, rate):
    worker = worker_of()
    path = make_recording("ground.wav", seconds=45.0, sample_rate=rate)
    plan = SpanPlan(
        segment_seconds=2,
        context_seconds=worker._separator.span_context_seconds,
        span_seconds=20,
        span_samples=1 << 20,
    )
    units = list(
        decode_recording(
            single_recording(str(path)), plan=plan, storage=StoreOptions(), done_parts=lambda _item: ()
        )
    )
    assert len(units) == 3
    for unit in units:
        outcome = outcomes_of(worker, unit)["ground.wav"]
        assert (outcome.status, outcome.reason) == ("part", None)


def test_a_gpu_that_is_full_is_no_fault_of_a_recording(worker_of, unit_of, monkeypatch):
    worker = worker_of()

    def full(*_given, **_named):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        yield

    monkeypatch.setattr(session.RecordingSession, "_separate_segments", full)
    outcome = outcomes_of(worker, unit_of("a.wav"))["a.wav"]
    assert outcome.status == "unfinished"
    assert "out of memory" in outcome.reason


def test_a_recording_that_is_not_what_it_says_fails_alone(worker_of, unit_of):
    outcomes = outcomes_of(worker_of(), unit_of("longer.wav", frames=10**6), unit_of("a.wav"))
    assert outcomes["longer.wav"].status == "failed"
    assert "1000000 samples" in outcomes["longer.wav"].reason
    assert outcomes["a.wav"].status == "separated"


def test_a_fault_of_the_networks_is_nobodys_and_the_next_packet_is_separated(worker_of, unit_of):
    worker = worker_of()
    networks = worker._separator.engine._networks
    forward = networks.forward

    def out_of_memory(rows):
        raise RuntimeError("out of memory")

    networks.forward = out_of_memory
    outcomes = outcomes_of(worker, unit_of("a.wav"), unit_of("b.wav"))
    assert {outcome.status for outcome in outcomes.values()} == {"unfinished"}
    assert "out of memory" in outcomes["a.wav"].reason
    networks.forward = forward
    assert outcomes_of(worker, unit_of("a.wav"))["a.wav"].status == "separated"


def test_nothing_begins_once_the_job_stops(worker_of, unit_of, tmp_path):
    outcomes = outcomes_of(worker_of(stopping=True), unit_of("a.wav"))
    assert (outcomes["a.wav"].status, outcomes["a.wav"].reason) == ("unfinished", separate.STOPPED_REASON)
    assert not (tmp_path / "out" / "a.wav").exists()
