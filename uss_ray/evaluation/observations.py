"""What weights say of recordings whose sounds are known: heard through the engine that users run, or told by them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uss_ray.datasets.clips import LoadedClips
from uss_ray.datasets.segments import ClipRecord
from uss_ray.evaluation.calibration import Observations
from uss_ray.evaluation.protocol import read_split
from uss_ray.models.specifications import ClassCalibration
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.results.corrections import Correction
from uss_ray.separation.engine import SeparationEngine
from uss_ray.separation.mixture import ArraySource
from uss_ray.separation.session import EstimateBlock
from uss_ray.separation.settings import SeparationSettings
from uss_ray.separation.targets import SeparationPlan, Target

_CLIPS_AT_A_TIME = 32


def listen(
    data: Path,
    *,
    split: str,
    engine: SeparationEngine,
    limit: int | None = None,
    progress: Callable[[float, float | None], None] | None = None,
) -> Observations:
    """Ask the engine how probable each class that its weights know is in the clips of a split.

    Parameters
    ----------
    data : Path
        Data set in AudioSet's format.
    split : str
    engine : SeparationEngine
    limit : int, optional
        At most so many clips, drawn by their names.
    progress : callable, optional
        Called with clips done and clips in all.

    Raises
    ------
    DataError
        If the table or a clip cannot be read.
    """
    vocabulary, sample_rate = engine.vocabulary, engine.sample_rate
    records = sorted(read_split(data, split=split, vocabulary=vocabulary), key=_drawn)[:limit]
    known = sorted(engine.known.class_indexes)
    is_there = _with_above(records, vocabulary)[:, known]
    heard = []
    for first in range(0, len(records), _CLIPS_AT_A_TIME):
        batch = records[first : first + _CLIPS_AT_A_TIME]
        clips = LoadedClips.load(
            batch, data / "audio" / split, classes=len(vocabulary.classes), sample_rate=sample_rate
        )
        waveforms = [clips.waveform(row) for row in range(len(batch))]
        heard += _highest(engine, waveforms, sample_rate=sample_rate, classes=known)
        if progress is not None:
            progress(len(heard), len(records))
    return Observations(
        np.repeat(np.array([record.clip_id for record in records], np.str_), len(known)),
        np.tile(np.array(known, np.int64), len(records)),
        np.array(heard, np.float64).reshape(-1),
        is_there.reshape(-1),
    )


def of_corrections(
    corrections: Iterable[Correction],
    *,
    vocabulary: Vocabulary,
    weights_sha256: str,
    calibration: Sequence[ClassCalibration] = (),
) -> Observations:
    """Take what a person said of findings as observations.

    Parameters
    ----------
    corrections : iterable of Correction
        The last word on each finding.
    vocabulary : Vocabulary
    weights_sha256 : str
        What other weights have said is left out; so is what has no probability, or is no class by itself, and that one
        event of several is wrong, which says nothing of the others.
    calibration : sequence of ClassCalibration, default=()
        Of these weights: the probabilities of an index are calibrated, and brought back here.
    """
    lines = {one.class_index: one for one in calibration}

    def rows() -> Iterator[tuple[str, int, float, bool]]:
        for one in corrections:
            is_class = one.node_id in vocabulary.classes
            is_whole = one.start_seconds is None or one.is_there
            if one.weights_sha256 == weights_sha256 and one.probability is not None and is_class and is_whole:
                index = vocabulary.classes.index(one.node_id)
                yield one.recording_id, index, _raw(one.probability, lines.get(index)), one.is_there

    return Observations.of_rows(rows())


def _raw(probability: float, line: ClassCalibration | None) -> float:
    if line is None or not 0.0 < probability < 1.0:
        return probability
    logit = (np.log(probability / (1.0 - probability)) - line.offset) / line.slope
    return float(1.0 / (1.0 + np.exp(-logit)))


def _drawn(record: ClipRecord) -> bytes:
    return hashlib.sha256(record.clip_id.encode()).digest()


def _with_above(records: Sequence[ClipRecord], vocabulary: Vocabulary) -> NDArray[np.bool_]:
    """Tell which classes are there: those of the labels, and those that lie above one."""
    labels = np.zeros((len(records), len(vocabulary.classes)), np.bool_)
    for row, record in enumerate(records):
        labels[row, list(record.class_indexes)] = True
    return np.asarray((labels.astype(np.float32) @ vocabulary.subtrees().T.astype(np.float32)) > 0)


def each_class(engine: SeparationEngine, classes: Sequence[int]) -> SeparationPlan:
    """Ask for classes of the class list one by one, by their indexes."""
    listed = engine.vocabulary.classes
    return SeparationPlan(
        tuple(
            Target(listed.ids[index], listed.labels[index], class_indexes=(index,), own_indexes=(index,))
            for index in classes
        )
    )


def _highest(
    engine: SeparationEngine,
    waveforms: Sequence[NDArray[np.float32]],
    *,
    sample_rate: int,
    classes: Sequence[int],
) -> list[NDArray[np.float32]]:
    """Give the highest probability of each class in each recording, as the tagger says it of segments."""
    plan = each_class(engine, classes)
    settings = SeparationSettings(calibrated=False, times="segments")
    sessions = [
        engine.open_session(
            ArraySource(waveform, sample_rate=sample_rate), plan, settings=settings, estimates=False
        )
        for waveform in waveforms
    ]
    highest = [np.zeros(len(classes), np.float32) for _ in waveforms]
    for place, block in engine.stream_many(sessions):
        if isinstance(block, EstimateBlock):
            highest[place] = np.maximum(highest[place], block.segment_probs.max(axis=0))
        elif block.error is not None:
            raise block.error
    return highest
