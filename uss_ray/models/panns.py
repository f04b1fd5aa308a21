"""Taggers and detectors of the PANNs family: waveform to clip-wise and frame-wise class probabilities.

One class covers Cnn14, Cnn14_DecisionLevelMax, Cnn10, Cnn6 and narrower members; they differ in configuration only.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uss_ray.models.log_mel import LogMel
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.models.tagging import AudioTagger, Tagging, to_probs

_SMALLEST_SUM = 1e-10


class _ConvBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, convs: int, kernel_size: int) -> None:
        super().__init__()
        widths = [in_channels] + [out_channels] * convs
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, kernel_size, padding=kernel_size // 2, bias=False) for a, b in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(out_channels) for _ in range(convs))
        for conv in self.convs:
            nn.init.xavier_uniform_(conv.weight)  # type: ignore[arg-type]

    def forward(self, maps: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            maps = F.relu_(norm(conv(maps)))
        return maps


class Panns(AudioTagger):
    """Tag waveforms, and with a frame head say when.

    Parameters
    ----------
    config : PannsConfig

    Notes
    -----
    Kong et al. 2020, "PANNs: Large-Scale Pretrained Audio Neural Networks".
    """

    def __init__(self, config: PannsConfig) -> None:
        super().__init__()
        self.config: PannsConfig = config
        self.log_mel = LogMel(config)
        self.norm = nn.BatchNorm2d(config.mel_bins)
        widths = (1, *config.block_channels)
        self.blocks = nn.ModuleList(
            _ConvBlock(a, b, config.convs_per_block, config.kernel_size) for a, b in pairwise(widths)
        )
        self.embed = nn.Linear(widths[-1], config.embedding_size)
        self.classify = nn.Linear(config.embedding_size, config.classes)
        for layer in (self.embed, self.classify):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, waveform: Tensor) -> Tagging:
        """Tag waveforms.

        Parameters
        ----------
        waveform : Tensor of shape (batch, samples)
            In [-1, 1] at `config.sample_rate`.

        Returns
        -------
        Tagging
        """
        return self.tag(self.log_mel(waveform))

    @property
    def pools_frames(self) -> bool:
        """Whether what is said of a whole is made of what is said of its frames; see `protocols.FramePooling`."""
        return self.config.head == "frame"

    def pool_frames(self, framewise_probs: Tensor) -> Tensor:
        """Make clip-wise probabilities (batch, classes) of frame-wise ones (batch, frames, classes)."""
        if self.config.pooling == "max":
            return framewise_probs.amax(dim=1)
        return framewise_probs.square().sum(dim=1) / framewise_probs.sum(dim=1).clamp(min=_SMALLEST_SUM)

    def tag(self, log_mel: Tensor) -> Tagging:
        """Tag log-mel spectrograms of shape (batch, frames, mel_bins)."""
        frames = log_mel.shape[1]
        # The blocks pool time too: a signal of a few frames is repeated to one that survives them.
        shortest = self.config.time_pooling
        if frames < shortest:
            log_mel = F.pad(log_mel.transpose(1, 2), (0, shortest - frames), mode="replicate").transpose(1, 2)
        maps = self.norm(log_mel.transpose(1, 2).unsqueeze(-1)).squeeze(-1).transpose(1, 2).unsqueeze(1)
        for index, block in enumerate(self.blocks):
            maps = block(maps)
            if index < len(self.blocks) - 1:
                maps = F.avg_pool2d(maps, 2)
            maps = F.dropout(maps, self.config.block_dropout, self.training)
        features = maps.mean(dim=3)
        return self._tag_clip(features) if self.config.head == "clip" else self._tag_frames(features, frames)

    def _tag_clip(self, features: Tensor) -> Tagging:
        pooled = F.dropout(
            features.amax(dim=2) + features.mean(dim=2), self.config.head_dropout, self.training
        )
        embedding = F.relu(self.embed(pooled))
        probs = to_probs(self.classify(embedding))
        return Tagging(probs, F.dropout(embedding, self.config.head_dropout, self.training), None)

    def _tag_frames(self, features: Tensor, frames: int) -> Tagging:
        smooth = F.max_pool1d(features, 3, 1, 1) + F.avg_pool1d(features, 3, 1, 1)
        smooth = F.dropout(smooth, self.config.head_dropout, self.training).transpose(1, 2)
        embedding = F.dropout(F.relu(self.embed(smooth)), self.config.head_dropout, self.training)
        coarse = to_probs(self.classify(embedding))
        clipwise = self.pool_frames(coarse)
        fine = coarse.repeat_interleave(self.config.time_pooling, dim=1)[:, :frames]
        tail = fine[:, -1:].expand(-1, frames - fine.shape[1], -1)
        return Tagging(clipwise, embedding.mean(dim=1), torch.cat((fine, tail), dim=1))
