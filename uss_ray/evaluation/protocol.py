"""The evaluation protocol: the two-source list of a data set, and the three kinds of query it is scored with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from uss_ray.datasets.clips import ClipStore
from uss_ray.datasets.segments import ClipRecord, read_segments
from uss_ray.errors import ConfigError, DataError, WeightsError
from uss_ray.evaluation.pairs import (
    Candidate,
    EvaluationPair,
    candidates_from_events,
    draw_pairs,
    read_events,
)
from uss_ray.evaluation.separation import Separate
from uss_ray.ontology.vocabulary import Vocabulary
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


def load_eval_clips(data: Path, *, vocabulary: Vocabulary) -> ClipStore:
    """Decode the eval split."""
    records = read_split(data, split="eval", vocabulary=vocabulary)
    return ClipStore.load(records, data / "audio" / "eval", classes=len(vocabulary.classes))


def separate_with(weights: Weights, *, query: QueryKind, vocabulary: Vocabulary) -> Separate:
    """Bind weights and a kind of query to a function that separates a batch of the list.

    Parameters
    ----------
    weights : Weights
    query : {"class-mean", "detected", "oracle"}
        The mean condition of the target's class; what the tagger hears in the *mixture*, masked to the class's subtree;
        what it hears in the *target* itself (an upper bound that no user has).
    vocabulary : Vocabulary

    Raises
    ------
    ConfigError
        If `query` is none of these, or the query net is latent and the query detected.
    WeightsError
        If the weights lack a part, or the mean of a class that is asked for.
    """
    if query not in QUERY_KINDS:
        raise ConfigError("evaluation query", expected=" or ".join(QUERY_KINDS), found=str(query))
    separator, query_net = weights.separator, weights.query_net
    if separator is None or query_net is None:
        raise WeightsError(
            f"weights {weights.name}", expected="a separator and a tagger", found="one of them or none"
        )
    if query == "detected" and query_net.kind != "soft":
        raise ConfigError(
            "evaluation query", expected="class-mean or oracle with a latent query net", found=query
        )
    means = weights.class_means or {}

    def class_means(pairs: Sequence[EvaluationPair]) -> torch.Tensor:
        indexes = [vocabulary.classes.index(pair.class_id) for pair in pairs]
        missing = [pair.class_id for pair, index in zip(pairs, indexes, strict=True) if index not in means]
        if missing:
            raise WeightsError(
                f"weights {weights.name}",
                expected="a class mean of each class",
                found=f"none of {missing[0]}",
            )
        return torch.stack([means[index] for index in indexes])

    def separate(mixtures: np.ndarray, targets: np.ndarray, pairs: Sequence[EvaluationPair]) -> np.ndarray:
        mixture = torch.from_numpy(mixtures)
        with torch.inference_mode():
            if query == "class-mean":
                condition = class_means(pairs)
            elif query == "oracle":
                condition = query_net(torch.from_numpy(targets))
            else:
                masks = torch.from_numpy(np.stack([vocabulary.class_mask(pair.class_id) for pair in pairs]))
                condition = query_net.adapt(query_net.bottleneck(mixture) * masks)
            estimate: np.ndarray = separator(mixture, condition).numpy()
        return estimate

    return separate
