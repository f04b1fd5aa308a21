from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from uss_ray.results.index.table import read_index


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def stems_of(out):
    return sorted(
        str(path.relative_to(out))
        for path in out.rglob("*")
        if path.is_file() and path.suffix in {".flac", ".wav"}
    )


def test_levels_give_stems_index_and_report(separate, make_recording, out):
    ran = separate(make_recording("a.wav"), "--levels", 1, 2)
    assert (ran.exit_code, ran.err) == (0, "")
    assert stems_of(out) == [
        "a.wav/level-1/animal__m_0jbk.flac",
        "a.wav/level-1/human-sounds__m_0dgw9r.flac",
        "a.wav/level-1/music__m_04rlf.flac",
        "a.wav/level-1/residual.flac",
        "a.wav/level-2/domestic-animals-pets__m_068hy.flac",
        "a.wav/level-2/human-voice__m_09l8g.flac",
        "a.wav/level-2/residual.flac",
    ]
    rows = read_index(out).to_pylist()
    assert {row["status"] for row in rows} == {"written", "absent"}
    assert (out / "a.wav" / "report.html").stat().st_size > 10_000
    assert (out / "index.html").is_file()
    assert "Animal" in ran.out
    assert "5 written" in ran.out
    assert str(out / "a.wav") in ran.out


def test_nothing_asked_for_is_the_events(separate, make_recording, out):
    assert separate(make_recording("a.wav"), "--no-report").exit_code == 0
    rows = read_index(out).to_pylist()
    assert {row["kind"] for row in rows} == {"event", "residual"}
    written = {row["stem_uri"] for row in rows if row["stem_uri"]}
    assert written == set(stems_of(out))
    assert not (out / "a.wav" / "report.html").exists()
    assert not (out / "index.html").exists()


def test_stems_are_there_even_where_the_page_of_the_output_cannot_be_made(separate, make_recording, out):
    (out / "index").mkdir(parents=True)
    (out / "index" / "strange.parquet").write_bytes(b"no such thing")
    ran = separate(make_recording("a.wav"), "--levels", 1)
    assert ran.exit_code == 0
    assert "no page of the output:" in ran.err
    assert stems_of(out)
    assert not (out / "index.html").exists()


def test_stems_have_the_recordings_rate_channels_and_length(separate, make_recording, out):
    recording = make_recording("stereo.wav", sample_rate=44_100, channels=2, seconds=2.3)
    assert separate(recording, "--levels", 1, "--no-report").exit_code == 0
    expected = sf.info(recording)
    for stem in stems_of(out):
        info = sf.info(out / stem)
        assert (info.samplerate, info.channels, info.frames) == (44_100, 2, expected.frames)


def test_stems_and_residual_sum_to_the_mixture(separate, make_recording, out):
    recording = make_recording("a.wav", subtype="FLOAT")
    assert separate(recording, "--levels", 1, "--format", "wav", "--no-report").exit_code == 0
    total = sum(sf.read(out / stem)[0] for stem in stems_of(out))
    np.testing.assert_allclose(total, sf.read(recording)[0], atol=1e-6)


def test_classes_come_by_index_id_and_label_one_stem_each(separate, make_recording, out):
    ran = separate(
        make_recording("a.wav"), "--classes", "0", "/m/0bt9lr", "music", "--no-report", "--no-residual"
    )
    assert ran.exit_code == 0
    assert stems_of(out) == ["a.wav/query/dog.flac", "a.wav/query/music.flac", "a.wav/query/speech.flac"]


def test_a_union_is_one_stem(separate, make_recording, out):
    ran = separate(
        make_recording("a.wav"), "--classes", "Dog", "Speech", "--union", "--no-report", "--no-residual"
    )
    assert ran.exit_code == 0
    assert stems_of(out) == ["a.wav/query/dog-speech.flac"]
    assert read_index(out).to_pylist()[0]["kind"] == "union"


def test_a_text_says_what_it_is_taken_for(separate, make_recording, out):
    ran = separate(make_recording("a.wav"), "--text", "a dog", "--no-report")
    assert ran.exit_code == 0
    assert "'a dog' is taken as Dog (/m/0bt9lr)" in ran.err
    assert "a.wav/query/dog.flac" in stems_of(out)


def test_example_recordings_are_a_query(separate, make_recording, out):
    examples = make_recording("whistles/one.flac", seconds=1.0).parent
    make_recording("whistles/two.wav", sample_rate=16_000, channels=2, seconds=2.5)
    ran = separate(make_recording("a.wav"), "--query-dir", examples, "--no-report")
    assert ran.exit_code == 0
    assert "a.wav/query/whistles.flac" in stems_of(out)


def test_what_is_excluded_leaves_a_stem_of_everything_else(separate, make_recording, out):
    ran = separate(make_recording("a.wav"), "--exclude", "Dog", "--no-report", "--no-residual")
    assert ran.exit_code == 0
    assert stems_of(out) == ["a.wav/query/everything-but-dog.flac"]


def test_a_higher_threshold_makes_sounds_absent(separate, make_recording, out):
    assert separate(make_recording("a.wav"), "--levels", 1, "--threshold", "0.95").exit_code == 0
    rows = [row for row in read_index(out).to_pylist() if row["kind"] != "residual"]
    assert {row["status"] for row in rows} == {"absent"}


@pytest.mark.parametrize(
    "options",
    [
        ["--profile", "published"],
        ["--condition", "class-mean"],
        ["--channels", "independent"],
        ["--precision", "tfloat32"],  # without effect on a CPU
        ["--consistency"],
    ],
)
def test_every_way_to_separate_can_be_chosen_and_stands_in_the_index(separate, make_recording, out, options):
    ran = separate(make_recording("a.wav", seconds=0.5, channels=2), "--levels", 1, "--no-report", *options)
    assert ran.exit_code == 0, ran.err
    chosen = {"published": '"joins": "hard"', "--consistency": '"mixture_consistency": true'}.get(
        options[-1], f'"{options[-1]}"'
    )
    assert chosen in read_index(out).to_pylist()[0]["settings"]


def test_results_are_replaced_only_when_asked_for(separate, make_recording, out):
    recording = make_recording("a.wav")
    assert separate(recording, "--levels", 1, "--no-report").exit_code == 0
    again = separate(recording, "--classes", "Dog", "--no-report")
    assert again.exit_code == 6
    assert "no results yet, or --overwrite, found results of an earlier run" in again.err
    assert len(stems_of(out)) == 4
    assert separate(recording, "--classes", "Dog", "--no-report", "--overwrite").exit_code == 0
    assert stems_of(out) == ["a.wav/query/dog.flac", "a.wav/query/residual.flac"]
    assert [row["label"] for row in read_index(out).to_pylist()] == ["Dog", "Residual"]


def test_another_ontology_and_class_list_can_take_audiosets_place(command, make_recording, tmp_path):
    from uss_ray.ontology.classes import ClassList
    from uss_ray.ontology.graph import Ontology

    ontology, classes = tmp_path / "sounds.json", tmp_path / "classes.csv"
    ids = ClassList.load().ids
    entries = ", ".join(
        f'{{"id": "{id_}", "name": "Creature {n}", "child_ids": []}}' for n, id_ in enumerate(ids)
    )
    ontology.write_text(f"[{entries}]")
    classes.write_text(
        "index,mid,display_name\n" + "".join(f"{n},{id_},Creature {n}\n" for n, id_ in enumerate(ids))
    )
    ran = command(
        "ontology", "--find", "creature 7", "--level", 1, "--ontology", ontology, "--class-list", classes
    )
    assert ran.exit_code == 0
    assert ran.out.startswith("Creature 7  /m/")
    assert len(Ontology.load(ontology).roots) == len(ids)


def test_a_sound_that_the_weights_do_not_know_is_refused_before_any_work(command, make_recording, out):
    ran = command("separate", make_recording("a.wav"), "-o", out, "--classes", "Siren")
    assert ran.exit_code == 4
    assert ran.err.startswith("error: Siren: expected a sound that the weights were trained on (nearest: ")
    assert not out.exists() or not any(out.iterdir())
    ran = command("separate", make_recording("b.wav"), "-o", out, "--classes", "Siren", "--allow-unknown")
    assert ran.exit_code == 0, ran.err
    (row,) = [row for row in read_index(out).to_pylist() if row["kind"] != "residual"]
    assert row["status"] in ("written", "silent")
    assert row["probability"] is None


def test_levels_tell_unknown_from_absent(command, make_recording, out):
    ran = command("separate", make_recording("a.wav"), "-o", out, "--levels", 2, "--write", "index-only")
    assert ran.exit_code == 0, ran.err
    assert "15 unknown" in ran.out
    found = command("find", out, "--class", "Whistling", "--status", "unknown", "--json")
    assert '"status": "unknown"' in found.out
    assert command("find", out, "--class", "Whistling", "--status", "absent", "--json").out == ""


def test_several_recordings_and_folders_go_one_after_the_other(
    command, make_recording, tiny_weights, tmp_path, out
):
    make_recording("tapes/a.wav", seconds=1.0)
    make_recording("tapes/b.wav", seconds=1.0)
    (tmp_path / "letter.wav").write_text("this is a letter")
    line = [
        "separate",
        tmp_path / "in" / "tapes",
        tmp_path / "letter.wav",
        "-o",
        out,
        "--weights",
        tiny_weights,
    ]
    line += ["--class", "Dog", "--no-report", "--no-residual"]
    ran = command(*line, "--json")
    assert ran.exit_code == 8
    told = {record["recording_id"]: record for record in map(json.loads, ran.out.splitlines())}
    assert {name: record["status"] for name, record in told.items()} == {
        "a.wav": "separated",
        "b.wav": "separated",
        "letter.wav": "failed",
    }
    assert told["a.wav"]["rows"][0]["stem_uri"] == "a.wav/query/dog.flac"
    assert "error: " in ran.err
    assert "2 separated, 1 failed" in ran.err
    assert stems_of(out) == ["a.wav/query/dog.flac", "b.wav/query/dog.flac"]
    again = command(*line)
    assert again.exit_code == 8
    assert "2 done before, 1 failed" in again.err
    failed = [json.loads(line) for line in (out / "failed.jsonl").read_text().splitlines()]
    assert [(one["recording_id"], "expected" in one["reason"]) for one in failed] == [("letter.wav", True)]
    make_recording("tapes/b.wav", seconds=1.0).replace(tmp_path / "letter.wav")
    assert command(*line).exit_code == 0
    assert (out / "failed.jsonl").read_text() == ""


@pytest.mark.parametrize("recordings", ["a", "ab"])
def test_what_a_folder_holds_and_nobody_may_list_is_not_done(
    command, make_recording, tiny_weights, tmp_path, out, monkeypatch, recordings
):
    for name in recordings:
        make_recording(f"tapes/{name}.wav", seconds=0.5)
    make_recording("tapes/closed/c.wav", seconds=0.5)
    scan = os.scandir

    def refuse(path):  # tests may run as root, whom nothing is refused
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    line = ["separate", tmp_path / "in/tapes", "-o", out, "--weights", tiny_weights, "--class", "Dog"]
    ran = command(*line, "--no-report", "--no-residual", "--quiet")
    assert ran.exit_code == 8
    told = "left out of the listing (1 counted as failed): closed: no permission"
    assert ran.err == f"error: {told}\n"
    assert stems_of(out) == [f"{name}.wav/query/dog.flac" for name in recordings]


def test_nothing_but_results_and_errors_is_written_when_it_should_be_quiet(separate, make_recording):
    ran = separate(make_recording("a.wav"), "--text", "a dog", "--no-report", "--quiet")
    assert (ran.exit_code, ran.out, ran.err) == (0, "", "")


@pytest.fixture
def piped(tiny_weights):
    def run_it(*arguments, sound=b""):
        script = Path(sys.executable).with_name("uss-ray")
        line = [script, "separate", *map(str, arguments), "--weights", str(tiny_weights)]
        return subprocess.run(line, input=sound, capture_output=True, check=False)

    return run_it


@pytest.mark.slow
def test_a_recording_comes_from_a_pipe_and_one_stem_goes_to_another(piped, make_recording, out):
    recording = make_recording("a.wav", seconds=1.3)
    ran = piped("-", "-o", "-", "--text", "a dog", "--format", "wav", sound=recording.read_bytes())
    assert ran.returncode == 0, ran.stderr
    assert b"taken as Dog" in ran.stderr
    stem, rate = sf.read(io.BytesIO(ran.stdout))
    assert (len(stem), rate) == (sf.info(recording).frames, sf.info(recording).samplerate)
    assert piped("-", "-o", out, "--levels", "1", "--no-report", sound=recording.read_bytes()).returncode == 0
    assert "stdin.stems/level-1/residual.flac" in stems_of(out)
    with sf.SoundFile(recording, "w", 32_000, 9, "PCM_24") as file:
        file.title = "The yard"
        file.write(np.zeros((10_001, 9)))
    with sf.SoundFile(io.BytesIO(piped(recording, "-o", "-", "--class", "Dog").stdout)) as silence:
        assert (silence.frames, silence.samplerate, np.abs(silence.read()).max()) == (10_001, 32_000, 0)
        assert (silence.format, silence.subtype) == ("WAV", "PCM_24"), (
            "as a stem that sounds: 9 channels are no FLAC"
        )
        assert silence.title == "The yard"
        assert "Dog (/m/0bt9lr), separated by USS-Ray" in silence.comment


def test_only_one_stem_fits_into_a_pipe(command, make_recording):
    recording = make_recording("a.wav")
    for asked in (["--levels", "1"], ["--classes", "Dog", "Cat"], ["--class", "Dog", "--text", "a cat"], []):
        ran = command("separate", recording, "-o", "-", *asked)
        assert ran.exit_code == 2
        assert "-o -: expected one sound to be asked for" in ran.err


def test_who_stops_several_is_told_how_many_are_done(
    command, make_recording, tiny_weights, tmp_path, out, monkeypatch
):
    def stopped(*_args, **_options):
        raise SystemExit(130)

    make_recording("tapes/a.wav", seconds=1.0)
    make_recording("tapes/b.wav", seconds=1.0)
    monkeypatch.setattr("uss_ray.api.several.separate_each", stopped)
    ran = command(
        "separate", tmp_path / "in" / "tapes", "-o", out, "--class", "Dog", "--weights", tiny_weights
    )
    assert ran.exit_code == 130
    assert "Stopped: 0 of 2 are done; the same command goes on." in ran.err


def test_an_empty_folder_is_not_told_to_hold_manifests(command, tiny_weights, tmp_path, out):
    (tmp_path / "empty").mkdir()
    ran = command("separate", tmp_path / "empty", "-o", out, "--weights", tiny_weights)
    assert "expected recordings (WAV, FLAC, OGG, MP3 …), found none" in ran.err
