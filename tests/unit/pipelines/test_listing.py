from __future__ import annotations

import pytest

from uss_ray.errors import RecordingError
from uss_ray.pipelines.listing import list_recordings, recording_key, single_recording


def test_an_archive_lists_its_recordings_in_order_and_nothing_else(tmp_path):
    for name in ("b.wav", "a/x.FLAC", "a/notes.txt", ".hidden.wav", "a/y y.ogg", "LICENSES.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = list(list_recordings(str(tmp_path)))
    assert [recording.recording_id for recording in found] == ["a/x.FLAC", "a/y y.ogg", "b.wav"]
    assert found[0].recording_uri == str(tmp_path / "a" / "x.FLAC")


def test_one_recording_is_an_archive_of_one(tmp_path):
    (tmp_path / "a.wav").touch()
    assert [r.recording_id for r in list_recordings(str(tmp_path / "a.wav"))] == ["a.wav"]


def test_an_archive_without_recordings_is_an_error(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(RecordingError, match="expected recordings"):
        list(list_recordings(str(tmp_path)))
    with pytest.raises(RecordingError, match="nowhere"):
        list(list_recordings(str(tmp_path / "nowhere")))


def test_keys_are_int64_depend_on_the_id_alone_and_differ():
    keys = [recording_key(f"{n}.wav") for n in range(1000)]
    assert len(set(keys)) == 1000
    assert all(0 <= key < 2**63 for key in keys)
    assert single_recording("s3://bucket/a/x.wav").recording_key == recording_key("x.wav")


def test_a_recording_needs_a_name():
    with pytest.raises(RecordingError):
        single_recording("")
