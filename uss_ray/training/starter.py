"""The starter recipe: from a small weakly labelled data set to a weights folder, on one machine.

Tagger from weak labels, anchors mined with it, separator on mixtures of anchors, class means. Every stage leaves a
checkpoint in the work folder and is taken up where it stopped.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from jinja2 import Environment, StrictUndefined

from uss_ray.datasets.clips import ClipStore
from uss_ray.datasets.segments import read_segments
from uss_ray.errors import DataError
from uss_ray.models.memory import lay_out_channels_last
from uss_ray.models.panns import Panns, PannsConfig
from uss_ray.models.query_net import QueryNet
from uss_ray.models.resunet import ResUNet, ResUNetConfig
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.training.loop import LoopConfig, run_loop
from uss_ray.training.norms import settle_norms
from uss_ray.training.separator import AnchorTable, ConditionShares, SeparatorTask, build_anchor_table
from uss_ray.training.tagger import overlap_clips, tagger_loss
from uss_ray.weights.folder import ClassListId, save_weights

_log = logging.getLogger(__name__)

# A classifier that starts near the base rate of a class spends no steps on learning that most classes are absent.
_FIRST_LOGIT = -4.0


@dataclass(frozen=True)
class StarterConfig:
    """Sizes and lengths of the starter recipe.

    Parameters
    ----------
    name : str
    segment_seconds : float
        Length of an anchor at mining and at inference.
    training_samples : int
        Length that the separator trains on: the frames of its STFT then fill its pooling exactly.
    tagger, separator : configs of the two networks
    tagger_loop, separator_loop : LoopConfig
    tagger_batch, separator_batch : int
    anchors_per_label : int
    settle_batches : int
        Batches that the separator's norm statistics are taken from at the end.
    shares : ConditionShares
    """

    name: str = "starter"
    segment_seconds: float = 2.0
    training_samples: int = 63_000
    tagger: PannsConfig = field(
        default_factory=lambda: PannsConfig(
            block_channels=(16, 32, 64, 128, 256),
            embedding_size=256,
            head="frame",
            pooling="linear_softmax",
            hop_samples=640,
            block_dropout=0.05,
            head_dropout=0.2,
        )
    )
    separator: ResUNetConfig = field(
        default_factory=lambda: ResUNetConfig(
            channels=(8, 16, 32, 64, 128, 128),
            bottleneck_channels=128,
            stem_channels=8,
            window_samples=2048,
            hop_samples=1000,
        )
    )
    tagger_loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=2000, learning_rate=3e-3))
    separator_loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=6000, learning_rate=2e-3))
    tagger_batch: int = 16
    separator_batch: int = 8
    anchors_per_label: int = 3
    settle_batches: int = 200
    shares: ConditionShares = field(default_factory=ConditionShares)


def train_tagger(store: ClipStore, config: StarterConfig, *, checkpoint: Path) -> Panns:
    """Train the tagger on whole clips, a share of them overlapped with another one."""
    model = Panns(config.tagger)
    with torch.no_grad():
        model.classify.bias.fill_(_FIRST_LOGIT)
    lay_out_channels_last(model)

    def step_loss(generator: torch.Generator) -> torch.Tensor:
        rows = torch.randint(len(store), (config.tagger_batch,), generator=generator).numpy()
        level_db = torch.rand(len(rows), 1, generator=generator) * 20 - 12
        waveform = torch.from_numpy(store.waveform(rows)) * 10 ** (level_db / 20)
        waveform, labels = overlap_clips(waveform, torch.from_numpy(store.labels[rows]), generator=generator)
        return tagger_loss(model, waveform, labels)

    run_loop(model, step_loss, config=config.tagger_loop, checkpoint=checkpoint)
    return model


def train_separator(
    store: ClipStore, table: AnchorTable, config: StarterConfig, *, vocabulary: Vocabulary, checkpoint: Path
) -> ResUNet:
    """Train the separator on mixtures of mined anchors."""
    torch.manual_seed(config.separator_loop.seed)
    model = lay_out_channels_last(ResUNet(config.separator))
    subtree = subtree_matrix(vocabulary)
    task = SeparatorTask(
        model,
        store,
        table,
        related=subtree | subtree.T,
        subtree=subtree,
        segment_samples=config.training_samples,
        batch_size=config.separator_batch,
        shares=config.shares,
    )
    run_loop(model, task.loss, config=config.separator_loop, checkpoint=checkpoint)
    settle_norms(model, task.loss, batches=config.settle_batches)
    return model


def subtree_matrix(vocabulary: Vocabulary) -> np.ndarray:
    """Return a bool matrix (classes, classes): row c is True at the trained classes of c's subtree."""
    return np.stack([vocabulary.class_mask(class_id) for class_id in vocabulary.classes.ids])


def train_starter(
    data: Path, output: Path, *, work: Path, config: StarterConfig, vocabulary: Vocabulary
) -> Path:
    """Run the whole recipe.

    Parameters
    ----------
    data : Path
        Data set with `audio/train` and `metadata/train_segments.csv`.
    output : Path
        Weights folder to write.
    work : Path
        Folder for checkpoints; started again with the same one, the recipe goes on.
    config : StarterConfig
    vocabulary : Vocabulary

    Returns
    -------
    Path
        The weights folder.

    Raises
    ------
    DataError
        If the data set is not there or not in its format.
    """
    segments = data / "metadata" / "train_segments.csv"
    if not segments.is_file():
        raise DataError(str(data), expected="metadata/train_segments.csv in it", found="none")
    index = {class_id: position for position, class_id in enumerate(vocabulary.classes.ids)}
    records = read_segments(segments, class_index=index)
    _log.info("decoding %d clips", len(records))
    store = ClipStore.load(records, data / "audio" / "train", classes=len(vocabulary.classes))
    work.mkdir(parents=True, exist_ok=True)
    (work / "config.json").write_text(json.dumps(asdict(config), indent=2))
    tagger = train_tagger(store, config, checkpoint=work / "tagger.pt")
    query_net = QueryNet(tagger)
    segment_samples = round(config.segment_seconds * store.sample_rate)
    table = build_anchor_table(
        store,
        detector=tagger,
        query_net=query_net,
        segment_samples=segment_samples,
        anchors_per_label=config.anchors_per_label,
    )
    _log.info("mined %d anchors of %d classes", len(table.anchors), len(table.class_means))
    separator = train_separator(store, table, config, vocabulary=vocabulary, checkpoint=work / "separator.pt")
    return save_weights(
        output,
        name=config.name,
        segment_seconds=config.segment_seconds,
        tagger=tagger,
        separator=separator,
        class_means={c: torch.from_numpy(mean) for c, mean in table.class_means.items()},
        class_list=ClassListId.of(vocabulary.classes.ids),
        dtype="float16",
        source={"recipe": "uss_ray.training.starter", "clips": len(store), "anchors": len(table.anchors)},
        model_card=describe(config, clips=len(store), table=table),
    )


def describe(config: StarterConfig, *, clips: int, table: AnchorTable) -> str:
    """Write the model card: what the weights are, what they were trained on and how, what they are not for."""
    template = resources.files("uss_ray.training").joinpath("templates/model_card.md.j2").read_text("utf-8")
    environment = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    return environment.from_string(template).render(
        config=config, clips=clips, anchors=len(table.anchors), classes=len(table.class_means)
    )
