"""What the rooms above may rely on of a network, as typing only; any class of this shape can take its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from torch import Tensor


class TaggingLike(Protocol):
    """What a tagger found: `clipwise_probs` (batch, classes) in [0, 1] and `embedding` (batch, size)."""

    @property
    def clipwise_probs(self) -> Tensor: ...

    @property
    def embedding(self) -> Tensor: ...


class Tagger(Protocol):
    """Waveforms of shape (batch, samples) to class probabilities."""

    def __call__(self, waveform: Tensor) -> TaggingLike: ...


class SpectralTransform(Protocol):
    """A centred, reflect-padded STFT: frame `f` is centred at sample `f * hop_samples`."""

    window_samples: int
    hop_samples: int

    def frames(self, samples: int) -> int: ...

    def __call__(self, waveform: Tensor) -> Tensor: ...

    def inverse(self, spectrogram: Tensor, *, samples: int) -> Tensor: ...


class Separator(Protocol):
    """(mixture spectrogram, condition) to a complex mask.

    `time_grid_samples` is the step at which the network's pooling treats positions alike; a window that starts on
    this grid sees the mixture as the whole recording would show it.
    """

    @property
    def stft(self) -> SpectralTransform: ...

    @property
    def sample_rate(self) -> int: ...

    @property
    def time_grid_samples(self) -> int: ...

    def masks(self, spectrogram: Tensor, condition: Tensor) -> Tensor: ...


class QueryNetLike(Protocol):
    """Audio to a bottleneck, a bottleneck to a condition."""

    @property
    def kind(self) -> Literal["soft", "latent"]: ...

    def bottleneck(self, waveform: Tensor) -> Tensor: ...

    def adapt(self, bottleneck: Tensor) -> Tensor: ...


class WeightsLike(Protocol):
    """All that separates one recording: tagger, query net, separator and the average bottleneck of each class."""

    @property
    def tagger(self) -> Tagger: ...

    @property
    def query_net(self) -> QueryNetLike: ...

    @property
    def separator(self) -> Separator: ...

    @property
    def class_means(self) -> Mapping[int, Tensor] | None: ...
