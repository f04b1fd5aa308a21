from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.synthetic_set import LABELS, RATE, SyntheticSet, sound_of
from uss_ray.config import overlay
from uss_ray.errors import ConfigError, DataError
from uss_ray.pipelines.training.checkpoints import identity_sha256_of
from uss_ray.pipelines.training.local import train_here
from uss_ray.pipelines.training.progress import look_at
from uss_ray.pipelines.training.request import YOUNGER_FACTS, TaggerTraining, read_request
from uss_ray.pipelines.training.worker import export
from uss_ray.store.store import Store
from uss_ray.weights.folder import read_folder


def tagger_training(synthetic_set: SyntheticSet, root: Path, **values: object) -> TaggerTraining:
    """Ask for a small tagger from eight clips of a second and from the anchors of the set."""
    audio, table = root / "audio", root / "segments.csv"
    if not audio.exists():
        audio.mkdir(parents=True)
        rng = np.random.default_rng(0)
        for number in range(8):
            sound = np.concatenate([sound_of(number % 4, rng) for _ in range(2)])
            soundfile.write(audio / f"c{number}.flac", 0.3 * sound / np.abs(sound).max(), RATE)
        table.write_text("".join(f'c{number}, 0.0, 1.0, "/t/{number % 4}"\n' for number in range(8)))
    given = {
        "segments": [str(table)],
        "audio": str(audio),
        "anchors": str(synthetic_set.pack),
        "output": str(root / "run"),
        "clip_seconds": 1.0,
        "segment_seconds": 0.5,
        "ontology": str(synthetic_set.ontology),
        "class_list": str(synthetic_set.class_list),
        "device": "cpu",
        "recipe": {
            "name": "ear",
            "fit": {"steps": 4, "checkpoint_steps": 2, "log_steps": 1},
            "plan": {"batch_size": 4, "lanes": 2},
            "anchor_share": 0.5,
            "crop_seconds": [0.3, 1.0],
            "balanced": True,
            "mixup": True,
            "tagger": {
                "sample_rate": RATE,
                "classes": len(LABELS),
                "block_channels": [2, 4],
                "embedding_size": 4,
                "head": "frame",
                "window_samples": 256,
                "hop_samples": 80,
                "mel_bins": 16,
                "max_hertz": 3500.0,
            },
        },
    }
    return TaggerTraining(**overlay(given, values))


def test_a_tagger_of_own_classes_is_trained_shown_and_written(
    synthetic_set: SyntheticSet, tmp_path: Path
) -> None:
    request = tagger_training(synthetic_set, tmp_path)
    assert train_here(request) == 4
    seen = look_at(Store(request.output))
    assert (seen.name, seen.step, seen.steps) == ("ear", 4, 4)
    assert read_request(Store(request.output)).recipe == request.recipe
    weights = read_folder(export(request, tmp_path / "ear", step=2))
    assert weights.tagger is not None
    assert weights.specifications.known_classes == (0, 1, 2, 3)
    assert weights.source is not None
    assert weights.source["step"] == 2
    weights.check_classes(synthetic_set.vocabulary.classes.ids)
    with pytest.raises(ConfigError, match=r"expected recipe\.fit\.steps 4, as the run there"):
        train_here(tagger_training(synthetic_set, tmp_path, recipe={"fit": {"steps": 6}}))


def test_what_is_wrong_is_told_before_any_work(synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    (tmp_path / "more.csv").write_text('c0, 0.0, 1.0, "/t/1"\ngone, 0.0, 1.0, "/t/2"\n')
    request = tagger_training(synthetic_set, tmp_path)
    with pytest.raises(DataError, match="gone: expected a clip of that name"):
        train_here(request.replace(segments=(*request.segments, str(tmp_path / "more.csv"))))
    with pytest.raises(DataError, match="expected anchors of the class list"):
        train_here(request.replace(ontology=None, class_list=None))
    with pytest.raises(ConfigError, match=r"tagger\.classes: expected 4, as in the class list, found 5"):
        train_here(tagger_training(synthetic_set, tmp_path, recipe={"tagger": {"classes": 5}}))
    assert not Path(request.output).exists() or not list(Path(request.output).rglob("*.json"))


def test_a_run_goes_on_with_the_same_clips_lengths_and_ontology_alone(
    synthetic_set: SyntheticSet, tmp_path: Path
) -> None:
    request = tagger_training(synthetic_set, tmp_path)
    assert train_here(request, is_stopping=lambda: True) == 1
    table = Path(request.segments[0])
    other = tmp_path / "other.csv"
    # The same labels in the same order, of other clips.
    other.write_text(table.read_text().replace("c0,", "c8,"))
    shutil.copy(tmp_path / "audio" / "c0.flac", tmp_path / "audio" / "c8.flac")
    nodes = json.loads(synthetic_set.ontology.read_text())
    nodes[0]["child_ids"] = [nodes[1]["id"]]
    (tmp_path / "deeper.json").write_text(json.dumps(nodes))
    for name, changed in (
        ("clip_seconds", {"clip_seconds": 1.5}),
        ("clips_sha256", {"segments": [str(other)]}),
        ("ontology_sha256", {"ontology": str(tmp_path / "deeper.json")}),
    ):
        with pytest.raises(ConfigError, match=rf"expected {name} .*, as the run there"):
            train_here(tagger_training(synthetic_set, tmp_path, **changed))
    # A run that was begun before an identity told of these goes on.
    place = Path(request.output) / "identity.json"
    there = json.loads(place.read_text())
    place.write_text(json.dumps({name: there[name] for name in there.keys() - YOUNGER_FACTS}))
    for checkpoint in Path(request.output).rglob("checkpoint.json"):
        facts = json.loads(checkpoint.read_text())
        facts["identity"] = json.loads(place.read_text())
        facts["identity_sha256"] = identity_sha256_of(facts["identity"])
        checkpoint.write_text(json.dumps(facts))
    assert train_here(request) == 4


def test_what_was_put_in_place_of_the_clips_is_not_exported(
    synthetic_set: SyntheticSet, tmp_path: Path
) -> None:
    request = tagger_training(synthetic_set, tmp_path)
    train_here(request)
    table = Path(request.segments[0])
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(ConfigError, match=r"expected clips_sha256 .*, as the run there"):
        export(request, tmp_path / "ear")
    assert not (tmp_path / "ear").exists()
