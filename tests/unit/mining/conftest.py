from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory):
    from uss_ray.models.panns import Panns
    from uss_ray.models.panns_settings import PannsConfig
    from uss_ray.weights.folder import read_folder, save_weights, specify

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        tagger = Panns(
            PannsConfig(
                block_channels=(4, 8, 8), embedding_size=12, mel_bins=16, head="frame", hop_samples=640
            )
        )
    networks = {"tagger": tagger.eval()}
    folder: Path = tmp_path_factory.mktemp("weights") / "small"
    return read_folder(
        save_weights(folder, networks, name="small", specifications=specify(networks, segment_seconds=2.0))
    )
