"""Mine anchor segments from clips with a detector.

Owns the rule from weak labels and frame-wise probabilities to anchors; reading clips and writing anchors is for others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from uss_ray.mining.scoring import pick_positions, score_anchor_positions


@dataclass(frozen=True)
class AnchorSegment:
    """Where a weak label of a clip is most probable.

    Parameters
    ----------
    clip : int
        Row of the clip in its store.
    class_index : int
    start_sample : int
        First sample of the segment in the clip.
    score : float
        Mean detector probability of the class in the segment, in [0, 1].
    """

    clip: int
    class_index: int
    start_sample: int
    score: float


def mine_anchors(
    framewise_probs: np.ndarray,
    class_indexes: Sequence[int],
    *,
    clip: int,
    clip_samples: int,
    segment_samples: int,
    count: int = 1,
    min_share: float = 0.5,
) -> Iterator[AnchorSegment]:
    """Mine the anchors of one clip.

    Parameters
    ----------
    framewise_probs : ndarray of shape (frames, classes)
        Of the whole clip.
    class_indexes : sequence of int
        Weak labels of the clip.
    clip : int
    clip_samples, segment_samples : int
        Lengths at the same rate.
    count : int, default=1
        Most anchors of a label.
    min_share : float, default=0.5
        Further anchors need this share of the best score.

    Yields
    ------
    AnchorSegment
    """
    frames = len(framewise_probs)
    samples_per_frame = clip_samples / frames
    segment_frames = round(segment_samples / samples_per_frame) // 2 * 2 + 1
    for class_index in class_indexes:
        scores = score_anchor_positions(framewise_probs[:, class_index], segment_frames=segment_frames)
        for centre, score in pick_positions(
            scores, segment_frames=segment_frames, count=count, min_share=min_share
        ):
            start = round(centre * samples_per_frame) - segment_samples // 2
            yield AnchorSegment(
                clip, class_index, min(max(start, 0), max(clip_samples - segment_samples, 0)), score
            )
