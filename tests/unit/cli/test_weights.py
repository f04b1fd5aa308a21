"""`uss-ray weights`: what is known, shown and imported."""

from __future__ import annotations

import json


def test_known_weights_are_listed(command):
    ran = command("weights", "list")
    assert ran.exit_code == 0
    for name in ("starter", "panns-cnn14", "uss-resunet30"):
        assert name in ran.out


def test_weights_are_checked_and_shown(command, tiny_weights):
    ran = command("weights", "show", tiny_weights)
    assert ran.exit_code == 0
    assert "of 527 classes" in ran.out
    assert "32000 Hz" in ran.out


def test_programs_get_json(command):
    listed = [json.loads(line) for line in command("weights", "list", "--json").out.splitlines()]
    assert [known["name"] for known in listed][:5] == [
        "starter",
        "starter-v1",
        "starter-large",
        "starter-large-v2",
        "panns-cnn14",
    ]
    assert listed[4]["download_bytes"] > 3e8
    shown = json.loads(command("weights", "show", "starter-v1", "--classes", "--json").out)
    assert shown["knows"] == "128 of 527 classes"
    assert shown["classes"][0] == {"index": 0, "class_id": "/m/09x0r", "label": "Speech"}
    assert len(shown["classes"]) == 128


def test_what_is_not_fetched_is_shown_and_stays_so(command, tmp_path, monkeypatch):
    monkeypatch.setenv("USS_RAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("USS_RAY_WEIGHTS_BASE", "https://me:geheim@models.invalid/base")
    for name, said in (("htsat", "a size that is not stated"), ("starter-v1", "10 MB")):
        ran = command("weights", "show", name)
        assert ran.exit_code == 0, ran.err
        assert f"not on this machine (uss-ray weights fetch {name})" in ran.out
        assert said in ran.out
        assert "models.invalid/base" in ran.out
        assert "geheim" not in ran.out
    assert json.loads(command("weights", "show", "starter-v1", "--json").out)["sha256"].startswith("ba3798")
    ran = command("weights", "show", "starter-v1", "--classes")
    assert ran.exit_code == 5
    assert "uss-ray weights fetch starter-v1" in ran.err
    assert not (tmp_path / "cache").exists()


def test_an_unknown_name_cannot_be_fetched(command):
    ran = command("weights", "fetch", "no-such-weights")
    assert ran.exit_code == 5
    assert "panns-cnn14" in ran.err


def test_a_file_that_holds_no_weights_cannot_be_imported(command, tmp_path):
    file = tmp_path / "Cnn14_mAP=0.431.pth"
    file.write_bytes(b"not a checkpoint")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    ran = command("weights", "import", file, "-o", tmp_path / "mine")
    assert (ran.exit_code, "expected no weights yet" in " ".join(ran.err.split())) == (6, True)
    ran = command("weights", "import", file, "-o", tmp_path / "imported")
    assert ran.exit_code == 5
    assert "Cnn14_mAP=0.431.pth" in ran.err
    assert not (tmp_path / "imported").exists()


def test_the_classes_that_weights_know_are_listed(command):
    ran = command("weights", "show", "starter-v1", "--classes")
    assert ran.exit_code == 0
    assert "128 of 527 classes" in ran.out
    assert "Speech (/m/09x0r)" in ran.out
    assert "Siren (" not in ran.out


def test_the_card_of_weights_is_written(command, tiny_weights, tmp_path):
    ran = command("weights", "card", tiny_weights, "--hours", "1.5", "-o", tmp_path / "card.md")
    assert ran.exit_code == 0
    assert "- Hours: 1.5" in (tmp_path / "card.md").read_text()
    ran = command("weights", "card", tiny_weights, "--data", tmp_path, "-o", tmp_path / "card.md")
    assert ran.exit_code == 7
    assert "metadata/train_segments.csv" in ran.err
