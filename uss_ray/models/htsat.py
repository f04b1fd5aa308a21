"""HTS-AT, the hierarchical token-semantic audio transformer: waveform to clip-wise and frame-wise probabilities.

The log-mel spectrogram is folded into a square image, a window transformer reads it, and a convolution over its last
tokens gives every column of tokens its own class probabilities. Why frames are laid out as they are: docs/adr/0019.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uss_ray.models.htsat_settings import HtsatConfig
from uss_ray.models.log_mel import LogMel
from uss_ray.models.swin import Block, PatchMerge, init_linear
from uss_ray.models.tagging import AudioTagger, Tagging, to_probs


class Reading(NamedTuple):
    """What the network sees in one full image, at the resolution of its last tokens.

    Attributes
    ----------
    clipwise_probs : Tensor of shape (batch, classes)
        In [0, 1]; of the mean of the columns' logits.
    embedding : Tensor of shape (batch, embedding_size)
        Mean of the columns' embeddings.
    column_probs : Tensor of shape (batch, columns, classes)
        In [0, 1], one column for each `frames_per_column` frames of the image, in order of time.
    column_embeddings : Tensor of shape (batch, columns, embedding_size)
    """

    clipwise_probs: Tensor
    embedding: Tensor
    column_probs: Tensor
    column_embeddings: Tensor


class _Stage(nn.Module):
    """Blocks on one grid; all stages but the first merge patches before."""

    def __init__(self, config: HtsatConfig, stage: int, drop_paths: list[float]) -> None:
        super().__init__()
        channels = config.channels * 2**stage
        self.merge = PatchMerge(channels // 2) if stage > 0 else None
        self.blocks = nn.ModuleList(
            Block(
                channels,
                heads=config.stage_heads[stage],
                window=config.window_patches,
                side=config.stage_sides[stage],
                shifted=index % 2 == 1,
                mlp_ratio=config.mlp_ratio,
                drop_path=drop_path,
            )
            for index, drop_path in enumerate(drop_paths)
        )

    def forward(self, grid: Tensor) -> Tensor:
        if self.merge is not None:
            grid = self.merge(grid)
        for block in self.blocks:
            grid = block(grid)
        return grid


class Htsat(AudioTagger):
    """Tag waveforms and say when, with a window transformer.

    Parameters
    ----------
    config : HtsatConfig

    Notes
    -----
    Chen et al. 2022, "HTS-AT: A Hierarchical Token-Semantic Audio Transformer for Sound Classification and Detection".
    """

    def __init__(self, config: HtsatConfig) -> None:
        super().__init__()
        self.config: HtsatConfig = config
        self.log_mel = LogMel(config)
        self.norm_mel = nn.BatchNorm2d(config.mel_bins)
        self.patch = nn.Conv2d(1, config.channels, config.patch_size, stride=config.patch_size)
        self.norm_patch = nn.LayerNorm(config.channels)
        rates = torch.linspace(0.0, config.drop_path, sum(config.stage_blocks)).split(
            list(config.stage_blocks)
        )
        self.stages = nn.ModuleList(
            _Stage(config, stage, drop_paths.tolist()) for stage, drop_paths in enumerate(rates)
        )
        self.norm = nn.LayerNorm(config.embedding_size)
        rows = config.stage_sides[-1] // config.folds
        self.classify = nn.Conv2d(config.embedding_size, config.classes, (rows, 3), padding=(0, 1))
        self.apply(init_linear)

    def forward(self, waveform: Tensor) -> Tagging:
        """Tag waveforms.

        Parameters
        ----------
        waveform : Tensor of shape (batch, samples)
            In [-1, 1] at `config.sample_rate`.

        Returns
        -------
        Tagging
            Frames at `config.frames_per_second`, on the time line of the waveform.
        """
        return self.tag(self.log_mel(waveform))

    def tag(self, log_mel: Tensor) -> Tagging:
        """Tag log-mel spectrograms of shape (batch, frames, mel_bins) and any length.

        More frames than an image holds are read in overlapping images; what several say of a frame or the clip is
        averaged.
        """
        frames, most = log_mel.shape[1], self.config.image_frames
        if frames <= most:
            return Tagging(*self._tag_image(log_mel))
        starts = _window_starts(frames, window=most)
        clipwise = log_mel.new_zeros(len(log_mel), self.config.classes)
        embedding = log_mel.new_zeros(len(log_mel), self.config.embedding_size)
        framewise = log_mel.new_zeros(len(log_mel), frames, self.config.classes)
        readers = log_mel.new_zeros(frames, 1)
        for start in starts:
            probs, latent, part = self._tag_image(log_mel[:, start : start + most])
            clipwise += probs / len(starts)
            embedding += latent / len(starts)
            framewise[:, start : start + most] += part
            readers[start : start + most] += 1.0
        return Tagging(clipwise, embedding, framewise / readers)

    def read_image(self, log_mel: Tensor) -> Reading:
        """Read spectrograms as one image, stretched over its whole length.

        Parameters
        ----------
        log_mel : Tensor of shape (batch, frames, mel_bins)
            At most `config.image_frames` frames.

        Returns
        -------
        Reading
            Columns divide the stretched time line evenly, whatever the number of frames was.
        """
        grid = self.norm_patch(self.patch(self._image(log_mel)).permute(0, 2, 3, 1))
        for stage in self.stages:
            grid = stage(grid)
        folded = self.norm(grid).permute(0, 3, 1, 2).unflatten(2, (self.config.folds, -1))
        unfolded = folded.transpose(2, 3).flatten(3)  # (batch, channels, rows of one stretch, columns)
        logits = self.classify(unfolded).squeeze(2).to(log_mel.dtype)
        return Reading(
            clipwise_probs=to_probs(logits.mean(dim=2)),
            embedding=unfolded.mean(dim=(2, 3)),
            column_probs=to_probs(logits).transpose(1, 2),
            column_embeddings=unfolded.mean(dim=2).transpose(1, 2),
        )

    def _image(self, log_mel: Tensor) -> Tensor:
        """Norm, stretch and fold (batch, frames, mel_bins) to (batch, 1, image_size, image_size)."""
        normed = self.norm_mel(log_mel.transpose(1, 2).unsqueeze(-1)).transpose(1, 3)
        target = (self.config.image_frames, self.config.mel_bins)
        if normed.shape[2] < target[0]:
            normed = F.interpolate(normed, target, mode="bicubic", align_corners=True)
        return normed.transpose(2, 3).unflatten(3, (self.config.folds, -1)).transpose(2, 3).flatten(2, 3)

    def _tag_image(self, log_mel: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give clip-wise probabilities, embedding and frame-wise probabilities of what fits one image."""
        frames = log_mel.shape[1]
        repeats = self.config.image_frames // frames if self.config.short_clips == "repeat" else 1
        reading = self.read_image(log_mel.repeat(1, repeats, 1))
        columns = self._columns(frames, repeats=repeats).to(log_mel.device)
        framewise = reading.column_probs[:, columns].mean(dim=1)
        return reading.clipwise_probs, reading.embedding, framewise

    def _columns(self, frames: int, *, repeats: int) -> Tensor:
        """Which column reads each frame of each repeat, of shape (repeats, frames)."""
        places = torch.arange(repeats * frames, dtype=torch.float64)
        # The stretch keeps the first and the last frame where they are, at the ends of the image.
        stretched = places * ((self.config.image_frames - 1) / max(1, repeats * frames - 1))
        return (stretched.round().long() // self.config.frames_per_column).view(repeats, frames)


def _window_starts(frames: int, *, window: int) -> list[int]:
    """First frames of evenly spaced windows that overlap by half or more and cover `frames` > `window`."""
    steps = math.ceil((frames - window) / (window // 2))
    return [round(index * (frames - window) / steps) for index in range(steps + 1)]
