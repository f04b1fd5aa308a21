"""`uss-ray find`: a table, JSON lines and CSV of the same rows."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.compute as pc
import pytest

from uss_ray.cli import find as find_module
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.results.index.table import INDEX_STATUSES, ActiveSpan, IndexRow, read_index, write_index


@pytest.fixture
def output(tmp_path: Path) -> Path:
    def row(number: int, node_id: str, label: str, probability: float) -> IndexRow:
        spans = tuple(
            ActiveSpan(start_seconds=4.0 * at, end_seconds=4.0 * at + 2) for at in range(number + 1)
        )
        return IndexRow(
            run_id="run",
            recording_id=f"field/å {number}.wav",
            recording_uri=f"archive/field/å {number}.wav",
            node_id=node_id,
            label=label,
            level=3,
            kind="node",
            status="written",
            probability=probability,
            active_spans=spans,
            stem_uri=f"field/å {number}.wav/level-3/{label.lower()}.flac",
            stem_sha256="ab" * 32,
            stem_bytes=12,
            weights_name="starter",
            weights_sha256="cd" * 32,
        )

    rows = [row(0, "/m/0bt9lr", "Dog", 0.9), row(1, "/m/05tny_", "Bark", 0.6), row(4, "/m/01yrx", "Cat", 0.8)]
    write_index(rows, path=tmp_path / "index" / "0.parquet")
    return tmp_path


def test_a_table_shows_recording_spans_probability_and_stem(command, output):
    ran = command("find", output, "--class", "Dog", "--min-probability", "0.5")
    assert ran.exit_code == 0
    dog, bark = (line for line in ran.out.splitlines() if "field/å" in line)
    for shown in ("field/å 0.wav", "Dog", "written", "0.90", "2.0", "0.0–2.0"):
        assert shown in dog
    assert "0.0–2.0, 4.0–6.0" in bark
    assert "2 rows, 2 recordings, 6.0 s" in ran.err
    assert "There are more" not in ran.err


def test_exactly_the_sound_named_can_be_asked_for(command, output):
    ran = command("find", output, "--class", "/m/0bt9lr", "--exact", "--json")
    assert [json.loads(line)["label"] for line in ran.out.splitlines()] == ["Dog"]


@pytest.mark.parametrize("by", ["probability", "seconds"])
@pytest.mark.parametrize("form", ["--json", "--csv", "--labels"])
def test_of_many_findings_a_few_are_in_memory_while_they_are_sorted(
    command, output, monkeypatch, tmp_path, by, form
):
    rows = read_index(output).to_pylist()
    more = [
        row | {"recording_id": f"{number % 7}/{number}.wav", "probability": number % 5 / 8}
        for number in range(20)
        for row in rows
    ]
    write_index([IndexRow.from_record(row) for row in more], path=output / "index" / "1.parquet")
    asked = ["find", output, "--sort", by, form, *(["audacity"] if form == "--labels" else [])]

    def shown(folder: str) -> object:
        out = command(*asked, *(["--labels-folder", tmp_path / folder] if form == "--labels" else [])).out
        labels = sorted((tmp_path / folder).rglob("*.txt"))
        return out.replace(str(tmp_path / folder), ""), [path.read_text() for path in labels]

    whole, sort, held = shown("a"), sorted, []
    monkeypatch.setattr(find_module, "_SORTED_AT_ONCE", 5)
    monkeypatch.setattr(
        find_module, "sorted", lambda found, **how: held.append(sort(found, **how)) or held[-1], raising=False
    )
    assert shown("b") == whole
    assert max(map(len, held)) == 5


def test_json_is_an_object_a_line_with_everything(command, output):
    ran = command("find", output, "--json", "--limit", 2)
    dog, bark = map(json.loads, ran.out.splitlines())
    assert dog["recording_id"] == "field/å 0.wav"
    assert dog["probability"] == pytest.approx(0.9)
    assert dog["spans"] == [{"start_seconds": 0.0, "end_seconds": 2.0, "stem": None}]
    assert dog["stem"] == str(output / "field/å 0.wav/level-3/dog.flac")
    assert len(bark["spans"]) == 2


def test_csv_has_a_row_for_each_span(command, output):
    ran = command("find", output, "--csv", "--class", "Bark", "--class", "Cat")
    rows = list(csv.DictReader(ran.out.splitlines()))
    assert [(row["label"], row["start_seconds"]) for row in rows[:3]] == [
        ("Bark", "0.0"),
        ("Bark", "4.0"),
        ("Cat", "0.0"),
    ]
    assert len(rows) == 7
    assert {row["stem"] for row in rows[:2]} == {str(output / "field/å 1.wav/level-3/bark.flac")}
    assert rows[0]["end_seconds"] == "2.0"


def test_words_are_matched_and_it_is_said_for_what(command, output):
    ran = command("find", output, "--text", "dog barking")
    assert ran.exit_code == 0
    assert "'dog barking' is taken as Bark" in ran.err
    assert "1 rows" in ran.err
    for machine in ("--json", "--csv"):
        ran = command("find", output, "--text", "dog barking", machine)
        assert "'dog barking' is taken as Bark" in ran.err
        assert "taken as" not in ran.out


def test_of_two_sounds_that_fit_the_one_that_the_weights_know_is_meant(command, output, monkeypatch):
    assert command("find", output, "--text", "girl singing", "--json").exit_code == 4
    vocabulary = Vocabulary.load()
    child = frozenset(vocabulary.class_indexes(vocabulary.resolve("Child singing").node_id))
    monkeypatch.setattr("uss_ray.weights.locate.known_classes_here", {"cd" * 32: child}.get)
    ran = command("find", output, "--text", "girl singing", "--json")
    assert ran.exit_code == 0
    assert "is taken as Child singing" in ran.err


def test_of_what_is_not_found_it_is_said_what_the_index_has(command, output):
    ran = command("find", output, "--class", "Dog", "--status", "unknown")
    assert "Nothing of it; the index has of it: 2 written (--status)" in ran.err
    assert "The index has no row of it." in command("find", output, "--class", "Siren", "--json").err


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--min-probability", "0.95"], "2 written below --min-probability 0.95; 1 absent (--status)"),
        (["--min-seconds", "20", "--exact"], "1 written below --min-seconds 20"),
        (
            ["--min-probability", "0.7", "--min-seconds", "4", "--exact"],
            "1 written below --min-probability 0.7 or --min-seconds 4",
        ),
        (
            ["--min-probability", "0.95", *(f"--status={status}" for status in INDEX_STATUSES)],
            "2 written, 1 absent below --min-probability 0.95",
        ),
        (
            ["--min-probability", "0.95", "--status", "absent"],
            "1 absent below --min-probability 0.95; 2 written (--status)",
        ),
    ],
)
def test_of_what_is_below_what_was_asked_for_at_least_it_is_said_that_it_is_there(
    command, output, asked, told
):
    [dog] = read_index(output).filter(pc.field("label") == "Dog").to_pylist()
    nothing = dict.fromkeys(("stem_uri", "stem_sha256", "stem_bytes"))
    absent = {
        "status": "absent",
        "active_spans": [],
        "node_id": "/m/05tny_",
        "label": "Bark",
        "probability": 0.1,
    }
    write_index([IndexRow.from_record(dog | nothing | absent)], path=output / "index" / "1.parquet")
    ran = command("find", output, "--class", "Dog", *asked)
    assert f"Nothing of it; the index has of it: {told}\n" in ran.err


def test_of_what_is_absent_it_is_said_how_much_is_doubtful(command, output):
    [found] = read_index(output).filter(pc.field("label") == "Cat").to_pylist()
    facts = {name: found[name] for name in ("run_id", "recording_uri", "weights_name", "weights_sha256")}
    rows = [
        IndexRow(
            **facts, recording_id=f"{number}.wav", node_id="/m/03kmc9", label="Siren", level=2, kind="node",
            status="absent", probability=probability, certainty=certainty,
        )
        for number, (probability, certainty) in enumerate([(0.1, "doubtful"), (0.0, "sure"), (0.05, "doubtful")])
    ]  # fmt: skip
    write_index(rows, path=output / "index" / "1.parquet")
    told = command("find", output, "--class", "Siren").err
    assert "the index has of it: 3 absent (of 2 it is doubtful that they are absent)" in told


def test_a_table_says_when_it_is_not_all(command, output):
    ran = command("find", output, "--limit", 1)
    assert ran.out.count("field/å") >= 1
    assert "1 rows, 1 recordings" in ran.err
    assert "There are more" in ran.err


def test_many_spans_are_cut_short_in_the_table(command, output):
    assert "8.0–10.0, +2" in command("find", output, "--class", "Cat").out


def test_a_pipe_gets_a_line_a_row_with_tabs(command, output):
    lines = command("find", output, "--quiet").out.splitlines()
    assert lines[0].split("\t")[:2] == ["Recording", "Sound"]
    assert [line.split("\t")[1] for line in lines[1:]] == ["Dog", "Bark", "Cat"]
    assert command("find", output, "--quiet").err == ""


@pytest.mark.parametrize(("by", "first"), [("index", "Dog"), ("probability", "Dog"), ("seconds", "Cat")])
def test_what_comes_first_can_be_chosen(command, output, by, first):
    labels = [
        json.loads(line)["label"] for line in command("find", output, "--sort", by, "--json").out.splitlines()
    ]
    assert labels[0] == first
    assert len(labels) == 3
    ran = command("find", output, "--sort", by, "--limit", 1)
    assert first in ran.out.splitlines()[1]
    assert "There are more" in ran.err


@pytest.mark.parametrize(
    ("named", "labels"),
    [
        ("field/å 0.wav", ["Dog"]),
        ("field/å ?.wav", ["Dog", "Bark", "Cat"]),
        ("*1.wav", ["Bark"]),
        ("å 0.wav", []),
    ],
)
def test_recordings_are_named_by_id_or_pattern(command, output, named, labels):
    ran = command("find", output, "--recording", named, "--json")
    assert [json.loads(line)["label"] for line in ran.out.splitlines()] == labels


def test_the_folder_of_a_recording_is_searched_for_that_recording(command, output):
    folder = output / "field" / "å 4.wav"
    folder.mkdir(parents=True)
    assert [json.loads(line)["label"] for line in command("find", folder, "--json").out.splitlines()] == [
        "Cat"
    ]
    below = command("find", output / "field", "--json").out.splitlines()
    assert [json.loads(line)["label"] for line in below] == ["Dog", "Bark", "Cat"]
    refused = command("find", folder, "--recording", "x")
    assert refused.exit_code == 2
    assert "the folder of field/å 4.wav" in refused.err


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (["--class", "dgo"], 4, "near: Dog"),
        (["--min-probability", "2"], 2, "--min-probability: expected at most 1, found 2"),
        (["--status", "lost"], 2, "status: expected one of written, detected"),
        (["--json", "--csv"], 2, "--json, --csv, --labels: expected one of them"),
        (["--labels", "vtt", "--csv"], 2, "--json, --csv, --labels: expected one of them"),
        (["--labels", "praat"], 2, "labels"),
        (["--labels-folder", "mine"], 2, "--labels-folder: expected --labels beside it, found none"),
        (["--storage-endpoint", "http://me:secret@store"], 2, "endpoint"),
    ],
)
def test_a_wrong_wish_is_one_line(command, output, arguments, exit_code, said):
    ran = command("find", output, *arguments)
    assert ran.exit_code == exit_code
    assert said in ran.err
    assert "secret" not in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize("below", ["field/å 9.wav", "field/å 0", "index"])
def test_a_recording_that_the_index_has_not_is_an_error_and_no_empty_table(command, output, below):
    ran = command("find", output / below)
    assert (ran.exit_code, ran.out) == (4, "")
    assert ran.err == f"error: {output / below}: expected a recording of the index, found no row of it\n"
    assert command("find", output, "--recording", below).exit_code == 4
    assert command("find", output, "--recording", "field/*", "--class", "Speech").exit_code == 0


def test_a_place_without_an_index_is_an_error(command, tmp_path):
    ran = command("find", tmp_path / "nothing")
    assert ran.exit_code == 7
    assert "expected an index" in ran.err


@pytest.mark.slow
def test_a_reader_that_has_enough_ends_it_without_a_word(output):
    part = (output / "index" / "0.parquet").read_bytes()
    for number in range(1, 400):
        (output / "index" / f"{number}.parquet").write_bytes(part)
    script = Path(sys.executable).with_name("uss-ray")
    with subprocess.Popen(
        [script, "find", output, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert json.loads(running.stdout.readline())["label"] == "Dog"
        running.stdout.close()
        assert running.stderr.read() == ""
        assert running.wait(timeout=300) == 0


def test_what_was_found_becomes_labels_beside_the_stems_or_elsewhere(command, output, tmp_path):
    ran = command("find", output, "--class", "Dog", "--labels", "audacity", "rttm")
    assert ran.exit_code == 0
    assert "3 labels of 2 recordings" in ran.out
    beside = output / "field" / "å 1.wav"
    assert (beside / "labels.txt").read_text() == ("0.000000\t2.000000\tBark\n4.000000\t6.000000\tBark\n")
    assert (beside / "labels.rttm").exists()
    assert not (output / "field" / "å 4.wav").exists()
    command("find", output, "--labels", "csv", "--labels-folder", tmp_path / "mine")
    assert len(list((tmp_path / "mine").rglob("labels.csv"))) == 3


@pytest.mark.parametrize(
    "asked", [["--class", "Siren"], ["--text", "siren"], ["--class", "Alarm", "--min-seconds", "1"]]
)
def test_of_what_lies_in_a_union_it_is_said_in_which(command, output, asked):
    [found] = read_index(output).filter(pc.field("label") == "Dog").to_pylist()
    union = {"kind": "union", "level": None}
    rows = [
        IndexRow.from_record(found | union | {"node_id": f"query:{key}", "label": label})
        for key, label in (
            ("siren-dog", "Siren + Dog"),
            ("dog-cat", "Dog + Cat"),
            ("siren-dog", "Siren + Dog"),
        )
    ]
    write_index(rows, path=output / "index" / "1.parquet")
    told = command("find", output, *asked).err
    assert told.count("The union Siren + Dog has it, in a stem with others: --class query:siren-dog") == 1
    assert "Dog + Cat" not in told
    assert "2 rows" in command("find", output, "--class", "query:siren-dog").err
