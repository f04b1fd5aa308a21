"""The whole of mining for a batch of clips: detect, mine, describe. What a worker holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from uss_ray.anchors.anchor import Anchor, Reject
from uss_ray.audio.pcm import to_float
from uss_ray.mining.detect import AnchorDetector, MiningWeights
from uss_ray.mining.miner import AnchorMiner
from uss_ray.mining.settings import MiningSettings
from uss_ray.models.precision import Precision
from uss_ray.ontology.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class WeakClip:
    """A clip with its weak labels.

    Parameters
    ----------
    clip_id : str
    class_indexes : tuple of int
    waveform : ndarray of shape (samples,), dtype=float32
        In [-1, 1] at the rate of the weights; real sound only.
    """

    clip_id: str
    class_indexes: tuple[int, ...]
    waveform: NDArray[np.float32]


class ClipMiner:
    """Mine clips with weights.

    Parameters
    ----------
    weights : MiningWeights
        With a detector; with a tagger where conditions are asked for.
    settings : MiningSettings
    vocabulary : Vocabulary
    device : str or torch.device, default="cpu"
    precision : {"float32", "tfloat32", "bfloat16"}, default="float32"
        See `AnchorDetector`.
    compiled : bool, default=False
        See `AnchorDetector`.

    Raises
    ------
    WeightsError
        If the weights lack a part or know other classes.
    ConfigError
        If the precision is unknown, or there is no compiler.
    """

    def __init__(
        self,
        weights: MiningWeights,
        *,
        settings: MiningSettings,
        vocabulary: Vocabulary,
        device: str | torch.device = "cpu",
        precision: Precision = "float32",
        compiled: bool = False,
    ) -> None:
        weights.check_classes(vocabulary.classes.ids)
        self.settings = settings
        self._detector = AnchorDetector(
            weights,
            clip_seconds=settings.clip_seconds,
            anchor_seconds=settings.anchor_seconds,
            batch_size=settings.batch_size,
            device=device,
            precision=precision,
            compiled=compiled,
        )
        self._miner = AnchorMiner(
            settings, related=vocabulary.relatives(), sample_rate=self._detector.sample_rate
        )

    def mine(self, clips: Sequence[WeakClip]) -> list[Anchor | Reject]:
        """Mine clips, best a multiple of `settings.batch_size` of them.

        Parameters
        ----------
        clips : sequence of WeakClip

        Returns
        -------
        list of Anchor or Reject
            In the order of the clips and their labels; of a clip the same, bit for bit, whichever clips are beside it.
        """
        found: list[Anchor | Reject] = []
        for first in range(0, len(clips), self.settings.batch_size):
            batch = clips[first : first + self.settings.batch_size]
            detections = self._detector.detect([clip.waveform for clip in batch])
            for clip, detection in zip(batch, detections, strict=True):
                found += self._miner.mine(
                    clip.waveform,
                    clip_id=clip.clip_id,
                    class_indexes=clip.class_indexes,
                    detection=detection,
                )
        return self._described(found)

    def _described(self, found: list[Anchor | Reject]) -> list[Anchor | Reject]:
        if self.settings.conditions == "none":
            return found
        anchors = [item for item in found if isinstance(item, Anchor)]
        # Labels of a clip often share a place: it is described once, and as it will be read again, in 16 bits.
        places = {(anchor.clip_id, anchor.start_sample): anchor for anchor in anchors}
        described = self._detector.conditions(
            [to_float(anchor.waveform) for anchor in places.values()], kind=self.settings.conditions
        )
        rows = {place: row for row, place in enumerate(places)}
        return [
            replace(
                item,
                **{name: values[rows[item.clip_id, item.start_sample]] for name, values in described.items()},
            )
            if isinstance(item, Anchor)
            else item
            for item in found
        ]
