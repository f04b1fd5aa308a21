"""A tagger of random parameters that mines within milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def save_small_tagger(folder: Path, **changes: Any) -> Path:
    """Save its weights below a folder, the same each time; `changes` make it smaller."""
    from uss_ray.models.panns import Panns
    from uss_ray.models.panns_settings import PannsConfig
    from uss_ray.weights.folder import save_weights, specify

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        tagger = Panns(
            PannsConfig(
                **{"block_channels": (4, 8, 8), "embedding_size": 12, "mel_bins": 16} | changes,
                head="frame",
                hop_samples=640,
            )
        )
    networks = {"tagger": tagger.eval()}
    return save_weights(folder, networks, name="small", specifications=specify(networks, segment_seconds=2.0))
