"""What a user of `uss-ray train` can get wrong: one line that names it, the exit code of README, and no run begun."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tests.synthetic_set import LABELS, SyntheticSet, make_synthetic_set, training_of
from tests.unit.pipelines.training.test_tagger import tagger_training
from uss_ray.config import Settings, overlay, to_yaml
from uss_ray.errors import OutputError
from uss_ray.evaluation.pairs import read_pairs, write_pairs
from uss_ray.pipelines.training.request import ValidationSettings
from uss_ray.store.store import Store


@pytest.fixture(scope="module")
def without_clicks(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSet:
    return make_synthetic_set(tmp_path_factory.mktemp("without"), count=4, classes=len(LABELS) - 1)


@pytest.fixture(scope="module")
def trained_on(held_out: ValidationSettings, tmp_path_factory: pytest.TempPathFactory) -> ValidationSettings:
    assert held_out.pairs is not None
    pairs = read_pairs(Path(held_out.pairs))
    changed = pairs[0].__class__(**{**vars(pairs[0]), "other_clip_id": "clip1-3"})
    place = tmp_path_factory.mktemp("trained") / "pairs.csv"
    write_pairs([changed, *pairs[1:]], place)
    return held_out.replace(pairs=str(place))


def file_of(request: Settings, place: Path, changes: dict[str, Any]) -> Path:
    """Write a request as a file, some values of it changed without a look at what they may be."""
    import yaml

    place.parent.mkdir(parents=True, exist_ok=True)
    values = overlay(yaml.safe_load(to_yaml(request)), changes)
    place.write_text(yaml.safe_dump({"request": values}))
    return place


def assert_refused(ran: Any, run: Path, exit_code: int, words: tuple[str, ...]) -> None:
    errors = [line for line in ran.err.splitlines() if line.startswith("error: ")]
    assert (ran.exit_code, len(errors)) == (exit_code, 1), ran.err
    assert ": expected " in errors[0]
    assert ", found " in errors[0]
    for word in words:
        assert word in errors[0]
    assert not [path for path in run.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("changes", "flags", "exit_code", "words"),
    [
        ({"recipe": {"mixture": {}}}, (), 2, ("'mixtures'?",)),
        ({"recipe": {"loss": {"kind": "l3"}}}, (), 2, ("recipe.loss.kind", "'l1'")),
        ({"recipe": {"plan": {"batch_size": 3}}}, (), 2, ("batch_size", "a multiple of the 2 lanes")),
        ({"recipe": {"plan": {"batch_size": 2}}}, (), 2, ("two items or more a lane", "2 in 2 lanes")),
        ({}, ("--workers", 3), 2, ("workers", "a number that divides the 2 lanes")),
        ({}, ("--workers", "2:1"), 2, ("workers",)),
        ({"recipe": {"separator": {"sample_rate": 16000}}}, (), 2, ("sample_rate", "that of the anchors, 8000")),
        ({"recipe": {"samples": 4001}}, (), 2, ("samples", "at most the 4000 of an anchor")),
        ({"recipe": {"separator": {"condition_size": 5}}}, (), 2, ("condition_size: expected 4",)),
        ({"recipe": {"query": {"kind": "latent"}}}, (), 7, ("mined with --conditions latent",)),
        ({"recipe": {"separator": {"film": {"framewise": True}}}, "weights": "starter"}, (), 5, ("which mined",)),
        ({"ontology": None, "class_list": None}, (), 7, ("anchors of the class list",)),
        ({"anchors": "no-such-pack"}, (), 7, ("a finished pack (`uss-ray anchors pack`)",)),
        ({"ontology": "no-such-file"}, (), 7, ("no-such-file",)),
    ],
)  # fmt: skip
def test_a_separator_that_cannot_be_trained_is_refused(
    command, synthetic_set: SyntheticSet, tmp_path: Path, changes, flags, exit_code, words
) -> None:
    file = file_of(training_of(synthetic_set, tmp_path / "run"), tmp_path / "run.yaml", changes)
    assert_refused(command("train", "separator", file, *flags), tmp_path / "run", exit_code, words)


def test_a_list_that_cannot_score_is_refused(
    command,
    synthetic_set: SyntheticSet,
    without_clicks: SyntheticSet,
    held_out: ValidationSettings,
    trained_on: ValidationSettings,
    tmp_path: Path,
) -> None:
    for training, asked, exit_code, words in (
        (synthetic_set, trained_on.model_dump(), 7, ("clip1-3", "one of 1 that are trained on")),
        (without_clicks, held_out.model_dump(), 7, ("classes that have anchors", "/t/3, which has none")),
        (synthetic_set, held_out.model_dump() | {"every_steps": 4}, 2, ("a multiple of the 3 steps",)),
        (synthetic_set, {"data": str(tmp_path / "none")}, 7, ("none",)),
    ):
        request = training_of(training, tmp_path / "run")
        file = file_of(request, tmp_path / "run.yaml", {"validation": asked})
        assert_refused(command("train", "separator", file), tmp_path / "run", exit_code, words)


@pytest.mark.parametrize(
    ("changes", "exit_code", "words"),
    [
        ({"recipe": {"tagger": {"classes": 5}}}, 2, ("tagger.classes", "4, as in the class list")),
        ({"recipe": {"tagger": {"sample_rate": 16000}}}, 2, ("that of the anchors, 8000",)),
        ({"recipe": {"plan": {"batch_size": 2}}}, 2, ("two items or more a lane",)),
        ({"recipe": {"crop_seconds": [0.5, 1.5]}}, 2, ("at most the 1 s of a clip",)),
        ({"anchors": None}, 2, ("anchor_share", "0 without anchors")),
        ({"segments": ["no-such-file.csv"]}, 7, ("no-such-file.csv",)),
        ({"audio": "no-such-folder"}, 7, ("no-such-folder",)),
        ({"validation": {"segments": ["segments.csv"], "audio": "audio"}}, 7, ("c0, one of 8 that are",)),
    ],
)  # fmt: skip
def test_a_tagger_that_cannot_be_trained_is_refused(
    command, synthetic_set: SyntheticSet, tmp_path: Path, monkeypatch, changes, exit_code, words
) -> None:
    monkeypatch.chdir(tmp_path)
    file = file_of(tagger_training(synthetic_set, tmp_path), tmp_path / "tagger.yaml", changes)
    assert_refused(command("train", "tagger", file), tmp_path / "run", exit_code, words)


@pytest.mark.slow
def test_a_disk_that_fills_ends_a_run_and_the_state_is_kept_elsewhere(
    command, synthetic_set: SyntheticSet, tmp_path: Path, monkeypatch
) -> None:
    request = training_of(synthetic_set, tmp_path / "run", fit={"steps": 2, "checkpoint_steps": 1})
    file, put = file_of(request, tmp_path / "run.yaml", {}), Store.put

    def put_or_fill(store: Store, content: bytes | Path) -> None:
        if store.name == "optimiser.pt" and store.parent.name == "step-000000002":
            raise OutputError(
                str(store), expected="a place that can be written", found=os.strerror(errno.ENOSPC)
            )
        put(store, content)

    monkeypatch.setattr(Store, "put", put_or_fill)
    ran = command("train", "separator", file)
    assert ran.exit_code == 6
    (told,) = [line for line in ran.err.splitlines() if line.startswith("error: ")]
    assert "No space left on device" in told
    kept = Path(told.partition("from its local copy, ")[2])
    assert {"model.safetensors", "optimiser.pt", "checkpoint.json"} <= {path.name for path in kept.iterdir()}
    assert "last checkpoint step-000000001." in command("train", "show", tmp_path / "run").out
