"""What every tagger and detector is and gives back, and how its logits become probabilities."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn


class Tagging(NamedTuple):
    """What a tagger or detector found.

    Attributes
    ----------
    clipwise_probs : Tensor of shape (batch, classes)
        In [0, 1].
    embedding : Tensor of shape (batch, embedding_size)
    framewise_probs : Tensor of shape (batch, frames, classes), or None
        At the `frames_per_second` of the network's configuration, frame `f` centred at `f / frames_per_second`
        seconds; None of a tagger that does not say when.
    """

    clipwise_probs: Tensor
    embedding: Tensor
    framewise_probs: Tensor | None


class TaggerConfig(Protocol):
    """What must be known of a tagger or detector to use it."""

    @property
    def classes(self) -> int:
        """Number of classes."""
        ...

    @property
    def embedding_size(self) -> int:
        """Length of an embedding."""
        ...

    @property
    def head(self) -> Literal["clip", "frame"]:
        """`"frame"`: it says when, so it is a detector too."""
        ...

    @property
    def sample_rate(self) -> int:
        """Rate of the waveforms in Hz."""
        ...

    @property
    def frames_per_second(self) -> float:
        """Rate of the frame-wise probabilities."""
        ...


class AudioTagger(nn.Module):
    """Base of networks that map waveforms of shape (batch, samples), in [-1, 1], to a `Tagging`."""

    config: TaggerConfig


def to_probs(logits: Tensor) -> Tensor:
    """Give the sigmoid of logits, with the same bits wherever in a batch they stand.

    Parameters
    ----------
    logits : Tensor of any shape

    Returns
    -------
    Tensor of the same shape
        In [0, 1], single precision at least.

    Notes
    -----
    On a CPU the last numbers of a tensor go through other arithmetic than the ones before, so the last row of a batch
    may differ in the last bit. In double precision that difference lies far below what single precision keeps.
    """
    probs = torch.sigmoid(logits.double())
    return probs if logits.dtype == torch.float64 else probs.float()
