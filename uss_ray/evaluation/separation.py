"""Score a separator on a two-source list: SDRi by class, median within a class, then mean over classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from uss_ray.datasets.clips import ClipStore
from uss_ray.evaluation.metrics import sdr_improvement
from uss_ray.evaluation.pairs import EvaluationPair
from uss_ray.mixtures import match_energy

Separate = Callable[[np.ndarray, np.ndarray, Sequence[EvaluationPair]], np.ndarray]
"""(mixtures (batch, samples), targets (batch, samples), pairs) -> estimates (batch, samples).

The targets are there for the oracle query only, whose condition is made from the very target.
"""


@dataclass(frozen=True)
class ClassScore:
    """Median SDRi of a class in dB, and the number of its pairs."""

    class_id: str
    sdri_db: float
    pairs: int


def mix_pairs(
    pairs: Sequence[EvaluationPair], store: ClipStore, *, segment_seconds: float, batch_size: int = 16
) -> Iterator[tuple[list[EvaluationPair], np.ndarray, np.ndarray]]:
    """Yield batches of (pairs, mixtures, targets), mixed at equal energy."""
    rows = {record.clip_id: row for row, record in enumerate(store.records)}
    samples = round(segment_seconds * store.sample_rate)

    def cut(clip_id: str, start_seconds: float) -> np.ndarray:
        return store.waveform(rows[clip_id], start=round(start_seconds * store.sample_rate), samples=samples)

    for start in range(0, len(pairs), batch_size):
        batch = list(pairs[start : start + batch_size])
        targets = torch.from_numpy(np.stack([cut(p.target_clip_id, p.target_start_seconds) for p in batch]))
        others = torch.from_numpy(np.stack([cut(p.other_clip_id, p.other_start_seconds) for p in batch]))
        yield batch, (targets + match_energy(targets, others)).numpy(), targets.numpy()


def score_separation(
    separate: Separate, pairs: Sequence[EvaluationPair], store: ClipStore, *, segment_seconds: float
) -> list[ClassScore]:
    """Score `separate` on a list.

    Returns
    -------
    list of ClassScore
        Sorted by class id.
    """
    found: dict[str, list[float]] = {}
    for batch, mixtures, targets in mix_pairs(pairs, store, segment_seconds=segment_seconds):
        values = sdr_improvement(separate(mixtures, targets, batch), targets, mixtures)
        for pair, value in zip(batch, values, strict=True):
            found.setdefault(pair.class_id, []).append(float(value))
    return [ClassScore(c, float(np.median(v)), len(v)) for c, v in sorted(found.items())]


def mean_sdri(scores: Sequence[ClassScore]) -> float:
    """Mean over classes of the median SDRi, in dB."""
    return float(np.mean([score.sdri_db for score in scores]))
