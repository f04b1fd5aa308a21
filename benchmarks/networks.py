"""What separators weigh and cost: trained parameters, and arithmetic for the first target of a mixture and each other.

python benchmarks/networks.py

Counted by torch on 2 s at 32 kHz with conditions of 527 numbers: a multiplication and an addition are two operations.
Nothing is computed: networks and sound are shapes without values.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from tables import table
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from uss_ray.models.network_settings import (
    BandedResUNetConfig,
    BandSplitConfig,
    ConvTasNetConfig,
    OpenUnmixConfig,
    ResUNetConfig,
    SeparatorConfig,
    UNetConfig,
)
from uss_ray.models.protocols import has_shared_trunk
from uss_ray.models.registry import build_network

_SECONDS = 2
_GIGA = 1e9
_STARTER = {"channels": (8, 16, 32, 64, 128, 128), "bottleneck_channels": 128, "stem_channels": 8}
NETWORKS = {
    "ResUNet30": ResUNetConfig(),
    "ResUNet60": ResUNetConfig(blocks_per_stage=2),
    "ResUNet30, scale and shift by frames": ResUNetConfig(film={"kind": "scale-shift", "framewise": True}),
    "ResUNet30, bottleneck steered alone": ResUNetConfig(film_places="bottleneck"),
    "ResUNet30, two passes": ResUNetConfig(passes=2),
    "ResUNet of the starter, hop 1000": ResUNetConfig(**_STARTER, hop_samples=1000),
    "ResUNet30 on bands": BandedResUNetConfig(),
    "ResUNet of the starter, hop 1000, on bands": BandedResUNetConfig(**_STARTER, hop_samples=1000),
    "U-Net": UNetConfig(),
    "Open-Unmix": OpenUnmixConfig(),
    "Conv-TasNet": ConvTasNetConfig(),
    "band split": BandSplitConfig(),
    "band split, small": BandSplitConfig(channels=64, hidden_channels=192, trunk_blocks=3),
}


def count(run: Callable[..., Tensor], *arguments: Tensor) -> tuple[float, Tensor]:
    """Count the operations of a forward, in 10⁹; give what it made too."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        made = run(*arguments)
    return counter.get_total_flops() / _GIGA, made


def costs(config: SeparatorConfig) -> tuple[int, float, float]:
    """Count trained parameters, and 10⁹ operations for the first target of a mixture and each further one."""
    with torch.device("meta"):
        separator = build_network("separator", config.model_dump()).eval()
        mixture = torch.zeros(1, _SECONDS * config.sample_rate)
        condition = torch.zeros(1, config.condition_size)
    parameters = sum(parameter.numel() for parameter in separator.parameters())
    if not has_shared_trunk(separator):  # type: ignore[arg-type]
        each, _ = count(separator, mixture, condition)
        return parameters, each, each
    heard, features = count(separator.listen, separator.stft(mixture.unsqueeze(1)))
    each, _ = count(separator.masks_of, features, condition)
    return parameters, heard + each, each


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    rows = []
    for name, config in NETWORKS.items():
        parameters, first, further = costs(config)
        figures = (f"{parameters / 1e6:.2f}", f"{first:.1f}", f"{further:.1f}", f"{first + 9 * further:.0f}")
        rows.append((name, *figures))
    table(("separator", "parameters, M", "GFLOP, first target", "each further", "ten targets"), rows)


if __name__ == "__main__":
    main()
