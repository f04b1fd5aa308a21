"""Networks with nothing learned: three classes, three frequency bands, and masks that follow the condition.

They count the rows of each batch that are not padding in `batches`, and all of them in `batch_sizes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uss_ray.models.specifications import Condition, Specifications
from uss_ray.models.stft import Stft
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.engine import SeparationEngine, build_engine
from uss_ray.separation.mixture import Source
from uss_ray.separation.scheduler import Session
from uss_ray.separation.session import EstimateBlock
from uss_ray.separation.settings import NetworkSettings, SeparationSettings
from uss_ray.separation.targets import SeparationPlan, Target

SPEECH, DOG, MUSIC = 0, 74, 137
CLASSES = 527
TONES_HERTZ = {SPEECH: 250.0, DOG: 1500.0, MUSIC: 3200.0}
BANDS_HERTZ = {SPEECH: (0.0, 600.0), DOG: (600.0, 2200.0), MUSIC: (2200.0, 16000.0)}


@dataclass(frozen=True)
class FakeTagging:
    clipwise_probs: Tensor
    embedding: Tensor
    framewise_probs: Tensor | None = None


class BandTagger:
    """The probability of a class is the share of the power in its band."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.batches: list[int] = []
        self.batch_sizes: list[int] = []

    def __call__(self, waveform: Tensor) -> FakeTagging:
        self.batch_sizes.append(len(waveform))
        self.batches.append(int(waveform.any(dim=1).sum()))
        power = torch.fft.rfft(waveform).abs().square()
        hertz = torch.fft.rfftfreq(waveform.shape[-1], 1 / self.sample_rate)
        probs = torch.zeros(len(waveform), CLASSES)
        for index, (low, high) in BANDS_HERTZ.items():
            probs[:, index] = power[:, (hertz >= low) & (hertz < high)].sum(1) / power.sum(1).clamp(min=1e-12)
        return FakeTagging(probs, torch.zeros(len(waveform), 4))


class BandSeparator:
    """The mask of a band is what the condition says of its class, turned by a fixed phase."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.stft = Stft(window_samples=512, hop_samples=160)
        self.time_grid_samples = 8 * 160
        self.batches: list[int] = []
        self.batch_sizes: list[int] = []
        self.conditions: list[Tensor] = []

    def masks(self, spectrogram: Tensor, condition: Tensor) -> Tensor:
        wanted = condition[condition.any(dim=1)]
        self.batch_sizes.append(len(condition))
        self.batches.append(len(wanted))
        self.conditions.extend(wanted)
        hertz = torch.linspace(0, self.sample_rate / 2, self.stft.bins)
        masks = torch.zeros(len(condition), 1, 1, self.stft.bins)
        for index, (low, high) in BANDS_HERTZ.items():
            masks[..., (hertz >= low) & (hertz < high)] = condition[:, index, None, None, None]
        return masks.expand(spectrogram.shape).to(torch.complex64)


class SoftQueryNet:
    kind = "soft"
    takes_tags = True
    adaptor = None

    def __init__(self, tagger: BandTagger) -> None:
        self.tagger = tagger

    def bottleneck(self, waveform: Tensor) -> Tensor:
        return self.tagger(waveform).clipwise_probs

    def adapt(self, bottleneck: Tensor) -> Tensor:
        return bottleneck


class LatentQueryNet:
    kind = "latent"
    takes_tags = False
    adaptor = None

    def bottleneck(self, waveform: Tensor) -> Tensor:
        return torch.stack((waveform.abs().mean(1), waveform.abs().amax(1)), dim=1)

    def adapt(self, bottleneck: Tensor) -> Tensor:
        return bottleneck


def one_hot(*indexes: int) -> Tensor:
    condition = torch.zeros(CLASSES)
    condition[list(indexes)] = 1.0
    return condition


def trained_on(seconds: float = 2.0, *, sample_rate: int = 32_000, size: int = CLASSES) -> Specifications:
    return Specifications(sample_rate=sample_rate, segment_seconds=seconds, condition=Condition(size=size))


@dataclass
class FakeWeights:
    """Class means are full masks of the band; detected conditions scale with the probability."""

    sample_rate: int = 8000
    class_means: Mapping[int, Tensor] | None = field(
        default_factory=lambda: {index: one_hot(index) for index in BANDS_HERTZ}
    )

    def __post_init__(self) -> None:
        self.tagger = BandTagger(self.sample_rate)
        self.separator = BandSeparator(self.sample_rate)
        self.query_net = SoftQueryNet(self.tagger)
        self.specifications = trained_on(sample_rate=self.sample_rate)


def tone(index: int, seconds: float, *, sample_rate: int, level: float = 0.2) -> NDArray[np.float32]:
    """The tone of a class, of shape (frames,)."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return (level * np.sin(2 * np.pi * TONES_HERTZ[index] * time)).astype(np.float32)


def noise(channels: int, frames: int, *, seed: int = 0) -> NDArray[np.float32]:
    """Noise that swells and fades, of shape (channels, frames)."""
    swell = 1.0 + 0.8 * np.sin(np.arange(frames) / 9000.0)
    return (0.1 * np.random.default_rng(seed).standard_normal((channels, frames)) * swell).astype(np.float32)


def snr_db(estimate: NDArray[np.floating], target: NDArray[np.floating]) -> float:
    error = np.square(estimate - target, dtype=np.float64).sum()
    return float(10 * np.log10(np.square(target, dtype=np.float64).sum() / max(error, 1e-300)))


class RaggedSource:
    """A waveform in blocks of any length, whatever was asked for."""

    def __init__(self, waveform: NDArray[np.float32], *, sample_rate: int, lengths: tuple[int, ...]) -> None:
        self.waveform, self.sample_rate, self.lengths = waveform, sample_rate, lengths
        self.channels = len(waveform)

    def blocks(self, block_frames: int) -> Iterator[NDArray[np.float32]]:
        start, turn = 0, 0
        while start < self.waveform.shape[1]:
            length = self.lengths[turn % len(self.lengths)]
            yield self.waveform[:, start : start + length]
            start, turn = start + length, turn + 1


class Bound:
    """An engine and the settings of one request, with targets and exclusions in place of a plan."""

    def __init__(self, engine: SeparationEngine, settings: SeparationSettings) -> None:
        self.engine, self.settings = engine, settings

    @property
    def span_context_seconds(self) -> int:
        return self.engine.span_context_seconds(self.settings)

    def stream(
        self, source: Source, targets: Sequence[Target], *, exclude: Sequence[Target] = ()
    ) -> Iterator[EstimateBlock]:
        plan = SeparationPlan(tuple(targets), tuple(exclude))
        return self.engine.stream(source, plan, settings=self.settings)

    def open_session(
        self, source: Source, targets: Sequence[Target], *, exclude: Sequence[Target] = (), **options: Any
    ) -> Session[EstimateBlock]:
        plan = SeparationPlan(tuple(targets), tuple(exclude))
        return self.engine.open_session(source, plan, settings=self.settings, **options)

    def stream_many(self, sessions: Sequence[Session[EstimateBlock]]) -> Any:
        return self.engine.stream_many(sessions)


def bound(
    weights: Any,
    vocabulary: Vocabulary,
    settings: SeparationSettings | None = None,
    *,
    device: str | torch.device = "cpu",
    **networks: Any,
) -> Bound:
    """Make an engine for settings that fit its weights; the rest are `NetworkSettings`."""
    chosen = settings or SeparationSettings()
    engine = build_engine(weights, vocabulary=vocabulary, networks=NetworkSettings(**networks), device=device)
    engine.fit(SeparationPlan((Target("everything", "everything"),)), settings=chosen)
    return Bound(engine, chosen)
