"""The starter recipe from a data set: tagger, anchors, pack, separator, one after the other on one machine.

The road is the one of every other training set: weak labels and a tagger make shards of anchors, these are packed, and
the pack is what the separator is trained from. Each part goes on where it ended.
"""

from __future__ import annotations

import logging
from pathlib import Path

from uss_ray.errors import DataError
from uss_ray.mining.settings import MiningSettings
from uss_ray.pipelines.mining.local import mine_in_process
from uss_ray.pipelines.mining.request import MiningRequest
from uss_ray.pipelines.training.local import train_here
from uss_ray.pipelines.training.pack_request import PackRequest
from uss_ray.pipelines.training.packing import pack_here
from uss_ray.pipelines.training.request import SeparatorTraining, TaggerTraining
from uss_ray.pipelines.training.worker import export
from uss_ray.training.starter import StarterConfig

_log = logging.getLogger(__name__)


def train_starter(
    data: Path,
    output: Path,
    *,
    work: Path,
    config: StarterConfig | None = None,
    segments: Path | None = None,
) -> Path:
    """Train from a weakly labelled data set in AudioSet's format.

    Parameters
    ----------
    data : Path
        Data set with `audio/train` and `metadata/train_segments.csv`.
    output : Path
        Weights folder to write.
    work : Path
        Folder for the two runs, the tagger and the anchors; started again with the same one, the recipe goes on.
    config : StarterConfig, optional
    segments : Path, optional
        Segment CSV to train on in place of the data set's, such as one without the clips of some classes.

    Returns
    -------
    Path
        The weights folder.

    Raises
    ------
    DataError
        If the data set is not there or not in its format.
    ConfigError
        If the work folder holds runs of other settings.
    """
    config = config or StarterConfig()
    audio = data / "audio" / "train"
    segments = segments or data / "metadata" / "train_segments.csv"
    if not segments.is_file():
        raise DataError(str(segments), expected="a segment CSV", found="none")
    tagger = (work / "tagger").resolve()
    if not tagger.exists():
        request = TaggerTraining(
            segments=(str(segments),),
            audio=str(audio),
            output=str(work / "tagger-run"),
            segment_seconds=config.segment_seconds,
            recipe=config.tagger,
        )
        train_here(request)
        export(request, tagger)
    totals = mine_in_process(
        MiningRequest(
            segments=(str(segments),),
            audio=str(audio),
            output=str(work / "anchors"),
            weights=str(tagger),
            settings=mining_settings(config),
            device="cpu",
            report=False,
        ),
        on_progress=lambda done, total: _log.info("mined %d/%d clips", done, total),
    )
    _log.info("%d anchors of %d classes", totals.anchors, totals.classes)
    return train_starter_from_anchors(work / "anchors", output, weights=str(tagger), work=work, config=config)


def train_starter_from_anchors(
    anchors: str | Path, output: Path, *, weights: str, work: Path, config: StarterConfig | None = None
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
        Folder for the pack and the run.
    config : StarterConfig, optional

    Raises
    ------
    UssRayError
        See `pack_here` and `train_here`.
    """
    config = config or StarterConfig()
    pack_here(PackRequest(anchors=str(anchors), output=str(work / "packed")))
    request = SeparatorTraining(
        anchors=str(work / "packed"),
        output=str(work / "separator-run"),
        weights=weights,
        recipe=config.separator,
    )
    train_here(request)
    return export(request, output)


def mining_settings(config: StarterConfig) -> MiningSettings:
    """Keep every anchor, as the paper does, several of a label."""
    return MiningSettings.published().replace(
        anchor_seconds=config.segment_seconds, anchors_per_label=config.anchors_per_label, conditions="soft"
    )
