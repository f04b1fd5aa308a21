"""What the rooms above may rely on of a network, as typing only; any class of this shape can take its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeGuard

from torch import Tensor

from uss_ray.models.specifications import ConditionKind, Specifications


class TaggingLike(Protocol):
    """What a tagger found: `clipwise_probs` (batch, classes) in [0, 1], `embedding` (batch, size), perhaps frames."""

    @property
    def clipwise_probs(self) -> Tensor:
        """Tensor of shape (batch, classes), in [0, 1]."""
        ...

    @property
    def embedding(self) -> Tensor:
        """Tensor of shape (batch, embedding_size)."""
        ...

    @property
    def framewise_probs(self) -> Tensor | None:
        """Tensor of shape (batch, frames, classes), in [0, 1]; the first frame lies at the start, the last at the end.

        None of a tagger that does not say when.
        """
        ...


class Tagger(Protocol):
    """Waveforms of shape (batch, samples) to class probabilities."""

    def __call__(self, waveform: Tensor) -> TaggingLike:
        """Tag."""
        ...


class FramePooling(Tagger, Protocol):
    """A tagger that makes what it says of a whole of what it says of its frames, so that it can say it of a part."""

    def pool_frames(self, framewise_probs: Tensor) -> Tensor:
        """Make clip-wise probabilities (batch, classes) of frame-wise ones (batch, frames, classes)."""
        ...


class SpectralTransform(Protocol):
    """A centred, reflect-padded STFT: frame `f` is centred at sample `f * hop_samples`."""

    window_samples: int
    hop_samples: int

    def frames(self, samples: int) -> int:
        """Count the frames of so many samples."""
        ...

    def __call__(self, waveform: Tensor) -> Tensor:
        """Transform (..., samples) to (..., frames, bins), complex."""
        ...

    def inverse(self, spectrogram: Tensor, *, samples: int) -> Tensor:
        """Transform (..., frames, bins) back to (..., samples)."""
        ...


class Separator(Protocol):
    """(mixture, condition) to the waveform of the wanted source."""

    @property
    def sample_rate(self) -> int:
        """Rate of the waveforms in Hz."""
        ...

    @property
    def condition_size(self) -> int:
        """Length of a condition."""
        ...

    def __call__(self, mixture: Tensor, condition: Tensor) -> Tensor:
        """Separate mixtures of shape (batch, samples) under conditions (batch, condition_size); as long as they are."""
        ...


class MaskingSeparator(Separator, Protocol):
    """A separator that says by a complex mask on the mixture's STFT what belongs to the source."""

    @property
    def stft(self) -> SpectralTransform:
        """The transform that its masks apply to."""
        ...

    @property
    def time_grid_samples(self) -> int:
        """Step at which the network's pooling treats positions alike.

        A window that starts on this grid sees the mixture as the whole recording would show it.
        """
        ...

    def masks(self, spectrogram: Tensor, condition: Tensor) -> Tensor:
        """Make complex masks of shape (batch, 1, frames, bins) from spectrograms of the same shape."""
        ...


class SharedTrunk(MaskingSeparator, Protocol):
    """A separator that hears a mixture once, whatever is asked for, and makes each mask of what it has heard."""

    def listen(self, spectrogram: Tensor) -> Tensor:
        """Hear spectrograms of shape (batch, 1, frames, bins); give (batch, …)."""
        ...

    def masks_of(self, features: Tensor, condition: Tensor) -> Tensor:
        """Make complex masks of shape (batch, 1, frames, bins) of what was heard."""
        ...


def known_classes(weights: WeightsLike) -> frozenset[int] | None:
    """Give the classes that weights were trained on: those that they list, or have a mean of; None: all."""
    listed = weights.specifications.known_classes
    if listed is not None:
        return frozenset(listed)
    return frozenset(weights.class_means) if weights.class_means else None


def pools_frames(tagger: Tagger) -> TypeGuard[FramePooling]:
    """Whether a tagger can say of a part of what it has heard what is in it."""
    return bool(getattr(tagger, "pools_frames", False))


def is_masking(separator: Separator) -> TypeGuard[MaskingSeparator]:
    """Whether a separator gives masks; one that does not is asked for waveforms."""
    return hasattr(separator, "masks")


def has_shared_trunk(separator: Separator) -> TypeGuard[SharedTrunk]:
    """Whether a separator can hear a mixture once for several targets."""
    return hasattr(separator, "listen")


def hears_activity(separator: Separator) -> bool:
    """Whether a separator takes one argument more, of shape (batch, any frames): when the wanted class is heard.

    It lies in [0, 1] and evenly over the time of the mixture, or of the spectrogram.
    """
    return bool(getattr(separator, "hears_activity", False))


class QueryNetLike(Protocol):
    """Audio to a bottleneck, a bottleneck to a condition."""

    @property
    def kind(self) -> ConditionKind:
        """What a bottleneck is: a class, class probabilities, or an embedding."""
        ...

    @property
    def takes_tags(self) -> bool:
        """Whether a bottleneck is the class probabilities that the tagger gives anyway."""
        ...

    @property
    def adaptor(self) -> object | None:
        """The part after the bottleneck; None where the bottleneck is the condition."""
        ...

    def bottleneck(self, waveform: Tensor) -> Tensor:
        """Describe (batch, samples) by (batch, bottleneck_size)."""
        ...

    def adapt(self, bottleneck: Tensor) -> Tensor:
        """Map (batch, bottleneck_size) to (batch, condition_size)."""
        ...


class WeightsLike(Protocol):
    """All that separates one recording: networks, where there are some, and the average condition of each class."""

    @property
    def specifications(self) -> Specifications:
        """What the networks were trained on and are used on."""
        ...

    @property
    def tagger(self) -> Tagger | None:
        """Tells which classes sound."""
        ...

    @property
    def query_net(self) -> QueryNetLike | None:
        """Makes conditions."""
        ...

    @property
    def separator(self) -> Separator | None:
        """Takes mixtures apart."""
        ...

    @property
    def class_means(self) -> Mapping[int, Tensor] | None:
        """Class index -> condition of shape (condition_size,)."""
        ...
