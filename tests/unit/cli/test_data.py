from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile


@pytest.fixture
def data(tmp_path: Path) -> tuple[Path, Path]:
    """Three labelled clips, of which one is missing; (segments, audio)."""
    segments = tmp_path / "segments.csv"
    segments.write_text(
        '# ids\nx, 0.0, 1.0, "/m/09x0r"\n-y, 30.0, 31.0, "/m/04rlf,/m/09x0r"\nz, 0.0, 1.0, "/m/0jbk"\n'
    )
    audio = tmp_path / "audio"
    audio.mkdir()
    for name in ("x", "Y-y"):
        soundfile.write(audio / f"{name}.flac", np.zeros(32_000), 32_000)
    return segments, audio


def test_coverage_is_a_table_and_an_exit_code(command, data):
    ran = command("data", "check", *data)
    assert ran.exit_code == 8
    row = next(line for line in ran.out.splitlines() if line.startswith("Speech\t"))
    assert row.split("\t") == [
        "Speech",
        "2",
        "2",
        "0",
        "0",
        "0",
        "0",
        "0.00",
    ]
    assert "missing: z no audio of that name" in ran.out
    assert "525 classes without any clip" in ran.out


def test_a_complete_set_ends_well_and_an_empty_one_with_nine(command, data):
    _, audio = data
    soundfile.write(audio / "z.wav", np.zeros(32_000), 32_000)
    assert command("data", "check", *data).exit_code == 0
    for file in audio.iterdir():
        file.write_bytes(b"")
    assert command("data", "check", *data).exit_code == 9


def test_the_result_is_json_and_the_problems_are_a_csv(command, data, tmp_path):
    problems = tmp_path / "lists" / "problems.csv"
    ran = command("data", "check", *data, "--json", "--problems", problems)
    coverage = json.loads(ran.out)
    assert (coverage["labelled"], coverage["found"], coverage["missing"]) == (3, 2, 1)
    assert len(coverage["classes"]) == 527
    assert coverage["classes"][0]["found"] == 2
    with problems.open() as file:
        assert [(row["problem"], row["clip_id"]) for row in csv.DictReader(file)] == [("missing", "z")]


def test_a_label_that_the_class_list_lacks_is_an_error_before_any_audio(command, data, tmp_path):
    segments, _ = data
    segments.write_text(segments.read_text() + 'w, 0, 1, "/m/unknown"\n')
    ran = command("data", "check", segments, tmp_path / "nowhere")
    assert ran.exit_code == 7
    assert f"{segments} line 5" in ran.err
    assert "/m/unknown" in ran.err


def test_labels_and_audio_are_both_needed(command, data):
    assert command("data", "check", data[0]).exit_code == 2
    assert command("data", "check", data[1]).exit_code == 2


def test_clips_of_some_classes_are_left_out(command, data, tmp_path):
    segments, _ = data
    (tmp_path / "held.txt").write_text("Music\n")
    ran = command(
        "data", "hold-out", segments, "--classes", tmp_path / "held.txt", "-o", tmp_path / "left.csv"
    )
    assert ran.exit_code == 0
    assert ran.out.startswith("2 of 3 clips:")
    assert [line.split(",")[0] for line in (tmp_path / "left.csv").read_text().splitlines()] == ["x", "z"]


def test_what_is_read_is_not_written_over(command, data, tmp_path):
    segments, audio = data
    held = tmp_path / "held.txt"
    held.write_text("Music\n")
    (tmp_path / "link.csv").symlink_to(segments)
    before = segments.read_text()
    for output in (segments, tmp_path / "link.csv", held):
        ran = command("data", "hold-out", segments, "--classes", held, "-o", output)
        assert ran.exit_code == 6
        assert f"{output}: expected another file than those that are read" in ran.err
    assert command("data", "check", segments, audio, "--problems", segments).exit_code == 6
    assert (segments.read_text(), held.read_text()) == (before, "Music\n")
