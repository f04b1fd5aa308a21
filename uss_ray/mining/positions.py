"""Where the anchors of a clip lie: mined or random, in samples and in frames.

Owns the geometry: frame `f` of a detector is centred at sample `f * hop_samples`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from uss_ray.mining.scoring import pick_positions, score_anchor_positions


@dataclass(frozen=True)
class AnchorGrid:
    """Sizes of a clip, an anchor and the detector's frames, all at the model rate.

    Parameters
    ----------
    clip_samples : int
        Real samples of the clip.
    anchor_samples : int
        At most `clip_samples`.
    hop_samples : float
        Step of the detector's frames.
    """

    clip_samples: int
    anchor_samples: int
    hop_samples: float

    @property
    def half_frames(self) -> int:
        """Frames on each side of the centre of an anchor."""
        return round(self.anchor_samples / 2 / self.hop_samples)

    @property
    def segment_frames(self) -> int:
        """Frames under the window of an anchor, both of its edges among them."""
        return 2 * self.half_frames + 1

    @property
    def clip_frames(self) -> int:
        """Frames whose centres lie in the clip, its end included."""
        return int(self.clip_samples / self.hop_samples) + 1

    @property
    def last_start(self) -> int:
        """Last sample at which an anchor may start."""
        return self.clip_samples - self.anchor_samples

    def start_of(self, centre_frame: int) -> int:
        """Give the first sample of the anchor around a frame, kept inside the clip."""
        start = round(centre_frame * self.hop_samples - self.anchor_samples / 2)
        return min(max(start, 0), self.last_start)

    def frames_of(self, start_sample: int) -> slice:
        """Give the frames under the window of an anchor."""
        first = round(start_sample / self.hop_samples)
        first = min(first, max(self.clip_frames - self.segment_frames, 0))
        return slice(first, first + self.segment_frames)


def mined_starts(
    framewise_probs: np.ndarray, *, grid: AnchorGrid, count: int = 1, min_share: float = 0.0
) -> list[int]:
    """Find where one class is most probable.

    Parameters
    ----------
    framewise_probs : ndarray of shape (frames,)
        Of one class, in [0, 1]; frames after the end of the clip are not looked at.
    grid : AnchorGrid
    count, min_share
        See `scoring.pick_positions`.

    Returns
    -------
    list of int
        First samples, best first.
    """
    scores = score_anchor_positions(framewise_probs[: grid.clip_frames], segment_frames=grid.segment_frames)
    picked = pick_positions(scores, segment_frames=grid.segment_frames, count=count, min_share=min_share)
    return [grid.start_of(centre) for centre, _ in picked]


def random_starts(
    clip_id: str, *, class_index: int, grid: AnchorGrid, count: int = 1, seed: int = 0
) -> list[int]:
    """Draw places of the whole clip, every set of places without overlap being equally likely.

    Parameters
    ----------
    clip_id : str
    class_index : int
    grid : AnchorGrid
    count : int, default=1
        Most places; a short clip has room for fewer.
    seed : int, default=0

    Returns
    -------
    list of int
        First samples, ascending; a function of the arguments alone.
    """
    digest = hashlib.sha256(f"{seed}\0{class_index}\0{clip_id}".encode()).digest()
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))
    room = min(count, grid.clip_samples // grid.anchor_samples)
    # Cut the anchors out of the clip and draw where in what is left they go back in.
    slack = grid.clip_samples - room * grid.anchor_samples
    places = np.sort(generator.integers(0, slack, size=room, endpoint=True))
    return [int(place) + number * grid.anchor_samples for number, place in enumerate(places)]
