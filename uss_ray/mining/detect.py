"""Run the frozen networks of mining on batches of one fixed shape.

Measured: a row of a forward of fixed shape has the same bits whatever its position and its neighbours, another batch
size gives others. So every batch is full; rows without a clip are zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uss_ray.errors import ConfigError, WeightsError
from uss_ray.mining.detection import Detection
from uss_ray.mining.settings import Conditions
from uss_ray.models.compiled import compile_here
from uss_ray.models.inference import inference
from uss_ray.models.precision import Precision
from uss_ray.models.specifications import Specifications
from uss_ray.models.tagging import AudioTagger, Tagging

Waveforms = Sequence[NDArray[np.float32]]


class MiningWeights(Protocol):
    """What mining takes of a set of weights; `weights.folder.Weights` has it."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def specifications(self) -> Specifications: ...  # noqa: D102

    @property
    def detector(self) -> AudioTagger | None: ...  # noqa: D102

    @property
    def tagger(self) -> AudioTagger | None: ...  # noqa: D102

    def check_classes(self, class_ids: Sequence[str]) -> None: ...  # noqa: D102


class AnchorDetector:
    """Detector and query net of weights, for mining.

    Parameters
    ----------
    weights : MiningWeights
        With a detector; with a tagger for conditions.
    clip_seconds : float, default=10
        What one row of a batch holds.
    anchor_seconds : float, default=2
        The same for conditions.
    batch_size : int, default=4
        Rows of every forward.
    device : str or torch.device, default="cpu"
    precision : {"float32", "tfloat32", "bfloat16"}, default="float32"
        See `models.precision`; probabilities then differ in the fourth and in the third digit. Without effect on a CPU,
        where it was measured and does not pay (ADR 22).
    compiled : bool, default=False
        Have the networks compiled for this machine by a C++ compiler, at the first batch: tens of seconds, then faster.
        Probabilities differ in the last digits.

    Raises
    ------
    WeightsError
        If the weights have no detector, or it only has a clip head.
    ConfigError
        If the precision is unknown, or there is no compiler.
    """

    def __init__(
        self,
        weights: MiningWeights,
        *,
        clip_seconds: float = 10.0,
        anchor_seconds: float = 2.0,
        batch_size: int = 4,
        device: str | torch.device = "cpu",
        precision: Precision = "float32",
        compiled: bool = False,
    ) -> None:
        if weights.detector is None:
            raise WeightsError(f"weights {weights.name}", expected="a detector", found="none")
        if precision not in get_args(Precision):
            known = " or ".join(get_args(Precision))
            raise ConfigError("mining precision", expected=known, found=str(precision))
        self.weights = weights
        self.sample_rate = weights.specifications.sample_rate
        self.batch_size = batch_size
        self.clip_samples = round(clip_seconds * self.sample_rate)
        self.anchor_samples = round(anchor_seconds * self.sample_rate)
        self._device = torch.device(device)
        self.hop_samples = self.sample_rate / weights.detector.config.frames_per_second
        self._detector = self._ready(weights.detector, compiled=compiled)
        self._tagger = None if weights.tagger is None else self._ready(weights.tagger, compiled=compiled)
        self._precision = precision

    def detect(self, waveforms: Waveforms) -> list[Detection]:
        """Detect every class in every frame of clips.

        Parameters
        ----------
        waveforms : sequence of ndarray of shape (samples,), dtype=float32
            Any number of clips in [-1, 1]; what is longer than `clip_samples` is cut, what is shorter padded with
            zeros.

        Returns
        -------
        list of Detection
            One a clip; frames of padding are left out, but for what the network makes of it at the border.

        Raises
        ------
        WeightsError
            If the detector has a clip head only.
        """
        found: list[Detection] = []
        for batch, clips in self._batches(waveforms, samples=self.clip_samples):
            tagging = self._forward(self._detector, batch)
            if tagging.framewise_probs is None:
                raise WeightsError(
                    f"weights {self.weights.name}",
                    expected="a detector with a frame head",
                    found="a clip head",
                )
            framewise = tagging.framewise_probs[: len(clips)].float().cpu().numpy()
            clipwise = tagging.clipwise_probs[: len(clips)].float().cpu().numpy()
            for row, clip in enumerate(clips):
                frames = int(min(len(clip), self.clip_samples) / self.hop_samples) + 1
                found.append(Detection(framewise[row, :frames], clipwise[row], self.hop_samples))
        return found

    def conditions(self, anchors: Waveforms, *, kind: Conditions) -> dict[str, NDArray[np.float32]]:
        """Describe anchors by query-net bottlenecks: what a condition is made from, before any adaptor.

        Parameters
        ----------
        anchors : sequence of ndarray of shape (samples,), dtype=float32
        kind : {"none", "soft", "latent", "both"}
            `soft`: clip-wise probabilities of the anchor; `latent`: its embedding. Both cost one forward.

        Returns
        -------
        dict of str to ndarray of shape (anchors, size), dtype=float32
            Under `"soft"` and `"latent"`, what was asked for.

        Raises
        ------
        WeightsError
            If the weights have no tagger.
        """
        wanted = {"none": (), "both": ("soft", "latent")}.get(kind, (kind,))
        if not wanted or not anchors:
            return {}
        if self._tagger is None:
            raise WeightsError(
                f"weights {self.weights.name}", expected="a tagger, for conditions of anchors", found="none"
            )
        parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in wanted}
        for batch, rows in self._batches(anchors, samples=self.anchor_samples):
            tagging = self._forward(self._tagger, batch)
            for name in wanted:
                values = tagging.clipwise_probs if name == "soft" else tagging.embedding
                parts[name].append(values[: len(rows)].float().cpu().numpy())
        return {name: np.concatenate(values) for name, values in parts.items()}

    def _ready(self, network: torch.nn.Module, *, compiled: bool) -> Callable[[Tensor], Tagging]:
        network = network.to(self._device).eval()
        return compile_here(network) if compiled else network

    def _forward(self, network: Callable[[Tensor], Tagging], batch: Tensor) -> Tagging:
        with inference(self._precision, device=self._device):
            return network(batch)

    def _batches(self, waveforms: Waveforms, *, samples: int) -> Iterator[tuple[Tensor, Waveforms]]:
        for first in range(0, len(waveforms), self.batch_size):
            rows = waveforms[first : first + self.batch_size]
            batch = np.zeros((self.batch_size, samples), np.float32)
            for place, waveform in zip(batch, rows, strict=False):
                length = min(len(waveform), samples)
                place[:length] = waveform[:length]
            yield torch.from_numpy(batch).to(self._device), rows
