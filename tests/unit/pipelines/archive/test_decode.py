from __future__ import annotations

import hashlib
import os

import numpy as np
import pyarrow as pa
import pytest
import soundfile as sf

from uss_ray.api.request import SeparationRequest
from uss_ray.pipelines.archive import decode
from uss_ray.pipelines.archive.decode import SpanPlan, decode_recording
from uss_ray.pipelines.archive.packets import packets_of
from uss_ray.results.options import WriteOptions
from uss_ray.sources.recordings import single_recording
from uss_ray.store.store import Store, StoreOptions

PLAN = SpanPlan(segment_seconds=2, context_seconds=3, span_seconds=10, span_samples=1 << 24)


def decoded(path, *, plan=PLAN, done=(), was_listed=False):
    recording = single_recording(str(path))
    return list(
        decode_recording(
            recording, plan=plan, storage=StoreOptions(), done_parts=lambda _item: done, was_listed=was_listed
        )
    )


def test_a_short_recording_stays_in_one_piece(make_recording):
    path = make_recording("a.flac", seconds=10.0, sample_rate=8000, channels=2)
    ((unit, waveform),) = decoded(path)
    assert (unit.part, unit.is_last, unit.first_segment, unit.frames) == (None, True, None, 80_000)
    np.testing.assert_array_equal(waveform, sf.read(path, dtype="float32", always_2d=True)[0].T)


@pytest.mark.parametrize("seconds", [10.001, 12.9, 13.0, 20.0, 20.5, 33.0, 34.7])
def test_spans_hold_the_sound_around_them_and_cover_the_recording_once(make_recording, seconds):
    path = make_recording("a.wav", seconds=seconds, sample_rate=8000, channels=2)
    whole = sf.read(path, dtype="float32", always_2d=True)[0].T
    spans = decoded(path)
    assert [unit.part for unit, _ in spans] == list(range(len(spans)))
    assert len(spans) == -(-whole.shape[1] // 80_000)
    for unit, waveform in spans:
        start, stop = unit.part * 80_000, min((unit.part + 1) * 80_000, whole.shape[1])
        assert unit.first_segment == unit.part * 5
        assert unit.last_segment == (None if unit.is_last else (unit.part + 1) * 5)
        assert unit.start_frame == max(0, start - 24_000)
        until = min(stop + 24_000, whole.shape[1])
        np.testing.assert_array_equal(waveform, whole[:, unit.start_frame : until])
        assert unit.ends_recording == (until == whole.shape[1])
        assert unit.is_last == (stop == whole.shape[1])


def test_spans_that_are_done_come_without_sound(make_recording):
    path = make_recording("a.wav", seconds=25.0, sample_rate=8000)
    units = decoded(path, done={0, 2})
    assert [unit.status for unit, _ in units] == ["done", "sound", "done"]
    assert [waveform.shape[1] > 0 for _, waveform in units] == [False, True, False]
    assert units[-1][0].is_last


def test_a_recording_of_many_channels_has_shorter_spans(make_recording):
    path = make_recording("a.wav", seconds=20.0, sample_rate=8000, channels=4)
    plan = SpanPlan(segment_seconds=2, context_seconds=3, span_seconds=10, span_samples=8 * 8000 * 4)
    assert len(decoded(path, plan=plan)) == 3


def test_a_recording_that_cannot_be_decoded_ends_with_its_reason(make_recording, tmp_path):
    letter = tmp_path / "letter.wav"
    letter.write_text("this is a letter")
    ((unit, waveform),) = decoded(letter)
    assert (unit.status, unit.part, waveform.shape[1]) == ("failed", None, 0)
    assert "cannot be decoded" in unit.reason
    ((missing, _),) = decoded(tmp_path / "nowhere.wav")
    assert missing.status == "failed"

    cut = make_recording("cut.flac", seconds=40.0, sample_rate=8000)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 3 // 4])
    units = [unit for unit, _ in decoded(cut)]
    assert [unit.status for unit in units[:2]] == ["sound", "sound"]
    assert (units[-1].status, units[-1].part) == ("failed", len(units) - 1)


def test_a_fault_of_the_store_is_no_fault_of_the_recording(make_recording, monkeypatch):
    from uss_ray.errors import RecordingError

    def fail(place):
        raise RecordingError(str(place), expected="a readable file", found="I/O error") from OSError(
            5, "I/O error"
        )

    monkeypatch.setattr(Store, "open", fail)
    ((unit, _),) = decoded(make_recording("a.wav"))
    assert unit.status == "unfinished"


def test_a_recording_that_was_there_a_moment_ago_is_not_to_blame_for_being_gone(tmp_path):
    gone, nowhere = tmp_path / "gone.wav", tmp_path / "nowhere.wav"
    nowhere.symlink_to(tmp_path / "neither.wav")
    assert [unit.status for unit, _ in decoded(gone)] == ["failed"]  # of a manifest
    assert [unit.status for unit, _ in decoded(gone, was_listed=True)] == ["unfinished"]
    assert [unit.status for unit, _ in decoded(nowhere, was_listed=True)] == ["failed"]


@pytest.mark.parametrize("seconds", [5.0, 40.0])
@pytest.mark.parametrize("change", ["written again", "cut"])
def test_a_recording_that_somebody_writes_while_it_is_read_is_done_another_time(
    make_recording, monkeypatch, seconds, change
):
    """Its stems would be of two contents; or it is not whole yet, which is no fault of its own."""
    path = make_recording("a.wav", seconds=seconds, sample_rate=8000)
    content, units = path.read_bytes(), decode._units

    def written_meanwhile(*given, **asked):
        if change == "cut":
            path.write_bytes(content[: len(content) // 2])
        for unit in units(*given, **asked):
            if change == "written again":
                path.write_bytes(content)
                os.utime(path, ns=(1, 1))
            yield unit

    monkeypatch.setattr(decode, "_units", written_meanwhile)
    *spans, (last, waveform) = decoded(path)
    assert [unit.status for unit, _ in spans] == ["sound"] * len(spans)
    assert (last.status, last.is_last, waveform.shape[1]) == ("unfinished", True, 0)
    if change == "written again":
        assert last.reason.endswith("stays as it is while it is read, found one that was changed meanwhile")


def test_a_library_that_is_missing_is_no_fault_of_the_recording(make_recording, monkeypatch):
    def fail(*_arguments, **_options):
        raise ImportError("libsndfile.so: cannot open shared object file")

    monkeypatch.setattr(decode, "open_digested_recording", fail)
    monkeypatch.setattr(decode, "StopSign", lambda _state: False)
    recordings = pa.table({"recording_uri": [str(make_recording("a.wav"))], "recording_id": ["a.wav"]})
    tables = decode.decode_packets(
        recordings,
        request=SeparationRequest(output="out"),
        plan=PLAN,
        packet_units=1,
        packet_samples=1,
        was_listed=True,
        state=None,
    )
    (((unit, _),),) = [packet for table in tables for packet in packets_of(table)]
    assert (unit.status, unit.reason) == (
        "unfinished",
        "unexpected ImportError: libsndfile.so: cannot open shared object file",
    )


def test_a_header_that_lies_travels_as_a_note_or_fails_where_it_must_not(make_recording):
    path = make_recording("a.wav", seconds=3.0, sample_rate=8000)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = bytes(4)
    path.write_bytes(content)
    ((unit, waveform),) = decoded(path)
    assert (unit.status, waveform.shape[1]) == ("sound", 24_000)
    assert "the header states 0 bytes" in unit.note
    recording = single_recording(str(path))
    ((unit, _),) = decode_recording(
        recording, plan=PLAN, storage=StoreOptions(), done_parts=lambda _item: (), strict=True
    )
    assert unit.status == "failed"
    assert "read strictly" in unit.reason


def test_what_the_stem_format_cannot_hold_fails_before_it_is_decoded(make_recording):
    path = make_recording("a.wav", seconds=30.0, sample_rate=44100)
    ((unit, waveform),) = decode_recording(
        single_recording(str(path)),
        plan=PLAN,
        storage=StoreOptions(),
        done_parts=lambda _item: (),
        write=WriteOptions(stem_format="opus"),
    )
    assert (unit.status, waveform.shape[1]) == ("failed", 0)
    assert unit.reason.startswith(f"{path}: expected 8000")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.ogg", "a.aiff"])
@pytest.mark.parametrize("seconds", [5.0, 25.0])
def test_the_checksum_of_the_file_comes_with_the_last_unit(make_recording, name, seconds):
    path = make_recording(name, seconds=seconds, sample_rate=8000)
    units = [unit for unit, _ in decoded(path, done={0})]
    assert [unit.sha256 for unit in units[:-1]] == [None] * (len(units) - 1)
    assert units[-1].recording.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
