"""Mine anchor segments from clips with what a detector found in them.

Owns the rule from weak labels and frame-wise probabilities to anchors and rejects; reading clips, running networks and
writing anchors is for others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from uss_ray.anchors.anchor import Anchor, Reason, Reject
from uss_ray.audio.level import dbfs, rms
from uss_ray.audio.pcm import to_int16
from uss_ray.mining.detection import Detection
from uss_ray.mining.positions import (
    AnchorGrid,
    mean_probability,
    mined_starts,
    outside_starts,
    random_starts,
)
from uss_ray.mining.purity import measure_purity
from uss_ray.mining.settings import MiningSettings


class AnchorMiner:
    """Mine clips, one at a time.

    Parameters
    ----------
    settings : MiningSettings
    related : ndarray of shape (classes, classes), dtype=bool
        From `Vocabulary.relatives`.
    sample_rate : int, default=32000
        Of the clips, in Hz.
    """

    def __init__(self, settings: MiningSettings, *, related: np.ndarray, sample_rate: int = 32_000) -> None:
        self.settings = settings
        self.sample_rate = sample_rate
        self._related = related

    def mine(
        self,
        waveform: NDArray[np.float32],
        *,
        clip_id: str,
        class_indexes: Sequence[int],
        detection: Detection,
    ) -> Iterator[Anchor | Reject]:
        """Mine every weak label of a clip.

        Parameters
        ----------
        waveform : ndarray of shape (samples,), dtype=float32
            In [-1, 1]; only real sound, no padding.
        clip_id : str
        class_indexes : sequence of int
            Weak labels.
        detection : Detection
            Of this clip.

        Yields
        ------
        Anchor or Reject
            Every place that was looked at, as one or the other, label by label, best first.
        """
        settings = self.settings
        grid = AnchorGrid(
            clip_samples=min(len(waveform), round(settings.clip_seconds * self.sample_rate)),
            anchor_samples=round(settings.anchor_seconds * self.sample_rate),
            hop_samples=detection.hop_samples,
        )
        if grid.last_start < 0:
            yield Reject(clip_id=clip_id, reason="short", found=f"{len(waveform) / self.sample_rate:.3f} s")
            return
        kept = np.flatnonzero(detection.clipwise_probs >= settings.keep_probability)
        for class_index in class_indexes:
            starts = self._starts(clip_id, class_index=class_index, grid=grid, detection=detection)
            if not starts:
                found = f"no room beside the anchor in {grid.clip_samples / self.sample_rate:.3f} s"
                yield Reject(clip_id=clip_id, reason="short", class_index=class_index, found=found)
            for start in starts:
                frames = detection.framewise_probs[grid.frames_of(start)]
                purity = measure_purity(frames, class_index=class_index, related=self._related)
                cut = waveform[start : start + grid.anchor_samples]
                anchor = Anchor(
                    clip_id=clip_id,
                    class_index=class_index,
                    start_sample=start,
                    sample_rate=self.sample_rate,
                    score=mean_probability(frames[:, class_index]),
                    purity=purity.value,
                    intruder_index=purity.intruder_index,
                    level_db=dbfs(rms(cut)),
                    label_indexes=tuple(class_indexes),
                    prob_indexes=tuple(kept.tolist()),
                    probs=detection.clipwise_probs[kept].astype(np.float32),
                    waveform=to_int16(cut),
                )
                yield self._judged(anchor)

    def _starts(self, clip_id: str, *, class_index: int, grid: AnchorGrid, detection: Detection) -> list[int]:
        count = self.settings.anchors_per_label
        if self.settings.mode == "random":
            return random_starts(
                clip_id, class_index=class_index, grid=grid, count=count, seed=self.settings.seed
            )
        probs = detection.framewise_probs[:, class_index]
        if self.settings.mode == "outside":
            return outside_starts(
                mined_starts(probs, grid=grid),
                clip_id=clip_id,
                class_index=class_index,
                grid=grid,
                count=count,
                seed=self.settings.seed,
            )
        return mined_starts(
            probs,
            grid=grid,
            count=count,
            min_share=self.settings.min_share,
            min_probability=self.settings.min_probability,
        )

    def _judged(self, anchor: Anchor) -> Anchor | Reject:
        settings, quietest_db = self.settings, self.settings.silence.anchor_rejected_below_rms_dbfs
        checks: tuple[tuple[bool, Reason, str], ...] = (
            (
                quietest_db is not None and anchor.level_db < quietest_db,
                "silent",
                f"{anchor.level_db:.1f} dBFS",
            ),
            (anchor.score < settings.min_probability, "improbable", f"{anchor.score:.4f}"),
            (
                anchor.purity < settings.min_purity,
                "impure",
                f"{anchor.purity:.4f}, class {anchor.intruder_index}",
            ),
            (anchor.purity > settings.max_purity, "too pure", f"{anchor.purity:.4f}"),
        )
        for is_out, reason, found in checks:
            if is_out:
                return Reject(
                    clip_id=anchor.clip_id,
                    reason=reason,
                    class_index=anchor.class_index,
                    start_sample=anchor.start_sample,
                    found=found,
                )
        return anchor
