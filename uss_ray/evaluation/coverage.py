"""How much of an anchor its true event covers: mined against random, on data whose events are known.

Owns the measure and the comparison. True events are never seen by the miner; a label's events are those of its class
and of the classes below it in the ontology.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from uss_ray.anchors.anchor import Anchor
from uss_ray.datasets.clips import LoadedClips
from uss_ray.errors import DataError
from uss_ray.evaluation.label_metrics import Span, join_spans
from uss_ray.evaluation.pairs import Event
from uss_ray.evaluation.protocol import read_split, read_true_events
from uss_ray.mining.detect import AnchorDetector
from uss_ray.mining.detection import Detection
from uss_ray.mining.miner import AnchorMiner
from uss_ray.mining.positions import AnchorGrid, random_starts
from uss_ray.mining.settings import MiningSettings
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.weights.folder import Weights

METRIC = (
    "coverage: share of an anchor in which a true event of its label (the class or one below it) sounds; "
    "random: mean of several draws over the whole clip; best: the largest that any place of the clip has"
)


@dataclass(frozen=True)
class PlaceCoverage:
    """One place that the miner chose, and what else could have been chosen there.

    Parameters
    ----------
    class_id : str
    is_kept : bool
        False where the settings reject it.
    mined, random, best : float
        Coverage in [0, 1]: of the mined place, the mean of random ones, the largest possible.
    """

    class_id: str
    is_kept: bool
    mined: float
    random: float
    best: float


@dataclass(frozen=True)
class CoverageMeans:
    """Means over places, and over classes of their means; in [0, 1], NaN where there are none."""

    places: int
    classes: int
    mined: float
    random: float
    best: float
    mined_by_class: float
    random_by_class: float
    best_by_class: float


@dataclass(frozen=True)
class ClassCoverage:
    """Mean coverage of a class: all places, and the ones that the settings keep (`kept_mined` None of none)."""

    class_id: str
    places: int
    mined: float
    random: float
    best: float
    kept: int
    kept_mined: float | None


@dataclass(frozen=True)
class MiningEvaluation:
    """Result of an evaluation.

    Parameters
    ----------
    weights, weights_sha256 : str
    split : str
    settings : dict
        `MiningSettings` as plain values.
    random_draws : int
    clips : int
    labels_without_event : int
        Weak labels that no true event stands for; they are left out.
    everything : CoverageMeans
        Every place that was mined, as the paper keeps them.
    kept : CoverageMeans
        The places that the settings keep; random and best for the same labels.
    classes : tuple of ClassCoverage
        Sorted by class id.
    metric : str
    """

    weights: str
    weights_sha256: str
    split: str
    settings: dict[str, object]
    random_draws: int
    clips: int
    labels_without_event: int
    everything: CoverageMeans
    kept: CoverageMeans
    classes: tuple[ClassCoverage, ...]
    metric: str = field(default=METRIC)

    def to_json(self) -> str:
        """Write the result as JSON; what is not finite becomes text."""
        return json.dumps(_plain(asdict(self)), indent=2, allow_nan=False) + "\n"


def coverage(spans: Sequence[Span], *, start_seconds: float, seconds: float) -> float:
    """Measure the share of a segment that events cover.

    Parameters
    ----------
    spans : sequence of (float, float)
        Onsets and offsets in seconds, joined.
    start_seconds, seconds : float
        Where the segment lies and how long it is.

    Returns
    -------
    float
        In [0, 1].

    Examples
    --------
    >>> coverage([(0.0, 1.0), (2.5, 9.0)], start_seconds=0.5, seconds=4.0)
    0.625
    """
    end_seconds = start_seconds + seconds
    covered = sum(max(0.0, min(end, end_seconds) - max(start, start_seconds)) for start, end in spans)
    return min(covered / seconds, 1.0)


def best_coverage(spans: Sequence[Span], *, seconds: float, clip_seconds: float) -> float:
    """Find the largest coverage that a segment of a clip can have; parameters as in `coverage`."""
    # Coverage is piecewise linear in the start; its corners are where an edge of the segment meets one of an event.
    corners = {edge - shift for span in spans for edge in span for shift in (0.0, seconds)}
    starts = [min(max(corner, 0.0), clip_seconds - seconds) for corner in corners]
    return max((coverage(spans, start_seconds=start, seconds=seconds) for start in starts), default=0.0)


def evaluate_mining(
    data: Path,
    *,
    weights: Weights,
    vocabulary: Vocabulary,
    settings: MiningSettings | None = None,
    split: str = "eval",
    random_draws: int = 20,
    progress: Callable[[float, float | None], None] | None = None,
) -> MiningEvaluation:
    """Mine a split and compare with its true events.

    Parameters
    ----------
    data : Path
        Data set folder in audioset_mini's layout, with `metadata/strong_labels.tsv`.
    weights : Weights
        With a detector.
    vocabulary : Vocabulary
    settings : MiningSettings, optional
        Default: the miner's.
    split : str, default="eval"
    random_draws : int, default=20
        Seeds that `random` is averaged over.
    progress : callable, optional
        Called with clips done and in all.

    Returns
    -------
    MiningEvaluation

    Raises
    ------
    DataError
        If the data set is not in its format or has no events of its labels.
    WeightsError
        If the weights cannot detect, or know other classes.
    """
    settings = settings or MiningSettings()
    weights.check_classes(vocabulary.classes.ids)
    records = read_split(data, split=split, vocabulary=vocabulary)
    events: dict[str, list[Event]] = {}
    for event in read_true_events(data, split=split, vocabulary=vocabulary):
        events.setdefault(event.clip_id, []).append(event)
    store = LoadedClips.load(
        records,
        data / "audio" / split,
        classes=len(vocabulary.classes),
        sample_rate=weights.specifications.sample_rate,
        clip_seconds=settings.clip_seconds,
    )
    comparison = _Comparison(
        settings, vocabulary=vocabulary, sample_rate=weights.specifications.sample_rate, draws=random_draws
    )
    detector = AnchorDetector(weights, clip_seconds=settings.clip_seconds, batch_size=settings.batch_size)
    places: list[PlaceCoverage] = []
    for first in range(0, len(store), settings.batch_size):
        rows = range(first, min(first + settings.batch_size, len(store)))
        waveforms = [store.waveform(row) for row in rows]
        for row, waveform, found in zip(rows, waveforms, detector.detect(waveforms), strict=True):
            record = records[row]
            places += comparison.compare(
                waveform,
                clip_id=record.clip_id,
                class_indexes=record.class_indexes,
                detection=found,
                events=events.get(record.clip_id, []),
            )
        if progress is not None:
            progress(rows.stop, len(store))
    if not places:
        raise DataError(str(data), expected=f"true events of the labels of {split}", found="none")
    return MiningEvaluation(
        weights=weights.name,
        weights_sha256=weights.sha256,
        split=split,
        settings=settings.model_dump(mode="json"),
        random_draws=random_draws,
        clips=len(records),
        labels_without_event=comparison.labels_without_event,
        everything=average_places(places),
        kept=average_places([place for place in places if place.is_kept]),
        classes=tuple(_by_class(places)),
    )


class _Comparison:
    """Mine clips and hold each place against the events of its label."""

    def __init__(
        self, settings: MiningSettings, *, vocabulary: Vocabulary, sample_rate: int, draws: int
    ) -> None:
        self.labels_without_event = 0
        self._settings = settings
        self._ids = vocabulary.classes.ids
        self._below = {
            class_id: {node.node_id for node in vocabulary.ontology.descendants(class_id)}
            for class_id in self._ids
        }
        self._miner = AnchorMiner(settings, related=vocabulary.relatives(), sample_rate=sample_rate)
        self._rate = sample_rate
        self._draws = draws

    def compare(
        self,
        waveform: np.ndarray,
        *,
        clip_id: str,
        class_indexes: Sequence[int],
        detection: Detection,
        events: Sequence[Event],
    ) -> list[PlaceCoverage]:
        spans = {
            index: join_spans(
                (event.onset_seconds, event.offset_seconds)
                for event in events
                if event.class_id in self._below[self._ids[index]]
            )
            for index in class_indexes
        }
        known = [index for index in class_indexes if spans[index]]
        self.labels_without_event += len(class_indexes) - len(known)
        seconds = self._settings.anchor_seconds
        grid = AnchorGrid(len(waveform), round(seconds * self._rate), detection.hop_samples)
        places: list[PlaceCoverage] = []
        for found in self._miner.mine(waveform, clip_id=clip_id, class_indexes=known, detection=detection):
            if found.class_index is None or found.start_sample is None:
                continue
            own = spans[found.class_index]
            drawn = [
                random_starts(clip_id, class_index=found.class_index, grid=grid, seed=seed)[0]
                for seed in range(self._draws)
            ]
            mined, *random = (
                coverage(own, start_seconds=start / self._rate, seconds=seconds)
                for start in [found.start_sample, *drawn]
            )
            places.append(
                PlaceCoverage(
                    class_id=self._ids[found.class_index],
                    is_kept=isinstance(found, Anchor),
                    mined=mined,
                    random=float(np.mean(random)),
                    best=best_coverage(own, seconds=seconds, clip_seconds=len(waveform) / self._rate),
                )
            )
        return places


def average_places(places: Sequence[PlaceCoverage]) -> CoverageMeans:
    """Average coverage over places, and over classes of their means."""
    values = np.array([(place.mined, place.random, place.best) for place in places]).reshape(-1, 3)
    if not len(values):
        return CoverageMeans(0, 0, *[float("nan")] * 6)
    classes = np.array([place.class_id for place in places])
    names = sorted(set(classes.tolist()))
    by_class = np.mean([values[classes == name].mean(axis=0) for name in names], axis=0)
    means = [*values.mean(axis=0).tolist(), *by_class.tolist()]
    return CoverageMeans(len(places), len(names), *means)


def _by_class(places: Sequence[PlaceCoverage]) -> list[ClassCoverage]:
    rows = []
    for class_id in sorted({place.class_id for place in places}):
        own = [place for place in places if place.class_id == class_id]
        means, kept = average_places(own), [place.mined for place in own if place.is_kept]
        rows.append(
            ClassCoverage(
                class_id,
                places=len(own),
                mined=means.mined,
                random=means.random,
                best=means.best,
                kept=len(kept),
                kept_mined=float(np.mean(kept)) if kept else None,
            )
        )
    return rows


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value
