"""From frame-wise probabilities to the best positions of an anchor segment; numpy only."""

from __future__ import annotations

import numpy as np

# Rounding of running sums must not decide between positions that are equally good.
_SCORE_DECIMALS = 9


def score_anchor_positions(framewise_probs: np.ndarray, *, segment_frames: int) -> np.ndarray:
    """Score every frame as the centre of an anchor segment.

    Parameters
    ----------
    framewise_probs : ndarray of shape (..., clip_frames)
        Detector probability of one class, in [0, 1].
    segment_frames : int
        Window length in frames; odd.

    Returns
    -------
    ndarray of shape (..., clip_frames)
        Mean probability under the window, to nine decimals; border frames are repeated outwards.

    Raises
    ------
    ValueError
        If `segment_frames` is even or not positive.

    Notes
    -----
    Anchor mining of Kong et al. 2023, with the border rule of the released program.

    Examples
    --------
    >>> score_anchor_positions(np.array([0.0, 0.0, 0.9, 0.0]), segment_frames=3).round(1)
    array([0. , 0.3, 0.3, 0.3])
    """
    if segment_frames < 1 or segment_frames % 2 == 0:
        raise ValueError(f"segment_frames: expected an odd number >= 1, found {segment_frames}")
    half = segment_frames // 2
    padding = [(0, 0)] * (framewise_probs.ndim - 1) + [(half, half)]
    padded = np.pad(framewise_probs.astype(np.float64), padding, mode="edge")
    total = np.cumsum(np.concatenate((np.zeros((*padded.shape[:-1], 1)), padded), axis=-1), axis=-1)
    means = (total[..., segment_frames:] - total[..., :-segment_frames]) / segment_frames
    scores: np.ndarray = np.round(means, _SCORE_DECIMALS)
    return scores


def pick_positions(
    scores: np.ndarray, *, segment_frames: int, count: int = 1, min_share: float = 0.0
) -> list[tuple[int, float]]:
    """Pick the best segment centre, and further ones that do not overlap it.

    Parameters
    ----------
    scores : ndarray of shape (clip_frames,)
        From `score_anchor_positions`; at its borders, of windows with repeated frames.
    segment_frames : int
        Odd; a segment lasts one hop less.
    count : int, default=1
        Most positions to return.
    min_share : float, default=0
        Further positions need this share of the best score, in [0, 1].

    Returns
    -------
    list of (int, float)
        Centre frame and the score there, best first. The earliest of equals wins. A centre lies half a segment or more
        inside the clip; a clip shorter than a segment gives its middle.
    """
    half = segment_frames // 2
    frames = len(scores)
    if frames < segment_frames:
        return [(frames // 2, float(scores.max()))]
    left = np.array(scores, dtype=np.float64)
    best = float(left.max())
    picked: list[tuple[int, float]] = []
    while len(picked) < count and left.max() > -np.inf:
        found = int(left.argmax())
        centre = min(max(found, half), frames - 1 - half)
        score = float(scores[centre])
        if picked and left[found] < min_share * best:
            break
        if all(abs(centre - other) >= 2 * half for other, _ in picked):
            picked.append((centre, score))
            left[max(0, centre - 2 * half + 1) : centre + 2 * half] = -np.inf
        else:
            left[found] = -np.inf
    return picked
