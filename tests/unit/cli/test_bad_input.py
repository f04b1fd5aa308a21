"""What a user can get wrong: one line that names item, expected and found, an exit code, and nothing half-written."""

from __future__ import annotations

import json
import resource
import shutil

import numpy as np
import pytest
import soundfile as sf


def assert_refused(ran, out, *, exit_code, words):
    assert ran.exit_code == exit_code
    assert ran.err.count("\n") == 1, ran.err
    assert ran.err.startswith("error: ")
    assert ": expected " in ran.err
    assert ", found " in ran.err
    for word in words:
        assert word in ran.err
    left = [path for path in out.rglob("*") if path.is_file()] if out.is_dir() else []
    assert not left


def not_audio(path):
    path.write_text("this is a letter")


def empty(path):
    path.write_bytes(b"")


def truncated(path):
    sf.write(path, np.zeros(32_000), 32_000, subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:20_000])


def with_nan(path):
    samples = np.zeros(32_000, dtype=np.float32)
    samples[16_000] = np.nan
    sf.write(path, samples, 32_000, subtype="FLOAT")


def missing(path):
    path.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("spoil", "found"),
    [(not_audio, "cannot be decoded"), (empty, "0 bytes"), (truncated, "cut off"), (with_nan, "NaN at 0.500 s"),
     (missing, "no such file")],
)  # fmt: skip
def test_a_recording_that_cannot_be_read_is_refused(separate, tmp_path, spoil, found):
    recording = tmp_path / "bad one.wav"
    spoil(recording)
    assert_refused(
        separate(recording, "--levels", 1), tmp_path / "out", exit_code=3, words=["bad one.wav", found]
    )


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["--classes", "Dgo"], 4, ["Dgo", "Dog"]),
        (["--classes", "528"], 4, ["528"]),
        (["--exclude", "no such thing"], 4, ["no such thing"]),
        (["--text", "xyzzy"], 4, ["xyzzy"]),
        (["--text", "bell whistle"], 4, ["bell whistle"]),
        (["--levels", "9"], 4, ["level 9"]),
        (["--levels=two"], 2, ["--levels", "two"]),
        (["--threshold", "1.5"], 2, ["threshold", "1.5"]),
        (["--profile", "loud"], 2, ["--profile", "loud"]),
        (["--condition", "guess"], 2, ["condition", "guess"]),
        (["--precision", "float16"], 2, ["precision", "'float32', 'tfloat32' or 'bfloat16'", "float16"]),
        (["--format", "aac"], 2, ["aac"]),
        (["--device", "abacus"], 2, ["abacus"]),
        (["--union"], 2, ["union"]),
    ],
)
def test_a_query_or_setting_that_means_nothing_is_refused(
    separate, make_recording, tmp_path, arguments, exit_code, words
):
    ran = separate(make_recording("a.wav"), *arguments)
    assert_refused(ran, tmp_path / "out", exit_code=exit_code, words=words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["separate", "a.wav"], ["--output"]),
        (["separate", "a.wav", "-o", "out", "--colour", "red"], ["--colour"]),
        (["separate", "a.wav", "-o", ""], ["output", "not empty"]),
        (["separate", "a.wav", "-o", "out", "--threshold", "much"], ["--threshold"]),
        (["sepparate"], ["sepparate"]),
    ],
)
def test_wrong_usage_is_one_line(command, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    ran = command(*arguments)
    assert ran.exit_code == 2
    assert ran.err.count("\n") == 1, ran.err
    assert ran.err.startswith("error: ")
    for word in words:
        assert word in ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_examples_is_refused(separate, make_recording, tmp_path):
    (tmp_path / "nothing").mkdir()
    ran = separate(make_recording("a.wav"), "--query-dir", tmp_path / "nothing")
    assert_refused(ran, tmp_path / "out", exit_code=4, words=["nothing", "example recordings"])


def altered_file(folder):
    file = folder / "separator.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def missing_file(folder):
    (folder / "tagger.safetensors").unlink()


def unknown_setting(folder):
    edit_config(folder, lambda config: config["separator"].update(colour="red"))


def missing_setting(folder):
    edit_config(folder, lambda config: config["tagger"].pop("mel_bins"))


def other_shape(folder):
    edit_config(folder, lambda config: config["tagger"].update(embedding_size=32))


def missing_key(folder):
    edit_config(folder, lambda config: config["separator"].update(bottleneck_channels=8))


def missing_folder(folder):
    shutil.rmtree(folder)


def edit_config(folder, change):
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [(altered_file, ["separator.safetensors", "sha256"]), (missing_file, ["tagger.safetensors"]),
     (unknown_setting, ["colour"]), (missing_setting, ["mel_bins"]), (other_shape, ["shape"]),
     (missing_key, ["missing"]),     (missing_folder, ["broken"])],
)  # fmt: skip
def test_weights_that_are_not_what_they_say_are_refused(
    command, make_recording, tiny_weights, tmp_path, spoil, words
):
    weights = tmp_path / "broken"
    shutil.copytree(tiny_weights, weights)
    spoil(weights)
    ran = command("separate", make_recording("a.wav"), "-o", tmp_path / "out", "--weights", weights)
    assert_refused(ran, tmp_path / "out", exit_code=5, words=words)


def test_an_output_that_is_a_file_is_refused(command, make_recording, tiny_weights, tmp_path):
    output = tmp_path / "a file"
    output.write_text("mine")
    ran = command("separate", make_recording("a.wav"), "-o", output, "--weights", tiny_weights, "--levels", 1)
    assert_refused(ran, output, exit_code=6, words=["a file"])
    assert output.read_text() == "mine"


@pytest.mark.slow
def test_a_disk_that_fills_leaves_nothing_and_the_others_unharmed(separate, make_recording, tmp_path):
    out = tmp_path / "out"
    first = make_recording("first.wav", seconds=0.5)
    assert separate(first, "--levels", 1, "--no-report").exit_code == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    second = make_recording("second.wav", seconds=6.0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    try:
        ran = separate(second, "--levels", 1, "--no-report")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ran.exit_code == 6
    assert ran.err.count("\n") == 1
    assert "expected" in ran.err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []


def test_wrong_usage_is_exit_code_2(command):
    assert command("separate", "a.wav").exit_code == 2
    assert command("seperate").exit_code == 2
    assert command("separate", "a.wav", "-o", "x", "--no-such-option").exit_code == 2


def test_debug_shows_where_an_error_comes_from(command, tmp_path):
    from uss_ray.errors import RecordingError

    with pytest.raises(RecordingError):
        command("--debug", "archive", tmp_path / "none", tmp_path / "out", "--debug")


UNUSUAL = {
    "one sample.wav": {"seconds": 0.0},
    "telephone.wav": {"sample_rate": 8_000},
    "bats.wav": {"sample_rate": 192_000, "seconds": 0.5},
    "24 bit.flac": {"subtype": "PCM_24"},
    "float.wav": {"subtype": "FLOAT"},
    "eight.wav": {"channels": 8, "seconds": 1.0},
    "  日の出 – восход — شروق.ogg": {"seconds": 1.0},
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_recording_works(separate, make_recording, tmp_path, name):
    from uss_ray.results.index.table import read_index

    recording = make_recording(name, **UNUSUAL[name])
    ran = separate(recording, "--levels", 1)
    assert (ran.exit_code, ran.err) == (0, "")
    info = sf.info(recording)
    rows = read_index(tmp_path / "out").to_pylist()
    assert {(row["sample_rate"], row["channels"], row["frames"]) for row in rows} == {
        (info.samplerate, info.channels, info.frames)
    }
    for row in rows:
        if row["status"] == "written":
            assert sf.info(tmp_path / "out" / row["stem_uri"]).frames == info.frames


def test_digital_silence_works_and_has_no_stems(separate, tmp_path):
    from uss_ray.results.index.table import read_index

    recording = tmp_path / "silence.wav"
    sf.write(recording, np.zeros(64_000), 32_000)
    assert separate(recording, "--levels", 1).exit_code == 0
    assert {row["status"] for row in read_index(tmp_path / "out").to_pylist()} <= {"absent", "silent"}
