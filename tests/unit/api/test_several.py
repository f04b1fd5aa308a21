"""Several recordings and folders in one process: a bad one is a row, and the others go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pyarrow.parquet import read_table as read_part

from uss_ray.api.request import Query, SeparationRequest
from uss_ray.api.separator import RecordingSeparator
from uss_ray.api.several import NotSeparated, recordings_at, separate_each
from uss_ray.api.sounds import SeparatedRecording
from uss_ray.errors import ConfigError, OutputError, RecordingError
from uss_ray.results.index.table import read_index
from uss_ray.results.options import WriteOptions


@pytest.fixture
def request_of(tiny_weights: Path, tmp_path: Path) -> SeparationRequest:
    return SeparationRequest(
        output=str(tmp_path / "out"),
        query=Query(levels=(1,)),
        weights=str(tiny_weights),
        write=WriteOptions(report=False, residual=False),
    )


def ids(locations: list[Path], request: SeparationRequest) -> list[str]:
    return [
        found.recording.recording_id for found in recordings_at(list(map(str, locations)), request=request)
    ]


def test_files_are_named_by_their_names_and_those_of_a_folder_by_their_paths(
    make_recording: Callable[..., Path], request_of: SeparationRequest, tmp_path: Path
) -> None:
    lone = make_recording("lone.wav")
    make_recording("tapes/a.wav")
    make_recording("tapes/b/c.flac")
    tapes = tmp_path / "in" / "tapes"
    (tapes / "notes.txt").write_text("no sound")
    assert ids([tapes, lone], request_of) == ["a.wav", "b/c.flac", "lone.wav"]


def test_what_cannot_be_told_apart_or_lies_in_the_way_is_refused_before_any_work(
    make_recording: Callable[..., Path], request_of: SeparationRequest, tmp_path: Path
) -> None:
    one, other = make_recording("x/a.wav"), make_recording("y/a.wav")
    with pytest.raises(ConfigError, match="different names"):
        ids([one, other], request_of)
    with pytest.raises(OutputError, match="output outside of the input"):
        ids([tmp_path], request_of)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordingError, match="recordings"):
        ids([tmp_path / "empty"], request_of)


def test_a_bad_recording_is_a_row_and_is_tried_again(
    make_recording: Callable[..., Path], request_of: SeparationRequest, tmp_path: Path
) -> None:
    good, letter = make_recording("good.wav", seconds=1.0), tmp_path / "letter.wav"
    letter.write_text("this is a letter")
    recordings = recordings_at([str(letter), str(good)], request=request_of)
    separator = RecordingSeparator(request_of)
    bad, done = separate_each(separator, recordings)
    assert isinstance(bad, NotSeparated)
    assert bad.reason is not None
    assert "letter.wav" in bad.reason
    assert isinstance(done, SeparatedRecording)
    rows = read_index(tmp_path / "out").to_pylist()
    assert {row["recording_id"]: row["status"] for row in rows if row["status"] == "failed"} == {
        "letter.wav": "failed"
    }

    letter.write_bytes(good.read_bytes())
    mended, earlier = separate_each(separator, recordings)
    assert isinstance(mended, SeparatedRecording)
    assert isinstance(earlier, NotSeparated)
    assert earlier.reason is None
    rows = read_index(tmp_path / "out").to_pylist()
    assert {row["recording_id"] for row in rows} == {"good.wav", "letter.wav"}
    assert "failed" not in {row["status"] for row in rows}


def test_what_a_killed_process_left_goes_with_the_next_one(
    make_recording: Callable[..., Path], request_of: SeparationRequest, tmp_path: Path
) -> None:
    left = tmp_path / "out" / ".uss-ray-killed__"
    left.mkdir(parents=True)
    (left / ".lock").touch()
    inputs = recordings_at([str(make_recording("a.wav", seconds=0.5))], request=request_of)
    assert left.exists()
    assert len(list(separate_each(RecordingSeparator(request_of), inputs))) == 1
    assert not left.exists()


def test_results_of_another_request_are_refused_before_any_work_and_never_taken_for_these(
    make_recording: Callable[..., Path], request_of: SeparationRequest, tmp_path: Path
) -> None:
    new, old = make_recording("a.wav", seconds=0.5), make_recording("b.wav", seconds=0.5)
    (earlier,) = recordings_at([str(old)], request=request_of)
    assert len(list(separate_each(RecordingSeparator(request_of), [earlier]))) == 1
    other = request_of.replace(query=Query(classes=("Dog",)))
    inputs = recordings_at([str(new), str(old)], request=other)
    with pytest.raises(OutputError, match=r"b\.wav: expected results of the same"):
        list(separate_each(RecordingSeparator(other), inputs))
    assert not (tmp_path / "out" / "a.wav").exists()
    replaced = list(separate_each(RecordingSeparator(other.replace(overwrite=True)), inputs))
    assert [type(one) for one in replaced] == [SeparatedRecording, SeparatedRecording]
    assert {row["kind"] for row in read_index(tmp_path / "out").to_pylist()} == {"class"}


def test_stems_that_no_index_tells_of_are_made_again(
    make_recording: Callable[..., Path], request_of: SeparationRequest, tmp_path: Path
) -> None:
    """A disk was full, or the process was killed, between the stems and their rows."""
    paths = [make_recording(name, seconds=0.5) for name in ("a.wav", "b.wav")]
    inputs = recordings_at(list(map(str, paths)), request=request_of)
    separator = RecordingSeparator(request_of)
    assert len(list(separate_each(separator, inputs))) == 2
    index = tmp_path / "out" / "index"
    [lost] = [
        part for part in index.iterdir() if read_part(part)["recording_id"].unique().to_pylist() == ["a.wav"]
    ]
    lost.unlink()
    again, done = separate_each(separator, inputs)
    assert isinstance(again, SeparatedRecording)
    assert isinstance(done, NotSeparated)
    assert {row["recording_id"] for row in read_index(tmp_path / "out").to_pylist()} == {"a.wav", "b.wav"}

    # Parts of an archive's index have other names.
    lost.rename(index / "0123456789abcdef.parquet")
    assert [type(one) for one in separate_each(separator, inputs)] == [NotSeparated, NotSeparated]
