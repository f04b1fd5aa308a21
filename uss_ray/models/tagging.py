"""What every tagger and detector gives back."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


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
