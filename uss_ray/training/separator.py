"""Train the separator on mined anchors.

Owns the table of anchors, the class-balanced draw, the choice of condition, and one step; the loop is in `loop.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from uss_ray.datasets.clips import ClipStore
from uss_ray.errors import DataError
from uss_ray.mining.miner import AnchorSegment, mine_anchors
from uss_ray.mixtures import mix_in_ring, order_ring
from uss_ray.models.panns import Panns
from uss_ray.models.query_net import QueryNet
from uss_ray.models.resunet import ResUNet
from uss_ray.training.losses import l1_relative


@dataclass(frozen=True)
class AnchorTable:
    """Mined anchors with their bottlenecks, ready to be drawn from.

    Parameters
    ----------
    anchors : sequence of AnchorSegment
    bottlenecks : ndarray of shape (anchors, size), dtype=float32
        Query-net bottleneck of each anchor's audio.
    class_means : dict of int to ndarray of shape (size,)
        Mean bottleneck over the anchors of a class, each weighted by its score.
    """

    anchors: Sequence[AnchorSegment]
    bottlenecks: np.ndarray
    class_means: dict[int, np.ndarray]


def build_anchor_table(
    store: ClipStore,
    *,
    detector: Panns,
    query_net: QueryNet,
    segment_samples: int,
    anchors_per_label: int = 3,
    batch_size: int = 16,
) -> AnchorTable:
    """Mine all clips of a store and describe each anchor once, so that training runs no frozen network.

    Raises
    ------
    DataError
        If no clip gives an anchor.
    """
    anchors: list[AnchorSegment] = []
    clip_samples = store.audio.shape[1]
    detector.eval()
    for start in range(0, len(store), batch_size):
        clips = np.arange(start, min(start + batch_size, len(store)))
        with torch.inference_mode():
            framewise = detector(torch.from_numpy(store.waveform(clips))).framewise_probs
        if framewise is None:
            raise DataError("detector", expected="a network with a frame head", found="a clip head")
        for clip, probs in zip(clips, framewise.numpy(), strict=True):
            anchors += mine_anchors(
                probs,
                store.records[clip].class_indexes,
                clip=int(clip),
                clip_samples=clip_samples,
                segment_samples=segment_samples,
                hop_samples=detector.config.hop_samples,
                count=anchors_per_label,
            )
    if not anchors:
        raise DataError("clip store", expected="clips with weak labels", found=f"{len(store)} clips without")
    places = sorted({(a.clip, a.start_sample) for a in anchors})
    described: dict[tuple[int, int], np.ndarray] = {}
    for start in range(0, len(places), 4 * batch_size):
        batch = places[start : start + 4 * batch_size]
        audio = np.stack([store.waveform(c, start=s, samples=segment_samples) for c, s in batch])
        with torch.inference_mode():
            described.update(zip(batch, query_net.bottleneck(torch.from_numpy(audio)).numpy(), strict=True))
    bottlenecks = np.stack([described[a.clip, a.start_sample] for a in anchors])
    return AnchorTable(anchors, bottlenecks, average_by_class(anchors, bottlenecks))


def average_by_class(anchors: Sequence[AnchorSegment], bottlenecks: np.ndarray) -> dict[int, np.ndarray]:
    """Average bottlenecks over the anchors of each class, weighted by score: the class-mean queries."""
    means: dict[int, np.ndarray] = {}
    classes = np.array([a.class_index for a in anchors])
    scores = np.array([a.score for a in anchors])
    for class_index in np.unique(classes):
        rows = classes == class_index
        weights = scores[rows] + 1e-6
        means[int(class_index)] = np.average(bottlenecks[rows], axis=0, weights=weights).astype(np.float32)
    return means


@dataclass(frozen=True)
class ConditionShares:
    """How often a training item gets which kind of condition; the shares sum to 1.

    Parameters
    ----------
    own : float, default=0.3
        The target anchor's own bottleneck (the paper's way).
    masked : float, default=0.2
        The same with everything outside the class's subtree set to zero, as at hierarchical inference.
    class_mean : float, default=0.5
        The mean of the class, so that a class can be asked for without an example.
    """

    own: float = 0.3
    masked: float = 0.2
    class_mean: float = 0.5


class SeparatorTask:
    """Draw batches of mixtures and compute the loss of a step.

    Parameters
    ----------
    model : ResUNet
    store : ClipStore
    table : AnchorTable
    related : ndarray of shape (classes, classes), dtype=bool
        True where two classes are the same or one holds the other.
    subtree : ndarray of shape (classes, classes), dtype=bool
        Row c is True at the trained classes of c's subtree.
    segment_samples : int
    batch_size : int
    shares : ConditionShares
    """

    def __init__(
        self,
        model: ResUNet,
        store: ClipStore,
        table: AnchorTable,
        *,
        related: np.ndarray,
        subtree: np.ndarray,
        segment_samples: int,
        batch_size: int,
        shares: ConditionShares | None = None,
    ) -> None:
        self.model = model
        self.store = store
        self.table = table
        self.related = related
        self.subtree = subtree
        self.segment_samples = segment_samples
        self.batch_size = batch_size
        self.shares = shares or ConditionShares()
        by_class: dict[int, list[int]] = {}
        for row, anchor in enumerate(table.anchors):
            by_class.setdefault(anchor.class_index, []).append(row)
        self.classes = sorted(by_class)
        self.rows = {c: np.array(rows) for c, rows in by_class.items()}
        self.weights = {c: _score_weights(table, rows) for c, rows in self.rows.items()}

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw a batch: classes evenly, anchors within a class by score.

        Returns
        -------
        tuple of Tensor
            mixtures (batch, samples), targets (batch, samples), bottlenecks (batch, size)
        """
        picks = torch.randint(len(self.classes), (self.batch_size,), generator=generator).tolist()
        rows = np.array([self._pick(self.classes[k], generator) for k in picks])
        anchors = [self.table.anchors[r] for r in rows]
        class_indexes = np.array([a.class_index for a in anchors])
        labels = self.store.labels[[a.clip for a in anchors]]
        order = order_ring(class_indexes, labels, related=self.related, generator=generator)
        anchors, rows = [anchors[k] for k in order], rows[order]
        audio = np.stack(
            [self.store.waveform(a.clip, start=a.start_sample, samples=self.segment_samples) for a in anchors]
        )
        targets = torch.from_numpy(audio)
        rms = targets.square().mean(dim=1, keepdim=True).sqrt().clamp(min=1e-4)
        level_db = torch.rand(len(targets), 1, generator=generator) * 20 - 35
        targets = targets / rms * 10 ** (level_db / 20)
        bottlenecks = torch.from_numpy(np.stack([self._condition(r, generator) for r in rows]))
        return mix_in_ring(targets), targets, bottlenecks

    def loss(self, generator: torch.Generator) -> Tensor:
        """Draw a batch and return the loss of the separator on it."""
        mixtures, targets, conditions = self.draw(generator)
        return l1_relative(self.model(mixtures, conditions), targets, mixtures)

    def _pick(self, class_index: int, generator: torch.Generator) -> int:
        chosen = torch.multinomial(self.weights[class_index], 1, generator=generator)
        return int(self.rows[class_index][int(chosen)])

    def _condition(self, row: int, generator: torch.Generator) -> np.ndarray:
        anchor, own = self.table.anchors[row], self.table.bottlenecks[row]
        dice = float(torch.rand((), generator=generator))
        if dice < self.shares.own:
            return own
        if dice < self.shares.own + self.shares.masked:
            return np.where(self.subtree[anchor.class_index], own, np.float32(0))
        return self.table.class_means[anchor.class_index]


def _score_weights(table: AnchorTable, rows: np.ndarray) -> Tensor:
    return torch.tensor([table.anchors[r].score + 1e-3 for r in rows], dtype=torch.float32)
