"""The evaluation protocol: the two-source list of a data set, and the three kinds of query it is scored with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from uss_ray.datasets.clips import LoadedClips
from uss_ray.datasets.segments import ClipRecord, read_segments
from uss_ray.errors import ConfigError, DataError, WeightsError
from uss_ray.evaluation.pairs import (
    Candidate,
    EvaluationPair,
    candidates_from_events,
    draw_pairs,
    read_events,
    write_pairs,
)
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.engine import SeparationEngine
from uss_ray.separation.mixture import Source
from uss_ray.separation.settings import SeparationSettings
from uss_ray.separation.targets import SeparationPlan, target_for_condition, targets_for_classes
from uss_ray.weights.folder import Weights

QueryKind = Literal["class-mean", "detected", "oracle"]
QUERY_KINDS: tuple[QueryKind, ...] = ("class-mean", "detected", "oracle")


def read_split(data: Path, *, split: str, vocabulary: Vocabulary) -> list[ClipRecord]:
    """Read the weak labels of a split of a data set in AudioSet's format.

    Parameters
    ----------
    data : Path
        Folder with `metadata/<split>_segments.csv` and `audio/<split>`.
    split : str
    vocabulary : Vocabulary

    Raises
    ------
    DataError
        If the table is missing or names a class that the class list lacks.
    """
    class_index = {class_id: index for index, class_id in enumerate(vocabulary.classes.ids)}
    return read_segments(data / "metadata" / f"{split}_segments.csv", class_index=class_index)


def build_pairs(
    data: Path, *, vocabulary: Vocabulary, segment_seconds: float, seed: int = 0
) -> list[EvaluationPair]:
    """Draw the two-source list of the eval split, from its true events.

    Two segments are mixed only if their clips differ, neither class holds the other in the ontology, and neither
    clip is labelled with the class of the other.

    Parameters
    ----------
    data : Path
        Data set with `metadata/strong_labels.tsv`.
    vocabulary : Vocabulary
    segment_seconds : float
    seed : int, default=0

    Raises
    ------
    DataError
        If the data set has no true events.
    """
    labels = {
        record.clip_id: {vocabulary.classes.ids[index] for index in record.class_indexes}
        for record in read_split(data, split="eval", vocabulary=vocabulary)
    }
    events = read_events(data / "metadata" / "strong_labels.tsv", split="eval")

    def conflict(one: Candidate, other: Candidate) -> bool:
        return (
            one.clip_id == other.clip_id
            or vocabulary.ontology.related(one.class_id, other.class_id)
            or one.class_id in labels[other.clip_id]
            or other.class_id in labels[one.clip_id]
        )

    candidates = candidates_from_events(events, segment_seconds=segment_seconds)
    if not candidates:
        raise DataError(str(data), expected="events of the eval split that fill a segment", found="none")
    return draw_pairs(candidates, conflict=conflict, seed=seed)


def write_list(
    data: Path,
    output: Path,
    *,
    vocabulary: Vocabulary | None = None,
    segment_seconds: float = 2.0,
    seed: int = 0,
) -> int:
    """Write the two-source list of a data set as CSV and return the number of its pairs."""
    vocabulary = vocabulary or Vocabulary.load()
    drawn = build_pairs(data, vocabulary=vocabulary, segment_seconds=segment_seconds, seed=seed)
    write_pairs(drawn, output)
    return len(drawn)


def load_eval_clips(
    data: Path, *, vocabulary: Vocabulary, sample_rate: int, pairs: Sequence[EvaluationPair] | None = None
) -> LoadedClips:
    """Decode the eval split, or those of its clips that a list names."""
    records = read_split(data, split="eval", vocabulary=vocabulary)
    if pairs is not None:
        named = {clip for pair in pairs for clip in (pair.target_clip_id, pair.other_clip_id)}
        records = [record for record in records if record.clip_id in named]
        missing = named - {record.clip_id for record in records}
        if missing:
            raise DataError(str(data), expected=f"clip {min(missing)} of the list", found="none")
    return LoadedClips.load(
        records, data / "audio" / "eval", classes=len(vocabulary.classes), sample_rate=sample_rate
    )


def check_query(
    query: QueryKind, *, pairs: Sequence[EvaluationPair], weights: Weights, vocabulary: Vocabulary
) -> None:
    """Refuse what cannot be scored; the engine would fall back to a detected condition where a class mean is missing.

    Raises
    ------
    ConfigError
        If `query` is unknown.
    WeightsError
        If the weights lack the mean of a class that is asked for.
    """
    if query not in QUERY_KINDS:
        raise ConfigError("evaluation query", expected=" or ".join(QUERY_KINDS), found=str(query))
    if query == "class-mean":
        means = weights.class_means or {}
        missing = [pair.class_id for pair in pairs if vocabulary.classes.index(pair.class_id) not in means]
        if missing:
            raise WeightsError(
                f"weights {weights.name}",
                expected="a class mean of each class",
                found=f"none of {missing[0]}",
            )


def settings_for(query: QueryKind, settings: SeparationSettings) -> SeparationSettings:
    """Let the query decide the condition; an oracle brings its own."""
    return settings if query == "oracle" else settings.replace(condition=query)


def plan_for_pair(
    pair: EvaluationPair,
    *,
    query: QueryKind,
    target: Source,
    engine: SeparationEngine,
    settings: SeparationSettings,
) -> SeparationPlan:
    """Ask for the target of a pair.

    Parameters
    ----------
    pair : EvaluationPair
    query : {"class-mean", "detected", "oracle"}
        The class by its name, steered to by its mean condition or by what the tagger hears of it in the mixture; or
        the target itself as an example, an upper bound that no user has.
    target : Source
        The clean target, for the oracle alone.
    engine : SeparationEngine
    settings : SeparationSettings
    """
    if query == "oracle":
        condition = engine.condition_of_examples([target], settings=settings)
        return SeparationPlan((target_for_condition(pair.class_id, condition=condition),))
    return SeparationPlan(targets_for_classes(engine.vocabulary, names=[pair.class_id]))
