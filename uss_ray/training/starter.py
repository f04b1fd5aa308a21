"""The starter recipe: a tagger from weak labels, and from anchors mined with it a separator and its weights folder.

Every stage leaves a checkpoint in the work folder and is taken up where it stopped. Mining lies between the two stages
and is not done here: `pipelines.starter` runs all three.
"""

from __future__ import annotations

import logging
from importlib import resources
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jinja2 import Environment, StrictUndefined
from pydantic import Field

from uss_ray.anchors.pool import AnchorPool
from uss_ray.anchors.stream import AnchorShards
from uss_ray.config import Settings
from uss_ray.errors import ConfigError, DataError, WeightsError
from uss_ray.models.memory import lay_out_channels_last
from uss_ray.models.panns import PannsConfig
from uss_ray.models.protocols import Separator
from uss_ray.models.registry import Role, SeparatorConfig, build_network, describe_network
from uss_ray.models.resunet import ResUNetConfig
from uss_ray.models.specifications import ClassListId
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.silence import MiningSilence
from uss_ray.training.loop import LoopConfig, run_loop
from uss_ray.training.norms import settle_norms
from uss_ray.training.separator import TRAINING_RMS_DBFS, ConditionShares, SeparatorTask
from uss_ray.training.tagger import WeakClips, train_tagger
from uss_ray.weights import STARTER
from uss_ray.weights.folder import Weights, save_weights, specify

_log = logging.getLogger(__name__)
_CONFIG_NAME = "config.json"
_NO_SILENCE = MiningSilence(anchor_rejected_below_rms_dbfs=None)


class StarterConfig(Settings):
    """Sizes and lengths of the starter recipe."""

    name: str = Field(default=STARTER, min_length=1, description="Name of the weights.")
    segment_seconds: float = Field(
        default=2.0, gt=0.0, description="Length of an anchor at mining and at inference."
    )
    training_samples: int = Field(
        default=63_000,
        ge=1,
        description="Length that the separator trains on: the frames of its STFT then fill its pooling exactly.",
    )
    tagger: PannsConfig = Field(
        default_factory=lambda: PannsConfig(
            block_channels=(16, 32, 64, 128, 256),
            embedding_size=256,
            head="frame",
            pooling="linear_softmax",
            hop_samples=640,
            block_dropout=0.05,
            head_dropout=0.2,
        ),
        description="The network that tags and detects.",
    )
    separator: SeparatorConfig = Field(
        default_factory=lambda: ResUNetConfig(
            channels=(8, 16, 32, 64, 128, 128),
            bottleneck_channels=128,
            stem_channels=8,
            window_samples=2048,
            hop_samples=1000,
        ),
        description="The network that separates.",
    )
    tagger_loop: LoopConfig = Field(default_factory=lambda: LoopConfig(steps=2000, learning_rate=3e-3))
    separator_loop: LoopConfig = Field(default_factory=lambda: LoopConfig(steps=6000, learning_rate=2e-3))
    tagger_batch: int = Field(default=16, ge=1, description="Clips in a step of the tagger.")
    separator_batch: int = Field(default=8, ge=2, description="Mixtures in a step of the separator.")
    anchors_per_label: int = Field(default=3, ge=1, description="Most anchors of a label of a clip.")
    settle_batches: int = Field(
        default=200,
        ge=1,
        description="Batches that the separator's norm statistics are taken from at the end.",
    )
    shares: ConditionShares = Field(default_factory=ConditionShares)


def open_work(work: Path, config: StarterConfig) -> None:
    """Begin in a work folder, or go on in it.

    Raises
    ------
    ConfigError
        If checkpoints of other settings are there.
    """
    work.mkdir(parents=True, exist_ok=True)
    path = work / _CONFIG_NAME
    text = config.canonical_json()
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise ConfigError(str(work), expected="a new folder, or one of the same settings", found="others")
    path.write_text(text, encoding="utf-8")


def train_starter_tagger(
    clips: WeakClips, output: Path, *, work: Path, config: StarterConfig, vocabulary: Vocabulary
) -> Path:
    """Train the tagger and write it as a weights folder that anchors can be mined with.

    Parameters
    ----------
    clips : WeakClips
    output : Path
        Weights folder to write.
    work : Path
        Folder for the checkpoint.
    config : StarterConfig
    vocabulary : Vocabulary

    Returns
    -------
    Path
        The weights folder.
    """
    tagger = train_tagger(
        clips,
        config=config.tagger,
        loop=config.tagger_loop,
        batch_size=config.tagger_batch,
        checkpoint=work / "tagger.pt",
    )
    networks: dict[Role, torch.nn.Module] = {"tagger": tagger}
    return save_weights(
        output,
        networks,
        name=f"{config.name}-tagger",
        specifications=specify(
            networks,
            segment_seconds=config.segment_seconds,
            class_list=ClassListId.of(vocabulary.classes.ids),
            known_classes=tuple(np.flatnonzero(clips.labels.any(axis=0)).tolist()),
        ),
        source={
            "recipe": __name__,
            "steps": config.tagger_loop.steps,
            "clips in a step": config.tagger_batch,
            "peak rate": config.tagger_loop.learning_rate,
        },
    )


def train_starter_separator(
    anchors: str | Path,
    output: Path,
    *,
    weights: Weights,
    work: Path,
    config: StarterConfig,
    vocabulary: Vocabulary,
) -> Path:
    """Train the separator on mined anchors, and put everything together.

    Parameters
    ----------
    anchors : str or path
        Output root of a finished mining run with `conditions` soft or both.
    output : Path
        Weights folder to write.
    weights : Weights
        Those that mined: their tagger described the anchors, and becomes the query net.
    work : Path
        Folder for the checkpoint.
    config : StarterConfig
    vocabulary : Vocabulary

    Returns
    -------
    Path
        The weights folder.

    Raises
    ------
    DataError
        If the run is not finished, or has not what is needed of each anchor.
    WeightsError
        If the anchors were mined with other weights, or these have no soft query net without an adaptor.
    ConfigError
        If settings and anchors do not fit each other.
    """
    shards = AnchorShards(anchors)
    if shards.manifest is None:
        raise DataError(str(anchors), expected="a finished mining run", found="no manifest.json")
    if shards.manifest.weights_sha256 != weights.sha256:
        raise WeightsError(
            f"weights {weights.name}",
            expected=f"{shards.manifest.weights_name}, which mined {anchors}",
            found=f"others, sha256 {weights.sha256[:12]}…",
        )
    if (
        weights.tagger is None
        or weights.specifications.condition.kind != "soft"
        or "adaptor" in weights.networks
    ):
        raise WeightsError(
            f"weights {weights.name}",
            expected="a tagger and conditions of class probabilities",
            found="others",
        )
    weights.check_classes(vocabulary.classes.ids)
    pool = AnchorPool.load(shards)
    torch.manual_seed(config.separator_loop.seed)
    model = lay_out_channels_last(build_network("separator", config.separator.model_dump()))
    task = SeparatorTask(
        cast(Separator, model),
        pool,
        subtrees=vocabulary.subtrees(),
        samples=config.training_samples,
        batch_size=config.separator_batch,
        shares=config.shares,
    )
    _log.info("training on %d anchors of %d classes", len(pool), len(task.classes))
    run_loop(model, task.loss, config=config.separator_loop, checkpoint=work / "separator.pt")
    settle_norms(model, task.loss, batches=config.settle_batches)
    networks: dict[Role, torch.nn.Module] = {"tagger": weights.tagger, "separator": model}
    return save_weights(
        output,
        networks,
        name=config.name,
        specifications=specify(
            networks,
            segment_seconds=pool.audio.shape[1] / pool.sample_rate,
            class_list=ClassListId.of(vocabulary.classes.ids),
            training_rms_dbfs=TRAINING_RMS_DBFS,
            silence=shards.manifest.settings.get("silence", _NO_SILENCE),
        ),
        class_means={index: torch.from_numpy(mean) for index, mean in task.class_means.items()},
        dtype="float16",
        source={
            "recipe": __name__,
            "clips": shards.manifest.clips,
            "anchors": len(pool),
            "separator_steps": config.separator_loop.steps,
        },
        model_card=describe(config, weights=weights, clips=shards.manifest.clips, task=task),
    )


def describe(config: StarterConfig, *, weights: Weights, clips: int, task: SeparatorTask) -> str:
    """Write the model card: what the weights are, what they were trained on and how, what they are not for."""
    template = resources.files("uss_ray.training").joinpath("templates/model_card.md.j2").read_text("utf-8")
    environment = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    return environment.from_string(template).render(
        config=config,
        tagger=describe_network("tagger", weights.networks["tagger"]),
        separator=config.separator.model_dump(),
        tagger_name=weights.name,
        tagger_source=weights.source or {},
        clips=clips,
        anchors=len(task.pool),
        classes=len(task.classes),
        seconds=task.pool.audio.shape[1] / task.pool.sample_rate,
    )
