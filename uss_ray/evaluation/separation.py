"""Score weights on a two-source list: one command, a fixed list, a named metric, a JSON result.

The mixtures are separated by the engine that users run, as recordings of their own: activity gate, segment grid, joins
and conditions are its. So a figure here is what a user gets.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uss_ray.datasets.clips import LoadedClips
from uss_ray.evaluation.metrics import sdr_improvement
from uss_ray.evaluation.pairs import EvaluationPair, pairs_csv, read_pairs
from uss_ray.evaluation.protocol import (
    QueryKind,
    build_pairs,
    check_query,
    load_eval_clips,
    plan_for_pair,
    settings_for,
)
from uss_ray.mixtures import matching_gain
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.engine import SeparationEngine, build_engine
from uss_ray.separation.mixture import ArraySource
from uss_ray.separation.scheduler import SessionEnd
from uss_ray.separation.settings import SeparationSettings
from uss_ray.separation.targets import SeparationPlan
from uss_ray.weights import STARTER
from uss_ray.weights.locate import load_weights

METRIC = (
    "SDRi in dB: 10 log10(ref²/(est − ref)²), estimate minus mixture; median within a class, mean over classes; "
    "gated: only where it is detected, by the threshold of the settings; elsewhere it is silence (0 dB)"
)
Waveforms = NDArray[np.float32]


@dataclass(frozen=True)
class ClassScore:
    """Scores of a class.

    Parameters
    ----------
    class_id : str
    sdri_db : float
        Median as by default: every target is separated, detected or not.
    gated_sdri_db : float
        Median with `only_detected`.
    detected : float
        Share of pairs whose target reaches that threshold, in [0, 1].
    pairs : int
    """

    class_id: str
    sdri_db: float
    gated_sdri_db: float
    detected: float
    pairs: int


@dataclass(frozen=True, kw_only=True)
class SeparationEvaluation:
    """Result of an evaluation.

    Parameters
    ----------
    weights, weights_sha256 : str
    query : str
        Kind of query.
    settings : dict
        `SeparationSettings` as plain values, but for `only_detected`, which is on for the gated scores alone.
    list_sha256 : str
        Of the list as CSV.
    pairs : int
        Mixtures scored.
    mean_sdri_db, gated_mean_sdri_db : float
        Means over classes.
    detected : float
        Share of all pairs.
    classes : tuple of ClassScore
        Sorted by class id.
    metric : str
    """

    weights: str
    weights_sha256: str
    query: str
    settings: dict[str, Any]
    list_sha256: str
    pairs: int
    mean_sdri_db: float
    gated_mean_sdri_db: float
    detected: float
    classes: tuple[ClassScore, ...]
    metric: str = METRIC

    def to_json(self) -> str:
        """Write the result as JSON."""
        return json.dumps(asdict(self), indent=2, allow_nan=False) + "\n"


def evaluate_separation(
    data: Path,
    *,
    weights: str = STARTER,
    query: QueryKind = "class-mean",
    pairs: Path | None = None,
    settings: SeparationSettings | None = None,
    vocabulary: Vocabulary | None = None,
    progress: Callable[[float, float | None], None] | None = None,
) -> SeparationEvaluation:
    """Score weights on a two-source list.

    Parameters
    ----------
    data : Path
        Data set folder in audioset_mini's layout.
    weights : str, default="starter"
        Name, folder or URI.
    query : {"class-mean", "detected", "oracle"}, default="class-mean"
        See `protocol.plan_for_pair`.
    pairs : Path, optional
        List to use; by default the one that `build_pairs` draws from the eval split.
    settings : SeparationSettings, optional
        By default those of users. The query decides their condition.
    vocabulary : Vocabulary, optional
    progress : callable, optional
        Called with pairs done and in all.

    Returns
    -------
    SeparationEvaluation

    Raises
    ------
    DataError, WeightsError, ConfigError
        If the data set, the weights or the query are not what they should be.
    """
    vocabulary = vocabulary or Vocabulary.load()
    loaded = load_weights(weights)
    loaded.check_classes(vocabulary.classes.ids)
    seconds = loaded.specifications.segment_seconds
    listed = read_pairs(pairs) if pairs else build_pairs(data, vocabulary=vocabulary, segment_seconds=seconds)
    check_query(query, pairs=listed, weights=loaded, vocabulary=vocabulary)
    chosen = settings_for(query, settings or SeparationSettings())
    engine = build_engine(loaded, vocabulary=vocabulary)
    clips = load_eval_clips(data, vocabulary=vocabulary, sample_rate=loaded.specifications.sample_rate)
    scores = PairScores()
    for scored in separate_pairs(
        listed, clips, engine=engine, query=query, settings=chosen, segment_seconds=seconds
    ):
        scores.add(scored.pairs, scored.separated, targets=scored.targets, mixtures=scored.mixtures)
        if progress is not None:
            progress(len(scores), len(listed))
    classes = scores.by_class()
    return SeparationEvaluation(
        weights=loaded.name,
        weights_sha256=loaded.sha256,
        query=query,
        settings=chosen.model_dump(mode="json"),
        list_sha256=hashlib.sha256(pairs_csv(listed).encode()).hexdigest(),
        pairs=len(listed),
        mean_sdri_db=float(np.mean([score.sdri_db for score in classes])),
        gated_mean_sdri_db=float(np.mean([score.gated_sdri_db for score in classes])),
        detected=sum(score.detected * score.pairs for score in classes) / len(listed),
        classes=classes,
    )


def mix_pairs(
    pairs: Sequence[EvaluationPair], clips: LoadedClips, *, segment_seconds: float, batch_size: int = 16
) -> Iterator[tuple[list[EvaluationPair], Waveforms, Waveforms]]:
    """Yield batches of (pairs, mixtures, targets), mixed at equal energy."""
    rows = {record.clip_id: row for row, record in enumerate(clips.records)}
    samples = round(segment_seconds * clips.sample_rate)

    def cut(clip_id: str, start_seconds: float) -> Waveforms:
        return clips.waveform(rows[clip_id], start=round(start_seconds * clips.sample_rate), samples=samples)

    for start in range(0, len(pairs), batch_size):
        batch = list(pairs[start : start + batch_size])
        targets = np.stack([cut(p.target_clip_id, p.target_start_seconds) for p in batch])
        others = np.stack([cut(p.other_clip_id, p.other_start_seconds) for p in batch])
        gains = np.array([[matching_gain(*pair)] for pair in zip(targets, others, strict=True)])
        yield batch, targets + others * gains, targets


@dataclass(frozen=True, eq=False)
class SeparatedMixtures:
    """Estimates of the first target of each mixture's plan.

    Parameters
    ----------
    opened, gated : ndarray of shape (mixtures, samples), dtype=float32
        Wherever there is sound, and only where it is detected.
    detected : ndarray of shape (mixtures,), dtype=bool
        Whether the target reaches the threshold anywhere.
    """

    opened: Waveforms
    gated: Waveforms
    detected: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class SeparatedPairs:
    """A batch of a list with its sound.

    Parameters
    ----------
    pairs : sequence of EvaluationPair
    mixtures, targets : ndarray of shape (pairs, samples), dtype=float32
    separated : SeparatedMixtures
    """

    pairs: Sequence[EvaluationPair]
    mixtures: Waveforms
    targets: Waveforms
    separated: SeparatedMixtures


def separate_pairs(
    pairs: Sequence[EvaluationPair],
    clips: LoadedClips,
    *,
    engine: SeparationEngine,
    query: QueryKind,
    settings: SeparationSettings,
    segment_seconds: float,
) -> Iterator[SeparatedPairs]:
    """Mix and separate a list, batch by batch.

    Parameters
    ----------
    pairs : sequence of EvaluationPair
    clips : LoadedClips
        At the model's rate.
    engine : SeparationEngine
    query : {"class-mean", "detected", "oracle"}
    settings : SeparationSettings
        See `protocol.settings_for`.
    segment_seconds : float
        Length of the mixtures.
    """
    for batch, mixtures, targets in mix_pairs(pairs, clips, segment_seconds=segment_seconds):
        plans = [
            plan_for_pair(
                pair,
                query=query,
                target=ArraySource(target, sample_rate=clips.sample_rate),
                engine=engine,
                settings=settings,
            )
            for pair, target in zip(batch, targets, strict=True)
        ]
        separated = separate_mixtures(
            mixtures, plans, engine=engine, sample_rate=clips.sample_rate, settings=settings
        )
        yield SeparatedPairs(batch, mixtures, targets, separated)


def separate_mixtures(
    mixtures: Waveforms,
    plans: Sequence[SeparationPlan],
    *,
    engine: SeparationEngine,
    sample_rate: int,
    settings: SeparationSettings,
) -> SeparatedMixtures:
    """Separate each mixture as a recording of its own, wherever there is sound and only where it is detected.

    Parameters
    ----------
    mixtures : ndarray of shape (mixtures, samples), dtype=float32
    plans : sequence of SeparationPlan
        One a mixture.
    engine : SeparationEngine
    sample_rate : int
        In Hz.
    settings : SeparationSettings
    """
    sessions = [
        engine.open_session(
            ArraySource(mixture, sample_rate=sample_rate), _with_gate(plan, is_gated), settings=settings
        )
        for is_gated in (False, True)
        for mixture, plan in zip(mixtures, plans, strict=True)
    ]
    estimates = np.zeros((len(sessions), mixtures.shape[1]), np.float32)
    detected = np.zeros(len(sessions), np.bool_)
    for number, block in engine.stream_many(sessions):
        if isinstance(block, SessionEnd):
            if block.error is not None:
                raise block.error
            continue
        key = plans[number % len(plans)].targets[0].key
        detected[number] |= block.detected[:, 0].any()
        if key in block.estimates:
            estimate = block.estimates[key][0]
            estimates[number, block.start_frame : block.start_frame + len(estimate)] = estimate
    count = len(mixtures)
    return SeparatedMixtures(estimates[:count], estimates[count:], detected[count:])


def _with_gate(plan: SeparationPlan, is_gated: bool) -> SeparationPlan:
    return replace(plan, targets=tuple(replace(target, is_gated=is_gated) for target in plan.targets))


class PairScores:
    """Scores of pairs, gathered batch by batch."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, float, float, bool]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(
        self,
        pairs: Sequence[EvaluationPair],
        separated: SeparatedMixtures,
        *,
        targets: Waveforms,
        mixtures: Waveforms,
    ) -> None:
        """Score a batch; waveforms of shape (pairs, samples)."""
        opened = sdr_improvement(separated.opened, targets, mixtures)
        gated = sdr_improvement(separated.gated, targets, mixtures)
        self._rows += [
            (pair.class_id, float(one), float(other), bool(is_detected))
            for pair, one, other, is_detected in zip(pairs, opened, gated, separated.detected, strict=True)
        ]

    @property
    def figures(self) -> NDArray[np.float64]:
        """SDRi with the gate open and as it is set, and whether it is detected, of shape (pairs, 3)."""
        return np.array([row[1:] for row in self._rows], np.float64).reshape(-1, 3)

    def by_class(self) -> tuple[ClassScore, ...]:
        """Take the median within each class, sorted by class id."""
        return scores_by_class([row[0] for row in self._rows], self.figures)


def scores_by_class(class_ids: Sequence[str], figures: NDArray[np.float64]) -> tuple[ClassScore, ...]:
    """Take the median of `PairScores.figures` within each class, sorted by class id."""
    classes = np.array(class_ids)
    scores = []
    for class_id in sorted(set(class_ids)):
        own = figures[classes == class_id]
        opened, gated = np.median(own[:, 0]), np.median(own[:, 1])
        scores.append(ClassScore(class_id, float(opened), float(gated), float(own[:, 2].mean()), len(own)))
    return tuple(scores)
