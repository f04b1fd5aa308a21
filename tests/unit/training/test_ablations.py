"""Every overlay of `configs/ablations` changes the recipe it is laid over, and the network it asks for makes a step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.synthetic_set import LABELS, RATE, SAMPLES, SyntheticSet
from uss_ray.cli.train import TrainSeparator
from uss_ray.config import merged, overlay, read_layers
from uss_ray.training.separator import SeparatorTask
from uss_ray.weights.folder import read_folder


def settings_of(path: Path) -> dict[str, Any]:
    return merged(read_layers(path))


CONFIGS = Path(__file__).parents[3] / "configs"
BASE = CONFIGS / "train" / "base.yaml"
OVERLAYS = sorted((CONFIGS / "ablations").glob("*.yaml"))

# The sizes of each kind of network that make it tiny; its embedding is as long as that of the tiny tagger.
SIZE = len(LABELS)
TINY: dict[str, dict[str, Any]] = {
    "resunet": {"channels": (2, 2), "bottleneck_channels": 2, "stem_channels": 2},
    "conv-tasnet": {"filters": 4, "channels": 4, "hidden_channels": 4, "stack_blocks": 2, "stacks": 1},
    "band-split": {
        "band_widths": (2, 4),
        "bands_of_width": (16, 8),
        "channels": 4,
        "hidden_channels": 4,
        "trunk_blocks": 1,
    },
    "open-unmix": {"hidden_channels": 4, "layers": 1},
    "panns": {"block_channels": (2, 4), "embedding_size": SIZE},
    "htsat": {"channels": 2, "stage_blocks": (1, 1), "stage_heads": (1, 2), "image_size": 64},
}
TINY["unet"] = TINY["resunet"]
TINY["banded-resunet"] = TINY["resunet"] | {"band_widths": (1, 2), "bands_of_width": (16, 24)}


def request_of(path: Path) -> dict[str, Any]:
    values = overlay(settings_of(BASE), settings_of(path))
    return TrainSeparator(**values).request.model_dump()


def shrunk(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Make the networks of a recipe tiny, with the shape that it gives them."""
    query, separator = dict(recipe["query"]), dict(recipe["separator"])
    separator |= TINY[separator["architecture"]] | {"sample_rate": RATE}
    if "hop_samples" in separator:
        separator |= {"window_samples": 128, "hop_samples": 64}
    if query["network"] is not None:
        front_end = {"sample_rate": RATE, "classes": SIZE, "window_samples": 256, "hop_samples": 80}
        bands = {"mel_bins": 16, "max_hertz": 3500.0}
        query["network"] = query["network"] | TINY[query["network"]["architecture"]] | front_end | bands
    size = SIZE
    if query["adaptor"] is not None:
        size = 3
        query["adaptor"] = {"bottleneck_size": SIZE, "hidden_size": 2, "condition_size": size}
    separator["condition_size"] = size + (SIZE if query["shortcut"] else 0)
    samples = recipe["samples"] and recipe["samples"] * SAMPLES // 64_000
    return {
        **recipe,
        "query": query,
        "separator": separator,
        "samples": samples,
        "plan": {"batch_size": 2, "lanes": 1},
    }


# What the paper compares, as far as its program and its abstract tell, and what is compared beside it.
COMPARISONS = {
    "query": "soft_adaptor soft_finetuned soft_scratch soft_htsat latent latent_adaptor latent_adaptor_shortcut "
    "latent_finetuned latent_finetuned_adaptor latent_finetuned_shortcut latent_htsat latent_random latent_scratch "
    "latent_scratch_cnn10 latent_scratch_htsat latent_scratch_shortcut hard hard_adaptor own class_mean "
    "foreign_openl3 foreign_speaker foreign_wav2vec",
    "separator": "resunet60 resunet_half banded_resunet unet conv_tasnet open_unmix band_split",
    "seconds": "0.5 1 4 6 8 10",
    "anchors": "random outside balanced",
    "steps": "1000000",
    "sources": "3 4 2_to_4 3_to_2",
    "augmentation": "none",
    "levels": "matched 10 recorded recorded_20",
    "film": "scale_shift framewise bottleneck",
    "passes": "2",
    "loss": "l1 l1_relative l1_stft snr_silent",
    "partners": "any clip",
    "absent": "none",
}


def test_there_is_one_for_each_comparison() -> None:
    wanted = {f"{what}_{kind}" for what, kinds in COMPARISONS.items() for kind in kinds.split()}
    assert {path.name.removesuffix(".yaml") for path in OVERLAYS} == wanted


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.stem)
def test_an_overlay_asks_for_something_else_and_can_be_trained(
    described_set: SyntheticSet, path: Path
) -> None:
    asked, base = request_of(path), TrainSeparator(**settings_of(BASE)).request.model_dump()
    assert asked != base
    if asked["recipe"] == base["recipe"]:  # other anchors, and nothing else
        assert asked["anchors"] != base["anchors"]
        return
    recipe = type(TrainSeparator(**settings_of(BASE)).request.recipe)(**shrunk(asked["recipe"]))
    tagger = read_folder(described_set.weights).tagger
    anchors = described_set.open()
    task = SeparatorTask(
        recipe,
        anchors,
        vocabulary=described_set.vocabulary,
        tagger=tagger,
        foreign=tagger if asked["query_weights"] else None,
    )
    assert torch.isfinite(task.loss(task.load(0, 0)))
    anchors.close()


FOREIGN_SIZES = {"query_foreign_openl3": 512, "query_foreign_speaker": 192, "query_foreign_wav2vec": 768}


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.stem)
def test_conditions_are_as_long_as_the_published_networks_make_them(path: Path) -> None:
    recipe = request_of(path)["recipe"]
    query = recipe["query"]
    classes, embedding = 527, 2048 if "htsat" not in path.stem else 768
    stored = embedding if query["kind"] == "latent" else classes
    network = query["network"] or {"embedding_size": FOREIGN_SIZES.get(path.stem, stored)}
    learned = stored
    if query["kind"] == "latent":
        learned = network.get("embedding_size", learned)
    if query["adaptor"] is not None:
        assert query["adaptor"]["bottleneck_size"] == learned
        learned = query["adaptor"]["condition_size"]
    assert recipe["separator"]["condition_size"] == learned + (stored if query["shortcut"] else 0)
