"""A model card by class: what weights were trained on, what they know, thinly or not at all, and their scores."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from uss_ray.datasets.segments import stream_segments
from uss_ray.errors import ConfigError, DataError
from uss_ray.evaluation.averages import class_median_mean, plain_mean
from uss_ray.evaluation.benchmarks.mini import EVENTS
from uss_ray.evaluation.result import EvaluationResult, by_system, values_of
from uss_ray.evaluation.rows import TAGS, ScoreRow, is_beside
from uss_ray.models.protocols import known_classes
from uss_ray.models.registry import describe_network
from uss_ray.ontology.known import KnownNodes
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.results.report.template import template
from uss_ray.store.store import Store
from uss_ray.weights.folder import Weights

State = Literal["known", "thin", "unknown"]
Run = tuple[EvaluationResult, Sequence[ScoreRow]]

_SOURCES = "metadata/sources.tsv"
_SEGMENTS = "metadata/train_segments.csv"
_TRAIN = "train"
_SDRI = "sdri"
# The file's ending, then what numbers the pieces of one recording, drum kit or instrument.
_ENDING, _NUMBER = re.compile(r"\.[A-Za-z]\w*$"), re.compile(r"[\d_\-. ]+$")


@dataclass
class TrainingData:
    """What data sets say of the recordings that their training clips were cut from.

    Attributes
    ----------
    clips : int
    hours : float
    licences : Counter of str
        Source files by licence.
    sources : dict of str to set of str
        Source files by node id, of the class itself.
    labels : set of str
        Class ids that a training clip is labelled with.
    implied : dict of str to set of str
        By node id, the class ids that all clips with an event of it are labelled with.
    """

    clips: int = 0
    hours: float = 0.0
    licences: Counter[str] = field(default_factory=Counter)
    sources: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    labels: set[str] = field(default_factory=set)
    implied: dict[str, set[str]] = field(default_factory=dict)

    def sources_of(self, class_id: str, below: Iterable[str]) -> set[str]:
        """Give the source files that a class was learnt from: of nodes below it, and of those that imply it."""
        nodes = {*below, *(node_id for node_id, labels in self.implied.items() if class_id in labels)}
        return {source for node_id in nodes for source in self.sources.get(node_id, ())}


@dataclass(frozen=True, kw_only=True)
class ClassFacts:
    """A class as the card tells it.

    Attributes
    ----------
    label : str
    level : int
    state : {"known", "thin", "unknown"}
        Thin: all its training clips were cut from one recording.
    recordings : int
        Source files that it was learnt from; 0 where the data do not tell.
    series : int
        Those of them that differ by more than a number at the end: pieces of one recording or instrument count as one.
    targets : int
        Scored mixtures.
    sdri : float or None
        Median over them, in dB.
    """

    label: str
    level: int
    state: State
    recordings: int
    series: int
    targets: int
    sdri: float | None


def read_training_data(places: Sequence[Store], *, vocabulary: Vocabulary) -> TrainingData:
    """Read labels and sources of the training split of data sets in AudioSet's format.

    Parameters
    ----------
    places : sequence of Store
        Folders with `metadata/train_segments.csv`; `metadata/sources.tsv`, a row a source file: `source`, `class`,
        `split`, `licence`; and `metadata/strong_labels.tsv`, a row an event: `segment_id`, `split`, `mid`. There may be
        further columns.
    vocabulary : Vocabulary

    Raises
    ------
    DataError
        If a table is missing, has not these columns, or names a class that is not in the ontology.
    """
    data = TrainingData()
    nodes = {node.label: node.node_id for node in vocabulary.ontology.nodes.values()}
    index = {class_id: place for place, class_id in enumerate(vocabulary.classes.ids)}
    for place in places:
        labels: dict[str, set[str]] = {}
        for clip in stream_segments(place / _SEGMENTS, class_index=index):
            data.clips += 1
            data.hours += (clip.end_seconds - clip.start_seconds) / 3600
            labels[clip.clip_id] = {vocabulary.classes.ids[one] for one in clip.class_indexes}
            data.labels |= labels[clip.clip_id]
        for row in _training_rows(place / _SOURCES, ("source", "class", "licence")):
            if row["class"] not in nodes:
                raise DataError(str(place / _SOURCES), expected="classes of the ontology", found=row["class"])
            data.licences[row["licence"]] += 1
            data.sources[nodes[row["class"]]].add(row["source"])
        for row in _training_rows(place / EVENTS, ("segment_id", "mid")):
            own = labels.get(row["segment_id"])
            if own is not None:
                data.implied[row["mid"]] = data.implied.get(row["mid"], own) & own
    return data


def _training_rows(table: Store, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    text = io.StringIO(table.raising(DataError).read().decode())
    rows = csv.DictReader(text, delimiter="\t", quoting=csv.QUOTE_NONE)
    lacking = [name for name in (*columns, "split") if name not in (rows.fieldnames or ())]
    if lacking:
        raise DataError(str(table), expected=f"a column {lacking[0]}", found="none")
    return (row for row in rows if row["split"] == _TRAIN)


def facts_of_classes(
    weights: Weights, data: TrainingData, rows: Iterable[ScoreRow], *, vocabulary: Vocabulary
) -> list[ClassFacts]:
    """Tell of each class of the class list whether it is known, on what that rests, and what it scores.

    Parameters
    ----------
    weights : Weights
    data : TrainingData
    rows : iterable of ScoreRow
        Of one system and query.
    vocabulary : Vocabulary

    Returns
    -------
    list of ClassFacts
        Best scores first, then those without, by name.
    """
    known = KnownNodes(vocabulary, known_classes(weights)).class_indexes
    scores = values_of(rows, _SDRI)
    facts = []
    for index, class_id in enumerate(vocabulary.classes.ids):
        node = vocabulary.ontology.node(class_id)
        below = vocabulary.ontology.descendants(class_id)
        sources = data.sources_of(class_id, (one.node_id for one in below))
        own = scores.get(node.label, [])
        facts.append(
            ClassFacts(
                label=node.label,
                level=node.level,
                state="unknown" if index not in known else "thin" if len(sources) == 1 else "known",
                recordings=len(sources),
                series=len({_NUMBER.sub("", _ENDING.sub("", source)) for source in sources}),
                targets=len(own),
                sdri=float(np.median(own)) if own else None,
            )
        )
    return sorted(facts, key=lambda one: (one.sdri is None, -(one.sdri or 0.0), one.label))


def write_card(
    weights: Weights,
    runs: Sequence[Run],
    data: TrainingData,
    *,
    names: Sequence[str],
    vocabulary: Vocabulary,
    told: Mapping[str, str],
) -> str:
    """Write the card, as Markdown.

    Parameters
    ----------
    weights : Weights
    runs : sequence of (EvaluationResult, sequence of ScoreRow)
        Of these weights. Rows of the same system and query are taken together.
    data : TrainingData
    names : sequence of str
        What the data sets are called.
    vocabulary : Vocabulary
    told : mapping of str to str
        What no file says, such as hours, hardware and the command that makes the weights again; a line each.

    Raises
    ------
    ConfigError
        If a run is of other weights.
    """
    for result, _ in runs:
        if result.weights_sha256 != weights.sha256:
            raise ConfigError(
                f"run of {result.title}",
                expected=f"one of the weights {weights.name}, sha256 {weights.sha256[:12]}",
                found=f"one of {result.weights}, sha256 {result.weights_sha256[:12]}",
            )
    # Scenes have targets of several levels of loudness: what a class scores is told by pairs alone.
    pairs = [row for result, rows in runs if not _is_of_scenes(result) for row in rows]
    systems = by_system(pairs)
    chosen = next((key for key in systems if not is_beside(*key)), ("", ""))
    classes = facts_of_classes(weights, data, systems.get(chosen, []), vocabulary=vocabulary)
    return template("model_card.md.j2", package="uss_ray.evaluation").render(
        weights=weights,
        networks={role: _described(role, network) for role, network in weights.networks.items()},
        data=data,
        names=names,
        told=told,
        runs=[result for result, _ in runs],
        systems=[_system(key, own) for key, own in systems.items()],
        chosen=f"{chosen[0]}, {chosen[1]}".rstrip(", "),
        levels=_levels(classes),
        scenes=[_scenes(result) for result, _ in runs if _is_of_scenes(result) and not _is_of_tags(result)],
        tagging=[result for result, _ in runs if _is_of_tags(result)],
        classes=classes,
        states=Counter(one.state for one in classes),
    )


def _described(role: Any, network: Any) -> str:
    settings = dict(describe_network(role, network))
    name = settings.pop("architecture")
    count = sum(parameter.numel() for parameter in network.parameters())
    rest = "; ".join(f"{key} {_plain(value)}" for key, value in settings.items())
    return f"{name}, {count:,} parameters: {rest}"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(_plain(one) for one in value.values())
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _is_of_tags(result: EvaluationResult) -> bool:
    return any(one.query == TAGS for one in result.systems)


def _is_of_scenes(result: EvaluationResult) -> bool:
    return any(one.labels is not None for one in result.systems)


def _system(key: tuple[str, str], rows: Sequence[ScoreRow]) -> dict[str, Any]:
    values = values_of(rows, _SDRI)
    every = [value for own in values.values() for value in own]
    return {
        "name": f"{key[0]}, {key[1]}".rstrip(", "),
        "targets": len(rows),
        "classes": len(values),
        "median": class_median_mean(values),
        "mean": plain_mean(every),
    }


def _levels(classes: Sequence[ClassFacts]) -> list[dict[str, Any]]:
    levels: dict[int, list[ClassFacts]] = defaultdict(list)
    for one in classes:
        if one.sdri is not None:
            levels[one.level].append(one)
    return [
        {
            "level": level,
            "classes": len(own),
            "targets": sum(one.targets for one in own),
            "sdri": float(np.mean([one.sdri for one in own if one.sdri is not None])),
        }
        for level, own in sorted(levels.items())
    ]


def _scenes(result: EvaluationResult) -> dict[str, Any]:
    """Give what was found in scenes by what was asked for: nothing, or the nodes of a level."""
    found = [one for one in result.systems if one.labels is not None]
    return {
        "result": result,
        "found": [
            {
                "query": one.query,
                "labels": one.labels,
                "false_share": one.labels and one.labels.precision is not None and 1 - one.labels.precision,
                "ca_sdri": one.measures["ca_sdri"].headline("ca_sdri") if "ca_sdri" in one.measures else None,
                "written_sdri": one.level and one.level.written_sdri,
            }
            for one in found
        ],
    }
