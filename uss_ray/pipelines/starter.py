"""The starter recipe from a data set: tagger, anchors, separator, one after the other on one machine.

The road is the one of every other training set: weak labels and a tagger make shards of anchors, and the shards are
what the separator is trained from.
"""

from __future__ import annotations

import logging
from pathlib import Path

from uss_ray.datasets.clips import LoadedClips
from uss_ray.datasets.segments import read_segments
from uss_ray.errors import DataError
from uss_ray.mining.settings import MiningSettings
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.pipelines.mining.local import mine_in_process
from uss_ray.pipelines.mining.request import MiningRequest
from uss_ray.training.starter import (
    StarterConfig,
    open_work,
    train_starter_separator,
    train_starter_tagger,
)
from uss_ray.weights.locate import load_weights

_log = logging.getLogger(__name__)


def train_starter(data: Path, output: Path, *, work: Path, config: StarterConfig | None = None) -> Path:
    """Train from a weakly labelled data set in AudioSet's format.

    Parameters
    ----------
    data : Path
        Data set with `audio/train` and `metadata/train_segments.csv`.
    output : Path
        Weights folder to write.
    work : Path
        Folder for checkpoints, the tagger and its anchors; started again with the same one, the recipe goes on.
    config : StarterConfig, optional

    Returns
    -------
    Path
        The weights folder.

    Raises
    ------
    DataError
        If the data set is not there or not in its format.
    ConfigError
        If the work folder holds checkpoints of other settings.
    """
    config = config or StarterConfig()
    segments = data / "metadata" / "train_segments.csv"
    if not segments.is_file():
        raise DataError(str(data), expected="metadata/train_segments.csv in it", found="none")
    vocabulary = Vocabulary.load()
    open_work(work, config)
    tagger = (work / "tagger").resolve()
    if not tagger.exists():
        _log.info("decoding the clips of %s", segments)
        clips = _load_clips(segments, data / "audio" / "train", vocabulary)
        train_starter_tagger(clips, tagger, work=work, config=config, vocabulary=vocabulary)
    request = MiningRequest(
        segments=(str(segments),),
        audio=str(data / "audio" / "train"),
        output=str(work / "anchors"),
        weights=str(tagger),
        settings=mining_settings(config),
        device="cpu",
        report=False,
    )
    totals = mine_in_process(
        request, on_progress=lambda done, total: _log.info("mined %d/%d clips", done, total)
    )
    _log.info("%d anchors of %d classes", totals.anchors, totals.classes)
    return train_starter_from_anchors(
        work / "anchors", output, weights=str(tagger), work=work, config=config, vocabulary=vocabulary
    )


def train_starter_from_anchors(
    anchors: str | Path,
    output: Path,
    *,
    weights: str,
    work: Path,
    config: StarterConfig | None = None,
    vocabulary: Vocabulary | None = None,
) -> Path:
    """Train from what `uss-ray mine --conditions soft` gave.

    Parameters
    ----------
    anchors : str or path
        Output root of the mining run.
    output : Path
        Weights folder to write.
    weights : str
        Name, folder or URI of the weights that mined; their tagger becomes that of the new ones.
    work : Path
        Folder for the checkpoint.
    config : StarterConfig, optional
    vocabulary : Vocabulary, optional

    Raises
    ------
    UssRayError
        See `training.starter.train_starter_separator`.
    """
    config = config or StarterConfig()
    open_work(work, config)
    return train_starter_separator(
        anchors,
        output,
        weights=load_weights(weights),
        work=work,
        config=config,
        vocabulary=vocabulary or Vocabulary.load(),
    )


def mining_settings(config: StarterConfig) -> MiningSettings:
    """Keep every anchor, as the paper does, several of a label."""
    return MiningSettings.published().replace(
        anchor_seconds=config.segment_seconds, anchors_per_label=config.anchors_per_label, conditions="soft"
    )


def _load_clips(segments: Path, audio: Path, vocabulary: Vocabulary) -> LoadedClips:
    class_index = {class_id: index for index, class_id in enumerate(vocabulary.classes.ids)}
    records = read_segments(segments, class_index=class_index)
    return LoadedClips.load(records, audio, classes=len(vocabulary.classes))
