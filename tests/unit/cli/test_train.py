"""`uss-ray train`: a run from its files, shown and exported; the starter from a data set, or from anchors."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.synthetic_set import SyntheticSet, make_held_out, training_of
from uss_ray.config import to_yaml
from uss_ray.pipelines import starter


@pytest.fixture
def called(monkeypatch):
    """Take the place of the two ways to train, and say which was taken."""
    calls: list[tuple[str | Path | None, ...]] = []

    def train(source, output, *, work, segments):
        calls.append(("data", source, output, work, segments))
        return output

    def train_from_anchors(source, output, *, weights, work):
        calls.append((weights, source, output, work))
        return output

    monkeypatch.setattr(starter, "train_starter", train)
    monkeypatch.setattr(starter, "train_starter_from_anchors", train_from_anchors)
    return calls


def test_a_data_set_is_trained_from_the_start(command, called, tmp_path):
    out = tmp_path / "out"
    ran = command("train", "starter", tmp_path, "-o", out, "--work", "w")
    assert ran.exit_code == 0
    assert called == [("data", tmp_path, out, Path("w"), None)]
    assert f"Weights: {out}" in ran.out
    assert command("train", "starter", tmp_path, "-o", out, "--segments", "known.csv").exit_code == 0
    assert called[1][-1] == Path("known.csv")


def test_anchors_are_trained_from_with_the_weights_that_mined_them(command, called, tmp_path):
    out = tmp_path / "out"
    (tmp_path / "manifest.json").write_text("{}")
    assert command("train", "starter", tmp_path, "-o", out, "--weights", "mine").exit_code == 0
    assert called == [("mine", tmp_path, out, Path("runs/starter"))]
    ran = command("train", "starter", tmp_path, "-o", out, "--segments", "known.csv")
    assert ran.exit_code == 2
    assert "--segments: expected a data set before it, found anchors" in ran.err


def test_a_recipe_that_has_ended_says_so_and_trains_no_more(command, called, monkeypatch, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "config.json").write_text("{}")
    asked = ("train", "starter", tmp_path, "-o", out)
    foreign = command(*asked)
    assert foreign.exit_code == 6
    assert "expected no weights yet" in " ".join(foreign.err.split())
    monkeypatch.setattr(starter, "is_made_of_data", lambda *_, **__: True)
    again = command(*asked)
    assert (again.exit_code, called) == (0, [])
    assert again.out == f"Weights: {out}, made by this command before; nothing is left to do\n"
    assert command(*asked, "--overwrite").exit_code == 0
    assert len(called) == 1


@pytest.mark.slow
def test_a_run_is_trained_shown_and_exported(command, synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    file, run = tmp_path / "run.yaml", tmp_path / "run"
    held_out = make_held_out(tmp_path / "held")
    values = training_of(synthetic_set, run).replace(validation=held_out)
    text = to_yaml(values).replace("\n", "\n  ")
    file.write_text(f"request:\n  {text}")
    ran = command("train", "separator", file, "--fit.log-steps", 3)
    assert ran.exit_code == 0, ran.err
    assert "step 3: loss" in ran.out
    assert "step 3: scoring on 4 mixtures" in ran.out
    assert ran.out.count(" dB, class-mean query, 4 mixtures") == 2
    assert "6 of 6 steps" in ran.out
    shown = command("train", "show", run)
    assert "small: 6 of 6 steps" in shown.out
    assert "Finished; last checkpoint step-000000006." in shown.out
    assert "Validations, class-mean query, 4 mixtures" in shown.err
    assert shown.out.count("*") == 1
    best = command("train", "export", run, "-o", tmp_path / "best", "--best")
    assert best.exit_code == 0, best.err
    exported = command("train", "export", run, "-o", tmp_path / "weights", "--step", 3)
    assert exported.out.startswith("Weights: ")
    assert (tmp_path / "weights" / "separator.safetensors").is_file()
    kept = (tmp_path / "weights" / "config.json").read_bytes()
    other = command("train", "export", run, "-o", tmp_path / "weights", "--best")
    assert other.exit_code == 6
    assert "expected no weights yet (--overwrite replaces them), found MODEL_CARD.md" in " ".join(
        other.err.split()
    )
    assert (tmp_path / "weights" / "config.json").read_bytes() == kept
    other = command("train", "export", run, "-o", tmp_path / "weights", "--best", "--overwrite")
    assert other.exit_code == 0, other.err
    missing = command("train", "export", run, "-o", tmp_path / "none", "--step", 4)
    assert missing.exit_code == 7
    assert "expected a checkpoint of step 4, found steps 3, 6" in missing.err
    both = command("train", "export", run, "-o", tmp_path / "none", "--best", "--step", 3)
    assert (both.exit_code, "expected a step or the best one" in both.err) == (2, True)
    other = command("train", "separator", file, "--loss.kind", "l1")
    assert other.exit_code == 2
    assert "recipe.loss.kind l1-relative, as the run there" in other.err


def test_an_unknown_key_of_a_recipe_names_the_nearest(command, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("request: {anchors: a, output: b, recipe: {name: c, fit: {steps: 1}, mixture: {}}}")
    ran = command("train", "separator", file)
    assert ran.exit_code == 2
    assert "mixtures" in ran.err


def test_the_help_of_training_names_its_files(command) -> None:
    for name in ("separator", "tagger"):
        assert "FILES" in command("train", name, "--help").out.splitlines()[0]
