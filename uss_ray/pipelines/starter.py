"""The starter recipe from a data set: tagger, anchors, pack, separator, one after the other on one machine.

The road is the one of every other training set: weak labels and a tagger make shards of anchors, these are packed, and
the pack is what the separator is trained from. Each part goes on where it ended.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from uss_ray.anchors.manifest import MANIFEST_NAME
from uss_ray.config import Settings, parse_json
from uss_ray.errors import DataError
from uss_ray.mining.settings import MiningSettings
from uss_ray.pipelines.mining.local import mine_in_process
from uss_ray.pipelines.mining.request import MiningRequest
from uss_ray.pipelines.training.local import train_here
from uss_ray.pipelines.training.pack_request import PackRequest
from uss_ray.pipelines.training.packing import pack_here
from uss_ray.pipelines.training.request import SeparatorTraining, TaggerTraining
from uss_ray.pipelines.training.worker import export
from uss_ray.store.fetch import file_sha256
from uss_ray.store.store import Store
from uss_ray.training.starter import StarterConfig
from uss_ray.weights import CONFIG_NAME
from uss_ray.weights.folder import config_sha256, listed_files

_log = logging.getLogger(__name__)

_SEGMENTS = Path("metadata", "train_segments.csv")
_MADE_NAME = "made.json"


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
    asked = _Asked.of_data(data, segments=segments, config=config)
    segments = segments or data / _SEGMENTS
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
    folder = _train_separator(work / "anchors", output, weights=str(tagger), work=work, config=config)
    return _note(folder, asked, work=work)


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
    asked = _Asked.of_anchors(anchors, weights=weights, config=config)
    return _note(
        _train_separator(anchors, output, weights=weights, work=work, config=config), asked, work=work
    )


def is_made_of_data(
    data: Path,
    output: Path,
    *,
    work: Path,
    config: StarterConfig | None = None,
    segments: Path | None = None,
) -> bool:
    """Tell whether `train_starter` with the same arguments has ended, and its weights are there as it left them."""
    return _is_made(output, work, lambda: _Asked.of_data(data, segments=segments, config=config))


def is_made_of_anchors(
    anchors: str | Path, output: Path, *, weights: str, work: Path, config: StarterConfig | None = None
) -> bool:
    """Tell as `is_made_of_data` does, of `train_starter_from_anchors`."""
    return _is_made(output, work, lambda: _Asked.of_anchors(anchors, weights=weights, config=config))


class _Asked(Settings):
    """What the recipe was asked for; the file tells one state of a data set or of anchors from another."""

    source: str
    file_sha256: str
    segments: str | None = None
    weights: str | None = None
    config: StarterConfig

    @classmethod
    def of_data(cls, data: Path, *, segments: Path | None, config: StarterConfig | None) -> _Asked:
        file = segments or data / _SEGMENTS
        return cls(
            source=str(data.resolve()),
            file_sha256=file_sha256(file) if file.is_file() else "",
            segments=None if segments is None else str(segments.resolve()),
            config=config or StarterConfig(),
        )

    @classmethod
    def of_anchors(cls, anchors: str | Path, *, weights: str, config: StarterConfig | None) -> _Asked:
        file = Path(anchors) / MANIFEST_NAME
        return cls(
            source=str(Path(anchors).resolve()),
            file_sha256=file_sha256(file) if file.is_file() else "",
            weights=weights,
            config=config or StarterConfig(),
        )


class _Made(Settings):
    """What the recipe has made of what it was asked for, as its work folder says it."""

    weights_sha256: str
    asked: _Asked


def _note(folder: Path, asked: _Asked, *, work: Path) -> Path:
    made = _Made(weights_sha256=config_sha256((folder / CONFIG_NAME).read_bytes()), asked=asked)
    Store(work / _MADE_NAME).put(made.model_dump_json(indent=2).encode())
    return folder


def _is_made(output: Path, work: Path, asked: Callable[[], _Asked]) -> bool:
    note, config = Store(work / _MADE_NAME, error=DataError), output / CONFIG_NAME
    if not (note.exists() and config.is_file()):
        return False
    try:
        made = parse_json(note.read(), _Made, item=str(note))
    except DataError as error:  # of another version, whose settings were others
        _log.info("%s", error)
        return False
    raw = config.read_bytes()
    return (
        made.weights_sha256 == config_sha256(raw)
        and made.asked == asked()
        and all(
            (output / name).is_file() and file_sha256(output / name) == sha256
            for name, sha256 in listed_files(str(config), raw).items()
        )
    )


def _train_separator(
    anchors: str | Path, output: Path, *, weights: str, work: Path, config: StarterConfig
) -> Path:
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
