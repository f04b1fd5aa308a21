"""The query net: an audio query becomes the condition that steers the separator.

A frozen tagger gives the bottleneck; an adaptor, where there is one, maps it to the condition.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uss_ray.errors import ConfigError
from uss_ray.models.network_settings import AdaptorConfig
from uss_ray.models.specifications import ConditionKind
from uss_ray.models.tagging import AudioTagger

_LEAK = 0.01
_DROPOUT = 0.5


class Adaptor(nn.Module):
    """Two linear layers, each with leaky ReLU and dropout, from a bottleneck to a condition."""

    def __init__(self, config: AdaptorConfig) -> None:
        super().__init__()
        self.config = config
        self.hidden = nn.Linear(config.bottleneck_size, config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.condition_size)
        for layer in (self.hidden, self.output):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, bottleneck: Tensor) -> Tensor:
        """Map (batch, bottleneck_size) to (batch, condition_size)."""
        hidden = F.dropout(F.leaky_relu(self.hidden(bottleneck), _LEAK), _DROPOUT, self.training)
        return F.dropout(F.leaky_relu(self.output(hidden), _LEAK), _DROPOUT, self.training)


class QueryNet(nn.Module):
    """Turn audio into a condition with a frozen tagger.

    Parameters
    ----------
    tagger : AudioTagger
    kind : {"soft", "latent"}, default="soft"
        The bottleneck: clip-wise probabilities, or the embedding.
    adaptor : Adaptor, optional
        None: the bottleneck is the condition.

    Raises
    ------
    ConfigError
        If `kind` is unknown or the adaptor takes another size than the bottleneck has.
    """

    def __init__(
        self,
        tagger: AudioTagger,
        *,
        kind: ConditionKind = "soft",
        adaptor: Adaptor | None = None,
    ) -> None:
        super().__init__()
        if kind not in ("soft", "latent"):
            raise ConfigError("query net kind", expected="soft or latent", found=str(kind))
        self.tagger = tagger
        self.kind = kind
        self.adaptor = adaptor
        if adaptor is not None and adaptor.config.bottleneck_size != self.bottleneck_size:
            raise ConfigError(
                "adaptor bottleneck_size",
                expected=str(self.bottleneck_size),
                found=str(adaptor.config.bottleneck_size),
            )

    @property
    def bottleneck_size(self) -> int:
        """Length of a bottleneck."""
        config = self.tagger.config
        return config.classes if self.kind == "soft" else config.embedding_size

    @property
    def condition_size(self) -> int:
        """Length of a condition."""
        return self.bottleneck_size if self.adaptor is None else self.adaptor.config.condition_size

    def bottleneck(self, waveform: Tensor) -> Tensor:
        """Describe audio of shape (batch, samples) by a bottleneck of shape (batch, bottleneck_size)."""
        self.tagger.eval()
        with torch.no_grad():
            tagging = self.tagger(waveform)
        return tagging.clipwise_probs if self.kind == "soft" else tagging.embedding

    def adapt(self, bottleneck: Tensor) -> Tensor:
        """Map bottlenecks of shape (batch, bottleneck_size) to conditions of shape (batch, condition_size)."""
        return bottleneck if self.adaptor is None else self.adaptor(bottleneck)

    def forward(self, waveform: Tensor) -> Tensor:
        """Turn audio of shape (batch, samples) into conditions of shape (batch, condition_size)."""
        return self.adapt(self.bottleneck(waveform))
