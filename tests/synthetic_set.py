"""Four synthetic classes that are told apart by ear: their ontology, a tagger, mined anchors and a pack of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from uss_ray.anchors.anchor import Anchor
from uss_ray.anchors.manifest import MiningManifest, write_manifest
from uss_ray.anchors.packed_reader import PackedAnchors
from uss_ray.anchors.shards import write_anchor_shard
from uss_ray.config import overlay
from uss_ray.evaluation.pairs import EvaluationPair, write_pairs
from uss_ray.models.panns import Panns
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.models.specifications import ClassListId
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.pipelines.training.pack_request import PackRequest
from uss_ray.pipelines.training.packing import pack_here
from uss_ray.pipelines.training.request import SeparatorTraining, ValidationSettings
from uss_ray.training.recipe import SeparatorRecipe
from uss_ray.weights.folder import read_folder, save_weights, specify

RATE, SAMPLES = 8000, 4000
LABELS = ("Low hum", "High whistle", "Hiss", "Clicks")


@dataclass(frozen=True)
class SyntheticSet:
    """Where everything is."""

    anchors: Path
    pack: Path
    ontology: Path
    class_list: Path
    weights: Path
    vocabulary: Vocabulary

    def open(self) -> PackedAnchors:
        """Open the pack."""
        return PackedAnchors(self.pack)


def sound_of(index: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Make half a second of a class."""
    time = np.arange(SAMPLES) / RATE
    if index == 0:
        return sum(np.sin(2 * np.pi * hertz * time + rng.uniform(0, 6)) for hertz in rng.uniform(80, 300, 2))
    if index == 1:
        return sum(
            np.sin(2 * np.pi * hertz * time + rng.uniform(0, 6)) for hertz in rng.uniform(1200, 2000, 2)
        )
    if index == 2:
        spectrum = np.fft.rfft(rng.standard_normal(SAMPLES))
        spectrum[: int(2500 * SAMPLES / RATE)] = 0
        return np.fft.irfft(spectrum, SAMPLES)
    clicks = np.zeros(SAMPLES)
    clicks[rng.integers(0, SAMPLES, 6)] = 1.0
    ring = np.exp(-np.arange(200) / 30.0) * np.sin(2 * np.pi * 650 * np.arange(200) / RATE)
    return np.convolve(clicks, ring)[:SAMPLES]


def make_synthetic_set(
    root: Path, *, count: int = 40, latent: bool = False, classes: int = len(LABELS)
) -> SyntheticSet:
    """Write ontology, anchors of the first classes and their pack; with latent bottlenecks too if asked for."""
    ids = [f"/t/{index}" for index in range(len(LABELS))]
    nodes = [
        {"id": node, "name": label, "description": "", "citation_uri": "", "positive_examples": []}
        | {"child_ids": [], "restrictions": []}
        for node, label in zip(ids, LABELS, strict=True)
    ]
    ontology, class_list = root / "ontology.json", root / "classes.csv"
    ontology.write_text(json.dumps(nodes))
    rows = [f"{index},{node},{label}" for index, (node, label) in enumerate(zip(ids, LABELS, strict=True))]
    class_list.write_text("\n".join(["index,mid,display_name", *rows]) + "\n")
    vocabulary = Vocabulary.load(ontology_path=ontology, classes_path=class_list)
    torch.manual_seed(0)  # the same ear, whatever test came before
    tagger = Panns(
        PannsConfig(
            sample_rate=RATE,
            classes=len(LABELS),
            block_channels=(2, 4),
            embedding_size=4,
            head="frame",
            window_samples=256,
            hop_samples=80,
            mel_bins=16,
            min_hertz=50.0,
            max_hertz=3500.0,
        )
    )
    networks = {"tagger": tagger}
    weights = save_weights(
        root / "ear",
        networks,
        name="ear",
        specifications=specify(
            networks, segment_seconds=SAMPLES / RATE, class_list=ClassListId.of(vocabulary.classes.ids)
        ),
    )
    rng = np.random.default_rng(0)
    anchors = []
    for index in range(classes):
        for number in range(count):
            sound = sound_of(index, rng)
            soft = np.clip(0.9 * np.eye(len(LABELS))[index] + 0.05 * rng.random(len(LABELS)), 0, 1)
            anchors.append(
                Anchor(
                    clip_id=f"clip{index}-{number}",
                    class_index=index,
                    start_sample=0,
                    sample_rate=RATE,
                    score=0.9,
                    purity=1.0,
                    intruder_index=None,
                    level_db=-20.0,
                    label_indexes=(index,),
                    prob_indexes=(index,),
                    probs=np.array([0.9], np.float32),
                    waveform=(sound / np.abs(sound).max() * 20_000).astype(np.int16),
                    soft=soft.astype(np.float32),
                    latent=rng.standard_normal(4).astype(np.float32) if latent else None,
                )
            )
    mined = root / "anchors"
    shards = [
        write_anchor_shard(part, mined / "anchors" / f"{name}.parquet")
        for name, part in (("a", anchors[::2]), ("b", anchors[1::2]))
    ]
    write_manifest(
        MiningManifest.of(
            shards,
            rejects={},
            weights_name="ear",
            weights_sha256=read_folder(weights).sha256,
            class_list_sha256=ClassListId.of(vocabulary.classes.ids).sha256,
            settings={},
            sample_rate=RATE,
            clips=len(anchors),
        ),
        mined,
    )
    pack_here(PackRequest(anchors=str(mined), output=str(root / "pack")))
    return SyntheticSet(mined, root / "pack", ontology, class_list, weights, vocabulary)


def make_held_out(root: Path) -> ValidationSettings:
    """Write four clips that are in no pack, a class each, and a list of mixtures of them."""
    (root / "audio" / "eval").mkdir(parents=True)
    (root / "metadata").mkdir()
    rng = np.random.default_rng(7)
    for index in range(len(LABELS)):
        sound = sound_of(index, rng)
        soundfile.write(
            root / "audio" / "eval" / f"held{index}.flac", 0.3 * sound / np.abs(sound).max(), RATE
        )
    (root / "metadata" / "eval_segments.csv").write_text(
        "".join(f'held{index}, 0.0, 0.5, "/t/{index}"\n' for index in range(len(LABELS)))
    )
    write_pairs(
        [
            EvaluationPair(f"/t/{index}", f"held{index}", 0.0, f"/t/{other}", f"held{other}", 0.0)
            for index in range(len(LABELS))
            for other in [(index + 1) % len(LABELS)]
        ],
        root / "pairs.csv",
    )
    return ValidationSettings(data=str(root), pairs=str(root / "pairs.csv"), heard=2)


def small_recipe(*, name: str = "small", **values: object) -> SeparatorRecipe:
    """Give a recipe that a core does in seconds; values are laid over it as a file would be."""
    recipe = {
        "name": name,
        "fit": {"steps": 6, "checkpoint_steps": 3, "log_steps": 2, "optimiser": {"learning_rate": 1e-3}},
        "plan": {"batch_size": 4, "lanes": 2},
        "separator": {
            "architecture": "resunet",
            "condition_size": len(LABELS),
            "channels": [2, 4],
            "bottleneck_channels": 4,
            "stem_channels": 2,
            "window_samples": 128,
            "hop_samples": 64,
            "sample_rate": RATE,
        },
        "settle_batches": 2,
    }
    return SeparatorRecipe(**overlay(recipe, values))


def training_of(synthetic_set: SyntheticSet, output: Path, **recipe: object) -> SeparatorTraining:
    """Ask for a small run on the set; values are laid over its recipe."""
    return SeparatorTraining(
        anchors=str(synthetic_set.pack),
        output=str(output),
        weights=str(synthetic_set.weights),
        recipe=small_recipe(**recipe),
        device="cpu",
        ontology=str(synthetic_set.ontology),
        class_list=str(synthetic_set.class_list),
    )
