"""States of networks as the published programs name their tensors, with random numbers, of any size."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from uss_ray.models.htsat import Htsat
from uss_ray.models.htsat_settings import HtsatConfig
from uss_ray.models.network_settings import ResUNetConfig
from uss_ray.models.panns import Panns
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.models.swin import relative_positions, shift_mask


def drawn(*shape: int) -> Tensor:
    """Give numbers that keep the variance of what goes through them, so that a network of any depth stays finite."""
    if len(shape) < 2:
        return 0.5 + torch.rand(shape)
    return torch.randn(shape) * math.sqrt(2.0 / math.prod(shape[1:]))


def counted() -> Callable[..., Tensor]:
    """Make a function that gives tensors of one number each, another at each call: they take no memory."""
    numbers = itertools.count(1)
    return lambda *shape: torch.tensor(float(next(numbers))).expand(shape)


def norm(prefix: str, width: int) -> dict[str, Tensor]:
    values = {name: 0.5 + torch.rand(width) for name in ("weight", "bias", "running_mean", "running_var")}
    return {f"{prefix}.{name}": value for name, value in values.items()} | {
        f"{prefix}.num_batches_tracked": torch.tensor(7)
    }


def published_panns(config: PannsConfig) -> dict[str, Tensor]:
    """A state as the published program names it, with its Fourier kernels and mel matrix."""
    bins = config.window_samples // 2 + 1
    window = torch.hann_window(config.window_samples, dtype=torch.float64)
    samples = torch.arange(config.window_samples, dtype=torch.float64)
    angle = torch.outer(samples[:bins], samples) * (2 * math.pi / config.window_samples)
    state = {
        "spectrogram_extractor.stft.conv_real.weight": (angle.cos() * window).float()[:, None],
        "spectrogram_extractor.stft.conv_imag.weight": (-angle.sin() * window).float()[:, None],
        "logmel_extractor.melW": Panns(config).log_mel.filters.clone(),
        **norm("bn0", config.mel_bins),
    }
    widths = (1, *config.block_channels)
    for block, (before, after) in enumerate(itertools.pairwise(widths), start=1):
        for conv, width in ((1, before), (2, after)):
            state[f"conv_block{block}.conv{conv}.weight"] = drawn(after, width, 3, 3)
            state |= norm(f"conv_block{block}.bn{conv}", after)
    sizes = {
        "fc1": (config.embedding_size, widths[-1]),
        "fc_audioset": (config.classes, config.embedding_size),
    }
    for name, shape in sizes.items():
        state |= {f"{name}.weight": drawn(*shape), f"{name}.bias": drawn(shape[0])}
    return state


def published_resunet(config: ResUNetConfig, value: Callable[..., Tensor] = drawn) -> dict[str, Tensor]:
    """A separator of six stages as the published program names it."""
    state: dict[str, Tensor] = {**norm("base.bn0", config.window_samples // 2 + 1)}

    def film(name: str, width: int) -> None:
        state[f"film.{name}.weight"] = value(width, config.condition_size)
        state[f"film.{name}.bias"] = value(width)

    def residual(stage: str, block: str, before: int, after: int) -> None:
        for part, width in ((1, before), (2, after)):
            state.update(norm(f"base.{stage}.{block}.bn{part}", width))
            state[f"base.{stage}.{block}.conv{part}.weight"] = value(after, width, 3, 3)
            film(f"{stage}->{block}->beta{part}", width)
        if before != after:
            state[f"base.{stage}.{block}.shortcut.weight"] = value(after, before, 1, 1)
            state[f"base.{stage}.{block}.shortcut.bias"] = value(after)

    stem, middle = config.stem_channels, config.bottleneck_channels
    for index, (before, after) in enumerate(itertools.pairwise((stem, *config.channels)), start=1):
        residual(f"encoder_block{index}", "conv_block1", before, after)
    residual("conv_block7a", "conv_block1", config.channels[-1], middle)
    for index, (before, after) in enumerate(
        itertools.pairwise((middle, *reversed(config.channels))), start=1
    ):
        stage = f"decoder_block{index}"
        for part in (1, 2):
            state.update(norm(f"base.{stage}.bn{part}", before))
            film(f"{stage}->beta{part}", before)
        state[f"base.{stage}.conv1.weight"] = value(before, after, *((1, 2) if index == 1 else (2, 2)))
        residual(stage, "conv_block2", 2 * after, after)
    for name, shape in (("pre_conv", (stem, 1, 1, 1)), ("after_conv", (3, stem, 1, 1))):
        state[f"base.{name}.weight"], state[f"base.{name}.bias"] = value(*shape), value(shape[0])
    return state


def published_htsat(config: HtsatConfig) -> dict[str, Tensor]:
    """A tagger as the published program names it, with the tables that it stores beside its weights."""
    width, last = config.channels, config.embedding_size
    state: dict[str, Tensor] = {"logmel_extractor.melW": Htsat(config).log_mel.filters.clone()}

    def layer(name: str, *shape: int) -> None:
        state[f"{name}.weight"], state[f"{name}.bias"] = drawn(*shape), drawn(shape[0])

    layer("bn0", config.mel_bins)
    state |= {"bn0.running_mean": drawn(config.mel_bins), "bn0.running_var": drawn(config.mel_bins)}
    state["bn0.num_batches_tracked"] = torch.tensor(7)
    layer("patch_embed.proj", width, 1, config.patch_size, config.patch_size)
    layer("patch_embed.norm", width)
    for stage, blocks in enumerate(config.stage_blocks):
        channels, side = width * 2**stage, config.stage_sides[stage]
        for index in range(blocks):
            name = f"layers.{stage}.blocks.{index}"
            for norm in ("norm1", "norm2"):
                layer(f"{name}.{norm}", channels)
            layer(f"{name}.attn.qkv", 3 * channels, channels)
            layer(f"{name}.attn.proj", channels, channels)
            layer(f"{name}.mlp.fc1", 4 * channels, channels)
            layer(f"{name}.mlp.fc2", channels, 4 * channels)
            table = ((2 * config.window_patches - 1) ** 2, config.stage_heads[stage])
            state[f"{name}.attn.relative_position_bias_table"] = drawn(*table)
            state[f"{name}.attn.relative_position_index"] = relative_positions(config.window_patches)
            if index % 2 and side > config.window_patches:
                shift = config.window_patches // 2
                state[f"{name}.attn_mask"] = shift_mask(side, window=config.window_patches, shift=shift)
        if stage < len(config.stage_blocks) - 1:
            layer(f"layers.{stage}.downsample.norm", 4 * channels)
            state[f"layers.{stage}.downsample.reduction.weight"] = drawn(2 * channels, 4 * channels)
    layer("norm", last)
    layer("tscam_conv", config.classes, last, config.stage_sides[-1] // config.folds, 3)
    layer("head", config.classes, config.classes)
    return state
