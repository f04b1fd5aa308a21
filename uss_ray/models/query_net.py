"""The query net: an audio query becomes the condition that steers the separator.

A trunk gives the bottleneck: the tagger itself, or one that was trained with the separator. An adaptor, where there is
one, maps it to what is learned; with a shortcut the tagger's own bottleneck stands behind it.
"""

from __future__ import annotations

from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uss_ray.errors import ConfigError
from uss_ray.models.network_settings import AdaptorConfig
from uss_ray.models.specifications import ConditionKind
from uss_ray.models.tagging import AudioTagger, TaggerConfig, Tagging

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


def bottleneck_of(tagging: Tagging, kind: ConditionKind) -> Tensor:
    """Take the bottleneck out of what a tagger says: the likeliest class alone, all probabilities, or the embedding."""
    if kind == "latent":
        return tagging.embedding
    probs = tagging.clipwise_probs
    return probs if kind == "soft" else F.one_hot(probs.argmax(dim=1), probs.shape[1]).to(probs)


def bottleneck_size(config: TaggerConfig, kind: ConditionKind) -> int:
    """Give the length of a tagger's bottleneck."""
    return config.embedding_size if kind == "latent" else config.classes


class QueryNet(nn.Module):
    """Turn audio into a condition; no gradient reaches the taggers.

    Parameters
    ----------
    tagger : AudioTagger
        Tells which classes sound, and is the trunk where there is no other.
    kind : {"hard", "soft", "latent"}, default="soft"
        The bottleneck: the likeliest class, clip-wise probabilities, or the embedding.
    adaptor : Adaptor, optional
        None: the bottleneck is the condition.
    trunk : AudioTagger, optional
        Makes the bottleneck in place of the tagger.
    shortcut : bool, default=False
        Whether the tagger's bottleneck stands behind what was learned.

    Raises
    ------
    ConfigError
        If `kind` is unknown, the adaptor takes another size than the bottleneck has, or there is nothing learned that a
        shortcut could lead past.
    """

    def __init__(
        self,
        tagger: AudioTagger,
        *,
        kind: ConditionKind = "soft",
        adaptor: Adaptor | None = None,
        trunk: AudioTagger | None = None,
        shortcut: bool = False,
    ) -> None:
        super().__init__()
        if kind not in get_args(ConditionKind):
            raise ConfigError("query net kind", expected="hard, soft or latent", found=str(kind))
        if shortcut and trunk is None and adaptor is None:
            raise ConfigError("query net shortcut", expected="an adaptor or a trunk", found="neither")
        self.tagger = tagger
        self.kind = kind
        self.adaptor = adaptor
        self.trunk = trunk
        self.shortcut = shortcut
        self._tagger_size = bottleneck_size(tagger.config, kind)
        self._learned_size = self._tagger_size if trunk is None else bottleneck_size(trunk.config, kind)
        if adaptor is not None and adaptor.config.bottleneck_size != self._learned_size:
            raise ConfigError(
                "adaptor bottleneck_size",
                expected=str(self._learned_size),
                found=str(adaptor.config.bottleneck_size),
            )

    @property
    def takes_tags(self) -> bool:
        """Whether its bottleneck is the class probabilities that the tagger gives anyway."""
        return self.trunk is None and self.kind == "soft"

    @property
    def bottleneck_size(self) -> int:
        """Length of a bottleneck."""
        beside = self.shortcut and self.trunk is not None
        return self._learned_size + (self._tagger_size if beside else 0)

    @property
    def condition_size(self) -> int:
        """Length of a condition."""
        learned = self._learned_size if self.adaptor is None else self.adaptor.config.condition_size
        return learned + (self._tagger_size if self.shortcut else 0)

    def bottleneck(self, waveform: Tensor) -> Tensor:
        """Describe audio of shape (batch, samples) by a bottleneck of shape (batch, bottleneck_size)."""
        taggers = [self.tagger] if self.trunk is None else [self.trunk]
        if self.shortcut and self.trunk is not None:
            taggers.append(self.tagger)
        with torch.no_grad():
            return torch.cat([bottleneck_of(each.eval()(waveform), self.kind) for each in taggers], dim=1)

    def adapt(self, bottleneck: Tensor) -> Tensor:
        """Map bottlenecks of shape (batch, bottleneck_size) to conditions of shape (batch, condition_size)."""
        learned = bottleneck[:, : self._learned_size]
        past = bottleneck[:, -self._tagger_size :]
        return make_condition(learned, adaptor=self.adaptor, past=past if self.shortcut else None)

    def forward(self, waveform: Tensor) -> Tensor:
        """Turn audio of shape (batch, samples) into conditions of shape (batch, condition_size)."""
        return self.adapt(self.bottleneck(waveform))


def make_condition(bottleneck: Tensor, *, adaptor: Adaptor | None, past: Tensor | None) -> Tensor:
    """Make a condition of a bottleneck, all of shape (batch, size), and of what goes past the adaptor."""
    learned: Tensor = bottleneck if adaptor is None else adaptor(bottleneck)
    return learned if past is None else torch.cat((learned, past), dim=1)
