"""What `result.json` says of a run: figures with intervals, what is not defined, and what they are of."""

from __future__ import annotations

import dataclasses
import os
import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydantic import Field

from uss_ray.config import Location, Settings, canonical_json, parse_json
from uss_ray.errors import DataError
from uss_ray.evaluation.averages import Average, class_median_mean, plain_mean
from uss_ray.evaluation.benchmarks.benchmark import Card
from uss_ray.evaluation.label_metrics import average_precision, d_prime, f1, label_accuracies
from uss_ray.evaluation.measures import MEASURES, is_by_class
from uss_ray.evaluation.request import EvaluationRequest
from uss_ray.evaluation.rows import EVENTS, LEVEL, RANDOM_CLASS, TAGS, ScoreRow
from uss_ray.evaluation.tag_scores import score_tags
from uss_ray.separation.settings import NetworkSettings, SeparationSettings
from uss_ray.store.store import Store

if TYPE_CHECKING:
    from uss_ray.evaluation.run import Scored

RESULT_NAME: Final = "result.json"
RESULT_VERSION: Final = 1

BLIND_BELOW_DB: Final = 0.5
"""A class mean that is less above a random class has not been heard."""

_REASONS = 20


def left_out(undefined: int) -> str:
    """Say what stands behind a figure that is not of all there is; empty where it is."""
    return f" ({undefined} undefined)" if undefined else ""


class MeasureResult(Settings):
    """One measure of one system."""

    class_median_mean: Average = Field(description="Median in a class, mean over classes.")
    mean: Average = Field(description="Mean over items.")
    undefined: int = Field(
        description="Targets, of tags classes, for which it is not defined; they are in no average."
    )

    def headline(self, name: str) -> Average:
        """Give the average that a measure of this name is told by."""
        return self.class_median_mean if is_by_class(name) else self.mean

    @property
    def left_out(self) -> str:
        """Say how many are in no average; empty where all are in."""
        return left_out(self.undefined)


class ClassResult(Settings):
    """One class under one system."""

    label: str
    targets: int
    medians: dict[str, float] = Field(description="By measure.")


class EmptyResult(Settings):
    """What was found in scenes in which there is nothing to find."""

    scenes: int
    right: float = Field(description="Share of those in which nothing was found.")
    false_stems: float = Field(description="False stems a scene.")
    energy: float | None = Field(description="Mean share of the mixture's energy in them.")

    @property
    def told(self) -> str:
        """Say it in words."""
        share = "" if self.energy is None else f" with {self.energy:.0%} of the energy"
        return (
            f"of {self.scenes} scenes without a target {self.right:.0%} are left empty, "
            f"on average {self.false_stems:.1f} false stems{share}"
        )


class LabelResult(Settings):
    """What was found in scenes of which nothing was asked."""

    mixture_accuracy: float | None = Field(description="Share of scenes whose labels are all right.")
    source_accuracy: float | None = Field(description="Right labels by right, false and missed ones.")
    f1: float | None = Field(description="Of labels, over all scenes.")
    precision: float | None = Field(default=None, description="Right labels by found ones.")
    recall: float | None = Field(default=None, description="Right labels by true ones.")
    event_f1: float | None = Field(
        default=None,
        description="Of events at their times: start within 200 ms, end within that or a fifth of the length.",
    )
    frame_f1: float | None = Field(default=None, description="Of labels in steps of 50 ms.")
    mean_average_precision: float | None = Field(
        description="Over events that are in a scene, by highest probability."
    )
    d_prime: float | None = Field(description="Mean over those for which it is defined.")
    undefined: dict[str, int] = Field(
        default_factory=dict,
        description="Events that are in a scene and in no mean, by figure; of those that lack some.",
    )
    empty: EmptyResult | None = Field(
        default=None, description="Of scenes without a target, if there are any."
    )


class LevelResult(Settings):
    """How the stems of a level agree with the mixture, the residual and the level above; over all scenes."""

    unknown: int = Field(description="True nodes that the weights do not know; they count nowhere.")
    written_sdr: float | None = Field(description="Mean SDR in dB of true nodes that are written.")
    written_sdri: float | None = Field(description="Mean SDRi in dB of those.")
    taken_twice: float | None = Field(
        description="Share of stems whose sound the residual has lost more than once."
    )
    least_left: float | None = Field(description="The worst of them, as a factor of the stem.")
    louder: float | None = Field(description="Share of children that are louder than each parent.")
    overdrawn: float | None = Field(description="Share of parents that hold less than their children.")


class SystemResult(Settings):
    """One system with one kind of query."""

    system: str
    query: str
    targets: int
    failed: int = Field(description="Targets without an estimate.")
    detected: float | None = Field(
        default=None, description="Share of targets that were detected, where it is told."
    )
    measures: dict[str, MeasureResult]
    classes: tuple[ClassResult, ...]
    labels: LabelResult | None = None
    level: LevelResult | None = None


class Heard(Settings):
    """A target whose sound is kept, as `heard/<which>-{mixture,target,estimate}.flac` of the run."""

    which: str = Field(description="best, median or worst of the first query, by SDRi.")
    item_id: str
    label: str
    sdri: float


class Condition(Settings):
    """Whether the separator hears its condition."""

    difference_db: float = Field(description="SDRi of the first query minus that of a random class.")
    is_blind: bool = Field(description=f"Whether that is under {BLIND_BELOW_DB:g} dB.")
    absent_level_db: float | None = Field(
        default=None,
        description="Level of what is given for a class that is not there, by that of the mixture: what leaks.",
    )


class EvaluationResult(Settings):
    """Result of an evaluation."""

    version: int = RESULT_VERSION
    benchmark: str
    title: str
    revision: str
    licence: str
    citation: str
    assumed: str
    main_score: str
    unit: str
    published: float | None = Field(
        description="The paper's figure, where the protocol is the published one."
    )
    published_score: str | None = None
    split: str
    protocol: str
    seed: int
    list_sha256: str
    listed: int = Field(description="Items of the list.")
    scored: int = Field(description="Items that were mixed and scored.")
    missing: int = Field(description="Items whose files are not there.")
    broken: int = Field(description="Items that could not be mixed.")
    is_limited: bool
    train_list_sha256: str | None = None
    weights: str
    weights_sha256: str
    settings: dict[str, Any]
    networks: dict[str, Any] = Field(
        default_factory=dict, description="Empty of a result made before there was a choice."
    )
    systems: tuple[SystemResult, ...]
    condition: Condition | None = None
    heard: tuple[Heard, ...] = ()
    not_measured: dict[str, str] = Field(
        default_factory=dict, description="Measures whose package was not installed, and how it is."
    )
    reasons: dict[str, int] = Field(
        description="Why there is no estimate, with how many items could not be mixed or targets not be asked for."
    )
    made: dict[str, Any] = Field(default_factory=dict, description="When, how long, and with what.")

    def to_json(self) -> str:
        """Write it as JSON; it has no NaN."""
        return self.model_dump_json(indent=2) + "\n"

    @property
    def items(self) -> int:
        """How many items have rows."""
        return self.scored + self.broken

    @property
    def changes(self) -> str:
        """Settings that are not the defaults, with their values; empty where there are none."""
        changed = [
            *_changed(self.settings, SeparationSettings().model_dump(mode="json")),
            *_changed(self.networks, NetworkSettings().model_dump(mode="json")),
        ]
        return ", ".join(f"{name} {canonical_json(value)}" for name, value in changed)

    def find(self, system: str, query: str) -> SystemResult | None:
        """Give the figures of a system with a query."""
        return next((one for one in self.systems if (one.system, one.query) == (system, query)), None)


def read_result(location: Location | Store) -> EvaluationResult:
    """Read a result; of a folder of a run, the one in it.

    Raises
    ------
    DataError
        If it is missing, or does not follow the schema.
    """
    place = Store.of(location, DataError)
    if not str(place).endswith(".json"):
        place = place / RESULT_NAME
    return parse_json(place.read(), EvaluationResult, item=str(place))


def make_result(
    rows: Sequence[ScoreRow],
    *,
    request: EvaluationRequest,
    scored: Scored,
    card: Card,
    weights: tuple[str, str],
    made: dict[str, Any] | None = None,
) -> EvaluationResult:
    """Sum up the rows of a run.

    Parameters
    ----------
    rows : sequence of ScoreRow
        In the order of the list.
    request : EvaluationRequest
    scored : Scored
    card : Card
    weights : tuple of (str, str)
        Name and sha256.
    made : dict, optional
        When, how long, and with what; no part of what two runs have in common.
    """
    listed = scored.listed
    is_published = listed.protocol == "published"
    systems = tuple(summarise_system(own) for own in by_system(rows).values())
    broken = {row.item_id for row in rows if row.is_broken}
    lost = {(row.reason, row.item_id, "" if row.is_broken else row.label) for row in rows}
    reasons = Counter(reason for reason, *_ in lost if reason is not None)
    return EvaluationResult(
        benchmark=card.name,
        title=card.title,
        revision=card.revision,
        licence=card.licence,
        citation=card.citation,
        assumed=card.assumed,
        main_score=card.main_score,
        unit=card.unit,
        published=card.published if is_published else None,
        published_score=(card.published_score or card.main_score)
        if is_published and card.published
        else None,
        split=listed.split,
        protocol=listed.protocol,
        seed=listed.seed,
        list_sha256=listed.sha256,
        listed=len(listed.items) + listed.missing,
        scored=len(scored.items) - len(broken),
        missing=scored.missing,
        broken=len(broken),
        is_limited=request.limit is not None,
        train_list_sha256=None if scored.train is None else scored.train.sha256,
        weights=weights[0],
        weights_sha256=weights[1],
        settings=request.settings.model_dump(mode="json"),
        networks=request.networks.model_dump(mode="json"),
        systems=systems,
        condition=_condition(rows),
        reasons=dict(sorted(reasons.items(), key=lambda reason: (-reason[1], reason[0]))[:_REASONS]),
        made=made or {},
    )


def _changed(values: dict[str, Any], defaults: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        default = defaults.get(name)
        if isinstance(value, dict) and isinstance(default, dict):
            yield from _changed(value, default)
        elif value != default:
            yield name, value


def by_system(rows: Iterable[ScoreRow]) -> dict[tuple[str, str], list[ScoreRow]]:
    """Part rows by system and query, in the order of their first row."""
    parts: dict[tuple[str, str], list[ScoreRow]] = {}
    for row in rows:
        parts.setdefault((row.system, row.query), []).append(row)
    return parts


def values_of(rows: Iterable[ScoreRow], measure: str) -> dict[str, list[float]]:
    """Give the values of a measure by class, without what is not defined."""
    values: dict[str, list[float]] = {}
    for row in rows:
        if measure in row.scores:
            values.setdefault(row.label, []).append(row.scores[measure])
    return values


def summarise_system(rows: Sequence[ScoreRow]) -> SystemResult:
    """Sum up the rows of one system and query."""
    if rows[0].query == TAGS:
        return _summarise_tags(rows)
    of_scenes = [row for row in rows if row.query == EVENTS or row.label == row.query]
    targets = [row for row in rows if row.query != EVENTS and row.label != row.query] or of_scenes
    measures = [name for name in MEASURES if any(name in row.scores or name in row.undefined for row in rows)]
    told = [row.is_detected for row in rows if row.is_detected is not None]
    values = {name: values_of(rows, name) for name in measures}
    return SystemResult(
        system=rows[0].system,
        query=rows[0].query,
        targets=len(targets),
        failed=sum(row.reason is not None for row in rows),
        detected=sum(told) / len(told) if told else None,
        measures={
            name: MeasureResult(
                class_median_mean=class_median_mean(values[name]),
                mean=plain_mean([value for own in values[name].values() for value in own]),
                undefined=sum(name in row.undefined for row in rows),
            )
            for name in measures
        },
        classes=tuple(
            ClassResult(
                label=label,
                targets=sum(row.label == label for row in targets),
                medians={
                    name: float(np.median(values[name][label])) for name in measures if label in values[name]
                },
            )
            for label in sorted({row.label for row in targets})
        ),
        labels=_label_result([row for row in of_scenes if row.reason is None]),
        level=_level_result(rows) if rows[0].query.startswith(LEVEL) else None,
    )


def _summarise_tags(rows: Sequence[ScoreRow]) -> SystemResult:
    """Sum up tagged clips: scores of classes over clips; labels that the weights do not know are counted."""
    clips = [row for row in rows if row.reason is None]
    scores = score_tags([row.probs for row in clips], [row.true for row in clips])
    known = [
        dataclasses.replace(row, true=tuple(node for node in row.true if node in row.probs)) for row in clips
    ]
    return SystemResult(
        system=rows[0].system,
        query=rows[0].query,
        targets=len(clips),
        failed=len(rows) - len(clips),
        measures={
            name: MeasureResult(class_median_mean=average, mean=average, undefined=scores.undefined[name])
            for name, average in scores.averages.items()
        },
        classes=tuple(
            ClassResult(label=node, targets=scores.positives[node], medians=dict(own))
            for node, own in scores.classes.items()
        ),
        labels=_label_result(known),
    )


def _label_result(rows: Sequence[ScoreRow]) -> LabelResult | None:
    if not rows:
        return None
    mixture, source = label_accuracies([(row.found, row.true) for row in rows])
    right = sum((Counter(row.found) & Counter(row.true)).total() for row in rows)
    predicted, there = sum(len(row.found) for row in rows), sum(len(row.true) for row in rows)
    # A node whose sound is below a scene, and no target of it, has no probability there.
    told = {
        node: [row for row in rows if node in row.probs]
        for node in sorted({node for row in rows for node in row.true})
    }
    ranked = [
        (np.array([row.probs[node] for row in own]), np.array([node in row.true for row in own]))
        for node, own in told.items()
        if own
    ]
    of_events = {
        "mean_average_precision": [average_precision(*one) for one in ranked],
        "d_prime": [d_prime(*one) for one in ranked],
    }
    lacking = {
        name: len(told) - sum(value is not None for value in values) for name, values in of_events.items()
    }
    return LabelResult(
        mixture_accuracy=mixture,
        source_accuracy=source,
        f1=f1(right, predicted, there),
        precision=right / predicted if predicted else None,
        recall=right / there if there else None,
        event_f1=_f1_of_counts(rows, "events"),
        frame_f1=_f1_of_counts(rows, "frames"),
        **{name: _mean_of(values) for name, values in of_events.items()},
        undefined={name: count for name, count in lacking.items() if count},
        empty=_empty_result([row for row in rows if not row.sources and not row.true]),
    )


def _empty_result(rows: Sequence[ScoreRow]) -> EmptyResult | None:
    if not rows:
        return None
    counts = [len(row.found) for row in rows]
    return EmptyResult(
        scenes=len(rows),
        right=counts.count(0) / len(rows),
        false_stems=sum(counts) / len(rows),
        energy=_mean_of(row.scores.get("false_stems") for row in rows),
    )


def _f1_of_counts(rows: Sequence[ScoreRow], what: str) -> float | None:
    right, found, true = (
        sum(row.counts.get(f"{what}_{part}", 0.0) for row in rows) for part in ("right", "found", "true")
    )
    return f1(right, found, true)


def _level_result(rows: Sequence[ScoreRow]) -> LevelResult:
    counts: dict[str, float] = {}
    for row in rows:
        for name, value in row.counts.items():
            counts[name] = counts.get(name, 0.0) + value
    written = [row.scores for row in rows if row.is_detected]

    def share(part: str, whole: str) -> float | None:
        return counts[part] / counts[whole] if counts.get(whole) else None

    return LevelResult(
        unknown=round(counts.get("unknown", 0.0)),
        written_sdr=_mean_of(scores["sdr"] for scores in written),
        written_sdri=_mean_of(scores["sdri"] for scores in written),
        taken_twice=share("taken_twice", "stems"),
        least_left=min(
            (row.counts["least_left"] for row in rows if "least_left" in row.counts), default=None
        ),
        louder=share("louder", "children"),
        overdrawn=share("overdrawn", "parents"),
    )


def _mean_of(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def _condition(rows: Sequence[ScoreRow]) -> Condition | None:
    """Compare the first query with a random class, on the targets that both were scored on."""
    own = {
        query: {(row.item_id, row.label): row for row in found if "sdri" in row.scores}
        for (system, query), found in by_system(rows).items()
        if system == "engine"
    }
    random = own.pop(RANDOM_CLASS, {})
    asked = next((found for found in own.values() if found), {})
    shared = asked.keys() & random.keys()
    figures = [
        class_median_mean(values_of((found[key] for key in shared), "sdri"), draws=0).value
        for found in (asked, random)
    ]
    if figures[0] is None or figures[1] is None:
        return None
    difference = figures[0] - figures[1]
    return Condition(
        difference_db=difference,
        is_blind=difference < BLIND_BELOW_DB,
        absent_level_db=class_median_mean(values_of(random.values(), "level"), draws=0).value,
    )


def environment() -> dict[str, Any]:
    """Say what a run is made with."""
    return {
        "software_version": version("uss-ray"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": version("torch"),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
    }
