"""Where the anchors of a clip lie: mined, random or beside what is mined, in samples and in frames.

Owns the geometry: frame `f` of a detector is centred at sample `f * hop_samples`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
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
    framewise_probs: np.ndarray,
    *,
    grid: AnchorGrid,
    count: int = 1,
    min_share: float = 0.0,
    min_probability: float = 0.0,
) -> list[int]:
    """Find where one class is most probable.

    The rule of the paper goes first. It repeats the frames at the borders of a clip, so that the place it takes there
    may have too low a mean probability, and the score that further places are compared with may be too high: what is
    missing then is taken by the mean over the frames of a place alone.

    Parameters
    ----------
    framewise_probs : ndarray of shape (frames,)
        Of one class, in [0, 1]; frames after the end of the clip are not looked at.
    grid : AnchorGrid
    count, min_share
        See `scoring.pick_positions`.
    min_probability : float, default=0
        Least mean over the frames of a place.

    Returns
    -------
    list of int
        First samples, best first.
    """
    scores = score_anchor_positions(framewise_probs[: grid.clip_frames], segment_frames=grid.segment_frames)
    picked = pick_positions(scores, segment_frames=grid.segment_frames, count=count, min_share=min_share)
    centres = [centre for centre, _ in picked]

    def is_probable(centre: int) -> bool:
        return mean_probability(framewise_probs[grid.frames_of(grid.start_of(centre))]) >= min_probability

    kept = [centre for centre in centres if is_probable(centre)]
    more: list[int] = []
    if len(kept) < count:
        half = grid.half_frames
        inner = scores[half : len(scores) - half]  # windows without a repeated frame
        # A window and the frames of its place differ by one frame at most: behind this none is probable.
        least = min_probability - 1 / grid.segment_frames - 1e-6
        for centre in (half + np.argsort(-inner, kind="stable")).tolist():
            taken = [*kept, *more]
            if len(taken) == count or scores[centre] < least:
                break
            if taken and scores[centre] < min_share * scores[taken[0]]:
                break
            if all(abs(centre - other) >= 2 * half for other in taken) and is_probable(centre):
                more.append(centre)
    return [grid.start_of(centre) for centre in ([*kept, *more] if more else centres)]


def mean_probability(framewise_probs: np.ndarray) -> float:
    """Give the mean over the frames of a place: the score of an anchor."""
    return float(framewise_probs.mean(dtype=np.float64))


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
    generator = _generator(clip_id, class_index=class_index, seed=seed)
    room = min(count, grid.clip_samples // grid.anchor_samples)
    # Cut the anchors out of the clip and draw where in what is left they go back in.
    slack = grid.clip_samples - room * grid.anchor_samples
    places = np.sort(generator.integers(0, slack, size=room, endpoint=True))
    return [int(place) + number * grid.anchor_samples for number, place in enumerate(places)]


def outside_starts(
    mined: Sequence[int], *, clip_id: str, class_index: int, grid: AnchorGrid, count: int = 1, seed: int = 0
) -> list[int]:
    """Draw places that overlap neither the mined ones nor each other, each as likely as any other that is left.

    Parameters
    ----------
    mined : sequence of int
        First samples of the places to leave out.
    clip_id, class_index, grid, count, seed
        See `random_starts`.

    Returns
    -------
    list of int
        First samples as they were drawn, a function of the arguments alone; none where there is no room.
    """
    generator = _generator(clip_id, class_index=class_index, seed=seed)
    found: list[int] = []
    while len(found) < count:
        free = _starts_beside([*mined, *found], grid=grid)
        rooms = np.cumsum([len(starts) for starts in free])
        if not free:
            break
        place = int(generator.integers(rooms[-1]))
        number = int(np.searchsorted(rooms, place, side="right"))
        found.append(free[number][place - int(rooms[number])])  # counted from the end of its stretch
    return found


def _starts_beside(taken: Sequence[int], *, grid: AnchorGrid) -> list[range]:
    """List the stretches of first samples at which an anchor overlaps none of some others."""
    free, first = [], 0
    for start in sorted(taken):
        free.append(range(first, start - grid.anchor_samples + 1))
        first = max(first, start + grid.anchor_samples)
    free.append(range(first, grid.last_start + 1))
    return [starts for starts in free if starts]


def _generator(clip_id: str, *, class_index: int, seed: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}\0{class_index}\0{clip_id}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))
