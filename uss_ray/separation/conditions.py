"""The condition that steers the separator to a target: detected, class mean, or an audio query.

Reading audio and deciding activity are left to others.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uss_ray.errors import ConfigError, QueryError, WeightsError
from uss_ray.models.inference import inference
from uss_ray.models.protocols import QueryNetLike
from uss_ray.separation.settings import ConditionKind, SeparationSettings
from uss_ray.separation.targets import Target

_logger = logging.getLogger(__name__)

_EXAMPLE_FRAME_SECONDS = 0.1


class Conditioner:
    """Make the conditions of targets.

    Parameters
    ----------
    query_net : QueryNetLike
        Where its bottleneck is the tagger's class probabilities, nothing is tagged twice.
    class_means : mapping of int to Tensor of shape (condition_size,), or None
        Class index -> average condition over the training anchors of the class.
    kind : {"auto", "class-mean", "detected"}
        The condition of targets that bring none of their own; auto takes class means where there are some.

    Raises
    ------
    ConfigError
        If detected conditions are asked of a query net that does not take the tagger's probabilities: it has no classes
        to choose from.
    WeightsError
        If class means are asked for and there are none.
    """

    def __init__(
        self, query_net: QueryNetLike, *, class_means: Mapping[int, Tensor] | None, kind: ConditionKind
    ) -> None:
        # With "auto" a class without a mean is no surprise.
        self._fallback_level = logging.INFO if kind == "auto" else logging.WARNING
        if kind == "auto":
            kind = "class-mean" if class_means else "detected"
        if kind == "detected" and not query_net.takes_tags:
            raise ConfigError(
                "separation setting condition",
                expected=f"class-mean with a {query_net.kind} query net",
                found=kind,
            )
        if kind == "class-mean" and not class_means:
            raise WeightsError(
                "class means", expected="an average condition of each class", found="none in the weights"
            )
        self._query_net = query_net
        self._class_means = class_means or {}
        self._kind = kind
        self._logged: set[str] = set()

    def steers(self, target: Target) -> bool:
        """Tell whether a condition can be made for a target: a class mean, or what the query net makes of tags."""
        return target.is_everything or self._query_net.takes_tags or self._has_fixed_condition(target)

    def check(self, target: Target) -> None:
        """Refuse a target that is to be separated and that no condition can be made for, before any work is done.

        A target without a class mean falls back to its detected condition where the query net allows it; the log
        says so, once.

        Raises
        ------
        WeightsError
            If the class means lack all classes of the target and the query net takes no probabilities.
        """
        is_never_separated = not target.is_separable or (target.is_gated and not target.is_known)
        if is_never_separated or target.is_everything or self._kind == "detected":
            return
        if self._has_fixed_condition(target):
            return
        if not self._query_net.takes_tags:
            raise WeightsError(
                f"class mean of {target.label}",
                expected="an average condition of one of its classes",
                found="none",
            )
        if target.key not in self._logged:
            self._logged.add(target.key)
            _logger.log(
                self._fallback_level,
                "%s has no class mean in the weights; its detected condition is used",
                target.label,
            )

    def conditions(
        self, target: Target, *, class_probs: Tensor, excluded_indexes: Sequence[int] = ()
    ) -> Tensor:
        """Make the conditions of one target in some segments.

        Parameters
        ----------
        target : Target
            With classes or a condition of its own.
        class_probs : Tensor of shape (segments, classes)
            The tagger's probabilities in these segments.
        excluded_indexes : sequence of int, default=()
            Classes that no condition may hold. They can be taken out where a condition is made of class
            probabilities, that is, before an adaptor; a fixed condition behind an adaptor stays as it is.

        Returns
        -------
        Tensor of shape (segments, condition_size)
        """
        fixed = self._fixed_condition(target)
        if fixed is not None:
            conditions = fixed.to(class_probs).repeat(len(class_probs), 1)
            if self._query_net.takes_tags and self._query_net.adaptor is None:
                conditions[:, list(excluded_indexes)] = 0.0
            return conditions
        kept = sorted(set(target.class_indexes).difference(excluded_indexes))
        bottlenecks = torch.zeros_like(class_probs)
        bottlenecks[:, kept] = class_probs[:, kept]
        return self._query_net.adapt(bottlenecks)

    def class_mean(self, target: Target) -> Tensor | None:
        """Give the mean condition of a target's own classes, or of all of them; None where there is none."""
        # A node that was never an anchor itself is the average of its descendants.
        for indexes in (target.own_indexes, target.class_indexes):
            means = [self._class_means[index] for index in indexes if index in self._class_means]
            if means:
                return torch.stack(means).mean(dim=0)
        return None

    def _has_fixed_condition(self, target: Target) -> bool:
        if target.condition is not None or self._kind == "detected":
            return target.condition is not None
        return not self._class_means.keys().isdisjoint(target.class_indexes)

    def _fixed_condition(self, target: Target) -> Tensor | None:
        """Find what does not depend on the segment: the target's own condition, or its class mean."""
        if target.condition is not None or self._kind == "detected":
            return target.condition
        return self.class_mean(target)


def condition_of_examples(
    recordings: Iterable[NDArray[np.float32]],
    *,
    query_net: QueryNetLike,
    sample_rate: int,
    settings: SeparationSettings,
    batch_size: int,
    device: torch.device,
) -> Tensor:
    """Average example recordings to the condition of an audio query.

    Silence is taken out, the rest cut into segments (the last one repeated to full length), averaged over each
    recording and then over recordings, so that a long one counts no more than a short one.

    Parameters
    ----------
    recordings : iterable of ndarray of shape (samples,), dtype=float32
        Mono, in [-1, 1].
    query_net : QueryNetLike
    sample_rate : int
        Of the recordings and the query net, in Hz.
    settings : SeparationSettings
        Length of a segment, and what counts as silence.
    batch_size : int
        Segments in one forward.
    device : torch.device

    Returns
    -------
    Tensor of shape (condition_size,)
        On the CPU.

    Raises
    ------
    QueryError
        If there is no sound in any recording.

    Notes
    -----
    Kong et al. 2023; package `uss` 0.0.4, `inference.py`. There, a recording below a fixed peak is dropped as
    silence; here silence is relative to the recording's own peak, so quiet examples count.
    """
    means: list[Tensor] = []
    for recording in recordings:
        sounding = remove_silence(
            recording,
            sample_rate=sample_rate,
            below_share_of_peak=settings.silence.example_cut_below_share_of_peak,
        )
        segments = _cut_repeating(sounding, segment_samples=settings.segment_seconds * sample_rate)
        if not segments:
            continue
        with inference(device=device):
            conditions = [
                query_net.adapt(
                    query_net.bottleneck(_stack(segments[start : start + batch_size], device=device))
                )
                for start in range(0, len(segments), batch_size)
            ]
            means.append(torch.cat(conditions).mean(dim=0).cpu())
    if not means:
        raise QueryError("example recordings", expected="one with sound in it or more", found="none")
    return torch.stack(means).mean(dim=0).clone()


def remove_silence(
    waveform: NDArray[np.float32], *, sample_rate: int, below_share_of_peak: float
) -> NDArray[np.float32]:
    """Drop the frames of a tenth of a second that stay below a share of the waveform's peak.

    Parameters
    ----------
    waveform : ndarray of shape (samples,), dtype=float32
    sample_rate : int
        In Hz.
    below_share_of_peak : float
        In [0, 1).

    Returns
    -------
    ndarray of shape (fewer_samples,), dtype=float32
        Empty when all is digital silence.
    """
    floor = below_share_of_peak * np.abs(waveform).max(initial=0.0)
    frame_samples = max(1, int(_EXAMPLE_FRAME_SECONDS * sample_rate))
    frames = [waveform[start : start + frame_samples] for start in range(0, len(waveform), frame_samples)]
    loud = [frame for frame in frames if np.abs(frame).max() > floor]
    return np.concatenate(loud) if loud else waveform[:0]


def _cut_repeating(waveform: NDArray[np.float32], *, segment_samples: int) -> list[NDArray[np.float32]]:
    starts = range(0, len(waveform), segment_samples)
    return [np.resize(waveform[start : start + segment_samples], segment_samples) for start in starts]


def _stack(segments: Sequence[NDArray[np.float32]], *, device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(segments)).to(device)
