"""From windows and what is active in them to estimates: by masks on the mixture's spectrogram, or by waveforms.

Owns what exclusion, consistency and channels mean for a separator of either kind; positions are the session's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uss_ray.models.protocols import MaskingSeparator, Separator, has_shared_trunk, is_masking
from uss_ray.separation.masking import (
    make_estimates_consistent,
    make_levels_consistent,
    reference_weights,
    remainder_of,
    share_estimates,
    share_masks,
)
from uss_ray.separation.networks import EstimateRow, FeatureRow, ListenRow, MaskRow, Row
from uss_ray.separation.scheduler import Request
from uss_ray.separation.settings import SeparationSettings
from uss_ray.separation.targets import Target
from uss_ray.separation.windows import Window


@dataclass(frozen=True)
class WindowJob:
    """What is to be separated in the window of one segment.

    Attributes
    ----------
    segment : int
    window : Window
    waveform : ndarray of shape (channels, samples), dtype=float32
    targets : list of Target
        Those that have a stem in it.
    of_target : list of tuple of int
        For each target, which conditions it sums; none of one that is everything.
    conditions : list of Tensor of shape (condition_size,)
        Of what is separated.
    sharing : int, default=0
        How many of them, the first ones, share the sound and take no more than there is.
    excluded : list of Tensor of shape (condition_size,)
        What must not be in any estimate.
    heard : list of Tensor of shape (frames,)
        When each of both is heard, evenly over the window; empty where the separator does not follow it.
    """

    segment: int
    window: Window
    waveform: NDArray[np.float32]
    targets: list[Target]
    of_target: list[tuple[int, ...]]
    conditions: list[Tensor]
    sharing: int = 0
    excluded: list[Tensor] = field(default_factory=list)
    heard: list[Tensor] = field(default_factory=list)

    @property
    def steering(self) -> list[tuple[Tensor, Tensor | None]]:
        """Conditions of all, those of what is excluded last, and when each is heard."""
        conditions = [*self.conditions, *self.excluded]
        heard: Sequence[Tensor | None] = self.heard or [None] * len(conditions)
        return list(zip(conditions, heard, strict=True))


Join = Callable[[WindowJob, Sequence[Target], NDArray[np.float32]], None]
"""Takes the estimates of some targets of a job, of shape (targets, channels, window samples)."""
Asking = Generator[Request, list[Tensor] | None, None]


class Estimator(Protocol):
    """Separates the windows of one recording; made for the settings of its session."""

    def rows(self, job: WindowJob) -> int:
        """Count the rows that a job takes of the networks."""
        ...

    def separate(self, jobs: Sequence[WindowJob], join: Join) -> Asking:
        """Ask for what the jobs need, and hand over their estimates."""
        ...


def estimator_for(
    separator: Separator, *, settings: SeparationSettings, batch_size: int, device: torch.device
) -> Estimator:
    """Choose by what the separator can do.

    Parameters
    ----------
    separator : Separator
    settings : SeparationSettings
    batch_size : int
        Estimates that are made of masks at once.
    device : torch.device
        Where the networks are.
    """
    if is_masking(separator):
        return _ByMasks(separator, settings=settings, batch_size=batch_size, device=device)
    return _ByWaveforms(settings, device=device)


def to_device(waveform: NDArray[np.float32], device: torch.device) -> Tensor:
    """Bring an array to where the networks are, as contiguous float32."""
    return torch.from_numpy(np.ascontiguousarray(waveform, dtype=np.float32)).to(device)


def _sums(job: WindowJob, separated: Tensor, *, whole: Tensor) -> Tensor:
    """Add up what each target is made of."""
    return torch.stack(
        [
            functools.reduce(torch.add, [separated[place] for place in places]) if places else whole
            for places in job.of_target
        ]
    )


class _ByMasks:
    """One mask from the mid for all channels, or one from each; masks of what is excluded bound them."""

    def __init__(
        self,
        separator: MaskingSeparator,
        *,
        settings: SeparationSettings,
        batch_size: int,
        device: torch.device,
    ) -> None:
        self._stft = separator.stft
        self._listens_once = has_shared_trunk(separator)
        self._from_mid = settings.channel_mode == "mid"
        self._consistent = settings.mixture_consistency
        self._given_back = settings.given_back
        self._batch_size = batch_size
        self._device = device

    def rows(self, job: WindowJob) -> int:
        references = 1 if self._from_mid else len(job.waveform)
        return references * (len(job.conditions) + len(job.excluded))

    def separate(self, jobs: Sequence[WindowJob], join: Join) -> Asking:
        spectra = [self._spectra(job) for job in jobs]
        steered = [
            (job, references) for job, (_, references) in zip(jobs, spectra, strict=True) if job.steering
        ]
        row: Callable[[Tensor, Tensor, Tensor | None], Row] = MaskRow
        if self._listens_once and steered:
            listening = [ListenRow(reference) for _, references in steered for reference in references]
            features = iter((yield Request(listening)) or [])
            steered = [
                (job, torch.stack([next(features) for _ in references])) for job, references in steered
            ]
            row = FeatureRow
        rows = [
            row(reference, condition, heard)
            for job, references in steered
            for condition, heard in job.steering
            for reference in references
        ]
        answers = iter(((yield Request(rows)) if rows else None) or [])
        for job, (spectrogram, references) in zip(jobs, spectra, strict=True):
            masks = self._combine(job, references, [next(answers) for _ in range(self.rows(job))])
            for start in range(0, len(masks), self._batch_size):
                some = slice(start, start + self._batch_size)
                estimates = self._stft.inverse(masks[some] * spectrogram, samples=job.window.samples)
                join(job, job.targets[some], estimates.cpu().numpy())

    def _spectra(self, job: WindowJob) -> tuple[Tensor, Tensor]:
        """Give the spectrogram of each channel and those that masks are made from, both (n, frames, bins)."""
        window = job.window
        spectrogram = self._stft(to_device(job.waveform, self._device))
        spectrogram = spectrogram[:, window.skip_frames : window.skip_frames + window.frames]
        if not self._from_mid:
            return spectrogram, spectrogram
        weights = to_device(reference_weights(job.waveform), self._device).to(spectrogram.dtype)
        return spectrogram, torch.einsum("c,cfb->fb", weights, spectrogram).unsqueeze(0)

    def _combine(self, job: WindowJob, references: Tensor, made: list[Tensor]) -> Tensor:
        """Make the final masks of a window, of shape (targets, references, frames, bins)."""
        shape = (-1, *references.shape)
        wanted_rows = len(job.conditions) * len(references)
        excluded = torch.stack(made[wanted_rows:]).reshape(shape) if job.excluded else None
        remainder = torch.ones_like(references.real) if excluded is None else remainder_of(excluded)
        separated = (
            torch.stack(made[:wanted_rows]).reshape(shape) if job.conditions else references.new_zeros(0)
        )
        if job.sharing:
            separated[: job.sharing] = share_masks(separated[: job.sharing], given_back=self._given_back)
        masks = _sums(job, separated, whole=torch.ones_like(references)) * remainder
        if not self._consistent:
            return masks
        return make_levels_consistent(masks, levels=[target.group for target in job.targets], total=remainder)


class _ByWaveforms:
    """Each channel is separated by itself, for an estimate of the mid could not be shared out without a mask.

    What is excluded is estimated and subtracted first, one after the other; targets are estimated from the rest.
    """

    def __init__(self, settings: SeparationSettings, *, device: torch.device) -> None:
        self._consistent = settings.mixture_consistency
        self._given_back = settings.given_back
        self._device = device

    def rows(self, job: WindowJob) -> int:
        return len(job.waveform) * (len(job.conditions) + len(job.excluded))

    def separate(self, jobs: Sequence[WindowJob], join: Join) -> Asking:
        rests = [to_device(job.waveform, self._device) for job in jobs]
        for number in range(max((len(job.excluded) for job in jobs), default=0)):
            concerned = [place for place, job in enumerate(jobs) if number < len(job.excluded)]
            rows = [
                EstimateRow(channel, *jobs[place].steering[len(jobs[place].conditions) + number])
                for place in concerned
                for channel in rests[place]
            ]
            answers = iter((yield Request(rows)) or [])
            for place in concerned:
                rests[place] = rests[place] - torch.stack([next(answers) for _ in rests[place]])
        rows = [
            EstimateRow(channel, condition, heard)
            for job, rest in zip(jobs, rests, strict=True)
            for condition, heard in job.steering[: len(job.conditions)]
            for channel in rest
        ]
        answers = iter(((yield Request(rows)) if rows else None) or [])
        for job, rest in zip(jobs, rests, strict=True):
            made = [torch.stack([next(answers) for _ in rest]) for _ in job.conditions]
            separated = torch.stack(made) if made else rest.new_zeros(0)
            if job.sharing:
                separated[: job.sharing] = share_estimates(
                    separated[: job.sharing], total=rest, given_back=self._given_back
                )
            estimates = _sums(job, separated, whole=rest)
            if self._consistent:
                levels = [target.group for target in job.targets]
                estimates = make_estimates_consistent(estimates, levels=levels, total=rest)
            join(job, job.targets, estimates.cpu().numpy())
