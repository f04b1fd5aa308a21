"""The networks' part of a separation: rows of many recordings go through in batches of one size.

Knows nothing of time, targets or rates; what asks for rows is `session`, who goes first `scheduler`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from uss_ray.models.inference import inference
from uss_ray.models.precision import Precision
from uss_ray.models.protocols import Separator, Tagger, has_shared_trunk, is_masking, pools_frames


@dataclass(frozen=True)
class TagRow:
    """A waveform of shape (samples,) to tag: answered by (1 + frames, classes) probabilities.

    The first row is of the whole, the others of its frames; none of a tagger that does not say when. Of the outer
    `context_samples` on each side nothing is told: they are heard with the rest, by a tagger that pools its frames.
    """

    waveform: Tensor
    context_samples: int = 0

    @property
    def shape(self) -> Hashable:
        """What must be the same in all rows of a batch."""
        return TagRow, len(self.waveform), self.context_samples


@dataclass(frozen=True)
class MaskRow:
    """A mixture spectrogram (frames, bins), complex, and a condition: answered by a mask of the same shape.

    `heard`, of shape (any frames,), is there where the separator follows when the target is heard.
    """

    spectrogram: Tensor
    condition: Tensor
    heard: Tensor | None = None

    @property
    def shape(self) -> Hashable:
        """What must be the same in all rows of a batch."""
        return MaskRow, len(self.spectrogram)


@dataclass(frozen=True)
class ListenRow:
    """A mixture spectrogram (frames, bins), complex: answered by what a shared trunk hears in it."""

    spectrogram: Tensor

    @property
    def shape(self) -> Hashable:
        """What must be the same in all rows of a batch."""
        return ListenRow, len(self.spectrogram)


@dataclass(frozen=True)
class FeatureRow:
    """What a shared trunk has heard, and a condition: answered by a mask (frames, bins)."""

    features: Tensor
    condition: Tensor
    heard: Tensor | None = None

    @property
    def shape(self) -> Hashable:
        """What must be the same in all rows of a batch."""
        return FeatureRow, len(self.features)


@dataclass(frozen=True)
class EstimateRow:
    """A mixture of shape (samples,) and a condition: answered by an estimate as long as the mixture."""

    mixture: Tensor
    condition: Tensor
    heard: Tensor | None = None

    @property
    def shape(self) -> Hashable:
        """What must be the same in all rows of a batch."""
        return EstimateRow, len(self.mixture)


Row = TagRow | MaskRow | ListenRow | FeatureRow | EstimateRow


def rows_in_a_forward(batch_size: int, *, device: torch.device) -> int:
    """Tell how many rows go through a network at once, so that a row's bits do not depend on the others.

    Parameters
    ----------
    batch_size : int
        What an accelerator takes.
    device : torch.device

    Returns
    -------
    int
        1 on a CPU: its vector kernels finish the end of a batch with scalar code, whose last bit differs, and more
        rows at once are no faster there (docs/adr/0015).
    """
    return 1 if device.type == "cpu" else batch_size


class Networks:
    """Run rows of one shape through a network; what they do not fill of a batch is padded with zeros.

    In a batch of another size a row's answer has other bits: kernels are chosen by shape (docs/adr/0015).

    Parameters
    ----------
    tagger : Tagger
    separator : Separator
    batch_size : int
        Rows in one forward.
    precision : {"float32", "tfloat32", "bfloat16"}
        Of the separator; the tagger has float32, for its probabilities are compared with a threshold.
    device : torch.device
        Where the networks are.
    """

    def __init__(
        self,
        *,
        tagger: Tagger,
        separator: Separator,
        batch_size: int,
        precision: Precision,
        device: torch.device,
    ) -> None:
        self.batch_size = batch_size
        self._tagger = tagger
        self._separator = separator
        self._device = device
        self._precision = precision

    def forward(self, rows: Sequence[Row]) -> list[Tensor]:
        """Answer at most `batch_size` rows of one shape, in their order."""
        precision: Precision = "float32" if isinstance(rows[0], TagRow) else self._precision
        with inference(precision, device=self._device):
            return list(self._answer(rows)[: len(rows)])

    def _answer(self, rows: Sequence[Row]) -> Tensor:
        if isinstance(rows[0], TagRow):
            waveforms = self._full_batch([row.waveform for row in rows if isinstance(row, TagRow)])
            return self._tag(waveforms, context_samples=rows[0].context_samples)
        if isinstance(rows[0], ListenRow):
            assert has_shared_trunk(self._separator), "who lets it listen has seen that it can"
            heard = self._full_batch([row.spectrogram for row in rows if isinstance(row, ListenRow)])
            return self._separator.listen(heard.unsqueeze(1))
        steered = [row for row in rows if not isinstance(row, TagRow | ListenRow)]
        steering = [self._full_batch([row.condition for row in steered])]
        if steered[0].heard is not None:
            steering.append(self._full_batch([row.heard for row in steered if row.heard is not None]))
        if isinstance(rows[0], EstimateRow):
            mixtures = self._full_batch([row.mixture for row in rows if isinstance(row, EstimateRow)])
            return self._separator(mixtures, *steering)
        if isinstance(rows[0], FeatureRow):
            assert has_shared_trunk(self._separator)
            features = self._full_batch([row.features for row in rows if isinstance(row, FeatureRow)])
            return self._separator.masks_of(features, *steering).squeeze(1)
        assert is_masking(self._separator), "who asks for masks has seen that there are some"
        spectrograms = self._full_batch([row.spectrogram for row in rows if isinstance(row, MaskRow)])
        return self._separator.masks(spectrograms.unsqueeze(1), *steering).squeeze(1)

    def _tag(self, waveforms: Tensor, *, context_samples: int) -> Tensor:
        tags = self._tagger(waveforms)
        whole, frames = tags.clipwise_probs, tags.framewise_probs
        if frames is None:
            return whole.unsqueeze(1)
        if context_samples:
            assert pools_frames(self._tagger), "who gives context has seen that it can be left out again"
            left_out = round(context_samples * (frames.shape[1] - 1) / waveforms.shape[1])
            frames = frames[:, left_out : frames.shape[1] - left_out]
            whole = self._tagger.pool_frames(frames)
        return torch.cat((whole.unsqueeze(1), frames), dim=1)

    def _full_batch(self, rows: Sequence[Tensor]) -> Tensor:
        padding = [torch.zeros_like(rows[0])] * (self.batch_size - len(rows))
        return torch.stack([*rows, *padding])
