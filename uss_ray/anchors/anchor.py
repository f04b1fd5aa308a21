"""What mining gives: anchors, and what was rejected for which reason."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from uss_ray.errors import DataError

Reason = Literal["missing", "broken", "short", "silent", "improbable", "impure", "too pure"]


_EXCERPT = re.compile(r"(.+)_\d+\.\d{3}", re.DOTALL)


def excerpt_name(clip_id: str, start_seconds: float) -> str:
    """Name one of several excerpts of a recording, for its anchors."""
    return f"{clip_id}_{start_seconds:.3f}"


def recording_of(name: str) -> str:
    """Give the recording that the clip of an anchor is of.

    Examples
    --------
    >>> recording_of("aaa_30.000"), recording_of("aaa")
    ('aaa', 'aaa')
    """
    named = _EXCERPT.fullmatch(name)
    return name if named is None else named[1]


@dataclass(frozen=True, kw_only=True, eq=False)
class Anchor:
    """A segment of a clip in which one of its weak labels is likely to sound.

    Parameters
    ----------
    clip_id : str
        Of the recording; of one of several excerpts, their `excerpt_name`.
    class_index : int
        The weak label it was mined for.
    start_sample : int
        First sample in the clip, at `sample_rate`.
    sample_rate : int
        In Hz.
    score : float
        Mean detector probability of the class in the anchor, in [0, 1].
    purity : float
        How little of any unrelated class is there (`purity.measure_purity`), in [0, 1].
    intruder_index : int or None
        The unrelated class that lowers the purity most.
    level_db : float
        RMS in dBFS.
    label_indexes : tuple of int
        All weak labels of the clip.
    prob_indexes : tuple of int
    probs : ndarray of shape (len(prob_indexes),), dtype=float32
        Clip-wise probabilities that are not negligible, and their classes, ascending.
    waveform : ndarray of shape (samples,), dtype=int16
    soft : ndarray of shape (classes,), dtype=float32, or None
    latent : ndarray of shape (size,), dtype=float32, or None
        Query-net bottlenecks of the anchor's audio, before any adaptor.
    """

    clip_id: str
    class_index: int
    start_sample: int
    sample_rate: int
    score: float
    purity: float
    intruder_index: int | None
    level_db: float
    label_indexes: tuple[int, ...]
    prob_indexes: tuple[int, ...]
    probs: NDArray[np.float32]
    waveform: NDArray[np.int16]
    soft: NDArray[np.float32] | None = None
    latent: NDArray[np.float32] | None = None

    @property
    def anchor_id(self) -> str:
        """Name of the anchor, the same in every run that puts it there."""
        return f"{self.clip_id}:{self.class_index}:{self.start_sample}"

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.waveform) / self.sample_rate


@dataclass(frozen=True, kw_only=True)
class Reject:
    """A clip, or one place in it, that gave no anchor.

    Parameters
    ----------
    clip_id : str
    reason : {"missing", "broken", "short", "silent", "improbable", "impure", "too pure"}
        `missing`, `broken`: the clip itself; `short`: less sound than an anchor; the others: below the level of
        silence, below
        `min_probability`, below `min_purity`, above `max_purity`.
    class_index : int or None, default=None
        None where the whole clip is rejected.
    start_sample : int or None, default=None
    found : str, default=""
        What was found: an error in one line, or the value that was out of range.
    """

    clip_id: str
    reason: Reason
    class_index: int | None = None
    start_sample: int | None = None
    found: str = ""

    def __post_init__(self) -> None:
        if self.reason not in get_args(Reason):
            raise DataError(
                f"reject of {self.clip_id}", expected=f"one of {get_args(Reason)}", found=str(self.reason)
            )
