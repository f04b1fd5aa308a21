"""Evaluate weights on the two-source list of a data set: one command, a fixed list, a named metric, a JSON result."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from uss_ray.evaluation.pairs import EvaluationPair, read_pairs, write_pairs
from uss_ray.evaluation.protocol import QueryKind, build_pairs, load_eval_clips, separate_with
from uss_ray.evaluation.separation import ClassScore, mean_sdri, score_separation
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.weights import STARTER
from uss_ray.weights.folder import load_weights
from uss_ray.weights.locate import locate_weights

METRIC = "SDRi in dB: 10 log10(ref²/(est − ref)²), estimate minus mixture; median within a class, mean over classes"


@dataclass(frozen=True)
class SeparationEvaluation:
    """Result of an evaluation.

    Attributes
    ----------
    weights, weights_sha256 : str
    query : str
        Kind of query.
    metric : str
    pairs : int
        Mixtures scored.
    mean_sdri_db : float
        Mean over classes.
    classes : tuple of ClassScore
    """

    weights: str
    weights_sha256: str
    query: str
    metric: str
    pairs: int
    mean_sdri_db: float
    classes: tuple[ClassScore, ...]

    def to_json(self) -> str:
        """Write the result as JSON."""
        return json.dumps(asdict(self), indent=2) + "\n"


def evaluate_separation(
    data: Path,
    *,
    weights: str = STARTER,
    query: QueryKind = "class-mean",
    pairs: Path | None = None,
    vocabulary: Vocabulary | None = None,
) -> SeparationEvaluation:
    """Score weights on a two-source list.

    Parameters
    ----------
    data : Path
        Data set folder in audioset_mini's layout.
    weights : str, default="starter"
        Name, folder or URI.
    query : {"class-mean", "detected", "oracle"}, default="class-mean"
    pairs : Path, optional
        List to use; by default the one that `build_pairs` draws from the eval split.
    vocabulary : Vocabulary, optional

    Returns
    -------
    SeparationEvaluation

    Raises
    ------
    DataError, WeightsError, ConfigError
        If the data set, the weights or the query are not what they should be.
    """
    vocabulary = vocabulary or Vocabulary.load()
    loaded = load_weights(locate_weights(weights))
    loaded.check_classes(vocabulary.classes.ids)
    chosen = _pairs(
        data, pairs=pairs, vocabulary=vocabulary, segment_seconds=loaded.specifications.segment_seconds
    )
    separate = separate_with(loaded, query=query, vocabulary=vocabulary)
    store = load_eval_clips(data, vocabulary=vocabulary)
    scores = score_separation(separate, chosen, store, segment_seconds=loaded.specifications.segment_seconds)
    return SeparationEvaluation(
        weights=loaded.name,
        weights_sha256=loaded.sha256,
        query=query,
        metric=METRIC,
        pairs=len(chosen),
        mean_sdri_db=mean_sdri(scores),
        classes=tuple(scores),
    )


def write_list(
    data: Path, output: Path, *, vocabulary: Vocabulary | None = None, segment_seconds: float = 2.0
) -> int:
    """Write the two-source list of a data set as CSV and return the number of its pairs."""
    drawn = build_pairs(data, vocabulary=vocabulary or Vocabulary.load(), segment_seconds=segment_seconds)
    write_pairs(drawn, output)
    return len(drawn)


def _pairs(
    data: Path, *, pairs: Path | None, vocabulary: Vocabulary, segment_seconds: float
) -> list[EvaluationPair]:
    if pairs is not None:
        return read_pairs(pairs)
    return build_pairs(data, vocabulary=vocabulary, segment_seconds=segment_seconds)
