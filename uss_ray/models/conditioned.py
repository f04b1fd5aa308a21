"""What separators that a condition steers have in common, whether they make masks or waveforms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar

from torch import Tensor, nn

from uss_ray.models.film import Film
from uss_ray.models.stft import Stft


class _Sizes(Protocol):
    @property
    def sample_rate(self) -> int: ...
    @property
    def condition_size(self) -> int: ...


class _SpectralSizes(_Sizes, Protocol):
    @property
    def window_samples(self) -> int: ...
    @property
    def hop_samples(self) -> int: ...


C = TypeVar("C", bound=_Sizes)
S = TypeVar("S", bound=_SpectralSizes)


class ConditionedSeparator(nn.Module, Generic[C]):
    """A network that separates what a condition describes; one of its own has `film`.

    Parameters
    ----------
    config : settings of the network
    """

    film: Film

    def __init__(self, config: C) -> None:
        super().__init__()
        self.config = config

    @property
    def sample_rate(self) -> int:
        """Rate of the waveforms in Hz."""
        return self.config.sample_rate

    @property
    def condition_size(self) -> int:
        """Length of a condition."""
        return self.config.condition_size

    @property
    def hears_activity(self) -> bool:
        """Whether it takes a third argument, when the wanted class is heard."""
        return self.film.hears_activity


class SpectralSeparator(ConditionedSeparator[S], ABC):
    """One that masks the STFT of the mixture.

    Parameters
    ----------
    config : settings of the network
    """

    def __init__(self, config: S) -> None:
        super().__init__(config)
        self.stft = Stft(window_samples=config.window_samples, hop_samples=config.hop_samples)

    @property
    def time_grid_samples(self) -> int:
        """Samples between two positions that are treated alike: frames, where nothing is pooled."""
        return self.config.hop_samples

    @abstractmethod
    def masks(self, spectrogram: Tensor, condition: Tensor, activity: Tensor | None = None) -> Tensor:
        """Estimate the mask of the wanted source.

        Parameters
        ----------
        spectrogram : Tensor of shape (batch, 1, frames, bins), dtype=complex64
            STFT of the mixture.
        condition : Tensor of shape (batch, condition_size)
        activity : Tensor of shape (batch, any frames), optional
            When the wanted class is heard, in [0, 1], evenly over the time of the spectrogram.

        Returns
        -------
        Tensor of shape (batch, 1, frames, bins), dtype=complex64
            Magnitude in [0, 1]; zero in the topmost bin, which no network here sees.
        """

    def forward(self, mixture: Tensor, condition: Tensor, activity: Tensor | None = None) -> Tensor:
        """Separate.

        Parameters
        ----------
        mixture : Tensor of shape (batch, samples)
        condition : Tensor of shape (batch, condition_size)
        activity : Tensor of shape (batch, any frames), optional
            As in `masks`.

        Returns
        -------
        Tensor of shape (batch, samples)
        """
        spectrogram = self.stft(mixture.unsqueeze(1))
        estimate = self.masks(spectrogram, condition, activity) * spectrogram
        return self.stft.inverse(estimate, samples=mixture.shape[-1]).squeeze(1)
